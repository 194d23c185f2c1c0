"""What becomes of a model that fails: dropped, replaced once, or asked again until enough came."""

import pytest

from collection.models import Attempt, ModelCall, Utterance
from surveys.models import Study
from tests.cast import set_protocol, use_models
from tests.model_server import ModelServer
from tests.walk import Person

pytestmark = pytest.mark.django_db


@pytest.fixture
def alice(study: Study) -> Person:
    return Person(study, PROLIFIC_PID="alice").ready()


def outcomes() -> dict[str, list[str]]:
    """Model -> how its calls ended, in order."""
    found: dict[str, list[str]] = {}
    for call in ModelCall.objects.order_by("slot", "try_number").select_related("endpoint"):
        found.setdefault(call.endpoint.litellm_model.removeprefix("openai/"), []).append(
            call.outcome
        )
    return found


def test_dropped_and_gone_on(alice: Person, study: Study, model_server: ModelServer) -> None:
    use_models(study, model_server, "ok", "http-500", "empty", "ok")
    alice.start()
    alice.prompt(0)
    assert outcomes() == {"ok": ["ok", "ok"], "http-500": ["error"], "empty": ["empty"]}
    assert sorted(Utterance.objects.values_list("within_turn_id", flat=True)) == [0, 1]


def test_replaced_once_from_those_not_drawn(
    alice: Person, study: Study, model_server: ModelServer
) -> None:
    set_protocol(study, opening_models=2, min_opening_replies=2, on_failure="replace")
    use_models(study, model_server, "http-500", "empty", "http-400", "null-content")
    alice.start()
    alice.prompt(0)
    calls = list(ModelCall.objects.order_by("slot", "try_number"))
    assert [(call.slot, call.try_number, call.is_replacement) for call in calls] == [
        (0, 0, False),
        (0, 1, True),
        (1, 0, False),
        (1, 1, True),
    ]
    assert len({call.endpoint_id for call in calls}) == 4  # nobody is asked twice
    attempt = Attempt.objects.get()
    assert attempt.drawn == [calls[0].endpoint_id, calls[2].endpoint_id]


def test_a_replacement_answers_in_the_place_of_the_failed(
    alice: Person, study: Study, model_server: ModelServer
) -> None:
    set_protocol(study, opening_models=2, on_failure="replace")
    use_models(study, model_server, "http-500", "ok", "ok", "ok")
    alice.start()
    alice.prompt(0)
    shown = list(Utterance.objects.order_by("within_turn_id").select_related("call"))
    assert len(shown) == 2
    assert len({reply.endpoint_id for reply in shown}) == 2
    failed = ModelCall.objects.filter(outcome="error").first()
    if failed:  # it may not have been drawn
        assert ModelCall.objects.get(slot=failed.slot, try_number=1).is_replacement


def test_held_until_enough_have_answered(
    alice: Person, study: Study, model_server: ModelServer
) -> None:
    set_protocol(study, on_failure="hold", hold_for=2)
    use_models(study, model_server, "ok", "ok", "hang", "hang")
    alice.start()
    alice.prompt(0)
    assert outcomes() == {"ok": ["ok", "ok"], "hang": ["cancelled", "cancelled"]}
    assert Utterance.objects.count() == 2


def test_held_and_the_failed_asked_again(
    alice: Person, study: Study, model_server: ModelServer
) -> None:
    set_protocol(study, on_failure="hold", hold_for=4)
    use_models(study, model_server, "ok", "ok", "ok", "second-try")
    model_server.behaviours["second-try"] = "ok"
    model_server.fail_next("second-try", 1)
    alice.start()
    alice.prompt(0)
    assert outcomes()["second-try"] == ["error", "ok"]
    assert Utterance.objects.count() == 4


def test_a_rate_limit_is_waited_out_within_the_limit(
    alice: Person, study: Study, model_server: ModelServer
) -> None:
    """The server says Retry-After: 1 with every 429."""
    use_models(study, model_server, "ok", "ok", "ok", "http-429")
    alice.start()
    alice.prompt(0)
    assert outcomes()["http-429"] == ["error"] * 3
    assert Utterance.objects.count() == 3
