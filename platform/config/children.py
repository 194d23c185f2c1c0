"""Processes that are kept running until Ctrl-C: who dies is started anew, and all end in order."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from threading import Event
from types import FrameType

from config.programs import as_user

LOOK_EVERY_S = 0.2
ENDS_WITHIN_S = 40.0
"""More than a web process takes that drains its turns."""
SHORT_LIFE_S = 10.0
LONGEST_PAUSE_S = 30.0
"""What dies soon after its start is started again after 1, 2, 4 … seconds."""


class Child:
    """One process. log: a file for what it writes; else that is mixed with our own."""

    def __init__(
        self,
        name: str,
        argv: Sequence[str],
        *,
        env: Mapping[str, str] | None = None,
        pass_fds: Sequence[int] = (),
        ends_on: signal.Signals = signal.SIGTERM,
        user: str = "",
        log: Path | None = None,
    ) -> None:
        self.name = name
        self.log = log
        self._argv = [*as_user(user, ends_on), *argv]
        self._env = env
        self._pass_fds = pass_fds
        self._ends_on = ends_on
        self._process: subprocess.Popen[bytes] | None = None
        self._started_at = 0.0
        self._pause_s = 0.0
        self._start_at: float | None = None

    def start(self) -> None:
        out = self.log.open("ab") if self.log else None
        self._process = subprocess.Popen(  # noqa: S603 (our own programs)
            self._argv,
            env=self._env,
            pass_fds=self._pass_fds,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=out,
            # Ctrl-C is for us alone; and what it starts itself ends with it.
            start_new_session=True,
        )
        if out:
            out.close()
        self._started_at = time.monotonic()
        self._start_at = None

    @property
    def is_alive(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def keep(self) -> None:
        """Start it again if it has died, after a pause if it keeps dying."""
        if self.is_alive:
            return
        now = time.monotonic()
        if self._start_at is None:
            self.kill()  # what it started and left behind
            lived = now - self._started_at
            self._pause_s = min(LONGEST_PAUSE_S, 2 * self._pause_s or 1) if soon(lived) else 0.0
            self._start_at = now + self._pause_s
            say(f"{self.name} has ended{self._how()}, starting it again")
        if now >= self._start_at:
            self.start()

    def _how(self) -> str:
        code = self._process.returncode if self._process else 0
        return f" ({signal.Signals(-code).name})" if code < 0 else f" (exit code {code})"

    def end(self) -> None:
        if self._process is not None and self.is_alive:
            self._process.send_signal(self._ends_on)

    def kill(self) -> None:
        if self._process is not None:
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()


def soon(seconds: float) -> bool:
    return seconds < SHORT_LIFE_S


def say(line: str) -> None:
    sys.stderr.write(f"{line}\n")
    sys.stderr.flush()


class Stop:
    """Whether to end: asked by Ctrl-C or SIGTERM. Asked twice, at once."""

    def __init__(self) -> None:
        self.asked = Event()
        self.at_once = False
        signal.signal(signal.SIGINT, self._ask)
        signal.signal(signal.SIGTERM, self._ask)

    def _ask(self, _signal: int, _frame: FrameType | None) -> None:
        self.at_once = self.asked.is_set()
        self.asked.set()


def keep_running(tiers: Sequence[Sequence[Child]], stop: Stop) -> None:
    """Run them until asked to stop. A tier stands on those before it, and ends before them."""
    try:
        for child in (child for tier in tiers for child in tier):
            if not child.is_alive:
                child.start()
        while not stop.asked.wait(LOOK_EVERY_S):
            for child in (child for tier in tiers for child in tier):
                child.keep()
    finally:
        end(tiers, stop)


def end(tiers: Sequence[Sequence[Child]], stop: Stop) -> None:
    for tier in reversed(tiers):
        for child in tier:
            child.end()
        give_up = time.monotonic() + ENDS_WITHIN_S
        while any(child.is_alive for child in tier):
            if stop.at_once or time.monotonic() > give_up:
                break
            time.sleep(LOOK_EVERY_S)
        for child in tier:
            child.kill()
