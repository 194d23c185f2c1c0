"""Every list and page of the desk, asked for by a study's owner, at PRISM's size and ten times it.

On the full stack with two web processes. No worker runs beside them: what it would count for the
live page is counted before. The limit is a page of the desk that shows no rows.
"""

import asyncio
import itertools
import json
import sys
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from statistics import median, quantiles
from tempfile import TemporaryDirectory
from typing import NamedTuple

from tests.bench import kept
from tests.bench.figures import Figure
from tests.bench.http import FROM_SCRIPT, LOG_SHOWN, BenchError, Browser
from tests.servers import Refract

PROCESSES = 2
PAGE_MS, LIVE_MS, TEN_TIMES_MS = 300.0, 150.0, 1000.0
ROUNDS, TEN_TIMES_ROUNDS = 12, 6
LIVE_ROUNDS = 60
QUICK_S = 5.0
"""For so long the live page's figures are kept: a reader who waits a moment has them anew."""
ROWLESS = "admin:password_change"
SHOWN = 5
INSIDE = "from tests.bench import desk_pages; desk_pages.tell()"


class Told(NamedTuple):
    cookie: tuple[str, str]
    pages: list[tuple[str, str]]
    live: str


def figures() -> Iterator[Figure]:
    with TemporaryDirectory(prefix="refract-bench-") as folder:
        for people, name, goal, live, rounds in (
            (kept.PRISM_PEOPLE, "desk", PAGE_MS, LIVE_MS, ROUNDS),
            (kept.TEN_TIMES, "desk.x10", TEN_TIMES_MS, TEN_TIMES_MS, TEN_TIMES_ROUNDS),
        ):
            refract = kept.full(people, Path(folder, name), PROCESSES)
            refract.manage("collectstatic", "--noinput", "--verbosity", "0")
            refract.start()
            try:
                yield from of_size(refract, name, goal, live, rounds)
            except BenchError as error:
                error.add_note(f"The servers wrote:\n{refract.log[-LOG_SHOWN:]}")
                raise
            finally:
                refract.stop()


def of_size(
    refract: Refract, name: str, goal: float, live_goal: float, rounds: int
) -> Iterator[Figure]:
    told = Told(**json.loads(refract.manage("shell", "-v0", "-c", INSIDE)))
    times = asyncio.run(asked(refract, told, rounds))
    p95 = {page: p95_ms(of_page) for page, of_page in times.items()}
    slowest = sorted(p95, key=lambda page: -p95[page])
    sys.stderr.write("".join(f"{p95[page]:8.0f} ms  {page}\n" for page in slowest[:SHOWN]))
    limit = p95[ROWLESS]
    yield Figure(f"{name}.page.p95", p95[slowest[0]], "ms", goal, limit, note=slowest[0])
    everything = [seconds for of_page in times.values() for seconds in of_page]
    yield Figure(f"{name}.page.median", 1000 * median(everything), "ms", None, limit)
    yield Figure(f"{name}.pages", len(times), "pages")
    live, fresh = asyncio.run(watched(refract, told))
    yield Figure(f"{name}.live.p95", p95_ms(live), "ms", live_goal, limit)
    yield Figure(f"{name}.live.fresh", 1000 * max(fresh), "ms", live_goal, limit)


def browser_of(refract: Refract, told: Told) -> Browser:
    browser = Browser(itertools.cycle(refract.ports))
    browser.keep(*told.cookie)
    return browser


async def asked(refract: Refract, told: Told, rounds: int) -> dict[str, list[float]]:
    """Page -> seconds. All pages in turns, so that what slows the machine slows many."""
    times: dict[str, list[float]] = {name: [] for name, _path in told.pages}
    for number in range(PROCESSES + rounds):
        browser = browser_of(refract, told)
        for _port in range(number % PROCESSES):
            next(browser.ports)
        for name, path in told.pages:
            began = time.monotonic()
            await browser.get(path)
            if number >= PROCESSES:  # until then each process sees its pages for the first time
                times[name].append(time.monotonic() - began)
        browser.close()
    return times


async def watched(refract: Refract, told: Told) -> tuple[list[float], list[float]]:
    """Seconds of the live page's part that updates itself: (of many, of those counted anew)."""
    browser = browser_of(refract, told)
    ask = partial(browser.get, told.live, FROM_SCRIPT)
    fresh: list[float] = []
    for _time in range(3):
        await asyncio.sleep(QUICK_S)
        began = time.monotonic()
        await ask()
        fresh.append(time.monotonic() - began)
    times = []
    for _time in range(LIVE_ROUNDS):
        began = time.monotonic()
        await ask()
        times.append(time.monotonic() - began)
    browser.close()
    return times + fresh, fresh


def p95_ms(times: list[float]) -> float:
    return 1000 * quantiles(times, n=20, method="inclusive")[-1]
