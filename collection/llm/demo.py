"""Models that need no key and no network: a litellm provider for demonstrations and tests.

A reply, and how long it takes, depends on the model, the messages and the seed alone.
"""

import asyncio
import json
import re
from random import Random
from typing import TYPE_CHECKING, Any

from django.conf import settings

from collection.llm import manners
from surveys.draws import rng

if TYPE_CHECKING:
    from litellm.llms.custom_llm import CustomLLM
    from litellm.types.utils import ModelResponse

PROVIDER = "refract-demo"

HEADERS = {
    "Chat": "You are a conversational assistant. Limit your answers to around 50 words."
    " Do not refer to your word limit.",
    "Instruct": "You are a conversational assistant. The conversation history is in the input."
    " Reply to the last user message. Limit your answers to around 50 words."
    " Do not refer to your word limit.",
}
"""PRISM's two headers by model_type, word for word (CC-BY-4.0)."""

SEVERAL = re.compile(r"exactly (\d) strings")
"""In the instruction of `varied`."""

PARAMETERS = {"temperature": 1.0, "top_p": 0.9, "max_tokens": 256}

ENDPOINTS = (
    ("terse", "TER", "Instruct"),
    ("chatty", "CHA", "Chat"),
    ("lister", "LIS", "Instruct"),
    ("hedger", "HED", "Chat"),
    ("refuser", "REF", "Chat"),
    ("asker", "ASK", "Chat"),
    ("slow", "SLO", "Chat"),
    ("flaky", "FLA", "Chat"),
    ("poet", "POE", "Instruct"),
    ("expert", "EXP", "Chat"),
)
"""Manner, longcode, model_type."""


def demo_endpoints() -> list[dict[str, Any]]:
    """One dict of ModelEndpoint fields per demo model."""
    return [
        {
            "long_name": f"{PROVIDER}/{manner}",
            "short_name": f"demo-{manner}",
            "longcode": longcode,
            "model_family": "Demo",
            "model_provider": "Refract-Demo",
            "provider_code": "refract_demo",
            "model_provider_type": "Open Access",
            "model_type": model_type,
            "link": "",
            "header": HEADERS[model_type],
            "default_params": dict(PARAMETERS),
            "parameters": dict(PARAMETERS),
            "litellm_model": f"{PROVIDER}/{manner}",
            "is_demo": True,
        }
        for manner, longcode, model_type in ENDPOINTS
    ]


def make_handler() -> "CustomLLM":
    """What litellm calls for `refract-demo/<manner>`. Imports litellm."""
    from litellm.exceptions import NotFoundError, ServiceUnavailableError
    from litellm.llms.custom_llm import CustomLLM

    known = manners.names()

    class DemoModels(CustomLLM):
        async def acompletion(  # type: ignore[override]
            self,
            model: str,
            messages: list[dict[str, str]],
            model_response: "ModelResponse",
            optional_params: dict[str, Any],
            **_: Any,
        ) -> "ModelResponse":
            if model not in known:
                raise NotFoundError(f"there is no demo model {model}", model, PROVIDER)
            draw = rng(optional_params["seed"], PROVIDER, model, json.dumps(messages))
            await asyncio.sleep(manners.seconds(model, draw) * settings.DEMO_LATENCY_SCALE)
            if manners.fails(model, draw):
                raise ServiceUnavailableError("it fails now and then", PROVIDER, model)
            text = speak(model, messages, draw)
            return written(model_response, text, messages, optional_params.get("max_tokens"))

    return DemoModels()


def speak(manner: str, messages: list[dict[str, str]], draw: Random) -> str:
    """One reply, or as many as the system message wants in one JSON object."""
    wanted = SEVERAL.search(messages[0]["content"])
    if wanted is None:
        return manners.speak(manner, messages, draw)
    others = sorted(manners.names() - {manner})
    speakers = [manner, *draw.sample(others, int(wanted[1]) - 1)]
    return json.dumps({"replies": [manners.speak(one, messages, draw) for one in speakers]})


def written(
    response: "ModelResponse",
    text: str,
    messages: list[dict[str, str]],
    max_tokens: int | None,
) -> "ModelResponse":
    """The response that says this text, cut at max_tokens as a real model's is."""
    from litellm.types.utils import Usage

    kept = cut(text, max_tokens)
    choice: Any = response.choices[0]
    choice.message.content = kept
    choice.finish_reason = "stop" if kept == text else "length"
    prompt = sum(words(message["content"]) for message in messages)
    usage = Usage(prompt_tokens=prompt, completion_tokens=words(kept))
    response.usage = usage  # type: ignore[attr-defined]
    return response


def words(text: str) -> int:
    """A demo model's token is a word."""
    return len(text.split())


def cut(text: str, max_tokens: int | None) -> str:
    if max_tokens is None:
        return text
    pieces = re.findall(r"\s*\S+", text)
    return "".join(pieces[:max_tokens])
