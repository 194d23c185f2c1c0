"""What stands in the log, and what never does: texts, ids, keys and addresses of participants."""

import io
import json
import logging
import re
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest
from django.conf import LazySettings
from django.test import Client

from collection import metrics
from collection.models import Attempt
from config import logs
from surveys.errors import DomainError
from surveys.models import Study
from surveys.tracing import request_id
from tests.conftest import AT_ONCE, Run
from tests.walk import Person

PROLIFIC_ID = "5f0c2d7e9a1b3c4d5e6f7a8b"
ADDRESS = "198.51.100.23"
SECRET = "My grandmother's soup"
SENT_ID = "0123456789abcdef0123456789abcdef"
MISTYPED = "a-key-that-is-almost-right"


@pytest.fixture
def log(db: None) -> Iterator[Callable[[], str]]:
    """All that would be written, from the finest level on, in both forms."""
    written = io.StringIO()
    root = logging.getLogger()
    handlers = []
    for form in (logs.Json(), logs.Readable()):
        handler = logging.StreamHandler(written)
        handler.setFormatter(form)
        root.addHandler(handler)
        handlers.append(handler)
    # All of ours; of others' what the settings let through, for SQL has everything.
    ours = [logging.getLogger(name) for name in ("refract", "refract.figures")]
    levels = [logger.level for logger in ours]
    for logger in ours:
        logger.setLevel(logging.DEBUG)
    yield written.getvalue
    for handler in handlers:
        root.removeHandler(handler)
    for logger, level in zip(ours, levels, strict=True):
        logger.setLevel(level)


def records(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines() if line.startswith("{")]


def test_it_works(
    study: Study, log: Callable[[], str], monkeypatch: pytest.MonkeyPatch, settings: LazySettings
) -> None:
    """A whole walk, and everything going wrong on the way."""
    person = Person(study, PROLIFIC_PID=PROLIFIC_ID, SESSION_ID=PROLIFIC_ID)
    person.client = Client(
        REMOTE_ADDR=ADDRESS, HTTP_X_FORWARDED_FOR=ADDRESS, raise_request_exception=False
    )
    person.survey()
    person.post("instructions/")
    person.start()
    person.prompt(0, SECRET)
    person.rate(0, 20, 90, 40, 60)
    root, number = person.root, person.conversation.number
    person.client.get(f"{root}p/{MISTYPED}/")
    person.client.get(f"{root}p/{person.row.key}/no-such-page/")
    person.client.get(f"{root}no-such-page/?PROLIFIC_PID={PROLIFIC_ID}&text={SECRET}")
    person.client.get(root, HTTP_HOST=f"{MISTYPED}.example")
    person.client.post(f"{root}c/{number}/prompt/", {"turn": 9, "prompt": SECRET})
    settings.DATA_UPLOAD_MAX_NUMBER_FIELDS = 1
    person.client.post(f"{root}draft/", {"page": "x", "text": SECRET, "more": SECRET})
    strict = Client(enforce_csrf_checks=True, REMOTE_ADDR=ADDRESS)
    strict.post(f"{root}p/{person.row.key}/", {"text": SECRET})

    def fail(*_args: object, **_kwargs: object) -> None:
        try:
            raise ValueError(f"invalid literal: {SECRET!r}")
        except ValueError as error:
            raise RuntimeError(f"could not take {SECRET} of {PROLIFIC_ID}") from error

    monkeypatch.setattr("collection.views.conversations.under_way", fail)
    monkeypatch.setattr("config.journey.conversations.under_way", fail)
    person.get()
    person.get("conversations/")

    text = log()
    personal = [PROLIFIC_ID, ADDRESS, SECRET, MISTYPED, person.row.key]
    assert [secret for secret in personal if secret in text] == []
    lines = records(text)
    assert "Not Found: /s/<slug:slug>/p/<slug:key>/" in {line["message"] for line in lines}
    crashed = [line for line in lines if "error" in line]
    assert any("builtins.ValueError" in line["error"] for line in crashed)
    assert any("builtins.RuntimeError" in line["error"] for line in crashed)
    assert any(re.search(r"test_logs.py:\d+ in fail", " ".join(line["error"])) for line in crashed)
    requests = [line for line in lines if line["logger"].startswith("refract.figures.requests")]
    assert {"method", "route", "status", "ms", "request_id"} <= requests[0].keys()
    assert all("request_id" in line for line in lines if line["logger"].startswith("django."))


