"""Released people with their answers, and conversations with turns and replies, in batches."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NamedTuple, TypeVar

from django.db.models import Model, Prefetch, QuerySet

from collection.export.plan import batches
from collection.export.selection import ReleasedConversation, ReleasedUser, Selection
from collection.models import Conversation, Interaction, ModelEndpoint, Utterance
from surveys.models import Participant, Response

PEOPLE_AT_ONCE = 200
# Above this, fewer queries save nothing more; each has a few thousand texts in memory.
CONVERSATIONS_AT_ONCE = 250

T = TypeVar("T")
Loaded = Mapping[int, Any]
"""A batch of conversations by their keys."""


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


class Feedback(NamedTuple):
    open_feedback: str


@dataclass(slots=True)
class Talk:
    """What most files need of a Conversation."""

    pk: int
    conversation_type: str
    started_at: datetime
    finished_at: datetime | None
    feedback: Feedback
    interactions: Rows[Turn] = field(default_factory=Rows)
    attributes: Rows[Any] = field(default_factory=Rows)


TALK = ("pk", "conversation_type", "started_at", "finished_at", "feedback__open_feedback")
REPLY = ("interaction", "endpoint", "within_turn_id", "model_response", "score", "if_chosen")
TURN = ("pk", "conversation", "turn", "user_prompt")


# People


class Answer(NamedTuple):
    """What files need of a Response. An instance of the model takes four times as long."""

    participant: int
    pk: int
    question: str
    value: Any
    touches: dict[str, Any]
    attempts: list[str]
    language: str
    category: str | None
    """What own words were coded as, where that is settled."""


ANSWER = (*Answer._fields[:-1], "typed__description__category")

Person = tuple[ReleasedUser, Participant]


def people(users: Iterable[ReleasedUser], *related: "str | Prefetch[Any]") -> Iterator[Person]:
    for batch in batches(users, PEOPLE_AT_ONCE):
        loaded = load_people([user.pk for user in batch], *related)
        for user in batch:
            yield user, loaded[user.pk]
        let_go(loaded.values())


def answering(users: Iterable[ReleasedUser], *related: str) -> Iterator[Person]:
    """With what `answers_of` gives, and the arms that they were assigned to."""
    for batch in batches(users, PEOPLE_AT_ONCE):
        loaded = load_answering([user.pk for user in batch], *related)
        for user in batch:
            yield user, loaded[user.pk]
        let_go(loaded.values())


def load_people(keys: list[int], *related: "str | Prefetch[Any]") -> dict[int, Participant]:
    found = Participant.objects.prefetch_related("instrument", "study", "came_by", *related)
    return found.in_bulk(keys)


def load_answering(keys: list[int], *related: str) -> dict[int, Participant]:
    loaded = load_people(keys, "assignments", *related)
    rows = Response.objects.filter(participant__in=keys).order_by("pk")
    answers = [Answer(*row) for row in rows.values_list(*ANSWER)]
    hand_out(loaded.values(), "responses", answers, lambda answer: answer.participant)
    return loaded


def answers_of(person: Participant) -> list[Answer]:
    found: Any = person.responses.all()
    assert isinstance(found, Rows), "not one of `answering`"
    return found


# Conversations


def talks(
    selection: Selection, *, beside: Callable[[Loaded], None]
) -> Iterator[tuple[ReleasedUser, ReleasedConversation, Talk]]:
    """Every released conversation in file order, with its rated turns and their replies.

    beside: hands out what else a batch's rows need.
    """
    endpoints = ModelEndpoint.objects.in_bulk()
    for batch in batches(selection.conversations(), CONVERSATIONS_AT_ONCE):
        keys = [released.pk for _user, released in batch]
        rows = Conversation.objects.filter(pk__in=keys).order_by()
        loaded = {
            pk: Talk(pk, kind, started_at, finished_at, Feedback(feedback))
            for pk, kind, started_at, finished_at, feedback in rows.values_list(*TALK)
        }
        hand_out_turns(loaded, endpoints)
        beside(loaded)
        yield from found(selection, batch, loaded)


def conversations(
    selection: Selection,
    replies: QuerySet[Utterance],
    *related: str,
    beside: Callable[[Loaded, list[Utterance]], None] = lambda _loaded, _replies: None,
) -> Iterator[tuple[ReleasedUser, ReleasedConversation, Conversation]]:
    """The same as instances of the models. replies: what of them.

    Rows are put together here and not by prefetch_related, which makes a manager and a query for
    each turn: half of an export's time.
    """
    endpoints = ModelEndpoint.objects.in_bulk()
    rows = Conversation.objects.prefetch_related(*related)
    for batch in batches(selection.conversations(), CONVERSATIONS_AT_ONCE):
        loaded = rows.in_bulk([released.pk for _user, released in batch])
        beside(loaded, whole(loaded, endpoints, replies))
        yield from found(selection, batch, loaded)
        for conversation in loaded.values():
            let_go(conversation.interactions.all())
        let_go(loaded.values())


def found(
    selection: Selection,
    batch: Iterable[tuple[ReleasedUser, ReleasedConversation]],
    loaded: Mapping[int, T],
) -> Iterator[tuple[ReleasedUser, ReleasedConversation, T]]:
    for user, released in batch:
        conversation = loaded[released.pk]
        if selection.providers:
            name_providers(conversation, selection.providers)
        yield user, released, conversation


def name_providers(conversation: Any, providers: Mapping[str, str]) -> None:
    """Of an import: an endpoint that was here before it may be of another provider by now."""
    for interaction in conversation.interactions.all():
        for reply in interaction.utterances.all():
            endpoint = reply.endpoint
            endpoint.provider_code = providers.get(endpoint.long_name, endpoint.provider_code)


def hand_out_turns(loaded: Mapping[int, Talk], endpoints: Mapping[int, ModelEndpoint]) -> None:
    turns = {row[0]: Turn(*row) for row in turns_of(loaded).values_list(*TURN)}
    for turn in turns.values():
        loaded[turn.conversation_id].interactions.append(turn)
    for row in replies_of(loaded, Utterance.objects.all()).values_list(*REPLY):
        reply = Reply(*row)
        reply.endpoint = endpoints[reply.endpoint]
        turns[reply.turn].utterances.append(reply)


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


def let_go(rows: Iterable[Model]) -> None:
    """Of what belongs to them, which knows them in turn: else only Python's search for garbage
    frees a batch, and at ten times PRISM's size that is thousands of people later."""
    for row in rows:
        row.__dict__.pop("_prefetched_objects_cache", None)


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
