"""The doors of the first stages: arriving, consent, the survey, leaving."""

from collections.abc import Mapping

from django.http import HttpRequest, HttpResponse, QueryDict
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from surveys import (
    answers,
    drafts,
    enrolment,
    page_scripts,
    pages,
    paradata,
    quotas,
    submissions,
)
from surveys.answers import draft_page as draft_of
from surveys.errors import DomainError
from surveys.instruments.schema import Page
from surveys.languages import PARAMETERS as LANGUAGE_PARAMETERS
from surveys.models import Outcome, Participant, ProblemReport, WithdrawalReceipt
from surveys.texts import clean_text
from surveys.visitor import (
    STUDIES,
    VisitorRequest,
    find,
    forget,
    has_consented,
    meet,
    participant_view,
    read_cookie,
    remember,
    set_to,
    speak,
    speak_to,
    to_front_door,
)

ScreenReason = Participant.ScreenReason


@require_safe
def home(request: HttpRequest) -> HttpResponse:
    return render(request, "surveys/home.html")


@never_cache
@require_safe
def arrive(request: HttpRequest, slug: str) -> HttpResponse:
    """The study's link. Ids leave the address bar at once."""
    study = get_object_or_404(STUDIES, slug=slug)
    visit = read_cookie(slug, request.COOKIES)
    known = find(slug, visit)
    speak_to(request, study, known)  # a refusal too
    # The language is the person's own affair, and no part of where they came from.
    given = request.GET.dict().items()
    parameters = {name: value for name, value in given if name not in LANGUAGE_PARAMETERS}
    participant = enrolment.arrive(study, parameters, known)
    meet(request, participant)
    # Whoever is new has read nothing yet: going straight there saves a request.
    is_new = not (participant.consent_shown_at or participant.stopped_at)
    response = redirect("consent" if is_new else "next", slug)
    is_same = known is not None and known.pk == participant.pk
    remember(response, participant, is_trusted=is_same and visit is not None and visit.is_trusted)
    return response


@never_cache
@require_safe
def personal_link(request: HttpRequest, slug: str, key: str) -> HttpResponse:
    participant = get_object_or_404(
        Participant, study__slug=slug, study__is_imported=False, key=key
    )
    meet(request, participant)
    response = redirect("next", slug)
    remember(response, participant, is_trusted=True)
    return response


@require_http_methods(["GET", "POST"])
@participant_view
def consent(request: VisitorRequest) -> HttpResponse:
    participant = request.participant
    if has_consented(participant) or participant.withdrawn_at:
        return redirect("next", participant.study.slug)
    errors = {}
    if request.method == "POST":
        errors = {
            name: _("Please tick this box if you would like to take part.")
            for name in ("consent_age", "consent")
            if name not in request.POST
        }
        if not errors:
            enrolment.consent(participant)
            response = after_page(participant)
            remember(response, participant, is_trusted=True)
            return response
    enrolment.show_consent(participant)
    context: dict[str, object] = {
        "consent": enrolment.consent_of(participant),
        "script_host": page_scripts.announced(participant),
        "errors": errors,
    }
    context |= study_context(participant)
    return render(request, "surveys/consent.html", context, status=422 if errors else 200)


def decline_known(request: VisitorRequest) -> HttpResponse:
    participant = request.participant
    if has_consented(participant) or participant.withdrawn_at:
        return redirect("next", participant.study.slug)
    if request.method == "GET":
        return render(request, "surveys/decline.html", study_context(participant))
    came_by = participant.came_by
    enrolment.decline(participant)
    response = redirect("declined", participant.study.slug)
    if came_by:
        response["Location"] += f"?{submissions.VIA}={came_by.token}"
    forget(response, participant.study)
    return response


def declined_before(request: HttpRequest, slug: str) -> HttpResponse:
    """A second click finds nobody: the front door would take them in afresh."""
    return redirect("declined", slug) if request.method == "POST" else to_front_door(request, slug)


# It looks for the person once: between two looks a first click may have them forgotten.
decline = require_http_methods(["GET", "POST"])(participant_view(decline_known, declined_before))


@require_safe
def declined(request: HttpRequest, slug: str) -> HttpResponse:
    study = get_object_or_404(STUDIES, slug=slug)
    speak(request, study)
    came_by = study.recruitments.filter(token=request.GET.get(submissions.VIA, "")).first()
    ending = came_by and submissions.ending_of(came_by, Outcome.NO_CONSENT)
    return render(request, "surveys/declined.html", {"study": study, "ending": ending})


