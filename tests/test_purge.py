"""The day on which what identifies people goes, and what the study's page says of it."""

from datetime import date, timedelta
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from config import chores
from surveys import enrolment, retention
from surveys.models import AuditEntry, Identity, Participant, Study
from tests.admin_pages import save_study, url

pytestmark = pytest.mark.django_db

TODAY = date(2026, 6, 1)


@pytest.fixture
def due(study: Study) -> Study:
    for name in ("alice", "bob"):
        enrolment.arrive(study, {"PROLIFIC_PID": name, "SESSION_ID": "s", "extra": "x"}, None)
    study.purge_identities_on = TODAY
    study.save()
    return study


def test_it_works(due: Study) -> None:
    assert retention.purge_due(TODAY - timedelta(days=1)) == 0
    assert Identity.objects.count() == 2
    assert retention.purge_due(TODAY) == 2
    assert not Identity.objects.exists()
    assert Participant.objects.count() == 2
    entry = AuditEntry.objects.get(verb="purged")
    assert (entry.actor_name, entry.study) == ("the server", due)
    assert entry.details == {"counts": {"identity": 2}}


def test_again_it_has_nothing_to_do_and_says_nothing(due: Study) -> None:
    for _again in range(3):
        retention.purge_due(TODAY)
    assert AuditEntry.objects.filter(verb="purged").count() == 1
    enrolment.arrive(due, {"PROLIFIC_PID": "late"}, None)
    assert retention.purge_due(TODAY + timedelta(days=1)) == 1
    assert AuditEntry.objects.filter(verb="purged").count() == 2


def test_other_studies_keep_theirs(due: Study) -> None:
    other = Study.objects.get()
    other.pk, other.slug, other.purge_identities_on = None, "other", None
    other.save()
    enrolment.arrive(other, {"PROLIFIC_PID": "alice"}, None)
    retention.purge_due(TODAY)
    assert Identity.objects.get().study == other


def test_whoever_else_keeps_ids_is_told(due: Study) -> None:
    def erase(study: Study, **_signal: Any) -> tuple[str, int]:
        return "submission", 5

    retention.purging.connect(erase)
    try:
        assert retention.purge_due(TODAY) == 7
    finally:
        retention.purging.disconnect(erase)
    assert AuditEntry.objects.get(verb="purged").details["counts"]["submission"] == 5


def test_half_of_it_is_none_of_it(due: Study) -> None:
    def fail(study: Study, **_signal: Any) -> None:
        raise ValueError

    retention.purging.connect(fail)
    try:
        with pytest.raises(ValueError):  # noqa: PT011 -- ours
            retention.purge_due(TODAY)
    finally:
        retention.purging.disconnect(fail)
    assert Identity.objects.count() == 2


def test_the_chore_does_it(due: Study) -> None:
    Study.objects.update(purge_identities_on=timezone.now().date())
    chores.do("identities")
    assert not Identity.objects.exists()


def test_the_studys_page_says_what_is_kept(admin_client: Client, due: Study) -> None:
    Study.objects.update(purge_identities_on=None)
    text = " ".join(admin_client.get(url(due)).content.decode().split())
    assert "2 participants’ ids from recruiters and links are kept." in text
    assert "No day is set on which they go" in text
    assert "People can withdraw until 14 days after they finish" in text
    later = timezone.now().date() + timedelta(days=3)
    assert save_study(admin_client, due, purge_identities_on=str(later)).status_code == 302
    assert due.purge_identities_on == later
    text = " ".join(admin_client.get(url(due)).content.decode().split())
    assert "in 3 days." in text
    Study.objects.update(purge_identities_on=TODAY)
    due.refresh_from_db()
    told = " ".join(retention.in_words(due, TODAY))
    assert "They were due to go on 1 June 2026" in told
    assert "The study still takes people" in told
    Study.objects.update(state=Study.State.CLOSED)
    due.refresh_from_db()
    assert "still takes people" not in " ".join(retention.in_words(due, TODAY))
