"""Statistics of a release's columns, from one pass over each file.

They are those of PRISM's codebook: missing, different, mean, sd (of a sample), minimum, maximum,
counts of every value, lengths of texts, dicts key by key. Memory is bounded by a batch of rows and
by eight bytes for each different text, whatever the size of a file. Equal files give equal results.

What people wrote is only ever measured. Counted by value are columns of closed values alone.
"""

import json
import re
from abc import ABC, abstractmethod
from codecs import BOM_UTF8
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any

from collection.export import tables
from collection.export.codebook import Codebook
from collection.export.columns import Column, Table
from collection.export.counting import Binned, Bins, Distinct, Moments, Numbers
from collection.export.documents import find_path
from collection.export.garbage import seldom_collected
from collection.export.shape import NUMBER, TOO_LARGE, is_date, is_datetime
from surveys.instruments.released import OTHER_TEXT

Row = dict[str, Any]

BATCH_ROWS, BATCH_BYTES = 2_000, 4_000_000
"""Whichever is reached first: a reply may have a megabyte."""
MOST_VALUES = 5_000
"""Values of an open list (countries, models) that are counted one by one."""
FRACTION = 10
"""Bits behind the point that bins of fractions begin with."""


@dataclass(frozen=True)
class Summary:
    """A column, or a key of one, as its file has it.

    unique: None where it says nothing; unfit: values that are not of the column's type or not
    among its values, and are nowhere else counted; first, last: of dates.
    """

    column: Column
    path: str
    rows: int
    missing: int
    unique: int | None = None
    unfit: int = 0
    numbers: Numbers | None = None
    bins: Bins | None = None
    counts: dict[Any, int] | None = None
    further: int = 0
    """Values beyond the first MOST_VALUES, which are not in `counts`."""
    first: str = ""
    last: str = ""
    parts: tuple["Summary", ...] = ()


@dataclass(frozen=True)
class FileSummary:
    """broken: lines that hold no row."""

    table: Table
    name: str
    path: Path
    rows: int
    broken: int
    columns: tuple[Summary, ...]


def summarise(folder: Path, book: Codebook) -> Iterator[FileSummary]:
    """Every file of the codebook that the folder has. Raises OSError if one can't be read."""
    with seldom_collected():
        for table in book.tables.values():
            path = find_path(folder, f"{table.name}.jsonl")
            if path is not None:
                yield summarise_file(path, table, book)


def summarise_file(path: Path, table: Table, book: Codebook) -> FileSummary:
    gatherers = [gatherer(column, column.key, book) for column in table.columns]
    total = broken = 0
    for rows, bad in batches(path):
        total += len(rows)
        broken += bad
        for gathering, values in zip(gatherers, by_column(rows, table.key_order), strict=True):
            gathering.add(values)
    columns = tuple(gathering.summary() for gathering in gatherers)
    return FileSummary(table, f"{table.name}.jsonl", path, total, broken, columns)


def by_column(rows: list[Row], order: tuple[str, ...]) -> list[Sequence[Any]]:
    """The values of each key, None where a row has it not. Rows mostly have all, in this order:
    then they are turned round without a look at any key."""
    if rows and all(tuple(row) == order for row in rows):
        return list(zip(*(row.values() for row in rows), strict=True))
    return [[row.get(key) for row in rows] for key in order]


def batches(path: Path) -> Iterator[tuple[list[Row], int]]:
    """(rows, number of lines that hold none)"""
    rows: list[Row] = []
    size = bad = 0
    with path.open("rb") as file:
        for raw in file:
            row = read(raw)
            if row is None:
                bad += 1
                continue
            rows.append(row)
            size += len(raw)
            if len(rows) >= BATCH_ROWS or size >= BATCH_BYTES:
                yield rows, bad
                rows, size, bad = [], 0, 0
    if rows or bad:
        yield rows, bad


# PRISM's own files have bare NaN, which stands for null. One decoder for all lines: json.loads
# would make one for each.
DECODER = json.JSONDecoder(parse_constant=lambda _token: None)


