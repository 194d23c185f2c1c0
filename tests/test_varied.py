"""One call that gives several replies: what is taken for them, and what is not."""

import json

import pytest
from asgiref.sync import async_to_sync

from collection import llm
from collection.llm import MalformedResponse
from collection.llm.varied import instruction, parse
from tests.model_server import ModelServer

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
        json.dumps({"replies": ["\u200b", REPLIES[0], "\u2060 ", *REPLIES[1:]]}),
        json.dumps({"why": {"replies": 3}, "replies": REPLIES}),
        f"Some {{people}} like [lists] and [1, 2], so: {OBJECT}",
        f'{{"replies": ["{REPLIES[0]}\n", "{REPLIES[1]}", {json.dumps(REPLIES[2])}]}}',
    ],
)
def test_it_works(text: str) -> None:
    assert parse(text, 3) == REPLIES


def test_what_cannot_be_stored_does_not_come_back_through_escapes() -> None:
    text = r'{"replies": ["a\u0000b", "c\ud800d", "\ud83d\ude00"]}'
    assert parse(text, 3) == ["a\ufffdb", "c\ufffdd", "\U0001f600"]


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
        "{" * 100_000,
        '{"a":' * 100_000,
    ],
)
def test_anything_else_is_malformed(text: str) -> None:
    with pytest.raises(MalformedResponse, match="3 replies"):
        parse(text, 3)


def test_the_model_is_told_how_many() -> None:
    assert instruction(3).count("3") == 2


def test_a_model_that_answers_so(model_server: ModelServer) -> None:
    spec = llm.ModelSpec("openai/varied-3", model_server.url, "", {})
    sent = [{"role": "system", "content": instruction(3)}, {"role": "user", "content": "Well?"}]
    reply = async_to_sync(llm.complete)(spec, sent, limit_s=20, seed=0)
    assert len(parse(reply.text, 3)) == 3
