"""The rows of calls.jsonl: every call of a model for somebody in the survey file, however it ended.

The manifest counts the same calls. What is not released elsewhere stays out: there are no messages
of a conversation or a turn that is not released, nor the text of a call or the words of an error,
which may quote what a person wrote.
"""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import chain, count
from typing import Any

from django.db.models import Prefetch

from collection.export import loading
from collection.export.loading import answering, answers_of
from collection.export.plan import Plan, batches
from collection.export.rows import as_text, history, shown_text
from collection.export.selection import ReleasedConversation, ReleasedUser
from collection.export.survey_rows import survey_row
from collection.models import Attempt, Conversation, Interaction, ModelCall, Utterance

Row = dict[str, Any]
Message = dict[str, str]

SYSTEM_STRING = "system_string"
"""The question whose answer a protocol may put into the system message."""

CALLS = (
    ModelCall.objects.exclude(outcome=ModelCall.Outcome.PENDING)
    .defer("text", "parts", "error_message")
    .order_by("slot", "try_number")
    .prefetch_related("endpoint")
)
REPLIES = (
    Utterance.objects.only(
        *("interaction", "call", "endpoint", "within_turn_id", "model_response"),
        *("score", "if_chosen"),
    )
    .order_by("within_turn_id")
    .prefetch_related("endpoint")
)
ATTEMPTS = Attempt.objects.only("interaction", "number").order_by("number")
TURNS = Interaction.objects.order_by("turn").prefetch_related(
    Prefetch("attempts", ATTEMPTS.prefetch_related(Prefetch("calls", CALLS))),
    Prefetch("utterances", REPLIES),
)


@dataclass
class Turn:
    """One turn as it is released; without ids and texts if it is not."""

    about: Row
    is_released: bool = False
    utterances: dict[int, list[str]] = field(default_factory=lambda: defaultdict(list))
    """Database id of a call -> the released ids of what it brought."""


def call_rows(plan: Plan) -> Iterator[Row]:
    """By person, conversation, turn, attempt, place in the draw and try; released ones first."""
    numbers, numbers_of = count(), plan.selection.utterance_numbers()
    withheld = withheld_statements(plan)
    for user, released, conversation in all_conversations(plan):
        hidden = [*hidden_texts(plan, conversation, released), *withheld.get(user.pk, ())]
        utterances = numbers_of(released) if released else iter(())
        for interaction in conversation.interactions.all():
            turn = about_turn(user, released, conversation, interaction, utterances)
            for attempt in interaction.attempts.all():
                for call in attempt.calls.all():
                    if call.pk not in user.calls:
                        if plan.selection.keeps_ids:
                            continue  # came after the edition
                        user.calls[call.pk] = next(numbers)
                    values = turn.about | about_call(call, attempt, turn, hidden)
                    values["call_id"] = f"call{user.calls[call.pk]}"
                    yield plan.book.calls.row(values, plan.order)


def all_conversations(
    plan: Plan,
) -> Iterator[tuple[ReleasedUser, ReleasedConversation | None, Conversation]]:
    """Of everybody in the survey file; of each person the released ones first, in file order."""
    found = Conversation.objects.prefetch_related(Prefetch("interactions", TURNS))
    for batch in batches(listed(plan), loading.CONVERSATIONS_AT_ONCE):
        loaded = found.in_bulk([pk for _user, _released, pk in batch])
        for user, released, pk in batch:
            yield user, released, loaded[pk]


def listed(plan: Plan) -> list[tuple[ReleasedUser, ReleasedConversation | None, int]]:
    rows = Conversation.objects.filter(participant__study=plan.study).order_by("number")
    others: dict[int, list[int]] = defaultdict(list)
    known = {released.pk for _user, released in plan.selection.conversations()}
    for pk, participant in rows.values_list("pk", "participant"):
        if pk not in known:
            others[participant].append(pk)
    return list(
        chain.from_iterable(
            [
                *((user, released, released.pk) for released in user.conversations),
                *((user, None, pk) for pk in others[user.pk]),
            ]
            for user in plan.selection.users
        )
    )


