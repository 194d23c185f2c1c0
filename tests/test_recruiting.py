"""Recruiting: tables, what is sent and when, what comes back, and the codes people leave with."""

import csv
import io
import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from surveys import decisions, inbox, invitations, outbox, recruiting, requests
from surveys.errors import DomainError
from surveys.models import (
    Decline,
    Delivery,
    Identity,
    Invitation,
    Outcome,
    Participant,
    Recruitment,
    Study,
    Submission,
    WebhookEvent,
)
from surveys.prolific import Prolific, signature
from surveys.recruitment_table import TableErrors
from tests.prolific_server import SECRET, TOKEN, ProlificServer
from tests.walk import Person

pytestmark = pytest.mark.django_db

BASE = "https://study.example"
TABLE = b"""country,filters,sample,places,reward,minutes
South Africa,prism,balanced,3,9.00,60
Chile,prism,,2,9.00,60
United Kingdom,fluent-languages: English; age: 18-65,UK_REP_SAMPLE,100,9.50,55
"""
LONG = "You did not follow the instructions of the study in several places, " * 2
State = Delivery.State
Status = Submission.Status


class Clock:
    """A clock that is set, never slept."""

    def __init__(self) -> None:
        self.at = timezone.now() + timedelta(seconds=1)

    def __call__(self) -> datetime:
        return self.at

    def pass_by(self, **spell: float) -> None:
        self.at += timedelta(**spell)


class Desk:
    """The server, the clock, and the rounds that chores make."""

    def __init__(self, server: ProlificServer, clock: Clock) -> None:
        self.server = server
        self.clock = clock
        self.connect: Callable[[], Prolific] = partial(Prolific, server.url, TOKEN)

    def send(self) -> int:
        return outbox.send_due(self.clock, self.connect)

    def read(self) -> int:
        return inbox.read_due(self.clock, self.connect)

    def send_all(self, rounds: int = 12) -> None:
        """As many rounds as it takes, fifteen minutes apart."""
        for _round in range(rounds):
            self.send()
            self.clock.pass_by(minutes=15)


@pytest.fixture
def server() -> Iterator[ProlificServer]:
    with ProlificServer() as server:
        yield server


@pytest.fixture
def desk(server: ProlificServer, settings: Any) -> Desk:
    settings.PROLIFIC_WEBHOOK_SECRET = SECRET
    return Desk(server, Clock())


def load(study: Study, data: bytes = TABLE, table: str = "t1") -> list[Recruitment]:
    return recruiting.load_table(study, data, table, description="You talk to models.")


def live(study: Study, desk: Desk, name: str = "Chile") -> Recruitment:
    """One recruitment of a table of its own, published."""
    (row,) = load(study, f"country,places,reward,minutes\n{name},3,9.00,60\n".encode(), name)
    recruiting.publish(row, BASE)
    desk.send_all(3)
    row.refresh_from_db()
    assert row.state == Recruitment.State.LIVE
    return row


def comes(study: Study, row: Recruitment, desk: Desk, pid: str) -> tuple[Person, str]:
    """Somebody takes a place at Prolific and follows the link."""
    session = desk.server.reserve(row.external_id, pid)
    person = Person(study, PROLIFIC_PID=pid, STUDY_ID=row.external_id, SESSION_ID=session)
    person.arrive()
    return person, session


def finished(person: Person) -> Any:
    """At the end, everything between skipped."""
    person.ready()
    Participant.objects.filter(pk=person.row.pk).update(completed_at=timezone.now())
    return person.get("done/")


def code(row: Recruitment, outcome: Outcome, stage: str = "") -> str:
    return row.codes.get(outcome=outcome, stage=stage).code


def test_it_works(study: Study, desk: Desk) -> None:
    rows = load(study)
    for row in rows:
        recruiting.publish(row, BASE)
    desk.send_all(3)
    there = {s["internal_name"]: s for s in desk.server.studies.values()}
    assert len(there) == 3
    rows = list(Recruitment.objects.order_by("pk"))
    for row in rows:
        assert row.state == Recruitment.State.LIVE
        sent = there[row.internal_name]
        assert (sent["id"], sent["status"]) == (row.external_id, "ACTIVE")
        assert sent["external_study_url"].startswith(f"{BASE}/s/prism/?PROLIFIC_PID={{{{%PRO")
        blocked = sent["filters"][-1]
        assert blocked["filter_id"] == "previous_studies_blocklist"
        assert set(blocked["selected_values"]) == {r.external_id for r in rows} - {row.external_id}
    africa = there[rows[0].internal_name]
    assert africa["filters"][:3] == [
        {"filter_id": "fluent-languages", "selected_values": ["19"]},
        {"filter_id": "country-of-birth", "selected_values": ["31"]},
        {"filter_id": "current-country-of-residence", "selected_values": ["31"]},
    ]
    assert africa["filters"][3]["weightings"] == {"0": 1, "1": 1}
    assert there[rows[2].internal_name]["study_type"] == "UK_REP_SAMPLE"

    alice, session = comes(study, rows[0], desk, "pid-of-alice")
    page = finished(alice).content.decode()
    assert code(rows[0], Outcome.COMPLETE) in page
    assert "recruiter.example/done?cc=" + code(rows[0], Outcome.COMPLETE) in page
    desk.server.enter_code(session, code(rows[0], Outcome.COMPLETE))
    assert desk.read() == 3
    submission = Submission.objects.get()
    assert (submission.status, submission.outcome) == (Status.AWAITING_REVIEW, Outcome.COMPLETE)
    assert submission.participant == alice.row
    decisions.approve(submission, "ada")
    decisions.pay_bonus(submission, 150, "click-1", "ada")
    decisions.message(submission, "Thank you.", "click-2", "ada")
    desk.send()
    submission.refresh_from_db()
    assert (submission.status, submission.bonus_paid) == (Status.APPROVED, 150)
    assert desk.server.submissions[session]["bonus_payments"] == [150]
    assert [m["recipient_id"] for m in desk.server.messages] == ["pid-of-alice"]
    assert not Delivery.objects.exclude(state=State.DONE).exists()
    assert alice.row.released_locale == "south africa"


