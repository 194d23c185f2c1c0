"""How long half-given answers live: as long as the consent text says, and in no release."""

import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.db import connection
from django.http import QueryDict
from django.utils import timezone

from collection.export.write import write_release
from config.programs import BEAT, WORK
from surveys import drafts, enrolment
from surveys.models import Draft, Study
from tests.conftest import Run
from tests.servers import Refract
from tests.test_answers import page_fields, reach
from tests.walk import Person

DAY = timedelta(days=1)
GONE_WITHIN_S = 30.0
"""Much more than it takes."""


@pytest.fixture
def alice(study: Study) -> Person:
    return at_a_draft(study, "alice")


def at_a_draft(study: Study, name: str) -> Person:
    person = Person(study, PROLIFIC_PID=name)
    person.consent()
    person.post("draft/", {"page": "survey/primer", "half": "a thought"})
    assert person.row.drafts.count() == 1
    return person


def age(person: Person, old: timedelta) -> None:
    person.row.drafts.update(saved_at=timezone.now() - old)


@pytest.mark.django_db
def test_it_works(alice: Person, study: Study) -> None:
    bob = at_a_draft(study, "bob")
    age(alice, study.withdrawal_days * DAY + timedelta(minutes=1))
    age(bob, study.withdrawal_days * DAY - timedelta(minutes=1))
    assert drafts.expire(timezone.now()) == 1
    assert not alice.row.drafts.exists()
    assert bob.row.drafts.exists()
    assert drafts.expire(timezone.now()) == 0


@pytest.mark.django_db
def test_each_study_has_its_own_window(alice: Person) -> None:
    longer = Study.objects.get(slug="prism")
    longer.pk, longer.slug, longer.withdrawal_days = None, "longer", 30
    longer.save()
    bob = at_a_draft(longer, "bob")
    for person in (alice, bob):
        age(person, 20 * DAY)
    drafts.expire(timezone.now())
    assert not alice.row.drafts.exists()
    assert bob.row.drafts.exists()


@pytest.mark.django_db
def test_the_window_begins_anew_with_each_save(alice: Person) -> None:
    age(alice, 100 * DAY)
    alice.post("draft/", {"page": "survey/primer", "half": "two thoughts"})
    assert drafts.expire(timezone.now()) == 0
    assert alice.row.drafts.exists()


@pytest.mark.django_db
def test_many_go_in_batches(alice: Person, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(drafts, "BATCH", 2)
    for number in range(4):
        drafts.save(alice.row, f"page{number}", QueryDict("half=more"))
    age(alice, 100 * DAY)
    assert drafts.expire(timezone.now()) == 5
    assert not alice.row.drafts.exists()


@pytest.mark.django_db
@pytest.mark.parametrize("meanwhile", ["saved", "deleted"])
def test_what_happens_meanwhile_counts(alice: Person, meanwhile: str) -> None:
    """Between looking for old drafts and deleting them, their owner or another process acts."""
    age(alice, 100 * DAY)

    def act(execute: Callable[..., Any], sql: str, *rest: Any) -> Any:
        if sql.startswith("DELETE"):
            with connection.cursor() as cursor:
                now = timezone.now().replace(tzinfo=None)
                if meanwhile == "saved":
                    cursor.cursor.execute(f"UPDATE surveys_draft SET saved_at = '{now}'")
                else:
                    cursor.cursor.execute("DELETE FROM surveys_draft")
        return execute(sql, *rest)

    with connection.execute_wrapper(act):
        assert drafts.expire(timezone.now()) == 0
    assert Draft.objects.count() == (meanwhile == "saved")


@pytest.mark.django_db
def test_stopping_leaves_no_draft(alice: Person) -> None:
    alice.post("stop/")
    assert alice.row.stopped_at
    assert not alice.row.drafts.exists()


@pytest.mark.django_db
def test_finishing_leaves_no_draft(alice: Person) -> None:
    enrolment.complete(alice.row)
    assert not alice.row.drafts.exists()


@pytest.mark.django_db
@pytest.mark.parametrize("end", ["stopped_at", "screened_at", "completed_at"])
def test_a_draft_that_comes_late_is_not_kept(alice: Person, end: str) -> None:
    row = alice.row
    row.drafts.all().delete()
    setattr(row, end, timezone.now())
    row.save()
    response = alice.client.post(f"{alice.root}draft/", {"page": "survey/primer", "half": "late"})
    assert response.status_code == 204
    assert not Draft.objects.exists()


@pytest.mark.django_db
def test_a_sent_page_leaves_no_draft_of_its_own(alice: Person) -> None:
    code = reach(alice, "age")
    alice.post("draft/", {"page": f"survey/{code}", "age": ""})
    alice.post(f"survey/{code}/", page_fields(alice, code))
    assert not alice.row.drafts.filter(page=f"survey/{code}").exists()


@pytest.mark.django_db
def test_no_release_has_a_draft(study: Study, tmp_path: Path) -> None:
    alice = Person(study, PROLIFIC_PID="alice")
    alice.survey()
    alice.post("draft/", {"page": "survey/primer", "self_description": "half-a-secret"})
    alice.post("draft/", {"page": "c/1/0/prompt", "prompt": "half-a-secret"})
    write_release(study, tmp_path)
    released = [path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()]
    assert len(released) > 3
    assert not any(b"half-a-secret" in content for content in released)


OLD_DRAFT = """
from datetime import timedelta
from django.utils import timezone
from surveys.models import Draft, Participant, Study
study = Study.objects.get(slug="prism")
for days in (1, 100):
    person = Participant.objects.create(study=study, instrument=study.instrument)
    Draft.objects.create(participant=person, page=f"days{days}", fields={})
    Draft.objects.filter(participant=person).update(saved_at=timezone.now() - timedelta(days=days))
"""
LEFT = "from surveys.models import Draft; print(*Draft.objects.values_list('page', flat=True))"


def test_a_running_server_deletes_them(run_embedded: Run) -> None:
    refract = run_embedded()
    refract.manage("shell", "--verbosity", "0", "--command", OLD_DRAFT)
    refract.restart()
    wait_until_only_new_ones_are_left(refract)
    assert "the chore drafts had 1 to do" in refract.log


def test_in_the_full_stack_a_worker_deletes_them(run_full_stack: Run) -> None:
    refract = run_full_stack()
    refract.manage("shell", "--verbosity", "0", "--command", OLD_DRAFT)
    chores = [refract.beside("worker", WORK), refract.beside("beat", BEAT)]
    try:
        wait_until_only_new_ones_are_left(refract)
    finally:
        for process in chores:
            process.stop()


def wait_until_only_new_ones_are_left(refract: Refract) -> None:
    give_up = time.monotonic() + GONE_WITHIN_S
    while (left := refract.manage("shell", "-v0", "-c", LEFT).split()) != ["days1"]:
        assert time.monotonic() < give_up, left
