"""How a model call can end: every ending has a name, takes one request and keeps to its limit."""

import asyncio
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
from pytest_django.fixtures import Settings

from collection.llm import ModelSpec, Reply, client, complete, expected_cost, warm
from tests.model_server import ModelServer
from tests.servers import ROOT, free_port

MESSAGES = [
    {"role": "system", "content": "You are a conversational assistant. Ünïcode\n and  spaces."},
    {"role": "user", "content": "What is a prism?"},
]
LIMIT_S = 20.0
"""Far more than a reply of the test server takes on a busy machine."""


@pytest.fixture(scope="module", autouse=True)
def warmed() -> None:
    warm()


@pytest.fixture
def server() -> Iterator[ModelServer]:
    with ModelServer() as server:
        yield server


def spec(
    server: ModelServer,
    model: str,
    *,
    provider: str = "openai",
    key_name: str = "",
    **parameters: Any,
) -> ModelSpec:
    return ModelSpec(f"{provider}/{model}", server.url, key_name, parameters)


async def ask(spec: ModelSpec, limit_s: float = LIMIT_S) -> Reply:
    return await complete(spec, MESSAGES, limit_s=limit_s, seed=7)


def asked(spec: ModelSpec, limit_s: float = LIMIT_S) -> Reply:
    return asyncio.run(ask(spec, limit_s))


def test_it_works(server: ModelServer) -> None:
    reply = asked(spec(server, "ok", temperature=0.5, max_tokens=64, top_k=5))
    assert (reply.outcome, reply.text) == ("ok", "This is reply number 1.")
    assert (reply.finish_reason, reply.error_class, reply.error_message) == ("stop", "", "")
    assert (reply.prompt_tokens, reply.completion_tokens) == (12, 5)
    assert reply.cost_usd is None
    assert not reply.was_repaired
    assert server.requests == [
        {"model": "ok", "messages": MESSAGES, "temperature": 0.5, "max_tokens": 64, "top_k": 5}
    ]


@pytest.mark.parametrize(
    ("behaviour", "outcome", "text", "error_class"),
    [
        ("echo", "ok", "What is a prism?", ""),
        ("padded", "ok", "A reply with room around it.", ""),
        ("no-usage", "ok", "Hello.", ""),
        ("nul", "ok", "before\ufffdafter", ""),
        ("surrogate", "ok", "before\ufffdafter", ""),
        # Kept as they are: it is the page that must hold them in, and show no markup of theirs.
        ("bidi", "ok", "left \u202eright\u2066 \u200f\u061cleft", ""),
        ("escape", "ok", "\x1b[2J\x07\x08before\x0bafter\x7f", ""),
        ("html", "ok", "<script>alert(1)</script><b>&amp;</b>", ""),
        ("says-7", "ok", "7", ""),
        ("says-\u3164\u2800", "empty", "", ""),
        ("length", "truncated", "This reply stops in the middle of a", ""),
        ("length-empty", "empty", "", ""),
        ("filtered", "filtered", "This much was let through.", ""),
        ("filtered-empty", "filtered", "", ""),
        ("refused", "filtered", "", "ContentPolicyViolationError"),
        ("null-content", "empty", "", ""),
        ("empty", "empty", "", ""),
        ("whitespace", "empty", "", ""),
        ("zero-width", "empty", "", ""),
        ("tool-calls", "empty", "", "ToolCalls"),
        ("http-400", "error", "", "BadRequestError"),
        ("http-401", "error", "", "AuthenticationError"),
        ("http-404", "error", "", "NotFoundError"),
        ("http-408", "timeout", "", "Timeout"),
        ("http-429", "error", "", "RateLimitError"),
        ("http-500", "error", "", "InternalServerError"),
        ("http-503", "error", "", "ServiceUnavailableError"),
        ("bad-json", "error", "", "MalformedResponse"),
        ("not-json", "error", "", "MalformedResponse"),
        ("no-choices", "error", "", "MalformedResponse"),
        ("close", "error", "", "ConnectionFailed"),
        ("headers-9000", "error", "", "ConnectionFailed"),
        ("endless", "error", "", "BodyTooLarge"),
        ("no-such-model", "error", "", "NotFoundError"),
    ],
)
def test_every_ending_has_a_name_and_takes_one_request(
    server: ModelServer, behaviour: str, outcome: str, text: str, error_class: str
) -> None:
    reply = asked(spec(server, behaviour))
    assert (reply.outcome, reply.text, reply.error_class) == (outcome, text, error_class)
    assert bool(reply.error_message) == (outcome in ("error", "timeout") or behaviour == "refused")
    assert reply.was_repaired == (behaviour in ("nul", "surrogate"))
    assert len(server.requests) == 1