# Tables


def test_a_table_is_loaded_once(study: Study) -> None:
    first = load(study)
    assert [(row.name, row.locale, row.places, row.reward, row.minutes) for row in first] == [
        ("South Africa", "south africa", 3, 900, 60),
        ("Chile", "chile", 2, 900, 60),
        ("United Kingdom", "uk", 100, 950, 55),
    ]
    assert [row.pk for row in load(study)] != []
    assert Recruitment.objects.count() == 3
    assert first[0].codes.count() == len(recruiting.ENDINGS)


WRONG_TABLES = {
    "country,places,reward,minutes\nAtlantis,3,9.00,60": [(2, "country", "Atlantis")],
    "country,places,reward,minutes\nChile,none,9.00,60": [(2, "places", "none")],
    "country,places,reward,minutes\nChile,101,9.00,60": [(2, "places", "at most 100")],
    "country,places,reward,minutes\nChile,0,9.00,60": [(2, "places", "“0”")],
    'country,places,reward,minutes\nChile,3,"9,00",60': [(2, "reward", "with a point")],
    "country,places,reward,minutes\nChile,3,NaN,60": [(2, "reward", "NaN")],
    "country,places,reward,minutes\nChile,3,1.00,60": [(2, "reward", "£6.00 an hour")],
    "country,places,reward,minutes\nChile,3,9.00,0": [(2, "minutes", "“0”")],
    "country,places,reward,minutes\nChile,3,9.00,60\n\nCL,3,9.00,60": [
        (4, "country", "in line 2 already")
    ],
    "country,places,reward\nChile,3,9.00": [(1, "minutes", "missing")],
    "country,places,reward,minutes,colour\nChile,3,9.00,60,red": [(1, "colour", "no such column")],
    "country,places,reward,minutes,places\nChile,3,9.00,60,3": [(1, "places", "twice")],
    "country,places,reward,minutes\nChile,3,9.00": [(2, "", "3 cells")],
    "country,places,reward,minutes\n": [(2, "", "no row")],
    "": [(1, "country", "missing"), (1, "places", ""), (1, "reward", ""), (1, "minutes", "")],
    "country,places,reward,minutes,sample\nChile,3,9.00,60,UK_REP_SAMPLE": [
        (2, "sample", "United Kingdom")
    ],
    "country,places,reward,minutes,sample\nChile,3,9.00,60,fair": [(2, "sample", "no sample")],
    "country,places,reward,minutes,filters\nChile,3,9.00,60,age 18": [(2, "filters", "no filter")],
    "country,places,reward,minutes,filters\nChile,3,9.00,60,age: 65-18": [
        (2, "filters", "before it begins")
    ],
    "country,places,reward,minutes\nAtlantis,no,free,long\nChile,3,9.00,60": [
        (2, "country", ""),
        (2, "minutes", ""),
        (2, "places", ""),
        (2, "reward", ""),
    ],
    'country,places,reward,minutes\n"Chile,3,9.00,60': [(2, "", "quotation mark")],
}


@pytest.mark.parametrize("text", WRONG_TABLES)
def test_wrong_tables_name_line_and_column(study: Study, text: str) -> None:
    with pytest.raises(TableErrors) as caught:
        load(study, text.encode())
    expected = WRONG_TABLES[text]
    found = caught.value.problems
    assert [(p.line, p.column) for p in found] == [(line, column) for line, column, _w in expected]
    for problem, (_line, _column, words) in zip(found, expected, strict=True):
        assert words in problem.words
    assert not Recruitment.objects.exists()


@pytest.mark.parametrize(
    "data",
    [
        TABLE.replace(b",", b";").replace(b";,", b";").replace(b"; age", b""),
        b"\xef\xbb\xbf" + TABLE,
        TABLE.replace(b"\n", b"\r\n"),
    ],
    ids=["semicolons", "byte order mark", "line ends of Windows"],
)
def test_tables_of_other_spreadsheets(study: Study, data: bytes) -> None:
    if b";" in data[:20]:
        data = b"country;places;reward;minutes\nChile;3;9.00;60\n"
    assert load(study, data)[-1].places in (3, 100)


@pytest.mark.parametrize("data", [b"\xff\xfe\x00c", b"country\x00,places", b"x" * 1_000_001])
def test_what_is_no_table(study: Study, data: bytes) -> None:
    with pytest.raises(TableErrors):
        load(study, data)


# The outbox


