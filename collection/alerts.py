"""What needs a researcher's attention: told once, by mail or to a webhook, until it is over."""

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.core.mail import send_mail
from django.db import IntegrityError, transaction
from django.db.models import Count, Q
from django.utils import timezone
from django.utils.translation import gettext as _

from collection import budget
from collection.models import Alert, ModelCall
from collection.watching import FAILED, last_sign_of_life
from surveys.models import OPEN_STATES, Study

log = logging.getLogger("refract.alerts")

Kind = Alert.Kind

STALLED_AFTER = timedelta(hours=2)
BUDGET_SHARE = 80
"""Percent."""
ERRORS_WITHIN = timedelta(minutes=15)
ERROR_SHARE = 10
"""Percent of calls …"""
ENOUGH_CALLS = 20
"""… if there were so many."""
OVER_AFTER = timedelta(minutes=15)
"""A model that rests, is tried and rests again is one alert, not many."""
POST_LIMIT_S = 5.0


@dataclass(frozen=True)
class Trouble:
    study: Study
    kind: str
    words: str
    subject: str = ""


def look() -> int:
    """Tell what is new, and close what is over; how many were new."""
    now = timezone.now()
    found = [
        one for study in Study.objects.filter(state__in=OPEN_STATES) for one in troubles(study, now)
    ]
    new = sum(note(one, now) for one in found)
    Alert.objects.filter(over_at__isnull=True, seen_at__lt=now - OVER_AFTER).update(over_at=now)
    for alert in Alert.objects.filter(over_at__isnull=True).select_related("study"):
        tell(alert)
    return new


def troubles(study: Study, now: datetime) -> Iterator[Trouble]:
    yield from stalled(study, now)
    yield from resting(study, now)
    yield from costly(study)
    yield from failing(study, now)


def stalled(study: Study, now: datetime) -> Iterator[Trouble]:
    """Pilots stand still most of the time."""
    last = last_sign_of_life(study) if study.state == Study.State.LIVE else None
    if last and last < now - STALLED_AFTER:
        words = _("Nobody has come or gone on since %s UTC.") % f"{last:%Y-%m-%d %H:%M}"
        yield Trouble(study, Kind.STALLED, words)


def resting(study: Study, now: datetime) -> Iterator[Trouble]:
    for endpoint in study.endpoints.filter(is_active=True, resting_until__gt=now):
        words = _("%(model)s is not asked at the moment: %(reason)s") % {
            "model": endpoint,
            "reason": endpoint.rest_reason,
        }
        yield Trouble(study, Kind.RESTING, words, endpoint.long_name)


def costly(study: Study) -> Iterator[Trouble]:
    money = budget.standing(study)
    if money and money.budget > 0 and money.spent * 100 >= money.budget * BUDGET_SHARE:
        words = _("%(spent).2f of %(budget).2f US dollars are spent.") % {
            "spent": money.spent,
            "budget": money.budget,
        }
        yield Trouble(study, Kind.BUDGET, words)


def failing(study: Study, now: datetime) -> Iterator[Trouble]:
    recent = ModelCall.objects.filter(
        ended_at__gte=now - ERRORS_WITHIN,
        attempt__interaction__conversation__participant__study=study,
    ).aggregate(calls=Count("pk"), failed=Count("pk", filter=Q(outcome__in=FAILED)))
    calls, failed = recent["calls"], recent["failed"]
    if calls >= ENOUGH_CALLS and failed * 100 >= calls * ERROR_SHARE:
        words = _("%(failed)d of the last %(calls)d calls of models failed.") % recent
        yield Trouble(study, Kind.ERRORS, words)


def note(one: Trouble, now: datetime) -> bool:
    """Whether it is new. Two who look at once note it once."""
    same = Alert.objects.filter(
        study=one.study, kind=one.kind, subject=one.subject, over_at__isnull=True
    )
    if same.update(seen_at=now, words=one.words):
        return False
    try:
        with transaction.atomic():
            Alert.objects.create(
                study=one.study,
                kind=one.kind,
                subject=one.subject,
                words=one.words,
                began_at=now,
                seen_at=now,
            )
    except IntegrityError:
        return False
    return True


def tell(alert: Alert) -> None:
    """By each way that is set; what fails is tried again the next time round."""
    if alert.mailed_at is None and settings.ALERT_EMAILS:
        _once(alert, "mailed_at", mail)
    if alert.posted_at is None and settings.ALERT_WEBHOOK:
        _once(alert, "posted_at", post)


def _once(alert: Alert, field: str, send: Any) -> None:
    """Claimed before it is sent, so that of two who look at once only one sends it."""
    mine = Alert.objects.filter(pk=alert.pk, **{f"{field}__isnull": True})
    if not mine.update(**{field: timezone.now()}):
        return
    try:
        send(alert)
    except OSError as error:  # an SMTP error is one too
        log.warning("an alert could not be sent and will be tried again: %s", type(error).__name__)
        Alert.objects.filter(pk=alert.pk).update(**{field: None})


def mail(alert: Alert) -> None:
    subject = f"[Refract] {alert.get_kind_display()}: {alert.study.title}".replace("\n", " ")
    send_mail(subject, alert.words, None, settings.ALERT_EMAILS)


def post(alert: Alert) -> None:
    """Raises OSError if it did not arrive."""
    body = {
        "study": alert.study.slug,
        "kind": alert.kind,
        "subject": alert.subject,
        "text": f"{alert.study.title}: {alert.words}",
        "began_at": alert.began_at.isoformat(),
    }
    # Here, for it is heavy and most processes never post.
    import httpx

    try:
        answer = httpx.post(settings.ALERT_WEBHOOK, json=body, timeout=POST_LIMIT_S)
        answer.raise_for_status()
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise OSError(str(type(error).__name__)) from error
