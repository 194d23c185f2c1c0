"""Checks, screening out, surveys without conversations, forms that do not belong."""

from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from surveys import answers
from surveys.instruments.load import keep, parse
from surveys.models import Study
from tests.walk import Person

pytestmark = pytest.mark.django_db

GARDEN = """
instrument: garden
title: Gardens
language: en
attribution: Ours.
variants: [{code: frame, arms: [{code: gain}, {code: loss}]}]
pages:
  - code: task
    title: The task
    questions:
      - code: understood
        type: comprehension
        text: What will you do?
        explanation: You will rate gardens. Please choose again.
        options: [{code: rate, label: Rate gardens}, {code: buy, label: Buy one}]
        correct: [rate]
      - {code: notes, type: text, text: "Anything to add?", required: false}
  - code: garden
    title: Your garden
    questions:
      - code: has
        type: single
        text: Do you have a garden?
        options: [{code: aye, label: "Yes"}, {code: nay, label: "No"}]
  - code: size
    title: Its size
    show_if: {question: has, among: [aye]}
    questions:
      - {code: metres, type: number, text: "How many square metres?", minimum: 1}
  - code: end
    title: The end
    questions:
      - code: alert
        type: attention
        text: Please choose blue.
        options: [{code: red, label: Red}, {code: blue, label: Blue}]
        correct: [blue]
"""


@pytest.fixture
def garden(study: Study) -> Study:
    study.instrument = keep(parse("garden.yaml", GARDEN))
    study.save()
    return study


@pytest.fixture
def alice(garden: Study) -> Person:
    person = Person(garden, PROLIFIC_PID="alice")
    person.consent()
    return person


def send(person: Person, page: str, **fields: Any) -> Any:
    return person.client.post(f"{person.root}survey/{page}/", fields)


def attempts(person: Person) -> list[str]:
    row = person.row.responses.filter(question="understood").first()
    return list(row.attempts) if row else []


def test_it_works(alice: Person) -> None:
    assert send(alice, "task", understood="rate").url.endswith("/survey/garden/")
    assert send(alice, "garden", has="aye").url.endswith("/survey/size/")
    send(alice, "size", metres="120")
    send(alice, "end", alert="red")  # a failed attention check is noted, no more
    row = alice.row
    assert row.survey_finished_at
    assert row.completed_at, "a survey without conversations ends the study"
    assert alice.get().request["PATH_INFO"].endswith("/done/")
    assert {r.question: r.value for r in row.responses.all()} == {
        "understood": {"choice": "rate", "text": None},
        "notes": {"skipped": True},
        "has": {"choice": "aye", "text": None},
        "metres": {"number": 120},
        "alert": {"choice": "red", "text": None},
    }


def test_a_wrong_answer_is_explained_and_asked_once_more(alice: Person) -> None:
    response = send(alice, "task", understood="buy", notes="Half a thought")
    assert response.status_code == 422
    html = response.content.decode()
    assert "You will rate gardens. Please choose again." in html
    assert "Half a thought" in html
    assert attempts(alice) == ["buy"]
    send(alice, "task", understood="rate")
    assert attempts(alice) == ["buy", "rate"]
    assert not alice.row.screened_at


def test_the_same_attempt_sent_twice_counts_once(alice: Person) -> None:
    for _click in range(3):
        response = send(alice, "task", understood="buy", understood_attempt="1")
        assert response.status_code == 422
    assert attempts(alice) == ["buy"]


def test_the_last_wrong_answer_ends_it_kindly(alice: Person) -> None:
    send(alice, "task", understood="buy", understood_attempt="1")
    send(alice, "task", understood="buy", understood_attempt="2")
    row = alice.row
    assert row.screened_at
    assert not row.survey_finished_at
    page = alice.get()
    assert page.request["PATH_INFO"].endswith("/screened/")
    assert "Thank you for coming this far." in page.content.decode()
    assert "https://recruiter.example/return" in page.content.decode()
    assert send(alice, "task", understood="rate").status_code == 302
    assert attempts(alice) == ["buy", "buy"]