def test_a_dry_run_shows_what_is_sent_and_sends_nothing(study: Study, desk: Desk) -> None:
    rows = load(study)
    planned = list(recruiting.dry_run(rows, BASE))
    assert not Delivery.objects.exists()
    assert not desk.server.calls
    for row in rows:
        recruiting.publish(row, BASE)
    desk.send_all(3)
    made = [call for call in planned if call.path == "/studies/"]
    for call in made:
        sent = next(
            s
            for s in desk.server.studies.values()
            if s["internal_name"] == call.body["internal_name"]
        )
        same = {name for name, value in call.body.items() if sent[name] == value}
        assert set(call.body) - same == {"filters"}, "labels become ids, nothing else changes"
    assert sum(desk.server.calls[f"{c.method} /studies/:id/transition/"] for c in planned[-1:]) == 3
    assert list(recruiting.dry_run(Recruitment.objects.all(), BASE)) == []


def test_studies_of_one_table_wait_for_each_other(study: Study, desk: Desk) -> None:
    rows = load(study)
    for row in rows[:2]:
        recruiting.publish(row, BASE)
    desk.send_all(2)
    waiting = Delivery.objects.get(key=f"publish:{rows[0].pk}")
    assert waiting.state == State.DUE
    assert "United Kingdom" in waiting.last_error
    recruiting.create(rows[2], BASE)
    desk.send_all(2)
    waiting.refresh_from_db()
    assert waiting.state == State.DONE


LOST = [
    "POST /studies/",
    "POST /studies/:id/transition/",
    "POST /submissions/:id/transition/",
    "POST /submissions/:id/request-return/",
    "POST /submissions/bonus-payments/",
    "POST /bulk-bonus-payments/:id/pay/",
    "POST /messages/",
    "PATCH /studies/:id/",
]


@pytest.mark.parametrize("call", LOST)
def test_an_answer_that_was_lost_does_nothing_twice(study: Study, desk: Desk, call: str) -> None:
    desk.server.lose_next(call)
    row = live(study, desk)
    _alice, session = comes(study, row, desk, "pid-of-alice")
    _bob, other = comes(study, row, desk, "pid-of-bob")
    submission = Submission.objects.get(external_id=session)
    decisions.approve(submission)
    decisions.pay_bonus(submission, 150, "once")
    decisions.message(submission, "Thank you.", "once")
    decisions.request_return(Submission.objects.get(external_id=other), "You left early.")
    recruiting.raise_places(row, 10)
    desk.send_all()
    assert not Delivery.objects.exclude(state=State.DONE).exists()
    assert len(desk.server.studies) == 1
    there = desk.server.submissions[session]
    assert (there["status"], there["bonus_payments"]) == ("APPROVED", [150])
    assert len(desk.server.messages) == 1
    assert desk.server.submissions[other]["return_requested"]
    assert desk.server.studies[row.external_id]["total_available_places"] == 10
    paid = sum(payment["paid"] for payment in desk.server.bulk_bonuses.values())
    assert paid == 1
    submission.refresh_from_db()
    assert submission.bonus_paid == 150


def test_a_payment_nobody_can_find_is_never_repeated_by_itself(study: Study, desk: Desk) -> None:
    row = live(study, desk)
    _alice, session = comes(study, row, desk, "pid-of-alice")
    submission = Submission.objects.get()
    bonus = decisions.pay_bonus(submission, 150, "once")
    second = decisions.pay_bonus(submission, 150, "another, meant")
    desk.server.hides_bonuses = True
    desk.server.lose_next("POST /bulk-bonus-payments/:id/pay/")
    desk.send_all(20)
    bonus.refresh_from_db()
    assert bonus.state == State.UNCLEAR
    assert "Look there" in bonus.last_error
    assert desk.server.calls["POST /bulk-bonus-payments/:id/pay/"] == 1
    requests.settle(bonus, happened=True)
    with pytest.raises(DomainError):
        requests.settle(bonus, happened=True)
    desk.server.hides_bonuses = False
    desk.send_all(2)
    second.refresh_from_db()
    submission.refresh_from_db()
    assert (second.state, submission.bonus_paid) == (State.DONE, 300)
    assert desk.server.submissions[session]["bonus_payments"] == [150, 150]


@pytest.mark.parametrize("how", ["refuses connections", "answers 503"])
def test_an_hour_without_prolific(study: Study, desk: Desk, how: str) -> None:
    row = live(study, desk)
    people = [comes(study, row, desk, f"pid-{number}") for number in range(3)]
    for submission in Submission.objects.all():
        decisions.approve(submission)
    if how == "answers 503":
        desk.server.down = True
    else:
        desk.server.stop()
    before = desk.server.calls.total()
    end = desk.clock() + timedelta(hours=1)
    while desk.clock() < end:
        desk.send()
        desk.read()
        desk.clock.pass_by(seconds=15)
    assert desk.server.calls.total() - before < 120, "it is not asked all the time"
    assert set(Delivery.objects.filter(kind="approve").values_list("state", flat=True)) <= {
        State.DUE,
        State.UNSURE,
    }
    row.refresh_from_db()
    assert "Prolific" in row.read_error
    late = Person(study, PROLIFIC_PID="pid-late", STUDY_ID=row.external_id, SESSION_ID="s-late")
    assert late.consent().status_code == 200, "participants notice nothing"
    if how == "answers 503":
        desk.server.down = False
    else:
        desk.server.start()
    desk.send_all(3)
    assert [desk.server.submissions[session]["status"] for _p, session in people] == [
        "APPROVED"
    ] * 3
    assert desk.read() == 1
    row.refresh_from_db()
    assert row.read_error == ""


