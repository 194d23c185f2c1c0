"""Releases of a study: asked for, built in the background, published, mended and withdrawn.

The building itself is `collection.building`'s, in a process of its own: `manage.py build_release`.
"""

import shutil
import subprocess
import sys
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

from django.conf import settings
from django.db import transaction
from django.db.models import Max, Q
from django.forms.models import model_to_dict
from django.utils import timezone
from django.utils.translation import gettext as _

from collection import disclosure
from collection.models import Release, ReleasedPerson, Statement, Tombstone
from surveys import audit
from surveys.errors import DomainError
from surveys.models import Participant, Study

State = Release.State
WHOLE = (State.READY, State.PUBLISHED)
SILENT = timedelta(seconds=60)
"""A build that has not been heard of for so long has died with its process."""
MOST_TRIES = 3
WORKING = ".building-"
"""Begins the names of folders that releases are built in."""
SOMEBODY_WITHDREW = "somebody withdrew"


def statement_of(study: Study) -> Statement:
    row, _is_new = Statement.objects.get_or_create(study=study)
    return row


def copy_of(statement: Statement) -> dict[str, Any]:
    return model_to_dict(statement, exclude=["id", "study"])


@transaction.atomic
def ask(
    study: Study,
    asked_by: str,
    *,
    is_public: bool = False,
    leave_out_recent: bool = False,
    with_pilot: bool = False,
    order: str = "codebook",
) -> Release:
    """Queue the next edition. A double click finds the first one's, while that is under way.

    Raises DomainError if a public release cannot be, with the reasons in words.
    """
    lock(study)
    options = {
        "is_public": is_public,
        "leave_out_recent": leave_out_recent,
        "with_pilot": with_pilot,
        "order": order,
    }
    under_way = study.releases.filter(state__in=(State.QUEUED, State.BUILDING), patch=0, **options)
    if found := under_way.first():
        return found
    if is_public:
        refuse(
            disclosure.obstacles(study, leave_out_recent=leave_out_recent, with_pilot=with_pilot)
        )
    last: int = study.releases.aggregate(last=Max("edition"))["last"] or 0
    return Release.objects.create(
        study=study,
        edition=last + 1,
        asked_by=asked_by,
        statement=copy_of(statement_of(study)),
        **options,
    )


def refuse(obstacles: list[disclosure.Obstacle]) -> None:
    """Raises DomainError unless there are none."""
    if obstacles:
        words = " ".join(obstacle.words for obstacle in obstacles)
        raise DomainError("not_public", _("This cannot be released in public: %s") % words)


def lock(study: Study) -> None:
    """Building ends and withdrawals take place one after the other: neither may miss the other."""
    Study.objects.select_for_update(of=("self",), no_key=True).filter(pk=study.pk).first()


def newest(release: Release) -> Release:
    """The last patch of an edition, or its first release."""
    edition = Release.objects.filter(study=release.study_id, edition=release.edition)
    return edition.select_related("study", "first").latest("patch")


@transaction.atomic
def retry(release: Release) -> None:
    """Queue anew what failed. A second time changes nothing."""
    Release.objects.filter(pk=release.pk, state=State.FAILED).update(
        state=State.QUEUED, tries=0, reason="", progress=0, step=""
    )


@transaction.atomic
def mend(release: Release, asked_by: str, why: str) -> Release:
    """Queue a patch of a release's edition, from the database as it is now, with its ids.

    While one waits or is being built, that one: it will hold whatever there is in the end. Raises
    DomainError if there is nothing to mend.
    """
    lock(release.study)
    last = newest(release)
    if last.is_under_way:
        return last
    if last.state == State.FAILED and last.patch:
        retry(last)
        return last
    if last.state not in (*WHOLE, State.SUPERSEDED):
        raise DomainError("nothing", _("There is nothing to mend in release %s.") % last.version)
    return Release.objects.create(
        study=last.study,
        edition=last.edition,
        patch=last.patch + 1,
        first=last.root,
        seed=last.seed,
        is_public=last.is_public,
        with_pilot=last.with_pilot,
        leave_out_recent=last.leave_out_recent,
        order=last.order,
        # What is written about the data may be mended, too.
        statement=copy_of(statement_of(last.study)),
        asked_by=asked_by,
        why=why,
        push_to=last.push_to,
    )


@transaction.atomic
def publish(release: Release, by: Any) -> None:
    """Say that it may leave the house. A second time changes nothing.

    Raises DomainError if it is not whole, is not a public one, or something has come up.
    """
    lock(release.study)
    row = Release.objects.select_related("study", "first").get(pk=release.pk)
    if row.state != State.PUBLISHED:
        if not row.is_whole:
            raise DomainError("not_ready", _("Release %s is not ready.") % row.version)
        if not row.is_public:
            raise DomainError(
                "internal",
                _("Release %s was made for use inside. Ask for a public one.") % row.version,
            )
        refuse(list(obstacles_of(row)))
        row.state, row.published_at = State.PUBLISHED, timezone.now()
        row.save(update_fields=["state", "published_at"])
        audit.write(by, "published", row, row.study_id, version=row.version)
    release.state, release.published_at = row.state, row.published_at


