"""The rules of paradata.jsonl: at most one row per person and page, people in order."""

from collections.abc import Iterator

from collection.export.codebook import Codebook
from collection.export.known import Known
from collection.export.lines import Deviation, File, Problem, show
from collection.export.shape import is_sound, row_problems


def check(file: File, known: Known, book: Codebook) -> Iterator[Deviation]:
    seen: set[tuple[str, str]] = set()
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
        yield from file.at(line.number, problems)
