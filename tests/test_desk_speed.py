"""How much the pages of the desk ask of the database: no more for more people."""

from collections.abc import Mapping
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from surveys.models import Study
from tests.bench import bulk, crowd, desk_pages

pytestmark = pytest.mark.django_db

USUAL = 15
MORE: Mapping[str, int] = {}
"""Pages that need more queries than the usual, and how many."""


@pytest.fixture
def study(settings: Any) -> Study:
    """With some people, and nothing kept between two requests."""
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
    bulk.write(crowd.Crowd(study, crowd.size_for(20), first=100).batches())
    many = queries(client, study)
    assert {"admin:surveys_response_changelist", desk_pages.LIVE} <= many.keys()
    grown = {name: (few[name], many[name]) for name in few if many[name] > few[name]}
    assert grown == {}
    over = {name: number for name, number in many.items() if number > MORE.get(name, USUAL)}
    assert over == {}
