"""The line in front of a provider: so many calls at once, and none before it wants more.

Each web process has gates of its own, so a limit counts for one process: shared between machines it
would need a lease for each call, and a process that dies would leave places taken.
"""

import asyncio
import time
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from weakref import WeakKeyDictionary


class Held(Exception):
    """The provider wants to be left alone for longer than a call may take."""

    def __init__(self, seconds: float) -> None:
        super().__init__(f"the provider asked to wait for another {seconds:.0f} s")
        self.seconds = seconds


class Gate:
    def __init__(self) -> None:
        self._calls = 0
        self._left = asyncio.Condition()
        self._held_until = 0.0
        """On the monotonic clock, which never jumps."""

    @asynccontextmanager
    async def place(self, limit: int | None, patience_s: float) -> AsyncIterator[None]:
        """One of the places, when it is this call's turn. limit: of this moment; None for any.

        Raises Held if the provider is known to want more time than there is.
        """
        await self._wait_until_wanted(patience_s)
        async with self._left:
            await self._left.wait_for(lambda: limit is None or self._calls < limit)
            self._calls += 1
        try:
            yield
        finally:
            self._calls -= 1
            # Shielded: a call that is cut must not take its place with it.
            await asyncio.shield(self._say_so())

    def hold(self, seconds: float) -> None:
        """Let no call through for so long."""
        self._held_until = max(self._held_until, time.monotonic() + seconds)

    async def _wait_until_wanted(self, patience_s: float) -> None:
        while (left := self._held_until - time.monotonic()) > 0:
            if left >= patience_s:
                raise Held(left)
            await asyncio.sleep(left)
            patience_s -= left

    async def _say_so(self) -> None:
        async with self._left:
            self._left.notify_all()


_gates: WeakKeyDictionary[asyncio.AbstractEventLoop, defaultdict[str, Gate]] = WeakKeyDictionary()


def gate_of(provider: str) -> Gate:
    """The gate of a provider on the running loop."""
    loop = asyncio.get_running_loop()
    if loop not in _gates:
        _gates[loop] = defaultdict(Gate)
    return _gates[loop][provider]
