"""A row as a line of a file, the same bytes wherever it is written; ids as texts are sorted."""

import json
from collections.abc import Iterator
from typing import Any

ENCODE = json.JSONEncoder(ensure_ascii=False, allow_nan=False).encode
"""Made once: json.dumps makes one per row."""
# JSON allows these characters in strings, but str.splitlines and other readers end lines at them.
LINE_ENDS = {"\x85": "\\u0085", "\u2028": "\\u2028", "\u2029": "\\u2029"}


def line(row: dict[str, Any]) -> str:
    """With its line end."""
    text = ENCODE(row)
    if not text.isascii():  # str.translate would take as long as all else
        for end, escaped in LINE_ENDS.items():
            text = text.replace(end, escaped)
    return text + "\n"


def in_text_order(below: int) -> Iterator[int]:
    """Numbers from 0 as their digits are sorted: 0, 1, 10, 100, 101, 11, … To sort them as texts
    would take more memory than all that is kept of conversations."""

    def beginning_with(number: int) -> Iterator[int]:
        if number < below:
            yield number
            for digit in range(10):
                yield from beginning_with(10 * number + digit)

    yield from range(min(below, 1))
    for first in range(1, 10):
        yield from beginning_with(first)