def test_it_slows_down_when_asked(study: Study, desk: Desk) -> None:
    row = live(study, desk)
    sessions = [comes(study, row, desk, f"pid-{number}")[1] for number in range(3)]
    for submission in Submission.objects.all():
        decisions.approve(submission)
    desk.server.limit_next("600")
    before = desk.server.calls.total()
    desk.send()
    desk.clock.pass_by(minutes=9)
    desk.send()
    assert desk.server.calls.total() == before + 1, "one refusal is enough for all"
    desk.clock.pass_by(minutes=2)
    desk.send()
    assert {desk.server.submissions[session]["status"] for session in sessions} == {"APPROVED"}


def test_a_refusal_is_told_and_can_be_mended(study: Study, desk: Desk) -> None:
    desk.server.balance = 0
    (row,) = load(study, b"country,places,reward,minutes\nChile,3,9.00,60\n")
    delivery = recruiting.publish(row, BASE)
    desk.send_all(2)
    delivery.refresh_from_db()
    assert delivery.state == State.REFUSED
    assert "not enough funds" in delivery.last_error
    desk.server.balance = 10_000_00
    requests.try_again(delivery)
    desk.clock.pass_by(days=1)
    desk.send()
    delivery.refresh_from_db()
    assert delivery.state == State.DONE


def test_a_filter_prolific_does_not_have(study: Study, desk: Desk) -> None:
    rows = load(
        study,
        b"country,places,reward,minutes,filters\nChile,3,9.00,60,fluent-languages: Klingon\n"
        b"Peru,3,9.00,60,shoe-size: 18-65; hats: top\n",
    )
    for row in rows:
        recruiting.create(row, BASE)
    desk.send_all(1)
    words = {d.recruitment.name: d.last_error for d in Delivery.objects.all()}
    assert "Klingon" in words["Chile"]
    assert "English" in words["Chile"]
    assert "hats" in words["Peru"]
    assert not desk.server.studies


def test_without_a_token_all_waits_and_says_why(study: Study, settings: Any) -> None:
    settings.PROLIFIC_TOKEN = ""
    (row, *_others) = load(study)
    delivery = recruiting.create(row, BASE)
    outbox.send_due()
    delivery.refresh_from_db()
    assert delivery.state == State.DUE
    assert "REFRACT_PROLIFIC_TOKEN" in delivery.last_error


def test_an_expired_token_loses_nothing(study: Study, desk: Desk) -> None:
    rows = load(study)
    for row in rows:
        recruiting.create(row, BASE)
    expired = partial(Prolific, desk.server.url, "expired")
    assert outbox.send_due(desk.clock, expired) == 0
    assert set(Delivery.objects.values_list("state", flat=True)) == {State.DUE}
    desk.send_all(1)
    assert len(desk.server.studies) == 0, "held for half a minute"
    desk.send_all(1)
    assert len(desk.server.studies) == 3


def test_one_that_always_fails_holds_up_no_other(study: Study, desk: Desk) -> None:
    row = live(study, desk)
    for number in range(3):
        comes(study, row, desk, f"pid-{number}")
    first, *others = Submission.objects.order_by("pk")
    desk.server.fail_next("POST /messages/", times=10_000)
    for number in range(5):
        decisions.message(first, "Hello.", f"m{number}")
    for submission in others:
        decisions.approve(submission)
    desk.send_all(6)
    assert not Delivery.objects.filter(kind="approve").exclude(state=State.DONE).exists()


def test_a_process_that_died_while_sending_is_followed_by_another(study: Study, desk: Desk) -> None:
    row = live(study, desk)
    _alice, session = comes(study, row, desk, "pid-of-alice")
    delivery = decisions.approve(Submission.objects.get())
    assert delivery
    claimed = outbox.claim(delivery.pk, desk.clock())
    assert claimed
    assert outbox.claim(delivery.pk, desk.clock()) is None, "one at a time"
    assert desk.send() == 0
    desk.clock.pass_by(minutes=11)
    assert desk.send() == 1
    assert desk.server.submissions[session]["status"] == "APPROVED"


def test_the_same_click_twice_asks_once(study: Study, desk: Desk) -> None:
    row = live(study, desk)
    comes(study, row, desk, "pid-of-alice")
    submission = Submission.objects.get()
    before = Delivery.objects.count()
    for _click in range(2):
        decisions.approve(submission)
        decisions.pay_bonus(submission, 150, "click")
        decisions.message(submission, "Thank you.", "click")
        recruiting.raise_places(row, 9)
    assert Delivery.objects.count() == before + 4


def test_what_is_not_ready_is_not_sent(study: Study, desk: Desk) -> None:
    rows = recruiting.load_table(study, TABLE, "t1")
    Study.objects.update(payment="")
    row = Recruitment.objects.get(pk=rows[0].pk)
    row.codes.all().delete()
    with pytest.raises(DomainError) as caught:
        recruiting.create(row, "http://study.example")
    for words in ("https", "description", "completion code"):
        assert words in caught.value.message
    Study.objects.update(state=Study.State.PAUSED)
    with pytest.raises(DomainError, match="pilot or live"):
        recruiting.publish(Recruitment.objects.get(pk=rows[1].pk), BASE)
    assert not Delivery.objects.exists()


