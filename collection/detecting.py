"""Runs the detectors over a study's texts and keeps what they find.

Doing it again changes nothing: a text is gone over only by a detector that has not seen it, or saw
other words or was another version then. What is kept has no words of anybody.

A run that somebody asked for at the desk is a chore: it goes on where it stopped, batch by batch,
whoever does it next. An export needs no run: see `complete`.
"""

import json
import logging
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any, NamedTuple, TypeVar

from django.conf import settings
from django.db import transaction
from django.db.models import Count, F, Q, QuerySet, TextField
from django.db.models.functions import Cast
from django.utils import timezone
from django.utils.translation import gettext as _

from collection import written
from collection.counted import Counted
from collection.detectors import (
    Detector,
    Refused,
    Result,
    Unavailable,
    detector_of,
    detectors_of,
    local_detectors_of,
)
from collection.models import Detection, DetectionRun
from collection.written import Written
from surveys.errors import DomainError
from surveys.models import Participant, Study

log = logging.getLogger("refract.detecting")

State = DetectionRun.State
T = TypeVar("T")

WORK_S = 30.0
"""Of one round of the chore: Celery ends a task at 60."""
LEASE = timedelta(minutes=3)
"""Longer than a batch may take: a call has 30 s, and then waits for its pace."""
FIRST_WAIT = timedelta(seconds=15)
MOST_FAILURES = 8
"""In a row, with the wait doubled after each: half an hour. Then somebody has to look."""


class Found(NamedTuple):
    """What is known of one text by one detector. found_at: None where nobody asked for times."""

    version: str
    digest: str
    result: Result
    found_at: datetime | None = None


Known = dict[int, dict[str, Found]]
"""Row -> name of a detector -> what it found."""


def known(
    kind: str, rows: "Iterable[int] | QuerySet[Any, Any]", *, with_times: bool = False
) -> Known:
    """What is kept of some texts of a kind. rows: their keys, or a query for them.

    Results are read as they are stored: of 100,000 texts most say one of a few hundred things, and
    to parse each of them, and each time, was half of what an export of metadata took.
    """
    found: Known = defaultdict(dict)
    keys: Any = rows.order_by().values("pk") if isinstance(rows, QuerySet) else list(rows)
    kept = Detection.objects.filter(kind=kind, row__in=keys)
    times = ("found_at",) if with_times else ()
    for row, detector, version, digest, said, *at in kept.values_list(
        *("row", "detector", "version", "digest", Cast("result", TextField())), *times
    ):
        found[row][detector] = Found(version, digest, parsed(said), *at)
    return found


@lru_cache(maxsize=10_000)
def parsed(stored: str | None) -> Result:
    """A result from its JSON. Shared: not to be changed."""
    return None if stored is None else json.loads(stored)


def lacking(detector: Detector, texts: Iterable[Written], kept: Known) -> list[Written]:
    """Those that a detector has not seen as they are, or not in its version of today."""
    return [text for text in texts if not is_current(detector, text, kept)]


def is_current(detector: Detector, text: Written, kept: Known) -> bool:
    found = kept.get(text.row, {}).get(detector.name)
    return found is not None and (found.version, found.digest) == (detector.version, text.digest)


def detect(detector: Detector, texts: Sequence[Written]) -> list[tuple[Written, Result]]:
    """What a detector says now of some texts. Raises Unavailable, Refused."""
    results = detector.detect([text.text for text in texts])
    return list(zip(texts, results, strict=True))


@transaction.atomic
def keep(detector: Detector, found: Iterable[tuple[Written, Result]]) -> None:
    """Of people who withdrew meanwhile nothing is kept: who withdraws now waits at their row."""
    pairs = list(found)
    people = {text.participant for text, _result in pairs}
    here = Participant.objects.filter(pk__in=people, withdrawn_at__isnull=True).order_by("pk")
    present = set(here.select_for_update(of=("self",)).values_list("pk", flat=True))
    now = timezone.now()
    Detection.objects.bulk_create(
        [
            Detection(
                participant_id=text.participant,
                kind=text.kind,
                row=text.row,
                detector=detector.name,
                version=detector.version,
                digest=text.digest,
                result=result,
                found_at=now,
            )
            for text, result in pairs
            if text.participant in present
        ],
        update_conflicts=True,
        unique_fields=["kind", "row", "detector"],
        update_fields=["version", "digest", "result", "found_at"],
    )


