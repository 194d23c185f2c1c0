"""Reading release files line by line, and what is found wrong in them."""

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

BYTE_ORDER_MARK = "\ufeff"


@dataclass(frozen=True)
class Deviation:
    """Where a folder departs from the codebook. line 0: the file as a whole.

    is_note: a known quirk of PRISM's own release, no fault.
    """

    file: str
    line: int
    rule: str
    message: str
    is_note: bool = False

    def __str__(self) -> str:
        kind = "note: " if self.is_note else ""
        text = f"{self.file}:{self.line}: {kind}{self.rule}: {self.message}"
        # Ids of a broken file may hold anything; this stays one line that can be printed.
        return " ".join(text.encode("utf-8", "backslashreplace").decode().splitlines())


@dataclass(frozen=True)
class Problem:
    """A deviation that does not know its place yet. once: enough to say it once per file."""

    rule: str
    message: str
    is_note: bool = False
    once: bool = False


def note(rule: str, message: str, *, once: bool = False) -> Problem:
    return Problem(rule, message, is_note=True, once=once)


class Line(NamedTuple):
    """One row and where it stands, from 1."""

    number: int
    row: dict[str, Any]


class NotANumber:
    """What the bare tokens NaN and Infinity, which are no JSON, become."""

    def __repr__(self) -> str:
        return "NaN"


NAN = NotANumber()


@dataclass
class File:
    """A file under check: reads its lines and puts problems in their place."""

    path: Path
    name: str
    lines: int = 0
    _said: set[str] = field(default_factory=set)

    def at(self, line: int, problems: Iterable[Problem]) -> Iterator[Deviation]:
        for problem in problems:
            if problem.once:
                if problem.rule in self._said:
                    continue
                self._said.add(problem.rule)
            yield Deviation(self.name, line, problem.rule, problem.message, problem.is_note)

    def rows(self) -> Iterator[Line | Deviation]:
        """Every line that holds an object, and a deviation for whatever is wrong with a line."""
        try:
            with self.path.open("rb") as file:
                for number, raw in enumerate(file, start=1):
                    self.lines = number
                    row, problems = read_line(raw, number)
                    yield from self.at(number, problems)
                    if row is not None:
                        yield Line(number, row)
        except OSError as error:
            reason = error.strerror or str(error)
            yield from self.at(0, [Problem("unreadable", reason)])


def read_line(raw: bytes, number: int) -> tuple[dict[str, Any] | None, list[Problem]]:
    """(the row, or None if there is none; what is wrong with the line itself)"""
    problems: list[Problem] = []
    try:
        text = raw.decode("utf-8")
        if (row := sound(text)) is not None:
            return row, problems
    except UnicodeDecodeError as error:
        return None, [Problem("utf-8", f"not UTF-8 at byte {error.start + 1} of the line")]
    if number == 1 and text.startswith(BYTE_ORDER_MARK):
        problems.append(Problem("utf-8", "begins with a byte order mark"))
        text = text.removeprefix(BYTE_ORDER_MARK)
    if text.endswith("\r\n"):
        problems.append(Problem("line-end", "ends in CR LF instead of LF", once=True))
    if not text.strip():
        return None, [*problems, Problem("json", "the line is empty")]
    twice: list[str] = []
    try:
        value = json.loads(
            text,
            parse_constant=lambda _token: NAN,
            object_pairs_hook=lambda pairs: _object(pairs, twice),
        )
    except (ValueError, RecursionError) as error:
        return None, [*problems, Problem("json", f"not JSON, or cut off: {error}")]
    problems += [Problem("duplicate-key", f"{show(key)} is given twice") for key in twice]
    if not isinstance(value, dict):
        return None, [*problems, Problem("json", "the line holds no object")]
    return value, problems


def sound(text: str) -> dict[str, Any] | None:
    """The row of a line in which nothing is wrong; else None. Nearly all are: so that is found out
    first, as fast as it can be."""
    if text.endswith("\r\n"):
        return None
    try:
        row = SOUND.decode(text)
    except (ValueError, RecursionError):
        return None
    return row if isinstance(row, dict) else None


def _refused(token: str) -> Any:
    raise ValueError(token)


def _each_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    row = dict(pairs)
    if len(row) < len(pairs):
        raise ValueError("a key is given twice")
    return row


SOUND = json.JSONDecoder(parse_constant=_refused, object_pairs_hook=_each_once)


def _object(pairs: list[tuple[str, Any]], twice: list[str]) -> dict[str, Any]:
    row: dict[str, Any] = {}
    for key, value in pairs:
        if key in row:
            twice.append(key)
        row[key] = value
    return row


SHOWN_CHARACTERS = 60


def show(value: Any) -> str:
    """A value in a message: one line of printable ASCII, cut if long."""
    text = json.dumps(value, default=repr)
    return text if len(text) <= SHOWN_CHARACTERS else text[: SHOWN_CHARACTERS - 3] + "..."