def test_places_are_only_raised_and_within_prisms_cap(study: Study, desk: Desk) -> None:
    row = live(study, desk)
    with pytest.raises(DomainError, match="only be raised"):
        recruiting.raise_places(row, 3)
    with pytest.raises(DomainError, match="at most 100"):
        recruiting.raise_places(row, 101)
    recruiting.raise_places(row, 100)
    desk.send_all(1)
    row.refresh_from_db()
    assert row.places == 100


def test_pause_go_on_and_stop(study: Study, desk: Desk) -> None:
    row = live(study, desk)
    for kind, state in (
        (Delivery.Kind.PAUSE, Recruitment.State.PAUSED),
        (Delivery.Kind.RESUME, Recruitment.State.LIVE),
        (Delivery.Kind.STOP, Recruitment.State.CLOSED),
    ):
        recruiting.switch(row, kind, "k")
        desk.send_all(1)
        row.refresh_from_db()
        assert row.state == state
        with pytest.raises(DomainError):
            recruiting.switch(row, kind, "k2")


# Decisions


def test_a_rejection_has_a_category_and_a_reason(study: Study, desk: Desk) -> None:
    row = live(study, desk)
    alice, session = comes(study, row, desk, "pid-of-alice")
    alice.ready()
    submission = Submission.objects.get()
    with pytest.raises(DomainError, match="100 characters"):
        decisions.reject(submission, "LOW_EFFORT", "Too short.")
    with pytest.raises(DomainError, match="reasons"):
        decisions.reject(submission, "DISLIKED", LONG)
    decisions.reject(submission, "LOW_EFFORT", LONG)
    desk.send()
    assert desk.server.submissions[session]["status"] == "REJECTED"
    assert alice.row.rejected_at
    assert not Participant.objects.released().exists()
    with pytest.raises(DomainError, match="already"):
        decisions.approve(Submission.objects.get())


def test_a_decision_can_be_changed_until_prolific_hears_it(study: Study, desk: Desk) -> None:
    row = live(study, desk)
    _alice, session = comes(study, row, desk, "pid-of-alice")
    decisions.reject(Submission.objects.get(), "LOW_EFFORT", LONG)
    decisions.approve(Submission.objects.get())
    desk.send_all(2)
    assert desk.server.submissions[session]["status"] == "APPROVED"
    assert Delivery.objects.get(kind="reject").state == State.CANCELLED


def test_a_decision_that_was_cancelled_is_none(study: Study, desk: Desk) -> None:
    row = live(study, desk)
    comes(study, row, desk, "pid-of-alice")
    delivery = decisions.approve(Submission.objects.get(), "ada")
    assert delivery
    requests.cancel(delivery)
    assert Submission.objects.get().decision == ""
    with pytest.raises(DomainError):
        requests.cancel(delivery)
    desk.send()
    assert Submission.objects.get().status == Status.ARRIVED


def test_rejected_at_prolific_and_approved_again(study: Study, desk: Desk) -> None:
    row = live(study, desk)
    alice, session = comes(study, row, desk, "pid-of-alice")
    for status, is_rejected in (("REJECTED", True), ("APPROVED", False)):
        desk.server.submissions[session]["status"] = status
        desk.clock.pass_by(minutes=6)
        desk.read()
        assert bool(alice.row.rejected_at) == is_rejected


# What comes in


def hook(body: bytes, headers: dict[str, str]) -> Any:
    return Client().post(
        "/webhooks/prolific/", body, content_type="application/json", headers=headers
    )


def test_webhooks_are_taken_over(study: Study, desk: Desk) -> None:
    row = live(study, desk)
    _alice, session = comes(study, row, desk, "pid-of-alice")
    answer = hook(*desk.server.event(session, "AWAITING REVIEW"))
    assert (answer.status_code, answer.json()) == (200, {"state": "applied"})
    assert Submission.objects.get().status == Status.AWAITING_REVIEW
    an_hour_ago = timezone.now() - timedelta(hours=1)
    Recruitment.objects.update(external_status_at=an_hour_ago)
    hook(*desk.server.event(row.external_id, "PAUSED", kind="study"))
    row.refresh_from_db()
    assert row.state == Recruitment.State.PAUSED


def test_a_forged_webhook_changes_nothing(study: Study, desk: Desk, settings: Any) -> None:
    row = live(study, desk)
    _alice, session = comes(study, row, desk, "pid-of-alice")
    body, headers = desk.server.event(session, "APPROVED")
    for wrong in (
        {"X-Prolific-Request-Signature": "AAAA"},
        {"X-Prolific-Request-Signature": ""},
        {"X-Prolific-Request-Timestamp": "1"},
    ):
        assert hook(body, headers | wrong).status_code == 403
    assert hook(body.replace(b"APPROVED", b"REJECTED"), headers).status_code == 403
    settings.PROLIFIC_WEBHOOK_SECRET = ""
    assert hook(body, headers).status_code == 403
    assert Client().get("/webhooks/prolific/").status_code == 405
    assert not WebhookEvent.objects.exists()
    assert Submission.objects.get().status == Status.ARRIVED


def test_a_doubled_webhook_counts_once(study: Study, desk: Desk) -> None:
    row = live(study, desk)
    _alice, session = comes(study, row, desk, "pid-of-alice")
    event = desk.server.event(session, "AWAITING REVIEW")
    assert [hook(*event).json()["state"] for _time in range(3)] == ["applied"] * 3
    assert WebhookEvent.objects.count() == 1


