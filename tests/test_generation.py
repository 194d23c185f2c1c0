"""The calls of an attempt: the strict limit, outcomes as they land, taking over."""

import asyncio
import time
from datetime import timedelta
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.utils import timezone

from collection import conversations, generation, llm
from collection.models import Attempt, Interaction, ModelCall, Utterance
from surveys.models import Study
from tests.cast import set_protocol, use_models
from tests.model_server import ModelServer
from tests.walk import Person

pytestmark = pytest.mark.django_db


@pytest.fixture
def alice(study: Study) -> Person:
    return Person(study, PROLIFIC_PID="alice").ready()


def opened(alice: Person, monkeypatch: pytest.MonkeyPatch) -> Attempt:
    """An attempt whose process died before it called anybody."""
    with monkeypatch.context() as patch:
        patch.setattr(generation, "launch", lambda attempt: None)
        alice.start()
        alice.prompt(0)
    generation.free_leases()
    return Attempt.objects.get()


def work_of(attempt: Attempt) -> generation.Work:
    """As the process had it that began it."""
    attempt.refresh_from_db()
    calls = attempt.calls.filter(outcome="pending").order_by("slot")
    return generation.as_work(attempt, list(calls))


def test_a_hanging_and_a_dripping_model_are_cut_and_the_turn_goes_on(
    alice: Person, study: Study, model_server: ModelServer
) -> None:
    limit = 2.0
    set_protocol(study, reply_limit_s=limit)
    use_models(study, model_server, "ok", "hang", "drip", "ok")
    alice.start()
    began = time.monotonic()
    page = alice.prompt(0)
    elapsed = time.monotonic() - began
    assert b"Rate the model responses." in page.content
    assert Utterance.objects.count() == 2
    outcomes = dict(ModelCall.objects.values_list("endpoint__litellm_model", "outcome"))
    assert outcomes["openai/hang"] == outcomes["openai/drip"] == "timeout"
    # A guard against litellm's hidden retries (92 s at a limit of 30), not a figure of speed.
    assert limit <= elapsed < 3 * limit
    for name in ("hang", "drip"):
        assert model_server.count(name) == 1


def test_every_outcome_is_kept_with_what_was_sent(
    alice: Person, study: Study, model_server: ModelServer
) -> None:
    use_models(study, model_server, "length", "filtered", "null-content", "http-429")
    alice.start()
    alice.prompt(0)
    calls = {call.endpoint.litellm_model: call for call in ModelCall.objects.all()}
    assert {name: call.outcome for name, call in calls.items()} == {
        "openai/length": "truncated",
        "openai/filtered": "filtered",
        "openai/null-content": "empty",
        "openai/http-429": "error",
    }
    assert Utterance.objects.count() == 2  # cut and filtered replies with text are shown
    for call in calls.values():
        assert call.messages[0]["role"] == "system"
        assert call.started_at and call.ended_at and call.latency_ms is not None
    assert calls["openai/http-429"].error_class
    assert calls["openai/length"].completion_tokens


def test_a_dead_process_is_taken_over_and_only_open_slots_are_called(
    alice: Person, monkeypatch: pytest.MonkeyPatch, model_server: ModelServer
) -> None:
    attempt = opened(alice, monkeypatch)
    work = work_of(attempt)
    done = attempt.calls.get(slot=1)
    generation.keep(work.slots[1], work, reply("Already here"))
    long_ago = timezone.now() - timedelta(minutes=5)
    Attempt.objects.update(started_at=long_ago, deadline=long_ago, lease_until=long_ago)
    assert generation.abandoned() == [attempt.pk]
    before = model_server.count("ok")
    async_to_sync(generation.run)(attempt.pk)
    assert model_server.count("ok") - before == 3
    assert Utterance.objects.get(call=done).model_response == "Already here"
    assert Interaction.objects.get().state == "settled"
    assert generation.abandoned() == []
    lost = attempt.calls.filter(outcome="cancelled")
    assert {call.slot for call in lost} == {0, 2, 3}
    assert {(call.try_number, call.error_class) for call in lost} == {(0, "ProcessEnded")}
    assert attempt.calls.filter(try_number=1, outcome="ok").count() == 3


