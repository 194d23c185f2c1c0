"""Other forms of utterances.jsonl: PRISM's wide format, battles, and what trl trains on.

They are made from the JSON lines already written and from nothing else, so that whoever or whatever
is left out or redacted there is so here. The rules stand in docs/files.md and in the manifest.
"""

import json
from array import array
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from itertools import combinations, groupby
from pathlib import Path
from typing import Any

from collection.export import further_tables as further
from collection.export.codebook import Codebook
from collection.export.columns import KeyOrder
from collection.export.tables import EMPTY_TEXT
from collection.export.text import in_text_order

Row = dict[str, Any]

SOURCES = ("utterances", further.RATINGS)
"""The files that these are made from."""

PRISM_TIE = 5
"""Points: PRISM counts scores no further apart as a tie."""
WIDEST_TIE = 98
"""Beyond it nothing could win."""
MIDDLE = 50
"""Scores above it have the label true in `unpaired`."""
REDACTED = "[REDACTED]"
"""Stands for a text that a reviewer marked as personal."""


@dataclass(frozen=True)
class Rules:
    """What counts as a tie, and whether sliders that nobody touched count in training data."""

    tie_within: int = PRISM_TIE
    with_untouched: bool = False

    def as_json(self) -> Row:
        return {"tie_within": self.tie_within, "with_untouched": self.with_untouched}


PRISMS = Rules()


@dataclass
class Source:
    """The folder with the JSON lines, and what was left out on the way."""

    folder: Path
    book: Codebook
    rules: Rules = PRISMS
    order: KeyOrder = "codebook"
    left_out: dict[str, Counter[str]] = field(default_factory=dict)
    """Derived file -> reason -> number."""

    def utterances(self) -> Iterator[Row]:
        yield from read(self.folder / "utterances.jsonl")

    def untouched(self) -> set[str]:
        """Utterances whose slider was left where it stood."""
        rows = read(self.folder / f"{further.RATINGS}.jsonl")
        return {
            row["utterance_id"]
            for row in rows
            if row["file"] == "utterances" and not row["was_touched"]
        }

    def as_json(self) -> Row:
        """For the manifest."""
        left_out = {name: dict(sorted(found.items())) for name, found in self.left_out.items()}
        return {"rules": self.rules.as_json(), "left_out": left_out}

    def skip(self, name: str, reason: str) -> None:
        self.left_out.setdefault(name, Counter())[reason] += 1


def read(path: Path) -> Iterator[Row]:
    with path.open("rb") as file:
        yield from map(json.loads, file)


def turns(rows: Iterable[Row]) -> Iterator[list[Row]]:
    """The replies to one message each, which stand together in the file."""
    for _id, replies in groupby(rows, key=lambda row: row["interaction_id"]):
        yield list(replies)


# Wide


def wide_rows(source: Source) -> Iterator[Row]:
    """One row for each message, sorted by its id as text, as PRISM's pivot leaves them."""
    path = source.folder / "utterances.jsonl"
    starts = starts_of(path)
    with path.open("rb") as file:
        for number in in_text_order(len(starts)):
            if starts[number] >= 0:
                file.seek(starts[number])
                # Not the file itself, which refuses to tell and to seek while it is iterated.
                lines = map(json.loads, iter(file.readline, b""))
                yield source.book.wide.row(wide_values(source, next(turns(lines))), source.order)


def starts_of(path: Path) -> "array[int]":
    """Number of an interaction -> where its lines begin, in bytes; -1 if there is none."""
    starts = array("q")
    at, last = 0, -1
    with path.open("rb") as file:
        for line in file:
            number = int(json.loads(line)["interaction_id"].removeprefix("int"))
            if number != last:
                starts.extend([-1] * (number + 1 - len(starts)))
                starts[number], last = at, number
            at += len(line)
    return starts


def wide_values(source: Source, replies: list[Row]) -> Row:
    values = dict.fromkeys(source.book.wide.key_order)
    for key in further.FIXED:
        values[key] = replies[0][key]
    for letter, reply in zip(further.SUFFIXES, replies, strict=False):
        for key, value in reply.items():
            if key not in further.FIXED:
                values[f"{key}_{letter}"] = value
    return values


# Battles