def test_webhooks_out_of_order(study: Study, desk: Desk) -> None:
    row = live(study, desk)
    _alice, session = comes(study, row, desk, "pid-of-alice")
    now = timezone.now().timestamp()
    assert hook(*desk.server.event(session, "APPROVED", now)).json() == {"state": "applied"}
    old = hook(*desk.server.event(session, "AWAITING REVIEW", now - 60))
    assert old.json() == {"state": "older"}
    assert Submission.objects.get().status == Status.APPROVED
    same_second = hook(*desk.server.event(session, "ACTIVE", now))
    assert same_second.json() == {"state": "older"}
    assert hook(*desk.server.event(session, "ACTIVE", now + 30)).json() == {"state": "older"}


def test_a_copy_sent_again_with_a_later_time_is_no_news(study: Study, desk: Desk) -> None:
    row = live(study, desk)
    _alice, session = comes(study, row, desk, "pid-of-alice")
    now = timezone.now().timestamp()
    body, headers = desk.server.event(session, "AWAITING REVIEW", now - 60)
    hook(*desk.server.event(session, "APPROVED", now))
    copy = headers | {"X-Timestamp": str(int(now + 60)), "X-Event-ID": "made up"}
    assert hook(body, copy).json() == {"state": "older"}
    assert Submission.objects.get().status == Status.APPROVED


def test_a_late_webhook_is_not_lost(study: Study, desk: Desk) -> None:
    row = live(study, desk)
    _alice, session = comes(study, row, desk, "pid-of-alice")
    yesterday = timezone.now().timestamp() - 86_400
    assert hook(*desk.server.event(session, "RETURNED", yesterday)).json() == {"state": "applied"}


def test_a_webhook_before_the_person(study: Study, desk: Desk) -> None:
    row = live(study, desk)
    session = desk.server.reserve(row.external_id, "pid-of-alice", "RESERVED")
    assert hook(*desk.server.event(session, "RESERVED")).json() == {"state": "waiting"}
    desk.read()
    submission = Submission.objects.get()
    assert (submission.person, submission.participant) == ("pid-of-alice", None)
    alice = Person(study, PROLIFIC_PID="pid-of-alice", STUDY_ID=row.external_id, SESSION_ID=session)
    alice.arrive()
    submission.refresh_from_db()
    assert submission.participant == alice.row
    assert not WebhookEvent.objects.filter(state="waiting").exists()


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b'{"event_type": 1}', b"\xff", b"null"])
def test_unreadable_webhooks(study: Study, desk: Desk, body: bytes) -> None:
    moment = str(int(timezone.now().timestamp()))
    headers = {
        "X-Prolific-Request-Timestamp": moment,
        "X-Prolific-Request-Signature": signature(SECRET, moment, body),
    }
    assert hook(body, headers).status_code == 400
    assert not WebhookEvent.objects.exists()


def test_times_that_are_none(study: Study, desk: Desk) -> None:
    for moment in ("", "soon", "nan", "1e300", str(int(timezone.now().timestamp()) + 9000)):
        headers = {
            "X-Prolific-Request-Timestamp": moment,
            "X-Prolific-Request-Signature": signature(SECRET, moment, b"{}"),
        }
        assert hook(b"{}", headers).status_code == 400


def test_people_who_never_came_are_read_too(study: Study, desk: Desk) -> None:
    row = live(study, desk)
    timed_out = desk.server.reserve(row.external_id, "pid-of-carol", "TIMED-OUT")
    returned = desk.server.reserve(row.external_id, "pid-of-dave", "RETURNED")
    desk.clock.pass_by(minutes=6)
    desk.read()
    assert Submission.objects.get().external_id == timed_out
    assert not Submission.objects.filter(external_id=returned).exists()


def test_closed_ones_are_read_until_all_is_settled(study: Study, desk: Desk) -> None:
    row = live(study, desk)
    _alice, session = comes(study, row, desk, "pid-of-alice")
    Recruitment.objects.update(state="closed", read_due_at=None)
    desk.server.studies[row.external_id]["status"] = "COMPLETED"
    assert desk.read() == 1
    desk.server.submissions[session]["status"] = "APPROVED"
    desk.clock.pass_by(hours=7)
    assert desk.read() == 1
    desk.clock.pass_by(hours=7)
    assert desk.read() == 0


# Arriving


def test_a_second_submission_is_kept_and_payable(study: Study, desk: Desk) -> None:
    first, second = live(study, desk, "Chile"), live(study, desk, "Peru")
    alice, one = comes(study, first, desk, "pid-of-alice")
    alice.consent()
    again, two = comes(study, second, desk, "pid-of-alice")
    third = desk.server.reserve(first.external_id, "pid-of-alice")
    Person(
        study, PROLIFIC_PID="pid-of-alice", STUDY_ID=first.external_id, SESSION_ID=third
    ).arrive()
    assert Participant.objects.count() == 1
    assert again.row == alice.row
    assert set(alice.row.submissions.values_list("external_id", flat=True)) == {one, two, third}
    assert alice.row.came_by == first
    assert alice.row.released_locale == "chile"
    for submission in Submission.objects.all():
        decisions.approve(submission)
    desk.send_all(1)
    assert {row["status"] for row in desk.server.submissions.values()} == {"APPROVED"}


