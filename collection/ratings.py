"""Scores, the reply they choose, and the feedback at a conversation's end."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from collection import assignment, conversations
from collection.models import (
    AttributeRating,
    Conversation,
    Feedback,
    Interaction,
    ReplyReport,
    Utterance,
)
from surveys import enrolment
from surveys.errors import DomainError, FieldErrors
from surveys.instruments.schema import AttributeScale
from surveys.models import Participant
from surveys.sliders import Mark, read_mark
from surveys.texts import clean_text

LOW, HIGH = 1, 100
"""Ends of every score and attribute rating; the survey's lines run 0-100 (codebook)."""
FEEDBACK_LIMIT = 10_000


def score_name(position: int) -> str:
    return f"score_{position}"


def rate(conversation: Conversation, turn: int, data: Mapping[str, Any]) -> None:
    """Store the scores of a turn and choose the best reply; the first complete rating stands.

    The opening's choice locks its model in. Raises FieldErrors if a line was not rated.
    """
    with transaction.atomic():
        locked = conversations.lock(conversation)
        interaction = conversations.latest(locked)
        if (
            interaction is None
            or interaction.turn != turn
            or interaction.state != Interaction.State.SETTLED
        ):
            return
        replies = interaction.utterances.select_related("call").defer("call__messages")
        utterances = list(replies.order_by("within_turn_id"))
        marks = read_scores(locked, utterances, data)
        interaction.layout = read_layout(str(data.get("layout", "")))
        store_scores(locked, interaction, utterances, marks)


def read_layout(raw: str) -> dict[str, int]:
    """How the replies stood: "2,1280,800" from the page's script; anything else is nothing."""
    numbers = [part for part in raw.split(",") if part.isascii() and part.isdigit()][:3]
    if len(raw) > 20 or len(numbers) < 3:
        return {}
    return dict(zip(("columns", "width", "height"), map(int, numbers), strict=True))


def read_scores(
    conversation: Conversation, utterances: list[Utterance], data: Mapping[str, Any]
) -> list[Mark]:
    """One mark per utterance, in their order."""
    untouched = conversation.participant.protocol.untouched_counts
    marks: list[Mark] = []
    errors: dict[str, str] = {}
    for utterance in utterances:
        name = score_name(utterance.position)
        try:
            mark = read_mark(data, name, minimum=LOW, maximum=HIGH, untouched_counts=untouched)
        except DomainError as error:
            errors[name] = error.message
            continue
        if mark.is_missing:
            errors[name] = _("Please rate this")
        marks.append(mark)
    if errors:
        raise FieldErrors(errors)
    return marks


def store_scores(
    conversation: Conversation,
    interaction: Interaction,
    utterances: list[Utterance],
    marks: list[Mark],
) -> None:
    scores = [mark.value or 0 for mark in marks]
    chosen, tied = assignment.choose(scores, conversation.seed, interaction.turn)
    for index, (utterance, mark) in enumerate(zip(utterances, marks, strict=True)):
        utterance.score = scores[index]
        utterance.if_chosen = index == chosen
        utterance.was_tied = len(tied) > 1 and index in tied
        for field, value in mark.as_fields().items():
            setattr(utterance, field, value)
        utterance.save()
    interaction.state = Interaction.State.RATED
    interaction.rated_at = timezone.now()
    interaction.save(update_fields=["state", "rated_at", "layout"])
    if interaction.is_opening:
        conversation.endpoint_id = utterances[chosen].endpoint_id
        conversation.arm = utterances[chosen].call.arm
        conversation.save(update_fields=["endpoint", "arm"])


@dataclass(frozen=True)
class AttributeLine:
    """One attribute in the person's order."""

    kind: str
    code: str
    ask: str

    @property
    def name(self) -> str:
        return f"{self.kind}_{self.code}"


def scales(participant: Participant) -> dict[str, AttributeScale]:
    texts = participant.file.task
    return {
        AttributeRating.Kind.PERFORMANCE.value: texts.performance,
        AttributeRating.Kind.CHOICE.value: texts.choice,
    }


def attribute_lines(participant: Participant, kind: str) -> list[AttributeLine]:
    """The attributes of one kind as this person sees them in all conversations."""
    asks = {item.code: item.label for item in scales(participant)[kind].statements}
    codes = list(asks)
    if participant.protocol.attribute_order == "drawn":
        codes = assignment.attribute_order(codes, participant.seed, kind)
    return [AttributeLine(kind, code, asks[code]) for code in codes]


def give_feedback(conversation: Conversation, data: Mapping[str, Any]) -> None:
    """Store the attribute ratings and the open feedback, which completes the conversation.

    Raises FieldErrors and stores nothing if a line is neither rated nor N/A or the text is empty.
    """
    with transaction.atomic():
        locked = conversations.lock(conversation)
        if locked.state != Conversation.State.FINISHED:
            return
        participant = locked.participant
        rows, errors = read_attributes(locked, data)
        text = ""
        try:
            text = clean_text(str(data.get("open_feedback", "")), FEEDBACK_LIMIT)
            if not text:
                errors["open_feedback"] = _("Please write a few words about the conversation.")
        except DomainError as error:
            errors["open_feedback"] = error.message
        if errors:
            raise FieldErrors(errors)
        AttributeRating.objects.bulk_create(rows)
        Feedback.objects.create(conversation=locked, open_feedback=text)
        locked.state = Conversation.State.COMPLETE
        locked.closed_at = timezone.now()
        locked.save(update_fields=["state", "closed_at"])
        if conversations.is_enough(participant):
            enrolment.complete(participant)


def read_attributes(
    conversation: Conversation, data: Mapping[str, Any]
) -> tuple[list[AttributeRating], dict[str, str]]:
    participant = conversation.participant
    rows: list[AttributeRating] = []
    errors: dict[str, str] = {}
    for kind in scales(participant):
        for position, line in enumerate(attribute_lines(participant, kind)):
            try:
                mark = read_mark(
                    data,
                    line.name,
                    minimum=LOW,
                    maximum=HIGH,
                    na_allowed=True,
                    untouched_counts=participant.protocol.untouched_counts,
                )
            except DomainError as error:
                errors[line.name] = error.message
                continue
            if mark.is_missing:
                errors[line.name] = _("Please rate this")
            rows.append(
                AttributeRating(
                    conversation=conversation,
                    kind=kind,
                    attribute=line.code,
                    position=position,
                    value=mark.value,
                    **mark.as_fields(),
                )
            )
    return rows, errors


def report_reply(conversation: Conversation, position: int, reason: str, hide: bool) -> None:
    """Note that a reply was reported, and hide it from the person if they wish."""
    utterance = Utterance.objects.filter(
        interaction=conversations.latest(conversation), position=position
    ).first()
    if utterance is None:
        return
    ReplyReport.objects.update_or_create(
        utterance=utterance, defaults={"reason": clean_text(reason, 2000)}
    )
    if hide and utterance.hidden_at is None:
        utterance.hidden_at = timezone.now()
        utterance.save(update_fields=["hidden_at"])
