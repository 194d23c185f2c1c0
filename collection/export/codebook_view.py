"""What the codebook document says of each column, in words and numbers, before it is laid out."""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from math import floor, log10
from typing import Any

from django.utils.safestring import SafeString

from collection.export import pictures
from collection.export.columns import Column
from collection.export.counting import Numbers
from collection.export.summaries import FileSummary, Summary

MOST_ROWS, MOST_ROWS_WITHIN = 24, 12
"""Values shown one by one; of more, so many of the most frequent. The second: within a dict."""
NOTHING = "–"


@dataclass(frozen=True)
class Picture:
    """ends: what stands at its left and its right; more: of a tail, how many lie beyond.

    width, height: on a page, in pixels.
    """

    drawn: pictures.Bars
    ends: tuple[str, str]
    more: str
    label: str
    width: int
    height: int

    @property
    def svg(self) -> SafeString:
        return pictures.histogram(self.drawn, self.label, self.width, self.height)

    @property
    def blocks(self) -> str:
        return pictures.blocks(self.drawn.counts)


@dataclass(frozen=True)
class Count:
    """One value: in how many rows, in which share of them. part: the share, of one."""

    value: str
    number: str
    percent: str
    part: float
    is_null: bool = False

    @property
    def bar(self) -> SafeString:
        return pictures.share(self.part)


@dataclass(frozen=True)
class Line:
    """A column of numbers, or of texts by their length, in one line."""

    key: str
    label: str
    missing: str
    unique: str
    mean: str
    sd: str
    low: str
    high: str
    unit: str
    picture: Picture | None


@dataclass(frozen=True)
class Pair:
    """A key that is true or false, in one line. part: the share of true, of one."""

    key: str
    label: str
    yes: str
    percent: str
    no: str
    missing: str
    part: float

    @property
    def bar(self) -> SafeString:
        return pictures.share(self.part)


@dataclass(frozen=True)
class Entry:
    """A column, or a key that takes more than a line.

    form: its type and bounds in words; line: of numbers, lengths or dates; counts: of values;
    rest: of those beyond; lines, pairs, entries: of its keys.
    """

    anchor: str
    key: str
    label: str
    question: tuple[str, ...]
    category: str
    form: str
    notes: str
    source: str
    missing: str
    missing_percent: str
    unique: str
    unfit: str = ""
    line: Line | None = None
    span: str = ""
    picture: Picture | None = None
    counts: tuple[Count, ...] = ()
    rest: str = ""
    is_yes_no: bool = False
    lines: tuple[Line, ...] = ()
    pairs: tuple[Pair, ...] = ()
    pair_heads: tuple[str, str] = ("", "")
    entries: tuple["Entry", ...] = ()


@dataclass(frozen=True)
class Chapter:
    """A file."""

    anchor: str
    name: str
    one_row: str
    rows: str
    broken: int
    sha256: str
    entries: tuple[Entry, ...] = field(default=())


def chapter(found: FileSummary, sha256: str) -> Chapter:
    name = found.table.name
    return Chapter(
        name,
        found.name,
        found.table.one_row,
        whole(found.rows),
        found.broken,
        sha256,
        tuple(entry(summary, name) for summary in found.columns),
    )


def entry(summary: Summary, within: str, most: int = MOST_ROWS) -> Entry:
    """most: values that are shown one by one."""
    column = summary.column
    flat = [part for part in summary.parts if is_line(part)]
    pairs = [part for part in summary.parts if is_pair(part)]
    others = [part for part in summary.parts if not (is_line(part) or is_pair(part))]
    told = not (column.kind == "dict" and column.category == "NA")
    return Entry(
        anchor=f"{within}-{re.sub('[^A-Za-z0-9]+', '-', summary.path).strip('-')}",
        key=summary.path,
        label=column.label,
        question=tuple(column.question.splitlines()),
        category=column.category,
        form=form(column),
        notes=column.notes,
        source=column.origin if most == MOST_ROWS else column.source,
        missing=whole(summary.missing) if told else NOTHING,
        missing_percent=share_of(summary.missing, summary.rows) if told else "",
        unique=NOTHING if summary.unique is None else whole(summary.unique),
        unfit=whole(summary.unfit) if summary.unfit else "",
        line=line(summary) if summary.numbers else None,
        span=f"{summary.first} to {summary.last}" if summary.first else "",
        picture=picture(summary),
        counts=tuple(counts(summary, most)),
        rest=rest(summary, most),
        lines=tuple(map(line, flat)),
        pairs=tuple(map(pair, pairs)),
        pair_heads=("true", "false")
        if any(p.column.kind == "binary" for p in pairs)
        else ("1", "0"),
        entries=tuple(entry(part, within, MOST_ROWS_WITHIN) for part in others),
    )


def is_line(part: Summary) -> bool:
    return (
        part.column.kind in ("int", "float", "string") and not is_pair(part) and (not part.counts)
    )


def is_pair(part: Summary) -> bool:
    return part.column.kind == "binary" or part.column.allowed == (0, 1)


KINDS = {
    "string": "text",
    "categorical": "one of several values",
    "int": "whole number",
    "float": "number",
    "binary": "true or false",
    "datetime": "date and time",
    "dict by question": "dict, by question",
    "dict by utterance": "dict, by utterance_id",
    "parameters": "dict",
    "history": "list of dicts",
}


def form(column: Column) -> str:
    """Type, bounds and whether null may be."""
    words = [KINDS.get(column.kind, column.kind), bounds(column)]
    if column.kind == "dict":
        words.append(f"of {len(column.keys)} keys")
    if column.kind == "string id":
        words = [f"id: {column.prefix}0, {column.prefix}1, …"]
    if column.nullable:
        words.append("or null")
    return " ".join(filter(None, words))


