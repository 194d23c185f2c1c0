"""Writing a release: equal data give equal bytes, and all files show one moment of the database."""

import json
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any
from zipfile import ZIP_DEFLATED, ZipFile, ZipInfo

from django.db import connection, transaction

from collection.export import codebook, codebook_document, documents, manifest, schemas
from collection.export.columns import KeyOrder
from collection.export.plan import FILES, files_of, make_plan
from collection.export.rows import MAKERS, Row
from collection.export.selection import Selection
from surveys.models import Study

__all__ = ["FILES", "files_of", "snapshot", "stream", "write_file", "write_release", "write_zip"]

# JSON allows these characters in strings, but str.splitlines and other readers end lines at them.
LINE_ENDS = str.maketrans({"\x85": "\\u0085", "\u2028": "\\u2028", "\u2029": "\\u2029"})
EARLIEST_DATE = (1980, 1, 1, 0, 0, 0)
"""Of every member of a zip: the format's first, so that equal data give equal bytes."""

DESCRIPTIONS = (documents.NAME, codebook.NAME, manifest.NAME)
"""What a folder says of itself."""


@contextmanager
def snapshot() -> Iterator[None]:
    """All queries inside see the database as it was at the first of them.

    On SQLite the transaction is deferred: Django's own would take the write lock and keep
    participants waiting until the release is written. Inside a transaction nothing changes.
    """
    if connection.in_atomic_block:
        yield
    elif connection.vendor == "sqlite":
        with connection.cursor() as cursor:
            cursor.execute("BEGIN DEFERRED")
            try:
                yield
            finally:
                cursor.execute("ROLLBACK")  # nothing was written
    else:
        with transaction.atomic():
            with connection.cursor() as cursor:
                cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
            yield


def stream(
    study: Study, name: str, order: KeyOrder = "codebook", *, with_pilot: bool = False
) -> Iterator[str]:
    """JSON lines, each with its line end, of one file. Wrap in `snapshot` while people work."""
    yield from map(line, MAKERS[name](make_plan(study, order, with_pilot=with_pilot)))


def line(row: Row) -> str:
    return json.dumps(row, ensure_ascii=False, allow_nan=False).translate(LINE_ENDS) + "\n"


def write_release(
    study: Study, folder: Path, order: KeyOrder = "codebook", *, with_pilot: bool = False
) -> dict[str, int]:
    """Write the files and the manifest into a folder; file name -> number of rows.

    The files are complete before the first appears in the folder, and the manifest comes last.
    Raises OSError if the folder can't be made or written, DomainError if the versions of the
    instrument cannot be released together.
    """
    folder.mkdir(parents=True, exist_ok=True)
    # Within the folder: its parent may be another file system, where no rename can come from.
    aside = Path(tempfile.mkdtemp(prefix=".release-", dir=folder))
    try:
        rows = _write_all(study, aside, order, with_pilot)
        (folder / schemas.FOLDER).mkdir(exist_ok=True)
        for name in (*rows, *schemas.names(rows), *DESCRIPTIONS):
            (aside / name).replace(folder / name)
        for name in MAKERS:  # of an earlier release, which had more
            if f"{name}.jsonl" not in rows:
                (folder / f"{name}.jsonl").unlink(missing_ok=True)
                (folder / schemas.FOLDER / f"{name}.schema.json").unlink(missing_ok=True)
        for name in codebook_document.DOCUMENTS.values():
            (folder / name).unlink(missing_ok=True)
    finally:
        shutil.rmtree(aside, ignore_errors=True)
    return rows


def write_file(study: Study, name: str, file: IO[bytes], *, with_pilot: bool = False) -> None:
    """Write one of `files_of(study)`, as `write_release` would, into an open binary file."""
    with snapshot():
        for text in stream(study, name, with_pilot=with_pilot):
            file.write(text.encode())


def write_zip(study: Study, file: IO[bytes], *, with_pilot: bool = False) -> None:
    """Write a whole release as a zip into an open binary file."""
    with tempfile.TemporaryDirectory() as folder, ZipFile(file, "w") as archive:
        rows = _write_all(study, Path(folder), "codebook", with_pilot)
        for name in (*rows, *schemas.names(rows), *DESCRIPTIONS):
            member = ZipInfo(f"{study.slug}/{name}", EARLIEST_DATE)
            member.compress_type = ZIP_DEFLATED
            with (Path(folder) / name).open("rb") as source, archive.open(member, "w") as target:
                shutil.copyfileobj(source, target)


def _write_all(study: Study, folder: Path, order: KeyOrder, with_pilot: bool) -> dict[str, int]:
    rows: dict[str, int] = {}
    simulated_rows: dict[str, int] = {}
    with snapshot():
        plan = make_plan(study, order, with_pilot=with_pilot)
        names = files_of(study, with_pilot=with_pilot)
        is_simulated = _simulated(plan.selection)
        for name in names:
            file = f"{name}.jsonl"
            rows[file], simulated_rows[file] = _write_rows(
                folder / file, MAKERS[name](plan), is_simulated
            )
        described = {
            documents.NAME: documents.of(plan.book),
            codebook.NAME: codebook.described(plan.book, names),
            manifest.NAME: manifest.build(plan, rows, simulated_rows),
        }
    schemas.write(folder, plan.book, names)
    for name in DESCRIPTIONS:
        text = json.dumps(described[name], ensure_ascii=False, indent=2) + "\n"
        (folder / name).write_text(text, encoding="utf-8", newline="\n")
    return rows


def _write_rows(
    path: Path, rows: Iterable[Row], is_simulated: Callable[[Row], bool]
) -> tuple[int, int]:
    """(number of rows, how many of them come from simulated people)"""
    total = simulated = 0
    with path.open("w", encoding="utf-8", newline="\n") as file:
        for row in rows:
            file.write(line(row))
            total += 1
            simulated += is_simulated(row)
    return total, simulated


def _simulated(selection: Selection) -> Callable[[dict[str, Any]], bool]:
    ids = {user.id for user in selection.users if user.is_simulated}
    return lambda row: row.get("user_id") in ids
