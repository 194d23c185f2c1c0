"""A model's suggestions for what people typed about themselves. They decide nothing.

Its words are sent to a provider, so nothing is asked before a researcher names an endpoint, and
what looks like an address or a number is never sent.
"""

import asyncio
import json
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal

from asgiref.sync import async_to_sync
from django.db import transaction
from django.db.models import Count, F, Q, QuerySet, Sum
from django.utils import timezone

from collection import budget, coding, llm, personal
from collection.models import CodingPlan, Description, ModelEndpoint, Suggestion
from surveys.draws import new_seed
from surveys.instruments.schema import Question
from surveys.models import Study
from surveys.veil import REDACTED, passages_of, spans

AT_ONCE = 20
"""Calls under way together, and for one press of the button."""
TRIES = 3
LIMIT_S = 30.0
LEASE = timedelta(minutes=5)
"""After which a call that left no outcome is taken for lost with its process."""
FAILED = ("timeout", "error", "empty", "filtered")


def prompt(question: Question, row: Description) -> list[dict[str, str]]:
    names = list(coding.choices(question).values())
    asked = {"question": question.text, "answer": row.text}
    if row.recruiter_said:
        asked["recruiter's own record"] = row.recruiter_said
    system = (
        "You code survey answers in which people describe themselves in their own words. Reply "
        "with exactly one of these categories and nothing else:\n"
        + "\n".join(names)
        + f"\nIf the answer is ambiguous, unclear or no answer, reply with: {names[-1]}"
    )
    return [
        {"role": "system", "content": system},
        {"role": "user", "content": json.dumps(asked, ensure_ascii=False)},
    ]


def understood(text: str, question: Question) -> str:
    """The code of the category that a reply names; empty if it names none."""
    said = text.strip().strip("\"'.*`").casefold()
    return next((c for c, name in coding.choices(question).items() if name.casefold() == said), "")


def suggest_due() -> int:
    """For every study that names an endpoint; how many were asked for."""
    plans = CodingPlan.objects.filter(endpoint__isnull=False).select_related("study", "endpoint")
    return sum(suggest(plan.study) for plan in plans)


def suggest(study: Study, at_most: int = AT_ONCE) -> int:
    """Ask the study's endpoint about strings that have no suggestion; how many.

    Costs money of the study's budget: none are asked about once it is used up.
    """
    plan = CodingPlan.objects.select_related("endpoint").filter(study=study).first()
    if plan is None or plan.endpoint is None or budget.is_used_up(study):
        return 0
    known = coding.questions(study)
    taken = [
        row for row in due(study, at_most) if row.question in known and claim(row, plan.endpoint)
    ]
    replies = async_to_sync(ask)(plan.endpoint, [(row, known[row.question]) for row in taken])
    for row, reply in zip(taken, replies, strict=True):
        Suggestion.objects.filter(description=row).update(
            category=understood(reply.text, known[row.question]),
            outcome=reply.outcome,
            cost_usd=reply.cost_usd,
        )
    return len(taken)


def due(study: Study, at_most: int) -> list[Description]:
    """What can be asked about now."""
    rows = waiting(study).order_by("pk")[: 2 * at_most]
    finder = personal.Finder(study)
    return [row for row in rows if may_be_sent(row, finder)][:at_most]


def waiting(study: Study) -> QuerySet[Description]:
    """Not settled, and not asked about, or in vain."""
    lost = Q(suggestion__outcome="", suggestion__asked_at__lt=timezone.now() - LEASE)
    failed = Q(suggestion__outcome__in=FAILED)
    again = (lost | failed) & Q(suggestion__tries__lt=TRIES)
    return Description.objects.filter(
        Q(suggestion__isnull=True) | again, study=study, category="", typed__isnull=False
    ).distinct()


def may_be_sent(row: Description, finder: personal.Finder) -> bool:
    typed = list(row.typed.values_list("response__participant", "response__value"))
    passages = [each for some in passages_of(pk for pk, _v in typed).values() for each in some]
    words = [row.text, *(personal.own_words(value) for _pk, value in typed)]
    if not row.text or REDACTED in row.text:
        return False
    # None, if the detector cannot say, is no reason to send it.
    return all(finder.found_now(text) == [] and not spans(text, passages) for text in words)


@transaction.atomic
def claim(row: Description, endpoint: ModelEndpoint) -> bool:
    """Whether it is ours to ask about: two processes ask once, and pay once."""
    if not Description.objects.select_for_update().filter(pk=row.pk, category=""):
        return False
    now = timezone.now()
    found, is_new = Suggestion.objects.get_or_create(
        description=row, defaults={"model": endpoint.long_name, "asked_at": now, "tries": 1}
    )
    if is_new:
        return True
    is_open = found.outcome in FAILED or (not found.outcome and found.asked_at < now - LEASE)
    if not is_open or found.tries >= TRIES:
        return False
    Suggestion.objects.filter(pk=found.pk).update(
        model=endpoint.long_name, outcome="", asked_at=now, tries=found.tries + 1
    )
    return True


@dataclass(frozen=True)
class Figures:
    """How a study's suggestions are doing."""

    waiting: int
    asked: int
    understood: int
    compared: int
    right: int
    """Of those compared, settled as the model had suggested."""
    cost_usd: Decimal


def figures(study: Study) -> Figures:
    named = ~Q(category="")
    settled = named & ~Q(description__category="")
    found = Suggestion.objects.filter(description__study=study).aggregate(
        asked=Count("pk"),
        understood=Count("pk", filter=named),
        compared=Count("pk", filter=settled),
        right=Count("pk", filter=settled & Q(category=F("description__category"))),
        cost_usd=Sum("cost_usd"),
    )
    found["cost_usd"] = found["cost_usd"] or Decimal(0)
    return Figures(waiting=waiting(study).count(), **found)


async def ask(endpoint: ModelEndpoint, rows: list[tuple[Description, Question]]) -> list[llm.Reply]:
    calls = [
        llm.complete(endpoint.spec, prompt(question, row), limit_s=LIMIT_S, seed=new_seed() % 2**31)
        for row, question in rows
    ]
    return list(await asyncio.gather(*calls))
