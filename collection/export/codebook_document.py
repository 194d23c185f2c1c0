"""The codebook document: every released column with what it means and what is in it.

As a page, as Markdown and as PDF, from the codebook and one pass over the files of a folder. All
three say the same, end in a seal (`seal`), and are the same bytes whenever the data are.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from django.template.loader import render_to_string

from collection.export import (
    check_documents,
    codebook,
    codebook_markdown,
    documents,
    manifest,
    pdf,
    seal,
)
from collection.export.codebook import Codebook
from collection.export.codebook_view import Chapter, chapter
from collection.export.documents import find_path
from collection.export.lines import Deviation
from collection.export.summaries import FileSummary, summarise
from surveys.errors import DomainError

Format = Literal["html", "md", "pdf"]
FORMATS: tuple[Format, ...] = get_args(Format)
DOCUMENTS = {form: f"codebook.{form}" for form in FORMATS}
TEMPLATE = "collection/codebook.html"


LEDE = "Every column of the release: what was asked, what it may hold, and what it holds."
GUIDE = """\
A column is *direct* where it holds what a participant said or did, *meta* where it describes how \
that came about, and *constructed* where it was derived or coded from something else. A dict of \
several kinds is described by its keys alone, as *NA*.
*Missing* counts rows with null; of a dict, rows in which it is null or one of its keys is, what \
was typed beside an option aside. *Different* counts values other than null. Mean and standard \
deviation (SD, of a sample) are of numbers, and of texts by their length in characters. Where a \
few values lie far out, a picture ends at 99.5 % of them; its last, paler bar holds the rest.
What people wrote is never shown, only measured: counts of values are given for closed questions \
alone. What people read is quoted word for word."""
COLOPHON = (
    "The files with these SHA-256 sums. The command “validate” finds a codebook that describes "
    "other files, or was edited."
)

Runs = tuple[tuple[str, bool], ...]
"""A paragraph in pieces: text, and whether it is a term that the paragraph explains."""


def runs(paragraph: str) -> Runs:
    """Every other piece stands between asterisks."""
    return tuple((text, bool(place % 2)) for place, text in enumerate(paragraph.split("*")))


@dataclass(frozen=True)
class Front:
    """What stands before the files, and last. notices: what a reader must not miss."""

    title: str
    software: str
    collected: str
    attributions: tuple[str, ...]
    notices: tuple[str, ...]
    figures: tuple[tuple[str, str], ...]
    instruments: tuple[tuple[str, str], ...]
    lede: str = LEDE
    guide: tuple[Runs, ...] = tuple(map(runs, GUIDE.splitlines()))
    colophon: str = COLOPHON


def write_codebook(folder: Path, formats: Sequence[Format] | None = None) -> list[Path]:
    """Write codebook.html, codebook.md and codebook.pdf for the release in a folder.

    formats: None for all, but for PDF where this machine can't make one. Raises DomainError if the
    folder holds no release, or a PDF was asked for that can't be made; OSError if it can't be
    written. Either all are written or none.
    """
    wanted = tuple(dict.fromkeys(formats or possible()))
    if "pdf" in wanted:
        pdf.check()
    book = book_of(folder)
    found = list(summarise(folder, book))
    if not found:
        raise DomainError("codebook", f"There are no files of a release in {folder}.")
    files = sealed_files(folder, found)
    chapters = [chapter(one, str(files[one.name]["sha256"])) for one in found]
    front = front_of(folder, book, found)
    made = dict(rendered(front, chapters, wanted))
    return [_put(folder / DOCUMENTS[f], seal.sealed(made[f], f, files)) for f in wanted]


def possible() -> tuple[Format, ...]:
    return FORMATS if pdf.is_possible() else ("html", "md")


def book_of(folder: Path) -> Codebook:
    book, problems = check_documents.codebook_of(folder)
    if book is None:
        raise DomainError("codebook", "; ".join(map(str, problems)))
    return book


def sealed_files(folder: Path, found: Sequence[FileSummary]) -> dict[str, dict[str, Any]]:
    files: dict[str, dict[str, Any]] = {
        one.name: {"sha256": seal.file_sha256(one.path), "rows": one.rows + one.broken}
        for one in found
    }
    for name in (codebook.NAME, documents.NAME):
        if path := find_path(folder, name):
            files[name] = {"sha256": seal.file_sha256(path)}
    return files


def rendered(
    front: Front, chapters: Sequence[Chapter], wanted: Sequence[Format]
) -> Iterator[tuple[Format, bytes]]:
    if "md" in wanted:
        yield "md", codebook_markdown.text(front, chapters).encode("utf-8", "replace")
    data = {"front": front, "chapters": chapters}
    if "html" in wanted:
        yield "html", render_to_string(TEMPLATE, data).encode("utf-8", "replace")
    if "pdf" in wanted:
        yield "pdf", pdf.made(data)


def _put(path: Path, content: bytes) -> Path:
    """Whole or not at all, whatever happens meanwhile."""
    aside = path.with_name(f".{path.name}.new")
    try:
        aside.write_bytes(content)
        aside.replace(path)
    finally:
        aside.unlink(missing_ok=True)
    return path


def deviations(folder: Path) -> Iterator[Deviation]:
    """Documents that are there say what the folder holds."""
    for name in DOCUMENTS.values():
        if (folder / name).is_file():
            yield from seal.deviations(folder, name)


# The front


def front_of(folder: Path, book: Codebook, found: Sequence[FileSummary]) -> Front:
    said = _manifest(folder)
    newest = book.versions[0].file
    return Front(
        title=_text(said.get("title")) or newest.title,
        software=" ".join(filter(None, map(_text, _of(said, "software").values()))),
        collected=_collected(found),
        attributions=tuple(dict.fromkeys(v.file.attribution for v in book.versions)),
        notices=tuple(_notices(said, found)),
        figures=tuple(_figures(found)),
        instruments=tuple((v.file.instrument, v.sha256) for v in book.versions),
    )


def _manifest(folder: Path) -> dict[str, Any]:
    """What it says; nothing if there is none to be read."""
    path = find_path(folder, manifest.NAME)
    try:
        content = json.loads(path.read_text(encoding="utf-8")) if path else {}
    except (OSError, ValueError, RecursionError):
        return {}
    return content if isinstance(content, dict) else {}


def _of(said: dict[str, Any], key: str) -> dict[str, Any]:
    found = said.get(key)
    return found if isinstance(found, dict) else {}


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _notices(said: dict[str, Any], found: Sequence[FileSummary]) -> Iterator[str]:
    people = next((one.rows for one in found if one.table.name == "survey"), 0)
    simulated = _of(said, "simulated").get("people")
    if isinstance(simulated, int) and simulated > 0:
        yield (
            "Nobody in this release is a person: all participants are simulated."
            if simulated >= people
            else f"{simulated:,} of {people:,} participants are simulated, not people."
        )
    for one in found:
        if one.broken:
            yield f"{one.broken:,} lines of {one.name} hold no row and are not described."


FIGURES = {
    "survey": "participants",
    "conversations": "conversations",
    "utterances": "responses",
    "models": "models",
}


def _figures(found: Sequence[FileSummary]) -> Iterator[tuple[str, str]]:
    for one in found:
        if one.table.name in FIGURES and one.rows:
            yield f"{one.rows:,}", FIGURES[one.table.name]


def _collected(found: Sequence[FileSummary]) -> str:
    """The first and the last day of surveys and conversations."""
    spans = [
        (summary.first[:10], summary.last[:10])
        for one in found
        for summary in one.columns
        if summary.path == "generated_datetime" and summary.first
    ]
    if not spans:
        return ""
    first, last = min(a for a, _b in spans), max(b for _a, b in spans)
    return first if first == last else f"{first} to {last}"
