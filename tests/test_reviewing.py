"""Decisions about submissions: the newest counts, none is lost, and nobody decides unawares."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from collection import checking, reviewing
from collection.models import QualityRun, Review
from collection.reviewing import Decision, Filters
from surveys import enrolment
from surveys.errors import DomainError
from surveys.models import Participant, Study
from tests.export_cast import make_person, make_study

pytestmark = pytest.mark.django_db


@pytest.fixture
def study(db: None) -> Study:
    return make_study()


@pytest.fixture
def ada(db: None) -> User:
    return User.objects.create_user("ada")


@pytest.fixture
def bea(db: None) -> User:
    return User.objects.create_user("bea")


@pytest.fixture
def told() -> Iterator[list[Review]]:
    """What `decided` passes on."""
    found: list[Review] = []

    def listen(review: Review, **_signal: Any) -> None:
        found.append(review)

    reviewing.decided.connect(listen)
    yield found
    reviewing.decided.disconnect(listen)


def hand_in(study: Study, minute: int = 0) -> Participant:
    at = timezone.now() - timedelta(hours=1) + timedelta(minutes=minute)
    return make_person(study, completed_at=at, is_recruited=True)


def signal(person: Participant, name: str = "few_turns", severity: str = "investigate") -> None:
    QualityRun.objects.create(
        participant=person, check_name=name, version=1, severity=severity, value=1
    )


def codes(study: Study, state: str = reviewing.AWAITING, signals: str = "") -> list[int]:
    return [row.pk for row in reviewing.queue(study, Filters(state, signals))]


def rejected(person: Participant) -> bool:
    person.refresh_from_db()
    return person.rejected_at is not None


def test_it_works(study: Study, ada: User, told: list[Review]) -> None:
    person = hand_in(study)
    signal(person)
    assert codes(study) == [person.pk]
    review = reviewing.decide(person, Decision.APPROVE, ada, "Fine.")
    assert (review.reviewer_name, review.reason) == ("ada", "Fine.")
    assert review.signals == [["few_turns", 1, "investigate"]]
    assert told == [review]
    assert codes(study) == []
    assert codes(study, Decision.APPROVE) == [person.pk]


def test_a_rejection_keeps_out_of_releases_until_an_approval(study: Study, ada: User) -> None:
    person = hand_in(study)
    reviewing.decide(person, Decision.REJECT, ada, "Nonsense throughout.")
    assert rejected(person)
    assert person not in Participant.objects.released()
    reviewing.decide(person, Decision.UNDECIDED, ada, "Wrote to us.")
    assert rejected(person)
    reviewing.decide(person, Decision.APPROVE, ada, "Explained it well.")
    assert not rejected(person)
    assert person in Participant.objects.released()
    found = person.reviews.values_list("decision", flat=True)
    assert list(found) == ["reject", "undecided", "approve"]


def test_a_request_to_return_lifts_a_rejection(study: Study, ada: User) -> None:
    person = hand_in(study)
    reviewing.decide(person, Decision.REJECT, ada, "Nonsense.")
    reviewing.decide(person, Decision.RETURN, ada, "Was a technical problem.")
    assert not rejected(person)


def test_twice_the_same_changes_nothing(study: Study, ada: User, told: list[Review]) -> None:
    person = hand_in(study)
    for _time in range(2):
        reviewing.decide(person, Decision.REJECT, ada, "Nonsense.", seen=0)
    assert person.reviews.count() == 1
    assert len(told) == 1


@pytest.mark.parametrize("decision", [Decision.RETURN, Decision.REJECT])
def test_a_refusal_needs_a_reason(study: Study, ada: User, decision: str) -> None:
    person = hand_in(study)
    with pytest.raises(DomainError) as refused:
        reviewing.decide(person, decision, ada, "  ")
    assert refused.value.code == "reason"
    assert not person.reviews.exists()
    assert not rejected(person)


@pytest.mark.parametrize(
    ("decision", "reason", "code"),
    [("burn", "", "decision"), (Decision.APPROVE, "x" * 2001, "too_long")],
)
def test_what_cannot_be_kept_is_refused(
    study: Study, ada: User, decision: str, reason: str, code: str
) -> None:
    with pytest.raises(DomainError) as refused:
        reviewing.decide(hand_in(study), decision, ada, reason)
    assert refused.value.code == code


def test_nothing_is_left_to_review_of_who_withdrew(study: Study, ada: User) -> None:
    person = hand_in(study)
    enrolment.withdraw(person)
    assert codes(study) == []
    with pytest.raises(DomainError) as refused:
        reviewing.decide(person, Decision.APPROVE, ada)
    assert refused.value.code == "withdrawn"


def test_who_decides_has_seen_the_last_decision(study: Study, ada: User, bea: User) -> None:
    person = hand_in(study)
    first = reviewing.decide(person, Decision.REJECT, ada, "Nonsense.", seen=0)
    with pytest.raises(DomainError) as refused:
        reviewing.decide(person, Decision.APPROVE, bea, seen=0)
    assert refused.value.code == "changed"
    assert "ada" in refused.value.message
    assert rejected(person)
    reviewing.decide(person, Decision.APPROVE, bea, seen=first.pk)
    assert not rejected(person)


def test_a_second_opinion_is_somebody_elses(study: Study, ada: User, bea: User) -> None:
    person = hand_in(study)
    with pytest.raises(DomainError):
        reviewing.decide(person, Decision.UNDECIDED, ada, second_opinion=True)
    reviewing.decide(person, Decision.UNDECIDED, ada, "Is this rude?", second_opinion=True)
    assert codes(study) == []
    assert codes(study, reviewing.SECOND) == [person.pk]
    with pytest.raises(DomainError) as refused:
        reviewing.decide(person, Decision.APPROVE, ada)
    assert refused.value.code == "own_second_opinion"
    reviewing.decide(person, Decision.APPROVE, bea)
    assert codes(study, Decision.APPROVE) == [person.pk]


def test_a_second_opinion_can_be_taken_back(study: Study, ada: User) -> None:
    person = hand_in(study)
    reviewing.decide(person, Decision.UNDECIDED, ada, "Is this rude?", second_opinion=True)
    reviewing.decide(person, Decision.UNDECIDED, ada)
    assert codes(study) == [person.pk]
    reviewing.decide(person, Decision.APPROVE, ada)


def test_what_was_decided_is_never_changed(study: Study, ada: User) -> None:
    review = reviewing.decide(hand_in(study), Decision.APPROVE, ada)
    with pytest.raises(TypeError):
        Review.objects.update(decision="reject")
    review.decision = "reject"
    with pytest.raises(TypeError):
        review.save()
    ada.delete()
    review.refresh_from_db()
    assert (review.decision, review.reviewer, review.reviewer_name) == ("approve", None, "ada")


def test_a_receiver_that_fails_undoes_the_decision(study: Study, ada: User) -> None:
    def refuse(**_signal: Any) -> None:
        raise DomainError("no", "No.")

    person = hand_in(study)
    reviewing.decided.connect(refuse)
    try:
        with pytest.raises(DomainError):
            reviewing.decide(person, Decision.REJECT, ada, "Nonsense.")
    finally:
        reviewing.decided.disconnect(refuse)
    assert not person.reviews.exists()
    assert not rejected(person)


def test_the_worst_come_first_then_who_waits_longest(study: Study) -> None:
    late, early, odd, bad, back = (hand_in(study, minute) for minute in (9, 1, 2, 3, 4))
    signal(odd, "few_turns")
    signal(odd, "phone")
    signal(bad, "under_age", "reject")
    signal(back, "survey_missing", "return")
    assert codes(study) == [bad.pk, back.pk, odd.pk, early.pk, late.pk]
    assert codes(study, signals="any") == [bad.pk, back.pk, odd.pk]
    assert codes(study, signals="none") == [early.pk, late.pk]
    assert codes(study, signals="phone") == [odd.pk]


def test_signals_that_were_replaced_no_longer_count(study: Study) -> None:
    person = hand_in(study)
    signal(person)
    person.quality_runs.update(is_current=False)
    assert codes(study, signals="none") == [person.pk]


def test_counts(study: Study, ada: User) -> None:
    people = [hand_in(study, minute) for minute in range(4)]
    reviewing.decide(people[0], Decision.APPROVE, ada)
    reviewing.decide(people[1], Decision.REJECT, ada, "Nonsense.")
    reviewing.decide(people[2], Decision.UNDECIDED, ada, "Rude?", second_opinion=True)
    make_person(study)  # not handed in
    expected = {"awaiting": 1, "second": 1, "approve": 1, "return": 0, "reject": 1, "all": 4}
    assert reviewing.counts(study) == expected


def test_those_without_signals_are_approved_at_once(
    study: Study, ada: User, told: list[Review]
) -> None:
    fine, odd, done, unseen = (hand_in(study, minute) for minute in range(4))
    reviewing.decide(done, Decision.REJECT, ada, "Nonsense.")
    checking.check_new()
    QualityRun.objects.exclude(severity="").update(severity="")
    odd.quality_runs.filter(check_name="few_turns").update(severity="investigate")
    unchecked = hand_in(study, 5)
    told.clear()
    until = unseen.completed_at
    assert until is not None
    assert reviewing.approve_without_signals(study, ada, until - timedelta(seconds=1)) == 1
    assert [review.participant_id for review in told] == [fine.pk]
    assert codes(study) == [odd.pk, unseen.pk, unchecked.pk]
    assert reviewing.approve_without_signals(study, ada, until - timedelta(seconds=1)) == 0
    assert reviewing.approve_without_signals(study, ada, timezone.now()) == 1
    assert rejected(done)


def test_many_are_approved_in_few_queries(study: Study, ada: User) -> None:
    for minute in range(5):
        hand_in(study, minute)
    checking.check_new()
    QualityRun.objects.exclude(severity="").update(severity="")
    with CaptureQueriesContext(connection) as seen:
        assert reviewing.approve_without_signals(study, ada, timezone.now()) == 5
    assert len(seen) <= 10


@pytest.mark.parametrize(
    ("severities", "done", "decision"),
    [
        ([], 6, "approve"),
        (["investigate"], 7, "approve"),
        (["return", "investigate"], 6, "return"),
        (["return"], 2, "return"),
        (["reject", "return"], 6, "reject"),
        ([], 5, "reject"),
    ],
)
def test_prisms_rule(severities: list[str], done: int, decision: str) -> None:
    runs = [QualityRun(check_name="phone", severity=severity) for severity in severities]
    found = reviewing.suggest(runs, done, 6)
    assert found.decision == decision
    assert found.reasons
