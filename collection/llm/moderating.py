"""One call of a moderation endpoint, strictly limited, and a name for each of its endings."""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from collection.llm import addresses
from collection.llm.client import (
    MalformedResponse,
    failure,
    find_key,
    retry_after,
    storable,
    warm,
)

OPENAI = "https://api.openai.com/v1"
"""Named, or its client would take another from the environment."""
REFUSALS = {400, 413, 422}
"""What was sent is to blame, and it would be again."""
FOR_SOMEBODY = {401, 403, 404}
"""The settings are to blame …"""
OURS = {"MissingKey", "AddressRefused", "NoProvider"}
"""… as they are for these."""


@dataclass(frozen=True)
class ModeratorSpec:
    """Which endpoint, where and with which key."""

    litellm_model: str
    api_base: str = ""
    key_name: str = ""


@dataclass(frozen=True)
class Judgement:
    """Of one text. Names of categories are the provider's own: self-harm/intent."""

    flagged: bool
    categories: Mapping[str, bool]
    scores: Mapping[str, float]


@dataclass(frozen=True)
class Moderated:
    """How a call ended: ok, refused (the texts are to blame), settings (somebody must change
    something) or failed (it may be tried again)."""

    outcome: str
    judgements: Sequence[Judgement] = ()
    model: str = ""
    """That answered, as it calls itself."""
    error: str = ""
    """On one line, without keys."""
    retry_after_s: float | None = None


class NoProvider(Exception):
    """A model is named that litellm cannot place."""


async def moderate(spec: ModeratorSpec, texts: Sequence[str], *, limit_s: float) -> Moderated:
    """Have some texts judged, in one call. Never raises: whatever happens within `limit_s` seconds
    is an outcome."""
    await asyncio.to_thread(warm)
    try:
        async with asyncio.timeout(limit_s):
            return await ask(spec, texts)
    except TimeoutError:
        return Moderated("failed", error=f"no answer within {limit_s:g} s")


async def ask(spec: ModeratorSpec, texts: Sequence[str]) -> Moderated:
    import httpx
    import litellm
    from litellm._internal_context import is_internal_call
    from openai import AsyncOpenAI

    is_internal_call.set(True)
    try:
        key = find_key(spec.key_name)
        base = base_of(spec, key)
        await addresses.check_unless_known(base)
        # Of our own, for litellm's tries twice more where nobody sees it, and follows redirects to
        # wherever they lead.
        async with httpx.AsyncClient(follow_redirects=False) as http:
            client = AsyncOpenAI(api_key=key, base_url=base, max_retries=0, http_client=http)
            answer = await litellm.amoderation(
                input=list(texts),
                model=spec.litellm_model,
                api_key=key,
                client=client,
            )
        return read(answer, len(texts))
    except Exception as error:
        return ended(error)


def base_of(spec: ModeratorSpec, key: str) -> str:
    """Where the provider of a model is, unless the study says it."""
    if spec.api_base:
        return spec.api_base
    import litellm
    from litellm.exceptions import BadRequestError

    try:
        _model, provider, _key, base = litellm.get_llm_provider(spec.litellm_model, api_key=key)
    except BadRequestError as error:
        raise NoProvider(f"litellm knows no provider of {spec.litellm_model}") from error
    return OPENAI if provider == "openai" or not base else str(base)


def ended(error: Exception) -> Moderated:
    status = getattr(error, "status_code", None)
    said = failure("error", error)
    words = f"{said.error_class}: {said.error_message}"
    if status in REFUSALS:
        return Moderated("refused", error=words)
    if status in FOR_SOMEBODY or said.error_class in OURS:
        return Moderated("settings", error=words)
    return Moderated("failed", error=words, retry_after_s=asked_to_wait(error))


def asked_to_wait(error: Exception) -> float | None:
    """Seconds, from the Retry-After of a server that is too busy."""
    response = getattr(error, "response", None)
    if response is not None and not getattr(error, "litellm_response_headers", None):
        error.litellm_response_headers = response.headers  # type: ignore[attr-defined]
    return retry_after(error)


def read(answer: Any, expected: int) -> Moderated:
    """Raises MalformedResponse."""
    results = getattr(answer, "results", None) or []
    if len(results) != expected:
        raise MalformedResponse(f"{len(results)} judgements of {expected} texts")
    judgements = [judgement(result) for result in results]
    return Moderated("ok", judgements, model=storable(str(getattr(answer, "model", "") or "")))


def judgement(result: Any) -> Judgement:
    categories, scores = as_mapping(result.categories), as_mapping(result.category_scores)
    if not all(isinstance(value, bool) for value in categories.values()):
        raise MalformedResponse("a category that is neither true nor false")
    if not all(is_score(value) for value in scores.values()):
        raise MalformedResponse("a score that is no number from 0 to 1")
    return Judgement(bool(result.flagged), categories, scores)


def is_score(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= 1


def as_mapping(found: Any) -> dict[str, Any]:
    """With the provider's own names, which OpenAI's client writes as Python's: self_harm_intent.
    What the provider left out is left out here."""
    from openai.types.moderation import Categories

    own = {name: field.alias or name for name, field in Categories.model_fields.items()}
    pairs: Iterable[tuple[str, Any]] = dict(found).items() if found else ()
    return {storable(own.get(name, name)): value for name, value in pairs if value is not None}
