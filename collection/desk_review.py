"""Reviewing at the desk: a study's queue, one submission with all that was found, and decisions."""

from collections.abc import Callable
from datetime import datetime
from typing import Any
from urllib.parse import urlencode

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.core.paginator import Paginator
from django.db.models import OuterRef, Prefetch, QuerySet, Subquery
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from django.utils.dateparse import parse_datetime
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from django.views.decorators.http import require_POST

from collection import checking, quality, reviewing, transcript
from collection.conversations import wanted
from collection.models import Interaction, QualityRun, Review
from collection.reviewing import Decision, Filters
from collection.submissions import submitted
from surveys import access, audit
from surveys.errors import DomainError
from surveys.models import Participant, Study
from surveys.veil import Veil

Severity = QualityRun.Severity

PER_PAGE = 50
PLACES = 6
"""Links below a signal."""
AT_ONCE = 60
"""Submissions that the button checks while one waits; more are left to the chore."""
TONES = {Severity.REJECT: "bad", Severity.RETURN: "warn", Severity.INVESTIGATE: ""}

STATE_NAMES: dict[str, Callable[[], str]] = {
    reviewing.AWAITING: lambda: _("Awaiting review"),
    reviewing.SECOND: lambda: _("Second opinion"),
    Decision.APPROVE.value: lambda: _("Approved"),
    Decision.RETURN.value: lambda: _("Asked to return"),
    Decision.REJECT.value: lambda: _("Rejected"),
    "all": lambda: _("All"),
}
STATE_TONES = {Decision.APPROVE: "good", Decision.REJECT: "bad", reviewing.SECOND: "warn"}


class ReviewPages:
    """The pages of a study's reviews; mixed into its admin."""

    admin_site: Any
    opts: Any
    media: Any

    def get_urls(self) -> list[URLPattern]:
        pages = [
            ("<int:pk>/review/", self.review_queue, ""),
            ("<int:pk>/review/approve/", require_POST(self.review_approve), "_approve"),
            ("<int:pk>/review/check/", require_POST(self.review_check), "_check"),
            ("<int:pk>/review/<int:person>/", self.review_one, "_one"),
            ("<int:pk>/review/<int:person>/decide/", require_POST(self.review_decide), "_decide"),
        ]
        own = [
            path(at, self.admin_site.admin_view(view), name=f"surveys_study_review{name}")
            for at, view, name in pages
        ]
        urls: list[URLPattern] = super().get_urls()  # type: ignore[misc]
        return [*own, *urls]

    def review_page(
        self, request: HttpRequest, name: str, context: dict[str, Any], status: int = 200
    ) -> HttpResponse:
        shared = self.admin_site.each_context(request) | {"opts": self.opts, "media": self.media}
        may = {"may_decide": access.may(request.user, "review", context["study"])}
        template = f"admin/surveys/study/{name}.html"
        return TemplateResponse(request, template, shared | may | context, status=status)

    def review_queue(self, request: HttpRequest, pk: int) -> HttpResponse:
        study = study_to(request, pk, "read")
        filters = filters_of(request)
        counts = reviewing.counts(study)
        # What a row shows is asked for once it is known which are on the page.
        keys = list(reviewing.queue(study, filters).values_list("pk", flat=True))
        shown = Paginator(keys, PER_PAGE).get_page(request.GET.get("page"))
        on_page = for_list(reviewing.with_decision(submitted(study))).in_bulk([*shown])
        context = {
            "title": _("Submissions of %s") % study,
            "study": study,
            "filters": filters,
            "query": query_of(filters),
            "tabs": tabs(filters, counts),
            "checks": [(check.name, check.title) for check in quality.CHECKS.values()],
            "page": shown,
            "rows": [row_of(on_page[key]) for key in shown if key in on_page],
            "plain": reviewing.without_signals(study, timezone.now()).count(),
            "now": timezone.now().isoformat(),
        }
        return self.review_page(request, "review_queue", context)

    def review_one(self, request: HttpRequest, pk: int, person: int) -> HttpResponse:
        study = study_to(request, pk, "read")
        context = one(request, study, person)
        audit.write(request.user, "saw", context["person"], study)
        return self.review_page(request, "review_one", context)

    def review_decide(self, request: HttpRequest, pk: int, person: int) -> HttpResponse:
        study = study_to(request, pk, "review")
        row = get_object_or_404(submitted(study), pk=person)
        decision = request.POST.get("decision", "")
        is_second = decision == reviewing.SECOND
        said = (request.POST.get("common", ""), request.POST.get("reason", ""))
        reason = "\n".join(part.strip() for part in said if part.strip())
        upcoming = next_of(study, filters_of(request), person)
        try:
            review = reviewing.decide(
                row,
                Decision.UNDECIDED if is_second else decision,
                request.user,  # type: ignore[arg-type]
                reason,
                seen=number_of(request.POST.get("seen")),
                second_opinion=is_second,
            )
        except DomainError as error:
            context = one(request, study, person) | {"error": error.message, "reason": reason}
            return self.review_page(request, "review_one", context, status=422)
        audit.write(request.user, "decided", row, study, decision=review.decision)
        messages.success(request, told(review))
        query = query_of(filters_of(request))
        if upcoming is None or "queue" in request.POST:
            return redirect(reverse("admin:surveys_study_review", args=[pk]) + query)
        return redirect(reverse("admin:surveys_study_review_one", args=[pk, upcoming]) + query)

    def review_approve(self, request: HttpRequest, pk: int) -> HttpResponse:
        study = study_to(request, pk, "review")
        until = moment(request.POST.get("until", ""))
        number = reviewing.approve_without_signals(study, request.user, until)  # type: ignore[arg-type]
        audit.write(request.user, "approved in bulk", Participant, study, number=number)
        said = ngettext("%d submission approved.", "%d submissions approved.", number)
        messages.success(request, said % number)
        return redirect("admin:surveys_study_review", pk)

    def review_check(self, request: HttpRequest, pk: int) -> HttpResponse:
        study = study_to(request, pk, "review")
        if submitted(study).count() > AT_ONCE:
            checking.ask_again(study)
            messages.info(request, _("The checks run in the background, within a few minutes."))
        else:
            number = checking.check_study(study, again=True)
            said = ngettext("%d submission checked.", "%d submissions checked.", number)
            messages.success(request, said % number)
        return redirect("admin:surveys_study_review", pk)


