"""The rows of assignments.jsonl: how each released reply came about."""

from collections.abc import Iterator
from itertools import count
from typing import Any

from collection.export.loading import Loaded, Rows, conversations, known
from collection.export.plan import Plan
from collection.export.selection import ReleasedConversation, ReleasedUser
from collection.models import (
    Attempt,
    Conversation,
    Interaction,
    ModelCall,
    ModelEndpoint,
    Utterance,
)
from surveys.protocol import Protocol

Row = dict[str, Any]

REPLIES = Utterance.objects.select_related("call", "report").only(
    "interaction_id",
    "endpoint_id",
    "within_turn_id",
    "position",
    "self_named",
    "shown_text",
    "was_tied",
    "hidden_at",
    "report__utterance_id",
    "call__slot",
    "call__try_number",
    "call__endpoint_id",
    "call__arm",
    "call__is_replacement",
    "call__outcome",
    "call__latency_ms",
    "call__attempt_id",
)
"""Without the texts: a release reads them for other files."""
ATTEMPT = ("number", "strategy", "eligible", "drawn", "inclusion", "pairs")


def assignment_rows(plan: Plan) -> Iterator[Row]:
    """One row for each row of utterances.jsonl, in its order."""
    names = dict(ModelEndpoint.objects.values_list("pk", "long_name"))
    numbers = count()
    found = conversations(plan.selection, REPLIES, beside=hand_out_attempts)
    for user, released, conversation in found:
        for turn in conversation.interactions.all():
            about = about_turn(user, released, conversation, turn, plan.protocol_of(user))
            ids = {reply: f"ut{next(numbers)}" for reply in turn.utterances.all()}
            for reply, utterance_id in ids.items():
                values = about | about_draw(reply, names) | about_reply(reply)
                values["utterance_id"] = utterance_id
                values["pair_probabilities"] = {
                    other_id: pair_probability(reply, other)
                    for other, other_id in ids.items()
                    if other is not reply
                }
                yield plan.book.assignments.row(values, plan.order)


def hand_out_attempts(loaded: Loaded, replies: list[Utterance]) -> None:
    """One for all replies of a turn: its JSON takes longer to read than all else."""
    of_loaded = {"interaction__conversation__in": [*loaded]}
    attempts = Attempt.objects.filter(**of_loaded).only(*ATTEMPT).in_bulk()
    for attempt in attempts.values():
        attempt.replacements = Rows()  # type: ignore[attr-defined]
    calls = ModelCall.objects.filter(
        is_replacement=True, attempt__interaction__conversation__in=[*loaded]
    )
    for call in calls.only("attempt_id", "endpoint_id").order_by("pk"):
        replacements(attempts[call.attempt_id]).append(call)
    for reply in replies:
        known(reply.call, attempt=attempts[reply.call.attempt_id])


def about_turn(
    user: ReleasedUser,
    released: ReleasedConversation,
    conversation: Conversation,
    interaction: Interaction,
    protocol: Protocol,
) -> Row:
    return {
        "interaction_id": f"int{released.first_interaction + interaction.turn}",
        "conversation_id": released.id,
        "user_id": user.id,
        "turn": interaction.turn,
        "candidates": protocol.candidates if interaction.is_opening else "samples",
        "anchor": conversation.anchor or None,
        "layout": layout(interaction),
    }


def layout(interaction: Interaction) -> Row | None:
    """In the codebook's order: Postgres keeps none."""
    kept = interaction.layout
    return {key: kept[key] for key in ("columns", "width", "height")} if kept else None


def about_draw(reply: Utterance, names: dict[int, str]) -> Row:
    call, attempt = reply.call, reply.call.attempt
    return {
        "strategy": attempt.strategy,
        "attempt": attempt.number,
        # One that was never called may have been deleted since.
        "eligible": sorted(names.get(pk, f"deleted/{pk}") for pk in attempt.eligible),
        "inclusion_probability": (
            None if call.is_replacement else attempt.inclusion.get(str(call.endpoint_id))
        ),
        "is_replacement": call.is_replacement,
        "replacement_probability": replacement_probability(call) if call.is_replacement else None,
    }


def about_reply(reply: Utterance) -> Row:
    call = reply.call
    return {
        "within_turn_id": reply.within_turn_id,
        "arm": call.arm or None,
        "draw_position": call.slot,
        "screen_position": reply.position,
        "was_tied": reply.was_tied,
        "self_named": bool(reply.self_named),
        "was_masked": bool(reply.shown_text),
        "was_reported": hasattr(reply, "report"),
        "was_hidden": reply.hidden_at is not None,
        "outcome": call.outcome,
        "try_number": call.try_number,
        "latency_ms": call.latency_ms,
    }


def replacement_probability(call: ModelCall) -> float:
    """One of those left, drawn uniformly: neither drawn at first nor a replacement before it."""
    attempt = call.attempt
    before = list(dict.fromkeys(row.endpoint_id for row in replacements(attempt)))
    left = len(set(attempt.eligible) - set(attempt.drawn)) - before.index(call.endpoint_id)
    return 1 / left


def replacements(attempt: Attempt) -> list[ModelCall]:
    """In the order in which they were drawn, as `hand_out_attempts` has them."""
    found: list[ModelCall] = attempt.replacements  # type: ignore[attr-defined]
    return found


def pair_probability(one: Utterance, other: Utterance) -> float | None:
    """None where the models were not drawn as a pair: they are the same, or one stands in."""
    pair = sorted((one.endpoint_id, other.endpoint_id))
    stored = one.call.attempt.pairs
    return next((chance for *both, chance in stored if both == pair), None)
