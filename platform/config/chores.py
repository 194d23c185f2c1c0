"""What has to be done every so often, whoever does it.

Embedded, the server itself does it; in the full stack a Celery worker, when beat tells it. Each may
be done twice or at the same time by two: none needs to know.
"""

import asyncio
import logging
from collections.abc import Callable
from typing import NamedTuple

from channels.db import database_sync_to_async
from django.core.cache import cache
from django.utils import timezone

from collection import (
    alerts,
    budget,
    checking,
    coding,
    counted,
    detecting,
    personal,
    releases,
    suggesting,
)
from config import heartbeat
from surveys import drafts, inbox, outbox, quotas, retention

log = logging.getLogger("refract.chores")


class Chore(NamedTuple):
    name: str
    every_s: float
    do: Callable[[], object]
    """Returns how much there was to do, if that can be counted."""


def expire_drafts() -> int:
    return drafts.expire(timezone.now())


CHORES = [
    Chore("heartbeat", heartbeat.EVERY_S, heartbeat.beat),
    Chore("drafts", 3600.0, expire_drafts),
    Chore("reservations", 300.0, budget.lapse),
    Chore("quotas", 300.0, quotas.lapse),
    Chore("quality", 120.0, checking.check_new),
    Chore("detectors", 15.0, detecting.work),
    Chore("alerts", 60.0, alerts.look),
    Chore("outbox", 15.0, outbox.send_due),
    Chore("inbox", 60.0, inbox.read_due),
    Chore("figures", 30.0, counted.count_watched),
    Chore("descriptions", 120.0, coding.sync_all),
    Chore("suggestions", 60.0, suggesting.suggest_due),
    Chore("personal", 300.0, personal.scan_all),
    Chore("releases", 5.0, releases.work),
    Chore("identities", 3600.0, retention.purge_due),
]
_BY_NAME = {chore.name: chore for chore in CHORES}


def do(name: str) -> None:
    """Do it, and count it. It never raises: the chore comes round again."""
    try:
        done = _BY_NAME[name].do()
    except Exception:
        log.exception("the chore %s failed and will be tried again", name)
        count(name, "failed")
    else:
        if done:
            log.info("the chore %s had %s to do", name, done)
        count(name, "ok")


def count(name: str, outcome: str) -> None:
    key = f"chores/{name}/{outcome}"
    cache.add(key, 0, timeout=None)
    cache.incr(key)


def counts() -> dict[tuple[str, str], int]:
    """(name, ok or failed) -> how often, of all processes since the cache began."""
    keys = {
        f"chores/{chore.name}/{outcome}": (chore.name, outcome)
        for chore in CHORES
        for outcome in ("ok", "failed")
    }
    found = cache.get_many(keys)
    return {label: found.get(key, 0) for key, label in keys.items()}


async def do_for_ever() -> None:
    """All chores in this process, each at its pace and first of all now, until cancelled."""
    await asyncio.gather(*(_repeat(chore) for chore in CHORES))


async def _repeat(chore: Chore) -> None:
    while True:
        # In a thread of its own: the one that most database work shares must not wait for it.
        await database_sync_to_async(do, thread_sensitive=False)(chore.name)
        await asyncio.sleep(chore.every_s)
