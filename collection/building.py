"""Building one release: its files and what describes them, checked, in one archive.

Nothing is half there: the archive is written aside, fsynced and renamed, and only then does the
release say that it is ready. Whoever kills the build, or fills the disk, leaves all as it was.
"""

import errno
import hashlib
import json
import logging
import os
import secrets
import shutil
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from itertools import islice
from pathlib import Path
from types import FrameType
from typing import Any
from zipfile import ZIP_DEFLATED, ZIP_STORED, ZipFile, ZipInfo

from django.conf import settings
from django.db import connection, transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from collection import disclosure, dossier, releases
from collection.export import manifest
from collection.export.codebook_document import write_codebook
from collection.export.parquet import has_pyarrow
from collection.export.plan import Plan
from collection.export.selection import Choice
from collection.export.validate import validate
from collection.export.write import (
    DESCRIPTIONS,
    EARLIEST_DATE,
    JSONL,
    PARQUET,
    Options,
    files_of,
    write_release,
)
from collection.models import Release, ReleasedPerson
from surveys import audit
from surveys.errors import DomainError
from surveys.models import Participant

log = logging.getLogger("refract.releases")

BEAT_S = 2.0
NICENESS = 10
SUMS = "SHA256SUMS"
PACKED = {".parquet", ".png"}
"""Compressed by themselves."""
PIECE = 1 << 20
State = Release.State

WRITERS: list[Callable[[Path], object]] = [write_codebook]
"""What else writes into the folder of a release, once the data are there: the codebook."""


class Stopped(Exception):
    """The build was told to end, or is no longer wanted; another takes it up."""


class Changed(Exception):
    """Somebody withdrew while it was being built."""


@dataclass
class Telling:
    """How far a build is, for the page that shows it."""

    step: str = ""
    share: float = 0.0
    files: int = 1
    folder: Path | None = None
    stopped: threading.Event = field(default_factory=threading.Event)

    def at(self, step: str, share: float) -> None:
        """Raises Stopped if the build is to end."""
        self.step, self.share = step, share
        if self.stopped.is_set():
            raise Stopped

    @property
    def now(self) -> tuple[str, int]:
        """While files are written, it counts them."""
        if self.folder is None:
            return self.step, int(self.share)
        there = sum(1 for path in self.folder.rglob("*.json*") if path.is_file())
        return self.step, int(self.share + 60 * min(1.0, there / self.files))


def run(key: int) -> bool:
    """Build a release that waits, in this process; whether it did. For `manage.py build_release`.

    False: another process has it.
    """
    token = secrets.token_hex(8)
    if not claim(key, token):
        return False
    os.nice(NICENESS)
    release = Release.objects.select_related("study__instrument", "first").get(pk=key)
    telling = Telling()
    with beating(release, telling), ended_by_signals(telling):
        attempt(release, telling)
    return True


def claim(key: int, token: str) -> bool:
    waiting = Release.objects.select_for_update().filter(pk=key, state=State.QUEUED)
    with transaction.atomic():
        row = waiting.first()
        if row is None:
            return False
        row.state, row.builder, row.heard_at = State.BUILDING, token, timezone.now()
        row.tries += 1
        row.reason, row.step, row.progress = "", "", 0
        row.save(
            update_fields=["state", "builder", "heard_at", "tries", "reason", "step", "progress"]
        )
    return True


def attempt(release: Release, telling: Telling) -> None:
    """Build it, and say what became of it. Never raises."""
    aside = Path(settings.RELEASES_DIR) / f"{releases.WORKING}{release.pk}-{release.builder}"
    try:
        aside.mkdir(parents=True)
        made = build(release, aside / release.name, telling)
        finish(release, made, telling)
    except (Stopped, Changed):
        end(release, State.QUEUED, "")
    except DomainError as error:
        end(release, State.FAILED, error.message)
    except OSError as error:
        end(release, State.FAILED, of_disk(error))
    except Exception as error:
        log.exception("release %s could not be built", release.pk)
        words = _("Something went wrong that should not: %s. The server's log has the details.")
        end(release, State.FAILED, words % type(error).__name__)
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def of_disk(error: OSError) -> str:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return _("The disk is full. What was there before is untouched.")
    return _("It could not be written: %s.") % (error.strerror or type(error).__name__)


def end(release: Release, state: State, reason: str) -> None:
    """If it is still this process that builds it."""
    mine = Release.objects.filter(pk=release.pk, state=State.BUILDING, builder=release.builder)
    mine.update(state=state, reason=reason[:500], builder="", step="")


# Signs of life


