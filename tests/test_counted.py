"""Figures that are kept: who waits for them, what a page shows meanwhile, when they are new."""

import re
from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import pytest
from django.core.cache import cache
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from django.urls import reverse

from collection import counted, desk_metadata, detecting, registry
from collection.counted import ALL_STUDIES, Counted
from config import chores
from surveys.models import Study
from tests.export_cast import TYPES, converse, make_person, make_study

PAGES = ("subsets", "metadata")
SCRIPT = {"HX-Request": "true"}
TIME = re.compile(r"Counted at [\d:]+")
TOKEN = re.compile(r'name="csrfmiddlewaretoken" value="\w+"')


@pytest.fixture
def study(db: None) -> Study:
    study = make_study()
    forget_all(study)
    return study


@pytest.fixture
def large(study: Study, monkeypatch: pytest.MonkeyPatch) -> Study:
    monkeypatch.setattr(counted, "SMALL", 0)
    return study


@pytest.fixture
def number() -> Iterator[Counted[int]]:
    """How often it was counted."""
    times = iter(range(1, 100))
    name = uuid4().hex  # what an earlier test looked at is still in the cache
    yield (figures := Counted(name, lambda _key: next(times)))
    Counted.every.remove(figures)


def forget_all(study: Study) -> None:
    """Keys of other tests' studies are the same."""
    for figures in (desk_metadata.SUBSETS, detecting.COUNTS, registry.CALLS):
        for key in (study.pk, ALL_STUDIES):
            figures.forget(key)


def talk(study: Study) -> None:
    person = make_person(study)
    for kind in TYPES:
        converse(person, kind)


def shown(client: Client, study: Study, page: str, **headers: Any) -> str:
    """A page, without what is new in it each time."""
    address = reverse(f"admin:surveys_study_{page}", args=[study.pk])
    text = " ".join(client.get(address, headers=headers or None).content.decode().split())
    return TOKEN.sub("", text)


def test_of_a_small_study_nothing_is_kept(study: Study, number: Counted[int]) -> None:
    found = [number.look(study.pk, may_wait=False) for _time in range(2)]
    assert [one and one.figures for one in found] == [1, 2]
    assert number.last(study.pk) is None


def test_who_may_wait_waits_once(large: Study, number: Counted[int]) -> None:
    assert number.look(large.pk, may_wait=False) is None
    first = number.look(large.pk, may_wait=True)
    assert first is not None
    assert first.figures == 1
    assert number.look(large.pk, may_wait=True) == number.look(large.pk, may_wait=False) == first
    number.forget(large.pk)
    assert number.look(large.pk, may_wait=False) is None


def test_a_chore_counts_what_somebody_looks_at(large: Study, number: Counted[int]) -> None:
    make_study("other")
    assert number.look(large.pk, may_wait=False) is None
    assert set(number.watched()) == {large.pk}
    chores.do("figures")
    found = number.look(large.pk, may_wait=False)
    assert found is not None
    assert found.figures == 1
    chores.do("figures")
    newer = number.look(large.pk, may_wait=False)
    assert newer is not None
    assert (newer.figures, newer.at > found.at) == (2, True)
    cache.delete(f"counted/{number.name}/{large.pk}/watched")  # nobody looks any more
    chores.do("figures")
    assert number.last(large.pk) == newer


def test_figures_of_all_studies_are_counted_too(large: Study, number: Counted[int]) -> None:
    number.last(ALL_STUDIES)
    assert list(number.watched()) == [ALL_STUDIES]


@pytest.mark.parametrize("page", PAGES)
def test_a_page_does_not_wait_and_its_script_does(
    admin_client: Client, large: Study, page: str
) -> None:
    talk(large)
    without = shown(admin_client, large, page)
    assert "They are being counted" in without
    assert f'hx-get="/admin/surveys/study/{large.pk}/{page}/"' in without
    assert 'hx-select="#figures"' in without
    waited = shown(admin_client, large, page, **SCRIPT)
    assert "They are being counted" not in waited
    assert waited.count('id="figures"') == 1
    assert "Counted at" in waited
    talk(large)
    assert shown(admin_client, large, page) == waited  # as last counted
    chores.do("figures")
    assert shown(admin_client, large, page) != waited


@pytest.mark.parametrize("page", PAGES)
def test_the_page_of_a_small_study_is_always_of_now(
    admin_client: Client, study: Study, page: str
) -> None:
    before = TIME.sub("", shown(admin_client, study, page))
    assert "They are being counted" not in before
    assert TIME.sub("", shown(admin_client, study, page)) == before
    talk(study)
    assert TIME.sub("", shown(admin_client, study, page)) != before


@pytest.mark.parametrize(("page", "form"), [("subsets", "census"), ("metadata", "moderator")])
def test_a_refused_form_asks_for_the_figures_of_its_page(
    admin_client: Client, large: Study, page: str, form: str
) -> None:
    response = admin_client.post(reverse(f"admin:surveys_study_{form}", args=[large.pk]))
    assert response.status_code == 422
    assert f'hx-get="/admin/surveys/study/{large.pk}/{page}/"' in response.content.decode()


def test_a_new_census_is_drawn_by(admin_client: Client, large: Study) -> None:
    talk(large)
    shown(admin_client, large, "subsets", **SCRIPT)
    address = reverse("admin:surveys_study_census", args=[large.pk])
    broken = SimpleUploadedFile("census.csv", b"age,ethnicity,gender,people\n")
    assert admin_client.post(address, {"sample": "us", "file": broken}).status_code == 422
    assert "They are being counted" not in shown(admin_client, large, "subsets")
    admin_client.post(address, {"remove": "us"})
    assert "They are being counted" in shown(admin_client, large, "subsets")