@pytest.mark.parametrize("provider", ["hosted_vllm", "mistral", "huggingface"])
@pytest.mark.parametrize(
    ("behaviour", "error_class"),
    [
        ("bad-json", "MalformedResponse"),
        ("close", "ConnectionFailed"),
        ("headers-9000", "ConnectionFailed"),
        ("endless", "BodyTooLarge"),
    ],
)
def test_the_name_of_an_ending_is_the_same_for_all_providers(
    server: ModelServer, provider: str, behaviour: str, error_class: str
) -> None:
    reply = asked(spec(server, behaviour, provider=provider))
    assert (reply.outcome, reply.error_class) == ("error", error_class)
    assert len(server.requests) == 1


@pytest.mark.parametrize("provider", ["openai", "hosted_vllm", "mistral"])
@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_nothing_follows_a_redirect(
    server: ModelServer, settings: Settings, provider: str, status: int
) -> None:
    settings.MODEL_KEYS = {"LAB": "sk-of-the-lab"}
    with ModelServer() as other:
        server.elsewhere = f"{other.url}/chat/completions"
        reply = asked(spec(server, f"redirect-{status}", provider=provider, key_name="LAB"))
        assert (reply.outcome, reply.error_class) == ("error", "Redirected")
        assert reply.error_message == f"status {status}, to another address"
        assert (len(server.requests), other.requests) == (1, [])


def test_a_wrong_path_is_an_error(server: ModelServer) -> None:
    reply = asked(ModelSpec("openai/ok", f"{server.url}/wrong", "", {}))
    assert (reply.outcome, reply.error_class) == ("error", "NotFoundError")
    assert "nothing at /v1/wrong" in reply.error_message


def test_a_server_that_cannot_be_found_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(*_args: object, **_kwargs: object) -> None:
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    reply = asked(ModelSpec("openai/ok", "http://nowhere.invalid/v1", "", {}))
    assert (reply.outcome, reply.error_class) == ("error", "ConnectionFailed")
    said = "Cannot connect to host nowhere.invalid:80 [Name or service not known]"
    assert reply.error_message == said


@pytest.mark.parametrize("provider", ["openai", "hosted_vllm", "mistral", "deepseek"])
def test_no_provider_tries_again(server: ModelServer, provider: str) -> None:
    assert asked(spec(server, "http-500", provider=provider)).outcome == "error"
    assert asked(spec(server, "http-429", provider=provider)).outcome == "error"
    assert len(server.requests) == 2


UNASKED = """
import asyncio, sys
import django
django.setup()
from collection.llm import ModelSpec, complete
for provider in ("openai", "hosted_vllm", "deepseek"):
    spec = ModelSpec(f"{provider}/ok", sys.argv[1], "", {})
    reply = asyncio.run(complete(spec, [{"role": "user", "content": "Hi"}], limit_s=30, seed=7))
    print(reply.outcome)
from litellm.rust_bridge import tokenizer
print(tokenizer._native_tiktoken.cache_info().currsize)
print("litellm.litellm_core_utils.default_encoding" in sys.modules)
import litellm
print(len(litellm.main._get_encoding().encode("two words")))
"""


def test_the_tokenizer_is_loaded_when_it_is_asked(server: ModelServer) -> None:
    done = subprocess.run(
        [sys.executable, "-c", UNASKED, server.url],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": f"{ROOT}:{ROOT / 'platform'}"},
        capture_output=True,
        text=True,
    )
    assert done.stdout.split() == ["ok", "ok", "ok", "0", "False", "2"], done.stderr


