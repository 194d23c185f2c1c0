"""The one message a waiting page hears: its turn has settled."""

import asyncio
from typing import Any

from channels.db import database_sync_to_async

from collection import conversations, generation, hearing, metrics
from collection.models import Interaction
from surveys.visitor import read_cookie


async def settled_socket(scope: dict[str, Any], receive: Any, send: Any) -> None:
    """Opened by the waiting page of one conversation; closes once it has spoken.

    An ASGI application of its own: a consumer of channels would watch a channel for each socket.
    """
    await receive()  # "websocket.connect"
    route = scope["url_route"]["kwargs"]
    visit = read_cookie(route["slug"], scope["cookies"])
    if visit is None:
        await send({"type": "websocket.close"})
        return
    where = visit.key, route["slug"], route["number"]
    # First listen, then look: it may settle between the two.
    with hearing.heard(generation.page_name(visit.key, route["number"])) as settled:
        state = await database_sync_to_async(conversations.latest_state)(*where)
        if state is None:
            await send({"type": "websocket.close"})
            return
        if state != Interaction.State.PENDING:
            settled.set()
        await send({"type": "websocket.accept"})
        metrics.socket_opened()
        try:
            await speak(settled, receive, send)
        finally:
            metrics.socket_closed()


async def speak(settled: asyncio.Event, receive: Any, send: Any) -> None:
    """Say that it has settled, unless the page goes first."""
    waiting = asyncio.create_task(settled.wait())
    going = asyncio.create_task(until_gone(receive))
    try:
        await asyncio.wait({waiting, going}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        waiting.cancel()
        going.cancel()
    if settled.is_set():
        await send({"type": "websocket.send", "text": "settled"})
        await send({"type": "websocket.close"})


async def until_gone(receive: Any) -> None:
    while (await receive())["type"] != "websocket.disconnect":
        pass
