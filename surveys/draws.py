"""Every random choice in Refract comes from here, drawn from a stored seed.

A draw is named by its path, so that one seed gives independent streams and any of them can be
drawn again later: `rng(participant.seed, "order", "stated_prefs")`.
"""

import hashlib
import random
import secrets
from collections.abc import Sequence
from typing import TypeVar

T = TypeVar("T")


def new_seed() -> int:
    """A seed that fits a signed 64-bit column."""
    return secrets.randbits(62)


def rng(seed: int, *path: str | int) -> random.Random:
    """The generator of one named draw; the same on every machine and Python."""
    name = "/".join(str(part) for part in (seed, *path))
    return random.Random(int.from_bytes(hashlib.sha256(name.encode()).digest()[:8]))  # noqa: S311


def shuffled(items: Sequence[T], seed: int, *path: str | int) -> list[T]:
    """All items in an order drawn uniformly."""
    return rng(seed, *path).sample(items, len(items))
