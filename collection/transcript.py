"""A conversation as the desk reads it: every turn with all its calls, and the feedback."""

from dataclasses import dataclass
from datetime import datetime

from django.db.models import Prefetch
from django.utils.translation import gettext as _

from collection.models import Attempt, AttributeRating, Conversation, Interaction, ModelCall
from surveys.instruments.schema import Option


@dataclass(frozen=True)
class Turn:
    """One exchange. Of its attempts the last gave what was shown, if any did."""

    interaction: Interaction
    after: str
    """From the start of the conversation, in words."""
    attempt: Attempt | None
    earlier: list[Attempt]
    is_given: bool = False
    """The message is an opening prompt of the study's."""


@dataclass(frozen=True)
class AttributeRow:
    """One attribute of the opening's chosen reply: how it did, and how much it mattered."""

    attribute: Option
    performance: AttributeRating | None
    choice: AttributeRating | None


def turns(conversation: Conversation) -> list[Turn]:
    """All turns with their attempts, calls in draw order, replies and reports, in a few queries."""
    calls = ModelCall.objects.select_related("endpoint").prefetch_related("utterances__report")
    interactions = conversation.interactions.order_by("turn").prefetch_related(
        Prefetch("attempts__calls", calls.order_by("slot", "try_number"))
    )
    return [turn(conversation, interaction) for interaction in interactions]


def turn(conversation: Conversation, interaction: Interaction) -> Turn:
    attempts = sorted(interaction.attempts.all(), key=lambda attempt: attempt.number)
    return Turn(
        interaction,
        span(conversation.started_at, interaction.created_at),
        attempts[-1] if attempts else None,
        attempts[:-1],
        is_given=interaction.is_opening and bool(conversation.anchor),
    )


def attributes(conversation: Conversation) -> list[AttributeRow]:
    """In the instrument's order; empty before the feedback is given."""
    ratings = {(row.kind, row.attribute): row for row in conversation.attributes.all()}
    if not ratings:
        return []
    statements = conversation.participant.file.task.performance.statements
    return [
        AttributeRow(
            statement,
            ratings.get((AttributeRating.Kind.PERFORMANCE, statement.code)),
            ratings.get((AttributeRating.Kind.CHOICE, statement.code)),
        )
        for statement in statements
    ]


def span(start: datetime | None, end: datetime | None) -> str:
    """Time between two moments: 48 s, or 9 min 12 s; empty if one is not known."""
    if start is None or end is None:
        return ""
    minutes, seconds = divmod(round((end - start).total_seconds()), 60)
    if not minutes:
        return _("%d s") % seconds
    return _("%(minutes)d min %(seconds)d s") % {"minutes": minutes, "seconds": seconds}
