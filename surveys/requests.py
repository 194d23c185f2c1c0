"""Putting something into the outbox, and what a person can do about what lies there."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from django.db import transaction
from django.db.models import F
from django.utils import timezone
from django.utils.translation import gettext as _

from surveys.errors import DomainError
from surveys.models import Delivery, Recruitment, Submission

Kind = Delivery.Kind
State = Delivery.State


def ask(
    recruitment: Recruitment,
    kind: Kind,
    key: str,
    payload: Mapping[str, Any],
    by: str = "",
    submission: Submission | None = None,
) -> Delivery:
    """Put it into the outbox. The same key again changes nothing, unless it came to nothing."""
    delivery, is_new = Delivery.objects.get_or_create(
        key=key,
        defaults={
            "recruitment": recruitment,
            "submission": submission,
            "kind": kind,
            "payload": dict(payload),
            "asked_by": by,
            "next_try_at": timezone.now(),
        },
    )
    if not is_new and delivery.state in (State.REFUSED, State.CANCELLED):
        delivery.payload, delivery.asked_by = dict(payload), by
        delivery.state, delivery.next_try_at = State.DUE, timezone.now()
        delivery.last_error, delivery.result = "", {}
        delivery.save()
    return delivery


@transaction.atomic
def cancel(delivery: Delivery) -> None:
    """Before it is sent. A decision that nobody hears of is none."""
    done = Delivery.objects.filter(pk=delivery.pk, state=State.DUE).update(state=State.CANCELLED)
    if not done:
        raise DomainError("too_late", _("“%s” is on its way or done.") % delivery)
    decided = Submission.objects.filter(pk=delivery.submission_id or 0, decision=delivery.kind)
    decided.update(decision="", decided_by="", decided_at=None)


def try_again(delivery: Delivery) -> None:
    """Of what was refused, or waits. What a person has to look at is looked up once more."""
    again = {State.REFUSED: State.DUE, State.DUE: State.DUE, State.UNSURE: State.UNSURE}
    state = again.get(State(delivery.state))
    if state is None:
        raise DomainError("not_waiting", _("“%s” cannot be tried again.") % delivery)
    Delivery.objects.filter(pk=delivery.pk, state=delivery.state).update(
        state=state, next_try_at=timezone.now()
    )


def settle(delivery: Delivery, happened: bool) -> None:
    """A person looked at Prolific's own pages: it happened, or it is sent once more."""
    state = State.DONE if happened else State.DUE
    now = timezone.now()
    changed = Delivery.objects.filter(pk=delivery.pk, state=State.UNCLEAR).update(
        state=state, result={}, next_try_at=now, done_at=now if happened else None
    )
    if not changed:
        raise DomainError("not_unclear", _("“%s” is not in doubt.") % delivery)
    if happened and delivery.kind == Kind.BONUS and delivery.submission:
        add_bonus(delivery.submission, delivery.payload["amount"])


def add_bonus(submission: Submission, amount: int) -> None:
    rows = Submission.objects.filter(pk=submission.pk)
    rows.update(bonus_paid=F("bonus_paid") + amount)


def is_late(delivery: Delivery, now: datetime) -> bool:
    """Waiting for longer than a day."""
    return delivery.state in (State.DUE, State.UNSURE) and (now - delivery.created_at).days >= 1
