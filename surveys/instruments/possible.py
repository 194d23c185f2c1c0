"""Which answers a question can get, as far as conditions can tell them apart.

The answers are real ones, as they would be stored, so that conditions are asked and not imitated.
"""

from collections.abc import Iterable, Iterator, Sequence
from datetime import date
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal
from itertools import islice, product
from typing import Any

from surveys.instruments.conditions import Condition, Value, is_skipped
from surveys.instruments.schema import (
    PREFER_NOT_TO_SAY,
    BaseQuestion,
    Choosing,
    Comprehension,
    Country,
    Date,
    FreeText,
    Likert,
    Matrix,
    Multiple,
    Number,
    Ordinal,
    Ranking,
    Scale,
    Slider,
    Sliders,
)
from surveys.places import choices as countries

LIMIT = 10_000
"""Answers, or states of a survey, that are looked at before the check gives up."""
EARLIEST, LATEST = date(1, 1, 1), date(9999, 12, 31)


class TooMany(Exception):
    """There is more to try than is worth it."""


def answers(question: BaseQuestion, leaves: Sequence[Condition]) -> list[Value]:
    """One answer for each way in which these single tests of the question can come out.

    Empty if the question cannot be answered at all. Raises TooMany.
    """
    found: dict[tuple[bool, ...], Value] = {}
    for tried, value in enumerate(_candidates(question, leaves)):
        if tried > LIMIT:
            raise TooMany
        known = {question.code: value}
        outcome = (is_skipped(value), *(leaf.holds(known, {}) for leaf in leaves))
        found.setdefault(outcome, value)
    return list(found.values())


def is_choosable(question: BaseQuestion, code: str) -> bool:
    """Whether somebody who goes on with the survey may have chosen the option."""
    if isinstance(question, Comprehension):
        return code in question.correct
    return True


def _candidates(question: BaseQuestion, leaves: Sequence[Condition]) -> Iterator[Value]:
    if question.prefer_not_to_say:
        yield {"declined": True}
    if not question.required:
        yield {"skipped": True}
    match question:
        case Comprehension():
            yield from ({"choice": code, "text": None} for code in question.correct)
        case Choosing() | Ordinal():
            yield from ({"choice": option.code, "text": None} for option in question.choices)
        case Country():
            yield from _countries(leaves)
        case Multiple():
            yield from (
                {"chosen": chosen, "other_text": None} for chosen in _sets(question, leaves)
            )
        case Ranking():
            codes = [option.code for option in question.options]
            sets = _choices(codes, leaves, question.places, question.places)
            yield from ({"ranked": chosen} for chosen in sets)
        case Sliders():
            yield from ({"scores": s, "other_text": None} for s in _scores(question, leaves))
        case Slider():
            yield from ({"score": score} for score in _marks(question, leaves))
        case Likert() | Matrix():
            yield from ({"rows": rows} for rows in _rows(question, leaves))
        case Number():
            yield from ({"number": number} for number in _numbers(question, leaves))
        case Date():
            yield from ({"date": day} for day in _dates(question, leaves))
        case FreeText():
            yield {"text": "…"}


def _countries(leaves: Sequence[Condition]) -> Iterator[Value]:
    known = [code for code, _name in countries()]
    asked = {code for leaf in leaves for code in leaf.among}
    other = next(code for code in known if code not in asked)
    for code in (*(code for code in known if code in asked), other, PREFER_NOT_TO_SAY):
        yield {"choice": code, "text": None}


def _sets(question: Multiple, leaves: Sequence[Condition]) -> Iterator[list[str]]:
    yield from ([item.code] for item in question.items if item.exclusive)
    loose = [item.code for item in question.items if not item.exclusive]
    most = len(loose) if question.maximum is None else question.maximum
    yield from _choices(loose, leaves, question.minimum, most)


def _choices(
    codes: Sequence[str], leaves: Sequence[Condition], least: int, most: int
) -> Iterator[list[str]]:
    """Sets of codes, one for each mix of tests that it meets, of a size from least to most."""
    tests = [set(leaf.among) for leaf in leaves]
    kept: dict[tuple[frozenset[int], int], list[str]] = {(frozenset(), 0): []}
    for code in codes:
        met = frozenset(n for n, test in enumerate(tests) if code in test)
        for (mix, size), chosen in list(kept.items()):
            kept.setdefault((mix | met, size + 1), [*chosen, code])
        if len(kept) > LIMIT:
            raise TooMany
    found = {mix: chosen for (mix, size), chosen in kept.items() if max(least, 1) <= size <= most}
    yield from found.values()


