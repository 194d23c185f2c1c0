"""The only door to models: `complete` calls one and `moderate` has texts judged by one; both name
how the call ended."""

from collection.llm.client import (
    MalformedResponse,
    ModelSpec,
    Reply,
    complete,
    expected_cost,
    warm,
)
from collection.llm.demo import demo_endpoints
from collection.llm.moderating import Judgement, Moderated, ModeratorSpec, moderate

__all__ = [
    "Judgement",
    "MalformedResponse",
    "ModelSpec",
    "Moderated",
    "ModeratorSpec",
    "Reply",
    "complete",
    "demo_endpoints",
    "expected_cost",
    "moderate",
    "warm",
]
