"""What ties a document to the data that it describes: its last line.

The line holds the sha256 of all above it, and of every file that the document was made from, with
its number of rows. Whoever edits either has a document that `validate` finds.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from collection.export.documents import find_path
from collection.export.lines import Deviation

MARK = b"refract-codebook "
BRACKETS: dict[str, tuple[bytes, bytes]] = {
    "html": (b"<!-- ", b" -->"),
    "md": (b"<!-- ", b" -->"),
    "pdf": (b"% ", b""),
}
"""What makes the line a comment. PDF allows one below its end."""

Facts = Mapping[str, Mapping[str, Any]]
"""Name of a file -> its sha256 and, of lines, its rows."""


@dataclass(frozen=True)
class Seal:
    sha256: str
    files: Facts


def sealed(body: bytes, form: str, files: Facts) -> bytes:
    opening, closing = BRACKETS[form]
    if not body.endswith(b"\n"):
        body += b"\n"
    facts = {"sha256": hashlib.sha256(body).hexdigest(), "files": files}
    return body + opening + MARK + json.dumps(facts).encode() + closing + b"\n"


def file_sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def deviations(folder: Path, document: str) -> Iterator[Deviation]:
    """What a document says that is not so."""
    path = folder / document
    form = path.suffix.removeprefix(".")
    try:
        content = path.read_bytes()
    except OSError as error:
        yield Deviation(document, 0, "unreadable", error.strerror or str(error))
        return
    body, seal = opened(content, form)
    if seal is None:
        yield Deviation(document, 0, "document", "its last line does not say what it was made from")
        return
    if hashlib.sha256(body).hexdigest() != seal.sha256:
        yield Deviation(document, 0, "document", "was changed after it was made; make it anew")
    yield from _other_data(folder, document, seal)


def opened(content: bytes, form: str) -> tuple[bytes, Seal | None]:
    """(all above the last line; what that line says, or None if it is no seal)"""
    start = content.rstrip(b"\n").rfind(b"\n") + 1
    line = content[start:].rstrip(b"\n")
    opening, closing = BRACKETS[form]
    if not (line.startswith(opening + MARK) and line.endswith(closing)):
        return content, None
    try:
        facts = json.loads(line[len(opening + MARK) : len(line) - len(closing)])
        files = {str(name): dict(known) for name, known in facts["files"].items()}
        return content[:start], Seal(str(facts["sha256"]), files)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return content, None


def _other_data(folder: Path, document: str, seal: Seal) -> Iterator[Deviation]:
    for name, facts in seal.files.items():
        path = find_path(folder, name)
        if path is None:
            yield Deviation(document, 0, "document", f"describes {name}, which is not there")
        elif file_sha256(path) != facts.get("sha256"):
            rows = f" of {facts['rows']} rows" if "rows" in facts else ""
            yield Deviation(
                document, 0, "document", f"describes another {name}{rows} than the one here"
            )