def study_to(request: HttpRequest, pk: int, verb: access.Verb) -> Study:
    """The study, for those who may. Every page of reviews begins with this."""
    if not access.may(request.user, verb, pk):
        raise PermissionDenied
    return get_object_or_404(Study.objects.select_related("instrument"), pk=pk)


def number_of(raw: str | None) -> int | None:
    return int(raw) if raw and raw.isascii() and raw.isdigit() else None


def moment(raw: str) -> datetime:
    """When the page with the button was made; a broken one approves nobody."""
    try:
        at = parse_datetime(raw)
    except ValueError:
        at = None
    if at is None or timezone.is_naive(at):
        raise DomainError("until", _("Please go back to the queue and press the button again."))
    return at


def filters_of(request: HttpRequest) -> Filters:
    state = request.GET.get("state", "")
    signal = request.GET.get("signal", "")
    return Filters(
        state if state in STATE_NAMES else reviewing.AWAITING,
        signal if signal in ("any", "none", *quality.CHECKS) else "",
    )


def query_of(filters: Filters, **others: Any) -> str:
    return "?" + urlencode({"state": filters.state, "signal": filters.signal, **others})


def tabs(filters: Filters, counts: dict[str, int]) -> list[dict[str, Any]]:
    return [
        {
            "name": name(),
            "number": counts[state],
            "query": query_of(Filters(state, filters.signal)),
            "is_current": state == filters.state,
        }
        for state, name in STATE_NAMES.items()
    ]


def for_list(people: QuerySet[Any]) -> QuerySet[Any]:
    """With all that a row shows, in a fixed number of queries."""
    newest = Review.objects.filter(participant=OuterRef("pk")).order_by("-pk").values("pk")[:1]
    signals = reviewing.current_signals().order_by("check_name")
    rows: QuerySet[Any] = reviewing.with_conversations(people).annotate(seen=Subquery(newest))
    found = Prefetch("quality_runs", signals, to_attr="signals")
    return rows.prefetch_related("study", "instrument", "version", found)


def row_of(person: Any) -> dict[str, Any]:
    total = wanted(person)
    return {
        "person": person,
        "seen": person.seen or 0,
        "took": transcript.span(person.consent_shown_at, person.completed_at),
        "wanted": total,
        "signals": signals_of(person.signals),
        "suggestion": reviewing.suggest(person.signals, person.conversations_done, total),
        "state": state_of(person),
    }


def state_of(person: Any) -> dict[str, str]:
    return {
        "name": STATE_NAMES[person.decision](),
        "tone": STATE_TONES.get(person.decision, ""),
        "code": person.decision,
    }


ORDER = [str(severity) for severity in TONES]


def signals_of(runs: list[QualityRun]) -> list[dict[str, Any]]:
    """The worst first; what raised nothing comes last."""
    worst = sorted(runs, key=lambda run: ORDER.index(run.severity) if run.severity else len(ORDER))
    return [
        {
            "run": run,
            "title": quality.title(run.check_name),
            "tone": TONES.get(run.severity, ""),  # type: ignore[call-overload]
            "label": run.get_severity_display(),
            "words": quality.in_words(run),
        }
        for run in worst
    ]


