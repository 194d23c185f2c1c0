"""Conditions in words: what a rule says, and why it held for somebody or not."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from surveys.instruments.conditions import Condition, Value

COMPARISONS = {
    "at_least": "is at least",
    "at_most": "is at most",
    "above": "is more than",
    "below": "is less than",
    "equals": "is exactly",
}


@dataclass(frozen=True)
class Reason:
    """A condition, whether it held, and the same of its parts. found: what its test met."""

    words: str
    holds: bool
    found: str = ""
    parts: tuple["Reason", ...] = ()


def in_words(condition: Condition) -> str:
    """In codes, as the file has them: "use is yes or often, and arm of framing is gain"."""
    if condition.any:
        return ", or ".join(_inner(part) for part in condition.any)
    if condition.all:
        return ", and ".join(_inner(part) for part in condition.all)
    if condition.not_:
        return f"not ({in_words(condition.not_)})"
    return f"{_subject(condition)} {_test(condition)}"


def explain(
    condition: Condition,
    values: Mapping[str, Value],
    arms: Mapping[str, str],
    said: Callable[[str], str],
) -> Reason:
    """said(question code): the answer in words, or that there is none."""
    holds = condition.holds(values, arms)
    if condition.any or condition.all:
        words = "any of these" if condition.any else "all of these"
        parts = condition.any or condition.all
        return Reason(
            words, holds, parts=tuple(explain(part, values, arms, said) for part in parts)
        )
    if condition.not_:
        return Reason("not", holds, parts=(explain(condition.not_, values, arms, said),))
    if condition.variant:
        return Reason(in_words(condition), holds, arms.get(condition.variant, "no arm"))
    return Reason(in_words(condition), holds, said(condition.question or ""))


def _inner(condition: Condition) -> str:
    words = in_words(condition)
    return f"({words})" if condition.any or condition.all else words


def _subject(condition: Condition) -> str:
    if condition.variant:
        return f"arm of {condition.variant}"
    return f"{condition.question}, {condition.item}," if condition.item else f"{condition.question}"


def _test(condition: Condition) -> str:
    if condition.among:
        return f"is {_or(condition.among)}"
    if condition.answered is not None:
        return "is answered" if condition.answered else "is not answered"
    if condition.declined is not None:
        return "is declined" if condition.declined else "is not declined"
    tests = [(words, getattr(condition, name)) for name, words in COMPARISONS.items()]
    return " and ".join(f"{words} {bound}" for words, bound in tests if bound is not None)


def _or(codes: Iterable[str]) -> str:
    *others, last = codes
    return f"{', '.join(others)} or {last}" if others else last