@require_safe
def information(request: HttpRequest, slug: str) -> HttpResponse:
    """The information page again, to read only."""
    study = get_object_or_404(STUDIES, slug=slug)
    participant = find(slug, read_cookie(slug, request.COOKIES))
    consent = enrolment.filled_consent(study, speak_to(request, study, participant))
    context = {"study": study, "consent": consent, "read_only": True}
    if participant:
        context["script_host"] = page_scripts.announced(participant)
    return render(request, "surveys/consent.html", context)


@require_http_methods(["GET", "POST"])
@participant_view
def survey_page(request: VisitorRequest, page_code: str) -> HttpResponse:
    participant = request.participant
    slug = participant.study.slug
    if not has_consented(participant):
        return redirect("next", slug)
    errors: dict[str, str] = {}
    if request.method == "POST":
        with answers.locked(participant):
            page = open_to(request, page_code)
            if page is not None:
                errors = answers.record(participant, page, request.POST)
        if not errors:
            return after_page(participant)
    page = open_to(request, page_code)
    if page is None:
        return redirect("next", slug)
    is_new = answers.open_page(participant, page)
    given = request.POST if errors else None if is_new else drafts.load(participant, draft_of(page))
    context = survey_context(request, page, given, errors)
    return render(request, "surveys/page.html", context, status=422 if errors else 200)


def open_to(request: VisitorRequest, page_code: str) -> Page | None:
    """The page, if the person may see it: the next one, or with their own link an earlier one."""
    participant = request.participant
    if participant.stopped_at or participant.screened_at or participant.survey_finished_at:
        return None
    state = answers.standing(participant)
    sent = state.sent
    for page in state.sheet.pages:
        is_pending = page.code not in sent
        if page.code == page_code:
            return page if is_pending or request.visit.is_trusted else None
        if is_pending:
            return None
    return None


def after_page(participant: Participant) -> HttpResponse:
    """Straight to the next page of the survey, which saves a request; else where they stand."""
    slug = participant.study.slug
    pending = answers.pending_page(participant)
    if pending is None or participant.survey_finished_at or participant.screened_at:
        return redirect("next", slug)
    return redirect("survey-page", slug, pending.code)


def survey_context(
    request: VisitorRequest, page: Page, data: QueryDict | None, errors: Mapping[str, str]
) -> dict[str, object]:
    """data: the refused form or the draft that fills the page, else the answers do."""
    participant = request.participant
    state = answers.standing(participant)
    given = pages.Given(
        data if data is not None else pages.given_answers(page, state.responses),
        errors,
        pages.next_attempts(page, state.responses),
        participant.protocol.untouched_counts,
    )
    shown, questions = pages.shown_page(state.sheet, page, given)
    codes = [page.code for page in state.sheet.pages]
    place = codes.index(page.code)
    notes = ""
    if participant.protocol.paradata:
        asked = [shown.question.code for shown in questions]
        notes = paradata.for_script(state.visits.get(page.code), asked)
    return study_context(participant) | {
        "page": shown,
        "questions": questions,
        "page_error": errors.get("", ""),
        "draft": draft_of(page),
        "version": participant.instrument.sha256,
        "paradata": notes,
        "earlier": codes[place - 1] if place and request.visit.is_trusted else None,
        "is_first": place == 0,
        "link": personal_url(request, participant),
        "place": place + 1,
        "pages": len(state.sheet.expected()),
    }


@require_POST
@participant_view
def save_draft(request: VisitorRequest) -> HttpResponse:
    keep_draft(request, request.POST.get("page", ""))
    return HttpResponse(status=204)


def keep_draft(request: VisitorRequest, page: str) -> None:
    """page: what the draft is kept as. Whoever is done with the study has no more drafts."""
    participant = request.participant
    is_over = participant.stopped_at or participant.screened_at or participant.completed_at
    if not page or is_over or not has_consented(participant):
        return
    drafts.save(participant, page, request.POST)
    paradata.note(participant, page.removeprefix("survey/"), request.POST)


@participant_view
def set_language(request: VisitorRequest) -> HttpResponse:
    """?to=es says which language, ?from= which page to go back to, ?draft= what it is kept as.

    The form is the page's own, so that what stands in its fields is not lost.
    """
    participant = request.participant
    if request.method == "POST":
        set_to(participant, request.GET.get("to", ""), request.languages)
        keep_draft(request, request.GET.get("draft", ""))
    page = request.GET.get("from", "")
    is_ours = page.startswith(reverse("arrive", args=[participant.study.slug]))
    return redirect(page if is_ours else reverse("next", args=[participant.study.slug]))


