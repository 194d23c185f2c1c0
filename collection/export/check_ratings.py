"""The rules of ratings.jsonl: each value of a line once, as the file has it that it names."""

from collections import defaultdict
from collections.abc import Iterator, Mapping
from typing import Any

from collection.export.codebook import Codebook
from collection.export.columns import keys
from collection.export.known import Known
from collection.export.lines import Deviation, File, Line, Problem, show
from collection.export.shape import is_sound, row_problems
from collection.export.tables import CHOICE, PERFORMANCE

Row = Mapping[str, Any]

IDS = ("conversation_id", "interaction_id", "utterance_id")
DEPTH = {"survey": 0, "conversations": 1, "utterances": 3}
"""File -> how many of IDS a row has."""
ATTRIBUTES = {column.key: keys(column) for column in (PERFORMANCE, CHOICE)}
RECORD = ("first_value", "ms_to_first_touch", "input")

Cell = tuple[str, str | None]
"""A column and the key within it."""


def check(file: File, known: Known, book: Codebook) -> Iterator[Deviation]:
    checker = Checker(known, book)
    for line in file.rows():
        if isinstance(line, Deviation):
            yield line
        else:
            yield from file.at(line.number, checker.problems(line))
    yield from file.at(0, checker.missing_problems())


class Checker:
    """Goes through the rows and ticks off what they are about."""

    def __init__(self, known: Known, book: Codebook) -> None:
        self.known = known
        self.table = book.ratings
        self.seen: dict[str, set[Cell]] = defaultdict(set)
        """Id of a user, conversation or utterance -> the cells that had their row."""
        self.places: dict[tuple[str, str], set[int]] = defaultdict(set)

    def problems(self, line: Line) -> Iterator[Problem]:
        row = line.row
        shape = list(row_problems(self.table, row))
        yield from shape
        if not is_sound(shape):
            return
        if row["user_id"] not in self.known.users:
            yield Problem("reference", f"{show(row['user_id'])} is not in survey.jsonl")
        yield from record_problems(row)
        depth = DEPTH.get(row["file"], 0)
        for index, key in enumerate(IDS):
            if (row[key] is not None) != (index < depth):
                expected = "an id" if index < depth else "null"
                yield Problem("ids", f"{row['file']}: {key} should be {expected}")
                return
        yield from self.value_problems(row)

    def value_problems(self, row: Row) -> Iterator[Problem]:
        """Whether the file has this value in this place, and no earlier row had."""
        owner = row[IDS[DEPTH[row["file"]] - 1]] if DEPTH.get(row["file"]) else row["user_id"]
        cell = (row["column"], row["item"])
        if cell in self.seen[owner]:
            yield Problem("unique", f"{show(cell)} of {show(owner)} has an earlier row")
        self.seen[owner].add(cell)
        match row["file"]:
            case "survey":
                yield from self.survey_problems(row, cell)
            case "conversations":
                yield from self.attribute_problems(row)
            case "utterances":
                yield from self.score_problems(row)
        if row["file"] != "utterances":
            shown = self.places[owner, row["column"]]
            if row["position"] in shown:
                yield Problem("positions", f"two lines stood at {row['position']}")
            shown.add(row["position"])

    def survey_problems(self, row: Row, cell: Cell) -> Iterator[Problem]:
        cells = self.known.lines.get(row["user_id"])
        if cells is None:
            return
        if cell not in cells:
            yield Problem("reference", f"survey.jsonl has no line {show(cell)}")
        elif cells[cell] != row["value"]:
            yield Problem("agreement", f"the value is {show(cells[cell])} in survey.jsonl")

    def attribute_problems(self, row: Row) -> Iterator[Problem]:
        conversation_id, column, item = row["conversation_id"], row["column"], row["item"]
        conversation = self.known.conversations.get(conversation_id)
        if conversation is None:
            yield Problem("reference", f"{show(conversation_id)} is not in conversations.jsonl")
        elif item not in ATTRIBUTES.get(column, ()):
            yield Problem("reference", f"conversations.jsonl has no line {show([column, item])}")
        elif conversation.is_sound:
            if conversation.user_id != row["user_id"]:
                yield Problem("agreement", f"{conversation_id} is of {conversation.user_id}")
            value = self.known.attributes[conversation_id][column][item]
            if value != row["value"]:
                yield Problem("agreement", f"the value is {show(value)} in conversations.jsonl")

    def score_problems(self, row: Row) -> Iterator[Problem]:
        utterance_id = row["utterance_id"]
        utterance = self.known.utterances.get(utterance_id)
        if utterance is None:
            yield Problem("reference", f"{show(utterance_id)} is not in utterances.jsonl")
            return
        if utterance.score is None:
            return
        conversation_id = self.known.interactions.get(utterance.interaction_id)
        conversation = self.known.conversations.get(str(conversation_id))
        expected: dict[str, Any] = {
            "conversation_id": conversation_id,
            "interaction_id": utterance.interaction_id,
            "column": "score",
            "item": None,
            "value": utterance.score,
        }
        if conversation and conversation.is_sound:
            expected["user_id"] = conversation.user_id
        if utterance_id in self.known.draws:
            expected["position"] = self.known.draws[utterance_id][1]
        differing = [key for key, value in expected.items() if row[key] != value]
        if differing:
            yield Problem("agreement", f"{', '.join(differing)} differs from {utterance_id}")

    def missing_problems(self) -> Iterator[Problem]:
        expected: dict[str, dict[str, list[Cell]]] = {
            "survey.jsonl": {
                user_id: [cell for cell, value in cells.items() if value is not None]
                for user_id, cells in self.known.lines.items()
            },
            "conversations.jsonl": {
                one: [(column, item) for column, items in ATTRIBUTES.items() for item in items]
                for one in self.known.attributes
            },
            "utterances.jsonl": {one: [("score", None)] for one in self.known.utterances},
        }
        for name, owners in expected.items():
            missing = [
                (owner, cell)
                for owner, cells in owners.items()
                for cell in cells
                if cell not in self.seen.get(owner, ())
            ]
            if missing:
                yield Problem("missing", f"{len(missing)} values of {name}, first {missing[0]}")


def record_problems(row: Row) -> Iterator[Problem]:
    """What the row says of itself."""
    if row["is_na"] != (row["value"] is None):
        yield Problem("is-na", "is_na is not whether the value is null")
    is_still = not row["moves"] and all(row[key] is None for key in RECORD)
    if not row["was_touched"] and not row["is_na"] and not is_still:
        yield Problem("touch", "was_touched is false, but there is a record of touching")
