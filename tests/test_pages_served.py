"""Requests to the page handler itself: who gets a thread, and for how long."""

import asyncio
import threading
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from asgiref.testing import ApplicationCommunicator
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.urls import path

from config.serving import PageHandler
from config.urls import urlpatterns as pages

ended: list[str] = []


async def for_ever() -> Any:
    try:
        while True:
            yield b"piece"
            await asyncio.sleep(0.01)
    finally:
        ended.append("stream")


def stream(_request: HttpRequest) -> StreamingHttpResponse:
    return StreamingHttpResponse(for_ever())


released = threading.Event()


def slow(_request: HttpRequest) -> HttpResponse:
    released.wait(timeout=10)
    return HttpResponse()


def quick(_request: HttpRequest) -> HttpResponse:
    return HttpResponse()


urlpatterns = [
    path("stream/", stream),
    path("slow/", slow),
    path("s/quick/", quick),
    *pages,
]


def scope(path: str, method: str = "GET") -> dict[str, Any]:
    return {
        "type": "http",
        "method": method,
        "path": path,
        "query_string": b"",
        "headers": [(b"host", b"testserver")],
    }


class Browser:
    """One request to a handler."""

    def __init__(self, handler: PageHandler, path: str, method: str = "GET") -> None:
        self._app: Any = ApplicationCommunicator(handler, scope(path, method))  # type: ignore[no-untyped-call]

    async def send(self, *, is_all: bool = True) -> None:
        await self._app.send_input({"type": "http.request", "body": b"", "more_body": not is_all})

    async def go_away(self) -> None:
        await self._app.send_input({"type": "http.disconnect"})

    async def status(self) -> int:
        head: dict[str, Any] = await self._app.receive_output(timeout=10)
        assert head["type"] == "http.response.start"
        return int(head["status"])

    async def end(self) -> None:
        await self._app.wait(timeout=10)


def test_it_works() -> None:
    async def visit() -> int:
        browser = Browser(PageHandler(1), "/")
        await browser.send()
        return await browser.status()

    assert async_to_sync(visit)() == 200


def test_whoever_sends_slowly_keeps_no_thread() -> None:
    async def visit() -> int:
        handler = PageHandler(1)
        slow, other = Browser(handler, "/", "POST"), Browser(handler, "/")
        await slow.send(is_all=False)
        await other.send()
        status = await other.status()
        await slow.go_away()
        await slow.end()
        return status

    assert async_to_sync(visit)() == 200


@pytest.mark.urls(__name__)
def test_a_slow_page_of_the_desk_keeps_no_participant_waiting() -> None:
    released.clear()

    async def visit() -> tuple[int, bool]:
        handler = PageHandler(1)
        desk, participant = Browser(handler, "/slow/"), Browser(handler, "/s/quick/")
        await desk.send()
        await participant.send()
        status = await participant.status()
        was_first = not released.is_set()
        released.set()
        assert await desk.status() == 200
        return status, was_first

    assert async_to_sync(visit)() == (200, True)


def test_static_files_need_no_thread() -> None:
    async def visit() -> int:
        browser = Browser(PageHandler(0), "/static/refract/refract.css")
        await browser.send()
        return await browser.status()

    assert async_to_sync(visit)() in (200, 404)


@pytest.mark.urls(__name__)
def test_a_download_keeps_no_thread_and_ends_with_its_reader() -> None:
    ended.clear()

    async def visit() -> tuple[int, int]:
        handler = PageHandler(1)
        reader, other = Browser(handler, "/stream/"), Browser(handler, "/")
        await reader.send()
        first = await reader.status()
        await other.send()
        second = await other.status()
        assert not ended
        await reader.go_away()
        await reader.end()
        return first, second

    assert async_to_sync(visit)() == (200, 200)
    assert ended == ["stream"]
