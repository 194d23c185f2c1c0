"""A row as a line of a file, the same bytes wherever it is written."""

import json
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
