"""The codebook that a folder is checked against: of its own instrument.json and protocol, or
PRISM's."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from collection.export import codebook, documents, manifest
from collection.export.codebook import Codebook
from collection.export.documents import find_path
from collection.export.lines import Deviation
from surveys.errors import DomainError
from surveys.protocol import PRESETS, Protocol


def codebook_of(folder: Path) -> tuple[Codebook | None, list[Deviation]]:
    """(None if there is no sound one; what is wrong with the folder's own description)"""
    protocols, problems = protocols_of(folder)
    path = find_path(folder, documents.NAME)
    if path is None:
        return documents.shipped(protocols[0]), problems
    name = path.relative_to(folder).as_posix()
    try:
        book = documents.read(path, *protocols)
        assert book.survey  # the versions fit together
    except (OSError, ValueError, RecursionError, DomainError) as error:
        reason = " ".join(str(error).split())
        return None, [*problems, Deviation(name, 0, "instrument", f"cannot be used: {reason}")]
    return book, [
        *problems,
        *hash_deviations(folder, name, book),
        *codebook_deviations(folder, book),
    ]


def protocols_of(folder: Path) -> tuple[list[Protocol], list[Deviation]]:
    """The manifest's, which may allow more than PRISM's does; PRISM's if there is none.

    The study's own comes first, then those that people met before it was changed.
    """
    content = _content(find_path(folder, manifest.NAME))
    found = content.get("protocol") if isinstance(content, dict) else None
    if found is None:
        return [PRESETS["prism"]], []
    try:
        earlier = content.get("earlier_protocols", [])
        return [Protocol.model_validate(document) for document in (found, *earlier)], []
    except (ValueError, TypeError) as error:
        reason = " ".join(str(error).split())
        problem = Deviation(manifest.NAME, 0, "protocol", f"cannot be used: {reason}")
        return [PRESETS["prism"]], [problem]


def is_patch(folder: Path) -> bool:
    """Whether the manifest says that ids were kept, so that there may be gaps between them."""
    content = _content(find_path(folder, manifest.NAME))
    about = content.get("release") if isinstance(content, dict) else None
    return isinstance(about, dict) and about.get("keeps_ids_of") is not None


def hash_deviations(folder: Path, name: str, book: Codebook) -> Iterator[Deviation]:
    """The documents are those that the manifest names. Its own check says if it is broken."""
    content = _content(find_path(folder, manifest.NAME))
    listed = content.get("instruments") if isinstance(content, dict) else None
    if not isinstance(listed, list):
        return
    named = [row.get("sha256") if isinstance(row, dict) else None for row in listed]
    found = [version.sha256 for version in book.versions]
    if named != found:
        yield Deviation(
            name,
            0,
            "hash",
            f"the sha256 of the documents is {', '.join(found)}; the manifest names "
            f"{', '.join(map(str, named))}",
        )


def codebook_deviations(folder: Path, book: Codebook) -> Iterator[Deviation]:
    """codebook.json, if it is there, is what the documents say."""
    path = find_path(folder, codebook.NAME)
    if path is None:
        return
    name = path.relative_to(folder).as_posix()
    content = _content(path)
    files = content.get("files") if isinstance(content, dict) else None
    if not isinstance(files, dict):
        yield Deviation(name, 0, "codebook", "cannot be read")
        return
    known = [name for name in book.tables if f"{name}.jsonl" in files]
    expected = json.loads(json.dumps(codebook.described(book, known)))["files"]
    for file in files:
        if files[file] != expected.get(file):
            yield Deviation(name, 0, "codebook", f"{file}: differs from what {documents.NAME} says")


def _content(path: Path | None) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8")) if path else None
    except (OSError, ValueError, RecursionError):
        return None