def obstacles_of(release: Release) -> Iterator[disclosure.Obstacle]:
    """What keeps a release that was built from being published now."""
    inside = disclosure.may_withdraw(release.study).filter(released_as__release=release.root)
    for obstacle in disclosure.obstacles(
        release.study, leave_out_recent=True, with_pilot=release.with_pilot
    ):
        if obstacle.code != "nobody":
            yield obstacle
    if number := inside.count():
        words = _("Of the people in it, %d may still withdraw.") % number
        yield disclosure.Obstacle("recent", words)


@transaction.atomic
def withdraw(release: Release, by: Any, reason: str) -> None:
    """Take a release back: its archive goes. A second time changes nothing."""
    changed = Release.objects.filter(pk=release.pk).exclude(state=State.WITHDRAWN)
    if changed.update(state=State.WITHDRAWN, reason=reason[:500], push_state=""):
        audit.write(by, "took back", release, release.study_id, version=release.version)
    transaction.on_commit(sweep)


# Withdrawals of people


def person_withdrew(sender: object, participant: Participant, **_signal: Any) -> None:
    """Tell every release that has the person: a tombstone, a patch, and the archive goes.

    The archive goes at once, before the patch is there: nobody's rows stay for want of disk space.
    A patch can be built at any time.
    """
    lock(participant.study)
    rows = ReleasedPerson.objects.filter(participant=participant).select_related("release__study")
    for row in rows:
        Tombstone.objects.get_or_create(
            release=row.release,
            user_id=f"user{row.number}",
            defaults={"conversation_ids": [f"c{number}" for _k, number, *_r in row.conversations]},
        )
        row.delete()
        supersede(row.release)
    transaction.on_commit(sweep)


def supersede(first: Release) -> None:
    """Replace an edition's last release by a patch without those who withdrew."""
    last = newest(first)
    if last.state == State.WITHDRAWN or (last.state == State.FAILED and not last.patch):
        return
    mend(last, audit.SERVER, SOMEBODY_WITHDREW)
    Release.objects.filter(pk=last.pk, state__in=WHOLE).update(state=State.SUPERSEDED)


# The chore


_children: list[subprocess.Popen[bytes]] = []
"""Processes that this one has started, until they are seen to have ended."""


def work() -> int:
    """Begin what waits, take up what died, and remove what is no longer to be there."""
    sweep()
    take_up()
    begun = begin("build_release", next_to_build())
    return begun + begin("push_release", next_to_push())


def begin(command: str, key: int | None) -> int:
    """Start a process for one release; whether it did. Two that start at once do no harm."""
    _children[:] = [child for child in _children if child.poll() is None]
    if key is None or any(command in child.args for child in _children):  # type: ignore[operator]
        return 0
    argv = [sys.executable, str(settings.BASE_DIR / "manage.py"), command, str(key)]
    # A session of its own: it goes on when the server is stopped, and answers no Ctrl-C.
    child = subprocess.Popen(argv, stdin=subprocess.DEVNULL, start_new_session=True)  # noqa: S603
    _children.append(child)
    return 1


def next_to_build() -> int | None:
    """One at a time: a build takes a processor, and the study goes on beside it."""
    if Release.objects.filter(state=State.BUILDING).exists():
        return None
    waiting = Release.objects.filter(state=State.QUEUED).order_by("pk")
    return waiting.values_list("pk", flat=True).first()


def next_to_push() -> int | None:
    now = timezone.now()
    waiting = Release.objects.filter(
        Q(push_state="waiting") | Q(push_state="pushing", push_heard_at__lt=now - 10 * SILENT),
        state=State.PUBLISHED,
    )
    return waiting.order_by("pk").values_list("pk", flat=True).first()


def take_up() -> None:
    """Queue again what died with its process; after some tries say so instead."""
    dead = Release.objects.filter(state=State.BUILDING, heard_at__lt=timezone.now() - SILENT)
    dead.filter(tries__gte=MOST_TRIES).update(
        state=State.FAILED,
        reason=_("The process that built it died, %d times. Is there enough memory?") % MOST_TRIES,
    )
    dead.update(state=State.QUEUED, builder="", progress=0, step="")


def sweep() -> None:
    """Remove archives that nobody is to have any more, and what dead builds left."""
    folder = Path(settings.RELEASES_DIR)
    gone = Release.objects.filter(state__in=(State.SUPERSEDED, State.WITHDRAWN))
    for release in gone.exclude(file_name=""):
        release.path.unlink(missing_ok=True)
        Release.objects.filter(pk=release.pk).update(file_name="")
    if not folder.is_dir():
        return
    building = Release.objects.filter(state=State.BUILDING).select_related("study")
    alive = {f"{WORKING}{row.pk}-{row.builder}" for row in building}
    whole = {*Release.objects.exclude(file_name="").values_list("file_name", flat=True)}
    whole |= {f"{row.name}.zip" for row in building}
    for path in folder.iterdir():
        if path.name.startswith(WORKING) and path.name not in alive:
            shutil.rmtree(path, ignore_errors=True)
        elif path.suffix == ".zip" and path.name not in whole:
            path.unlink(missing_ok=True)
