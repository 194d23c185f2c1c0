"""A recruiter's script on the pages of those who came by it: where it runs and where not."""

from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from surveys.models import Participant, Recruitment, Study
from tests.walk import Person

pytestmark = pytest.mark.django_db

SRC = "https://scripts.example.org/check.js?p={person}&amp;s={submission}"
TAG = (
    '<script src="https://scripts.example.org/check.js?p=a%20b&amp;s=S1" data-person="a b" '
    'data-study="ST" data-submission="S1" defer></script>'
)
ANNOUNCED = "a script from scripts.example.org runs on these pages"


@pytest.fixture
def recruitment(study: Study, settings: Any) -> Recruitment:
    settings.SCRIPT_HOSTS = [".example.org"]
    return Recruitment.objects.create(
        study=study, name="Chile", external_id="ST", page_script=SRC.replace("&amp;", "&")
    )


@pytest.fixture
def came(study: Study, recruitment: Recruitment) -> Person:
    return Person(study, PROLIFIC_PID="a b", STUDY_ID="ST", SESSION_ID="S1")


def words(response: Any) -> str:
    return " ".join(response.content.decode().split())


def test_it_is_announced_and_runs_from_consent_to_the_end(came: Person) -> None:
    page = words(came.arrive())
    assert ANNOUNCED in page and "check.js" not in page
    assert TAG in words(came.consent())
    assert ANNOUNCED in words(came.get("information/"))
    assert TAG in words(came.ready().get("conversations/"))
    Participant.objects.filter(pk=came.row.pk).update(completed_at=timezone.now())
    assert "check.js" not in words(came.get("done/"))


def test_it_runs_for_nobody_else(study: Study, recruitment: Recruitment) -> None:
    somebody = Person(study)
    assert "runs on these pages" not in words(somebody.arrive())
    with CaptureQueriesContext(connection) as sent:
        assert "check.js" not in words(somebody.consent())
    assert not any("surveys_submission" in query["sql"] for query in sent)


def test_it_ends_with_the_servers_leave(came: Person, settings: Any) -> None:
    came.consent()
    settings.SCRIPT_HOSTS = []
    assert "check.js" not in words(came.get())


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("http://scripts.example.org/check.js", "begins with https://"),
        ("https://example.com/check.js", "Scripts of example.com are not allowed"),
        ("https://badexample.org/check.js", "Scripts of badexample.org are not allowed"),
    ],
)
def test_which_the_desk_takes(
    study: Study, recruitment: Recruitment, admin_user: User, url: str, message: str
) -> None:
    desk = Client()
    desk.force_login(admin_user)
    at = reverse("admin:surveys_recruitment_change", args=[recruitment.pk])
    fields = {
        "study": study.pk,
        "kind": "prolific",
        "name": "Chile",
        "places": "10",
        "reward": "900",
        "currency": "GBP",
        "minutes": "60",
        "filters": "[]",
        "external_id": "ST",
        "page_script": url,
        "codes-TOTAL_FORMS": "0",
        "codes-INITIAL_FORMS": "0",
    }
    page = words(desk.post(at, fields))
    assert message in page
    assert url in page  # what was typed is not lost
    fields["page_script"] = "https://eu.scripts.example.org/check.js"
    assert desk.post(at, fields).status_code == 302
    recruitment.refresh_from_db()
    assert recruitment.page_script == "https://eu.scripts.example.org/check.js"
