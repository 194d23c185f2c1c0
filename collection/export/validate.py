"""Checking a folder of release files, Refract's or PRISM's, against the codebook.

Files are read line by line; only ids, scores and digests of texts stay in memory. What PRISM's own
release is known to do is a note, told from an error by evidence in the files.
"""

import json
from collections.abc import Iterator
from pathlib import Path

from collection.export import (
    check_assignments,
    check_conversations,
    check_documents,
    check_metadata,
    check_models,
    check_paradata,
    check_survey,
    check_utterances,
    codebook_document,
    schemas,
)
from collection.export.codebook import Codebook
from collection.export.documents import find_path
from collection.export.known import Known
from collection.export.lines import Deviation, File
from collection.export.manifest import NAME as MANIFEST
from collection.export.plan import ASSIGNMENTS, PARADATA

__all__ = ["Deviation", "validate"]

REQUIRED = ("survey", "conversations", "utterances")
FILES = (*REQUIRED, "models", "metadata", ASSIGNMENTS, PARADATA)


def validate(folder: Path) -> Iterator[Deviation]:
    """Everything in which a folder departs from the codebook; nothing if all is well."""
    if not folder.is_dir():
        yield Deviation(str(folder), 0, "missing", "there is no such folder")
        return
    book, problems = check_documents.codebook_of(folder)
    yield from problems
    files = {name: find(folder, name) for name in FILES}
    absent = [name for name in REQUIRED if files[name] is None]
    for name in absent:
        yield Deviation(f"{name}.jsonl", 0, "missing", "the file is missing")
    if book is None:
        return
    yield from check_all(files, book)
    yield from schemas.deviations(folder, book)
    yield from codebook_document.deviations(folder)
    if not absent:
        yield from check_manifest(folder, files)


def find(folder: Path, name: str) -> File | None:
    path = find_path(folder, f"{name}.jsonl")
    return File(path, path.relative_to(folder).as_posix()) if path else None


def check_all(files: dict[str, File | None], book: Codebook) -> Iterator[Deviation]:
    """Each file there is; what needs two files only if both are there."""
    known = Known()
    survey, conversations, utterances = (files[name] for name in REQUIRED)
    models, metadata = files["models"], files["metadata"]
    assignments, paradata = files[ASSIGNMENTS], files[PARADATA]
    if survey:
        yield from check_survey.check(survey, known, book)
    if survey and conversations:
        yield from check_conversations.check(conversations, known, book)
        yield from check_conversations.check_people(survey, conversations, known)
    if models:
        yield from check_models.check(models, known)
    else:
        yield Deviation("models.jsonl", 0, "missing", "there is no such file", is_note=True)
    if conversations and utterances and survey:
        yield from check_utterances.check(utterances, conversations, known, book)
        if assignments:
            yield from check_assignments.check(assignments, known, book)
        if metadata:
            yield from check_metadata.check(metadata, known, book)
    if paradata and survey:
        yield from check_paradata.check(paradata, known, book)
    if not metadata:
        yield Deviation("metadata.jsonl", 0, "missing", "there is no such file", is_note=True)


def check_manifest(folder: Path, files: dict[str, File | None]) -> Iterator[Deviation]:
    """A manifest, if there is one, counts the rows of each file."""
    path = folder / MANIFEST
    if not path.is_file():
        return
    try:
        rows = json.loads(path.read_text(encoding="utf-8"))["rows"]
        counts = {str(name): int(number) for name, number in rows.items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        yield Deviation(MANIFEST, 0, "manifest", f"cannot be read: {error!r}")
        return
    for name, number in counts.items():
        file = files.get(name.removesuffix(".jsonl"))
        if file is None:
            yield Deviation(name, 0, "missing", "the manifest names it, but it is missing")
        elif file.lines != number:
            yield Deviation(
                name, 0, "manifest", f"has {file.lines} lines, the manifest says {number}"
            )
