"""Prolific's API as a client meets it, and the signature of its webhooks."""

import io
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import httpx
import pytest
from django.core.management import call_command

from surveys import prolific
from surveys.prolific import (
    Limited,
    NotConnected,
    Prolific,
    Refused,
    Unanswered,
    Unreachable,
    is_genuine,
    signature,
)
from tests.prolific_server import SECRET, TOKEN, ProlificServer

STUDY: dict[str, Any] = {
    "name": "Talk to models",
    "internal_name": "refract prism abc",
    "description": "You talk to models.",
    "external_study_url": "https://study.example/s/prism/",
    "prolific_id_option": "url_parameters",
    "completion_codes": [
        {"code": "AAAA1111", "code_type": "COMPLETED", "actions": [{"action": "MANUALLY_REVIEW"}]}
    ],
    "total_available_places": 3,
    "estimated_completion_time": 60,
    "reward": 900,
    "filters": [],
}


@pytest.fixture
def server() -> Iterator[ProlificServer]:
    with ProlificServer() as server:
        yield server


@pytest.fixture
def client(server: ProlificServer) -> Iterator[Prolific]:
    with Prolific(server.url, TOKEN) as client:
        yield client


def test_it_works(client: Prolific, server: ProlificServer) -> None:
    study = client.create_study(STUDY)["id"]
    assert client.transition_study(study, "PUBLISH")["status"] == "ACTIVE"
    session = server.reserve(study, "pid-of-alice")
    server.enter_code(session, "AAAA1111")
    (found,) = client.submissions(study)
    assert (found["id"], found["status"], found["study_code"]) == (
        session,
        "AWAITING REVIEW",
        "AAAA1111",
    )
    client.transition_submission(session, {"action": "APPROVE"})
    client.pay_bonus(client.prepare_bonus(study, f"{session},1.50"))
    client.send_message("pid-of-alice", study, "Thank you.")
    assert client.submission(session)["bonus_payments"] == [150]
    assert client.submission(session)["status"] == "APPROVED"
    assert [message["body"] for message in client.messages("pid-of-alice")] == ["Thank you."]


def test_all_pages_are_read(client: Prolific, server: ProlificServer) -> None:
    study = client.create_study(STUDY)["id"]
    client.transition_study(study, "PUBLISH")
    sessions = {server.reserve(study, f"pid-{number}") for number in range(250)}
    assert {row["id"] for row in client.submissions(study)} == sessions


def test_without_a_token_nothing_begins(settings: Any) -> None:
    settings.PROLIFIC_TOKEN = ""
    with pytest.raises(NotConnected, match="REFRACT_PROLIFIC_TOKEN"):
        Prolific("http://127.0.0.1:1")


def test_a_token_that_is_not_accepted_is_never_shown(server: ProlificServer) -> None:
    with Prolific(server.url, "expired-1") as client, pytest.raises(NotConnected) as caught:
        client.study("any")
    assert "expired-1" not in caught.value.message


def test_a_refusal_has_the_fields_and_their_reasons(client: Prolific) -> None:
    with pytest.raises(Refused) as caught:
        client.create_study(STUDY | {"reward": 0, "colour": "blue"})
    assert caught.value.status == 400
    assert "reward: This field is required." in caught.value.message
    assert "colour: Unknown field." in caught.value.message


@pytest.mark.parametrize(
    ("header", "seconds"),
    [("7", 7.0), (None, None), ("soon", None), ("", None)],
)
def test_it_says_how_long_to_wait(
    client: Prolific, server: ProlificServer, header: str | None, seconds: float | None
) -> None:
    server.limit_next(header)
    with pytest.raises(Limited) as caught:
        client.study("any")
    assert caught.value.retry_after_s == seconds


def test_a_date_says_it_too() -> None:
    sent = datetime(2026, 3, 1, 12, tzinfo=UTC)
    headers = {
        "Date": format_datetime(sent, usegmt=True),
        "Retry-After": format_datetime(sent + timedelta(seconds=90), usegmt=True),
    }
    assert prolific.retry_after_s(httpx.Response(429, headers=headers)) == 90.0


