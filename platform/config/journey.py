"""Which page comes next, and how far along it is: the only place that knows the order of stages."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.utils.functional import SimpleLazyObject
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from django.views.decorators.http import require_safe

from collection import conversations
from collection.models import Conversation, Interaction
from surveys import answers
from surveys.instruments import minutes
from surveys.models import Participant
from surveys.visitor import VisitorRequest, has_consented, participant_view

CONVERSATION_MINUTES = 8
"""With PRISM's survey about an hour, as PRISM took (paper App. D: 55 to 65 minutes)."""


def next_url(participant: Participant) -> str:
    """Where a person is now. Every finished stage redirects here."""
    slug = participant.study.slug
    if participant.stopped_at:
        return reverse("stopped", args=[slug])
    if not has_consented(participant):
        return reverse("consent", args=[slug])
    if participant.screened_at:
        return reverse("screened", args=[slug])
    if participant.survey_finished_at is None:
        page = answers.pending_page(participant)
        assert page is not None, "a survey without pending pages is finished"
        return reverse("survey-page", args=[slug, page.code])
    if participant.completed_at:
        return reverse("done", args=[slug])
    if participant.instructed_at is None:
        return reverse("instructions", args=[slug])
    conversation = conversations.under_way(participant)
    if conversation:
        return reverse("conversation", args=[slug, conversation.number])
    return reverse("hub", args=[slug])


@require_safe
@participant_view
def next_page(request: VisitorRequest) -> HttpResponse:
    return redirect(next_url(request.participant))


@dataclass
class Progress:
    """The header's words and its line of pieces: (weight, percent done) per stage."""

    where: str
    detail: str = ""
    left: str = ""
    pieces: list[tuple[int, int]] = field(default_factory=list)


def progress(request: HttpRequest) -> dict[str, Any]:
    """Context processor: `progress` on every page of a known participant, if it shows it."""
    participant = getattr(request, "participant", None)
    if participant is None or participant.pk is None:
        return {}
    return {"progress": SimpleLazyObject(lambda: progress_of(participant))}


def progress_of(participant: Participant) -> Progress:
    total = conversations.wanted(participant)
    if participant.completed_at:
        return Progress(_("Finished"), pieces=pieces(100, total, 0, total, 100))
    if participant.stopped_at or participant.screened_at:
        return Progress(_("Stopped"))
    if not has_consented(participant):
        version = participant.terms.consent_document.get("version", "")
        return Progress(
            _("Welcome"), left=_("Version %s") % version, pieces=pieces(0, 0, 0, total, 0, 0)
        )
    if participant.survey_finished_at is None:
        return survey_progress(participant, total)
    return conversation_progress(participant, total)


def survey_progress(participant: Participant, total: int) -> Progress:
    flow = answers.pages_to_expect(participant)
    pending = answers.pending_page(participant)
    done = flow.index(pending) if pending else len(flow)
    seconds = page_seconds(participant)
    to_go = sum(seconds[page.code] for page in flow[done:])
    return Progress(
        _("Survey"),
        _("page %(page)d of %(pages)d") % {"page": done + 1, "pages": len(flow)},
        minutes_left(to_go / 60 + total * CONVERSATION_MINUTES),
        pieces(round(100 * done / len(flow)), 0, 0, total, 0),
    )


_seconds: dict[tuple[str, str], dict[str, float]] = {}
"""By instrument hash and language: counting words in every request would cost a millisecond."""


def page_seconds(participant: Participant) -> Mapping[str, float]:
    """Page code -> how long it is likely to take."""
    key = (participant.instrument.sha256, participant.language)
    if key not in _seconds:
        _seconds[key] = {p.code: minutes.whole_page_s(p) for p in participant.file.pages}
    return _seconds[key]


def conversation_progress(participant: Participant, total: int) -> Progress:
    done = min(total, conversations.done_by_type(participant).total())
    current = conversations.under_way(participant)
    percent = percent_done(current) if current else 0
    to_go = (total - done - percent / 100) * CONVERSATION_MINUTES
    line = pieces(100, done, percent, total, 0)
    if current is None:
        detail = _("%(done)d of %(total)d done") % {"done": done, "total": total}
        return Progress(_("Conversations"), detail, minutes_left(to_go), line)
    where = _("Conversation %(n)d of %(total)d") % {"n": done + 1, "total": total}
    kind = participant.file.task.type(current.conversation_type)
    detail = kind.label if kind else current.conversation_type
    if current.state == Conversation.State.FINISHED:
        detail = _("feedback")
    return Progress(where, detail, minutes_left(to_go), line)


def percent_done(conversation: Conversation) -> int:
    """How far a conversation is: it ends when the person says so, so turns count less and less."""
    if conversation.state == Conversation.State.FINISHED:
        return 85
    rated = conversation.interactions.filter(state=Interaction.State.RATED).count()
    return min(80, 10 + 30 * rated) if rated else 10


def pieces(
    survey: int, done: int, current: int, total: int, end: int, consent: int = 100
) -> list[tuple[int, int]]:
    rest = [100] * done + [current] * (done < total) + [0] * (total - done - 1)
    return [(1, consent), (4, survey), *((2, percent) for percent in rest[:total]), (1, end)]


def minutes_left(minutes: float) -> str:
    """Rounded to five minutes while there are many."""
    whole = max(1, round(minutes))
    if whole > 10:
        whole = 5 * round(whole / 5)
    return ngettext("About %d minute left", "About %d minutes left", whole) % whole
