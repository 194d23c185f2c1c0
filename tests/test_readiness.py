"""The check before launch: each finding with its remedy, and nothing to mend where all is well."""

from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.utils import timezone

from collection import budget, readiness, trials
from collection.models import EndpointTest, ModelEndpoint
from surveys import enrolment
from surveys.models import Study
from tests.cast import set_protocol, use_models
from tests.model_server import ModelServer
from tests.walk import Person

pytestmark = pytest.mark.django_db


@pytest.fixture
def ready(study: Study) -> Study:
    trials.run(study.endpoints.all(), "ada")
    ModelEndpoint.objects.update(input_price=Decimal(10), output_price=Decimal(50))
    study.budget_usd, study.expected_people = Decimal(1000), 10
    study.save()
    return study


def levels(study: Study, level: str, state: str = "live") -> list[str]:
    fresh = Study.objects.get(pk=study.pk)
    found = [f for f in readiness.check(fresh, state) if f.level == level]
    assert all(f.remedy for f in found if level != "ok"), "every finding says what to do"
    return [f.words for f in found]


def test_it_works(ready: Study) -> None:
    assert levels(ready, "stop") == []
    said = " ".join(levels(ready, "ok"))
    assert "All 4 models answered a test prompt" in said
    assert "The budget covers 10 people" in said
    assert "get back to their recruiter" in said


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"header": "Be brief."}, "has not been tried with its present settings"),
        ({"parameters": {"max_tokens": 9}}, "has not been tried with its present settings"),
        ({"key_name": "ACME"}, "needs the key ACME, which this server does not have"),
    ],
)
def test_a_model_that_was_edited_is_tried_again(
    ready: Study, changes: dict[str, Any], words: str
) -> None:
    ModelEndpoint.objects.filter(pk=ready.endpoints.first().pk).update(**changes)  # type: ignore[union-attr]
    assert words in " ".join(levels(ready, "stop"))


def test_a_test_lasts_a_day_and_a_failed_one_stops(ready: Study, model_server: ModelServer) -> None:
    EndpointTest.objects.update(created_at=timezone.now() - timedelta(hours=25))
    assert "last tried more than a day ago" in levels(ready, "stop")[0]
    use_models(ready, model_server, "ok", "http-500")
    trials.run(ready.endpoints.all(), "ada")
    [stop] = levels(ready, "stop")
    assert "http-500 did not answer its test prompt: InternalServerError" in stop
    # A protocol that draws four of two models works, and is worth a look.
    assert "draws 4 models and the study has 2" in " ".join(levels(ready, "warn"))


def test_the_budget_is_compared_to_what_is_expected(ready: Study) -> None:
    one = budget.per_person(ready)
    Study.objects.update(budget_usd=one * 5, expected_people=10)
    assert "10 people would cost about" in levels(ready, "stop")[0]
    assert "10 people would cost about" in " ".join(levels(ready, "warn", state="pilot"))
    Study.objects.update(budget_usd=one / 2)
    assert "one person costs about" in levels(ready, "stop", state="pilot")[0]
    Study.objects.update(budget_usd=one * 20, expected_people=None)
    assert "how many people are expected" in " ".join(levels(ready, "warn"))
    Study.objects.update(budget_usd=None)
    assert "No budget limits" in " ".join(levels(ready, "warn"))


def test_links_and_codes(ready: Study) -> None:
    Study.objects.update(completion_code="")
    assert levels(ready, "stop") == ["There is no completion code."]
    Study.objects.update(completion_code="ABC", completion_url="https://r.example/", return_url="")
    said = " ".join(levels(ready, "warn"))
    assert "does not carry the completion code" in said
    assert "no link for those who decline" in said


def test_simulated_people_do_not_mix_with_real_ones(ready: Study) -> None:
    Study.objects.update(state=Study.State.DRAFT)
    Person(ready, SIMULATED=enrolment.simulation_token(ready)).arrive()
    assert "1 simulated people" in levels(ready, "stop")[0]
    assert levels(ready, "stop", state="pilot") == []


def test_the_protocol_fits(ready: Study) -> None:
    set_protocol(ready, assignment="fixed", model_sets={"a": ["nobody/nothing"]})
    assert "The set a names models that the study does not have" in levels(ready, "stop")[0]
    set_protocol(ready, candidates="prompts", system_prompts={"own": "{system_string}"})
    assert levels(ready, "stop") == []  # PRISM's survey asks for one