def _items(leaves: Sequence[Condition]) -> dict[str, list[Condition]]:
    """Item -> the tests of it."""
    tests: dict[str, list[Condition]] = {}
    for leaf in leaves:
        if leaf.item is not None:
            tests.setdefault(leaf.item, []).append(leaf)
    return tests


def _rows(
    question: Likert | Matrix, leaves: Sequence[Condition]
) -> Iterator[dict[str, list[str] | str]]:
    codes = [option.code for option in question.choices]
    tests = _items(leaves)
    is_multiple = isinstance(question, Matrix) and question.multiple
    cells = [
        list(_choices(codes, of_item, 1, len(codes))) if is_multiple else codes
        for of_item in tests.values()
    ]
    yield from _combined(tests, cells, question.required)


def _scores(question: Sliders, leaves: Sequence[Condition]) -> Iterator[dict[str, int | None]]:
    tests = _items(leaves)
    cells = [list(_marks(question, of_item)) for of_item in tests.values()]
    required = question.required and question.last not in tests
    yield from _combined(tests, cells, required)


def _combined(items: Iterable[str], cells: Sequence[Sequence[Any]], required: bool) -> Any:
    """Every mix of the items' answers; without some of them if none is required."""
    absent = object()
    options = [cell if required else [*cell, absent] for cell in cells]
    for mix in islice(product(*options), LIMIT + 2):
        yield {item: cell for item, cell in zip(items, mix, strict=True) if cell is not absent}


def _marks(question: Scale, leaves: Sequence[Condition]) -> Iterator[int | None]:
    if question.na:
        yield None
    low, high = Decimal(question.minimum), Decimal(question.maximum)
    yield from (int(mark) for mark in _around(leaves, Decimal(1), low, high))


def _numbers(question: Number, leaves: Sequence[Condition]) -> Iterator[int | float]:
    step = Decimal(1).scaleb(-question.decimals)
    low = Decimal("-1e15") if question.minimum is None else Decimal(str(question.minimum))
    high = Decimal("1e15") if question.maximum is None else Decimal(str(question.maximum))
    for number in _around(leaves, step, low, high):
        yield float(number) if question.decimals else int(number)


def _around(
    leaves: Sequence[Condition], step: Decimal, low: Decimal, high: Decimal
) -> Iterator[Decimal]:
    """Numbers in whole steps: the ends, and those at and beside every bound."""
    bounds = [Decimal(str(b)) for leaf in leaves for b in _bounds(leaf) if not isinstance(b, str)]
    near = {low, high}
    for bound in bounds:
        for rounding in (ROUND_FLOOR, ROUND_CEILING):
            at = (bound / step).to_integral_value(rounding) * step
            near |= {at - step, at, at + step}
    near |= {(n / step).to_integral_value(ROUND_CEILING) * step for n in near}
    near |= {(n / step).to_integral_value(ROUND_FLOOR) * step for n in near}
    yield from sorted(n for n in near if low <= n <= high and n % step == 0)


def _bounds(leaf: Condition) -> Iterator[int | float | str]:
    bounds = (leaf.at_least, leaf.at_most, leaf.above, leaf.below, leaf.equals)
    yield from (bound for bound in bounds if bound is not None)


def _dates(question: Date, leaves: Sequence[Condition]) -> Iterator[str]:
    """ISO dates of the question's precision: the ends, and those at and beside every bound."""
    length = {"day": 10, "month": 7, "year": 4}[question.precision]
    ends = [question.earliest or EARLIEST.isoformat(), _latest(question)]
    texts = [*ends, *(b for leaf in leaves for b in _bounds(leaf) if isinstance(b, str))]
    near = {text for at in filter(None, map(_day, texts)) for text in _beside(at, length)}
    low, high = (end[:length] for end in ends)
    yield from sorted(
        text for text in near if low <= text[: len(low)] and text <= _padded(high, text)
    )


def _padded(high: str, text: str) -> str:
    """A latest year holds all its days."""
    return high if len(high) >= len(text) else high + "~"


def _latest(question: Date) -> str:
    if question.latest == "today":
        return date.today().isoformat()  # noqa: DTZ011 - a day more or less decides nothing here
    return question.latest or LATEST.isoformat()


def _day(text: str) -> date | None:
    year, month, day = (*text.split("-"), "1", "1")[:3]
    try:
        return date(int(year), int(month), int(day))
    except ValueError:
        return None


def _beside(day: date, length: int) -> Iterator[str]:
    for days in (-366, -31, -1, 0, 1, 31, 366):
        ordinal = day.toordinal() + days
        if EARLIEST.toordinal() <= ordinal <= LATEST.toordinal():
            yield (date.fromordinal(ordinal)).isoformat()[:length]
