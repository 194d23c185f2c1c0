"""The only door to models: `complete` calls one and names how the call ended."""

from collection.llm.client import ModelSpec, Reply, complete, warm
from collection.llm.demo import demo_endpoints

__all__ = ["ModelSpec", "Reply", "complete", "demo_endpoints", "warm"]
