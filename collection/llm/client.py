"""One model call, strictly limited, and a name for each of its endings.

litellm is imported inside the functions: that takes seconds, and most commands need no model.
"""

import asyncio
import logging
import re
import threading
import time
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from decimal import Decimal
from email.utils import parsedate_to_datetime
from operator import attrgetter
from typing import Any

from django.conf import settings

from collection.llm import addresses, demo
from collection.llm.gate import Held, gate_of

NO_KEY = "none"
"""Sent where no key is named. Without any, litellm would take one from the environment and send
it to whoever answers at `api_base`."""

LITELLM_TIMEOUT_S = 120
"""The longest limit a protocol allows. Constant, because litellm keeps one client, with its open
connections, for each value; our own limit is what cuts."""

MAX_CHARACTERS = 100_000
"""No reply of a study comes near; a page with more would not be readable, or load."""

MAX_ERROR_CHARACTERS = 500

BUSY = {429, 503}
LONGEST_WAIT_S = 3600.0
"""What a Retry-After is taken for at most."""

MOST_TOKENS = 2**31 - 1
"""More cannot be stored, nor be true."""

OURS = {
    "additional_drop_params",
    "allowed_openai_params",
    "api_base",
    "api_key",
    "base_url",
    "cache",
    "caching",
    "context_window_fallback_dict",
    "custom_llm_provider",
    "drop_params",
    "fallbacks",
    "max_retries",
    "messages",
    "mock_response",
    "mock_timeout",
    "mock_tool_calls",
    "model",
    "model_list",
    "n",
    "num_retries",
    "request_timeout",
    "retry_policy",
    "retry_strategy",
    "stream",
    "stream_options",
    "timeout",
}
"""litellm's arguments that change who answers, how often, how long or in what form."""

TOOLS = {"tools", "web_search_options"}
"""Parameters that let a model use what is not paid for by tokens."""
BILL = "llm_provider-x-litellm-response-cost"
"""litellm's name of what a provider says itself that a call costs."""

UNSTORABLE = re.compile("[\0\ud800-\udfff]")
BIDI = re.compile("[\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]")
"""Change the order of what follows on the line, which in a message may be our own words. Replies
keep theirs: a block of its own, or <bdi>, holds them in."""
BLANK = set("\u115f\u1160\u2800\u3164\uffa0")
"""Letters, says Unicode, but nothing to see."""
MASK = "***"
"""Providers repeat a refused key with stars in its middle and its ends in the clear."""

_loading = threading.Lock()
_loaded = threading.Event()


@dataclass(frozen=True)
class ModelSpec:
    """Which model is called, where and how: the call-related fields of a ModelEndpoint."""

    litellm_model: str
    api_base: str
    key_name: str
    """NAME of the key in REFRACT_KEY_NAME; empty for a server that asks for none."""
    parameters: dict[str, Any]
    """Sent as they are."""
    provider: str = ""
    """Name of the gate that its calls share with others."""
    max_concurrent: int | None = None
    """Calls of the provider at once, from each process."""
    input_price: Decimal | None = None
    output_price: Decimal | None = None
    """US dollars per million tokens, where litellm's table is not to be believed."""

    @property
    def has_prices(self) -> bool:
        return self.input_price is not None and self.output_price is not None


@dataclass(frozen=True)
class Reply:
    """How a call ended. `outcome` is ok, truncated, filtered, timeout, error or empty."""

    outcome: str
    text: str = ""
    """Without blank ends; `ok` and `truncated` always have some, `filtered` may."""
    finish_reason: str = ""
    error_class: str = ""
    error_message: str = ""
    """Shortened, on one line, without keys."""
    latency_ms: int = 0
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    cost_usd: Decimal | None = None
    """By the endpoint's prices or litellm's table; None where neither knows."""
    retry_after_s: float | None = None
    """What a server that is too busy asks us to wait."""
    queued_ms: int = 0
    """Of the latency: waiting for a place at the provider's gate."""
    was_repaired: bool = False
    """Characters that cannot be stored (NUL, lone surrogates) became U+FFFD."""


