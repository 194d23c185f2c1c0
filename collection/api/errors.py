"""Every refusal in one shape: {"code": …, "message": …, "fields": {name: [messages]}}."""

import logging
import math
from collections.abc import Iterator
from typing import Any

from django.core.exceptions import PermissionDenied, RequestDataTooBig
from django.core.exceptions import ValidationError as ModelError
from django.db import InterfaceError, OperationalError
from django.http import Http404
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from rest_framework import exceptions, serializers, status
from rest_framework.response import Response

from surveys.errors import DomainError, FieldErrors
from surveys.instruments.load import InstrumentError
from surveys.quota_tables import TableError

log = logging.getLogger("refract.errors")

AWAY_S = 5
"""After so long it is worth to try again while the database restarts."""
WHOLE = "all"
"""The name for what is wrong with several fields together."""

CODES = {
    exceptions.ParseError: "malformed",
    exceptions.AuthenticationFailed: "token",
    exceptions.NotAuthenticated: "signed_out",
    exceptions.PermissionDenied: "not_allowed",
    exceptions.NotFound: "not_found",
    exceptions.MethodNotAllowed: "method",
    exceptions.UnsupportedMediaType: "media_type",
    exceptions.Throttled: "too_many",
}


class ErrorBody(serializers.Serializer):
    """What every refusal looks like."""

    code = serializers.CharField(help_text="A stable name, for programs.")
    message = serializers.CharField(help_text="One sentence, for people.")
    fields = serializers.DictField(
        child=serializers.ListField(child=serializers.CharField()),
        help_text="Field -> what is wrong with it; empty where no field is to blame.",
    )

    class Meta:
        ref_name = "Error"


class TooLarge(exceptions.APIException):
    status_code = status.HTTP_413_REQUEST_ENTITY_TOO_LARGE
    default_detail = gettext_lazy("This is longer than a request may be. Please send less.")
    default_code = "too_large"


class Conflict(exceptions.APIException):
    """Sound in itself, and refused as things stand."""

    status_code = status.HTTP_409_CONFLICT


def answer(code: str, message: str, number: int, fields: dict[str, list[str]]) -> Response:
    return Response({"code": code, "message": message, "fields": fields}, status=number)


def handle(error: Exception, _context: dict[str, Any]) -> Response | None:
    """DRF's exception handler; None for what is nobody's fault but ours."""
    match error:
        case FieldErrors():
            fields = {name: [words] for name, words in error.errors.items()}
            return invalid(fields)
        case DomainError():
            return answer(error.code, error.message, 409, {})
        case InstrumentError():
            return invalid({"file": str(error).splitlines()})
        case TableError():
            return invalid({"csv": error.problems})
        case ModelError():
            named = error.message_dict if hasattr(error, "error_dict") else {WHOLE: error.messages}
            return invalid({WHOLE if k == "__all__" else k: list(v) for k, v in named.items()})
        case serializers.ValidationError():
            return invalid(dict(flat(error.detail)))
        case Http404():
            return answer("not_found", _("There is no such thing here."), 404, {})
        case PermissionDenied():
            return answer("not_allowed", _("This account may not do that."), 403, {})
        case RequestDataTooBig():
            return handle(TooLarge(), _context)
        case OperationalError() | InterfaceError():
            return away()
        case exceptions.APIException():
            return refused(error)
    return None


def invalid(fields: dict[str, list[str]]) -> Response:
    named = [(name, words) for name, said in fields.items() for words in said]
    message = _("Please look at these fields again: %s.") % ", ".join(fields)
    if len(named) == 1:
        name, words = named[0]
        message = words if name == WHOLE else f"{name}: {words}"
    return answer("invalid", message, 400, fields)


def flat(detail: Any, place: str = "") -> Iterator[tuple[str, list[str]]]:
    """DRF's nested messages, each under the path of its field: cells.0.target."""
    if isinstance(detail, dict):
        for name, part in detail.items():
            own = "" if name == "non_field_errors" else str(name)
            yield from flat(part, ".".join(filter(None, (place, own))))
    elif isinstance(detail, list) and any(isinstance(part, dict | list) for part in detail):
        for number, part in enumerate(detail):
            if part:
                yield from flat(part, f"{place}.{number}".lstrip("."))
    else:
        said = detail if isinstance(detail, list) else [detail]
        yield place or WHOLE, [str(words) for words in said]


def refused(error: exceptions.APIException) -> Response:
    code = CODES.get(type(error), str(error.default_code))
    if isinstance(error, Conflict):
        code = str(error.get_codes())
    response = answer(code, str(error.detail), error.status_code, {})
    if header := getattr(error, "auth_header", None):
        response["WWW-Authenticate"] = header
    if wait := getattr(error, "wait", None):
        response["Retry-After"] = str(math.ceil(wait))
    return response


def away() -> Response:
    log.exception("the database is away")
    said = _("The database is away for a moment. Please try again.")
    response = answer("away", said, 503, {})
    response["Retry-After"] = str(AWAY_S)
    return response
