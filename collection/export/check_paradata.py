"""The rules of paradata.jsonl: at most one row per person and page, people in order."""

from collections.abc import Iterator, Mapping
from typing import Any

from collection.export.codebook import Codebook
from collection.export.known import Known
from collection.export.lines import Deviation, File, Problem, show
from collection.export.shape import is_sound, row_problems


def check(file: File, known: Known, book: Codebook) -> Iterator[Deviation]:
    seen: set[tuple[str, str]] = set()
    places = {user: place for place, user in enumerate(known.users)}
    last = -1
    for line in file.rows():
        if isinstance(line, Deviation):
            yield line
            continue
        problems = list(row_problems(book.paradata, line.row))
        if is_sound(problems):
            place = (line.row["user_id"], line.row["page"])
            if place in seen:
                problems.append(Problem("unique", f"{show(place)} has an earlier row"))
            seen.add(place)
            if place[0] not in known.users:
                problems.append(Problem("reference", f"{show(place[0])} is not in survey.jsonl"))
            elif places[place[0]] < last:
                problems.append(Problem("sequence", f"{place[0]} is out of the survey's order"))
            last = max(last, places.get(place[0], last))
            problems += load_problems(line.row)
        yield from file.at(line.number, problems)


def load_problems(row: Mapping[str, Any]) -> Iterator[Problem]:
    """Times and counts are null where nothing was noted, and only there."""
    is_empty = row["loads"] == 0
    for key in ("visible_ms", "focus_losses"):
        if (row[key] is None) != is_empty:
            yield Problem("loads", f"{key} is {show(row[key])}, but loads is {row['loads']}")
    if is_empty and row["questions"]:
        yield Problem("loads", "questions has notes, but loads is 0")
