"""What a person gathers from the words of a question, and no field of its form says.

A number field takes any text; that a household has 1 to 40 people, which answer a check asks for,
or that a question may be left out, people read.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date, timedelta
from decimal import Decimal
from random import Random

from django.utils import timezone

from collection.simulation import words
from collection.simulation.people import Person
from surveys.instruments.schema import (
    Check,
    Date,
    FreeText,
    Multiple,
    Number,
    Question,
)

SKIPPING = 0.25
"""The share of optional questions that are left out."""
ATTENTIVE = 0.93
"""The share of checks that are passed, of comprehension checks at each attempt."""
USUAL_SPAN = 100
"""Of numbers without bounds, from the bound there is or from 0."""
EARLIEST = date(1930, 1, 1)
SHORTEST = 40
"""Characters that every text in English has."""


@dataclass(frozen=True)
class Understood:
    """values: field -> what a sensible answer puts there; limits: question -> how many boxes."""

    values: Mapping[str, str] = field(default_factory=dict)
    limits: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    optional: frozenset[str] = frozenset()
    left_out: frozenset[str] = frozenset()


NOTHING_SAID = Understood()


def understood(
    person: Person, questions: Iterable[Question], language: str, attempts: Mapping[str, int]
) -> Understood:
    """attempts: how often the person has tried each comprehension check of the page before."""
    values: dict[str, str] = {}
    limits: dict[str, tuple[int, int]] = {}
    optional: set[str] = set()
    for question in questions:
        draw = person.draw("understood", question.code, attempts.get(question.code, 0))
        if not question.required:
            optional.add(question.code)
        if isinstance(question, Multiple):
            most = len(question.items) if question.maximum is None else question.maximum
            limits[question.code] = (question.minimum, most)
        values |= sensible(draw, question, language)
    left_out = {code for code in optional if person.draw("left", code).random() < SKIPPING}
    return Understood(values, limits, frozenset(optional), frozenset(left_out))


def sensible(draw: Random, question: Question, language: str) -> dict[str, str]:
    match question:
        case Check():
            is_attentive = draw.random() < ATTENTIVE
            return {question.code: passing(draw, question, is_attentive)}
        case Number():
            return {question.code: number(draw, question)}
        case Date():
            return day(draw, question)
        case FreeText():
            return text(draw, question, language)
        case _:
            return {}


def passing(draw: Random, question: Check, is_attentive: bool) -> str:
    wrong = [option.code for option in question.options if option.code not in question.correct]
    # A comprehension check may show its explanation once; people learn from it.
    return draw.choice(sorted(question.correct if is_attentive or not wrong else wrong))


def number(draw: Random, question: Number) -> str:
    """As it would be typed: nearer to the lower bound, as most amounts are."""
    low = question.minimum
    high = question.maximum
    if low is None:
        low = 0.0 if high is None else min(0.0, high - USUAL_SPAN)
    if high is None:
        high = low + USUAL_SPAN
    drawn = Decimal(str(low + (high - low) * draw.betavariate(1.2, 12)))
    rounded = round(drawn, question.decimals)
    within = min(max(rounded, Decimal(str(low))), Decimal(str(high)))
    return f"{(within + 0).normalize():f}"  # nobody types -0


def day(draw: Random, question: Date) -> dict[str, str]:
    today = timezone.now().date()
    earliest = as_day(question.earliest) or EARLIEST
    latest = today if question.latest in (None, "today") else as_day(question.latest) or today
    earliest = min(earliest, latest)
    drawn = earliest + timedelta(days=draw.randint(0, (latest - earliest).days))
    parts = {"year": drawn.year, "month": drawn.month, "day": drawn.day}
    return {f"{question.code}_{part}": str(value) for part, value in parts.items()}


def as_day(bound: str | None) -> date | None:
    return date.fromisoformat(bound + "0000-01-01"[len(bound) :]) if bound else None


def text(draw: Random, question: FreeText, language: str) -> dict[str, str]:
    """A word, or sentences in their own language; English ones come by themselves if need be."""
    known = words.SENTENCES.get(language)
    if question.long and known:
        written = " ".join(draw.sample(known, draw.choice((1, 2, 2, 3))))
    elif question.long and question.min_length <= SHORTEST:
        return {}
    else:
        written = draw.choice(words.VALUES)
    while len(written) < question.min_length:
        written += f" {words.self_description(draw)}"
    return {question.code: written}
