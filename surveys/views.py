"""The doors of the first stages: arriving, consent, the survey, leaving."""

from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from surveys import answers, drafts, enrolment, pages
from surveys.errors import DomainError, FieldErrors
from surveys.models import Participant, ProblemReport, Study
from surveys.texts import clean_text
from surveys.visitor import (
    VisitorRequest,
    find,
    forget,
    has_consented,
    participant_view,
    read_cookie,
    remember,
)


@require_safe
def home(request: HttpRequest) -> HttpResponse:
    return render(request, "surveys/home.html")


@never_cache
@require_safe
def arrive(request: HttpRequest, slug: str) -> HttpResponse:
    """The study's link. Ids leave the address bar at once."""
    study = get_object_or_404(Study, slug=slug)
    visit = read_cookie(slug, request.COOKIES)
    known = find(slug, visit)
    participant = enrolment.arrive(study, request.GET.dict(), known)
    response = redirect("next", slug)
    is_same = known is not None and known.pk == participant.pk
    remember(response, participant, is_trusted=is_same and visit is not None and visit.is_trusted)
    return response


@never_cache
@require_safe
def personal_link(request: HttpRequest, slug: str, key: str) -> HttpResponse:
    participant = get_object_or_404(Participant, study__slug=slug, key=key)
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
            response = redirect("next", participant.study.slug)
            remember(response, participant, is_trusted=True)
            return response
    enrolment.show_consent(participant)
    context: dict[str, object] = {
        "consent": enrolment.filled_consent(participant.study),
        "errors": errors,
    }
    context |= study_context(participant)
    return render(request, "surveys/consent.html", context, status=422 if errors else 200)


@require_http_methods(["GET", "POST"])
def decline(request: HttpRequest, slug: str) -> HttpResponse:
    # A second click finds nobody: the front door would take them in afresh.
    if request.method == "POST" and find(slug, read_cookie(slug, request.COOKIES)) is None:
        return redirect("declined", slug)
    return decline_known(request, slug)


@participant_view
def decline_known(request: VisitorRequest) -> HttpResponse:
    participant = request.participant
    if has_consented(participant) or participant.withdrawn_at:
        return redirect("next", participant.study.slug)
    if request.method == "GET":
        return render(request, "surveys/decline.html", study_context(participant))
    enrolment.decline(participant)
    response = redirect("declined", participant.study.slug)
    forget(response, participant.study)
    return response


@require_safe
def declined(request: HttpRequest, slug: str) -> HttpResponse:
    study = get_object_or_404(Study, slug=slug)
    return render(request, "surveys/declined.html", {"study": study})


@require_safe
def information(request: HttpRequest, slug: str) -> HttpResponse:
    """The information page again, to read only."""
    study = get_object_or_404(Study, slug=slug)
    context = {"study": study, "consent": enrolment.filled_consent(study), "read_only": True}
    return render(request, "surveys/consent.html", context)


@require_http_methods(["GET", "POST"])
@participant_view
def survey_page(request: VisitorRequest, page_code: str) -> HttpResponse:
    participant = request.participant
    slug = participant.study.slug
    if not has_consented(participant) or participant.stopped_at or participant.survey_finished_at:
        return redirect("next", slug)
    flow = answers.flow(participant)
    pending = answers.pending_page(participant)
    codes = [page.code for page in flow]
    last = codes.index(pending.code) if pending else len(codes) - 1
    if page_code not in codes[: last + 1]:
        return redirect("next", slug)
    place = codes.index(page_code)
    if place < last and not request.visit.is_trusted:
        return redirect("next", slug)
    page = flow[place]
    errors: dict[str, str] = {}
    if request.method == "POST":
        try:
            answers.record(participant, page, request.POST)
            return redirect("next", slug)
        except FieldErrors as error:
            errors = error.errors
    answers.open_page(participant, page)
    draft = answers.draft_page(page)
    given = request.POST if errors else drafts.load(participant, draft)
    context = study_context(participant) | {
        "page": page,
        "questions": pages.shown_questions(participant, page, given, errors),
        "draft": draft,
        "earlier": codes[place - 1] if place and request.visit.is_trusted else None,
        "is_first": place == 0,
        "link": personal_url(request, participant),
        "place": place + 1,
        "pages": len(answers.pages_to_expect(participant)),
    }
    return render(request, "surveys/page.html", context, status=422 if errors else 200)


@require_POST
@participant_view
def save_draft(request: VisitorRequest) -> HttpResponse:
    page = request.POST.get("page", "")
    if page and has_consented(request.participant) and not request.participant.stopped_at:
        drafts.save(request.participant, page, request.POST)
    return HttpResponse(status=204)


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
    return render(request, "surveys/stopped.html", study_context(request.participant))


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
    context = study_context(participant) | {
        "until": enrolment.withdrawable_until(participant),
        "is_withdrawable": may_withdraw(request),
    }
    return render(request, "surveys/done.html", context)


def may_withdraw(request: VisitorRequest) -> bool:
    """A recruiter's id is no secret; deleting a person's answers takes more than knowing it."""
    until = enrolment.withdrawable_until(request.participant)
    return request.visit.is_trusted and timezone.now().date() <= until


def study_context(participant: Participant) -> dict[str, object]:
    return {"study": participant.study, "participant": participant}


def personal_url(request: HttpRequest, participant: Participant) -> str:
    path = f"/s/{participant.study.slug}/p/{participant.key}/"
    return request.build_absolute_uri(path)
