"""How errors look: one kind page for whatever a view let through."""

import logging

from django.db import InterfaceError, OperationalError
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from surveys.errors import DomainError
from surveys.models import Study
from surveys.visitor import speak

log = logging.getLogger("refract.errors")

AWAY_S = 5
"""After so long it is worth to try again."""


class DomainErrorMiddleware:
    """Turns a DomainError that no form could show into a page with its message."""

    def __init__(self, get_response: object) -> None:
        assert callable(get_response)
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        response: HttpResponse = self.get_response(request)
        return response

    def process_exception(self, request: HttpRequest, error: Exception) -> HttpResponse | None:
        if isinstance(error, DomainError):
            return message_page(request, error.message, status=403)
        if isinstance(error, OperationalError | InterfaceError):
            return database_away(request)
        return None


def message_page(request: HttpRequest, message: str | Promise, status: int) -> HttpResponse:
    slug = request.resolver_match.kwargs.get("slug") if request.resolver_match else None
    study = Study.objects.filter(slug=slug).first() if slug else None
    if study:
        speak(request, study)  # the view may not have come so far
    return render(request, "message.html", {"message": message}, status=status)


def database_away(request: HttpRequest) -> HttpResponse:
    """While the database restarts: a page that needs none, and comes back by itself."""
    log.exception("the database is away")
    response = render(request, "away.html", {"seconds": AWAY_S}, status=503)
    response["Retry-After"] = str(AWAY_S)
    return response


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:
    return message_page(
        request,
        _("That was more than this page can take. Please go back and send something shorter."),
        status=400,
    )


def not_found(request: HttpRequest, exception: Exception) -> HttpResponse:
    return message_page(request, _("There is no such page."), status=404)


def csrf_failure(request: HttpRequest, reason: str = "") -> HttpResponse:
    """A page open for weeks, or cookies switched off."""
    return message_page(
        request,
        _(
            "Your browser could not show that this came from your page. Please go back, reload "
            "the page and send it again. Cookies must be allowed for this site."
        ),
        status=403,
    )