def about_turn(
    user: ReleasedUser,
    released: ReleasedConversation | None,
    conversation: Conversation,
    interaction: Interaction,
    numbers: Iterator[int],
) -> Turn:
    """numbers: of the next utterances."""
    about = {
        "user_id": user.id,
        "conversation_id": released.id if released else None,
        "interaction_id": None,
        "conversation_type": conversation.conversation_type,
        "turn": interaction.turn,
    }
    if released is None or interaction.state != Interaction.State.RATED:
        return Turn(about)
    about["interaction_id"] = f"int{released.first_interaction + interaction.turn}"
    turn = Turn(about, is_released=True)
    for reply in interaction.utterances.all():
        turn.utterances[reply.call_id].append(f"ut{next(numbers)}")
    return turn


def about_call(call: ModelCall, attempt: Attempt, turn: Turn, hidden: list[tuple[str, str]]) -> Row:
    utterances = turn.utterances.get(call.pk, [])
    return {
        "attempt": attempt.number,
        "draw_position": call.slot,
        "try_number": call.try_number,
        "model_name": call.endpoint.long_name,
        "model_provider": call.endpoint.provider_code,
        "arm": call.arm or None,
        "is_replacement": call.is_replacement,
        "outcome": call.outcome,
        "error_class": call.error_class or None,
        "finish_reason": call.finish_reason or None,
        "latency_ms": call.latency_ms,
        "queued_ms": call.queued_ms,
        "prompt_tokens": call.prompt_tokens,
        "completion_tokens": call.completion_tokens,
        "cost_usd": None if call.cost_usd is None else float(call.cost_usd),
        "was_repaired": call.was_repaired,
        "parameters": [
            {"name": name, "value": as_text(value)}
            for name, value in sorted(call.parameters.items())
        ],
        "messages": as_released(call.messages, hidden) if turn.is_released else None,
        "is_released": bool(utterances),
        "utterance_ids": utterances,
    }


# What was sent, without what the rest of the release does not show


def as_released(messages: list[Message], hidden: list[tuple[str, str]]) -> list[Message]:
    """hidden: (text as stored, text as released) of whatever is not released as it was sent."""
    found = []
    for message in messages:
        content = message["content"]
        for stored, released in hidden:
            content = content.replace(stored, released)
        found.append({"role": message["role"], "content": content})
    return found


def hidden_texts(
    plan: Plan, conversation: Conversation, released: ReleasedConversation | None
) -> Iterator[tuple[str, str]]:
    """Prompts and replies that conversations.jsonl shows as something else.

    Longest first: one may be part of another.
    """
    if released is None:
        return iter(())
    items = iter(history(conversation, plan.book.model_item))
    stored: list[str] = []
    for interaction in conversation.interactions.all():
        stored.append(interaction.user_prompt)
        stored += [reply.model_response for reply in interaction.utterances.all()]
    pairs = {
        text.strip(): item["content"]
        for text, item in zip(stored, items, strict=True)
        if shown_text(text) != item["content"]
    }
    return iter(sorted(pairs.items(), key=lambda pair: -len(pair[0])))


def withheld_statements(plan: Plan) -> dict[int, list[tuple[str, str]]]:
    """Participant -> what they typed that a system message quotes, where the survey hides it."""
    prompts = [text for p in plan.book.protocols for text in p.system_prompts.values()]
    if not any(f"{{{SYSTEM_STRING}}}" in text for text in prompts):
        return {}
    found = {}
    for user, person in answering(plan.selection.users, "orders"):
        row = survey_row(plan, user, person)
        for response in answers_of(person):
            stored = response.value.get("text") if response.question == SYSTEM_STRING else None
            if stored and stored.strip() != (shown := row.get(SYSTEM_STRING) or ""):
                found[user.pk] = [(stored.strip(), shown)]
    return found