class MissingKey(Exception):
    """An endpoint names a key that the environment does not have."""


class ReservedParameter(Exception):
    """An endpoint's parameters hold something that Refract itself decides."""


class MalformedResponse(Exception):
    """A server answered with something that holds no reply."""


def warm() -> None:
    """Import litellm and make the demo models known to it. Takes seconds; not on an event loop."""
    with _loading:
        if _loaded.is_set():
            return
        import litellm
        import openai.resources  # noqa: F401  # else imported by the first call, on the event loop
        from litellm.llms.custom_httpx import http_handler
        from litellm.llms.custom_httpx.aiohttp_transport import LiteLLMAiohttpTransport

        from collection.llm import connections

        connections.restrict(LiteLLMAiohttpTransport)
        # Else the 501st call to a host waits where nobody sees it; the line is the gate's. All
        # hosts together keep litellm's limit of 1,000.
        http_handler.AIOHTTP_CONNECTOR_LIMIT_PER_HOST = 0  # type: ignore[attr-defined]
        litellm.suppress_debug_info = True
        litellm.disable_hf_tokenizer_download = True
        for name in ("LiteLLM", "LiteLLM Router", "LiteLLM Proxy"):
            logging.getLogger(name).setLevel(logging.CRITICAL)
        litellm.custom_provider_map = [
            {"provider": demo.PROVIDER, "custom_handler": demo.make_handler()}
        ]
        # The rest of what a first call would load.
        message = {"role": "user", "content": "warm"}
        litellm.completion("openai/warm", [message], mock_response="warm")
        litellm.main.encoding = Tokenizer()  # type: ignore[assignment]
        # Of what it adds to each response `cost` alone is read, and asks for it in fewer words:
        # it was a twelfth of a turn.
        litellm.utils.update_response_metadata = lambda **_response: None  # type: ignore[attr-defined]
        # Each call lists the values of all 166 providers, twice, and looks its model up, twice: a
        # fifth of what a request takes.
        litellm.LlmProviders.value = property(attrgetter("_value_"))  # type: ignore
        litellm.main.get_model_info_helper = known_model  # type: ignore
        _loaded.set()


def known_model(**named: str) -> Any:
    """What litellm's table says of a model: a copy, since a call may change it."""
    import litellm

    return {**litellm.utils.cached_get_model_info_helper(**named)}


class Tokenizer:
    """Stands for litellm's, which each call hands on and hardly any asks: it takes 40 MB of each
    process, and `cost` believes no counts but the server's."""

    def __getattr__(self, name: str) -> Any:
        from litellm.litellm_core_utils import default_encoding

        return getattr(default_encoding.encoding, name)


async def complete(
    spec: ModelSpec, messages: list[dict[str, str]], *, limit_s: float, seed: int
) -> Reply:
    """Ask a model once for the next message.

    Whatever the model, the network or litellm does within `limit_s` seconds is an outcome, never
    an exception. `seed` decides what a demo model says; others don't get it.
    """
    if not _loaded.is_set():
        # Before the clock starts: a model is not to blame for a server that has just started.
        await asyncio.to_thread(warm)
    began = time.monotonic()
    gate = gate_of(spec.provider or spec.litellm_model)
    queued = None
    try:
        if limit_s <= 0:
            raise TimeoutError
        async with asyncio.timeout(limit_s), gate.place(spec.max_concurrent, limit_s):
            queued = time.monotonic() - began
            reply = await ask(spec, messages, seed)
        if reply.retry_after_s:
            gate.hold(reply.retry_after_s)
    except TimeoutError:
        where = "Queue" if queued is None else "TimeLimit"
        reply = Reply("timeout", error_class=where, error_message=f"cut at {limit_s:g} s")
    except Held as error:
        reply = replace(failure("error", error), retry_after_s=error.seconds)
    took = time.monotonic() - began
    return replace(
        reply,
        latency_ms=round(took * 1000),
        queued_ms=round((took if queued is None else queued) * 1000),
    )


