"""The rows of a release, made in batches: queries grow with batches, not with people."""

import json
from array import array
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from django.db.models import Q

from collection.export import imported, tables
from collection.export.assignment_rows import assignment_rows
from collection.export.columns import Column, Table, filled, keys
from collection.export.loading import Reply, Talk, talks
from collection.export.manifest import asked
from collection.export.metadata_rows import flag_rows, metadata_rows
from collection.export.paradata_rows import paradata_rows
from collection.export.plan import Plan
from collection.export.selection import ReleasedConversation, ReleasedUser
from collection.export.survey_rows import as_datetime, survey_rows
from collection.models import (
    SHOWN,
    Attempt,
    AttributeRating,
    Conversation,
    ModelCall,
    ModelEndpoint,
    Utterance,
)

Row = dict[str, Any]
Maker = Callable[[Plan], Iterator[Row]]


def conversation_rows(plan: Plan) -> Iterator[Row]:
    for row, _utterances in talk_rows(plan):
        yield row


def utterance_rows(plan: Plan) -> Iterator[Row]:
    for _conversation, rows in talk_rows(plan):
        yield from rows


def talk_rows(plan: Plan) -> Iterator[tuple[Row, Iterator[Row]]]:
    """The row of each conversation, and those of its replies: from one reading of the database."""
    numbers_of = plan.selection.utterance_numbers()
    for user, released, talk in talks(plan.selection, beside=hand_out_ratings):
        items = history(talk, plan.book.model_item)
        values = conversation_values(user, released, talk, items)
        replies = utterance_values(user, released, talk, items)
        utterances = numbered(plan, replies, numbers_of(released))
        yield tables.CONVERSATIONS.row(values, plan.order), utterances


def numbered(plan: Plan, replies: Iterable[Row], numbers: Iterator[int]) -> Iterator[Row]:
    for values in replies:
        values["utterance_id"] = f"ut{next(numbers)}"
        yield plan.book.utterances.row(values, plan.order)


def model_rows(plan: Plan) -> Iterator[Row]:
    """The study's endpoints, and any that left it since but are in the data or could have been.

    What PRISM's registry recorded is filled with what is known here: in_yaml is Yes, for whatever
    was drawn is registered; params_tested says whether any call brought a reply with text;
    endpoint_live and status follow from whether the endpoint may be drawn.
    """
    used = array("q", sorted(c.pk for _user, c in plan.selection.conversations()))
    appeared = set()
    seen = (
        Utterance.objects.filter(interaction__conversation__participant__study=plan.study)
        .order_by()
        .values_list("endpoint_id", "interaction__conversation_id")
        .distinct()
    )
    for endpoint_id, conversation_id in seen.iterator():
        if is_in(conversation_id, used):
            appeared.add(endpoint_id)
    eligible = (
        Attempt.objects.filter(interaction__conversation__participant__study=plan.study)
        .order_by()
        .values_list("eligible", "interaction__conversation_id")
    )
    for endpoint_ids, conversation_id in eligible.iterator():
        if is_in(conversation_id, used):
            appeared.update(endpoint_ids)
    # Calls of people in the survey file are released, also those that never brought a reply.
    appeared.update(asked(plan).values_list("endpoint_id", flat=True).distinct())
    tested = set(
        ModelCall.objects.filter(outcome__in=SHOWN)
        .order_by()
        .values_list("endpoint_id", flat=True)
        .distinct()
    )
    # Distinct, because a many-to-many filter beside another repeats rows.
    endpoints = ModelEndpoint.objects.filter(Q(studies=plan.study) | Q(pk__in=appeared)).distinct()
    for endpoint in sorted(endpoints, key=lambda e: (e.long_name.lower(), e.long_name)):
        yield tables.MODELS.row(model_values(endpoint, endpoint.pk in tested), plan.order)


def is_in(key: int, keys: "array[int]") -> bool:
    """keys: in order. A set of them takes ten times the memory."""
    place = bisect_left(keys, key)
    return place < len(keys) and keys[place] == key


OWN: dict[str, Maker] = {
    "survey": survey_rows,
    "conversations": conversation_rows,
    "utterances": utterance_rows,
    "metadata": metadata_rows,
    "models": model_rows,
    "flags": flag_rows,
    "assignments": assignment_rows,
    "paradata": paradata_rows,
}
"""How the files of a study that was run here are made."""
MAKERS: dict[str, Maker] = {name: imported.unless_kept(name, maker) for name, maker in OWN.items()}


# Conversations and utterances