def test_the_code_is_that_of_the_latest_submission(study: Study, desk: Desk) -> None:
    first, second = live(study, desk, "Chile"), live(study, desk, "Peru")
    comes(study, first, desk, "pid-of-alice")
    again, _two = comes(study, second, desk, "pid-of-alice")
    assert code(second, Outcome.COMPLETE) in finished(again).content.decode()


def test_somebody_elses_session_in_the_link(study: Study, desk: Desk) -> None:
    row = live(study, desk)
    alice, session = comes(study, row, desk, "pid-of-alice")
    thief = Person(study, PROLIFIC_PID="pid-of-bob", STUDY_ID=row.external_id, SESSION_ID=session)
    thief.arrive()
    assert Submission.objects.get(external_id=session).participant == alice.row


def test_a_study_id_nobody_knows_is_kept_as_before(study: Study) -> None:
    Person(study, PROLIFIC_PID="p", STUDY_ID="elsewhere", SESSION_ID="s").arrive()
    row = Participant.objects.get()
    assert (row.came_by, row.recruitment_id, row.released_locale) == (None, "elsewhere", "us")
    assert not Submission.objects.exists()


def panel(study: Study, **more: Any) -> Recruitment:
    row = Recruitment.objects.create(
        study=study,
        kind=Recruitment.Kind.PANEL,
        name="Panel",
        locale="Brazil",
        person_parameter="rid",
        submission_parameter="tx",
        return_url="https://panel.example/end?c={code}&who={person}&tx={submission}",
        **more,
    )
    recruiting.add_codes(row)
    recruiting.open_link(row)
    return row


def test_a_panel_by_its_own_parameters(study: Study) -> None:
    row = panel(study)
    assert recruiting.link_of(row, BASE).endswith(f"?via={row.token}&rid={{rid}}&tx={{tx}}")
    alice = Person(study, via=row.token, rid="r 1", tx="t/9", source="mail")
    alice.consent()
    assert alice.row.is_recruited
    assert Identity.objects.get().parameters == {"source": "mail"}
    link = f"https://panel.example/end?c={code(row, Outcome.COMPLETE)}&amp;who=r%201&amp;tx=t%2F9"
    assert link in finished(alice).content.decode()
    Person(study, via=row.token, rid="r 1", tx="t/9").arrive()
    assert (Participant.objects.count(), Submission.objects.count()) == (1, 1)
    assert alice.row.released_locale == "brazil"
    other = panel(study)
    Person(study, via=other.token, rid="r 1", tx="t/9").arrive()
    assert Participant.objects.count() == 2, "another panel's number is another person"


def test_a_panel_needs_its_parameter(study: Study) -> None:
    row = Recruitment.objects.create(study=study, kind="panel", name="Panel")
    with pytest.raises(DomainError, match="parameter"):
        recruiting.open_link(row)


@pytest.mark.parametrize("query", [{"via": "nothing"}, {"invitation": "nothing"}])
def test_links_that_are_not_complete(study: Study, query: dict[str, str]) -> None:
    page = Client().get("/s/prism/", query)
    assert page.status_code == 403
    assert "not complete" in page.content.decode()
    assert not Participant.objects.exists()


def test_an_open_link_has_as_many_places_as_it_says(study: Study) -> None:
    row = Recruitment.objects.create(
        study=study, kind=Recruitment.Kind.OPEN, name="Newsletter", places=2
    )
    refused = Client().get("/s/prism/", {"via": row.token})
    assert refused.status_code == 403, "a draft lets nobody in"
    recruiting.open_link(row)
    alice, bob, carol = (Person(study, via=row.token) for _person in range(3))
    alice.consent()
    bob.arrive()
    full = carol.arrive()
    assert full.status_code == 403
    assert "All places" in full.content.decode()
    Participant.objects.filter(pk=bob.row.pk).update(
        arrived_at=timezone.now() - timedelta(minutes=31)
    )
    assert carol.consent().status_code == 200, "who did not consent keeps no place"
    alice.post("stop/")
    assert Person(study, via=row.token).arrive().status_code == 200
    assert alice.get().status_code == 200
    assert not Submission.objects.exists()


def test_personal_links(study: Study) -> None:
    row = Recruitment.objects.create(study=study, kind=Recruitment.Kind.INVITATIONS, name="Friends")
    recruiting.open_link(row)
    data = b"label,e-mail\nAlice,alice@example.org\n=1+1,\n"
    invitations.invite(row, data)
    invitations.invite(row, data)
    assert Invitation.objects.count() == 2
    lines = list(csv.reader(io.StringIO(invitations.links_csv(row, BASE))))
    assert lines[0] == ["label", "e-mail", "link"]
    assert lines[1][:2] == ["Alice", "alice@example.org"]
    assert lines[2][0] == "'=1+1"
    token = lines[1][2].rpartition("=")[2]
    assert lines[1][2] == f"{BASE}/s/prism/?invitation={token}"
    laptop, phone = Person(study, invitation=token), Person(study, invitation=token)
    laptop.consent()
    phone.arrive()
    assert Participant.objects.get().came_by == row
    assert Invitation.objects.get(token=token).participant == laptop.row
    assert "alice@example.org" not in json.dumps(
        list(Identity.objects.values("external_id", "session_id", "parameters"))
    )


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"label,e-mail\nAlice,nowhere\n", "line 2, e-mail"),
        (b"name\nAlice\n", "line 1, name"),
        (b"label\n" + b"x" * 201, "line 2, label"),
    ],
)
def test_wrong_lists_of_people(study: Study, data: bytes, words: str) -> None:
    row = Recruitment.objects.create(study=study, kind="invitations", name="Friends")
    with pytest.raises(TableErrors) as caught:
        invitations.invite(row, data)
    assert words in caught.value.message
    assert not Invitation.objects.exists()


