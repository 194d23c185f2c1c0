"""Every way to break one cell or one row of a release, made from its codebook."""

import copy
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

from collection.export import check_derived, check_subsets
from collection.export.codebook import Codebook
from collection.export.columns import Column, Table
from collection.export.further_tables import DERIVED
from collection.export.known import Known
from collection.export.lines import NAN, Deviation, File
from collection.export.shape import HAS_TYPE
from collection.export.tables import USER_ITEM
from collection.export.validate import check_all, check_counts, check_manifest

Row = dict[str, Any]
Path_ = tuple[str | int, ...]
JUNK: tuple[Any, ...] = (True, "junk", 7.5, ["junk", {}], {"junk": 1}, 10**400)


class Mutation(NamedTuple):
    """name: of the cell; rows: all rows of the file, changed."""

    file: str
    cell: str
    kind: str
    rows: list[Any]


def mutations(book: Codebook, files: Mapping[str, list[Row]]) -> Iterator[Mutation]:
    for name, rows in files.items():
        yield from of_rows(name, rows)
        seen: set[str] = set()
        for index, row in enumerate(rows):
            for path, column in cells(book.tables[name], row, book):
                cell = called(path, column)
                if cell in seen or at(row, path) is None:
                    continue  # the first row in which something stands there
                seen.add(cell)
                for kind, change in changes(column, path, rows, index):
                    changed = [*rows]
                    changed[index] = copy.deepcopy(row)
                    change(changed[index])
                    yield Mutation(name, cell, kind, changed)


def of_rows(name: str, rows: list[Row]) -> Iterator[Mutation]:
    middle = len(rows) // 2
    yield Mutation(name, "row", "lost", rows[:middle] + rows[middle + 1 :])
    yield Mutation(name, "row", "lost last", rows[:-1])
    yield Mutation(name, "row", "twice", rows[: middle + 1] + rows[middle:])
    yield Mutation(name, "row", "moved", [rows[-1], *rows[:-1]])
    yield Mutation(name, "row", "no object", [*rows[:middle], 7, *rows[middle + 1 :]])


def cells(table: Table, row: Row, book: Codebook) -> Iterator[tuple[Path_, Column]]:
    for column in table.columns:
        yield from inside((column.key,), column, row[column.key], book)


def inside(
    path: Path_, column: Column, value: Any, book: Codebook
) -> Iterator[tuple[Path_, Column]]:
    yield path, column
    if value is None:
        return
    if column.kind == "dict":
        for part in column.keys:
            yield from inside((*path, part.key), part, value[part.key], book)
    elif column.kind == "dict by question":
        for code in value:
            for part in column.keys:
                yield (*path, code, part.key), part
    elif column.kind == "list of dicts":
        for index in range(len(value)):
            for part in column.keys:
                yield (*path, index, part.key), part
    elif column.kind == "history":
        for index, item in enumerate(value):
            table = USER_ITEM if item["role"] == "user" else book.model_item
            for part in table.columns:
                yield (*path, index, part.key), part


def called(path: Path_, column: Column) -> str:
    """A turn's first reply and a later turn's stand for all; so does one question."""
    parts = [str(step) for step in path if not isinstance(step, int)]
    if parts[0] == "conversation_history" and len(path) > 1:
        parts.insert(1, {0: "prompt", 1: "reply"}.get(int(path[1]), "later"))
    if parts[0] == "questions" and len(parts) == 3:
        parts[1] = "*"
    return ".".join(parts)


def at(row: Any, path: Sequence[str | int]) -> Any:
    for step in path:
        try:
            row = row[step]
        except (KeyError, IndexError, TypeError):
            return None
    return row


def put(path: Path_, value: Any) -> Callable[[Row], None]:
    def change(row: Row) -> None:
        at(row, path[:-1])[path[-1]] = value

    return change


def drop(path: Path_) -> Callable[[Row], None]:
    def change(row: Row) -> None:
        del at(row, path[:-1])[path[-1]]

    return change


def changes(
    column: Column, path: Path_, rows: list[Row], index: int
) -> Iterator[tuple[str, Callable[[Row], None]]]:
    yield "missing", drop(path)
    yield "null", put(path, None)
    yield "nan", put(path, NAN)
    wrong = [junk for junk in JUNK if not HAS_TYPE[column.kind](junk)]
    first = len("".join(map(str, path)))  # others for each cell, so that all are tried
    for nth in (first, first + 1):
        yield "type", put(path, wrong[nth % len(wrong)])
    for value in beyond(column):
        yield "range", put(path, value)
    here = at(rows[index], path)
    others = (at(row, path) for row in rows)
    other = next((value for value in others if value is not None and value != here), None)
    if other is not None:
        yield "other", put(path, other)


def beyond(column: Column) -> Iterator[Any]:
    """Values of the right type that the codebook does not have."""
    if column.kind == "string id":
        yield from ("x1", f"{column.prefix}01", f"{column.prefix}-1", f"{column.prefix}99999")
    elif column.kind == "datetime":
        yield from ("2026-02-30 09:00:00", "2026-03-01T09:00:00", "yesterday")
    elif column.kind == "list":
        yield from (["nobody"], ["nobody", "nobody"])
    elif column.kind == "parameters":
        yield from ({"x": []}, {"x": None}, {"x": True})
    elif column.kind in ("dict", "dict by question", "dict by utterance"):
        yield {"nobody": 1}
    elif column.kind == "history":
        yield from ([], [7], [{}])
    elif column.kind == "list of dicts":
        yield from ([7], [{}])
    elif column.allowed:
        yield 1000 if isinstance(column.allowed[0], int) else "nothing of the kind"
    if column.kind in ("int", "float"):
        if column.low is not None:
            yield int(column.low) - 1
        if column.high is not None:
            yield int(column.high) + 1
        yield 2**63
    if column.kind == "string":
        yield "half a \ud800"


def found(mutation: Mutation, folder: Path, book: Codebook, scratch: Path) -> Iterator[Deviation]:
    """What the check says of a folder with one file of it changed, as it finds it.

    Of `validate` without what does not look at rows, which would take most of the time.
    """
    path = scratch / f"{mutation.file}.jsonl"
    lines = (json.dumps(row, default=lambda _nan: float("nan")) for row in mutation.rows)
    path.write_text("".join(f"{line}\n" for line in lines))
    files: dict[str, File | None] = {
        name: File(folder / f"{name}.jsonl", f"{name}.jsonl") for name in book.tables
    }
    files[mutation.file] = File(path, path.name)
    known = Known()
    checks = [
        check_all(files, book, known, check_subsets.Subsets()),
        # Whoever still asks when this begins was told of no error.
        check_derived.check_all(folder, files, book, are_sound=True),
    ]
    # First the one that reads the changed file: it mostly tells, and the other need not begin.
    yield from chain.from_iterable(reversed(checks) if mutation.file in DERIVED else checks)
    yield from check_manifest(folder, files)
    yield from check_counts(folder, files, known)