def conversation_values(
    user: ReleasedUser,
    released: ReleasedConversation,
    conversation: Conversation | Talk,
    items: list[Row],
) -> Row:
    finished_at = conversation.finished_at
    assert finished_at is not None
    seconds = round(max(0.0, (finished_at - conversation.started_at).total_seconds()), 2)
    return {
        "conversation_id": released.id,
        "user_id": user.id,
        "conversation_type": conversation.conversation_type,
        "opening_prompt": items[0]["content"],
        "conversation_turns": released.turns,
        "conversation_history": items,
        tables.PERFORMANCE.key: attributes(tables.PERFORMANCE, conversation),
        tables.CHOICE.key: attributes(tables.CHOICE, conversation),
        "open_feedback": conversation.feedback.open_feedback.strip(),
        "generated_datetime": as_datetime(finished_at),
        "timing_duration_s": seconds,
        "timing_duration_mins": round(seconds / 60, 2),
        "included_in_balanced_subset": released.is_balanced,
        **released.kept,
    }


def history(conversation: Conversation | Talk, table: Table) -> list[Row]:
    """Each turn's prompt and then its replies, in draw order. table: of a reply."""
    items: list[Row] = []
    for interaction in conversation.interactions.all():
        prompt = {
            "turn": interaction.turn,
            "role": "user",
            "content": shown_text(interaction.user_prompt),
        }
        items.append(tables.USER_ITEM.row(prompt))
        replies = interaction.utterances.all()
        items += [table.row(reply_values(interaction.turn, reply)) for reply in replies]
    return items


def reply_values(turn: int, utterance: Reply | Utterance) -> Row:
    """The content is what the model said, also where the participant saw it masked."""
    return {
        "turn": turn,
        "role": "model",
        "content": shown_text(utterance.model_response),
        "model_provider": utterance.endpoint.provider_code,
        "model_name": utterance.endpoint.long_name,
        "score": utterance.score,
        "if_chosen": utterance.if_chosen,
        "within_turn_id": utterance.within_turn_id,
    }


def utterance_values(
    user: ReleasedUser,
    released: ReleasedConversation,
    conversation: Conversation | Talk,
    items: list[Row],
) -> Iterator[Row]:
    """One row for each reply in the history, its own id still empty."""
    prompt = ""
    for item in items:
        if item["role"] == "user":
            prompt = item["content"]
            continue
        yield {
            "utterance_id": "",
            "interaction_id": f"int{released.first_interaction + item['turn']}",
            "conversation_id": released.id,
            "user_id": user.id,
            "turn": item["turn"],
            "within_turn_id": item["within_turn_id"],
            "conversation_type": conversation.conversation_type,
            "user_prompt": prompt,
            "model_response": item["content"],
            "model_name": item["model_name"],
            "model_provider": item["model_provider"],
            "score": item["score"],
            "if_chosen": item["if_chosen"],
            "included_in_balanced_subset": released.is_balanced,
        }


class Rated(NamedTuple):
    """Of an AttributeRating what is released here: there are more of them than of anything."""

    conversation: int
    kind: str
    attribute: str
    value: int | None


def hand_out_ratings(loaded: Mapping[int, Talk]) -> None:
    rows = AttributeRating.objects.filter(conversation__in=[*loaded]).order_by()
    for rated in map(Rated._make, rows.values_list(*Rated._fields)):
        loaded[rated.conversation].attributes.append(rated)


def attributes(column: Column, conversation: Conversation | Talk) -> Row:
    """performance_attributes or choice_attributes: 1-100, None for N/A."""
    kind = column.key.removesuffix("_attributes")
    rated = {row.attribute: row.value for row in conversation.attributes.all() if row.kind == kind}
    return filled(column, {key: rated[key] for key in keys(column)})


def shown_text(text: str) -> str:
    """A prompt or reply as released: stripped, and `EMPTY STRING` if nothing or None is left."""
    text = text.strip()
    return tables.EMPTY_TEXT if text in ("", "None") else text


# Models


def model_values(endpoint: ModelEndpoint, is_tested: bool) -> Row:
    return {
        "long_name": endpoint.long_name,
        "short_name": endpoint.short_name,
        "longcode": endpoint.longcode,
        "model_family": endpoint.model_family,
        "model_provider": endpoint.model_provider,
        "model_provider_type": endpoint.model_provider_type,
        "model_type": endpoint.model_type,
        "default_params": as_parameters(endpoint.default_params),
        "selected_params": as_parameters(endpoint.parameters),
        "header": endpoint.header,
        "link": endpoint.link,
        "in_yaml": "Yes",
        "params_tested": "Yes" if is_tested else "No",
        "endpoint_live": "Yes" if endpoint.is_active else "No",
        "status": "Deployed Successfully" if endpoint.is_active else "Switched off",
    }


def as_parameters(parameters: dict[str, Any]) -> Row:
    """Values as text, as PRISM wrote them; only its is_* switches are numbers, 0 or 1."""
    return {
        name: int(value) if name.startswith("is_") and isinstance(value, int) else as_text(value)
        for name, value in parameters.items()
    }


def as_text(value: Any) -> str:
    if isinstance(value, list | dict):
        return json.dumps(value, ensure_ascii=False)
    return str(value)
