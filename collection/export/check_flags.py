"""The rules of flags.jsonl: each detector once for each text, and metadata.jsonl says the same."""

from collections.abc import Iterator, Mapping
from typing import Any

from collection.export.check_metadata import id_problems, text_of
from collection.export.codebook import Codebook
from collection.export.known import Known
from collection.export.lines import Deviation, File, Problem, show
from collection.export.shape import is_sound, row_problems
from collection.export.tables import MODERATION

Row = Mapping[str, Any]


def check(file: File, known: Known, book: Codebook) -> Iterator[Deviation]:
    seen: set[tuple[str, str, str]] = set()
    for line in file.rows():
        if isinstance(line, Deviation):
            yield line
            continue
        problems = list(row_problems(book.flags, line.row))
        if is_sound(problems):
            problems += id_problems(line.row, known)
            problems += once_problems(line.row, seen)
            problems += told_problems(line.row, known.told.get(text_of(line.row)))
        yield from file.at(line.number, problems)
    yield from file.at(0, missing_problems(seen, known))


def once_problems(row: Row, seen: set[tuple[str, str, str]]) -> Iterator[Problem]:
    key = (*text_of(row), row["detector"])
    if key in seen:
        yield Problem("unique", f"{show(row['detector'])} has an earlier row for {key[0]} {key[1]}")
    seen.add(key)


def told_problems(row: Row, told: Any) -> Iterator[Problem]:
    """Of a text that metadata.jsonl lacks, or has wrongly, that file's own check tells."""
    if told is None:
        return
    found = result_of(row)
    pairs = {
        "pii": ("pii_flag", None if told.is_reviewed else told.pii),
        "language": ("language_flag", told.language),
        "moderation": ("moderation_flag", told.moderation),
    }
    if row["detector"] not in pairs or (row["detector"] == "pii" and told.is_reviewed):
        return
    name, said = pairs[row["detector"]]
    if found != said:
        yield Problem("flags", f"{name} of metadata.jsonl is {show(said)}, here {show(found)}")


def result_of(row: Row) -> Any:
    """What metadata.jsonl should have from this row: null where it is in terms of its own."""
    result = row["result"]
    if result is None:
        return None
    if row["detector"] == "pii":
        return bool(result.get("found"))
    if row["detector"] == "language":
        return result.get("language")
    categories = result.get("categories")
    if not isinstance(categories, dict) or not all(name in categories for name in MODERATION):
        return None
    return any(categories[name] is True for name in MODERATION)


def missing_problems(seen: set[tuple[str, str, str]], known: Known) -> Iterator[Problem]:
    """Whatever metadata.jsonl says, some detector said."""
    lacks: dict[str, list[str]] = {}
    for (column, text_id), told in known.told.items():
        said = {
            "pii": told.pii is not None and not told.is_reviewed,
            "language": told.language is not None,
            "moderation": told.moderation is not None,
        }
        for detector, is_told in said.items():
            if is_told and (column, text_id, detector) not in seen:
                lacks.setdefault(detector, []).append(f"{column} {text_id}")
    for detector, texts in lacks.items():
        yield Problem("missing", f"{detector}: {len(texts)} have no row, first {texts[0]}")