def read(raw: bytes) -> Row | None:
    try:
        row = DECODER.decode(raw.removeprefix(BOM_UTF8).decode())
    except (ValueError, RecursionError):
        return None
    return row if isinstance(row, dict) else None


# What gathers the values of one column


@dataclass
class Gathering(ABC):
    """Takes a column batch by batch. None counts as missing."""

    column: Column
    path: str
    rows: int = 0
    missing: int = 0
    unfit: int = 0

    def add(self, values: Sequence[Any]) -> None:
        self.rows += len(values)
        known = [value for value in values if value is not None]
        self.missing += len(values) - len(known)
        taken = self.take(known)
        self.unfit += len(known) - taken

    @abstractmethod
    def take(self, values: list[Any]) -> int:
        """Keep what fits; how many did."""

    def summary(self) -> Summary:
        return Summary(
            self.column, self.path, self.rows, self.missing, unfit=self.unfit, **self.found()
        )

    @abstractmethod
    def found(self) -> dict[str, Any]:
        """What `Summary` says of such a column beyond the counts of rows."""


@dataclass
class Ids(Gathering):
    unique: Distinct = field(default_factory=Distinct)

    def take(self, values: list[Any]) -> int:
        is_id = re.compile(re.escape(self.column.prefix) + NUMBER.pattern).fullmatch
        fit = [value for value in values if type(value) is str and is_id(value)]
        self.unique.add(fit)
        return len(fit)

    def found(self) -> dict[str, Any]:
        return {"unique": self.unique.count()}


@dataclass
class Words(Gathering):
    """Texts, by their length."""

    unique: Distinct = field(default_factory=Distinct)
    moments: Moments = field(default_factory=Moments)
    binned: Binned = field(default_factory=Binned)

    def take(self, values: list[Any]) -> int:
        fit = [value for value in values if type(value) is str]
        self.unique.add(fit)
        lengths = list(map(len, fit))
        self.moments.add(lengths)
        self.binned.add(lengths)
        return len(fit)

    def found(self) -> dict[str, Any]:
        return {
            "unique": self.unique.count(),
            "numbers": self.moments.numbers(),
            "bins": self.binned.bins(),
        }


@dataclass
class Closed(Gathering):
    """Values of a list: of the codebook's, or of one that only the study knows."""

    counts: Counter[Any] = field(default_factory=Counter)
    unique: Distinct = field(default_factory=Distinct)
    further: int = 0

    def take(self, values: list[Any]) -> int:
        kind = bool if self.column.kind == "binary" else str
        found: Counter[Any] = Counter([value for value in values if type(value) is kind])
        allowed = self.column.allowed
        for value, number in found.items():
            if allowed and value not in allowed:
                continue
            if value in self.counts or len(self.counts) < MOST_VALUES:
                self.counts[value] += number
            else:
                self.further += number
        fit = {value: n for value, n in found.items() if not allowed or value in allowed}
        self.unique.add(map(str, fit))
        return sum(fit.values())

    def found(self) -> dict[str, Any]:
        return {
            "unique": self.unique.count(),
            "counts": in_order(self.counts),
            "further": self.further,
        }


@dataclass
class Amounts(Gathering):
    """Numbers; counted by value too where the codebook lists the values."""

    unique: Distinct = field(default_factory=Distinct)
    moments: Moments = field(default_factory=Moments)
    binned: Binned = field(default_factory=Binned)
    counts: Counter[Any] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self.is_whole = self.column.kind == "int"
        self.binned = Binned(0 if self.is_whole else FRACTION)

    def take(self, values: list[Any]) -> int:
        fit = self.fitting(values)
        self.unique.add(map(str, set(fit)))
        self.moments.add(fit)
        self.binned.add(fit)
        if self.column.allowed:
            self.counts.update(fit)
        return len(fit)

    def fitting(self, values: list[Any]) -> list[Any]:
        kinds = (int,) if self.is_whole else (int, float)
        fit = [value for value in values if type(value) in kinds]
        if fit and not -TOO_LARGE < min(fit) <= max(fit) < TOO_LARGE:
            fit = [value for value in fit if abs(value) < TOO_LARGE]
        if self.column.allowed:
            fit = [value for value in fit if value in self.column.allowed]
        return fit

    def found(self) -> dict[str, Any]:
        return {
            "unique": self.unique.count(),
            "numbers": self.moments.numbers(),
            "bins": self.binned.bins(),
            "counts": in_order(self.counts) if self.column.allowed else None,
        }


