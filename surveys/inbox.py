"""What Prolific tells us: webhooks as they come, and all submissions every so often.

Webhooks are a hurry-up only: whatever gets lost is read within minutes.
"""

import json
import logging
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from django.conf import settings
from django.db import IntegrityError, transaction
from django.db.models import Q
from django.utils import timezone
from django.utils.dateparse import parse_datetime
from django.utils.translation import gettext as _

from surveys.errors import DomainError
from surveys.models import (
    SETTLED,
    Identity,
    Outcome,
    Recruitment,
    Submission,
    WebhookEvent,
)
from surveys.outbox import Clock
from surveys.prolific import (
    Limited,
    NotConnected,
    Prolific,
    ProlificError,
    Refused,
    Unreachable,
    is_genuine,
    named,
)
from surveys.statuses import follow_study, learn, status_of

log = logging.getLogger("refract.recruiting")
Json = dict[str, Any]
State = WebhookEvent.State
Status = Submission.Status

EVERY = timedelta(minutes=5)
AFTER_CLOSING = timedelta(hours=6)
AFTER_AN_ERROR = timedelta(minutes=2)
AHEAD = timedelta(minutes=5)
"""How far a sender's clock may be ahead of ours."""
EVENTS_AT_ONCE = 100
SUBMISSION_CHANGED = "submission.status.change"
STUDY_CHANGED = "study.status.change"
EVENT_TYPES = (SUBMISSION_CHANGED, STUDY_CHANGED)

# Webhooks


def take(headers: Mapping[str, str], body: bytes, now: datetime) -> WebhookEvent.State:
    """One delivery of an event. Raises DomainError if it is not Prolific's, or says nothing.

    The signature covers the time of sending and the body. A copy sent again later, or with other
    headers, is harmless: an event counts as no later than what was signed, and never wins over
    what is newer.
    """
    sent = headers.get("X-Prolific-Request-Timestamp", "")
    claimed = headers.get("X-Prolific-Request-Signature", "")
    if not is_genuine(settings.PROLIFIC_WEBHOOK_SECRET, sent, body, claimed):
        raise DomainError("forged", _("The signature does not fit."))
    at = min(moment(sent), moment(headers.get("X-Timestamp") or sent))
    if at > now + AHEAD:
        raise DomainError("future", _("The event has not happened yet."))
    event = read_event(body)
    event.event_id = headers.get("X-Event-ID", "")[:200] or f"unnamed {claimed}"[:200]
    event.happened_at = at
    return keep_event(event)


def moment(timestamp: str) -> datetime:
    """Seconds since 1970; Prolific's examples have milliseconds here and there."""
    try:
        seconds = float(timestamp)
        return datetime.fromtimestamp(seconds / 1000 if seconds > 1e11 else seconds, UTC)
    except (ValueError, OverflowError, OSError) as error:
        raise DomainError("time", _("The event has no time.")) from error


def read_event(body: bytes) -> WebhookEvent:
    try:
        found = json.loads(body)
        return WebhookEvent(
            event_type=str(found["event_type"])[:60],
            resource_id=str(found["resource_id"])[:100],
            status=str(found.get("status") or "")[:40],
        )
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise DomainError("unreadable", _("The event cannot be read.")) from error


def keep_event(event: WebhookEvent) -> WebhookEvent.State:
    """Its effect and its row in one transaction: what comes twice finds the row."""
    try:
        with transaction.atomic():
            event.state = State.IGNORED
            event.save()
            event.state = apply(event)
            event.save(update_fields=["state"])
    except IntegrityError:
        return State(WebhookEvent.objects.get(event_id=event.event_id).state)
    return State(event.state)


def apply(event: WebhookEvent) -> WebhookEvent.State:
    if event.event_type == SUBMISSION_CHANGED and event.status:
        row = Submission.objects.filter(
            external_id=event.resource_id, recruitment__kind=Recruitment.Kind.PROLIFIC
        ).first()
        if row is None:
            return State.WAITING
        return State.APPLIED if learn(row, event.status, event.happened_at) else State.OLDER
    if event.event_type == STUDY_CHANGED and event.status:
        study = Recruitment.objects.filter(external_id=event.resource_id).first()
        if study:
            is_new = follow_study(study, event.status, event.happened_at)
            return State.APPLIED if is_new else State.OLDER
    return State.IGNORED


def settle_waiting(prolific: Prolific) -> int:
    """Ask Prolific about submissions that a webhook told of before we met them."""
    events = WebhookEvent.objects.filter(state=State.WAITING).order_by("happened_at")
    for event in events[:EVENTS_AT_ONCE]:
        event.state = settle_event(prolific, event)
        event.save(update_fields=["state"])
    return len(events)


def settle_event(prolific: Prolific, event: WebhookEvent) -> WebhookEvent.State:
    if not Submission.objects.filter(external_id=event.resource_id).exists():
        try:
            found = prolific.submission(event.resource_id)
        except Refused:
            return State.IGNORED
        recruitment = Recruitment.objects.filter(external_id=str(found.get("study_id"))).first()
        if recruitment is None or keep(recruitment, found, event.happened_at) is None:
            return State.IGNORED
    state = apply(event)
    return State.IGNORED if state == State.WAITING else state


