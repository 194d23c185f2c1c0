"""What load balancers and Prometheus ask: is the process alive, can it serve, what has it counted.

Answered before Django: no host name is needed, no session begins, and `/healthz` answers even while
all request threads are busy.
"""

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from secrets import compare_digest, token_hex
from typing import Any

from django.conf import settings
from django.core.cache import cache
from django.db import connection

from collection import hearing
from config import heartbeat, scrape

log = logging.getLogger("refract.health")

CHECK_WITHIN_S = 2.0
# One thread: of checks that hang, only the first does, the others wait in line and are given up.
_thread = ThreadPoolExecutor(1, thread_name_prefix="health")

App = Callable[[dict[str, Any], Any, Any], Awaitable[None]]
Send = Callable[[dict[str, Any]], Awaitable[None]]


class NotReady(Exception):
    """A part that can't be used; the message says why, in words that anybody may read."""


def check_database() -> None:
    """Over a new connection: whoever comes next may need one."""
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
    finally:
        connection.close()


def check_cache() -> None:
    key = f"health/{token_hex(8)}"
    cache.set(key, key, timeout=10)
    if cache.get(key) != key:
        raise NotReady("forgets at once")
    cache.delete(key)


def check_worker() -> None:
    if wrong := heartbeat.what_is_wrong():
        raise NotReady(wrong)


async def in_thread(check: Callable[[], None]) -> None:
    await asyncio.get_running_loop().run_in_executor(_thread, check)


async def outcome(name: str, check: Awaitable[None]) -> str:
    """ok, or the reason why not."""
    try:
        async with asyncio.timeout(CHECK_WITHIN_S):
            await check
    except NotReady as reason:
        return str(reason)
    except TimeoutError:
        return f"no answer within {CHECK_WITHIN_S:g} seconds"
    except Exception as error:
        # The message may have addresses and user names of servers: for the log alone.
        log.warning("%s can't be used", name, exc_info=True)
        return f"failed: {type(error).__name__}"
    return "ok"


async def parts() -> dict[str, str]:
    checks = {
        "database": in_thread(check_database),
        "cache": in_thread(check_cache),
        "layer": hearing.echo(),
        "worker": in_thread(check_worker),
    }
    found = await asyncio.gather(*(outcome(name, check) for name, check in checks.items()))
    return dict(zip(checks, found, strict=True))


async def readyz() -> tuple[int, bytes, str]:
    found = await parts()
    is_ready = set(found.values()) == {"ok"}
    return 200 if is_ready else 503, json.dumps(found).encode(), "application/json"


async def healthz() -> tuple[int, bytes, str]:
    return 200, b'{"process": "ok"}', "application/json"


async def metrics() -> tuple[int, bytes, str]:
    return 200, await asyncio.to_thread(scrape.everything), scrape.CONTENT_TYPE


def has_token(scope: dict[str, Any]) -> bool:
    expected = f"Bearer {settings.METRICS_TOKEN}".encode()
    given = dict(scope["headers"]).get(b"authorization", b"")
    return bool(settings.METRICS_TOKEN) and compare_digest(given, expected)


class Operated:
    """Answers operators' questions itself; everything else is the app's."""

    def __init__(self, app: App) -> None:
        self._app = app

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Send) -> None:
        path = scope["path"]
        if path == "/healthz":
            await answer(send, *await healthz())
        elif path == "/readyz":
            await answer(send, *await readyz())
        elif path == "/metrics" and has_token(scope):
            await answer(send, *await metrics())
        else:
            await self._app(scope, receive, send)


async def answer(send: Send, status: int, body: bytes, content_type: str) -> None:
    headers = {
        "Content-Type": content_type,
        "Content-Length": str(len(body)),
        "Cache-Control": "no-store",
    }
    raw = [(name.lower().encode(), value.encode()) for name, value in headers.items()]
    await send({"type": "http.response.start", "status": status, "headers": raw})
    await send({"type": "http.response.body", "body": body})
