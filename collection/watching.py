"""What a study is doing now, in figures. Few queries, and a cache that spares many watchers them.

What changes by the second is kept for five of them. What goes over all calls and scores is counted
by a chore while somebody watches, and nobody waits for it.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from statistics import median, quantiles
from typing import Any

from django.core.cache import cache
from django.db.models import Count, F, Max, Min, OuterRef, Q, QuerySet, Subquery, Sum
from django.db.models.functions import Coalesce, Greatest, TruncDate, TruncHour
from django.utils import timezone
from django.utils.translation import gettext as _

from collection import budget
from collection.budget import Standing
from collection.conversations import wanted
from collection.counted import Counted
from collection.models import (
    Alert,
    Conversation,
    Interaction,
    ModelCall,
    ModelEndpoint,
    Utterance,
)
from collection.standing import STAGE, Stage
from surveys.models import Decline, PageVisit, Participant, Study

QUICK_S = 5
HERE = timedelta(minutes=30)
"""Who was heard of within it is in the study now …"""
STUCK_AFTER = timedelta(minutes=15)
"""… and looks stuck after so long …"""
LEFT_AFTER = timedelta(hours=2)
"""… and has left after so long."""
HOURS = 24
LAST_CALLS = 2000
STUCK_SHOWN = 10
ERRORS_SHOWN = 8

FAILED = (ModelCall.Outcome.TIMEOUT, ModelCall.Outcome.ERROR, ModelCall.Outcome.EMPTY)
"""A reply that a provider filtered, or that was cut short by us, is no failure of the model."""


@dataclass(frozen=True)
class Step:
    """One stage of the funnel."""

    name: str
    people: int
    share: float
    """Of those who arrived, percent."""
    kept: int | None
    """Of those at the stage before, percent."""


@dataclass(frozen=True)
class Stuck:
    participant: int
    where: str
    since: datetime


@dataclass(frozen=True)
class Quick:
    """What changes by the second."""

    at: datetime
    funnel: list[Step]
    declined: int
    here: int
    stages: list[tuple[str, int, int]]
    """(where, how many are there now, how many left there)."""
    stuck: list[Stuck]
    arrivals: list[int]
    completions: list[int]
    """Per hour, the last one begun."""
    hours: list[datetime]
    money: Standing | None
    errors: list[tuple[datetime, str, str]]
    """(when, model, what happened)."""
    alerts: list[Alert] = field(default_factory=list)


@dataclass(frozen=True)
class ModelRow:
    name: str
    state: str
    calls: int
    failed: int
    median_s: float | None
    p95_s: float | None
    timeouts: int
    errors: int
    empty: int
    spent: Decimal

    @property
    def answered(self) -> float:
        return 100 * (self.calls - self.failed) / self.calls if self.calls else 0.0


@dataclass(frozen=True)
class Slow:
    """What goes over all that was said."""

    types: list[tuple[str, int, int, int]]
    """(type, complete, under way, closed for technical reasons)."""
    models: list[ModelRow]
    scores: list[int]
    """How many scores in each ten of the hundred."""
    days: list[tuple[str, int]]
    """(day, completions so far)."""
    times: list[tuple[str, int, int, int]]
    """(stage, quartile, median, quartile of its seconds)."""

    @property
    def spent(self) -> Decimal:
        return sum((row.spent for row in self.models), Decimal(0))


def quick(study: Study) -> Quick:
    key = f"watching/quick/{study.pk}"
    found: Quick | None = cache.get(key)
    if found is None:
        found = measure_quick(study, timezone.now())
        cache.set(key, found, QUICK_S)
    return found


def slow(study: Study, *, may_wait: bool) -> Slow | None:
    """As last counted. If it never was: None, or for those who may wait, counted now."""
    found = SLOW.last(study.pk)
    if found is None and may_wait:
        found = SLOW.count(study.pk)
    return found.figures if found else None


def measure_quick(study: Study, now: datetime) -> Quick:
    hours = [this_hour(now) - timedelta(hours=back) for back in range(HOURS - 1, -1, -1)]
    open_people = where_people_are(study)
    heard = [(person, now - person.heard_at) for person in open_people]
    return Quick(
        at=now,
        funnel=funnel(study),
        declined=Decline.objects.filter(study=study).count(),
        here=sum(silent <= HERE for _person, silent in heard),
        stages=stages(heard),
        stuck=stuck(heard),
        arrivals=per_hour(study, "arrived_at", hours),
        completions=per_hour(study, "completed_at", hours),
        hours=hours,
        money=budget.standing(study),
        errors=last_errors(study),
        alerts=list(Alert.objects.filter(study=study, over_at__isnull=True)),
    )


def measure_slow(study: Study) -> Slow:
    return Slow(
        types=types(study),
        models=models(study),
        scores=scores(study),
        days=days(study),
        times=times(study),
    )


SLOW = Counted("watching", lambda pk: measure_slow(Study.objects.get(pk=pk)))


def this_hour(now: datetime) -> datetime:
    return now.replace(minute=0, second=0, microsecond=0)


def funnel(study: Study) -> list[Step]:
    """From link to finish. People count for every stage that they have passed."""
    complete = Conversation.objects.filter(
        participant=OuterRef("pk"), state=Conversation.State.COMPLETE
    )
    number = complete.order_by().values("participant").annotate(n=Count("pk")).values("n")
    total = wanted(Participant(study=study, instrument=study.instrument))
    counts = {
        "arrived": Count("pk"),
        "consented": Count("pk", filter=Q(consent__isnull=False)),
        "surveyed": Count("pk", filter=Q(survey_finished_at__isnull=False)),
    }
    talked = sorted({1, (total + 1) // 2, total} - {0})
    counts |= {f"talked{n}": Count("pk", filter=Q(talks__gte=n)) for n in talked}
    counts["completed"] = Count("pk", filter=Q(completed_at__isnull=False))
    people = study.participants.annotate(talks=Coalesce(Subquery(number), 0))
    found = people.aggregate(**counts)
    names = {
        "arrived": _("Arrived"),
        "consented": _("Consented"),
        "surveyed": _("Survey finished"),
        **{f"talked{n}": _("Conversation %d complete") % n for n in talked},
        "completed": _("Finished"),
    }
    return as_steps([(names[key], found[key]) for key in counts])


def as_steps(rows: list[tuple[str, int]]) -> list[Step]:
    first = rows[0][1]
    steps: list[Step] = []
    for name, people in rows:
        before = steps[-1].people if steps else 0
        # Whoever finished in another way than the usual may be more than the stage before had.
        kept = round(100 * people / before) if before and people <= before else None
        steps.append(Step(name, people, 100 * people / first if first else 0.0, kept))
    return steps


def where_people_are(study: Study) -> list[Any]:
    """Who has neither finished nor gone, with `stage`, `page` and when they were last heard of."""
    page = PageVisit.objects.filter(participant=OuterRef("pk")).order_by("-shown_at")
    turn = Interaction.objects.filter(conversation__participant=OuterRef("pk"))
    said = (
        turn.order_by()
        .values("conversation__participant")
        .annotate(at=Max(Greatest("created_at", Coalesce("rated_at", "created_at"))))
    )
    gone = ("completed_at", "stopped_at", "screened_at", "withdrawn_at")
    people = study.participants.filter(**{f"{name}__isnull": True for name in gone})
    start = F("arrived_at")
    return list(
        people.annotate(
            stage=STAGE,
            page=Subquery(page.values("page")[:1]),
            heard_at=Greatest(
                start,
                Coalesce("consent_shown_at", start),
                Coalesce("survey_finished_at", start),
                Coalesce("instructed_at", start),
                Coalesce(Subquery(page.values("shown_at")[:1]), start),
                Coalesce(Subquery(said.values("at")), start),
            ),
        ).only("study")
    )


def place_of(person: Any) -> str:
    """The stage, and in the survey its page."""
    label = str(Stage(person.stage).label)
    if person.stage == Stage.SURVEY and person.page:
        return _("%(stage)s, page “%(page)s”") % {"stage": label, "page": person.page}
    return label


Heard = list[tuple[Any, timedelta]]


def stages(heard: Heard) -> list[tuple[str, int, int]]:
    """Where people are and where they left, the latter most frequent first."""
    here = Counter(place_of(person) for person, silent in heard if silent <= LEFT_AFTER)
    left = Counter(place_of(person) for person, silent in heard if silent > LEFT_AFTER)
    places = sorted(here | left, key=lambda place: (-left[place], -here[place], place))
    return [(place, here[place], left[place]) for place in places]


def stuck(heard: Heard) -> list[Stuck]:
    """Longest silent first."""
    quiet = [(p, s) for p, s in heard if STUCK_AFTER <= s <= LEFT_AFTER]
    quiet.sort(key=lambda pair: -pair[1])
    return [Stuck(p.pk, place_of(p), p.heard_at) for p, _silent in quiet[:STUCK_SHOWN]]


def per_hour(study: Study, moment: str, hours: list[datetime]) -> list[int]:
    rows = study.participants.filter(**{f"{moment}__gte": hours[0]}).order_by()
    counted = rows.values(hour=TruncHour(moment)).annotate(number=Count("pk"))
    found = {row["hour"]: row["number"] for row in counted}
    return [found.get(hour, 0) for hour in hours]


def calls_of(study: Study) -> QuerySet[ModelCall]:
    return ModelCall.objects.filter(attempt__interaction__conversation__participant__study=study)


def last_errors(study: Study) -> list[tuple[datetime, str, str]]:
    rows = calls_of(study).filter(outcome__in=FAILED, ended_at__isnull=False).order_by("-pk")
    rows = rows.select_related("endpoint").only(
        *["outcome", "error_class", "error_message", "ended_at", "endpoint__long_name"]
    )
    return [
        (row.ended_at, row.endpoint.long_name, in_words(row))
        for row in rows[:ERRORS_SHOWN]
        if row.ended_at
    ]


def in_words(call: ModelCall) -> str:
    said = call.error_message.strip().splitlines()
    label = str(ModelCall.Outcome(call.outcome).label)
    return f"{label}: {said[0][:200]}" if said else label


def types(study: Study) -> list[tuple[str, int, int, int]]:
    rows = Conversation.objects.filter(participant__study=study).order_by()
    counted = rows.values("conversation_type", "state").annotate(number=Count("pk"))
    found: dict[str, Counter[str]] = defaultdict(Counter)
    for row in counted:
        found[row["conversation_type"]][row["state"]] += row["number"]
    State = Conversation.State  # noqa: N806
    return [
        (
            kind,
            states[State.COMPLETE],
            states[State.OPEN] + states[State.FINISHED],
            states[State.TECHNICAL],
        )
        for kind, states in sorted(found.items())
    ]


def models(study: Study) -> list[ModelRow]:
    """By the study's last calls, with all that each has cost in it."""
    cost_of = costs(study)
    ended = calls_of(study).exclude(outcome=ModelCall.Outcome.PENDING).order_by("-pk")
    last = ended.values_list("endpoint", "outcome", "latency_ms")[:LAST_CALLS]
    outcomes: dict[int, Counter[str]] = defaultdict(Counter)
    latencies: dict[int, list[int]] = defaultdict(list)
    for endpoint, outcome, latency in last:
        outcomes[endpoint][outcome] += 1
        if latency is not None and outcome not in FAILED:
            latencies[endpoint].append(latency)
    used = ModelEndpoint.objects.filter(Q(studies=study) | Q(pk__in=[*cost_of])).distinct()
    now = timezone.now()
    return [
        model_row(row, outcomes[row.pk], latencies[row.pk], cost_of.get(row.pk, Decimal(0)), now)
        for row in used
    ]


