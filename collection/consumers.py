"""The one message a waiting page hears: its turn has settled."""

from typing import Any

from channels.db import database_sync_to_async
from channels.generic.websocket import AsyncWebsocketConsumer

from collection import generation, metrics
from collection.models import Interaction
from surveys.visitor import read_cookie

PENDING = Interaction.State.PENDING


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
        found = await self.look()
        if found is None:
            await self.close()
            return
        conversation_id, is_pending = found
        self.group = generation.group_name(conversation_id)
        await self.channel_layer.group_add(self.group, self.channel_name)
        await self.accept()
        metrics.socket_opened()
        self.is_counted = True
        # It may have settled between the page and this socket: look once more, now that we listen.
        if not is_pending or not (await self.look() or found)[1]:
            await self.settled({})

    async def look(self) -> tuple[int, bool] | None:
        found: tuple[int, bool] | None = await database_sync_to_async(self.latest)()
        return found

    def latest(self) -> tuple[int, bool] | None:
        """(id of the conversation, whether its latest turn is pending); None for strangers."""
        route = self.scope["url_route"]["kwargs"]
        visit = read_cookie(route["slug"], self.scope["cookies"])
        if visit is None:
            return None
        row = (
            Interaction.objects.filter(
                conversation__participant__key=visit.key,
                conversation__participant__study__slug=route["slug"],
                conversation__number=route["number"],
            )
            .order_by("-turn")
            .values_list("conversation", "state")
            .first()
        )
        return (row[0], row[1] == PENDING) if row else None

    async def settled(self, _event: dict[str, Any]) -> None:
        await self.send(text_data="settled")
        await self.close()

    async def disconnect(self, _code: int) -> None:
        if self.group:
            await self.channel_layer.group_discard(self.group, self.channel_name)
