"""What a line of the log looks like, and what must never stand in it.

No text that somebody wrote, no id or key of a participant, no address of theirs: a request is named
by its route, an error by its class and where it happened. REFRACT_DEBUG=1 tells everything.
"""

import json
import logging
import traceback
from datetime import UTC, datetime
from types import TracebackType
from typing import Any

from django.conf import settings
from django.http import HttpRequest

from surveys.tracing import request_id

TELLING = {
    *("OSError", "ImportError", "NameError", "AttributeError", "TypeError"),
    *("OperationalError", "RedisError", "ImproperlyConfigured"),
}
"""Errors whose message is about code or machines. Any other may repeat what somebody sent: that of
a broken constraint does, and so does one of int()."""

ORDINARY = set(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


def route_of(request: HttpRequest) -> str:
    """The pattern of its address, without what stands in the pattern's place."""
    match = request.resolver_match
    return f"/{match.route}" if match else "an address that we don't have"


def message_of(record: logging.LogRecord) -> str:
    request = getattr(record, "request", None)
    if settings.DEBUG:
        return record.getMessage()
    if record.name.startswith("django.security."):
        # "Invalid HTTP_HOST header: ‘…’": the class says enough.
        return f"refused: {record.name.rpartition('.')[2]}" + in_route(request)
    if isinstance(request, HttpRequest):
        return without_path(record, request)
    if record.name == "asyncio":
        return record.getMessage().partition("\n")[0]  # the others show the exception in full
    return record.getMessage()


def in_route(request: object) -> str:
    return f" at {route_of(request)}" if isinstance(request, HttpRequest) else ""


def without_path(record: logging.LogRecord, request: HttpRequest) -> str:
    """Django's "Not Found: /s/prism/p/<a personal key>/", with the route in its place."""
    args = record.args if isinstance(record.args, tuple) else ()
    shown = tuple(route_of(request) if arg == request.path else arg for arg in args)
    return str(record.msg) % shown if shown else str(record.msg)


def request_id_of(record: logging.LogRecord) -> str:
    request = getattr(record, "request", None)
    return getattr(request, "request_id", "") or request_id.get()


def figures_of(record: logging.LogRecord) -> dict[str, Any]:
    """What our own lines say beside their message. Others' may hold anything."""
    if not record.name.startswith("refract."):
        return {}
    return {name: value for name, value in vars(record).items() if name not in ORDINARY}


def error_of(record: logging.LogRecord) -> list[str]:
    """The lines of a traceback: the error it began with first. Empty if there is none."""
    error = record.exc_info[1] if record.exc_info else None
    lines: list[str] = []
    while error is not None:
        lines[:0] = [*frames(error.__traceback__), named(error)]
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    return lines


def frames(trace: TracebackType | None) -> list[str]:
    return [
        f"{frame.filename}:{frame.lineno} in {frame.name}" for frame in traceback.extract_tb(trace)
    ]


def named(error: BaseException) -> str:
    kinds = {kind.__name__ for kind in type(error).__mro__}
    name = f"{type(error).__module__}.{type(error).__qualname__}"
    return f"{name}: {error}" if settings.DEBUG or kinds & TELLING else name


class Readable(logging.Formatter):
    """A line for people, with the traceback below it."""

    def format(self, record: logging.LogRecord) -> str:
        when = datetime.fromtimestamp(record.created, UTC)
        parts = [f"{when:%Y-%m-%d %H:%M:%S}", record.levelname, f"{record.name}:"]
        parts.append(message_of(record))
        parts += [f"{name}={value}" for name, value in figures_of(record).items()]
        if identifier := request_id_of(record):
            parts.append(f"({identifier})")
        return "\n  ".join([" ".join(parts), *error_of(record)])


class Json(logging.Formatter):
    """One JSON object on one line: time, level, logger, message, request_id, figures, error."""

    def format(self, record: logging.LogRecord) -> str:
        when = datetime.fromtimestamp(record.created, UTC)
        line: dict[str, Any] = {
            "time": when.isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "message": message_of(record),
        }
        if identifier := request_id_of(record):
            line["request_id"] = identifier
        line |= figures_of(record)
        if error := error_of(record):
            line["error"] = error
        return json.dumps(line, ensure_ascii=False, default=str)
