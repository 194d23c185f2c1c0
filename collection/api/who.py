"""Who asks: a program by its token, or somebody at the desk by their session; and what they may."""

from typing import Any, get_args

from django.db.models import QuerySet
from django.utils.translation import gettext as _
from drf_spectacular.extensions import OpenApiAuthenticationExtension
from rest_framework import exceptions
from rest_framework.authentication import BaseAuthentication, SessionAuthentication

from surveys import access, audit, tokens
from surveys.models import Study

VERBS: tuple[access.Verb, ...] = get_args(access.Verb)


class ByToken(BaseAuthentication):
    """`Authorization: Bearer refract_…`"""

    def authenticate(self, request: Any) -> tuple[Any, Any] | None:
        kind, _space, secret = request.headers.get("Authorization", "").partition(" ")
        if kind.lower() != "bearer":
            return None
        token = tokens.holder(secret.strip())
        if token is None:
            raise exceptions.AuthenticationFailed(
                _("This token opens nothing: it is mistyped, over or revoked.")
            )
        return token.user, token

    def authenticate_header(self, request: Any) -> str:
        return "Bearer"


class BySession(SessionAuthentication):
    """Whoever is signed in to the desk; what they write needs the CSRF token of their cookie."""

    def authenticate(self, request: Any) -> tuple[Any, None] | None:
        # The gate of two-factor sign-in has made nobody of who is half-way in.
        user = getattr(request._request, "user", None)
        if user is None or not user.is_active or not user.is_staff:
            return None
        self.enforce_csrf(request)
        return user, None


class TokenScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]
    target_class = ByToken
    name = "token"

    def get_security_definition(self, auto_schema: Any) -> dict[str, Any]:
        said = "An API token, made at the desk under API tokens: `Authorization: Bearer refract_…`"
        return {"type": "http", "scheme": "bearer", "description": said}


class SessionScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]
    target_class = BySession
    name = "session"

    def get_security_definition(self, auto_schema: Any) -> dict[str, Any]:
        said = (
            "The cookie of somebody signed in to the desk. What writes also needs the header "
            "`X-CSRFToken` with the value of the cookie `csrftoken`."
        )
        return {"type": "apiKey", "in": "cookie", "name": "sessionid", "description": said}


# What they may


def may(request: Any, verb: access.Verb, study: Study | int) -> bool:
    if request.auth is not None:
        return access.token_may(request.auth, verb, study)
    return access.may(request.user, verb, study)


def studies(request: Any, verb: access.Verb) -> QuerySet[Study]:
    if request.auth is not None:
        return access.token_studies(request.auth, verb)
    return access.studies(request.user, verb)


def study_for(request: Any, slug: str, verb: access.Verb) -> Study:
    """The study, if the caller may do this in it. Who has no part in it learns nothing."""
    study = Study.objects.select_related("instrument").filter(slug=slug).first()
    if study is None or not any(may(request, other, study) for other in VERBS):
        raise exceptions.NotFound(_("There is no such study, or you have no part in it."))
    if not may(request, verb, study):
        raise exceptions.PermissionDenied(why_not(request, verb))
    return study


def why_not(request: Any, verb: access.Verb) -> str:
    if request.auth is not None and verb not in request.auth.scopes:
        return _("This token does not have the scope “%s”.") % verb
    return _("Your role in this study does not include “%s”.") % verb


# What is noted


def note(request: Any, verb: str, row: Any, study: Study | None, **details: Any) -> None:
    """In the audit log, with the token that was used."""
    via = {"token": request.auth.prefix} if request.auth is not None else {"via": "api"}
    audit.write(request.user, verb, row, study, **via, **details)