def test_who_comes_back_late_leaves_the_turn_to_who_took_it_over(
    alice: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    attempt = opened(alice, monkeypatch)
    late = work_of(attempt)
    generation.free_leases()
    work = generation.take_over(attempt.pk)
    assert work
    async_to_sync(generation.finish)(late)
    assert Interaction.objects.get().state == "pending"
    async_to_sync(generation.finish)(work)
    assert Interaction.objects.get().state == "settled"
    assert Utterance.objects.count() == 4


def test_a_lease_is_held_by_one(alice: Person, monkeypatch: pytest.MonkeyPatch) -> None:
    attempt = opened(alice, monkeypatch)
    assert generation.abandoned() == [attempt.pk]
    assert generation.take_over(attempt.pk) is not None
    assert generation.take_over(attempt.pk) is None
    assert generation.abandoned() == []
    generation.free_leases([attempt.pk])
    assert generation.take_over(attempt.pk) is not None


def test_who_begins_has_the_lease_and_renews_it(
    alice: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    attempt = opened(alice, monkeypatch)
    generation.renew([attempt.pk])
    assert generation.abandoned() == []
    assert generation.take_over(attempt.pk) is None


def test_settling_twice_is_settling_once(alice: Person, monkeypatch: pytest.MonkeyPatch) -> None:
    attempt = opened(alice, monkeypatch)
    work = work_of(attempt)
    async_to_sync(generation.run)(attempt.pk)
    assert generation.settle(work) is None
    async_to_sync(generation.run)(attempt.pk)
    assert Utterance.objects.count() == 4


def test_a_late_reply_changes_nothing(alice: Person, monkeypatch: pytest.MonkeyPatch) -> None:
    attempt = opened(alice, monkeypatch)
    work = work_of(attempt)
    call = attempt.calls.get(slot=0)
    assert generation.keep(work.slots[0], work, reply("First")) is True
    assert generation.keep(work.slots[0], work, reply("Second")) is None
    call.refresh_from_db()
    assert call.text == "First"


def test_a_waiting_page_waits(alice: Person, monkeypatch: pytest.MonkeyPatch) -> None:
    attempt = opened(alice, monkeypatch)
    page = alice.get()
    assert b"The models are writing." in page.content
    assert alice.get("c/1/live/").status_code == 204
    async_to_sync(generation.run)(attempt.pk)
    fragment = alice.get("c/1/live/")
    assert b"Rate the model responses." in fragment.content
    assert b"<html" not in fragment.content


def test_rating_before_the_replies_is_refused(
    alice: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened(alice, monkeypatch)
    assert b"The models are writing." in alice.rate(0, 1, 2, 3, 4).content


def test_a_bug_in_a_call_leaves_the_attempt_to_the_sweeper(
    alice: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    attempt = opened(alice, monkeypatch)

    async def broken(*args: Any, **kwargs: Any) -> llm.Reply:
        raise RuntimeError("a bug")

    with monkeypatch.context() as patch:
        patch.setattr(llm, "complete", broken)
        async_to_sync(generation.run)(attempt.pk)
    assert Interaction.objects.get().state == "pending"
    generation.free_leases()
    async_to_sync(generation.run)(attempt.pk)
    assert Interaction.objects.get().state == "settled"


def test_a_bug_in_one_call_does_not_make_the_others_superfluous(
    alice: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    attempt = opened(alice, monkeypatch)
    asked: list[int] = []

    async def broken_once(*args: Any, **kwargs: Any) -> llm.Reply:
        asked.append(1)
        if len(asked) < 4:
            await asyncio.sleep(3600)
        raise RuntimeError("a bug")

    with monkeypatch.context() as patch:
        patch.setattr(llm, "complete", broken_once)
        async_to_sync(generation.run)(attempt.pk)
    assert not attempt.calls.filter(error_class="NotNeeded").exists()
    generation.free_leases()
    async_to_sync(generation.run)(attempt.pk)
    assert Utterance.objects.count() == 4


def test_html_in_a_reply_is_text(alice: Person, study: Study, model_server: ModelServer) -> None:
    use_models(study, model_server, *["echo"] * 4)
    alice.start()
    page = alice.prompt(0, "<script>alert(1)</script>")
    assert b"<script>alert" not in page.content
    assert b"&lt;script&gt;alert(1)" in page.content


def reply(text: str) -> llm.Reply:
    return llm.Reply("ok", text, "stop", latency_ms=10, prompt_tokens=1, completion_tokens=1)


def test_conversation_page_queries_do_not_grow_with_turns(
    alice: Person, django_assert_max_num_queries: Any
) -> None:
    alice.start()
    alice.prompt(0)
    alice.rate(0, 1, 2, 3, 4)
    for turn in range(1, 6):
        alice.prompt(turn)
        alice.rate(turn, 1, 2)
    assert conversations.complete_turns(alice.conversation) == 6
    with django_assert_max_num_queries(9):
        alice.client.get("/s/prism/c/1/")