@pytest.mark.parametrize("provider", ["openai", "hosted_vllm"])
def test_a_hanging_and_a_dripping_model_are_cut_and_others_go_on(
    server: ModelServer, provider: str
) -> None:
    asked(spec(server, "ok", provider=provider))  # the limit is about the call, not about imports
    models = ["hang", "drip", "delay-0.5"]

    async def all_of_them() -> list[Reply]:
        return await asyncio.gather(
            *(ask(spec(server, model, provider=provider), limit_s=1.5) for model in models)
        )

    began = time.monotonic()
    replies = asyncio.run(all_of_them())
    elapsed = time.monotonic() - began
    assert [reply.outcome for reply in replies] == ["timeout", "timeout", "ok"]
    assert [reply.error_class for reply in replies] == ["TimeLimit", "TimeLimit", ""]
    # A guard against waiting on (litellm alone takes 92 s at a limit of 30), not a figure of speed.
    assert elapsed < 4.5
    assert all(1500 <= reply.latency_ms < 4500 for reply in replies[:2])
    assert replies[2].latency_ms >= 500
    assert [server.count(model) for model in models] == [1, 1, 1]


def test_a_call_that_is_cut_hangs_up(server: ModelServer) -> None:
    for model in ("hang", "drip"):
        asked(spec(server, model), limit_s=1)
    give_up = time.monotonic() + 10
    while server.cut.total() < 2 and time.monotonic() < give_up:
        time.sleep(0.02)
    assert server.cut == {"hang": 1, "drip": 1}


def test_with_no_time_left_nothing_is_sent(server: ModelServer) -> None:
    reply = asked(spec(server, "ok"), limit_s=0)
    assert reply.outcome == "timeout"
    assert server.requests == []


def test_six_hundred_calls_are_under_way_at_once(server: ModelServer) -> None:
    """The server answers none before it has all: a limit on connections would show as timeouts."""

    async def many() -> list[Reply]:
        calls = (ask(spec(server, "together-600"), limit_s=60) for _ in range(600))
        return await asyncio.gather(*calls)

    assert {reply.outcome for reply in asyncio.run(many())} == {"ok"}
    assert len(server.requests) == 600


def test_a_model_that_fails_first_may_answer_later(server: ModelServer) -> None:
    server.behaviours["renamed"] = "ok"
    server.fail_next("renamed", 2)
    outcomes = [asked(spec(server, "renamed")).outcome for _ in range(3)]
    assert outcomes == ["error", "error", "ok"]
    flaky = [asked(spec(server, "flaky-then-ok")).outcome for _ in range(2)]
    assert flaky == ["error", "ok"]


def test_being_cancelled_is_not_an_outcome(server: ModelServer) -> None:
    async def cancel() -> None:
        call = asyncio.create_task(ask(spec(server, "hang")))
        while not server.requests:
            await asyncio.sleep(0.01)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call

    asyncio.run(cancel())


def test_a_huge_reply_is_cut(server: ModelServer) -> None:
    reply = asked(spec(server, "huge"))
    assert (reply.outcome, reply.error_class) == ("truncated", "TooLong")
    assert client.MAX_CHARACTERS - 10 < len(reply.text) <= client.MAX_CHARACTERS
    assert reply.error_message == "2000000 characters, 100000 kept"
    assert not reply.was_repaired


def test_a_price_is_known_or_nothing(server: ModelServer) -> None:
    server.behaviours["gpt-4o-mini"] = "ok"
    cost = asked(spec(server, "gpt-4o-mini")).cost_usd
    assert isinstance(cost, Decimal) and 0 < cost < Decimal("0.001")
    assert -cost.as_tuple().exponent == 8  # type: ignore[operator]
    assert asked(spec(server, "ok", provider="huggingface")).cost_usd is None
    # Without a count by the server none is made up.
    server.behaviours["gpt-4o-mini"] = "no-usage"
    reply = asked(spec(server, "gpt-4o-mini"))
    assert (reply.cost_usd, reply.prompt_tokens, reply.completion_tokens) == (None, None, None)


