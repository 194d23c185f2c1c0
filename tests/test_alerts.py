"""Alerts: each told once until it is over, by mail and to a webhook."""

import json
import threading
from collections.abc import Iterator
from datetime import datetime, timedelta
from decimal import Decimal
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest
from django.core import mail
from django.utils import timezone

from collection import alerts
from collection.models import Alert, ModelCall, ModelEndpoint, Reservation
from config import chores
from config.mail import mail_settings
from surveys.models import Participant, Study
from tests.export_cast import converse, make_person, make_study

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def to_ada(settings: Any) -> None:
    settings.ALERT_EMAILS = ["ada@example.org"]


@pytest.fixture
def study(db: None) -> Study:
    return make_study()


class Hook(HTTPServer):
    """A webhook that answers as told, and keeps what it got."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Catcher)
        self.got: list[dict[str, Any]] = []
        self.status = 200

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/hook"


class Catcher(BaseHTTPRequestHandler):
    server: Hook

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.got.append(json.loads(body))
        self.send_response(self.server.status)
        self.end_headers()

    def log_message(self, *_args: Any) -> None:
        pass


@pytest.fixture
def hook(settings: Any) -> Iterator[Hook]:
    with Hook() as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        settings.ALERT_WEBHOOK = server.url
        yield server
        server.shutdown()


def rest(study: Study, until: datetime | None = None) -> ModelEndpoint:
    endpoint = study.endpoints.order_by("long_name")[0]
    endpoint.resting_until = until or timezone.now() + timedelta(minutes=1)
    endpoint.rest_reason = "5 failures in a row"
    endpoint.save()
    return endpoint


def kinds() -> list[str]:
    return list(Alert.objects.filter(over_at__isnull=True).values_list("kind", flat=True))


def test_it_works(study: Study, hook: Hook) -> None:
    endpoint = rest(study)
    assert alerts.look() == 1
    message = mail.outbox[0]
    assert message.to == ["ada@example.org"]
    assert message.subject == "[Refract] Model resting: PRISM"
    assert "vendor/model-a" in str(message.body)
    assert "5 failures in a row" in str(message.body)
    assert [(got["study"], got["kind"], got["subject"]) for got in hook.got] == [
        ("prism", "resting", endpoint.long_name)
    ]


def test_told_once_until_it_is_over(study: Study, hook: Hook) -> None:
    endpoint = rest(study)
    for _time in range(3):
        alerts.look()
    endpoint.resting_until = None
    endpoint.save()
    alerts.look()
    rest(study)  # tried and failed again, soon after
    alerts.look()
    assert len(mail.outbox) == len(hook.got) == Alert.objects.count() == 1
    endpoint.save()
    Alert.objects.update(seen_at=timezone.now() - timedelta(minutes=16))
    alerts.look()
    assert kinds() == []
    rest(study)
    alerts.look()
    assert len(mail.outbox) == len(hook.got) == Alert.objects.count() == 2


def test_what_could_not_be_sent_is_sent_later(study: Study, hook: Hook) -> None:
    rest(study)
    hook.status = 500
    alerts.look()
    assert Alert.objects.get().posted_at is None
    hook.status = 200
    alerts.look()
    alerts.look()
    assert len(hook.got) == 2
    assert len(mail.outbox) == 1


def test_a_mail_server_that_is_away_stops_nothing(study: Study, hook: Hook, settings: Any) -> None:
    settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
    settings.EMAIL_HOST, settings.EMAIL_PORT = "127.0.0.1", 1
    rest(study)
    assert alerts.look() == 1
    assert Alert.objects.get().mailed_at is None
    assert len(hook.got) == 1


def test_without_an_address_it_is_only_on_the_page(study: Study, settings: Any) -> None:
    settings.ALERT_EMAILS = []
    rest(study)
    assert alerts.look() == 1
    assert mail.outbox == []


@pytest.mark.parametrize(
    ("minutes", "active", "state", "found"),
    [
        (1, True, "live", ["resting"]),
        (1, True, "pilot", ["resting"]),
        (1, True, "paused", []),
        (1, False, "live", []),
        (-1, True, "live", []),
    ],
)
def test_resting(study: Study, minutes: int, active: bool, state: str, found: list[str]) -> None:
    endpoint = rest(study, timezone.now() + timedelta(minutes=minutes))
    ModelEndpoint.objects.filter(pk=endpoint.pk).update(is_active=active)
    Study.objects.update(state=state)
    alerts.look()
    assert kinds() == found


@pytest.mark.parametrize(
    ("minutes", "state", "found"),
    [(121, "live", ["stalled"]), (119, "live", []), (121, "pilot", []), (121, "closed", [])],
)
def test_stalled(study: Study, minutes: int, state: str, found: list[str]) -> None:
    Study.objects.update(state=state)
    Participant.objects.create(study=study, instrument=study.instrument)
    Participant.objects.update(arrived_at=timezone.now() - timedelta(minutes=minutes))
    alerts.look()
    assert kinds() == found


def test_who_works_on_an_old_link_is_a_sign_of_life(study: Study) -> None:
    person = make_person(study)
    Participant.objects.update(arrived_at=timezone.now() - timedelta(days=1))
    person.pages.create(page="about_you", shown_at=timezone.now() - timedelta(minutes=5))
    alerts.look()
    assert kinds() == []


def test_a_study_to_which_nobody_came_is_not_stalled(study: Study) -> None:
    assert alerts.look() == 0


@pytest.mark.parametrize(("spent", "found"), [("40", ["budget"]), ("39.99", [])])
def test_budget(study: Study, spent: str, found: list[str]) -> None:
    Study.objects.update(budget_usd=50)
    Reservation.objects.create(
        participant=make_person(study), study=study, amount_usd=1, spent_usd=Decimal(spent)
    )
    alerts.look()
    assert kinds() == found


@pytest.mark.parametrize(
    ("calls", "failed", "minutes", "found"),
    [
        (20, 2, 14, ["errors"]),
        (20, 1, 14, []),
        (19, 19, 14, []),
        (20, 20, 16, []),
    ],
)
def test_errors(study: Study, calls: int, failed: int, minutes: int, found: list[str]) -> None:
    converse(make_person(study), scores=((70,),))
    first = ModelCall.objects.get()
    ended_at = timezone.now() - timedelta(minutes=minutes)
    ModelCall.objects.bulk_create(
        ModelCall(
            attempt=first.attempt,
            slot=number + 1,
            endpoint=first.endpoint,
            messages=[],
            parameters={},
            outcome="timeout" if number < failed else "ok",
            ended_at=ended_at,
        )
        for number in range(calls)
    )
    alerts.look()
    assert kinds() == found


def test_the_chore_looks(study: Study) -> None:
    rest(study)
    chores.do("alerts")
    assert kinds() == ["resting"]


def test_a_mail_address_is_read() -> None:
    found = mail_settings("smtp+tls://ada%40example.org:p%3Aw@mail.example.org")
    assert found["EMAIL_HOST"] == "mail.example.org"
    assert (found["EMAIL_HOST_USER"], found["EMAIL_HOST_PASSWORD"]) == ("ada@example.org", "p:w")
    assert (found["EMAIL_PORT"], found["EMAIL_USE_TLS"], found["EMAIL_USE_SSL"]) == (
        587,
        True,
        False,
    )
    found = mail_settings("smtps://mail.example.org:4650")
    assert (found["EMAIL_PORT"], found["EMAIL_USE_TLS"], found["EMAIL_USE_SSL"]) == (
        4650,
        False,
        True,
    )
    assert mail_settings("")["EMAIL_BACKEND"].endswith("dummy.EmailBackend")
    assert mail_settings("console://")["EMAIL_BACKEND"].endswith("console.EmailBackend")


@pytest.mark.parametrize("url", ["mail.example.org", "http://u:secret@mail.example.org", "smtp://"])
def test_a_wrong_mail_address_is_refused_without_its_password(url: str) -> None:
    with pytest.raises(ValueError, match="REFRACT_EMAIL_URL") as refused:
        mail_settings(url)
    assert "secret" not in str(refused.value)
