"""The demo models: offline, the same for a seed, each with a manner of its own."""

import asyncio
import time
from typing import Any

import pytest
from django.core.exceptions import ValidationError
from pytest_django.fixtures import Settings

from collection.llm import ModelSpec, Reply, complete, demo, demo_endpoints, manners, varied, warm
from collection.models import ModelEndpoint
from surveys.draws import rng

MANNERS = [manner for manner, _, _ in demo.ENDPOINTS]
PROMPT = "What do you think about the death penalty?"
LIMIT_S = 20.0


@pytest.fixture(scope="module", autouse=True)
def warmed() -> None:
    warm()


@pytest.fixture(autouse=True)
def at_once(settings: Settings) -> None:
    settings.DEMO_LATENCY_SCALE = 0


def talk(*prompts: str) -> list[dict[str, str]]:
    """The messages of a conversation that has come to its last prompt."""
    messages = [{"role": "system", "content": demo.HEADERS["Chat"]}]
    for prompt in prompts[:-1]:
        messages += [{"role": "user", "content": prompt}, {"role": "assistant", "content": "Yes."}]
    return [*messages, {"role": "user", "content": prompts[-1]}]


async def ask(manner: str, messages: list[dict[str, str]], seed: int, **parameters: Any) -> Reply:
    spec = ModelSpec(f"{demo.PROVIDER}/{manner}", "", "", demo.PARAMETERS | parameters)
    return await complete(spec, messages, limit_s=LIMIT_S, seed=seed)


def asked(manner: str, *prompts: str, seed: int = 1, **parameters: Any) -> Reply:
    return asyncio.run(ask(manner, talk(*prompts), seed, **parameters))


def said(manner: str, *prompts: str, seed: int = 1) -> str:
    """The text alone, without litellm: quick enough to look at many."""
    return manners.speak(manner, talk(*prompts), rng(seed))


def many(manner: str, *prompts: str) -> list[str]:
    return [said(manner, *prompts, seed=seed) for seed in range(200)]


def words(texts: list[str]) -> float:
    return sum(len(text.split()) for text in texts) / len(texts)


def test_replies_that_differ_on_request() -> None:
    messages = [
        {"role": "system", "content": f"Be brief.\n\n{varied.instruction(4)}"},
        {"role": "user", "content": "What is a good soup?"},
    ]
    said = demo.speak("chatty", messages, rng(1, "varied"))
    assert len(varied.parse(said, 4)) == 4


def test_it_works() -> None:
    reply = asked("expert", PROMPT)
    assert (reply.outcome, reply.finish_reason) == ("ok", "stop")
    assert "the death penalty" in reply.text
    assert reply.completion_tokens == len(reply.text.split())
    assert reply.prompt_tokens and reply.cost_usd is None


@pytest.mark.parametrize("manner", MANNERS)
def test_a_seed_fixes_the_reply(manner: str) -> None:
    first, again, other = (asked(manner, PROMPT, seed=seed) for seed in (3, 3, 4))
    assert (first.outcome, first.text) == (again.outcome, again.text)
    assert first.outcome == "ok"
    assert first.text != other.text


def test_nothing_but_model_messages_and_seed_decides() -> None:
    one = asked("chatty", PROMPT, temperature=0.1)
    assert asked("chatty", PROMPT, temperature=1.0).text == one.text
    assert asked("chatty", PROMPT + " ").text != one.text
    assert asked("poet", PROMPT).text != one.text


@pytest.mark.parametrize("manner", MANNERS)
@pytest.mark.parametrize("turns", [1, 2, 3])
def test_samples_differ_and_so_do_turns(manner: str, turns: int) -> None:
    prompts = [PROMPT, "Why do you think so?", "Can you give me an example?"][:turns]
    texts = many(manner, *prompts)
    assert len(set(texts)) > 40
    assert set(texts).isdisjoint(many(manner, *prompts, "Could you say that more briefly?"))


def test_manners_are_clearly_different() -> None:
    length = {manner: words(many(manner, PROMPT)) for manner in MANNERS}
    assert length["terse"] < 25 < min(length[m] for m in MANNERS if m != "terse")
    assert length["chatty"] == max(length.values()) < 75
    assert all("\n1. " in text and "\n3. " in text for text in many("lister", PROMPT))
    assert all(text.count("?") >= 2 for text in many("asker", PROMPT))
    assert all(text.count("\n") >= 3 for text in many("poet", PROMPT))
    assert all("!" in text for text in many("chatty", PROMPT))
    first_words = {manner: {t.split()[0] for t in many(manner, PROMPT)} for manner in MANNERS}
    assert len(set(map(frozenset, first_words.values()))) == len(MANNERS)


def test_a_refuser_refuses_now_and_then_and_others_never() -> None:
    refusals = [
        text.format(topic="the death penalty")
        for text in manners.load()["manners"]["refuser"]["refusals"]
    ]
    share = sum(text in refusals for text in many("refuser", PROMPT)) / 200
    assert 0.35 < share < 0.65
    share = sum("soup" in t and "sorry" in t for t in many("refuser", "Help me with a soup")) / 200
    assert 0 < share < 0.2


def test_a_flaky_model_fails_about_one_time_in_five() -> None:
    async def hundred() -> list[Reply]:
        return await asyncio.gather(*(ask("flaky", talk(PROMPT), seed) for seed in range(100)))

    replies = asyncio.run(hundred())
    outcomes = [reply.outcome for reply in replies]
    assert 10 <= outcomes.count("error") <= 30
    assert outcomes.count("ok") == 100 - outcomes.count("error")
    failed = next(reply for reply in replies if reply.outcome == "error")
    assert (failed.text, failed.error_class) == ("", "ServiceUnavailableError")