def model_row(
    row: ModelEndpoint, ended: Counter[str], latencies: list[int], cost: Decimal, now: datetime
) -> ModelRow:
    Outcome = ModelCall.Outcome  # noqa: N806
    state = _("resting") if row.is_resting(now) else "" if row.is_active else _("switched off")
    return ModelRow(
        name=row.long_name,
        state=state,
        calls=ended.total(),
        failed=sum(ended[outcome] for outcome in FAILED),
        median_s=median(latencies) / 1000 if latencies else None,
        p95_s=quantiles(latencies, n=20)[-1] / 1000 if len(latencies) > 1 else None,
        timeouts=ended[Outcome.TIMEOUT],
        errors=ended[Outcome.ERROR],
        empty=ended[Outcome.EMPTY],
        spent=cost,
    )


def scores(study: Study) -> list[int]:
    rows = Utterance.objects.filter(
        interaction__conversation__participant__study=study, score__isnull=False
    ).order_by()
    tens = [0] * 10
    for score, number in rows.values_list("score").annotate(number=Count("pk")):
        tens[((score or 1) - 1) // 10] += number
    return tens


def days(study: Study) -> list[tuple[str, int]]:
    """From the first arrival to the last completion, days without any too."""
    rows = study.participants.filter(completed_at__isnull=False).order_by()
    found = {
        row["day"]: row["number"]
        for row in rows.values(day=TruncDate("completed_at")).annotate(number=Count("pk"))
    }
    if not found:
        return []
    first = study.participants.aggregate(at=Min("arrived_at"))["at"].date()
    day, last = min(first, *found), max(found)
    so_far, series = 0, []
    while day <= last:
        so_far += found.get(day, 0)
        series.append((f"{day:%Y-%m-%d}", so_far))
        day += timedelta(days=1)
    return series


SPANS = (
    ("consent", "arrived_at", "consent_shown_at"),
    ("survey", "consent_shown_at", "survey_finished_at"),
    ("instructions", "survey_finished_at", "instructed_at"),
    ("conversations", "instructed_at", "completed_at"),
    ("all", "arrived_at", "completed_at"),
)


def times(study: Study) -> list[tuple[str, int, int, int]]:
    """Of those who finished."""
    names = {
        "consent": _("Welcome"),
        "survey": _("Consent and survey"),
        "instructions": _("Instructions"),
        "conversations": _("Conversations"),
        "all": _("In all"),
    }
    fields = sorted({field for _name, *ends in SPANS for field in ends})
    rows = list(study.participants.filter(completed_at__isnull=False).order_by().values(*fields))
    found = []
    for name, start, end in SPANS:
        took = [(row[end] - row[start]).total_seconds() for row in rows if row[start] and row[end]]
        if len(took) > 1:
            found.append((names[name], *quarters(took)))
    return found


def quarters(seconds: Iterable[float]) -> tuple[int, int, int]:
    """Quartile, median, quartile."""
    low, middle, high = quantiles(seconds, n=4, method="inclusive")
    return round(low), round(middle), round(high)


def costs(study: Study) -> dict[int, Decimal]:
    """By endpoint."""
    rows = calls_of(study).order_by().values("endpoint").annotate(cost=Sum("cost_usd"))
    return {row["endpoint"]: row["cost"] or Decimal(0) for row in rows}


def last_sign_of_life(study: Study) -> datetime | None:
    """When somebody last came, finished, sent a page or a message. None if nobody ever came."""
    people = study.participants.aggregate(came=Max("arrived_at"), done=Max("completed_at"))
    pages = PageVisit.objects.filter(participant__study=study).aggregate(
        shown=Max("shown_at"), sent=Max("sent_at")
    )
    turns = Interaction.objects.filter(conversation__participant__study=study).aggregate(
        said=Max("created_at"), rated=Max("rated_at")
    )
    moments = [at for at in (*people.values(), *pages.values(), *turns.values()) if at]
    return max(moments, default=None)
