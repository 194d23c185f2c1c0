"""Writing a release: equal data give equal bytes, and all files show one moment of the database."""

import json
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any
from zipfile import ZIP_DEFLATED, ZipFile, ZipInfo

from django.db import connection, transaction

from collection import detecting
from collection.export import (
    codebook,
    codebook_document,
    derived,
    documents,
    handover,
    imported,
    manifest,
    parquet,
    samples,
    schemas,
)
from collection.export.columns import KeyOrder
from collection.export.derived import PRISMS, Rules
from collection.export.garbage import seldom_collected
from collection.export.makers import MAKERS
from collection.export.plan import FILES, FLAGS, Plan, files_of, make_plan
from collection.export.redaction import coverer
from collection.export.rows import Row, talk_rows
from collection.export.selection import EVERYBODY, Choice, Selection
from collection.export.survey_rows import draw_samples
from collection.export.text import line
from surveys.errors import DomainError
from surveys.models import Study

__all__ = [
    "FILES",
    "JSONL",
    "PARQUET",
    "Options",
    "files_of",
    "line",
    "snapshot",
    "stream",
    "write_file",
    "write_release",
    "write_zip",
]

JSONL, PARQUET = "jsonl", "parquet"

EARLIEST_DATE = (1980, 1, 1, 0, 0, 0)
"""Of every member of a zip: the format's first, so that equal data give equal bytes."""

DETECTED = ("metadata", FLAGS)
"""Files that have what detectors found."""

TALKS = ("conversations", "utterances")

SUBSETS = (samples.NAME, samples.WORDS_NAME)
DESCRIPTIONS = (documents.NAME, codebook.NAME, *SUBSETS, manifest.NAME)
"""What a folder says of itself."""


@dataclass(frozen=True)
class Options:
    """What of a release is written, and how.

    only: names of files, none for all; formats: JSONL, PARQUET or both.
    """

    only: tuple[str, ...] = ()
    formats: tuple[str, ...] = (JSONL,)
    rules: Rules = PRISMS

    def check(self) -> None:
        """Raises DomainError before anything is written."""
        if PARQUET in self.formats:
            parquet.check_pyarrow()

    def names(self, found: tuple[str, ...]) -> tuple[str, ...]:
        """Raises DomainError if one is asked for that is not among those found."""
        unknown = [name for name in self.only if name not in found]
        if unknown:
            raise DomainError(
                "only",
                f"A release of this study has no file {unknown[0]!r}. It has: {', '.join(found)}.",
            )
        return tuple(name for name in found if not self.only or name in self.only)


EVERYTHING = Options()


def descriptions_of(study: Study) -> tuple[str, ...]:
    """The manifest last."""
    if not study.is_imported:
        return DESCRIPTIONS
    return (imported.NAME, *(name for name in DESCRIPTIONS if name not in SUBSETS))


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
    plan = make_plan(study, order, with_pilot=with_pilot)
    if name not in derived.MAKERS:
        yield from map(line, rows_of(plan, name))
        return
    with tempfile.TemporaryDirectory() as folder:
        for source in derived.SOURCES:
            _write_rows(Path(folder) / f"{source}.jsonl", rows_of(plan, source), lambda _row: False)
        made = derived.Source(Path(folder), plan.book, order=order)
        yield from map(line, derived.MAKERS[name](made))


def rows_of(plan: Plan, name: str) -> Iterator[Row]:
    """The rows of one file, as they leave: every file is made from these."""
    return map(coverer(plan, name), MAKERS[name](plan))


def write_release(
    study: Study,
    folder: Path,
    order: KeyOrder = "codebook",
    *,
    with_pilot: bool = False,
    options: Options = EVERYTHING,
    choice: Choice = EVERYBODY,
    planned: Callable[[Plan], object] | None = None,
) -> dict[str, int]:
    """Write the files and the manifest into a folder; file name -> number of rows.

    The files are complete on the disk before the first appears in the folder; whatever happens,
    the folder has the release that was there before or this, at the latest after the next
    `handover.settle`.
    Raises OSError if the folder can't be made or written, DomainError if the versions of the
    instrument cannot be released together or the options ask for what is not there.
    planned: is told whom and what it will write.
    """
    options.check()
    folder.mkdir(parents=True, exist_ok=True)
    handover.settle(folder)
    with handover.aside(folder) as aside:
        rows = _write_all(study, aside, order, with_pilot, options, choice, planned)
        # The manifest is the last of them.
        names = [*rows, *schemas.names(rows), *descriptions_of(study)]
        # Of an earlier release, which had more.
        known = {*_known_files(), imported.NAME, *codebook_document.DOCUMENTS.values()}
        handover.hand_over(aside, folder, names, sorted(known - {*names}))
    return rows


def _known_files() -> Iterator[str]:
    for name in (*MAKERS, *derived.MAKERS):
        yield from (json_file(name), parquet_file(name), *schemas.names([json_file(name)]))


def json_file(name: str) -> str:
    return f"{name}.jsonl"


def parquet_file(name: str) -> str:
    return f"{parquet.FOLDER}/{name}.parquet"


def write_file(study: Study, name: str, file: IO[bytes], *, with_pilot: bool = False) -> None:
    """Write one of `files_of(study)`, as `write_release` would, into an open binary file."""
    if name in DETECTED:
        detecting.complete(study)
    with snapshot():
        for text in stream(study, name, with_pilot=with_pilot):
            file.write(text.encode())


