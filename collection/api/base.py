"""What all addresses of the API share: who may come in, JSON both ways, and how it is described."""

import json
from collections.abc import Sequence
from typing import Any

from django.utils.cache import patch_cache_control
from django.utils.translation import gettext as _
from drf_spectacular.utils import OpenApiResponse, extend_schema
from rest_framework import exceptions, permissions
from rest_framework.negotiation import BaseContentNegotiation
from rest_framework.parsers import BaseParser
from rest_framework.renderers import JSONRenderer
from rest_framework.views import APIView

from collection.api import errors, once
from collection.api.throttle import PerCaller
from collection.api.who import BySession, ByToken

LONGEST = 1_000_000
"""Bytes of a body: as much as a page of the desk may send."""

WORDS = {
    400: "Something in it is not as described; `fields` says what.",
    401: "No token and no session, or one that is over.",
    403: "The token's scopes or the account's role do not include this.",
    404: "There is none, or you have no part in its study.",
    405: "This address has other methods.",
    409: "Sound in itself, and refused as things stand: `code` says why.",
    413: "The body is longer than a million bytes.",
    415: "Only JSON is read.",
    429: "Too many requests in a minute; `Retry-After` says how long to wait.",
}


class Json(BaseParser):
    """A JSON body that a database can store, of a bounded length."""

    media_type = "application/json"

    def parse(self, stream: Any, media_type: Any = None, parser_context: Any = None) -> Any:
        data = stream.read(LONGEST + 1)
        if len(data) > LONGEST:
            raise errors.TooLarge
        try:
            found = json.loads(data.decode("utf-8"), parse_constant=refuse)
            text = json.dumps(found, ensure_ascii=False, allow_nan=False)
            text.encode()
        except (ValueError, RecursionError) as error:
            raise exceptions.ParseError(_("This is no JSON in UTF-8.")) from error
        if "\\u0000" in text.replace("\\\\", ""):
            raise exceptions.ParseError(_("This has a character that cannot be stored (NUL)."))
        return found


def refuse(constant: str) -> Any:
    raise ValueError(constant)


class JsonAlways(BaseContentNegotiation):
    """A browser asks for HTML and shows JSON just as well."""

    def select_parser(self, request: Any, parsers: Sequence[Any]) -> Any:
        kind = (request.content_type or "").partition(";")[0].strip().lower()
        return next((parser for parser in parsers if parser.media_type == kind), None)

    def select_renderer(self, request: Any, renderers: Sequence[Any], suffix: Any = None) -> Any:
        return renderers[0], renderers[0].media_type


class ApiView(APIView):
    authentication_classes = [ByToken, BySession]
    permission_classes = [permissions.IsAuthenticated]
    throttle_classes = [PerCaller]
    parser_classes = [Json]
    renderer_classes = [JSONRenderer]
    content_negotiation_class = JsonAlways
    http_method_names = ["get", "head", "post", "put", "patch"]

    is_heavy = False
    """Takes data away; see `throttle`."""

    def get_exception_handler(self) -> Any:
        return errors.handle

    def finalize_response(self, request: Any, response: Any, *args: Any, **kwargs: Any) -> Any:
        found = super().finalize_response(request, response, *args, **kwargs)
        patch_cache_control(found, no_store=True, private=True)
        return found


class Nowhere(ApiView):
    """Any address below /api/ that is none."""

    schema = None
    authentication_classes: list[Any] = []
    permission_classes: list[Any] = []
    throttle_classes: list[Any] = []
    http_method_names = [*ApiView.http_method_names, "delete", "options"]

    def none(self, request: Any, **_kwargs: Any) -> Any:
        raise exceptions.NotFound(_("There is no such address; all of them end with a slash."))

    get = post = put = patch = delete = options = none


def described(
    name: str,
    summary: str,
    answer: Any,
    *,
    tag: str,
    said: str = "",
    query: Any = None,
    sent: Any = None,
    number: int = 200,
    refusals: Sequence[int] = (404,),
    is_kept: bool = False,
) -> Any:
    """The schema of an operation.

    is_kept: takes an Idempotency-Key. Examples are in `examples`, by name.
    """
    writes = [400, 409, 413, 415] if sent else []
    asks = [400] if query or is_kept else []
    refused = sorted({401, 403, 429, *refusals, *writes, *asks})
    return extend_schema(
        operation_id=name,
        summary=summary,
        description=said,
        tags=[tag],
        request=sent,
        parameters=[*([query] if query else []), *([once.PARAMETER] if is_kept else [])],
        responses={
            **(answer if isinstance(answer, dict) else {number: answer}),
            **{code: OpenApiResponse(errors.ErrorBody, WORDS[code]) for code in refused},
        },
    )
