"""One call that gives several replies which differ in what they value.

Negatively correlated sampling, as in Community Alignment: replies drawn one by one from a model
agree with each other far more than people do, so one call asks for all of them at once.
"""

import json
import re
from itertools import islice
from typing import Any

from collection.llm.client import MalformedResponse, is_blank, storable

MAX_TRIES = 50
"""Brackets at which the JSON may begin: prose before it has some, a text of nothing else is none
to spend time on."""
OPENINGS = (re.compile("{"), re.compile(r"\["))
LENIENT = json.JSONDecoder(strict=False)
"""Models write line breaks into strings as they are."""


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
    """The replies in a response, at most k, each once. Raises MalformedResponse below two.

    What stands around the JSON, such as a fence or a few words, does not matter.
    """
    for opening in OPENINGS:
        for bracket in islice(opening.finditer(text), MAX_TRIES):
            replies = strings(decoded(text, bracket.start()))[:k]
            if len(replies) >= 2:
                return replies
    raise MalformedResponse(f"no JSON with {k} replies")


def decoded(text: str, start: int) -> Any:
    """The JSON that begins there, whatever follows; None if none does."""
    try:
        return LENIENT.raw_decode(text, start)[0]
    except (ValueError, RecursionError):
        return None


def strings(found: Any) -> list[str]:
    """Storable: JSON's escapes bring back what `complete` has taken from the text."""
    listed = found.get("replies") if isinstance(found, dict) else found
    if not isinstance(listed, list):
        return []
    texts = [storable(entry).strip() for entry in listed if isinstance(entry, str)]
    return list(dict.fromkeys(text for text in texts if not is_blank(text)))