@pytest.mark.parametrize(
    ("model", "behaviour"),
    [
        ("gpt-4o-mini", "usage-1001"),
        ("gpt-4o-mini", "cached-0"),
        ("gpt-4o-mini", "cached-1000"),
        ("gpt-4o-search-preview", "searched"),
    ],
)
def test_a_cost_is_what_litellm_adds_up(server: ModelServer, model: str, behaviour: str) -> None:
    import litellm

    server.behaviours[model] = behaviour
    name = f"openai/{model}"
    reply = asked(spec(server, model))
    whole = asyncio.run(litellm.acompletion(name, MESSAGES, api_base=server.url, api_key="none"))
    assert reply.cost_usd == Decimal(f"{litellm.completion_cost(whole, name):.8f}")


def test_not_only_tokens_are_paid_for(server: ModelServer) -> None:
    def cost(model: str, behaviour: str) -> Decimal:
        server.behaviours[model] = behaviour
        found = asked(spec(server, model)).cost_usd
        assert found
        return found

    assert cost("gpt-4o-mini", "cached-1000") < cost("gpt-4o-mini", "cached-0")
    search = "gpt-4o-search-preview"
    assert cost(search, "searched") > cost(search, "ok") + Decimal("0.01")


PRICES: dict[str, Any] = {"input_price": Decimal("0.15"), "output_price": Decimal("0.60")}


def test_a_price_of_the_endpoint_counts_before_the_table(server: ModelServer) -> None:
    server.behaviours["gpt-4o-mini"] = "usage-1001"
    dear: dict[str, Any] = {"input_price": Decimal(2), "output_price": Decimal("0.01")}
    reply = asked(replace(spec(server, "gpt-4o-mini"), **dear))
    assert str(reply.cost_usd) == "0.00201201"
    free: dict[str, Any] = dict.fromkeys(PRICES, Decimal(0))
    reply = asked(replace(spec(server, "gpt-4o-mini"), **free))
    assert reply.cost_usd == 0
    assert reply.prompt_tokens == 1001


def test_a_price_without_tokens_is_no_cost(server: ModelServer) -> None:
    assert asked(replace(spec(server, "no-usage"), **PRICES)).cost_usd is None


@pytest.mark.parametrize("tokens", [-3, 2**31, 10**30])
def test_token_counts_that_cannot_be_are_not_believed(server: ModelServer, tokens: int) -> None:
    reply = asked(replace(spec(server, f"usage-{tokens}"), **PRICES))
    assert (reply.outcome, reply.cost_usd, reply.completion_tokens) == ("ok", None, None)


def test_what_a_call_is_expected_to_cost() -> None:
    unknown = ModelSpec("openai/of-our-own", "http://127.0.0.1/v1", "", {})
    assert expected_cost(unknown, 1000, 1000) is None
    ours = replace(unknown, **PRICES)
    assert str(expected_cost(ours, 1_000_000, 500_001)) == "0.45000060"
    assert expected_cost(ours, 1, 0) == Decimal("0.00000015")
    table = ModelSpec("openai/gpt-4o-mini", "", "", {})
    assert expected_cost(table, 1_000_000, 1_000_000) == Decimal("0.75")


def test_the_named_key_is_sent(server: ModelServer, settings: Settings) -> None:
    settings.MODEL_KEYS = {"LAB": "sk-of-the-lab\n", "OTHER": "sk-other"}
    assert asked(spec(server, "ok", key_name="LAB")).outcome == "ok"
    assert server.authorizations == ["Bearer sk-of-the-lab"]
    assert "sk-" not in str(server.requests)


@pytest.mark.parametrize("provider", ["openai", "hosted_vllm", "mistral"])
def test_no_key_of_the_environment_is_sent(
    server: ModelServer, monkeypatch: pytest.MonkeyPatch, provider: str
) -> None:
    for name in ("OPENAI_API_KEY", "HOSTED_VLLM_API_KEY", "MISTRAL_API_KEY"):
        monkeypatch.setenv(name, "sk-of-somebody-else")
    assert asked(spec(server, "ok", provider=provider)).outcome == "ok"
    assert server.authorizations == ["Bearer none"]


