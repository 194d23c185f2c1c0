"""Who is at the browser: a signed cookie per study, and the views it opens.

The cookie says how the person came. A recruiter's id is no secret, so it resumes the current
step only; looking back at earlier answers needs the browser that gave consent or the personal link.
"""

from collections.abc import Callable, Iterable
from functools import wraps
from typing import Any, Concatenate, NamedTuple, ParamSpec

from django.conf import settings
from django.core.signing import BadSignature, Signer
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.utils import translation
from django.views.decorators.cache import never_cache

from surveys import languages, quotas
from surveys.languages import Language
from surveys.models import Participant, Study
from surveys.prepared import prepared

P = ParamSpec("P")
MAX_AGE = 180 * 24 * 3600


class Visit(NamedTuple):
    key: str
    is_trusted: bool


class VisitorRequest(HttpRequest):
    """A request whose participant is known."""

    participant: Participant
    visit: Visit
    languages: tuple[Language, ...]
    """What the study offers, to choose from."""


def cookie_name(slug: str) -> str:
    return f"refract_{slug}"


def signer(slug: str) -> Signer:
    """Bound to the study, so that a cookie opens no other."""
    return Signer(salt=cookie_name(slug))


def read_cookie(slug: str, cookies: dict[str, str]) -> Visit | None:
    raw = cookies.get(cookie_name(slug))
    if raw is None:
        return None
    try:
        key, _colon, level = signer(slug).unsign(raw).partition(":")
    except BadSignature:
        return None
    return Visit(key, level == "trusted")


def remember(response: HttpResponse, participant: Participant, is_trusted: bool) -> None:
    slug = participant.study.slug
    level = "trusted" if is_trusted else "resume"
    response.set_cookie(
        cookie_name(slug),
        signer(slug).sign(f"{participant.key}:{level}"),
        max_age=MAX_AGE,
        path=f"/s/{slug}/",
        httponly=True,
        samesite="Lax",
        secure=settings.SESSION_COOKIE_SECURE,
    )


def forget(response: HttpResponse, study: Study) -> None:
    response.delete_cookie(cookie_name(study.slug), path=f"/s/{study.slug}/", samesite="Lax")


JOINED = ("study", "instrument", "version", "consent", "came_by")
SHOWN = (
    *("study", "key", "seed", "is_recruited", "language", "survey_finished_at", "withdrawn_at"),
    *("consent_shown_at", "instructed_at", "completed_at", "screened_at", "stopped_at"),
    *("lapsed_at", "came_by__page_script", "came_by__external_id"),
    *("study__slug", "study__is_demo", "study__languages", "study__protocol_json"),
    *("study__contact_email", "study__budget_usd"),
    *("instrument__sha256", "consent__participant"),
    *("version__protocol_json", "version__languages"),
)
"""A quarter of a page's cost was in columns that it never shows."""
VISITORS = Participant.objects.select_related(*JOINED).only(*SHOWN).order_by()
"""People with what every page needs of them and their study. What few pages need is read there."""


def with_visitors(rows: QuerySet[Any], person: str) -> QuerySet[Any]:
    """Rows of what belongs to people, with those people as VISITORS has them.

    person: the field that names them.
    """
    own = [field.name for field in rows.model._meta.concrete_fields]
    joined, shown = ([f"{person}__{name}" for name in names] for names in (JOINED, SHOWN))
    return rows.select_related(person, *joined).only(*own, *shown).order_by()


@prepared
def _known_by(key: str, slug: str) -> QuerySet[Participant]:
    return VISITORS.filter(key=key, study__slug=slug, study__is_imported=False)


def find(study_slug: str, visit: Visit | None) -> Participant | None:
    found = _known_by(visit.key, study_slug) if visit else []
    return found[0] if found else None


def meet(request: HttpRequest, participant: Participant) -> tuple[Language, ...]:
    """Speak a language that the study offers the person, and remember it. Returns all of them."""
    offered = languages.offered(participant.study, participant.instrument, participant.version)
    language = languages.choose(offered, wanted_by(request, participant.language))
    set_to(participant, language, offered)
    translation.activate(language)
    return offered


def set_to(participant: Participant, language: str, offered: Iterable[Language]) -> None:
    """Remember the language that a person chose, if it is offered."""
    if language != participant.language and language in {known.code for known in offered}:
        Participant.objects.filter(pk=participant.pk).update(language=language)
        participant.language = language


STUDIES = Study.objects.select_related("instrument").defer("instrument__document")


def speak(request: HttpRequest, study: Study) -> str:
    """The language of a page that needs no participant, which is then spoken."""
    return speak_to(request, study, find(study.slug, read_cookie(study.slug, request.COOKIES)))


def speak_to(request: HttpRequest, study: Study, participant: Participant | None) -> str:
    instrument = participant.instrument if participant else study.instrument
    chosen = participant.language if participant else ""
    version = participant.version if participant else None
    offered = languages.offered(study, instrument, version)
    language = languages.choose(offered, wanted_by(request, chosen))
    translation.activate(language)
    return language


def wanted_by(request: HttpRequest, chosen: str) -> list[str]:
    """What the link says, what the person chose before, and what their browser asks for."""
    link = [request.GET.get(name, "") for name in languages.PARAMETERS]
    return [*link, chosen, *languages.accepted(request.headers.get("Accept-Language", ""))]


View = Callable[Concatenate[VisitorRequest, P], HttpResponse]
Strangers = Callable[[HttpRequest, str], HttpResponse]
"""Answers a request of somebody whom the study, by its slug, doesn't know."""
Finder = Callable[..., Participant | None]
"""Of request, slug and visit, and of whatever else the address holds: looks somebody up together
with what it names of theirs."""


def to_front_door(request: HttpRequest, slug: str) -> HttpResponse:
    return redirect("arrive", get_object_or_404(Study, slug=slug).slug)


def participant_view(
    view: View[P], strangers: Strangers = to_front_door, finder: Finder | None = None
) -> Callable[Concatenate[HttpRequest, str, P], HttpResponse]:
    """A view of /s/<slug>/…: it gets the participant, or leaves others to `strangers`."""

    @never_cache  # back must ask the server where the person stands
    @wraps(view)
    def wrapper(
        request: VisitorRequest, slug: str, *args: P.args, **kwargs: P.kwargs
    ) -> HttpResponse:
        visit = read_cookie(slug, request.COOKIES)
        participant = finder(request, slug, visit, *args, **kwargs) if finder else find(slug, visit)
        if participant is None or visit is None:
            return strangers(request, slug)
        request.participant, request.visit = participant, visit
        request.languages = meet(request, participant)
        if participant.lapsed_at:
            quotas.come_back(participant)
        return view(request, *args, **kwargs)

    result: Any = wrapper
    return result  # type: ignore[no-any-return]


def has_consented(participant: Participant) -> bool:
    return hasattr(participant, "consent")