def write_zip(
    study: Study, file: IO[bytes], *, with_pilot: bool = False, options: Options = EVERYTHING
) -> None:
    """Write a whole release as a zip into an open binary file."""
    options.check()
    with tempfile.TemporaryDirectory() as folder, ZipFile(file, "w") as archive:
        rows = _write_all(study, Path(folder), "codebook", with_pilot, options)
        for name in (*rows, *schemas.names(rows), *descriptions_of(study)):
            member = ZipInfo(f"{study.slug}/{name}", EARLIEST_DATE)
            member.compress_type = ZIP_DEFLATED
            with (Path(folder) / name).open("rb") as source, archive.open(member, "w") as target:
                shutil.copyfileobj(source, target)


def _write_all(
    study: Study,
    folder: Path,
    order: KeyOrder,
    with_pilot: bool,
    options: Options,
    choice: Choice = EVERYBODY,
    planned: Callable[[Plan], object] | None = None,
) -> dict[str, int]:
    if not study.is_imported:
        detecting.complete(study)  # in batches of their own: the snapshot below only reads
    with seldom_collected(), snapshot():
        plan = make_plan(study, order, with_pilot=with_pilot, choice=choice)
        if planned:
            planned(plan)
        names = options.names(files_of(study, with_pilot=with_pilot, choice=choice))
        written = write_tables(plan, (*_from_database(names), *_sources(names)), folder)
        rows = {json_file(name): written[name].rows for name in _from_database(names)}
        simulated_rows = {file: written[file.removesuffix(".jsonl")].simulated for file in rows}
        drawn = None if plan.release else draw_samples(plan)
        # Counts of the files that follow are added to these very dicts.
        about = manifest.build(plan, rows, simulated_rows)
    source = derived.Source(folder, plan.book, options.rules, order)
    is_simulated = _simulated(plan.selection)
    for name in names:
        if name in derived.MAKERS:
            file = json_file(name)
            counts = _write_rows(folder / file, derived.MAKERS[name](source), is_simulated)
            rows[file], simulated_rows[file] = counts.rows, counts.simulated
    if _sources(names):
        about["derived"] = source.as_json()
    if PARQUET in options.formats:
        rows |= _write_parquet(folder, names, plan)
    if JSONL not in options.formats:
        for name in names:
            del rows[json_file(name)]
    described = {
        documents.NAME: documents.of(plan.book),
        codebook.NAME: codebook.described(plan.book, names),
        manifest.NAME: about | {"rows": rows},
    }
    if plan.release is not None:
        described[imported.NAME] = plan.release.repairs
    if drawn is not None:
        described |= {samples.NAME: drawn, samples.WORDS_NAME: samples.in_words(drawn)}
    if JSONL in options.formats:
        schemas.write(folder, plan.book, names)
    for name, content in described.items():
        is_text = isinstance(content, str)
        text = content if is_text else json.dumps(content, ensure_ascii=False, indent=2) + "\n"
        (folder / name).write_text(text, encoding="utf-8", newline="\n")
    return rows


def _from_database(names: Iterable[str]) -> list[str]:
    return [name for name in names if name not in derived.MAKERS]


def _sources(names: Iterable[str]) -> tuple[str, ...]:
    """What has to be written first, wanted or not."""
    return derived.SOURCES if any(name in derived.MAKERS for name in names) else ()


def _write_parquet(folder: Path, names: Iterable[str], plan: Plan) -> dict[str, int]:
    (folder / parquet.FOLDER).mkdir()
    return {
        parquet_file(name): parquet.write(
            folder / json_file(name),
            folder / parquet_file(name),
            plan.book.tables[name],
            plan.book,
            plan.order,
        )
        for name in names
    }


@dataclass
class Written:
    """A file that is being written, and what it has. simulated: rows of simulated people."""

    file: IO[str]
    is_simulated: Callable[[Row], bool]
    rows: int = 0
    simulated: int = 0

    def add(self, row: Row) -> None:
        self.file.write(line(row))
        self.rows += 1
        self.simulated += self.is_simulated(row)


@contextmanager
def _opened(path: Path, is_simulated: Callable[[Row], bool]) -> Iterator[Written]:
    with path.open("w", encoding="utf-8", newline="\n") as file:
        yield Written(file, is_simulated)


def write_tables(plan: Plan, names: Iterable[str], folder: Path) -> dict[str, Written]:
    """The files that are made straight from the database. Name -> what was written."""
    is_simulated = _simulated(plan.selection)
    written: dict[str, Written] = {}
    wanted = dict.fromkeys(names)
    for name in wanted:
        if name in written:
            continue
        if name in TALKS and wanted.keys() >= set(TALKS):
            written |= _write_talks(plan, folder, is_simulated)
        else:
            path = folder / json_file(name)
            written[name] = _write_rows(path, rows_of(plan, name), is_simulated)
    return written


def _write_talks(
    plan: Plan, folder: Path, is_simulated: Callable[[Row], bool]
) -> dict[str, Written]:
    """Both files of conversations: what one of them reads is all that the other needs."""
    cover, cover_reply = (coverer(plan, name) for name in TALKS)
    first, second = (_opened(folder / json_file(name), is_simulated) for name in TALKS)
    with first as conversations, second as utterances:
        for conversation, replies in talk_rows(plan):
            conversations.add(cover(conversation))
            for reply in replies:
                utterances.add(cover_reply(reply))
    return dict(zip(TALKS, (conversations, utterances), strict=True))


def _write_rows(path: Path, rows: Iterable[Row], is_simulated: Callable[[Row], bool]) -> Written:
    with _opened(path, is_simulated) as written:
        for row in rows:
            written.add(row)
    return written


def _simulated(selection: Selection) -> Callable[[dict[str, Any]], bool]:
    ids = {user.id for user in selection.users if user.is_simulated}
    return lambda row: row.get("user_id") in ids
