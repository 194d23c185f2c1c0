"""People at a site: some who think between two steps, or as many steps as the site can take."""

import asyncio
import random
import time
from collections.abc import Callable, Coroutine
from typing import Any, NamedTuple, Protocol, TypeVar

import uvloop

THINKING = 200
"""People at once."""
THINK_S = 5.0
"""Their mean time between a page and the form that they send; exponential."""
HURRYING = 12
"""People at once who don't think; more of them would only queue."""
SATURATED_S = 8.0
WAITING = 60
"""People who have arrived before the clock starts, more than finish while it runs."""
LIMIT_S = 300.0
"""Of one measurement: whatever takes longer hangs."""

T = TypeVar("T")


class Visitor(Protocol):
    is_finished: bool

    async def arrive(self) -> None: ...
    async def step(self) -> None: ...
    def leave(self) -> None: ...


def step_times(newcomer: Callable[[], Visitor], ramp_s: float, measured_s: float) -> list[float]:
    """Seconds of each step that thinking people took, once all had come.

    They come one by one during the ramp; a newcomer takes the place of each who finishes.
    """
    return measured(_think(newcomer, ramp_s, measured_s))


async def _think(newcomer: Callable[[], Visitor], ramp_s: float, measured_s: float) -> list[float]:
    rng = random.Random(0)
    begun = time.monotonic()
    end = begun + ramp_s + measured_s
    times: list[float] = []

    async def place(number: int) -> None:
        await asyncio.sleep(ramp_s * number / THINKING)
        while time.monotonic() < end:
            visitor = newcomer()
            await visitor.arrive()
            await pause()
            while not visitor.is_finished and time.monotonic() < end:
                sent = time.monotonic()
                await visitor.step()
                if sent > begun + ramp_s:
                    times.append(time.monotonic() - sent)
                await pause()
            visitor.leave()

    async def pause() -> None:
        left = end - time.monotonic()
        await asyncio.sleep(min(rng.expovariate(1 / THINK_S), max(left, 0)))

    await asyncio.gather(*(place(number) for number in range(THINKING)))
    return times


class Pace(NamedTuple):
    steps_per_s: float
    own_ms: float
    """Processor time that the load itself takes from the servers, per step."""


def pace(newcomer: Callable[[], Visitor]) -> Pace:
    """How fast a few people go who don't think, after they have arrived."""
    return measured(_hurry(newcomer))


async def _hurry(newcomer: Callable[[], Visitor]) -> Pace:
    coming = [newcomer() for _number in range(WAITING)]
    waiting: list[Visitor] = []
    steps = 0

    async def arrive() -> None:
        while coming:
            visitor = coming.pop()
            await visitor.arrive()
            visitor.leave()
            waiting.append(visitor)

    async def hurry() -> None:
        nonlocal steps
        while waiting and time.monotonic() < end:
            visitor = waiting.pop()
            while not visitor.is_finished and time.monotonic() < end:
                await visitor.step()
                steps += 1
            visitor.leave()

    await asyncio.gather(*(arrive() for _number in range(HURRYING)))
    begun, used = time.monotonic(), time.process_time()
    end = begun + SATURATED_S
    await asyncio.gather(*(hurry() for _number in range(HURRYING)))
    own_s = time.process_time() - used
    return Pace(steps / (time.monotonic() - begun), 1000 * own_s / steps)


def measured(measurement: Coroutine[Any, Any, T]) -> T:
    """On the servers' event loop, in C: the load takes from the processors that they share."""
    return uvloop.run(bounded(measurement))


async def bounded(measurement: Coroutine[Any, Any, T]) -> T:
    async with asyncio.timeout(LIMIT_S):
        return await measurement