@dataclass
class Dates(Gathering):
    """Dates and times, by their day."""

    unique: Distinct = field(default_factory=Distinct)
    binned: Binned = field(default_factory=Binned)
    first: str = ""
    last: str = ""

    def take(self, values: list[Any]) -> int:
        fit = [value for value in values if type(value) is str and self.fits(value)]
        if fit:
            self.first = min([*fit, self.first or fit[0]])
            self.last = max([*fit, self.last])
        self.unique.add(fit)
        self.binned.add([day(value) for value in fit])
        return len(fit)

    def fits(self, value: str) -> bool:
        if self.column.kind == "datetime":
            return is_datetime(value)
        return is_date(value, self.column.digits)

    def found(self) -> dict[str, Any]:
        return {
            "unique": self.unique.count(),
            "first": self.first,
            "last": self.last,
            "bins": self.binned.bins(),
        }


def day(value: str) -> int:
    """Of 2001, 2001-05, 2001-05-17 or a time of that day."""
    return date.fromisoformat((value + "0000-01-01"[len(value) :])[:10]).toordinal()


@dataclass
class Lists(Gathering):
    """Lists of closed values: how often each is in one."""

    counts: Counter[Any] = field(default_factory=Counter)
    unique: Distinct = field(default_factory=Distinct)
    moments: Moments = field(default_factory=Moments)

    def take(self, values: list[Any]) -> int:
        fit = [value for value in values if self.fits(value)]
        self.unique.add(map(repr, fit))
        self.moments.add([len(value) for value in fit])
        for value in fit:
            self.counts.update(value)
        return len(fit)

    def fits(self, value: Any) -> bool:
        if not isinstance(value, list):
            return False
        allowed = self.column.allowed
        return all(type(x) in (str, int) and (not allowed or x in allowed) for x in value) and (
            bool(allowed) or len(self.counts) + len(value) <= MOST_VALUES
        )

    def found(self) -> dict[str, Any]:
        is_order = len(self.column.allowed) == self.column.low == self.column.high
        return {
            "unique": self.unique.count(),
            "numbers": self.moments.numbers(),
            "counts": None if is_order else in_order(self.counts),
        }


@dataclass
class Dicts(Gathering):
    """A dict with the codebook's keys. Missing: null, or with a null among its keys.

    One's own option and what was typed for it may be null without that. (In PRISM's files the
    option is not, so that its codebook's counts are the same.)
    """

    parts: list[Gathering] = field(default_factory=list)
    unique: Distinct = field(default_factory=Distinct)

    def take(self, values: list[Any]) -> int:
        fit = [value for value in values if isinstance(value, dict)]
        keys = self.expected
        # Most have all: told at once, for a release has millions.
        holed = [v for v in fit if None in v.values() or len(v) < len(self.column.keys)]
        self.missing += sum(any(value.get(key) is None for key in keys) for value in holed)
        for part, gathering in zip(self.column.keys, self.parts, strict=True):
            gathering.add([value.get(part.key) for value in fit])
        if self.is_scored:
            self.unique.add(map(str, fit))
        return len(fit)

    @property
    def expected(self) -> list[str]:
        keys = [part.key for part in self.column.keys]
        # The last option is one's own: what was typed for it follows.
        return keys[:-2] if keys[-1:] == [OTHER_TEXT] else keys

    @property
    def is_scored(self) -> bool:
        return self.column.category == "direct"

    def found(self) -> dict[str, Any]:
        return {
            "unique": self.unique.count() if self.is_scored else None,
            "parts": tuple(part.summary() for part in self.parts),
        }


