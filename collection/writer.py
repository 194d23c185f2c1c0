"""Database work of the turns under way, in one thread and as few transactions as can be.

Replies land together, of one turn and of many: what is there by the time the thread is free is
written in one transaction, so a burst costs a few commits instead of hundreds.
"""

import asyncio
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, ParamSpec, TypeVar
from weakref import WeakKeyDictionary

from asgiref.sync import sync_to_async
from django.db import InterfaceError, OperationalError, connection, transaction

P = ParamSpec("P")
T = TypeVar("T")

log = logging.getLogger("refract.writer")

AWAY_S = 60.0
"""So long work waits for the database to come back."""
PAUSE_S = 0.5
AWAY = (OperationalError, InterfaceError)
MOST = 50
"""Jobs in one transaction: others wait for the locks that it holds."""


@dataclass
class Job:
    do: Callable[[], Any]
    done: "asyncio.Future[Any]"


@dataclass
class Line:
    """Of one event loop: what waits to be written, and the task that writes."""

    jobs: list[Job] = field(default_factory=list)
    task: "asyncio.Task[None] | None" = None


_lines: WeakKeyDictionary[asyncio.AbstractEventLoop, Line] = WeakKeyDictionary()


async def written(work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Do work that writes, in a transaction with whatever else waits; its result once committed."""
    loop = asyncio.get_running_loop()
    line = _lines.setdefault(loop, Line())
    job = Job(lambda: work(*args, **kwargs), loop.create_future())
    line.jobs.append(job)
    if line.task is None or line.task.done():
        line.task = loop.create_task(write(line))
    result: T = await job.done
    return result


async def write(line: Line) -> None:
    while line.jobs:
        batch, line.jobs = line.jobs[:MOST], line.jobs[MOST:]
        try:
            results = await persistently(all_at_once, batch)
        except Exception:
            await one_by_one(batch)
            continue
        for job, result in zip(batch, results, strict=True):
            if not job.done.done():  # its task may have been cancelled
                job.done.set_result(result)


@transaction.atomic
def all_at_once(batch: list[Job]) -> list[Any]:
    return [job.do() for job in batch]


async def one_by_one(batch: list[Job]) -> None:
    """One of them failed and took the others with it: each for itself, to find out which."""
    for job in batch:
        try:
            result = await persistently(all_at_once, [job])
        except Exception as error:
            if not job.done.done():
                job.done.set_exception(error)
        else:
            if not job.done.done():
                job.done.set_result(result[0])


async def persistently(work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Do database work in the thread that all turns share, also if the database is away."""
    give_up = time.monotonic() + AWAY_S
    while True:
        try:
            return await in_thread(work, *args, **kwargs)
        except AWAY:
            if time.monotonic() > give_up:
                raise
            log.warning("the database is away; %s will be tried again", work.__name__)
            await asyncio.sleep(PAUSE_S)


async def in_thread(work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    def guarded() -> T:
        try:
            return work(*args, **kwargs)
        except AWAY:
            if not connection.in_atomic_block:
                connection.close()  # a broken one would fail for ever
            raise

    return await sync_to_async(guarded, thread_sensitive=True)()
