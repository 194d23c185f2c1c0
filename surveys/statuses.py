"""What a recruiter says has become of a submission or a study; older news never wins."""

from datetime import datetime
from functools import partial

from django.db import transaction

from surveys import quotas
from surveys.models import SETTLED, Participant, QuotaClaim, Recruitment, Submission

Status = Submission.Status
EARLY = (Status.ARRIVED, Status.RESERVED, Status.ACTIVE)
"""From which everything else follows: nothing that is settled goes back to them."""
ORDER = (*EARLY, Status.TIMED_OUT, Status.AWAITING_REVIEW, *SETTLED)
"""Of two pieces of news from the same second, the one further on is the later."""
GIVEN_UP = {
    Status.RETURNED: QuotaClaim.Why.RETURNED,
    Status.TIMED_OUT: QuotaClaim.Why.TIMEOUT,
}
"""Statuses that free a place in a quota, and what is said of it then."""
OVER = (*GIVEN_UP, Status.REJECTED, Status.SCREENED_OUT)
STATES = {
    "ACTIVE": Recruitment.State.LIVE,
    "PUBLISHING": Recruitment.State.LIVE,
    "SCHEDULED": Recruitment.State.LIVE,
    "PAUSED": Recruitment.State.PAUSED,
    "COMPLETED": Recruitment.State.CLOSED,
    "UNPUBLISHED": Recruitment.State.CREATED,
}
"""Prolific's status of a study -> ours. AWAITING REVIEW is full or stopped: ours stays."""


def status_of(word: str) -> Status:
    """Prolific writes "AWAITING REVIEW", "TIMED-OUT" and "SCREENED OUT"."""
    code = word.strip().lower().replace("-", "_").replace(" ", "_")
    return Status(code) if code in Status.values else Status.OTHER


@transaction.atomic
def learn(submission: Submission, word: str, at: datetime) -> bool:
    """Take over a status that was true at a time. False: it was known, or newer is known."""
    row = Submission.objects.select_for_update().get(pk=submission.pk)
    status = status_of(word)
    if not is_newer(row, status, at):
        return False
    before, row.status, row.status_at = row.status, status, at
    row.save(update_fields=["status", "status_at"])
    if row.participant_id is not None and Status.REJECTED in (before, status):
        follow_rejection(row, at)
    if status in GIVEN_UP:
        give_up_place(row, GIVEN_UP[status])
    return True


def is_newer(row: Submission, status: Status, at: datetime) -> bool:
    if row.status in SETTLED and status in EARLY:
        return False
    if row.status_at is None or at > row.status_at:
        return True
    return at == row.status_at and rank(status) > rank(Status(row.status))


def rank(status: Status) -> int:
    return ORDER.index(status) if status in ORDER else -1


def give_up_place(row: Submission, why: QuotaClaim.Why) -> None:
    """Unless another submission of the same person is alive: after a time-out many come again."""
    person = row.participant_id
    others = Submission.objects.filter(participant=person).exclude(pk=row.pk)
    if person is None or others.exclude(status__in=OVER).exists():
        return
    # Only then: who decides on a submission locks the person first.
    transaction.on_commit(partial(quotas.go_away, person, why))


def follow_rejection(row: Submission, at: datetime) -> None:
    """A rejected person is in no release, unless a submission of theirs was approved."""
    of_person = Submission.objects.filter(participant=row.participant_id)
    statuses = set(of_person.values_list("status", flat=True))
    is_rejected = Status.REJECTED in statuses and Status.APPROVED not in statuses
    people = Participant.objects.filter(submissions=row)
    people.filter(rejected_at__isnull=is_rejected).update(rejected_at=at if is_rejected else None)


@transaction.atomic
def follow_study(recruitment: Recruitment, word: str, at: datetime) -> bool:
    """The same for a study. Unknown words are kept and change nothing else."""
    row = Recruitment.objects.select_for_update().get(pk=recruitment.pk)
    if not word or (row.external_status_at is not None and at <= row.external_status_at):
        return False
    row.external_status, row.external_status_at = word, at
    row.state = STATES.get(word.upper().replace("_", " "), row.state)
    row.save(update_fields=["external_status", "external_status_at", "state"])
    return True
