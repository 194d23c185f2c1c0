"""Released conversations with their turns and replies, loaded in batches."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from django.db.models import Model, QuerySet

from collection.export.plan import batches
from collection.export.selection import ReleasedConversation, ReleasedUser, Selection
from collection.models import Conversation, Interaction, ModelEndpoint, Utterance

# Above this, fewer queries save nothing more; each has a few thousand texts in memory.
CONVERSATIONS_AT_ONCE = 250

T = TypeVar("T")
Loaded = dict[int, Conversation]
"""A batch by its keys."""


class Rows(list[T]):
    """Rows that were put together here, asked for like those of a related manager."""

    def all(self) -> "Rows[T]":
        return self


@dataclass(slots=True)
class Reply:
    """What most files need of an Utterance. An instance of the model takes five times as long."""

    turn: int
    """Key of its interaction."""
    endpoint: Any
    within_turn_id: int
    model_response: str
    score: int
    if_chosen: bool


@dataclass(slots=True)
class Turn:
    """What most files need of an Interaction."""

    pk: int
    conversation_id: int
    turn: int
    user_prompt: str
    utterances: Rows[Any] = field(default_factory=Rows)


REPLY = ("interaction", "endpoint", "within_turn_id", "model_response", "score", "if_chosen")
TURN = ("pk", "conversation", "turn", "user_prompt")


def conversations(
    selection: Selection,
    replies: QuerySet[Utterance] | None = None,
    *related: str,
    beside: Callable[[Loaded, list[Any]], None] = lambda _loaded, _replies: None,
) -> Iterator[tuple[ReleasedUser, ReleasedConversation, Conversation]]:
    """Every released conversation in file order: its rated turns, their replies, and `related`.

    Turns and replies are `Turn` and `Reply`, or of the models if `replies` says what of them.
    beside: hands out what else a batch's rows need. Rows are put together here and not by
    prefetch_related, which makes a manager and a query for each turn: half of an export's time.
    """
    endpoints = ModelEndpoint.objects.in_bulk()
    found = Conversation.objects.prefetch_related(*related)
    for batch in batches(list(selection.conversations()), CONVERSATIONS_AT_ONCE):
        loaded = found.in_bulk([released.pk for _user, released in batch])
        if replies is None:
            said: list[Any] = slim(loaded, endpoints)
        else:
            said = whole(loaded, endpoints, replies)
        beside(loaded, said)
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


def slim(loaded: Loaded, endpoints: Mapping[int, ModelEndpoint]) -> list[Reply]:
    turns = {row[0]: Turn(*row) for row in turns_of(loaded).values_list(*TURN)}
    hand_out(loaded.values(), "interactions", turns.values(), lambda turn: turn.conversation_id)
    said = [Reply(*row) for row in replies_of(loaded, Utterance.objects.all()).values_list(*REPLY)]
    for reply in said:
        reply.endpoint = endpoints[reply.endpoint]
        turns[reply.turn].utterances.append(reply)
    return said


def whole(
    loaded: Loaded, endpoints: Mapping[int, ModelEndpoint], replies: QuerySet[Utterance]
) -> list[Utterance]:
    turns = {turn.pk: turn for turn in turns_of(loaded)}
    for turn in turns.values():
        known(turn, conversation=loaded[turn.conversation_id])
    hand_out(loaded.values(), "interactions", turns.values(), lambda turn: turn.conversation_id)
    said = list(replies_of(loaded, replies))
    for reply in said:
        endpoint = endpoints[reply.endpoint_id]
        known(reply, endpoint=endpoint, interaction=turns[reply.interaction_id])
    hand_out(turns.values(), "utterances", said, lambda reply: reply.interaction_id)
    return said


def turns_of(loaded: Loaded) -> QuerySet[Interaction]:
    rated = Interaction.objects.filter(conversation__in=[*loaded], state=Interaction.State.RATED)
    return rated.order_by("turn")


def replies_of(loaded: Loaded, replies: QuerySet[Utterance]) -> QuerySet[Utterance]:
    return replies.filter(
        interaction__conversation__in=[*loaded], interaction__state=Interaction.State.RATED
    ).order_by("within_turn_id")


def known(row: Model, **related: Model) -> None:
    """Related rows that need not be asked for."""
    row._state.fields_cache.update(related)


def hand_out(
    parents: Iterable[Model], name: str, children: Iterable[T], parent_of: Callable[[T], int]
) -> None:
    """Give each row what belongs to it, in its order: what `row.name.all()` then has."""
    by_parent: dict[int, Rows[T]] = defaultdict(Rows)
    for child in children:
        by_parent[parent_of(child)].append(child)
    for parent in parents:
        cache = parent.__dict__.setdefault("_prefetched_objects_cache", {})
        cache[name] = by_parent[parent.pk]