# Before an export


def complete(study: Study) -> int:
    """Let every local detector see what it has not seen; how many texts that were.

    Cheap where nothing is missing: two counts say so. Should they agree though a text has changed,
    the export itself looks at that text.
    """
    done = 0
    texts = sum(written.count(study).values())
    for detector in local_detectors_of(study):
        if seen(study, detector) < texts:
            done += sum(go_over(detector, batch) for batch in written.texts(study))
    return done


def go_over(detector: Detector, batch: Sequence[Written]) -> int:
    missing = lacking(detector, batch, known_of(batch))
    for part in parts_of(missing, detector.at_once):
        try:
            keep(detector, detect(detector, part))
        except (Unavailable, Refused) as error:
            # The release says null for these, and why is in the log: no reason to have none.
            log.warning("%s did not run: %s", detector.name, error)
            return 0
    return len(missing)


def seen(study: Study, detector: Detector) -> int:
    """How many texts have been seen in the version of today."""
    found = Detection.objects.filter(
        participant__in=written.people(study), detector=detector.name, version=detector.version
    )
    return found.count()


def known_of(batch: Sequence[Written]) -> Known:
    return known(batch[0].kind, [text.row for text in batch]) if batch else {}


def parts_of(texts: Sequence[T], size: int) -> Iterator[Sequence[T]]:
    for start in range(0, len(texts), size):
        yield texts[start : start + size]


# Runs


def ask(study: Study, name: str, by: str) -> DetectionRun:
    """Have a detector go over all texts, or go on if it stopped. One that is under way stays so.

    Raises DomainError if there is no such detector.
    """
    if detector_of(study, name) is None:
        raise DomainError("no_detector", _("There is no such detector any more."))
    now = timezone.now()
    run, is_new = DetectionRun.objects.get_or_create(
        study=study,
        detector=name,
        defaults={"asked_at": now, "asked_by": by, "next_try_at": now},
    )
    if is_new:
        return run
    stopped = DetectionRun.objects.filter(pk=run.pk, state=State.STOPPED)
    stopped.update(state=State.ASKED, failures=0, next_try_at=now, asked_at=now, asked_by=by)
    done = DetectionRun.objects.filter(pk=run.pk, state=State.DONE)
    done.update(
        state=State.ASKED,
        asked_at=now,
        asked_by=by,
        next_try_at=now,
        kind="",
        row=0,
        skipped=0,
        failures=0,
        words="",
        ended_at=None,
    )
    run.refresh_from_db()
    return run


def stop(study: Study, name: str) -> None:
    """It may be asked to go on from there."""
    rows = DetectionRun.objects.filter(study=study, detector=name, state=State.ASKED)
    rows.update(state=State.STOPPED, words=_("Stopped by hand."))


def work() -> int:
    """The chore: go on with whatever was asked for, for a while; how many texts were gone over."""
    ends_at = time.monotonic() + WORK_S
    done = 0
    while (left := ends_at - time.monotonic()) > 0 and (run := claim()):
        done += go_on(run, left)
    return done


def claim() -> DetectionRun | None:
    """A run that nobody works on, taken."""
    now = timezone.now()
    free = Q(lease_until__isnull=True) | Q(lease_until__lt=now)
    due = DetectionRun.objects.filter(free, state=State.ASKED, next_try_at__lte=now)
    for pk in due.order_by("next_try_at", "pk").values_list("pk", flat=True):
        if due.filter(pk=pk).update(lease_until=now + LEASE):
            return DetectionRun.objects.select_related("study").get(pk=pk)
    return None


def go_on(run: DetectionRun, for_s: float) -> int:
    detector = detector_of(run.study, run.detector)
    if detector is None:
        end(run, State.STOPPED, words=_("There is no such detector any more."))
        return 0
    ends_at, done = time.monotonic() + for_s, 0
    try:
        for batch in written.texts(run.study, run.kind, run.row):
            for part in parts_of(batch, detector.at_once):
                began = time.monotonic()
                done += go_over_part(run, detector, part)
                if not is_ours(run, part[-1]):
                    return done
                give_way(began)
                if time.monotonic() >= ends_at:
                    release(run)
                    return done
    except Unavailable as error:
        put_off(run, error)
        return done
    end(run, State.DONE)
    return done


