"""Released conversations with their turns and replies, loaded in batches."""

from collections.abc import Iterator, Mapping

from django.db.models import Prefetch, QuerySet

from collection.export.plan import batches
from collection.export.selection import ReleasedConversation, ReleasedUser, Selection
from collection.models import Conversation, Interaction, Utterance

# 22 turns of four replies each: more conversations would ask SQLite for too many variables.
CONVERSATIONS_AT_ONCE = 100


def conversations(
    selection: Selection, replies: QuerySet[Utterance], *related: str
) -> Iterator[tuple[ReleasedUser, ReleasedConversation, Conversation]]:
    """Every released conversation in file order: its rated turns, their replies, and `related`."""
    turns = (
        Interaction.objects.filter(state=Interaction.State.RATED)
        .order_by("turn")
        .prefetch_related(Prefetch("utterances", replies.order_by("within_turn_id")))
    )
    found = Conversation.objects.prefetch_related(Prefetch("interactions", turns), *related)
    for batch in batches(list(selection.conversations()), CONVERSATIONS_AT_ONCE):
        loaded = found.in_bulk([released.pk for _user, released in batch])
        for user, released in batch:
            conversation = loaded[released.pk]
            if selection.providers:
                name_providers(conversation, selection.providers)
            yield user, released, conversation


def name_providers(conversation: Conversation, providers: Mapping[str, str]) -> None:
    """Of an import: an endpoint that was here before it may be of another provider by now."""
    for interaction in conversation.interactions.all():
        for reply in interaction.utterances.all():
            endpoint = reply.endpoint
            endpoint.provider_code = providers.get(endpoint.long_name, endpoint.provider_code)
