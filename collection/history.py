"""How an endpoint has done: its calls by day, its latency, failures, spend, draws and wins."""

from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from statistics import median, quantiles
from typing import Any

from django.db.models import Avg, Count, Q, Sum
from django.db.models.functions import TruncDate
from django.utils import timezone

from collection.models import (
    EndpointTest,
    EndpointVersion,
    Interaction,
    ModelCall,
    ModelEndpoint,
    Utterance,
)

DAYS = 14
LAST_CALLS = 500
"""Of which median and 95th percentile are taken."""
LAST_FEW = 8
FAILED = (ModelCall.Outcome.TIMEOUT, ModelCall.Outcome.ERROR, ModelCall.Outcome.EMPTY)


@dataclass(frozen=True)
class Day:
    day: date
    calls: int
    failed: int
    latency_ms: float | None
    """Mean of the calls that did not fail."""

    @property
    def failed_percent(self) -> int:
        return round(100 * self.failed / self.calls)


@dataclass(frozen=True)
class History:
    days: list[Day]
    median_ms: int | None
    p95_ms: int | None
    spent_by_study: list[tuple[str, Decimal]]
    shown: int
    """Replies to opening prompts that were rated …"""
    won: int
    """… and those that were chosen among the others of their turn."""
    openings: int
    """Opening turns that were rated, with whatever models."""
    failures: list[ModelCall]
    tests: list[EndpointTest]
    versions: list[EndpointVersion]

    @property
    def spent(self) -> Decimal:
        return sum((cost for _study, cost in self.spent_by_study), Decimal(0))

    @property
    def won_percent(self) -> float:
        """Of the turns in which it was shown."""
        return 100 * self.won / self.shown if self.shown else 0.0

    @property
    def share_of_wins(self) -> float:
        """Of all wins, in percent."""
        return 100 * self.won / self.openings if self.openings else 0.0


def of(endpoint: ModelEndpoint) -> History:
    """Eight queries, whatever the size."""
    calls = ModelCall.objects.filter(endpoint=endpoint, ended_at__isnull=False).order_by()
    latencies = last_latencies(calls)
    shown, won, openings = draws_and_wins(endpoint)
    failed = calls.filter(outcome__in=FAILED).order_by("-ended_at")
    return History(
        by_day(calls),
        round(median(latencies)) if latencies else None,
        round(quantiles(latencies, n=20)[-1]) if len(latencies) > 1 else None,
        spent_by_study(calls),
        shown,
        won,
        openings,
        list(failed.defer("messages", "parameters", "text")[:LAST_FEW]),
        list(endpoint.tests.all()[:LAST_FEW]),
        list(endpoint.versions.order_by("-number")[:LAST_FEW]),
    )


def by_day(calls: Any) -> list[Day]:
    since = timezone.now() - timedelta(days=DAYS)
    failed = Q(outcome__in=FAILED)
    rows = (
        calls.filter(ended_at__gte=since)
        .annotate(day=TruncDate("ended_at"))
        .values("day")
        .annotate(
            calls=Count("pk"),
            failed=Count("pk", filter=failed),
            latency_ms=Avg("latency_ms", filter=~failed),
        )
        .order_by("-day")
    )
    return [Day(**row) for row in rows]


def last_latencies(calls: Any) -> list[int]:
    answered = calls.exclude(outcome__in=FAILED).exclude(latency_ms=None).order_by("-ended_at")
    return list(answered.values_list("latency_ms", flat=True)[:LAST_CALLS])


def spent_by_study(calls: Any) -> list[tuple[str, Decimal]]:
    study = "attempt__interaction__conversation__participant__study__slug"
    rows = calls.values_list(study).annotate(cost=Sum("cost_usd")).order_by(study)
    return [(slug, cost) for slug, cost in rows if cost]


def draws_and_wins(endpoint: ModelEndpoint) -> tuple[int, int, int]:
    """(replies to openings that were rated, those chosen, openings that were rated)"""
    rated = Q(interaction__turn=0, interaction__state=Interaction.State.RATED)
    found = Utterance.objects.filter(rated, endpoint=endpoint).aggregate(
        shown=Count("pk"), won=Count("pk", filter=Q(if_chosen=True))
    )
    openings = Interaction.objects.filter(turn=0, state=Interaction.State.RATED).count()
    return found["shown"], found["won"], openings
