"""Runs the quality checks and keeps what they find. Running them again changes nothing, unless
a check has a new version or a submission, or those it is compared with, have changed."""

from collections.abc import Collection, Iterable, Iterator
from typing import Any

from django.core.cache import cache
from django.db import transaction
from django.db.models import Count, Exists, OuterRef, Q, QuerySet

from collection.models import QualityRun, Review
from collection.quality import CHECKS, Check, Finding
from collection.submissions import Cohort, Submission, cohort, loaded, submitted
from surveys.models import Participant, Study

AT_ONCE = 50
"""Submissions in memory, with all that people and models wrote."""

NOBODY = Cohort({}, {}, {}, {})
"""For checks that compare with nobody."""

Found = dict[tuple[int, str], Finding]
"""By participant and check."""


def check_new() -> int:
    """Check what was handed in and has not been checked, or by earlier versions; how many.

    And all of the studies for which `ask_again` was called.
    """
    people = Participant.objects.filter(
        completed_at__isnull=False, withdrawn_at__isnull=True, study__is_imported=False
    )
    new = set(unchecked(people).order_by().values_list("study", flat=True).distinct())
    asked = {pk for pk in Study.objects.values_list("pk", flat=True) if cache.get(asked_key(pk))}
    done = 0
    for study in Study.objects.filter(pk__in=new | asked):
        done += check_study(study, again=study.pk in asked)
        cache.delete(asked_key(study.pk))
    return done


def ask_again(study: Study) -> None:
    """Let the chore check all of a study's submissions again."""
    cache.set(asked_key(study.pk), True, timeout=None)


def asked_key(study: int) -> str:
    return f"quality/again/{study}"


def unchecked(people: QuerySet[Participant]) -> QuerySet[Participant]:
    """Who lacks a run of any check's version of today."""
    return people.exclude(pk__in=checked(people))


def checked(people: QuerySet[Participant]) -> QuerySet[Any, Any]:
    """Keys of those at whom every check looked in its version of today."""
    versions = Q()
    for check in CHECKS.values():
        versions |= Q(check_name=check.name, version=check.version)
    runs = QualityRun.objects.filter(
        versions, participant__in=people.order_by().values("pk"), is_current=True
    )
    counted = runs.order_by().values("participant").annotate(number=Count("pk"))
    return counted.filter(number__gte=len(CHECKS)).values("participant")


def check_study(study: Study, *, again: bool = False) -> int:
    """Check newcomers, or everybody again, and compare all that await review; how many were new."""
    people = submitted(study)
    due = list((people if again else unchecked(people)).order_by("pk").values_list("pk", flat=True))
    alone = [check for check in CHECKS.values() if not check.compares]
    for some in in_parts(due):
        keep(run(loaded(some), alone, NOBODY))
    if not due:
        return 0
    compared = [check for check in CHECKS.values() if check.compares]
    undecided = people.exclude(Exists(Review.objects.filter(participant=OuterRef("pk"))))
    everyone = sorted({*due, *undecided.values_list("pk", flat=True)})
    with_all = cohort(study)
    for some in in_parts(everyone, 10 * AT_ONCE):
        keep(run([Submission(Participant(pk=pk)) for pk in some], compared, with_all))
    return len(due)


def in_parts(keys: list[int], size: int = AT_ONCE) -> Iterator[list[int]]:
    for start in range(0, len(keys), size):
        yield keys[start : start + size]


def run(submissions: Iterable[Submission], checks: Collection[Check], everyone: Cohort) -> Found:
    return {
        (one.participant.pk, check.name): check.do(one, everyone)
        for one in submissions
        for check in checks
    }


@transaction.atomic
def keep(found: Found) -> None:
    """Store what differs from what is there; what it replaces stays, no longer current.

    Two at once queue at the locks on the participants, and the second finds nothing to change.
    """
    people = sorted({pk for pk, _check in found})
    rows = Participant.objects.select_for_update().filter(pk__in=people, withdrawn_at__isnull=True)
    present = set(rows.order_by("pk").values_list("pk", flat=True))
    current = {
        (row.participant_id, row.check_name): row
        for row in QualityRun.objects.filter(participant__in=people, is_current=True)
    }
    new: list[QualityRun] = []
    old: list[int] = []
    for key, finding in found.items():
        before = current.get(key)
        if key[0] not in present or (before and is_same(before, finding)):
            continue
        new.append(as_row(*key, finding))
        if before:
            old.append(before.pk)
    QualityRun.objects.filter(pk__in=old).update(is_current=False)
    QualityRun.objects.bulk_create(new)


def is_same(row: QualityRun, finding: Finding) -> bool:
    check = CHECKS[row.check_name]
    found = (check.version, finding.severity, finding.value)
    # A study's median moves with every newcomer: that alone is nothing new about a person.
    has_changed = not check.compares and row.evidence != finding.evidence
    return (row.version, row.severity, row.value) == found and not has_changed


def as_row(participant: int, name: str, finding: Finding) -> QualityRun:
    return QualityRun(
        participant_id=participant,
        check_name=name,
        version=CHECKS[name].version,
        severity=finding.severity,
        value=finding.value,
        evidence=finding.evidence,
    )
