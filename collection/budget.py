"""Money for model calls: set aside when a person consents, settled call by call.

Consents of a study with a budget queue at a lock on its row, so that many who come at once cannot
overrun it; whoever is under way is never cut off.
"""

import logging
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from statistics import mean
from typing import Any

from django.db.models import Avg, Case, Count, F, Max, Q, Sum, When
from django.db.models.functions import Coalesce, Greatest
from django.utils import timezone
from django.utils.translation import gettext as _

from collection import endpoints
from collection.conversations import usual_number
from collection.models import Reservation, Suggestion
from surveys.errors import DomainError
from surveys.models import Participant, Study

log = logging.getLogger("refract.budget")

NOT_EXPECTED_BACK = timedelta(hours=24)
"""After so long without a message."""
ENOUGH_PEOPLE = 20
"""After so many who finished, their mean cost says more than the price list …"""
MARGIN = Decimal("1.25")
"""… and the next person may cost so much more than the mean."""
NOTHING = Decimal(0)


@dataclass(frozen=True)
class Standing:
    """Of a study's budget, in US dollars."""

    budget: Decimal
    spent: Decimal
    reserved: Decimal
    """Set aside for people under way, beyond what they have spent."""
    next_person: Decimal

    @property
    def left(self) -> Decimal:
        return self.budget - self.spent - self.reserved

    @property
    def has_room(self) -> bool:
        return self.next_person <= self.left


def standing(study: Study) -> Standing | None:
    """None without a budget."""
    if study.budget_usd is None:
        return None
    held = Case(
        When(closed_at__isnull=False, then=F("spent_usd")),
        default=Greatest("amount_usd", "spent_usd"),
    )
    sums = study.reservations.aggregate(held=Sum(held), spent=Sum("spent_usd"))
    spent = sums["spent"] or NOTHING
    reserved = (sums["held"] or NOTHING) - spent
    return Standing(study.budget_usd, spent + coding(study), reserved, per_person(study))


def coding(study: Study) -> Decimal:
    """US dollars that a model's suggestions for what people typed about themselves have cost."""
    asked = Suggestion.objects.filter(description__study=study)
    return asked.aggregate(cost=Sum("cost_usd"))["cost"] or NOTHING


def is_used_up(study: Study) -> bool:
    now = standing(study)
    return now is not None and now.left <= 0


def per_person(study: Study) -> Decimal:
    """US dollars that one more person is expected to cost."""
    finished = study.reservations.filter(participant__completed_at__isnull=False).aggregate(
        people=Count("pk"), mean=Avg("spent_usd")
    )
    if finished["people"] >= ENOUGH_PEOPLE:
        return Decimal(finished["mean"]) * MARGIN
    return per_conversation(study) * usual_number(
        Participant(study=study, instrument=study.instrument)
    )


def per_conversation(study: Study) -> Decimal:
    """By the price list, with every active model as likely as the others to be locked in."""
    active = list(study.endpoints.filter(is_active=True))
    openings = [cost for e in active if (cost := endpoints.opening_cost(e)) is not None]
    others = [cost for e in active if (cost := endpoints.continuing_cost(e)) is not None]
    if not openings:
        return NOTHING
    return study.protocol.opening_models * mean(openings) + mean(others)


def check_room(study: Study, **_signal: Any) -> None:
    """Raises DomainError if the budget would not pay for one more person."""
    now = standing(study)
    if now is None or now.has_room:
        return
    log.warning(
        "study %s is paused by its budget: %.2f USD left, a person costs about %.2f",
        study.slug,
        now.left,
        now.next_person,
    )
    raise DomainError(
        "budget",
        _(
            "This study cannot take new participants at the moment. Please try again later; "
            "nothing about you was kept."
        ),
    )


def reserve(participant: Participant, **_signal: Any) -> None:
    """Set a person's expected cost aside, once. Within the transaction of the consent.

    Raises DomainError if the budget would not pay for it.
    """
    study = participant.study
    if study.budget_usd is None:
        return
    Study.objects.select_for_update(of=("self",)).only("pk").get(pk=study.pk)
    if Reservation.objects.filter(participant=participant).exists():
        return
    check_room(study)
    Reservation.objects.create(participant=participant, study=study, amount_usd=per_person(study))


def settle(participant_id: int, cost_usd: Decimal) -> None:
    """Count what a call has cost."""
    Reservation.objects.filter(participant=participant_id).update(
        spent_usd=F("spent_usd") + cost_usd
    )


def lapse() -> int:
    """Give back what is set aside for people who are done or not expected back; how many."""
    person = "participant__"
    gone = Q()
    for end in ("completed_at", "stopped_at", "withdrawn_at", "screened_at"):
        gone |= Q(**{f"{person}{end}__isnull": False})
    latest = Coalesce(Max(f"{person}conversations__interactions__created_at"), "created_at")
    silent = Q(latest__lt=timezone.now() - NOT_EXPECTED_BACK)
    open_ones = Reservation.objects.filter(closed_at__isnull=True).annotate(latest=latest)
    over = list(open_ones.filter(gone | silent).values_list("pk", flat=True))
    return Reservation.objects.filter(pk__in=over).update(closed_at=timezone.now())