def bounds(column: Column) -> str:
    low, high = column.low, column.high
    unit = "entries" if column.kind == "list" else ""
    if low is not None and low == high:
        found = f"of {plain(low)}"
    elif low is not None and high is not None:
        found = f"from {plain(low)} to {plain(high)}"
    elif low is not None:
        found = f"from {plain(low)} on"
    elif high is not None:
        found = f"up to {plain(high)}"
    else:
        return ""
    return f"{found} {unit}".strip()


# Numbers


def line(summary: Summary) -> Line:
    column, numbers = summary.column, summary.numbers
    digits = decimals(numbers)
    is_whole = column.kind != "float"
    mean, sd, low, high = (NOTHING,) * 4
    if numbers is not None:
        mean = fixed(numbers.mean, digits)
        sd = NOTHING if numbers.sd is None else fixed(numbers.sd, digits)
        low, high = (
            whole(int(end)) if is_whole else fixed(end, max(digits, 2))
            for end in (numbers.low, numbers.high)
        )
    return Line(
        key=summary.path.rpartition(".")[2],
        label=column.label,
        missing=whole(summary.missing),
        unique=NOTHING if summary.unique is None else whole(summary.unique),
        mean=mean,
        sd=sd,
        low=low,
        high=high,
        unit=UNITS.get(column.kind, ""),
        picture=picture(summary, width=96, height=18),
    )


UNITS = {"string": "characters", "list": "entries"}


def decimals(numbers: Numbers | None) -> int:
    """One, as in PRISM's codebook; more where all numbers are small."""
    size = 0.0 if numbers is None else max(abs(numbers.low), abs(numbers.high))
    return 1 if size >= 10 or size == 0 else 2 if size > 1 else 3 if size > 0.01 else 6


def picture(summary: Summary, width: int = 240, height: int = 48) -> Picture | None:
    """None where there is nothing to see: no number, or one only."""
    if summary.bins is None or summary.counts or len(summary.bins.counts) == 1:
        return None
    if summary.first:
        drawn = pictures.bars(summary.bins)
        return _picture(drawn, (summary.first[:10], summary.last[:10]), width, height)
    assert summary.numbers is not None
    ends = both_ends(summary.column)
    drawn = pictures.bars(summary.bins, ends)
    low, high = ends or (summary.numbers.low, summary.numbers.high)
    return _picture(drawn, (short(low), short(drawn.high if drawn.tail else high)), width, height)


def both_ends(column: Column) -> tuple[float, float] | None:
    if isinstance(column.low, str) or isinstance(column.high, str) or column.kind == "list":
        return None
    if column.low is None or column.high is None:
        return None
    return column.low, column.high


def _picture(drawn: pictures.Bars, ends: tuple[str, str], width: int, height: int) -> Picture:
    beyond = f"{whole(drawn.counts[-1])} beyond" if drawn.tail else ""
    said = f"Distribution from {ends[0]} to {ends[1]}" + (f", {beyond}" if beyond else "")
    return Picture(drawn, ends, beyond, said, width, height)


# Values


def counts(summary: Summary, most: int) -> Iterator[Count]:
    """The most frequent first, null among them; then what nobody chose."""
    if summary.counts is None or summary.column.kind == "dict":
        return
    found: list[tuple[Any, int]] = list(summary.counts.items())
    unused = [value for value in summary.column.allowed if value not in summary.counts]
    found += [(value, 0) for value in unused]
    if summary.missing:
        found = sorted([*found, (None, summary.missing)], key=lambda pair: -pair[1])
    for value, number in found[:most]:
        yield Count(
            words(value),
            whole(number),
            share_of(number, summary.rows),
            number / summary.rows if summary.rows else 0,
            is_null=value is None,
        )


def rest(summary: Summary, most: int) -> str:
    if summary.counts is None:
        return ""
    known = len(summary.counts) + len(
        [v for v in summary.column.allowed if v not in summary.counts]
    )
    left = known + bool(summary.missing) - most
    if left <= 0:
        return ""
    ordered = sorted([*summary.counts.values(), summary.missing], reverse=True)
    rows = sum(ordered[most:]) + summary.further
    return f"and {whole(left)} further values, in {whole(rows)} rows"


def pair(summary: Summary) -> Pair:
    found: dict[Any, int] = summary.counts or {}
    # True equals 1 and False 0, as keys too.
    yes, no = found.get(True, 0), found.get(False, 0)
    return Pair(
        key=summary.path.rpartition(".")[2],
        label=summary.column.label,
        yes=whole(yes),
        percent=share_of(yes, yes + no),
        no=whole(no),
        missing=whole(summary.missing),
        part=yes / (yes + no) if yes + no else 0,
    )


# Words for values


def words(value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    return str(value) if value != "" else "(empty)"


def whole(number: int) -> str:
    return f"{number:,}"


def fixed(number: float, digits: int) -> str:
    return f"{number:,.{digits}f}"


def share_of(part: int, total: int) -> str:
    return f"{100 * part / total:.1f} %" if total else NOTHING


def plain(bound: float | str) -> str:
    return bound if isinstance(bound, str) else f"{bound:g}"


def short(number: float) -> str:
    """At the end of a picture."""
    if number == floor(number):
        return whole(int(number))
    digits = max(0, 2 - floor(log10(abs(number))))
    return f"{number:,.{digits}f}"


def columns_of(chapters: Sequence[Chapter]) -> Iterable[Entry]:
    return (found for one in chapters for found in one.entries)
