"""The codebook document as Markdown (GitHub's), for a repository or a dataset's page."""

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

from collection.export.codebook_view import Chapter, Entry, Line, Pair, Picture

if TYPE_CHECKING:
    from collection.export.codebook_document import Front

SPECIAL = re.compile(r"([\\`*_{}\[\]()#+\-.!|~>])")


def escaped(text: str) -> str:
    """One line in which nothing is markup, in a table too."""
    line = " ".join(text.replace("&", "&amp;").replace("<", "&lt;").split())
    return SPECIAL.sub(r"\\\1", line)


def text(front: "Front", chapters: Sequence[Chapter]) -> str:
    return "\n".join(_lines(front, chapters)) + "\n"


def _lines(front: "Front", chapters: Sequence[Chapter]) -> Iterator[str]:
    yield f"# Codebook: {escaped(front.title)}"
    yield ""
    for notice in front.notices:
        yield f"> **{escaped(notice)}**"
        yield ""
    said = [f"Collected {front.collected}." if front.collected else ""]
    said.append(f"Released with {front.software}." if front.software else "")
    if any(said):
        yield escaped(" ".join(filter(None, said)))
        yield ""
    for attribution in front.attributions:
        yield escaped(attribution)
        yield ""
    yield from _table(
        ("File", "Rows", "A row is", "SHA-256"),
        (
            (f"[{escaped(c.name)}](#{c.anchor})", c.rows, escaped(c.one_row), f"`{c.sha256}`")
            for c in chapters
        ),
        ":-- --: :-- :--",
    )
    for runs in front.guide:
        yield "".join(f"*{run}*" if is_term else escaped(run) for run, is_term in runs)
        yield ""
    for one in chapters:
        yield from ("", f'<a id="{one.anchor}"></a>', "", f"## {escaped(one.name)}", "")
        yield f"{one.rows} rows{', each ' + escaped(one.one_row) if one.one_row else ''}\\."
        for entry in one.entries:
            yield from _entry(entry, "###")


def _entry(entry: Entry, heading: str) -> Iterator[str]:
    yield from ("", f"{heading} {escaped(entry.key)}", "", f"**{escaped(entry.label)}**", "")
    yield f"*{escaped(entry.category)}*, {escaped(entry.form)}"
    if entry.question:
        yield ""
        for place, line in enumerate(entry.question):
            yield from ([">"] if place else [])
            yield f"> {escaped(line)}"
    yield ""
    yield ", ".join(_facts(entry))
    if entry.picture:
        yield from ("", _picture(entry.picture))
    yield ""
    yield from _values(entry)
    if entry.notes:
        yield from (escaped(entry.notes), "")
    if entry.source:
        yield f"Source: {escaped(entry.source)}\\."
    for part in entry.entries:
        yield from _entry(part, "####")


def _facts(entry: Entry) -> Iterator[str]:
    yield f"missing {escaped(entry.missing)}"
    yield f"different {escaped(entry.unique)}"
    if line := entry.line:
        unit = f" {line.unit}" if line.unit else ""
        yield escaped(f"mean {line.mean}{unit}")
        yield from (
            escaped(f"{name} {number}")
            for name, number in (("SD", line.sd), ("min", line.low), ("max", line.high))
        )
    if entry.span:
        yield escaped(f"from {entry.span}")
    if entry.unfit:
        yield escaped(f"not of its type or values {entry.unfit}")


def _picture(picture: Picture) -> str:
    low, high = picture.ends
    more = f" ({picture.more})" if picture.more else ""
    return f"{escaped(low)} `{picture.blocks}` {escaped(high + more)}"


def _values(entry: Entry) -> Iterator[str]:
    if entry.counts:
        rows = (
            (f"*{c.value}*" if c.is_null else escaped(c.value), c.number, c.percent)
            for c in entry.counts
        )
        yield from _table(("Value", "Rows", "Share"), rows, ":-- --: --:")
    if entry.rest:
        yield from (escaped(entry.rest), "")
    if entry.pairs:
        heads: tuple[str, ...] = (
            "Key",
            "",
            entry.pair_heads[0],
            "Share",
            entry.pair_heads[1],
            "Missing",
        )
        yield from _table(heads, map(_pair, entry.pairs), ":-- :-- --: --: --: --:")
    if entry.lines:
        columns = ("Key", "", "Missing", "Mean", "SD", "Min", "Max", "")
        yield from _table(columns, map(_line, entry.lines), ":-- :-- --: --: --: --: --: :--")


def _pair(pair: Pair) -> tuple[str, ...]:
    label = "" if pair.label == pair.key else escaped(pair.label)
    return (escaped(pair.key), label, pair.yes, pair.percent, pair.no, pair.missing)


def _line(line: Line) -> tuple[str, ...]:
    label = "" if line.label == line.key else line.label + (f" ({line.unit})" * bool(line.unit))
    drawn = f"`{line.picture.blocks}`" if line.picture else ""
    numbers = (line.missing, line.mean, line.sd, line.low, line.high)
    return (escaped(line.key), escaped(label), *numbers, drawn)


def _table(heads: Sequence[str], rows: Iterable[Sequence[str]], sides: str) -> Iterator[str]:
    yield f"| {' | '.join(heads)} |"
    yield f"| {' | '.join(sides.split())} |"
    for row in rows:
        yield f"| {' | '.join(row)} |"
    yield ""