# Leaving


def test_each_end_has_its_own_code(study: Study, desk: Desk) -> None:
    row = live(study, desk)
    row.codes.filter(outcome=Outcome.PARTIAL, stage="survey").update(pay=450)
    declining, _s = comes(study, row, desk, "pid-a")
    page = declining.post("decline/").content.decode()
    assert code(row, Outcome.NO_CONSENT) in page

    early, _s = comes(study, row, desk, "pid-b")
    early.consent()
    page = early.post("stop/").content.decode()
    assert code(row, Outcome.PARTIAL, "consented") in page
    assert "You are paid" not in page

    halfway, _s = comes(study, row, desk, "pid-c")
    halfway.ready()
    page = halfway.post("stop/", {"withdraw": "on"}).content.decode()
    assert code(row, Outcome.PARTIAL, "survey") in page
    assert "£4.50" in page

    stuck, _s = comes(study, row, desk, "pid-d")
    stuck.ready()
    page = stuck.post("stop/", {"technical": "on"}).content.decode()
    assert code(row, Outcome.TECHNICAL) in page

    checked, _s = comes(study, row, desk, "pid-e")
    checked.consent()
    Participant.objects.filter(pk=checked.row.pk).update(screened_at=timezone.now())
    assert code(row, Outcome.FAILED_CHECKS) in checked.get().content.decode()

    outcomes = Submission.objects.order_by("pk").values_list("outcome", "stage")
    assert list(outcomes) == [
        ("partial", "consented"),
        ("partial", "survey"),
        ("technical", ""),
        ("failed_checks", ""),
    ]


def test_who_stopped_part_way_is_paid_for_the_part_once(study: Study, desk: Desk) -> None:
    row = live(study, desk)
    row.codes.filter(outcome=Outcome.PARTIAL, stage="survey").update(pay=450)
    halfway, session = comes(study, row, desk, "pid-c")
    halfway.ready()
    halfway.post("stop/")
    submission = Submission.objects.get()
    for _click in range(2):
        decisions.pay_for_part(submission)
    desk.send_all(2)
    assert desk.server.submissions[session]["bonus_payments"] == [450]
    row.codes.update(pay=0)
    with pytest.raises(DomainError, match="no part is paid"):
        decisions.pay_for_part(Submission.objects.get())


def test_without_codes_the_studys_own_holds(study: Study, desk: Desk) -> None:
    row = live(study, desk)
    row.codes.all().delete()
    alice, _session = comes(study, row, desk, "pid-of-alice")
    page = finished(alice).content.decode()
    assert study.completion_code in page
    assert study.completion_link in page


def test_nothing_is_kept_of_somebody_who_declined(study: Study, desk: Desk) -> None:
    row = live(study, desk)
    alice, session = comes(study, row, desk, "pid-of-alice")
    alice.post("decline/")
    desk.server.enter_code(session, code(row, Outcome.NO_CONSENT))
    desk.clock.pass_by(minutes=6)
    desk.read()
    assert Decline.objects.count() == 1
    assert not Submission.objects.exists()
    assert desk.server.submissions[session]["return_requested"]


def test_a_fixed_payment_for_those_screened_out(study: Study, desk: Desk) -> None:
    (row,) = load(study, b"country,places,reward,minutes\nChile,3,9.00,60\n")
    row.codes.filter(outcome=Outcome.SCREENED_OUT).update(pay=100)
    recruiting.publish(row, BASE)
    desk.send_all(2)
    (there,) = desk.server.studies.values()
    (action,) = next(
        c["actions"] for c in there["completion_codes"] if c["code_type"] == "FIXED_SCREENOUT"
    )
    assert action == {
        "action": "FIXED_SCREEN_OUT_PAYMENT",
        "fixed_screen_out_reward": 100,
        "slots": 3,
    }


def test_forgetting_who_people_were(study: Study, desk: Desk) -> None:
    row = live(study, desk)
    _alice, session = comes(study, row, desk, "pid-of-alice")
    hook(*desk.server.event(session, "AWAITING REVIEW"))
    decisions.approve(Submission.objects.get())
    with pytest.raises(DomainError, match="Stop all"):
        decisions.forget_people(study)
    Recruitment.objects.update(state="closed")
    with pytest.raises(DomainError, match="outbox"):
        decisions.forget_people(study)
    desk.send_all(1)
    assert decisions.forget_people(study) == 1
    submission = Submission.objects.get()
    assert (submission.external_id, submission.person) == ("", "")
    assert not WebhookEvent.objects.exists()
    desk.clock.pass_by(days=1)
    assert desk.read() == 0, "it does not come back"


def test_a_clock_of_another_zone() -> None:
    assert inbox.moment("1700000000") == datetime(2023, 11, 14, 22, 13, 20, tzinfo=UTC)
    assert inbox.moment("1700000000000") == inbox.moment("1700000000")