def test_a_server_says_nothing_of_its_visitors(run_embedded: Run) -> None:
    """Of uvicorn too, whose access log would have addresses and personal links."""
    refract = run_embedded(env={**AT_ONCE, "REFRACT_LOG": "json"})
    with httpx.Client(base_url=refract.url, follow_redirects=True) as client:
        client.get(f"/s/prism/?PROLIFIC_PID={PROLIFIC_ID}")
        client.get(f"/s/prism/p/{MISTYPED}/")
        client.get("/healthz")
    give_up = time.monotonic() + 10
    while "Not Found" not in refract.log:
        assert time.monotonic() < give_up
    refract.stop()
    lines = records(refract.log)
    assert len(lines) == len(refract.log.splitlines())
    assert {line["route"] for line in lines if line["message"] == "request"} >= {
        "/",
        "/s/<slug:slug>/",
        "/s/<slug:slug>/p/<slug:key>/",
    }
    assert [word for word in (PROLIFIC_ID, MISTYPED, "127.0.0.1") if word in refract.log] == []


def test_a_request_keeps_the_id_that_a_proxy_gave_it(client: Client, db: None) -> None:
    answer = client.get("/", headers={"X-Request-ID": SENT_ID})
    assert answer["X-Request-ID"] == SENT_ID
    assert request_id.get() == ""


@pytest.mark.parametrize(
    "given", ["", "short", "a" * 37, PROLIFIC_ID.upper(), "0123 456789abcdef0"]
)
def test_an_id_that_no_proxy_makes_is_not_taken(client: Client, db: None, given: str) -> None:
    answer = client.get("/", headers={"X-Request-ID": given})
    assert re.fullmatch("[0-9a-f]{32}", answer["X-Request-ID"])


def test_the_id_reaches_the_calls_of_models(
    study: Study, log: Callable[[], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    person = Person(study, PROLIFIC_PID="alice").ready()
    person.start()
    path = f"{person.root}c/{person.conversation.number}/prompt/"
    sent = {"turn": 0, "prompt": "Soup?"}
    person.client.post(path, sent, headers={"X-Request-ID": SENT_ID})
    assert Attempt.objects.get().request_id == SENT_ID
    ended = [line for line in records(log()) if line["message"] == "call ended"]
    assert [line["request_id"] for line in ended] == [SENT_ID] * 4


def test_figures_stand_beside_the_message(log: Callable[[], str]) -> None:
    metrics.turn_settled("opening", 1.5, 0.034)
    line = records(log())[-1]
    assert (line["kind"], line["latency_ms"], line["overhead_ms"]) == ("opening", 1500, 34)
    assert "kind=opening latency_ms=1500 overhead_ms=34" in log()


def formatted(error: Exception) -> str:
    try:
        raise error
    except type(error):
        record = logging.getLogger("x").makeRecord("x", 40, "f", 1, "m", (), sys.exc_info())
    return logs.Json().format(record)


def test_errors_of_machines_say_what_they_have_to_say() -> None:
    assert "Connection refused" in formatted(ConnectionRefusedError(111, "Connection refused"))


def test_errors_that_may_repeat_what_was_sent_do_not() -> None:
    assert SECRET not in formatted(KeyError(SECRET))
    assert SECRET not in formatted(DomainError("x", SECRET))


def test_debugging_tells_everything(settings: LazySettings) -> None:
    settings.DEBUG = True
    assert "grandmother" in formatted(KeyError(SECRET))
