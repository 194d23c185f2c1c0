"""The line in front of a provider: so many calls at once, and none before it wants more.

Each web process has gates of its own, so a limit counts for one process: shared between machines it
would need a lease for each call, and a process that dies would leave places taken.
"""

import asyncio
import time
from collections import defaultdict, deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import NamedTuple
from weakref import WeakKeyDictionary


class Held(Exception):
    """The provider wants to be left alone for longer than a call may take."""

    def __init__(self, seconds: float) -> None:
        super().__init__(f"the provider asked to wait for another {seconds:.0f} s")
        self.seconds = seconds


class Waiting(NamedTuple):
    place: asyncio.Future[None]
    gives_up: float


class Gate:
    """Of one event loop. All times are on the monotonic clock, which never jumps."""

    def __init__(self) -> None:
        self._calls = 0
        self._limit: int | None = None
        self._line: deque[Waiting] = deque()
        """Nothing that has left it stays: its futures would keep a closed loop alive."""
        self._held_until = 0.0
        self._opens_at = 0.0

    @asynccontextmanager
    async def place(self, limit: int | None, patience_s: float) -> AsyncIterator[None]:
        """One of the places, when it is this call's turn. limit: of this moment, for those in
        front as well; None for any number.

        Raises Held as soon as the provider is known to want more time than there is.
        """
        self._limit = limit
        if self.held_s >= patience_s > 0:
            raise Held(self.held_s)
        await self._wait_in_line(patience_s)
        try:
            yield
        finally:
            self._calls -= 1
            self._admit()

    @property
    def held_s(self) -> float:
        return max(0.0, self._held_until - time.monotonic())

    def hold(self, seconds: float) -> None:
        """Let no call through for so long, and send away whoever can't wait for it."""
        self._held_until = max(self._held_until, time.monotonic() + seconds)
        for waiting in self._line:
            if waiting.gives_up <= self._held_until and not waiting.place.done():
                waiting.place.set_exception(Held(self.held_s))
        self._admit()

    async def _wait_in_line(self, patience_s: float) -> None:
        place = asyncio.get_running_loop().create_future()
        waiting = Waiting(place, time.monotonic() + patience_s)
        self._line.append(waiting)
        self._admit()
        try:
            await place
        except BaseException:
            if waiting in self._line:
                self._line.remove(waiting)
            elif place.done() and not place.cancelled():  # cut in the moment of being let in
                self._calls -= 1
                self._admit()
            raise

    def _admit(self) -> None:
        """Let in whose turn it is."""
        if self._line and self.held_s:
            self._open_later()
            return
        while self._line and (self._limit is None or self._calls < self._limit):
            place = self._line.popleft().place
            if not place.done():
                place.set_result(None)
                self._calls += 1

    def _open_later(self) -> None:
        if self._opens_at < self._held_until:
            self._opens_at = self._held_until
            asyncio.get_running_loop().call_later(self.held_s, self._open)

    def _open(self) -> None:
        self._opens_at = 0.0
        self._admit()


_gates: WeakKeyDictionary[asyncio.AbstractEventLoop, defaultdict[str, Gate]] = WeakKeyDictionary()


def gate_of(provider: str) -> Gate:
    """The gate of a provider on the running loop."""
    loop = asyncio.get_running_loop()
    if loop not in _gates:
        _gates[loop] = defaultdict(Gate)
    return _gates[loop][provider]
