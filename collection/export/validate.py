"""Checking a folder of release files, Refract's or PRISM's, against the codebook.

Files are read line by line; only ids, scores and digests of texts stay in memory. What PRISM's own
release is known to do is a note, told from an error by evidence in the files.
"""

import json
from collections.abc import Iterator
from pathlib import Path

from collection.export import (
    check_assignments,
    check_calls,
    check_conversations,
    check_derived,
    check_documents,
    check_flags,
    check_metadata,
    check_models,
    check_paradata,
    check_parquet,
    check_people,
    check_ratings,
    check_subsets,
    check_survey,
    check_utterances,
    codebook_document,
    handover,
    schemas,
)
from collection.export.codebook import Codebook
from collection.export.documents import find_path
from collection.export.further_tables import CALLS, CONSENTS, DERIVED, QUALITY, RATINGS
from collection.export.garbage import seldom_collected
from collection.export.known import Known
from collection.export.lines import Deviation, File
from collection.export.manifest import NAME as MANIFEST
from collection.export.parquet import FOLDER as PARQUET
from collection.export.plan import ASSIGNMENTS, BESIDE, FLAGS, PARADATA

__all__ = ["Deviation", "validate"]

REQUIRED = ("survey", "conversations", "utterances")
FILES = (*REQUIRED, "models", "metadata", FLAGS, ASSIGNMENTS, PARADATA, *BESIDE, *DERIVED)


def validate(folder: Path) -> Iterator[Deviation]:
    """Everything in which a folder departs from the codebook; nothing if all is well."""
    with seldom_collected():
        yield from departures(folder)


def departures(folder: Path) -> Iterator[Deviation]:
    if not folder.is_dir():
        yield Deviation(str(folder), 0, "missing", "there is no such folder")
        return
    if handover.is_unfinished(folder):
        words = "a newer release is only partly in its place: export into this folder again"
        yield Deviation(folder.name, 0, "unfinished", words)
    book, problems = check_documents.codebook_of(folder)
    yield from problems
    files = {name: find(folder, name) for name in FILES}
    absent = [name for name in REQUIRED if files[name] is None]
    for name in absent:
        yield Deviation(f"{name}.jsonl", 0, "missing", "the file is missing")
    if book is None:
        return
    known = Known(check_documents.is_patch(folder), has_ratings=files[RATINGS] is not None)
    seen = check_subsets.Subsets()
    is_sound = not absent
    for deviation in check_all(files, book, known, seen):
        is_sound = is_sound and deviation.is_note
        yield deviation
    yield from check_derived.check_all(folder, files, book, are_sound=is_sound)
    if is_sound:
        yield from check_parquet.check(folder, files, book)
    yield from schemas.deviations(folder, book)
    yield from codebook_document.deviations(folder)
    survey = files["survey"]
    if survey and seen.rows == survey.lines and known.are_conversations_sound:
        yield from check_subsets.check(folder, seen, known.balanced_conversations)
    if not absent:
        yield from check_manifest(folder, files)
        yield from check_counts(folder, files, known)


def find(folder: Path, name: str) -> File | None:
    path = find_path(folder, f"{name}.jsonl")
    return File(path, path.relative_to(folder).as_posix()) if path else None


def check_all(
    files: dict[str, File | None], book: Codebook, known: Known, seen: check_subsets.Subsets
) -> Iterator[Deviation]:
    """Each file there is; what needs two files only if both are there."""
    survey, conversations, utterances = (files[name] for name in REQUIRED)
    models, metadata = files["models"], files["metadata"]
    assignments, paradata = files[ASSIGNMENTS], files[PARADATA]
    if survey:
        yield from check_survey.check(survey, known, book, seen)
        yield from check_subsets.check_nulls(survey.name, seen)
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
        if flags := files[FLAGS]:
            yield from check_flags.check(flags, known, book)
        if calls := files[CALLS]:
            yield from check_calls.check(calls, known, book)
        if ratings := files[RATINGS]:
            yield from check_ratings.check(ratings, known, book)
        if quality := files[QUALITY]:
            yield from check_people.check_quality(quality, known, book)
    if survey and (consents := files[CONSENTS]):
        yield from check_people.check_consents(consents, known)
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
        if name.startswith(f"{PARQUET}/"):
            if not (folder / name).is_file():
                yield Deviation(name, 0, "missing", "the manifest names it, but it is missing")
            continue
        file = files.get(name.removesuffix(".jsonl"))
        if file is None:
            yield Deviation(name, 0, "missing", "the manifest names it, but it is missing")
        elif file.lines != number:
            yield Deviation(
                name, 0, "manifest", f"has {file.lines} lines, the manifest says {number}"
            )


def check_counts(folder: Path, files: dict[str, File | None], known: Known) -> Iterator[Deviation]:
    """What the manifest counts itself, and files of the folder have in full."""
    try:
        content = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        calls = {
            (model, kind, outcome): number
            for model, kinds in content["calls"].items()
            for kind, outcomes in kinds.items()
            for outcome, number in outcomes.items()
        }
        consents = {
            (text["version"], text["sha256"]): text["people"] for text in content["consent_texts"]
        }
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return  # it says so itself, or is of an older release
    for name, said, found in (
        (CALLS, calls, known.calls),
        (CONSENTS, consents, known.consents),
    ):
        file = files[name]
        if file and said != found:
            yield Deviation(file.name, 0, "manifest", "its rows are not what the manifest counts")
