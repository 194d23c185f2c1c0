"""The one message a waiting page hears: its turn has settled."""

from typing import Any

from channels.db import database_sync_to_async
from channels.generic.websocket import AsyncWebsocketConsumer

from collection import generation, metrics
from collection.models import Interaction
from surveys.visitor import read_cookie


class SettledConsumer(AsyncWebsocketConsumer):  # type: ignore[misc]
    """Opened by the waiting page of one conversation; closes itself once it has spoken."""

    group = ""
    is_counted = False

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:  # also after an error, when nobody calls `disconnect`
            if self.is_counted:
                metrics.socket_closed()

    async def connect(self) -> None:
        route = self.scope["url_route"]["kwargs"]
        visit = read_cookie(route["slug"], self.scope["cookies"])
        if visit is None:
            await self.close()
            return
        # First listen, then look: it may settle between the two.
        self.group = generation.group_name(visit.key, route["number"])
        await self.channel_layer.group_add(self.group, self.channel_name)
        state = await database_sync_to_async(latest_state)(
            visit.key, route["slug"], route["number"]
        )
        if state is None:
            await self.close()
            return
        await self.accept()
        metrics.socket_opened()
        self.is_counted = True
        if state != Interaction.State.PENDING:
            await self.settled({})

    async def settled(self, _event: dict[str, Any]) -> None:
        await self.send(text_data="settled")
        await self.close()

    async def disconnect(self, _code: int) -> None:
        if self.group:
            await self.channel_layer.group_discard(self.group, self.channel_name)


def latest_state(key: str, slug: str, number: int) -> str | None:
    """Of the latest turn of a person's conversation; None for strangers."""
    turns = Interaction.objects.filter(
        conversation__participant__key=key,
        conversation__participant__study__slug=slug,
        conversation__number=number,
    )
    return turns.order_by("-turn").values_list("state", flat=True).first()
