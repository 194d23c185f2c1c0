"""Where participants stand, for many rows at once; `config.journey` says it for one person."""

from typing import Any

from django.db.models import Case, CharField, QuerySet, TextChoices, Value, When
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from collection.conversations import usual_number
from collection.models import Conversation
from surveys.answers import standing_of_prefetched
from surveys.counting import how_many
from surveys.models import Participant


class Stage(TextChoices):
    """The order in which people pass them, then the ways out."""

    WELCOME = "welcome", gettext_lazy("Welcome and consent")
    SURVEY = "survey", gettext_lazy("Survey")
    INSTRUCTIONS = "instructions", gettext_lazy("Instructions")
    CONVERSATIONS = "conversations", gettext_lazy("Conversations")
    DONE = "done", gettext_lazy("Done")
    SCREENED = "screened", gettext_lazy("Screened out")
    STOPPED = "stopped", gettext_lazy("Stopped")
    WITHDRAWN = "withdrawn", gettext_lazy("Withdrawn")


STAGE = Case(
    When(withdrawn_at__isnull=False, then=Value(Stage.WITHDRAWN.value)),
    When(stopped_at__isnull=False, then=Value(Stage.STOPPED.value)),
    When(screened_at__isnull=False, then=Value(Stage.SCREENED.value)),
    When(consent__isnull=True, then=Value(Stage.WELCOME.value)),
    When(survey_finished_at__isnull=True, then=Value(Stage.SURVEY.value)),
    When(completed_at__isnull=False, then=Value(Stage.DONE.value)),
    When(instructed_at__isnull=True, then=Value(Stage.INSTRUCTIONS.value)),
    default=Value(Stage.CONVERSATIONS.value),
    output_field=CharField(),
)


def with_stage(participants: QuerySet[Participant]) -> QuerySet[Participant]:
    """Adds `stage` and `conversations_done`, and what `in_words` reads, in a few queries.

    Study and instrument are prefetched, not joined: all rows then share one parsed instrument.
    """
    complete = Conversation.objects.filter(state=Conversation.State.COMPLETE)
    return participants.annotate(
        stage=STAGE, conversations_done=how_many(complete, "participant")
    ).prefetch_related("study", "instrument", "version", "responses", "pages", "assignments")


def in_words(participant: Any) -> str:
    """The stage of a row of `with_stage`, and how far through it the person is."""
    stage = Stage(participant.stage)
    if stage == Stage.SURVEY:
        page, pages = survey_page(participant)
        return _("Survey, page %(page)d of %(pages)d") % {"page": page, "pages": pages}
    if stage == Stage.CONVERSATIONS:
        counts = {"done": participant.conversations_done, "total": usual_number(participant)}
        return _("Conversations, %(done)d of %(total)d done") % counts
    return str(stage.label)


def survey_page(participant: Participant) -> tuple[int, int]:
    """(number of the page to be answered next, number of pages), as the person sees them."""
    state = standing_of_prefetched(participant)
    pages, sent = state.sheet.expected(), state.sent
    done = next((i for i, page in enumerate(pages) if page.code not in sent), len(pages))
    return done + 1, len(pages)