def test_once_passed_it_stays_passed(alice: Person) -> None:
    send(alice, "task", understood="rate")
    send(alice, "task", understood="buy")
    assert attempts(alice) == ["rate"]
    assert alice.row.responses.get(question="understood").value["choice"] == "rate"


def test_a_missing_answer_is_no_attempt(alice: Person) -> None:
    assert send(alice, "task", notes="Hello").status_code == 422
    assert attempts(alice) == []


def test_an_answer_to_a_question_not_shown_is_refused_and_nothing_is_lost(alice: Person) -> None:
    send(alice, "task", understood="rate")
    send(alice, "garden", has="nay")
    response = send(alice, "end", alert="blue", metres="12")
    assert response.status_code == 422
    html = response.content.decode()
    assert "does not apply to you any more" in html
    assert 'value="blue" checked' in html
    assert not alice.row.responses.filter(question="metres").exists()


def test_an_answer_to_another_version_is_refused_and_nothing_is_lost(alice: Person) -> None:
    response = send(alice, "task", understood="rate", notes="Mine", instrument="0" * 64)
    assert response.status_code == 422
    assert "another version" in response.content.decode()
    assert "Mine" in response.content.decode()
    assert not alice.row.responses.exists()
    page = alice.get("survey/task/").content.decode()
    assert f'name="instrument" value="{alice.row.instrument.sha256}"' in page


def test_people_finish_on_the_version_they_began(alice: Person, garden: Study) -> None:
    send(alice, "task", understood="rate")
    newer = GARDEN.replace("Do you have a garden?", "Have you got a garden?")
    garden.instrument = keep(parse("garden.yaml", newer))
    garden.save()
    assert "Do you have a garden?" in alice.get().content.decode()
    bob = Person(garden, PROLIFIC_PID="bob")
    bob.consent()
    send(bob, "task", understood="rate")
    assert "Have you got a garden?" in bob.get().content.decode()


def test_an_answer_becomes_unreachable_and_returns(alice: Person) -> None:
    send(alice, "task", understood="rate")
    send(alice, "garden", has="aye")
    send(alice, "size", metres="120")
    send(alice, "garden", has="nay")
    metres = alice.row.responses.get(question="metres")
    assert (metres.value, metres.is_shown) == ({"number": 120}, False)
    send(alice, "garden", has="aye")
    assert alice.row.responses.get(question="metres").is_shown
    assert answers.pending_page(alice.row).code == "end"  # type: ignore[union-attr]


def test_arms_are_balanced_and_recorded(garden: Study) -> None:
    for number in range(12):
        person = Person(garden, PROLIFIC_PID=f"p{number}")
        person.consent()
        person.get()
    rows = [p.assignments.get() for p in garden.participants.order_by("pk")]
    assert sorted(row.arm for row in rows) == ["gain"] * 6 + ["loss"] * 6
    assert [sum(row.counts.values()) for row in rows] == list(range(12))


def test_queries_of_a_step_do_not_grow(alice: Person) -> None:
    """Who, lock, answers, arms, pages, two writes, the draft; then who, …, the visit or draft."""
    send(alice, "task", understood="rate")
    with CaptureQueriesContext(connection) as sent:
        send(alice, "garden", has="aye")
    with CaptureQueriesContext(connection) as shown:
        alice.client.get(f"{alice.root}survey/size/")
    with CaptureQueriesContext(connection) as again:
        alice.client.get(f"{alice.root}survey/size/")
    counts = [without_savepoints(queries) for queries in (sent, shown, again)]
    assert counts == [8, 5, 5]


def without_savepoints(queries: CaptureQueriesContext) -> int:
    return sum(
        not query["sql"].startswith(("SAVEPOINT", "RELEASE", "BEGIN", "COMMIT"))
        for query in queries
    )