@require_safe
@participant_view
def leave(request: VisitorRequest) -> HttpResponse:
    """Pause, stop taking part, report a problem."""
    context = study_context(request.participant) | {
        "link": personal_url(request, request.participant),
        "from_page": request.GET.get("from", ""),
        "is_trusted": request.visit.is_trusted,
    }
    return render(request, "surveys/leave.html", context)


@participant_view
def stop(request: VisitorRequest) -> HttpResponse:
    participant = request.participant
    if request.method != "POST":
        return redirect("leave", participant.study.slug)
    # Before anything is deleted: what is paid depends on how far they came.
    submissions.note_stopping(participant, is_technical="technical" in request.POST)
    if "withdraw" in request.POST and may_withdraw(request):
        enrolment.withdraw(participant)
    else:
        enrolment.stop(participant)
    return redirect("next", participant.study.slug)


@require_safe
@participant_view
def stopped(request: VisitorRequest) -> HttpResponse:
    if not request.participant.stopped_at:
        return redirect("next", request.participant.study.slug)
    receipt = None
    if request.participant.withdrawn_at and request.visit.is_trusted:
        code = enrolment.receipt_code(request.participant)
        receipt = WithdrawalReceipt.objects.filter(code=code).first()
    context = ended(request.participant, Outcome.PARTIAL) | {
        "receipt": receipt,
        "is_trusted": request.visit.is_trusted,
    }
    return render(request, "surveys/stopped.html", context)


@require_safe
@participant_view
def screened(request: VisitorRequest) -> HttpResponse:
    """The kind exits: a comprehension check was not passed, or no place in a quota is left."""
    participant = request.participant
    if not participant.screened_at:
        return redirect("next", participant.study.slug)
    if participant.screen_reason in (ScreenReason.QUOTA, ScreenReason.LAPSED):
        submissions.note_outcome(participant, Outcome.SCREENED_OUT)
        context = ended(participant, Outcome.SCREENED_OUT)
        context |= {"is_trusted": request.visit.is_trusted}
        context |= {"has_lapsed": participant.screen_reason == ScreenReason.LAPSED}
        return render(request, "surveys/full.html", context | quotas.as_context(participant))
    submissions.note_outcome(participant, Outcome.FAILED_CHECKS)
    context = ended(participant, Outcome.FAILED_CHECKS) | {"is_trusted": request.visit.is_trusted}
    return render(request, "surveys/screened.html", context)


@participant_view
def report_problem(request: VisitorRequest) -> HttpResponse:
    participant = request.participant
    if request.method != "POST":
        return redirect("leave", participant.study.slug)
    from_page = enrolment.storable(request.POST.get("from_page", "")[:200])
    context = study_context(participant) | {
        "link": personal_url(request, participant),
        "is_trusted": request.visit.is_trusted,
        "text": request.POST.get("text", ""),
        "from_page": from_page,
    }
    try:
        text = clean_text(request.POST.get("text", ""), 4000)
        if not text:
            raise DomainError("missing", _("Please tell us in a few words what went wrong."))
    except DomainError as error:
        return render(request, "surveys/leave.html", context | {"error": error.message}, status=422)
    # The same words twice are one report sent twice.
    ProblemReport.objects.get_or_create(participant=participant, page=from_page, text=text)
    return render(request, "surveys/leave.html", context | {"text": "", "reported": True})


@require_safe
@participant_view
def done(request: VisitorRequest) -> HttpResponse:
    participant = request.participant
    if participant.completed_at is None:
        return redirect("next", participant.study.slug)
    submissions.note_outcome(participant, Outcome.COMPLETE)
    context = ended(participant, Outcome.COMPLETE) | {
        "until": enrolment.withdrawable_until(participant),
        "is_withdrawable": may_withdraw(request),
        "is_trusted": request.visit.is_trusted,
    }
    return render(request, "surveys/done.html", context)


def may_withdraw(request: VisitorRequest) -> bool:
    """A recruiter's id is no secret; deleting a person's answers takes more than knowing it."""
    until = enrolment.withdrawable_until(request.participant)
    return request.visit.is_trusted and timezone.now().date() <= until


def study_context(participant: Participant) -> dict[str, object]:
    return {
        "study": participant.study,
        "participant": participant,
        "page_script": page_scripts.script_for(participant),
    }


def ended(participant: Participant, outcome: Outcome) -> dict[str, object]:
    """With the code and the way back that the person's recruitment has for this end."""
    return study_context(participant) | {"ending": submissions.ending(participant, outcome)}


def personal_url(request: HttpRequest, participant: Participant) -> str:
    path = f"/s/{participant.study.slug}/p/{participant.key}/"
    return request.build_absolute_uri(path)
