"""What the replies of a first turn come from, and that each way says what it did."""

import json
from collections import Counter
from typing import Any

import pytest

from collection.models import Attempt, Conversation, ModelCall, Utterance
from surveys.models import Study
from surveys.protocol import Protocol
from tests.cast import HEADER, set_protocol, use_models
from tests.model_server import ModelServer
from tests.walk import Person

pytestmark = pytest.mark.django_db


@pytest.fixture
def alice(study: Study) -> Person:
    return Person(study, PROLIFIC_PID="alice").ready()


def test_several_samples_of_one_model(alice: Person, study: Study) -> None:
    set_protocol(study, candidates="samples", opening_models=3)
    alice.start()
    alice.prompt(0)
    attempt = Attempt.objects.get()
    assert len(attempt.drawn) == 3
    assert len(set(attempt.drawn)) == 1
    assert attempt.inclusion == {str(attempt.drawn[0]): 1 / 4}
    assert Utterance.objects.count() == 3


def test_one_model_under_several_system_prompts(alice: Person, study: Study) -> None:
    prompts = {"plain": "{header}", "personal": "{header} Their wish: {system_string}"}
    set_protocol(study, candidates="prompts", system_prompts=prompts)
    alice.row.responses.create(question="system_string", value={"text": "Be {header} brief."})
    alice.start()
    alice.prompt(0)
    sent = {call.arm: call.messages[0]["content"] for call in ModelCall.objects.all()}
    # What a person wrote is never read as a placeholder.
    assert sent == {"plain": HEADER, "personal": f"{HEADER} Their wish: Be {{header}} brief."}
    alice.rate(0, 90, 10)
    chosen = Utterance.objects.get(if_chosen=True)
    assert alice.conversation.arm == chosen.call.arm
    alice.prompt(1)
    later = ModelCall.objects.filter(attempt__interaction__turn=1)
    assert {call.messages[0]["content"] for call in later} == {sent[chosen.call.arm]}
    assert {call.arm for call in later} == {chosen.call.arm}


def test_one_call_that_gives_several_replies(
    alice: Person, study: Study, model_server: ModelServer
) -> None:
    set_protocol(study, candidates="varied")
    use_models(study, model_server, "echo")
    said = ["Follow the law.", "Follow your heart.", "Ask your family.", "Do as you like."]
    alice.start()
    alice.prompt(0, json.dumps({"replies": said}))
    call = ModelCall.objects.get()
    assert call.messages[0]["content"].startswith(HEADER)
    assert call.messages[0]["content"] != HEADER
    shown = Utterance.objects.order_by("within_turn_id")
    assert [reply.model_response for reply in shown] == said
    assert {reply.call_id for reply in shown} == {call.pk}
    alice.rate(0, 5, 6, 7, 8)
    alice.prompt(1)
    assert ModelCall.objects.filter(attempt__interaction__turn=1).count() == 2


def test_a_call_without_several_replies_is_malformed(
    alice: Person, study: Study, model_server: ModelServer
) -> None:
    set_protocol(study, candidates="varied")
    use_models(study, model_server, "ok")
    alice.start()
    page = alice.prompt(0)
    call = ModelCall.objects.get()
    assert (call.outcome, call.error_class) == ("error", "Malformed")
    assert b"Try again" in page.content


def test_fixed_sets_by_arm(study: Study, model_server: ModelServer) -> None:
    endpoints = use_models(study, model_server, *["ok"] * 6)
    names = [endpoint.long_name for endpoint in endpoints]
    sets = {"left": names[:3], "right": names[3:]}
    set_protocol(study, assignment="fixed", model_sets=sets, opening_models=2)
    arms: Counter[str] = Counter()
    for number in range(6):
        person = Person(study, PROLIFIC_PID=f"person{number}").ready()
        person.start()
        person.prompt(0)
        attempt = Attempt.objects.get(interaction__conversation=person.conversation)
        (arm,) = {call.arm for call in attempt.calls.all()}
        arms[arm] += 1
        allowed = {endpoint.pk for endpoint in endpoints if endpoint.long_name in sets[arm]}
        assert set(attempt.eligible) == allowed
        assert set(attempt.inclusion.values()) == {2 / 3}
    assert sum(arms.values()) == 6


@pytest.mark.parametrize("strategy", ["least_seen", "weighted", "stratified"])
def test_other_strategies_say_their_probabilities(
    study: Study, model_server: ModelServer, strategy: str
) -> None:
    use_models(study, model_server, *["ok"] * 5)
    set_protocol(study, assignment=strategy, opening_models=2)
    for number in range(3):
        person = Person(study, PROLIFIC_PID=f"person{number}").ready()
        person.start()
        person.prompt(0)
    for attempt in Attempt.objects.all():
        assert attempt.strategy == strategy
        assert set(attempt.inclusion) == {str(pk) for pk in attempt.drawn}
        assert all(0 < probability <= 1 for probability in attempt.inclusion.values())
        ((low, high, both),) = attempt.pairs
        assert {low, high} == set(attempt.drawn)
        assert 0 < both <= min(attempt.inclusion.values())


ANCHORS: list[dict[str, Any]] = [
    {"code": "death", "text": "What happens after death?", "types": ["values guided"]},
    {"code": "tax", "text": "Should the rich pay more tax?"},
]


def test_prompts_given_by_the_study(alice: Person, study: Study) -> None:
    set_protocol(study, anchors=ANCHORS, opening_models=2)
    page = alice.start("values guided")
    conversation = alice.conversation
    text = {anchor["code"]: anchor["text"] for anchor in ANCHORS}[conversation.anchor]
    assert text in page.content.decode()
    alice.prompt(0, "Something of my own")
    assert conversation.interactions.get().user_prompt == text
    alice.rate(0, 1, 2)
    alice.prompt(1, "My own words")
    assert conversation.interactions.get(turn=1).user_prompt == "My own words"


def test_a_second_conversation_of_the_type_is_the_persons_own(alice: Person, study: Study) -> None:
    set_protocol(study, anchors=ANCHORS, opening_models=2)
    participant = alice.row
    Conversation.objects.create(
        participant=participant,
        number=1,
        conversation_type="unguided",
        anchor="tax",
        state="complete",
        started_at=participant.arrived_at,
    )
    alice.start("unguided")
    assert alice.conversation.anchor == ""


@pytest.mark.parametrize(
    ("choice", "words"),
    [
        ({"assignment": "fixed"}, "model_sets"),
        ({"assignment": "fixed", "model_sets": {"a": []}}, "at least one model"),
        ({"candidates": "prompts"}, "system_prompts"),
        ({"on_failure": "hold"}, "hold_for"),
        ({"on_failure": "hold", "hold_for": 1}, "between"),
        ({"on_failure": "replace", "candidates": "samples"}, "replaced"),
        ({"epsilon": 0.01, "assignment": "weighted"}, "epsilon"),
        ({"anchors": [ANCHORS[1], ANCHORS[1]]}, "same code"),
    ],
)
def test_a_protocol_that_does_not_add_up(choice: dict[str, object], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        Protocol.model_validate({"name": "mine", **choice})