def battle_rows(source: Source) -> Iterator[Row]:
    """All pairs of each turn's replies, in the order of the file."""
    untouched = source.untouched()
    for replies in turns(source.utterances()):
        for one, other in combinations(replies, 2):
            ids = (one["utterance_id"], other["utterance_id"])
            values = shared(one) | {
                "utterance_id_a": ids[0],
                "utterance_id_b": ids[1],
                "model_a": one["model_name"],
                "model_b": other["model_name"],
                "score_a": one["score"],
                "score_b": other["score"],
                "margin": one["score"] - other["score"],
                "tie_within": source.rules.tie_within,
                "winner": winner(one, other, source.rules),
                "untouched": sum(utterance_id in untouched for utterance_id in ids),
            }
            yield further.BATTLES_TABLE.row(values, source.order)


def winner(one: Row, other: Row, rules: Rules) -> str:
    if is_tie(one, other, rules):
        return "tie"
    return "model_a" if one["score"] > other["score"] else "model_b"


def is_tie(one: Row, other: Row, rules: Rules) -> bool:
    return bool(abs(one["score"] - other["score"]) <= rules.tie_within)


def shared(reply: Row) -> Row:
    keys = ("interaction_id", "conversation_id", "user_id", "turn", "conversation_type")
    return {key: reply[key] for key in (*keys, "included_in_balanced_subset")}


# What trl trains on


def preference_rows(source: Source) -> Iterator[Row]:
    """All pairs of each turn's replies that are no tie and can be learned from."""
    untouched = source.untouched()
    for prompt, replies in with_prompts(source.utterances()):
        for one, other in combinations(replies, 2):
            reason = unfit_pair(prompt, one, other, source.rules, untouched)
            if reason:
                source.skip(further.PREFERENCES, reason)
                continue
            chosen, rejected = sorted((one, other), key=lambda row: -row["score"])
            values = shared(one) | {"prompt": prompt}
            for which, reply in (("chosen", chosen), ("rejected", rejected)):
                values |= {
                    which: [said(reply)],
                    f"score_{which}": reply["score"],
                    f"model_{which}": reply["model_name"],
                    f"utterance_id_{which}": reply["utterance_id"],
                }
            yield further.PREFERENCES_TABLE.row(values, source.order)


def unpaired_rows(source: Source) -> Iterator[Row]:
    untouched = source.untouched()
    for prompt, replies in with_prompts(source.utterances()):
        for reply in replies:
            reason = unfit(prompt, [reply], source.rules, untouched)
            if reason:
                source.skip(further.UNPAIRED, reason)
                continue
            values = shared(reply) | {
                "prompt": prompt,
                "completion": [said(reply)],
                "label": reply["score"] > MIDDLE,
                "score": reply["score"],
                "model_name": reply["model_name"],
                "utterance_id": reply["utterance_id"],
            }
            yield further.UNPAIRED_TABLE.row(values, source.order)


def with_prompts(rows: Iterable[Row]) -> Iterator[tuple[list[Row], list[Row]]]:
    """(the conversation up to a message, the replies to it), turn by turn.

    Without system messages: each model has its own, and one pair may have two.
    """
    for _id, conversation in groupby(rows, key=lambda row: row["conversation_id"]):
        messages: list[Row] = []
        for replies in turns(conversation):
            messages.append({"role": "user", "content": replies[0]["user_prompt"]})
            yield list(messages), replies
            messages.append(said(kept(replies)))


def kept(replies: list[Row]) -> Row:
    """The reply that the conversation went on with; PRISM flags two where their texts are equal."""
    return next((reply for reply in replies if reply["if_chosen"]), replies[0])


def said(reply: Row) -> Row:
    return {"role": "assistant", "content": reply["model_response"]}


def unfit_pair(
    prompt: list[Row], one: Row, other: Row, rules: Rules, untouched: set[str]
) -> str | None:
    """Why nothing can be learned from a pair."""
    reason = unfit(prompt, [one, other], rules, untouched)
    if reason:
        return reason
    if is_tie(one, other, rules):
        return "tie"
    return "same text" if one["model_response"] == other["model_response"] else None


def unfit(prompt: list[Row], replies: list[Row], rules: Rules, untouched: set[str]) -> str | None:
    texts = [message["content"] for message in (*prompt, *map(said, replies))]
    if any(text == EMPTY_TEXT for text in texts):
        return "empty text"
    if any(REDACTED in text for text in texts):
        return "redacted text"
    if not rules.with_untouched and any(row["utterance_id"] in untouched for row in replies):
        return "untouched slider"
    return None


MAKERS: dict[str, Callable[[Source], Iterator[Row]]] = {
    further.WIDE: wide_rows,
    further.BATTLES: battle_rows,
    further.PREFERENCES: preference_rows,
    further.UNPAIRED: unpaired_rows,
}
