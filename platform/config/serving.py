"""How pages are served: each request in one of a few threads that stay, from end to end.

Django's own handler gives every request a new thread, and with it a new database connection, and
goes back and forth between thread and event loop around each middleware that is not asynchronous.
Together that was a fifth to a third of the cost of a survey page.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from asgiref.sync import SyncToAsync, ThreadSensitiveContext, sync_to_async
from django.conf import settings
from django.core.handlers.asgi import ASGIHandler
from django.http import HttpRequest, HttpResponseBase, HttpResponseNotFound
from servestatic.middleware import ServeStaticMiddleware

App = Callable[[dict[str, Any], Any, Any], Awaitable[None]]


class PageHandler(ASGIHandler):
    """All middleware and views in one thread; static files without any."""

    def load_middleware(self, is_async: bool = False) -> None:
        super().load_middleware(is_async=False)
        self.static = ServeStaticMiddleware(not_found)

    async def get_response_async(self, request: HttpRequest) -> HttpResponseBase:
        if request.path_info.startswith(f"/{settings.STATIC_URL.strip('/')}/"):
            found: HttpResponseBase = await self.static(request)
            found.headers["X-Content-Type-Options"] = "nosniff"
            return found
        return await sync_to_async(self.get_response, thread_sensitive=True)(request)


async def not_found(_request: HttpRequest) -> HttpResponseBase:
    return HttpResponseNotFound()


class FewThreads:
    """Lends each request a thread for as long as it lasts; further ones wait in line.

    A thread keeps its database connection. More threads than a few gain nothing, since Python
    runs one at a time, and on SQLite they would only wait for each other's writes.
    """

    def __init__(self, app: App, threads: int) -> None:
        self._app = app
        self._threads = threads
        self._free: asyncio.LifoQueue[ThreadSensitiveContext] | None = None

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        free = self._lent_from()
        thread = await free.get()
        # Django enters a context of its own unless there is one. asgiref keeps one thread for
        # each, until it is left; these never are.
        token = SyncToAsync.thread_sensitive_context.set(thread)
        try:
            await self._app(scope, receive, send)
        finally:
            SyncToAsync.thread_sensitive_context.reset(token)
            free.put_nowait(thread)

    def _lent_from(self) -> asyncio.LifoQueue[ThreadSensitiveContext]:
        """Made by the first request: a queue belongs to the loop that uses it."""
        if self._free is None:
            self._free = asyncio.LifoQueue()
            for _thread in range(self._threads):
                self._free.put_nowait(ThreadSensitiveContext())
        return self._free