async def ask(spec: ModelSpec, messages: list[dict[str, str]], seed: int) -> Reply:
    import litellm
    from litellm._internal_context import is_internal_call
    from litellm.exceptions import ContentPolicyViolationError, Timeout

    from collection.llm.connections import cause_of

    # Each call runs in a task of its own, so this holds for nothing else: litellm would build and
    # queue a log entry that nobody reads, a seventh of the processor time of a turn.
    is_internal_call.set(True)
    try:
        arguments = call_arguments(spec, seed)
        if spec.api_base:
            await addresses.check_unless_known(spec.api_base)
        began = time.monotonic()
        response = await litellm.acompletion(messages=messages, **arguments)
        return read(response, spec, 1000 * (time.monotonic() - began))
    except Timeout as error:
        return failure("timeout", error)
    except ContentPolicyViolationError as error:
        return failure("filtered", error)
    except Exception as error:
        reply = failure("error", cause_of(error) or error)
        return replace(reply, retry_after_s=retry_after(error))


def retry_after(error: Exception) -> float | None:
    """Seconds that a server which is too busy asks us to wait, from its Retry-After."""
    headers = getattr(error, "litellm_response_headers", None)
    if getattr(error, "status_code", None) not in BUSY or not headers:
        return None
    raw = str(headers.get("retry-after") or "").strip()
    if re.fullmatch(r"\d{1,9}(\.\d+)?", raw, re.ASCII):
        return min(float(raw), LONGEST_WAIT_S)
    until = date_of(raw)
    if until is None:
        return None
    # By the server's own clock where it shows it: ours may be wrong, or jump.
    now = date_of(str(headers.get("date") or "")) or datetime.now(UTC)
    return min(max((until - now).total_seconds(), 0.0), LONGEST_WAIT_S)


def date_of(raw: str) -> datetime | None:
    """Of an HTTP header."""
    try:
        parsed = parsedate_to_datetime(raw)
    except (ValueError, TypeError):
        return None
    return parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)


def call_arguments(spec: ModelSpec, seed: int) -> dict[str, Any]:
    """litellm's arguments. Raises MissingKey, ReservedParameter."""
    further = spec.parameters.get("extra_body")
    named = spec.parameters.keys() | (further.keys() if isinstance(further, dict) else set())
    reserved = sorted(OURS & named)
    if reserved:
        raise ReservedParameter(f"not a parameter of a model here: {', '.join(reserved)}")
    is_demo = spec.litellm_model.startswith(f"{demo.PROVIDER}/")
    return {
        **spec.parameters,
        **({"seed": seed} if is_demo else {}),
        "model": spec.litellm_model,
        "api_base": spec.api_base or None,
        "api_key": find_key(spec.key_name),
        "timeout": LITELLM_TIMEOUT_S,
        # Both: litellm's own retries and those of the client below it.
        "num_retries": 0,
        "max_retries": 0,
    }


def find_key(name: str) -> str:
    """The key called NAME. Raises MissingKey."""
    if not name:
        return NO_KEY
    key = str(settings.MODEL_KEYS.get(name, "")).strip()
    if not key:
        raise MissingKey(f"the environment has no REFRACT_KEY_{name}")
    return key


def read(response: Any, spec: ModelSpec, ms: float) -> Reply:
    """A litellm ModelResponse, which took so long, as a Reply. Raises MalformedResponse."""
    if not response.choices:
        raise MalformedResponse("no choices")
    choice = response.choices[0]
    content = choice.message.content
    raw = content if isinstance(content, str) else ""
    text = storable(raw[:MAX_CHARACTERS]).strip()
    prompt_tokens, completion_tokens = tokens(response)
    reply = Reply(
        "ok",
        "" if is_blank(text) else text,
        finish_reason=storable(str(choice.finish_reason or "")),
        prompt_tokens=prompt_tokens,
        completion_tokens=completion_tokens,
        cost_usd=cost(response, spec, ms),
        was_repaired=UNSTORABLE.search(raw) is not None,
    )
    if reply.finish_reason == "content_filter":
        return replace(reply, outcome="filtered")
    if not reply.text:
        error = "ToolCalls" if choice.message.tool_calls else ""
        return replace(reply, outcome="empty", error_class=error)
    if len(raw) > MAX_CHARACTERS:
        said = f"{len(raw)} characters, {MAX_CHARACTERS} kept"
        return replace(reply, outcome="truncated", error_class="TooLong", error_message=said)
    if reply.finish_reason == "length":
        return replace(reply, outcome="truncated")
    return reply