@dataclass
class Notes(Gathering):
    """What was noted at each question, all questions together."""

    parts: list[Gathering] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)

    def take(self, values: list[Any]) -> int:
        fit = [value for value in values if isinstance(value, dict)]
        known = [
            (code, facts)
            for value in fit
            for code, facts in value.items()
            if code in self.column.allowed and isinstance(facts, dict)
        ]
        self.counts.update(code for code, _facts in known)
        for part, gathering in zip(self.column.keys, self.parts, strict=True):
            gathering.add([facts.get(part.key) for _code, facts in known])
        return len(fit)

    def found(self) -> dict[str, Any]:
        return {
            "counts": in_order(self.counts),
            "parts": tuple(part.summary() for part in self.parts),
        }


@dataclass
class Shares(Gathering):
    """Numbers by utterance, all together."""

    moments: Moments = field(default_factory=Moments)
    binned: Binned = field(default_factory=lambda: Binned(FRACTION))

    def take(self, values: list[Any]) -> int:
        fit = [value for value in values if isinstance(value, dict)]
        numbers = [
            number
            for value in fit
            for number in value.values()
            if type(number) in (int, float) and abs(number) < TOO_LARGE
        ]
        self.moments.add(numbers)
        self.binned.add(numbers)
        return len(fit)

    def found(self) -> dict[str, Any]:
        return {"numbers": self.moments.numbers(), "bins": self.binned.bins()}


@dataclass
class Parameters(Gathering):
    """How often each parameter is given."""

    counts: Counter[str] = field(default_factory=Counter)

    def take(self, values: list[Any]) -> int:
        fit = [value for value in values if isinstance(value, dict)]
        for value in fit:
            self.counts.update(list(value))  # its names alone
        return len(fit)

    def found(self) -> dict[str, Any]:
        return {"counts": in_order(self.counts)}


@dataclass
class Nested(Gathering):
    """What has a form of its own: only whether it is there."""

    def take(self, values: list[Any]) -> int:
        whole = dict if self.column.kind == "json" else list
        return sum(isinstance(value, whole) for value in values)

    def found(self) -> dict[str, Any]:
        return {}


@dataclass(kw_only=True)
class History(Gathering):
    """Messages of people and of models, each kind as a dict of its own."""

    users: Dicts
    models: Dicts

    def take(self, values: list[Any]) -> int:
        fit = [value for value in values if isinstance(value, list)]
        items = [item for value in fit for item in value if isinstance(item, dict)]
        self.users.add([item for item in items if item.get("role") == "user"])
        self.models.add([item for item in items if item.get("role") == "model"])
        return len(fit)

    def found(self) -> dict[str, Any]:
        return {"parts": (self.users.summary(), self.models.summary())}


def _items(table: Table, role: str, label: str, within: str, book: Codebook) -> Dicts:
    keys = tuple(column for column in table.columns if column.key != "role")
    column = Column(f"[{role}]", "dict", "NA", label, keys=keys, notes=f"role: {role}.")
    path = f"{within}[{role}]"
    parts = [gatherer(part, f"{path}.{part.key}", book) for part in keys]
    return Dicts(column, path, parts=parts)


def gatherer(column: Column, path: str, book: Codebook) -> Gathering:
    def parts(columns: Iterable[Column], within: str = path) -> list[Gathering]:
        return [gatherer(part, f"{within}.{part.key}", book) for part in columns]

    match column.kind:
        case "string id":
            return Ids(column, path)
        case "string":
            return Words(column, path)
        case "categorical" | "binary":
            return Closed(column, path)
        case "int" | "float":
            return Amounts(column, path)
        case "datetime" | "date":
            return Dates(column, path)
        case "list":
            return Lists(column, path)
        case "dict":
            return Dicts(column, path, parts=parts(column.keys))
        case "dict by question":
            return Notes(column, path, parts=parts(column.keys))
        case "dict by utterance":
            return Shares(column, path)
        case "parameters":
            return Parameters(column, path)
        case "json" | "list of dicts":
            return Nested(column, path)
        case "history":
            return History(
                column=column,
                path=path,
                users=_items(tables.USER_ITEM, "user", "Messages of the participant", path, book),
                models=_items(book.model_item, "model", "Responses of models", path, book),
            )


def in_order(counts: Counter[Any]) -> dict[Any, int]:
    """The most frequent first; equals in the order of their text."""
    return dict(sorted(counts.items(), key=lambda pair: (-pair[1], str(pair[0]))))
