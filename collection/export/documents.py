"""instrument.json: what people were asked, so that a release can be read and checked by itself."""

import json
from pathlib import Path
from typing import Any

from collection.export.codebook import Codebook
from collection.export.merge import Version
from surveys.instruments.languages import in_language, source_of
from surveys.instruments.load import FOLDER, parse
from surveys.instruments.schema import InstrumentFile
from surveys.models import fingerprint
from surveys.protocol import PRESETS, Protocol

NAME = "instrument.json"

PLACES = ("", "data", "metadata", "data/metadata")
"""Where a file may lie: PRISM's repository keeps some in folders of their own."""


def find_path(folder: Path, name: str) -> Path | None:
    paths = (folder / place / name for place in PLACES)
    return next((path for path in paths if path.is_file()), None)


def of(book: Codebook) -> Any:
    """The document; of several versions, a list of them, newest first."""
    found = [version.document for version in book.versions]
    return found if len(found) > 1 else found[0]


def read(path: Path, protocol: Protocol, *earlier: Protocol) -> Codebook:
    """Raises OSError or ValueError if there is no sound instrument in the file."""
    content = json.loads(path.read_text(encoding="utf-8"))
    found = content if isinstance(content, list) else [content]
    if not found:
        raise ValueError("it is empty")
    return Codebook(tuple(version_in(document) for document in found), protocol, earlier)


def version_in(document: Any) -> Version:
    """Raises ValueError if it is no instrument."""
    file = InstrumentFile.model_validate(in_language(document, source_of(document)))
    return Version(fingerprint(document), document, file)


def shipped(protocol: Protocol = PRESETS["prism"]) -> Codebook:
    """Of PRISM's own release, which has no instrument.json."""
    path = FOLDER / "prism.yaml"
    parsed = parse(path.name, path.read_text(encoding="utf-8"))
    return Codebook((Version(parsed.sha256, parsed.document, parsed.file),), protocol)
