"""A folder of release files as an import reads it: checked, counted, row by row, repaired."""

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from itertools import groupby
from pathlib import Path
from typing import Any

from collection.export import check_documents, documents, manifest, tables
from collection.export.codebook import Codebook
from collection.export.columns import KeyOrder
from collection.export.imported import CARRIED, REBUILT
from collection.export.lines import NAN, Deviation, NotANumber
from collection.export.validate import validate
from collection.importing.repairs import Repairs, one_choice, storable
from surveys.errors import DomainError

Row = dict[str, Any]
NAMES = (*REBUILT, *CARRIED)
BLOCK = 1 << 20


class Broken(DomainError):
    """The folder is not a release as the codebook has it. faults: one line each."""

    def __init__(self, faults: list[Deviation]) -> None:
        self.faults = faults
        super().__init__("broken", f"{len(faults)} faults: nothing was loaded.")


@dataclass
class Folder:
    path: Path
    notes: list[Deviation] = field(default_factory=list)

    def check(self) -> None:
        """Raises Broken with everything that `validate` says, notes apart."""
        found = list(validate(self.path))
        if faults := [deviation for deviation in found if not deviation.is_note]:
            raise Broken(faults)
        self.notes = found

    @cached_property
    def files(self) -> dict[str, Path]:
        """By the name of the file, in the order of a manifest."""
        found = {name: documents.find_path(self.path, f"{name}.jsonl") for name in NAMES}
        return {name: path for name, path in found.items() if path}

    @cached_property
    def hashes(self) -> dict[str, str]:
        return {name: hash_of(path) for name, path in self.files.items()}

    @cached_property
    def sha256(self) -> str:
        """Of all that is read, wherever in the folder it lies."""
        described = {
            name: hash_of(path)
            for name in (documents.NAME, manifest.NAME)
            if (path := documents.find_path(self.path, name))
        }
        lines = sorted(f"{name} {digest}" for name, digest in (self.hashes | described).items())
        return hashlib.sha256("\n".join(lines).encode()).hexdigest()

    @cached_property
    def book(self) -> Codebook:
        book, _problems = check_documents.codebook_of(self.path)
        assert book is not None  # the check came before
        return book

    @cached_property
    def manifest(self) -> Row:
        """Empty if there is none."""
        path = documents.find_path(self.path, manifest.NAME)
        found: Row = json.loads(path.read_text(encoding="utf-8")) if path else {}
        return found

    @cached_property
    def key_order(self) -> KeyOrder:
        first = next(self.rows("conversations"), None)
        return "github" if first and tuple(first) == tables.CONVERSATIONS.github else "codebook"

    def rows(self, name: str, repairs: Repairs | None = None) -> Iterator[Row]:
        if name == "conversations":
            return self._conversations(repairs)
        if name == "utterances":
            return self._utterances(repairs)
        return (row for _line, row in self._lines(name, repairs))

    def _lines(self, name: str, repairs: Repairs | None) -> Iterator[tuple[int, Row]]:
        """Without what the check has looked at already: the files are read several times.

        Raises DomainError if the file has changed since it was checked.
        """
        with self.files[name].open("rb") as file:
            for number, raw in enumerate(file, start=1):
                try:
                    row = json.loads(raw, parse_constant=nan)
                except ValueError as error:
                    raise DomainError("changed", f"{name}.jsonl:{number}: {error}.") from error
                has_nul = rb"\u0000" in raw
                yield number, storable(row, f"{name}.jsonl", number, repairs, has_nul=has_nul)

    def _conversations(self, repairs: Repairs | None) -> Iterator[Row]:
        for line, row in self._lines("conversations", repairs):
            replies = [item for item in row["conversation_history"] if item["role"] == "model"]
            for _turn, some in groupby(replies, key=lambda item: item["turn"]):
                for _reply in one_choice(list(some)):
                    if repairs:
                        column = "conversation_history[].if_chosen"
                        repairs.add("if-chosen", "conversations.jsonl", line, column, True, False)
            yield row

    def _utterances(self, repairs: Repairs | None) -> Iterator[Row]:
        lines = self._lines("utterances", repairs)
        for _interaction, some in groupby(lines, key=lambda line: line[1]["interaction_id"]):
            numbered = list(some)
            changed = {id(row) for row in one_choice([row for _line, row in numbered])}
            for line, row in numbered:
                if repairs and id(row) in changed:
                    repairs.add("if-chosen", "utterances.jsonl", line, "if_chosen", True, False)
                yield row


def number_of(prefix: str, value: str) -> int:
    """12 of user12, which the check has seen to be one."""
    return int(value.removeprefix(prefix))


def nan(_token: str) -> NotANumber:
    return NAN


def hash_of(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(BLOCK):
            digest.update(block)
    return digest.hexdigest()
