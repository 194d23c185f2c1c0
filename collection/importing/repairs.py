"""What an import changes in the files that it came from, and what it leaves as it found it."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from collection.export.lines import NAN, Deviation, show

RULES = {
    "nan": "NaN, which is no JSON, became null.",
    "if-chosen": (
        "Of identical replies that were all marked as chosen, only the one with the highest score "
        "stayed so; of equal scores, the first."
    ),
    "nul": "The character NUL, which Postgres cannot store, became U+FFFD.",
}
"""Every change that an import makes. Values of all other cells are exported as they came."""
FORM = (
    "Lines are written anew: the same values in the same order, with Refract's spacing and escapes."
)
EXAMPLES = 5

Row = dict[str, Any]


@dataclass
class Repair:
    """One rule at work in one column of one file."""

    rule: str
    file: str
    column: str
    lines: list[list[int]] = field(default_factory=list)
    """[first, last] of each run of lines."""
    cells: int = 0
    examples: list[Row] = field(default_factory=list)

    def add(self, line: int, before: str, after: str) -> None:
        self.cells += 1
        if self.lines and self.lines[-1][1] >= line - 1:
            self.lines[-1][1] = line
        else:
            self.lines.append([line, line])
        if len(self.examples) < EXAMPLES:
            self.examples.append({"line": line, "before": before, "after": after})


class Repairs:
    """Collects them. Without one of these, rows are repaired and nothing is noted."""

    def __init__(self) -> None:
        self.found: dict[tuple[str, str, str], Repair] = {}

    def add(self, rule: str, file: str, line: int, column: str, before: Any, after: Any) -> None:
        key = (rule, file, column)
        repair = self.found.setdefault(key, Repair(*key))
        repair.add(line, show(before), show(after))

    def document(self, notes: Sequence[Deviation]) -> Row:
        """repairs.json. notes: the quirks that the check has found."""
        kept: dict[tuple[str, str], list[Deviation]] = {}
        for note in notes:
            if note.rule not in RULES:
                kept.setdefault((note.file, note.rule), []).append(note)
        return {
            "repairs": [self.described(repair) for repair in self.found.values()],
            "left_as_they_were": [
                {"file": file, "rule": rule, "times": len(some), "first": some[0].message}
                for (file, rule), some in kept.items()
            ],
            "form": FORM,
        }

    def described(self, repair: Repair) -> Row:
        return {
            "rule": repair.rule,
            "what": RULES[repair.rule],
            "file": repair.file,
            "column": repair.column,
            "cells": repair.cells,
            "lines": repair.lines,
            "examples": repair.examples,
        }


def storable(
    row: Row, file: str, line: int, repairs: Repairs | None, *, has_nul: bool = False
) -> Row:
    """The row without NaN; and without NUL, for which it is searched only if told to."""
    for key, value in row.items():
        if value is NAN:
            row[key] = None
            if repairs:
                repairs.add("nan", file, line, key, "NaN", None)
        elif has_nul:
            row[key] = _without_nul(value)
            if repairs and row[key] != value:
                repairs.add("nul", file, line, key, "\x00", "\ufffd")
    return row


def _without_nul(value: Any) -> Any:
    if isinstance(value, str):
        return value.replace("\x00", "\ufffd")
    if isinstance(value, list):
        return [_without_nul(part) for part in value]
    if isinstance(value, dict):
        return {_without_nul(key): _without_nul(part) for key, part in value.items()}
    return value


def one_choice(replies: Sequence[Row]) -> Iterator[Row]:
    """Of one turn's replies: those that are no longer chosen, since a twin of theirs is.

    PRISM compared texts with the reply that was kept, so that identical ones were all marked. The
    check has seen that the texts are equal and one has the turn's highest score.
    """
    chosen = [reply for reply in replies if reply["if_chosen"]]
    if len(chosen) < 2:
        return
    kept = min(chosen, key=lambda reply: (-reply["score"], reply["within_turn_id"]))
    for reply in chosen:
        if reply is not kept:
            reply["if_chosen"] = False
            yield reply
