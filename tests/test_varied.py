"""One call that gives several replies: what is taken for them, and what is not."""

import json

import pytest

from collection.llm import MalformedResponse
from collection.llm.varied import instruction, parse

REPLIES = ["Follow the law.", "Follow your heart.", 'Say "no".']
OBJECT = json.dumps({"replies": REPLIES})


@pytest.mark.parametrize(
    "text",
    [
        OBJECT,
        json.dumps(REPLIES),
        f"```json\n{OBJECT}\n```",
        f"Here they are:\n```\n{OBJECT}\n```\nI hope they help!",
        f"Sure! {OBJECT} Anything else?",
        f"Sure! {json.dumps(REPLIES)}",
        json.dumps({"replies": [" Follow the law.\n", *REPLIES, "", None, 7]}),
        json.dumps({"replies": [*REPLIES, "A fourth, which nobody asked for."]}),
    ],
)
def test_it_works(text: str) -> None:
    assert parse(text, 3) == REPLIES


def test_two_are_enough() -> None:
    assert parse(json.dumps(REPLIES[:2]), 4) == REPLIES[:2]


@pytest.mark.parametrize(
    "text",
    [
        *("", "I can't do that.", "{", "[]", "null", "7", '{"replies": "one"}'),
        json.dumps(["One"]),
        json.dumps(["One", "One"]),
        OBJECT[:-20],
        "[" * 100_000,
    ],
)
def test_anything_else_is_malformed(text: str) -> None:
    with pytest.raises(MalformedResponse, match="3 replies"):
        parse(text, 3)


def test_the_model_is_told_how_many() -> None:
    assert instruction(3).count("3") == 2
