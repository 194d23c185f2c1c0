"""Requests to the ASGI application itself: what is answered before Django."""

import asyncio
from typing import Any

from asgiref.sync import async_to_sync
from asgiref.testing import ApplicationCommunicator

from collection import hearing
from config.asgi import application


def get(path: str, **headers: str) -> tuple[int, dict[str, str], str]:
    """(status, headers, text) of a page."""
    scope = {
        "type": "http",
        "method": "GET",
        "path": path,
        "query_string": b"",
        "headers": [(name.lower().encode(), value.encode()) for name, value in headers.items()],
    }

    async def ask() -> tuple[dict[str, Any], dict[str, Any]]:
        listening = asyncio.create_task(hearing.listen_for_ever())  # as a server does
        asked = ApplicationCommunicator(application, scope)  # type: ignore[no-untyped-call]
        await asked.send_input({"type": "http.request", "body": b""})  # type: ignore[no-untyped-call]
        head = await asked.receive_output(timeout=10)  # type: ignore[no-untyped-call]
        body = await asked.receive_output(timeout=10)  # type: ignore[no-untyped-call]
        await asked.wait(timeout=10)  # type: ignore[no-untyped-call]
        listening.cancel()
        return head, body

    head, body = async_to_sync(ask)()
    answered = {name.decode(): value.decode() for name, value in head["headers"]}
    return head["status"], answered, body["body"].decode()
