"""The one message a waiting page hears: its interaction has settled."""

from typing import Any

from channels.db import database_sync_to_async
from channels.generic.websocket import AsyncWebsocketConsumer

from collection import conversations, generation
from collection.models import Interaction
from surveys.visitor import find, read_cookie


class SettledConsumer(AsyncWebsocketConsumer):  # type: ignore[misc]
    """Opened by the waiting page of one conversation; closes itself once it has spoken."""

    group = ""

    async def connect(self) -> None:
        interaction = await database_sync_to_async(self.waiting_for)()
        if interaction is None:
            await self.close()
            return
        self.group = generation.group_name(interaction.pk)
        await self.channel_layer.group_add(self.group, self.channel_name)
        await self.accept()
        # It may have settled between the page and this socket: look once more, now that we listen.
        if not await database_sync_to_async(is_pending)(interaction.pk):
            await self.settled({})

    def waiting_for(self) -> Interaction | None:
        route = self.scope["url_route"]["kwargs"]
        participant = find(route["slug"], read_cookie(route["slug"], self.scope["cookies"]))
        if participant is None:
            return None
        conversation = participant.conversations.filter(number=route["number"]).first()
        return conversations.latest(conversation) if conversation else None

    async def settled(self, _event: dict[str, Any]) -> None:
        await self.send(text_data="settled")
        await self.close()

    async def disconnect(self, _code: int) -> None:
        if self.group:
            await self.channel_layer.group_discard(self.group, self.channel_name)


def is_pending(interaction_id: int) -> bool:
    return Interaction.objects.filter(pk=interaction_id, state=Interaction.State.PENDING).exists()