def is_blank(text: str) -> bool:
    """Nothing to see: no characters, or only space and the zero-width kind."""
    return not any(each.isprintable() and each != " " and each not in BLANK for each in text)


def storable(text: str) -> str:
    return UNSTORABLE.sub("\ufffd", text)


def tokens(response: Any) -> tuple[int | None, int | None]:
    """Of the prompt and of the completion, as the server counted them."""
    usage = getattr(response, "usage", None)
    if not usage or not usage.prompt_tokens:  # litellm writes 0 where a server says nothing
        return None, None
    counts = (usage.prompt_tokens, usage.completion_tokens)
    if not all(isinstance(count, int) and 0 <= count <= MOST_TOKENS for count in counts):
        return None, None
    return counts


def cost(response: Any, spec: ModelSpec, ms: float) -> Decimal | None:
    """By the endpoint's own prices, else by litellm's table; None if either says nothing.

    Without the server's token counts there is none: a count of our own, with another tokenizer,
    would be a guess that looks like a fact.
    """
    prompt_tokens, completion_tokens = tokens(response)
    if prompt_tokens is None or completion_tokens is None:
        return None
    if spec.has_prices:
        return priced(spec, prompt_tokens, completion_tokens)
    import litellm

    if is_plain(response, spec):
        return by_table(
            spec, call_type="acompletion", usage_object=response.usage, response_time_ms=ms
        )
    try:
        return in_usd(litellm.completion_cost(response, spec.litellm_model, total_time=ms))
    except Exception:  # whatever litellm raises for a model that its table lacks
        return None


def is_plain(response: Any, spec: ModelSpec) -> bool:
    """Whether tokens are all that is paid for, and their price is that of the table: neither tools
    like a search, nor a bill by the provider itself."""
    return not (
        spec.parameters.keys() & TOOLS
        or getattr(response.choices[0].message, "annotations", None)
        or BILL in (response._hidden_params.get("additional_headers") or ())
    )


def by_table(spec: ModelSpec, **used: Any) -> Decimal | None:
    """By litellm's table, US dollars for what was used of a model; None where it has no price."""
    import litellm

    try:
        return in_usd(sum(litellm.cost_per_token(model=spec.litellm_model, **used)))
    except Exception:  # whatever litellm raises for a model that its table lacks
        return None


def in_usd(usd: float) -> Decimal | None:
    return Decimal(f"{usd:.8f}") if usd else None  # 0 is also what litellm calls an unknown price


def priced(spec: ModelSpec, prompt_tokens: int, completion_tokens: int) -> Decimal:
    assert spec.input_price is not None
    assert spec.output_price is not None
    usd = spec.input_price * prompt_tokens + spec.output_price * completion_tokens
    return (usd / 1_000_000).quantize(Decimal("1e-8"))


def expected_cost(spec: ModelSpec, prompt_tokens: int, completion_tokens: int) -> Decimal | None:
    """US dollars for a call with so many tokens; None where no price is known. May import
    litellm, which takes seconds."""
    if spec.has_prices:
        return priced(spec, prompt_tokens, completion_tokens)
    warm()
    return by_table(spec, prompt_tokens=prompt_tokens, completion_tokens=completion_tokens)


def failure(outcome: str, error: Exception) -> Reply:
    return Reply(outcome, error_class=type(error).__name__, error_message=without_keys(str(error)))


def without_keys(message: str) -> str:
    for key in settings.MODEL_KEYS.values():
        if key.strip():
            message = message.replace(key.strip(), "[key]")
    message = BIDI.sub("", storable(message))
    words = ("[key]" if MASK in word else word for word in message.split())
    line = " ".join(words)
    return line if len(line) <= MAX_ERROR_CHARACTERS else line[: MAX_ERROR_CHARACTERS - 1] + "…"