@contextmanager
def beating(release: Release, telling: Telling) -> Iterator[None]:
    """Every two seconds a thread says how far it is, over a connection of its own: the build
    itself reads one moment of the database all along."""
    over = threading.Event()
    thread = threading.Thread(target=beat, args=(release, telling, over), daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def beat(release: Release, telling: Telling, over: threading.Event) -> None:
    mine = Release.objects.filter(pk=release.pk, state=State.BUILDING, builder=release.builder)
    while not over.wait(BEAT_S):
        try:
            step, progress = telling.now
            if not mine.update(step=step, progress=progress, heard_at=timezone.now()):
                telling.stopped.set()  # withdrawn, or given to another process
        except Exception:
            log.exception("release %s could not say how far it is", release.pk)
    connection.close()


@contextmanager
def ended_by_signals(telling: Telling) -> Iterator[None]:
    """Told to end, it stops at the next step and leaves the release to another process."""

    def stop(_number: int, _frame: FrameType | None) -> None:
        telling.stopped.set()
        raise Stopped

    before = {number: signal.signal(number, stop) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


# The folder


@dataclass
class Made:
    """What one build has made."""

    folder: Path
    archive: Path
    people: list[ReleasedPerson]
    counts: dict[str, Any]
    disclosure: dict[str, Any]


def build(release: Release, folder: Path, telling: Telling) -> Made:
    """Write everything into a folder and that into an archive beside it.

    Raises DomainError if it must not be, OSError if it cannot be written, Stopped.
    """
    telling.at(_("choosing who is in it"), 1)
    choice = choice_of(release)
    check_public(release)
    plans: list[Plan] = []
    names = files_of(release.study, with_pilot=release.with_pilot, choice=choice)
    telling.at(_("writing the files"), 2)
    telling.files, telling.folder = len(names) + len(DESCRIPTIONS), folder
    rows = write_release(
        release.study,
        folder,
        release.order,  # type: ignore[arg-type]
        with_pilot=release.with_pilot,
        options=Options(formats=(JSONL, PARQUET) if has_pyarrow() else (JSONL,)),
        choice=choice,
        planned=plans.append,
    )
    telling.folder = None
    name_release(release, folder)
    telling.at(_("writing the codebook"), 62)
    for write in WRITERS:
        write(folder)
    telling.at(_("writing what describes it"), 70)
    counts = dossier.write(release, plans[0], folder, rows)
    telling.at(_("checking it"), 75)
    check_sound(folder)
    seen = look_for_ids(release, folder, telling)
    telling.at(_("packing it"), 90)
    write_sums(folder)
    archive = folder.with_name(f"{release.name}.zip")
    pack(folder, archive)
    return Made(folder, archive, people_of(release, plans[0]), counts, seen)


def choice_of(release: Release) -> Choice:
    if release.first_id is not None:
        return Choice(edition=release.first_id)
    recent = disclosure.may_withdraw(release.study, release.created_at)
    return Choice(seed=release.seed, left_out=recent if release.leave_out_recent else None)


def check_public(release: Release) -> None:
    """Things may have changed since it was asked for. A patch only takes away."""
    if release.is_public and not release.patch:
        releases.refuse(
            disclosure.obstacles(
                release.study,
                leave_out_recent=release.leave_out_recent,
                with_pilot=release.with_pilot,
            )
        )


def name_release(release: Release, folder: Path) -> None:
    """Say in the manifest which release this is: `validate` reads there that ids were kept."""
    path = folder / manifest.NAME
    content = json.loads(path.read_text(encoding="utf-8"))
    content["release"] = {
        "version": release.version,
        "edition": release.edition,
        "patch": release.patch,
        "keeps_ids_of": f"{release.edition}.0" if release.patch else None,
        "date": release.created_at.date().isoformat(),
        "is_public": release.is_public,
        "leaves_out_those_who_may_still_withdraw": release.leave_out_recent,
        "with_pilot": release.with_pilot,
    }
    path.write_text(json.dumps(content, ensure_ascii=False, indent=2) + "\n", encoding="utf-8")


def check_sound(folder: Path) -> None:
    """Raises DomainError if our own check finds fault with it: the release is right or absent."""
    faults = list(islice((d for d in validate(folder) if not d.is_note), 3))
    if faults:
        words = _("It does not keep to its own codebook, which is our fault: %s")
        raise DomainError(
            "unsound", words % "; ".join(f"{d.file}:{d.line}: {d.rule}" for d in faults)
        )


def look_for_ids(release: Release, folder: Path, telling: Telling) -> dict[str, Any]:
    """What the desk shows before publishing. Raises DomainError if an id from outside is in it."""
    telling.at(_("looking for ids from outside"), 82)
    scan = disclosure.scan(folder, disclosure.external_ids(release.study))
    if scan.found:
        first = scan.found[0]
        words = _(
            "An id by which a recruiter knows somebody stands in %(file)s, line %(line)d, and in "
            "%(others)d other places. Somebody may have typed it: mark it as personal information."
        )
        raise DomainError(
            "external_id",
            words % {"file": first.file, "line": first.line, "others": len(scan.found) - 1},
        )
    telling.at(_("counting small cells"), 88)
    columns = release.option("quasi_identifiers") or []
    with (folder / "survey.jsonl").open(encoding="utf-8") as file:
        people = [json.loads(line) for line in file]
    threshold = release.option("smallest_cell") or 5
    cells = disclosure.small_cells(people, columns, threshold) if columns else None
    return {
        "ids_looked_for": scan.looked_for,
        "ids_too_short": scan.too_short,
        "cells": asdict(cells) if cells else None,
    }


def people_of(release: Release, plan: Plan) -> list[ReleasedPerson]:
    return [
        ReleasedPerson(
            release=release.root,
            participant_id=user.pk,
            number=user.number,
            conversations=[
                [c.pk, c.number, c.first_interaction, c.first_utterance] for c in user.conversations
            ],
            calls=[[pk, number] for pk, number in user.calls.items()],
        )
        for user in plan.selection.users
    ]


# The archive


def write_sums(folder: Path) -> None:
    """In the form that `sha256sum --check` reads."""
    paths = sorted(path for path in folder.rglob("*") if path.is_file() and path.name != SUMS)
    lines = [f"{sha256_of(path)}  {path.relative_to(folder).as_posix()}\n" for path in paths]
    (folder / SUMS).write_text("".join(lines), encoding="utf-8", newline="\n")


def sha256_of(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def pack(folder: Path, archive: Path) -> None:
    """Equal files give equal bytes: names in order, no times, fixed permissions."""
    with archive.open("wb") as file:
        with ZipFile(file, "w") as zipped:
            for path in sorted(p for p in folder.rglob("*") if p.is_file()):
                name = f"{folder.name}/{path.relative_to(folder).as_posix()}"
                member = ZipInfo(name, EARLIEST_DATE)
                member.compress_type = ZIP_STORED if path.suffix in PACKED else ZIP_DEFLATED
                member.create_system, member.external_attr = 3, 0o644 << 16
                member.file_size = path.stat().st_size  # beyond 4 GB the header has another form
                with path.open("rb") as source, zipped.open(member, "w") as target:
                    shutil.copyfileobj(source, target, PIECE)
        file.flush()
        os.fsync(file.fileno())


def finish(release: Release, made: Made, telling: Telling) -> None:
    """Put the archive in its place and say that the release is ready, all in one moment.

    Raises Changed if somebody who is in it has withdrawn meanwhile, Stopped if it is no longer
    this process's.
    """
    telling.at(_("putting it in its place"), 99)
    size, sha256 = made.archive.stat().st_size, sha256_of(made.archive)
    target = Path(settings.RELEASES_DIR) / made.archive.name
    with transaction.atomic():
        releases.lock(release.study)
        row = Release.objects.select_related("study", "first").get(pk=release.pk)
        if row.state != State.BUILDING or row.builder != release.builder:
            raise Stopped
        keys = {person.participant_id for person in made.people}
        still = Participant.objects.filter(study=row.study_id, withdrawn_at__isnull=True)
        if keys - set(still.values_list("pk", flat=True)):
            raise Changed
        ReleasedPerson.objects.filter(release=row.root).delete()
        ReleasedPerson.objects.bulk_create(made.people, batch_size=500)
        row.state = replace_earlier(row) if row.patch else State.READY
        row.counts, row.disclosure = made.counts, made.disclosure
        row.size, row.sha256, row.file_name = size, sha256, target.name
        row.built_at, row.progress, row.step, row.builder = timezone.now(), 100, "", ""
        row.save()
        put(made.archive, target)
        audit.write(audit.SERVER, "built", row, row.study_id, version=row.version)
    transaction.on_commit(releases.sweep)


def replace_earlier(row: Release) -> State:
    """A patch takes the place of what it mends; the state that it then has."""
    earlier = Release.objects.filter(study=row.study_id, edition=row.edition, patch__lt=row.patch)
    was_published = earlier.filter(published_at__isnull=False).exists()
    earlier.filter(state__in=releases.WHOLE).update(state=State.SUPERSEDED)
    if was_published:
        row.published_at = timezone.now()
        row.push_state = "waiting" if row.push_to else ""
    return State.PUBLISHED if was_published else State.READY


def put(archive: Path, target: Path) -> None:
    archive.replace(target)
    folder = os.open(target.parent, os.O_RDONLY)
    try:
        os.fsync(folder)  # or a power cut could lose the name
    finally:
        os.close(folder)
