"""How pages are served: each request in one of a few threads that stay, from end to end.

Django's own handler gives every request a new thread, and with it a new database connection, and
goes back and forth between thread and event loop: around each middleware that is not asynchronous,
for signals, and to close the response. Together that was a third of the cost of a survey page.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import IO, Any

from asgiref.sync import SyncToAsync, ThreadSensitiveContext, sync_to_async
from django.conf import settings
from django.core.exceptions import RequestAborted
from django.core.handlers.asgi import ASGIHandler, get_script_prefix
from django.core.signals import request_started
from django.db import close_old_connections
from django.http import HttpRequest, HttpResponseBase, HttpResponseNotFound
from django.urls import set_script_prefix
from servestatic.middleware import ServeStaticMiddleware

from config import connecting

log = logging.getLogger("refract.sockets")

GOING_AWAY = 1012
"""The server restarts, says the code: pages open another socket."""

PARTICIPANTS = "/s/"
"""Where their pages are."""

Scope = dict[str, Any]
App = Callable[[Scope, Any, Any], Awaitable[None]]


class PageHandler(ASGIHandler):
    """All middleware and the view in one thread, which is lent for just that long: whoever sends
    or reads slowly keeps none from others. Participants have threads of their own, so that no slow
    page of the desk keeps them waiting. Static files need none at all."""

    def __init__(self, threads: int) -> None:
        super().__init__()
        self._participants, self._others = FewThreads(threads), FewThreads(threads)
        self._answer = sync_to_async(self.answer, thread_sensitive=True)
        self._static = ServeStaticMiddleware(not_found)

    def load_middleware(self, is_async: bool = False) -> None:
        super().load_middleware(is_async=False)

    async def __call__(self, scope: Scope, receive: Any, send: Any) -> None:
        try:
            body = await self.read_body(receive)
        except RequestAborted:
            return
        with body:
            if scope["path"].startswith(f"/{settings.STATIC_URL.strip('/')}/"):
                response = await self.static_file(scope, body)
            else:
                is_participant = scope["path"].startswith(PARTICIPANTS)
                threads = self._participants if is_participant else self._others
                async with threads.one():
                    response = await self._answer(scope, body)
            if response.streaming:
                await self.stream(response, receive, send)
            else:
                await self.send_response(response, send)

    async def static_file(self, scope: Scope, body: IO[bytes]) -> HttpResponseBase:
        request, refusal = self.create_request(scope, body)
        if refusal is not None:
            return refusal
        found: HttpResponseBase = await self._static(request)
        found.headers["X-Content-Type-Options"] = "nosniff"
        return found

    def answer(self, scope: Scope, body: IO[bytes]) -> HttpResponseBase:
        """The response, with nothing left to do but to send it. To be called in a thread."""
        set_script_prefix(get_script_prefix(scope))
        request_started.send(sender=self.__class__, scope=scope)
        connecting.look_at_each()
        request, refusal = self.create_request(scope, body)
        response: HttpResponseBase
        response = refusal if request is None else self.get_response(request)  # type: ignore[assignment]
        response._handler_class = self.__class__  # type: ignore[attr-defined]
        if response.streaming:
            close_old_connections()
        else:
            response.close()
        return response

    async def stream(self, response: HttpResponseBase, receive: Any, send: Any) -> None:
        """Send piece by piece, until nobody reads any more."""
        sending = asyncio.create_task(self.send_response(response, send))
        gone = asyncio.create_task(receive())
        try:
            await asyncio.wait([sending, gone], return_when=asyncio.FIRST_COMPLETED)
            if not sending.done():
                sending.cancel()
            with suppress(asyncio.CancelledError):
                await sending
        finally:
            gone.cancel()
            response.close()


async def not_found(_request: HttpRequest) -> HttpResponseBase:
    return HttpResponseNotFound()


class FewThreads:
    """Lends threads; who finds none free waits in line.

    A thread keeps its database connection. More threads than a few gain nothing, since Python
    runs one at a time, and on SQLite they would only wait for each other's writes.
    """

    def __init__(self, threads: int) -> None:
        self._threads = threads
        self._free: asyncio.LifoQueue[ThreadSensitiveContext] | None = None

    @asynccontextmanager
    async def one(self) -> AsyncIterator[None]:
        """What is called thread-sensitively in this context has a thread for itself."""
        free = self._lent_from()
        thread = await free.get()
        # asgiref keeps one thread for each of its contexts, until it is left; these never are.
        token = SyncToAsync.thread_sensitive_context.set(thread)
        try:
            yield
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


class Sockets:
    """Lets a consumer end in order, however its socket does.

    Once it is closed, what the consumer still sends is dropped: uvicorn would log an error. The
    consumer learns of the end as always, by receiving "websocket.disconnect".
    """

    def __init__(self, app: App) -> None:
        self._app = app

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        is_open = True

        async def send_while_open(message: dict[str, Any]) -> None:
            nonlocal is_open
            if not is_open:
                return
            is_open = message["type"] != "websocket.close"
            try:
                await send(message)
            except OSError:  # it has gone, says the ASGI specification
                is_open = False

        async def hear() -> dict[str, Any]:
            nonlocal is_open
            message: dict[str, Any] = await receive()
            if message["type"] == "websocket.disconnect":
                is_open = False
            return message

        try:
            await self._app(scope, hear, send_while_open)
        except Exception:
            # Redis is away, for instance. The page polls until it gets another socket.
            log.warning("a socket is closed after an error", exc_info=True)
            await send_while_open({"type": "websocket.close", "code": GOING_AWAY})
