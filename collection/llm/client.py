"""One model call, strictly limited, and a name for each of its endings.

litellm is imported inside the functions: that takes seconds, and most commands need no model.
"""

import asyncio
import logging
import re
import threading
import time
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any

from django.conf import settings

from collection.llm import demo

NO_KEY = "none"
"""Sent where no key is named. Without any, litellm would take one from the environment and send
it to whoever answers at `api_base`."""

LITELLM_TIMEOUT_S = 120
"""The longest limit a protocol allows. Constant, because litellm keeps one client, with its open
connections, for each value; our own limit is what cuts."""

MAX_CHARACTERS = 100_000
"""No reply of a study comes near; a page with more would not be readable, or load."""

MAX_ERROR_CHARACTERS = 500

OURS = {
    "additional_drop_params",
    "allowed_openai_params",
    "api_base",
    "api_key",
    "base_url",
    "cache",
    "caching",
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

UNSTORABLE = re.compile("[\0\ud800-\udfff]")
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
    """By litellm's price table; None where it knows no price."""
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
        litellm.encode(text="warm")
        _loaded.set()


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
    reply = await ask(spec, messages, limit_s, seed)
    return replace(reply, latency_ms=round((time.monotonic() - began) * 1000))


async def ask(spec: ModelSpec, messages: list[dict[str, str]], limit_s: float, seed: int) -> Reply:
    import litellm
    from litellm.exceptions import ContentPolicyViolationError, Timeout

    try:
        if limit_s <= 0:
            raise TimeoutError
        arguments = call_arguments(spec, seed)
        async with asyncio.timeout(limit_s):
            response = await litellm.acompletion(messages=messages, **arguments)
        return read(response)
    except TimeoutError:
        return Reply("timeout", error_class="TimeLimit", error_message=f"cut at {limit_s:g} s")
    except Timeout as error:
        return failure("timeout", error)
    except ContentPolicyViolationError as error:
        return failure("filtered", error)
    except Exception as error:
        return failure("error", error)


def call_arguments(spec: ModelSpec, seed: int) -> dict[str, Any]:
    """litellm's arguments. Raises MissingKey, ReservedParameter."""
    reserved = sorted(OURS & spec.parameters.keys())
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


def read(response: Any) -> Reply:
    """A litellm ModelResponse as a Reply. Raises MalformedResponse."""
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
        cost_usd=cost(response),
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
    return not any(character.isprintable() and character != " " for character in text)


def storable(text: str) -> str:
    return UNSTORABLE.sub("\ufffd", text)


def tokens(response: Any) -> tuple[int | None, int | None]:
    """Of the prompt and of the completion."""
    usage = getattr(response, "usage", None)
    if not usage or not usage.prompt_tokens:  # litellm writes 0 where a server says nothing
        return None, None
    return usage.prompt_tokens, usage.completion_tokens


def cost(response: Any) -> Decimal | None:
    usd = response._hidden_params.get("response_cost")
    return Decimal(f"{usd:.8f}") if usd else None  # 0 is also what litellm calls an unknown price


def failure(outcome: str, error: Exception) -> Reply:
    return Reply(outcome, error_class=type(error).__name__, error_message=without_keys(str(error)))


def without_keys(message: str) -> str:
    for key in settings.MODEL_KEYS.values():
        if key.strip():
            message = message.replace(key.strip(), "[key]")
    words = ("[key]" if MASK in word else word for word in storable(message).split())
    line = " ".join(words)
    return line if len(line) <= MAX_ERROR_CHARACTERS else line[: MAX_ERROR_CHARACTERS - 1] + "…"
