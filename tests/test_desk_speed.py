"""How much the pages of the desk ask of the database: no more for more people."""

from collections.abc import Mapping
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from surveys.models import Study
from tests.bench import crowd, desk_pages

pytestmark = pytest.mark.django_db

USUAL = 15
MORE: Mapping[str, int] = {
    "admin:collection_conversation_change": 21,
    "admin:collection_modelendpoint_change": 31,
    "admin:collection_modelendpoint_changelist": 20,
    "admin:collection_modelendpoint_delete": 19,
    "admin:collection_utterance_change": 18,
    "admin:surveys_participant_change": 22,
    "admin:surveys_participant_changelist": 17,
    "admin:surveys_recruitment_delete": 22,
    "admin:surveys_response_changelist": 16,
    "admin:surveys_study_change": 37,
    "admin:surveys_study_check": 27,
    "admin:surveys_study_coding": 27,
    "admin:surveys_study_coding_list": 17,
    "admin:surveys_study_coding_settle": 19,
    "admin:surveys_study_delete": 30,
    "admin:surveys_study_metadata": 20,
    "admin:surveys_study_personal_one": 18,
    "admin:surveys_study_release": 16,
    "admin:surveys_study_review_one": 18,
    "admin:surveys_study_set_up": 27,
    "admin:surveys_study_subsets": 23,
    "admin:surveys_study_watch": 18,
}
"""Pages that need more queries than the usual, and how many."""


@pytest.fixture
def study(settings: Any, monkeypatch: pytest.MonkeyPatch) -> Study:
    """With some people, more than a page lists; nothing is kept between two requests."""
    monkeypatch.setattr("surveys.desk.LISTED", 2)
    settings.CACHES = {"default": {"BACKEND": "django.core.cache.backends.dummy.DummyCache"}}
    return crowd.make(10)


def queries(client: Client, study: Study) -> dict[str, int]:
    """Page -> how many it took. Every address leads somewhere, whoever may go there."""
    found = {}
    for page in desk_pages.asked(study):
        with CaptureQueriesContext(connection) as sent:
            response = client.get(page.path)
        assert response.status_code not in (404, 500), page.name
        if desk_pages.is_page(desk_pages.Answer(page, response)):
            found[page.name] = len(sent)
    return found


def test_pages_take_the_same_queries_for_more_people(study: Study) -> None:
    client = desk_pages.signed_in()
    few = queries(client, study)
    crowd.grow(study, 20, first=100)
    many = queries(client, study)
    assert {"admin:surveys_response_changelist", desk_pages.LIVE} <= many.keys()
    # One more is for the keys of a page, which a list asks for once it has two.
    grown = {name: (few[name], many[name]) for name in few if many[name] > few[name] + 1}
    assert not grown, grown
    over = {name: number for name, number in many.items() if number > MORE.get(name, USUAL)}
    assert not over, over


def test_a_list_says_where_it_stops_counting(study: Study, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("surveys.desk.COUNTED", 60)
    client = desk_pages.signed_in()
    found = client.get("/admin/surveys/response/?p=2").content.decode()
    assert "more than 60" in found
    assert found.count("<tr") > 5
    assert "more than" not in client.get("/admin/surveys/participant/").content.decode()


def test_a_study_with_many_people_says_why_it_cannot_be_deleted(study: Study) -> None:
    client = desk_pages.signed_in()
    people = study.participants.count()
    path = f"/admin/surveys/study/{study.pk}/delete/"
    assert f"{people} participants" in client.get(path).content.decode()
    client.post(path, {"post": "yes"})
    assert study.participants.count() == people
