"""One call that gives several replies which differ in what they value.

Negatively correlated sampling, as in Community Alignment: replies drawn one by one from a model
agree with each other far more than people do, so one call asks for all of them at once.
"""

import json
import re
from collections.abc import Iterator
from typing import Any

from collection.llm.client import MalformedResponse

FENCE = re.compile(r"```(?:json)?\s*(.*?)```", re.DOTALL)


def instruction(k: int) -> str:
    """What stands below the system prompt."""
    return (
        f"Write {k} different replies to the user's last message. Each must be a good and complete "
        "reply on its own, from a different point of view: let the replies disagree in the values "
        "they express and in what they treat as important, as thoughtful people would. Do not "
        "mention the other replies, and do not number or label them. Answer with a JSON object and "
        f'nothing else: {{"replies": ["…", "…"]}} with exactly {k} strings.'
    )


def parse(text: str, k: int) -> list[str]:
    """The replies in a response, at most k, each once. Raises MalformedResponse below two."""
    for candidate in candidates(text):
        try:
            found = json.loads(candidate)
        except (ValueError, RecursionError):
            continue
        replies = strings(found)[:k]
        if len(replies) >= 2:
            return replies
    raise MalformedResponse(f"no JSON with {k} replies")


def candidates(text: str) -> Iterator[str]:
    """What may be the JSON: all of it, what is fenced, from the first bracket to the last."""
    yield text
    yield from FENCE.findall(text)
    for opening, closing in ("{}", "[]"):
        start, end = text.find(opening), text.rfind(closing)
        if 0 <= start < end:
            yield text[start : end + 1]


def strings(found: Any) -> list[str]:
    listed = found.get("replies") if isinstance(found, dict) else found
    if not isinstance(listed, list):
        return []
    texts = [entry.strip() for entry in listed if isinstance(entry, str)]
    return list(dict.fromkeys(text for text in texts if text))