def test_slow_is_slow_and_the_others_are_not() -> None:
    for manner in MANNERS:
        taken = [manners.seconds(manner, rng(seed)) for seed in range(100)]
        least, most = (4, 8) if manner == "slow" else (0.3, 1.5)
        assert least <= min(taken) < max(taken) <= most


def test_the_pace_can_be_set(settings: Settings) -> None:
    settings.DEMO_LATENCY_SCALE = 0.1
    began = time.monotonic()
    reply = asked("slow", PROMPT)
    assert time.monotonic() - began >= 0.4
    assert reply.latency_ms >= 400


@pytest.mark.parametrize(
    ("prompts", "kind", "topic"),
    [
        (["Can you help me with a vegetable soup for four?"], "do", "a vegetable soup"),
        (["What should a beginner know about the history of chess?"], "do", "the history of chess"),
        (["Why do people find parking so hard?"], "know", "parking"),
        (["Give me the best arguments for and against gun control."], "view", "gun control"),
        (["My family and I disagree about marriage. What should we do?"], "do", "marriage"),
        (["Is it wrong to lie to my mother"], "view", "your mother"),
        (["I had a terrible day"], "talk", "a terrible day"),
        (["Hello there!"], "greet", "this"),
        (["Who are you? ChatGPT?"], "identity", "this"),
        (["???"], "know", "this"),
        ([""], "talk", "this"),
        (["<script>alert(1)</script>"], "talk", "script"),
        (["x" * 4000], "talk", "this"),
        ([PROMPT, "Can you give me an example?"], "example", "the death penalty"),
        ([PROMPT, "I am not sure I agree."], "other", "the death penalty"),
        ([PROMPT, "Why do you think so?"], "why", "the death penalty"),
        ([PROMPT, "Why?", "Okay, and what about prisons?"], "do", "prisons"),
        ([PROMPT, "Thank you, bye!"], "thanks", "the death penalty"),
    ],
)
def test_prompts_are_listened_to(prompts: list[str], kind: str, topic: str) -> None:
    heard = manners.listen(prompts)
    assert (heard.kind, heard.topic, heard.turn) == (kind, topic, len(prompts) - 1)


@pytest.mark.parametrize("manner", MANNERS)
def test_every_kind_of_prompt_gets_a_whole_reply(manner: str) -> None:
    kinds = {*manners.ALWAYS, *manners.FOLLOWING, *manners.OPENING, "talk"}
    bank = manners.load()
    assert kinds == {*bank["common"], *manners.OPENING}
    asking = ["Hi", "Who are you?", "I had soup", "Tell me about soup", "Help!", "Is soup good?"]
    following = ["Example?", "Shorter", "No", "Evidence?", "Next step?", "Why?", "Thanks", "More"]
    heard = set()
    for prompts in [[p] for p in asking] + [[PROMPT, p] for p in [*asking, *following]]:
        heard.add(manners.listen(prompts).kind)
        for text in many(manner, *prompts):
            assert "{" not in text and "  " not in text and text == text.strip()
            assert text[-1] in ".?!"
    assert heard == kinds


def test_no_reply_names_a_model_or_a_company() -> None:
    names = ["chatgpt", "gpt-4o", "Claude", "Gemini", "Llama-3", "OpenAI", "Anthropic", "Google"]
    shown = [fields[name] for fields in demo_endpoints() for name in ("long_name", "short_name")]
    for name in names:
        prompts = [f"What do you think about {name}?", f"Are you made by {name}?", f"{name} {name}"]
        texts = [said(manner, p, seed=s) for p in prompts for manner in MANNERS for s in range(20)]
        for text in texts:
            assert name.lower() not in text.lower()
            assert not any(hidden in text for hidden in shown)


def test_max_tokens_cuts_as_it_would_a_real_model() -> None:
    whole = asked("lister", PROMPT).text
    reply = asked("lister", PROMPT, max_tokens=12)
    assert (reply.outcome, reply.finish_reason) == ("truncated", "length")
    assert whole.startswith(reply.text) and len(reply.text.split()) == 12


def test_a_demo_model_that_does_not_exist_is_an_error() -> None:
    reply = asked("nobody", PROMPT)
    assert (reply.outcome, reply.error_class) == ("error", "NotFoundError")


def test_the_endpoints_are_valid_and_plainly_demo() -> None:
    endpoints = demo_endpoints()
    assert len(endpoints) == len({fields["long_name"] for fields in endpoints}) == 10
    assert len({fields["longcode"] for fields in endpoints}) == 10
    assert {fields["long_name"].removeprefix("refract-demo/") for fields in endpoints} == set(
        manners.names()
    )
    for fields in endpoints:
        endpoint = ModelEndpoint(**fields)
        try:
            endpoint.clean_fields()
        except ValidationError as error:
            pytest.fail(str(error))
        assert endpoint.is_demo
        assert ("history is in the input" in endpoint.header) == (endpoint.model_type == "Instruct")


def test_endpoints_are_not_shared() -> None:
    demo_endpoints()[0]["parameters"]["max_tokens"] = 1
    assert demo_endpoints()[0]["parameters"]["max_tokens"] == 256
