"""The ASGI application: pages, the settled socket, and the work that starts with the server."""

import asyncio
import gc
import os
from collections.abc import Awaitable, Callable
from typing import Any

import django
from channels.routing import ProtocolTypeRouter, URLRouter
from channels.security.websocket import AllowedHostsOriginValidator
from channels.sessions import CookieMiddleware
from django.conf import settings

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
django.setup(set_prefix=False)  # before anything that imports models

from collection import generation, hearing, llm  # noqa: E402
from collection.llm.threads import Threads  # noqa: E402
from collection.routing import websocket_urlpatterns  # noqa: E402
from config import chores, urls  # noqa: E402, F401  # else the first page would wait for them
from config.health import Operated  # noqa: E402
from config.serving import PageHandler, Sockets  # noqa: E402

Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]

WARM_AFTER_S = 2.0
"""Importing litellm takes seconds; the first page goes first."""
SELDOM = (10_000, 10, 10)
"""How many new objects, and collections of the younger generations, there are before Python looks
for garbage: a page makes some ten thousand, and hardly any of them are in a cycle."""
DRAIN_S = 20.0
"""With the seconds that uvicorn waits for requests, less than the 30 that most orchestrators give.
Turns that take longer are left to another process, which calls only what has no outcome."""
END_S = 3.0
"""What watches and listens ends at once; no fault in it keeps the server."""


async def lifespan(scope: dict[str, Any], receive: Receive, send: Send) -> None:
    """Name the serving loop, take over what a dead process left, do the chores where no worker
    does, and import litellm early. At the end let turns finish.

    By then the server takes no more requests and has closed its sockets; pages have gone to
    another process, or poll until there is one.
    """
    await receive()
    loop = asyncio.get_running_loop()
    loop.set_default_executor(Threads())
    generation.serve_on(loop)
    work = [generation.work_for_ever(), hearing.listen_for_ever(), warm()]
    if not settings.FULL_STACK:
        work.append(chores.do_for_ever())
    tasks = [asyncio.create_task(task) for task in work]
    await send({"type": "lifespan.startup.complete"})
    await receive()
    await generation.drain(DRAIN_S)
    generation.serve_on(None)
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks, timeout=END_S)
    await send({"type": "lifespan.shutdown.complete"})


async def warm() -> None:
    await asyncio.sleep(WARM_AFTER_S)
    await asyncio.to_thread(llm.warm)
    leave_what_is_loaded()


def leave_what_is_loaded() -> None:
    """Modules stay until the end: no search for garbage need go through them again, which would
    keep everybody waiting for a tenth of a second each time."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(*SELDOM)


application = ProtocolTypeRouter(
    {
        "http": Operated(PageHandler(settings.REQUEST_THREADS)),
        "websocket": Sockets(
            AllowedHostsOriginValidator(CookieMiddleware(URLRouter(websocket_urlpatterns)))
        ),
        "lifespan": lifespan,
    }
)
