"""Whether wide, battles, preferences and unpaired say what the files say that they are made from.

They are made anew and compared, line by line.
"""

import json
from collections.abc import Iterator, Mapping
from itertools import zip_longest
from pathlib import Path
from typing import Any

from collection.export import derived
from collection.export import further_tables as further
from collection.export.codebook import Codebook
from collection.export.derived import Rules, Source
from collection.export.documents import find_path
from collection.export.lines import Deviation, File, Line, Problem, note
from collection.export.manifest import NAME as MANIFEST
from collection.export.shape import is_sound, row_problems

AT_MOST = 20
"""Lines that are told: a row too many makes all that follow differ."""


def check(file: File, name: str, book: Codebook) -> Iterator[Deviation]:
    """By itself, where the files it is made from are missing or broken."""
    for line in file.rows():
        if isinstance(line, Deviation):
            yield line
        else:
            yield from file.at(line.number, row_problems(book.tables[name], line.row))


def check_against(file: File, name: str, source: Source) -> Iterator[Deviation]:
    differing = 0
    expected = derived.MAKERS[name](source)
    table = source.book.tables[name]
    for line, row in zip_longest(file.rows(), expected):
        if isinstance(line, Deviation):
            yield line
            continue
        if line is None:
            yield from file.at(0, [Problem("missing", f"rows after line {file.lines}")])
            break
        problems = list(row_problems(table, line.row))
        if is_sound(problems) and line.row != row:
            problems.append(Problem("derived", difference(line, row)))
        differing += not all(problem.is_note for problem in problems)
        if differing <= AT_MOST:
            yield from file.at(line.number, problems)
    if differing > AT_MOST:
        yield from file.at(0, [Problem("derived", f"{differing} lines are wrong, not all told")])


def difference(line: Line, row: Mapping[str, Any] | None) -> str:
    if row is None:
        return "the files that it is made from give no such row"
    keys = [key for key, value in row.items() if line.row[key] != value]
    return f"{', '.join(keys)}: not what utterances.jsonl and ratings.jsonl give"


def source_of(folder: Path, book: Codebook) -> Source | None:
    """None if a file that they are made from is not there."""
    paths = [find_path(folder, f"{name}.jsonl") for name in derived.SOURCES]
    homes = {path.parent for path in paths if path}
    if None in paths or len(homes) > 1:
        return None
    return Source(homes.pop(), book, rules_of(folder))


def rules_of(folder: Path) -> Rules:
    """The manifest's; PRISM's if it has none or none that can be read."""
    try:
        content = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        rules = content["derived"]["rules"]
        return Rules(int(rules["tie_within"]), bool(rules["with_untouched"]))
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return Rules()


def check_all(
    folder: Path, files: Mapping[str, File | None], book: Codebook, *, are_sound: bool
) -> Iterator[Deviation]:
    """are_sound: nothing is wrong with the files that these are made from."""
    source = source_of(folder, book) if are_sound else None
    for name in further.DERIVED:
        file = files.get(name)
        if file is None:
            continue
        if source is None:
            yield from check(file, name, book)
            reason = "not compared: utterances.jsonl or ratings.jsonl is missing or broken"
            yield from file.at(0, [note("derived", reason)])
        else:
            yield from check_against(file, name, source)
