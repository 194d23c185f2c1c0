"""The only door to models: `complete` calls one and names how the call ended."""

from collection.llm.client import (
    MalformedResponse,
    ModelSpec,
    Reply,
    complete,
    expected_cost,
    warm,
)
from collection.llm.demo import demo_endpoints

__all__ = [
    "MalformedResponse",
    "ModelSpec",
    "Reply",
    "complete",
    "demo_endpoints",
    "expected_cost",
    "warm",
]
