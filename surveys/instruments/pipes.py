"""Texts that repeat an earlier answer ("piping"): {{ question }}."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

PIPE = re.compile(r"\{\{\s*([a-z][a-z0-9_-]*)\s*(?:\|([^{}]*))?\}\}")
"""{{ question }} or {{ question | words for those who gave no answer }}."""


def pipes(part: Any) -> Iterator[str]:
    """The questions that the texts of a document repeat."""
    if isinstance(part, str):
        yield from (match[1] for match in PIPE.finditer(part))
    elif isinstance(part, Mapping):
        for value in part.values():
            yield from pipes(value)
    elif isinstance(part, list | tuple):
        for item in part:
            yield from pipes(item)