# Reading


def read_due(clock: Clock = timezone.now, connect: Callable[[], Prolific] = Prolific) -> int:
    """Returns how many recruitments were read."""
    rows = list(due(clock()))
    if not rows and not WebhookEvent.objects.filter(state=State.WAITING).exists():
        return 0
    try:
        with connect() as prolific:
            settle_waiting(prolific)
            return sum(read_or_note(prolific, row, clock) for row in rows)
    except NotConnected as error:
        mark(rows, error.message, clock() + EVERY)
    except ProlificError as error:  # down, or asked to slow down: nobody else fares better
        wait = timedelta(seconds=getattr(error, "retry_after_s", None) or 0)
        mark(rows, error.message, clock() + max(AFTER_AN_ERROR, wait))
    return 0


def due(now: datetime) -> Any:
    """Recruiting ones, and closed ones as long as something there is not settled."""
    unsettled = Submission.objects.exclude(status__in=SETTLED).exclude(external_id="")
    is_open = Q(state__in=[Recruitment.State.LIVE, Recruitment.State.PAUSED])
    is_left = Q(state=Recruitment.State.CLOSED, pk__in=unsettled.values("recruitment"))
    at_prolific = Recruitment.objects.filter(kind=Recruitment.Kind.PROLIFIC).exclude(external_id="")
    is_due = Q(read_due_at=None) | Q(read_due_at__lte=now)
    return at_prolific.filter(is_open | is_left).filter(is_due).order_by("read_at", "pk")


def mark(rows: list[Recruitment], error: str, until: datetime) -> None:
    found = Recruitment.objects.filter(pk__in=[row.pk for row in rows])
    found.update(read_error=error[:500], read_due_at=until)


def read_or_note(prolific: Prolific, recruitment: Recruitment, clock: Clock) -> bool:
    try:
        read(prolific, recruitment, clock)
    except (Limited, Unreachable, NotConnected):
        raise
    except ProlificError as error:
        mark([recruitment], error.message, clock() + AFTER_AN_ERROR)
        return False
    return True


def read(prolific: Prolific, recruitment: Recruitment, clock: Clock) -> None:
    """Its state and all its submissions. What they say was true when they were asked for."""
    asked = clock()
    study = prolific.study(recruitment.external_id)
    follow_study(recruitment, str(study.get("status", "")), asked)
    for row in prolific.submissions(recruitment.external_id):
        keep(recruitment, row, asked)
    is_over = Recruitment.objects.get(pk=recruitment.pk).state == Recruitment.State.CLOSED
    Recruitment.objects.filter(pk=recruitment.pk).update(
        read_at=asked, read_error="", read_due_at=asked + (AFTER_CLOSING if is_over else EVERY)
    )


def keep(recruitment: Recruitment, found: Json, asked: datetime) -> Submission | None:
    """A submission as Prolific has it. None: somebody we never met, of whom nothing is kept."""
    external_id = str(named(found, "id"))[:100]
    status = status_of(str(found.get("status", "")))
    code = str(found.get("study_code") or found.get("entered_code") or "")[:50]
    row = recruitment.submissions.filter(external_id=external_id).first()
    if row is None:
        if status == Status.RETURNED or is_without_consent(recruitment, code):
            return None
        row, _is_new = Submission.objects.get_or_create(
            recruitment=recruitment, external_id=external_id
        )
    fill(row, found, code)
    learn(row, str(found.get("status", "")), asked)
    return row


def is_without_consent(recruitment: Recruitment, code: str) -> bool:
    codes = recruitment.codes.filter(outcome=Outcome.NO_CONSENT, code=code)
    return bool(code) and codes.exists()


def fill(row: Submission, found: Json, code: str) -> None:
    """What only Prolific knows, and who it is, if they have not come here yet."""
    person = str(found.get("participant_id") or found.get("participant") or "")[:200]
    if not row.person:
        row.person = person
    if row.participant_id is None and row.person:
        identity = Identity.objects.filter(
            study=row.recruitment.study_id, external_id=row.person
        ).first()
        row.participant = identity.participant if identity else None
    row.code = code or row.code
    row.started_at = time_of(found, "started_at") or row.started_at
    row.completed_at = time_of(found, "completed_at") or row.completed_at
    row.return_requested_at = time_of(found, "return_requested") or row.return_requested_at
    if (paid := found.get("bonus_payments")) is not None:
        row.bonus_paid = max(row.bonus_paid, round(sum(paid)))
    changed = ["person", "participant", "code", "started_at", "completed_at"]
    row.save(update_fields=[*changed, "return_requested_at", "bonus_paid"])


def time_of(found: Json, name: str) -> datetime | None:
    try:
        at = parse_datetime(str(found.get(name) or ""))
    except ValueError:
        return None
    return at.replace(tzinfo=UTC) if at and at.tzinfo is None else at