def go_over_part(run: DetectionRun, detector: Detector, part: Sequence[Written]) -> int:
    missing = lacking(detector, part, known_of(part))
    if not missing:
        return 0
    try:
        keep(detector, detect(detector, missing))
    except Refused as error:
        one_by_one(run, detector, missing, error)
    return len(missing)


def one_by_one(
    run: DetectionRun, detector: Detector, texts: Sequence[Written], error: Refused
) -> None:
    """Texts that were refused together: each that is refused alone is left out, and counted."""
    for text in texts:
        try:
            if len(texts) == 1:
                raise error
            keep(detector, detect(detector, [text]))
        except Refused as refused:
            rows = DetectionRun.objects.filter(pk=run.pk)
            rows.update(skipped=F("skipped") + 1, words=str(refused))


def is_ours(run: DetectionRun, last: Written) -> bool:
    """Note how far it has come; False if somebody stopped it."""
    rows = DetectionRun.objects.filter(pk=run.pk, state=State.ASKED)
    place = {"kind": last.kind, "row": last.row, "failures": 0}
    return bool(rows.update(**place, lease_until=timezone.now() + LEASE))


def give_way(began: float) -> None:
    """Embedded, this process also serves participants: half of its time is theirs."""
    if settings.EMBEDDED:
        time.sleep(time.monotonic() - began)


def release(run: DetectionRun) -> None:
    DetectionRun.objects.filter(pk=run.pk).update(lease_until=None)


def put_off(run: DetectionRun, error: Unavailable) -> None:
    """Try again later, or stop if that won't help."""
    run.refresh_from_db()
    failures = run.failures + 1
    if error.is_final or failures >= MOST_FAILURES:
        end(run, State.STOPPED, words=str(error))
        return
    wait = FIRST_WAIT * 2 ** (failures - 1)
    if error.again_in_s is not None:
        wait = max(wait, timedelta(seconds=error.again_in_s))
    DetectionRun.objects.filter(pk=run.pk).update(
        failures=failures,
        words=str(error),
        lease_until=None,
        next_try_at=timezone.now() + wait,
    )


def end(run: DetectionRun, state: str, **fields: Any) -> None:
    now = timezone.now()
    rows = DetectionRun.objects.filter(pk=run.pk, state=State.ASKED)
    rows.update(state=state, ended_at=now, lease_until=None, **fields)


# For the desk


@dataclass(frozen=True)
class Coverage:
    """How far a detector has come. by_kind: kind -> (texts seen, texts there are)."""

    detector: Detector
    by_kind: dict[str, tuple[int, int]]
    run: DetectionRun | None

    @property
    def seen(self) -> int:
        return sum(seen for seen, _all in self.by_kind.values())

    @property
    def all(self) -> int:
        return sum(number for _seen, number in self.by_kind.values())

    @property
    def is_complete(self) -> bool:
        return self.seen >= self.all


class Counts(NamedTuple):
    """texts: kind -> how many there are; seen: (detector, version, kind) -> how many it saw."""

    texts: dict[str, int]
    seen: dict[tuple[str, str, str], int]


def count(study: Study) -> Counts:
    rows = (
        Detection.objects.filter(participant__in=written.people(study))
        .values_list("detector", "version", "kind")
        .annotate(number=Count("pk"))
        .order_by()
    )
    seen = {(name, version, kind): number for name, version, kind, number in rows}
    return Counts(written.count(study), seen)


COUNTS = Counted("detectors", lambda pk: count(Study.objects.get(pk=pk)))


def coverage(study: Study, counts: Counts) -> list[Coverage]:
    """Of each detector of the study, by what is kept in its version of today."""
    runs = {run.detector: run for run in DetectionRun.objects.filter(study=study)}
    return [
        Coverage(
            one,
            {
                kind: (min(number, counts.seen.get((one.name, one.version, kind), 0)), number)
                for kind, number in counts.texts.items()
            },
            runs.get(one.name),
        )
        for one in detectors_of(study)
    ]