def test_refused_connections_are_told_from_lost_answers(
    client: Prolific, server: ProlificServer
) -> None:
    server.lose_next("POST /studies/")
    with pytest.raises(Unanswered):
        client.create_study(STUDY)
    assert len(server.studies) == 1, "it had happened"
    server.fail_next("POST /studies/")
    with pytest.raises(Unanswered, match="500"):
        client.create_study(STUDY)
    server.stop()
    with pytest.raises(Unreachable):
        client.create_study(STUDY)


@pytest.mark.parametrize("content", [b"<html>maintenance</html>", b"[1, 2]", b"{}"])
def test_answers_that_are_not_the_apis(content: bytes) -> None:
    with Prolific("http://127.0.0.1:1", TOKEN) as client:
        client._http._transport = httpx.MockTransport(
            lambda request: httpx.Response(200, content=content)
        )
        with pytest.raises(Unanswered):
            list(client.studies())


def test_a_redirect_never_gets_the_token(server: ProlificServer) -> None:
    with Prolific(server.url, TOKEN) as client:
        asked: list[str] = []

        def answer(request: httpx.Request) -> httpx.Response:
            asked.append(request.headers["Authorization"])
            return httpx.Response(302, headers={"Location": "http://127.0.0.2/"})

        client._http._transport = httpx.MockTransport(answer)
        with pytest.raises(Refused):
            client.study("any")
    assert asked == [f"Token {TOKEN}"]


def test_subscribing_confirms(client: Prolific, server: ProlificServer) -> None:
    found = client.subscribe("w1", "submission.status.change", "https://study.example/webhooks/")
    assert server.subscriptions[found]["is_enabled"]
    assert [row["id"] for row in client.subscriptions("w1")] == [found]
    with pytest.raises(Refused, match="https"):
        client.subscribe("w1", "submission.status.change", "http://study.example/")


def test_signatures() -> None:
    good = signature("secret", "1700000000", b'{"a": 1}')
    assert is_genuine("secret", "1700000000", b'{"a": 1}', good)
    assert not is_genuine("secret", "1700000001", b'{"a": 1}', good)
    assert not is_genuine("secret", "1700000000", b'{"a": 2}', good)
    assert not is_genuine("other", "1700000000", b'{"a": 1}', good)
    assert not is_genuine("secret", "1700000000", b'{"a": 1}', "né")
    unsigned = signature("", "1700000000", b"{}")
    assert not is_genuine("", "1700000000", b"{}", unsigned), "no secret, no trust"


def connect(server: ProlificServer, settings: Any, *arguments: str) -> str:
    settings.PROLIFIC_URL, settings.PROLIFIC_TOKEN = server.url, TOKEN
    out = io.StringIO()
    call_command("connect_prolific", "w1", *arguments, stdout=out, stderr=out)
    return out.getvalue()


def test_a_site_is_connected_once(server: ProlificServer, settings: Any) -> None:
    given = ("--url", "https://study.example")
    first = connect(server, settings, *given, "--new-secret")
    assert f"REFRACT_PROLIFIC_WEBHOOK_SECRET={SECRET}" in first
    settings.PROLIFIC_WEBHOOK_SECRET = SECRET
    assert "Subscribed" not in connect(server, settings, *given)
    targets = {(row["event_type"], row["target_url"]) for row in server.subscriptions.values()}
    assert targets == {
        ("submission.status.change", "https://study.example/webhooks/prolific/"),
        ("study.status.change", "https://study.example/webhooks/prolific/"),
    }


@pytest.mark.parametrize(
    "arguments", [(), ("--url", "http://study.example"), ("--url", "https://study.example")]
)
def test_a_site_that_cannot_be_connected(
    server: ProlificServer, settings: Any, arguments: tuple[str, ...]
) -> None:
    with pytest.raises(SystemExit):
        connect(server, settings, *arguments)
    assert not server.subscriptions