def one(request: HttpRequest, study: Study, key: int) -> dict[str, Any]:
    """What the page of a submission shows."""
    filters = filters_of(request)
    people = reviewing.with_decision(submitted(study))
    person: Any = get_object_or_404(for_list(people), pk=key)
    runs = list(person.quality_runs.filter(is_current=True).order_by("check_name"))
    found = signals_of(runs)
    talks = talks_of(person)
    veil = Veil(request.user, [(person.pk, study.pk)])
    for talk in talks:
        talk |= {part: veil.text(person.pk, talk[part]) for part in ("opening", "feedback")}
    for signal in found:
        found_at = links(signal["run"], person, {talk["number"]: talk["pk"] for talk in talks})
        signal["places"] = found_at[:PLACES]
        signal["more"] = len(found_at[PLACES:])
    reviews = list(person.reviews.order_by("-pk"))
    keys = list(reviewing.queue(study, filters).values_list("pk", flat=True))
    place = keys.index(key) if key in keys else None
    row = row_of(person)
    return row | {
        "title": _("Submission of participant %d") % person.pk,
        "study": study,
        "filters": filters,
        "query": query_of(filters),
        "raised": [signal for signal in found if signal["run"].severity],
        "usual": [s for s in found if not s["run"].severity and s["run"].value is not None],
        "checked": bool(runs),
        "talks": talks,
        "times": times(person),
        "reviews": reviews,
        "seen": reviews[0].pk if reviews else 0,
        "common": [s["title"] for s in found if s["run"].severity] + other_reasons(),
        "place": None if place is None else place + 1,
        "number": len(keys),
        "before": keys[place - 1] if place else None,
        "after": following(keys, place),
    }


def other_reasons() -> list[str]:
    return [
        _("The answers do not follow the instructions."),
        _("The texts do not seem to be the person's own."),
        _("A technical problem of ours."),
    ]


def following(keys: list[int], place: int | None) -> int | None:
    """Who comes next; of a submission that is no longer in the queue, its first."""
    after = 0 if place is None else place + 1
    return keys[after] if after < len(keys) else None


def next_of(study: Study, filters: Filters, key: int) -> int | None:
    """Asked before a decision, which may take the submission out of the queue."""
    keys = list(reviewing.queue(study, filters).values_list("pk", flat=True))
    return following(keys, keys.index(key) if key in keys else None)


def talks_of(person: Participant) -> list[dict[str, Any]]:
    rows = person.conversations.select_related("endpoint", "feedback").order_by("number")
    turns = Interaction.objects.filter(state=Interaction.State.RATED)
    return [
        {
            "pk": row.pk,
            "number": row.number,
            "type": row.conversation_type,
            "state": row.get_state_display(),
            "turns": len(row.rated),
            "took": transcript.span(row.started_at, row.finished_at),
            "opening": next((t.user_prompt for t in row.rated if t.is_opening), ""),
            "feedback": row.feedback.open_feedback if hasattr(row, "feedback") else "",
        }
        for row in rows.prefetch_related(
            Prefetch("interactions", turns.order_by("turn"), to_attr="rated")
        )
    ]


def links(run: QualityRun, person: Participant, talks: dict[int, int]) -> list[tuple[str, str]]:
    """(words, address) of the places that a check names."""
    found = []
    for place in run.evidence.get("places", []):
        if "question" in place:
            url = reverse("admin:surveys_participant_change", args=[person.pk])
            found.append((place["question"], f"{url}#survey"))
        elif (number := place.get("conversation")) in talks:
            url = reverse("admin:collection_conversation_change", args=[talks[number]])
            turn = place.get("turn")
            said = _("conversation %d") % number
            if turn is None:
                found.append((said, url))
            else:
                found.append((_("%(talk)s, turn %(turn)d") % {"talk": said, "turn": turn}, url))
    return found


def times(person: Participant) -> list[tuple[str, str]]:
    """(stage, how long it took)."""
    spans = [
        (_("Survey"), person.consent_shown_at, person.survey_finished_at),
        (_("Conversations"), person.survey_finished_at, person.completed_at),
        (_("In all"), person.arrived_at, person.completed_at),
    ]
    return [(name, took) for name, start, end in spans if (took := transcript.span(start, end))]


def told(review: Review) -> str:
    words = {"number": review.participant_id, "decision": review.get_decision_display()}
    if review.wants_second_opinion:
        return _("Participant %(number)d: a second opinion is asked for.") % words
    return _("Participant %(number)d: %(decision)s.") % words