@pytest.mark.parametrize("keys", [{}, {"LAB": ""}, {"LAB": " "}])
def test_a_missing_key_is_an_error_that_names_it(
    server: ModelServer, settings: Settings, keys: dict[str, str]
) -> None:
    settings.MODEL_KEYS = keys
    reply = asked(spec(server, "ok", key_name="LAB"))
    assert (reply.outcome, reply.error_class) == ("error", "MissingKey")
    assert "REFRACT_KEY_LAB" in reply.error_message
    assert server.requests == []


def test_no_error_message_holds_a_key(server: ModelServer, settings: Settings) -> None:
    settings.MODEL_KEYS = {"LAB": "sk-of-the-lab", "EMPTY": ""}
    reply = asked(spec(server, "http-401", key_name="LAB"))
    assert "Unauthorized: Bearer [key]" in reply.error_message
    assert "sk-of-the-lab" not in reply.error_message


def test_an_error_message_is_short_storable_and_hides_masked_keys() -> None:
    message = client.without_keys("wrong key:\n sk-proj-ab******yz \0" + "and so on " * 100)
    assert message.startswith("wrong key: [key] \ufffdand so on and")
    assert len(message) == client.MAX_ERROR_CHARACTERS
    assert client.without_keys("at \u202eoof\u2066 bar") == "at oof bar"


@pytest.mark.parametrize("name", ["n", "stream", "num_retries", "fallbacks", "api_key", "messages"])
@pytest.mark.parametrize("inside", [False, True])
def test_parameters_cannot_change_how_a_call_is_made(
    server: ModelServer, name: str, inside: bool
) -> None:
    parameters: dict[str, Any] = {"extra_body": {name: 3}} if inside else {name: 3}
    reply = asked(ModelSpec("openai/ok", server.url, "", parameters))
    assert (reply.outcome, reply.error_class) == ("error", "ReservedParameter")
    assert name in reply.error_message
    assert server.requests == []


def test_a_parameter_that_the_model_does_not_know_is_an_error_not_dropped(
    server: ModelServer,
) -> None:
    reply = asked(spec(server, "o1", temperature=0.5))
    assert (reply.outcome, reply.error_class) == ("error", "UnsupportedParamsError")
    assert server.requests == []


@pytest.mark.parametrize("model", ["", "ok", "nobody/ok"])
def test_a_model_that_litellm_cannot_place_is_an_error(server: ModelServer, model: str) -> None:
    reply = asked(ModelSpec(model, server.url, "", {}))
    assert (reply.outcome, reply.error_class) == ("error", "BadRequestError")
    assert server.requests == []


def test_nobody_at_the_address_is_an_error() -> None:
    address = f"http://127.0.0.1:{free_port()}/v1"
    reply = asked(ModelSpec("openai/ok", address, "", {}))
    assert (reply.outcome, reply.error_class) == ("error", "ConnectionFailed")
    assert reply.error_message.startswith("Cannot connect to host 127.0.0.1:")
    assert "object at" not in reply.error_message


def test_importing_the_door_does_not_import_litellm() -> None:
    code = (
        "import sys, collection.llm as llm; llm.demo_endpoints();"
        "sys.exit(any(name.partition('.')[0] in ('litellm', 'openai') for name in sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_warming_twice_does_no_harm() -> None:
    import litellm

    before = litellm.custom_provider_map
    warm()
    assert litellm.custom_provider_map is before


def test_providers_have_the_names_they_had() -> None:
    from litellm.types.utils import LlmProviders

    warm()
    assert [each.value for each in LlmProviders] == [*LlmProviders]
    assert LlmProviders.OPENAI.value == "openai"
    assert LlmProviders("openai") is LlmProviders.OPENAI


def test_what_is_known_of_a_model_is_what_litellm_knows() -> None:
    """A call may change what it was told; the next one is told the same as before."""
    import litellm

    warm()
    named = {"model": "gpt-4o-mini", "custom_llm_provider": "openai"}
    known = litellm.utils.get_model_info_helper(**named)
    told = client.known_model(**named)
    assert told == known
    told["mode"] = "responses"
    assert client.known_model(**named) == known
    with pytest.raises(Exception, match="isn't mapped"):
        client.known_model(model="nobody-s-model", custom_llm_provider="openai")
