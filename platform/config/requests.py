"""Each request's id, and its one line in the log."""

import logging
import re
import time
import uuid
from collections.abc import Callable

from django.http import HttpRequest, HttpResponse

from config.logs import route_of
from surveys.tracing import request_id

log = logging.getLogger("refract.figures.requests")

HEADER = "X-Request-ID"
SANE = re.compile(r"[0-9a-f-]{16,36}")
"""As proxies make them, UUIDs or 32 digits. No words: the id goes into the log."""


class RequestMiddleware:
    """Takes the id over from the proxy, or makes one; answers with it.

    It comes first, so that whatever else is logged has the id.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        begun = time.perf_counter()
        given = request.headers.get(HEADER, "")
        identifier = given if SANE.fullmatch(given) else uuid.uuid4().hex
        # On the request too: Django logs refusals when all middleware has returned.
        request.request_id = identifier  # type: ignore[attr-defined]
        # As our pages send it, whatever is claimed: some decoders fail, others let pass what no
        # database stores and no page can show.
        request.encoding = "utf-8"
        token = request_id.set(identifier)
        try:
            response = self.get_response(request)
            if log.isEnabledFor(logging.INFO):
                log_line(request, response, time.perf_counter() - begun)
        finally:
            request_id.reset(token)
        response.headers[HEADER] = identifier
        return response


def log_line(request: HttpRequest, response: HttpResponse, seconds: float) -> None:
    figures = {
        "method": request.method,
        "route": route_of(request),
        "status": response.status_code,
        "ms": round(seconds * 1000, 1),
    }
    log.info("request", extra=figures)
