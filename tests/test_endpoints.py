"""Endpoints that keep failing rest, and say so."""

from datetime import timedelta

import pytest
from django.utils import timezone

from collection import endpoints
from collection.models import Attempt, ModelCall, ModelEndpoint, Utterance
from surveys.models import Study
from tests.cast import set_protocol, use_models
from tests.model_server import ModelServer
from tests.walk import Person

pytestmark = pytest.mark.django_db


@pytest.fixture
def broken(study: Study, model_server: ModelServer) -> ModelEndpoint:
    """One of five models, which has begun to fail."""
    set_protocol(study, opening_models=4)
    return use_models(study, model_server, "http-500", "ok", "ok", "ok", "ok")[0]


def ask(study: Study, *names: str) -> None:
    """Each person opens a conversation."""
    for name in names:
        person = Person(study, PROLIFIC_PID=name).ready()
        person.start()
        person.prompt(0)


def fail(endpoint: ModelEndpoint, study: Study, turns: int, calls: int = 1) -> None:
    """As if calls of so many turns had failed."""
    ModelEndpoint.objects.filter(pk=endpoint.pk).update(is_active=False)  # not drawn right now
    other = Person(study, PROLIFIC_PID=f"other{Attempt.objects.count()}").ready()
    other.start()
    other.prompt(0)
    ModelEndpoint.objects.filter(pk=endpoint.pk).update(is_active=True)
    template = Attempt.objects.latest("pk")
    for number in range(1, turns + 1):
        attempt = Attempt.objects.create(
            interaction=template.interaction,
            number=template.interaction.attempts.count(),
            eligible=[],
            drawn=[endpoint.pk],
            started_at=timezone.now(),
            deadline=timezone.now(),
            settled_at=timezone.now(),
        )
        for slot in range(calls):
            ModelCall.objects.create(
                attempt=attempt,
                slot=slot,
                endpoint=endpoint,
                messages=[],
                parameters={},
                outcome="error",
                error_class="ServiceUnavailable",
                ended_at=timezone.now() + timedelta(milliseconds=number),
            )
    endpoints.note_failure(endpoint.pk)
    endpoint.refresh_from_db()


def test_it_works(study: Study, broken: ModelEndpoint) -> None:
    fail(broken, study, turns=5)
    assert broken.is_resting(timezone.now())
    assert broken.rest_reason.startswith("5 failures in a row")
    assert "ServiceUnavailable" in broken.rest_reason
    ask(study, "ann", "ben")
    for attempt in Attempt.objects.order_by("-pk")[:2]:
        assert broken.pk not in attempt.eligible
        assert len(attempt.drawn) == 4


def test_one_odd_conversation_is_no_outage(study: Study, broken: ModelEndpoint) -> None:
    fail(broken, study, turns=2, calls=4)
    assert broken.resting_until is None


def test_a_success_in_between_ends_the_row(study: Study, broken: ModelEndpoint) -> None:
    fail(broken, study, turns=4)
    latest = ModelCall.objects.filter(endpoint=broken).latest("ended_at")
    ModelCall.objects.filter(pk=latest.pk).update(outcome="ok")
    fail(broken, study, turns=4)
    assert broken.resting_until is None


def test_it_comes_back_by_itself_and_rests_longer_if_it_still_fails(
    study: Study, broken: ModelEndpoint
) -> None:
    fail(broken, study, turns=5)
    now = timezone.now()
    assert broken.resting_until is not None
    first = broken.resting_until - now
    ModelEndpoint.objects.filter(pk=broken.pk).update(resting_until=now)
    broken.refresh_from_db()
    assert not broken.is_resting(timezone.now())
    fail(broken, study, turns=5)
    assert broken.resting_until - timezone.now() > 1.5 * first


def test_a_locked_in_model_is_asked_although_it_rests(
    study: Study, model_server: ModelServer
) -> None:
    (only,) = use_models(study, model_server, "ok")
    ann = Person(study, PROLIFIC_PID="ann").ready()
    ann.start()
    ann.prompt(0)
    ann.rate(0, 80)
    ModelEndpoint.objects.update(resting_until=timezone.now() + timedelta(minutes=1))
    ann.prompt(1)
    replies = Utterance.objects.filter(interaction__turn=1)
    assert {reply.endpoint_id for reply in replies} == {only.pk}


def test_too_few_awake_and_the_resting_are_drawn_too(study: Study, broken: ModelEndpoint) -> None:
    until = timezone.now() + timedelta(minutes=1)
    ModelEndpoint.objects.exclude(litellm_model="openai/ok").update(resting_until=until)
    set_protocol(study, opening_models=5)
    ask(study, "ann")
    assert broken.pk in Attempt.objects.latest("pk").drawn
