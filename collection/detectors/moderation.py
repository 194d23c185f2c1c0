"""Moderation by an endpoint that the study names: the one detector whose texts leave the house."""

import asyncio
import time
from collections.abc import Sequence
from typing import Any

from asgiref.sync import async_to_sync
from django.utils.translation import gettext_lazy as _

from collection import llm
from collection.detectors.outcomes import Refused, Result, Unavailable
from collection.models import Moderator

MODERATION = "moderation"
LIMIT_S = 30.0
CALLS_AT_ONCE = 4


class Moderation:
    name = MODERATION
    title = _("Moderation")
    is_local = False

    def __init__(self, moderator: Moderator) -> None:
        self.moderator = moderator
        self.version = moderator.litellm_model
        self.at_once = max(1, moderator.texts_per_call) * CALLS_AT_ONCE

    @property
    def spec(self) -> llm.ModeratorSpec:
        row = self.moderator
        return llm.ModeratorSpec(row.litellm_model, row.api_base, row.key_name)

    def detect(self, texts: Sequence[str]) -> list[Result]:
        """At the pace that the study allows: it returns when the next calls may go out."""
        judged = [text for text in texts if text]
        size = max(1, self.moderator.texts_per_call)
        parts = [judged[start : start + size] for start in range(0, len(judged), size)]
        began = time.monotonic()
        ended = async_to_sync(self.ask)(parts)
        for one in ended:
            stop_at(one)
        self.rest(began, len(parts))
        found = (as_result(one.model, each) for one in ended for each in one.judgements)
        return [next(found) if text else None for text in texts]

    async def ask(self, parts: Sequence[Sequence[str]]) -> list[llm.Moderated]:
        calls = (llm.moderate(self.spec, part, limit_s=LIMIT_S) for part in parts)
        return list(await asyncio.gather(*calls))

    def rest(self, began: float, calls: int) -> None:
        allowed = 60 / max(1, self.moderator.calls_per_minute) * calls
        time.sleep(max(0.0, allowed - (time.monotonic() - began)))


def stop_at(one: llm.Moderated) -> None:
    """Raises Refused or Unavailable if a call brought nothing."""
    if one.outcome == "refused":
        raise Refused(one.error)
    if one.outcome != "ok":
        raise Unavailable(one.error, one.retry_after_s, is_final=one.outcome == "settings")


def as_result(model: str, judged: llm.Judgement) -> dict[str, Any]:
    return {
        "model": model,
        "flagged": judged.flagged,
        "categories": dict(judged.categories),
        "category_scores": dict(judged.scores),
    }
