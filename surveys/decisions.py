"""What becomes of a submission: approved, rejected, asked back, paid a bonus, written to."""

from collections.abc import Mapping
from typing import Any

from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from surveys import submissions
from surveys.errors import DomainError
from surveys.models import (
    SETTLED,
    Delivery,
    Invitation,
    Outcome,
    Recruitment,
    Study,
    Submission,
    WebhookEvent,
)
from surveys.recruiting import needs_prolific
from surveys.requests import ask
from surveys.texts import clean_text

Kind = Delivery.Kind
State = Delivery.State

LEAST_REASON = 100
"""Characters that Prolific wants of the reason for a rejection."""
MOST_BONUS = 100_00
"""Pence or cents; more is a slip of the finger."""
REJECTIONS = {
    "TOO_QUICKLY": gettext_lazy("exceptionally fast"),
    "TOO_SLOWLY": gettext_lazy("too slow"),
    "FAILED_INSTRUCTIONS": gettext_lazy("did not follow the instructions"),
    "FAILED_CHECK": gettext_lazy("failed fair attention checks"),
    "LOW_EFFORT": gettext_lazy("little effort"),
    "MALINGERING": gettext_lazy("pretended"),
    "NO_CODE": gettext_lazy("no completion code"),
    "BAD_CODE": gettext_lazy("a wrong completion code"),
    "NO_DATA": gettext_lazy("no data from this person"),
    "UNSUPP_DEVICE": gettext_lazy("a device that was excluded"),
    "OTHER": gettext_lazy("another reason"),
}
"""Prolific's categories."""


@transaction.atomic
def approve(submission: Submission, by: str = "") -> Delivery | None:
    return decide(submission, Submission.Decision.APPROVE, {"action": "APPROVE"}, by)


@transaction.atomic
def reject(submission: Submission, category: str, message: str, by: str = "") -> Delivery | None:
    """message: to the person, 100 characters at least."""
    message = clean_text(message, 5000)
    if category not in REJECTIONS:
        raise DomainError("category", _("Please choose one of Prolific's reasons."))
    if len(message) < LEAST_REASON:
        raise DomainError(
            "too_short",
            _("Prolific asks for %(least)d characters of explanation; these are %(found)d.")
            % {"least": LEAST_REASON, "found": len(message)},
        )
    body = {"action": "REJECT", "message": message, "rejection_category": category}
    return decide(submission, Submission.Decision.REJECT, body, by)


@transaction.atomic
def request_return(submission: Submission, reason: str, by: str = "") -> Delivery | None:
    reason = clean_text(reason, 500)
    if not reason:
        raise DomainError("missing", _("Please give a reason; the person reads it."))
    return decide(submission, Submission.Decision.RETURN, {"reason": reason}, by)


def decide(
    submission: Submission, decision: Submission.Decision, body: Mapping[str, Any], by: str
) -> Delivery | None:
    """Store the decision and have it told to Prolific; elsewhere it is only stored (None)."""
    rows = Submission.objects.select_for_update(of=("self",)).select_related("recruitment")
    row = rows.get(pk=submission.pk)
    if row.status in SETTLED:
        raise DomainError(
            "settled",
            _("%(row)s is %(status)s already.") % {"row": row, "status": row.get_status_display()},
        )
    if row.decision not in ("", decision, Submission.Decision.RETURN):
        take_back(row)
    row.decision, row.decided_by, row.decided_at = decision, by, timezone.now()
    row.save(update_fields=["decision", "decided_by", "decided_at"])
    if not row.recruitment.is_prolific:
        return None
    if not row.external_id:
        raise DomainError("no_id", _("%s has no number at Prolific.") % row)
    return ask(row.recruitment, Kind(decision), f"{decision}:{row.pk}", body, by, row)


def take_back(submission: Submission) -> None:
    """Of an earlier decision, if Prolific has not heard it."""
    earlier = submission.deliveries.filter(key=f"{submission.decision}:{submission.pk}")
    gone = earlier.exclude(state__in=[State.DUE, State.CANCELLED, State.REFUSED])
    if gone.exists():
        raise DomainError(
            "decided",
            _("%(row)s was decided otherwise, and Prolific may have heard it already.")
            % {"row": submission},
        )
    earlier.filter(state=State.DUE).update(state=State.CANCELLED)


def pay_bonus(submission: Submission, amount: int, key: str, by: str = "") -> Delivery:
    """amount: in pence or cents. key: of this one click; the same again pays nothing."""
    needs_prolific(submission.recruitment)
    if not 0 < amount <= MOST_BONUS:
        raise DomainError("amount", _("A bonus is more than nothing and 100.00 at most."))
    if not submission.external_id:
        raise DomainError("no_id", _("%s has no number at Prolific.") % submission)
    key = f"bonus:{submission.pk}:{key}"
    body = {"amount": amount}
    return ask(submission.recruitment, Kind.BONUS, key, body, by, submission)


def pay_for_part(submission: Submission, by: str = "") -> Delivery:
    """What the completion codes promise for how it ended, once."""
    code = submissions.code_for(submission.recruitment, *ended(submission))
    is_paid_there = submission.outcome in (Outcome.COMPLETE, Outcome.SCREENED_OUT)
    if code is None or not code.pay or is_paid_there:
        raise DomainError("nothing_due", _("For how %s ended no part is paid.") % submission)
    return pay_bonus(submission, code.pay, "part", by)


def ended(submission: Submission) -> tuple[Outcome, str]:
    if not submission.outcome:
        raise DomainError("not_ended", _("%s has not ended here.") % submission)
    return Outcome(submission.outcome), submission.stage


def message(submission: Submission, text: str, key: str, by: str = "") -> Delivery:
    needs_prolific(submission.recruitment)
    text = clean_text(text, 5000)
    if not text:
        raise DomainError("missing", _("The message is empty."))
    if not submission.person:
        raise DomainError("no_person", _("%s names nobody any more.") % submission)
    key = f"message:{submission.pk}:{key}"
    return ask(submission.recruitment, Kind.MESSAGE, key, {"body": text}, by, submission)


def purge(study: Study, **_signal: Any) -> tuple[str, int]:
    """On the day that a study's ids go: what recruiters call people, unless something is still to
    be told them; the chore comes again."""
    try:
        return "submission", forget_people(study)
    except DomainError:
        return "submission", 0


@transaction.atomic
def forget_people(study: Study) -> int:
    """Empty all that names people to recruiters and by mail. Returns how many were named.

    Raises DomainError while people are still recruited, or something has still to be sent.
    """
    recruiting = study.recruitments.filter(
        state__in=[Recruitment.State.LIVE, Recruitment.State.PAUSED]
    )
    if recruiting.exists():
        raise DomainError("recruiting", _("Stop all recruitments first."))
    mine = Delivery.objects.filter(recruitment__study=study, submission__isnull=False)
    if mine.exclude(state__in=[State.DONE, State.CANCELLED, State.REFUSED]).exists():
        raise DomainError(
            "outbox", _("Something is still to be sent to these people; see the outbox.")
        )
    rows = Submission.objects.filter(recruitment__study=study).exclude(external_id="", person="")
    WebhookEvent.objects.filter(resource_id__in=rows.values("external_id")).delete()
    number = rows.update(external_id="", person="")
    invited = Invitation.objects.filter(recruitment__study=study).exclude(label="", address="")
    return number + invited.update(label="", address="")
