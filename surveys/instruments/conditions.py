"""When a page or question is shown: conditions on earlier answers and on variants.

Two-valued: a comparison with an answer that was not given, was declined or does not apply is
false, and its `not` is true.
"""

from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Self

from pydantic import Field, model_validator

from surveys.instruments.parts import Code, Part

Value = Mapping[str, Any]
"""A stored answer: see `surveys.models.Response`."""

Choice = Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9_-]*$", max_length=64)]
"""The code of an option or an arm, or of a country (ISO 3166, three capitals)."""

Bound = int | float | str
"""A number, or a date as its ISO text, which sorts as its day does."""


class Condition(Part):
    """One test of an earlier answer or of a variant's arm, or a mix of such: any, all, not."""

    question: Code | None = None
    """The code of a question on an earlier page; takes one test."""
    item: Code | None = None
    """Which line of a set of sliders, a likert or a matrix."""
    variant: Code | None = None
    """The code of a variant; takes `among` with arms."""
    among: tuple[Choice, ...] = ()
    """The chosen option, one of the chosen options, or the arm is one of these."""
    at_least: Bound | None = None
    """A number, a position on a line or a quoted date is this or more."""
    at_most: Bound | None = None
    """… is this or less."""
    above: Bound | None = None
    """… is more than this."""
    below: Bound | None = None
    """… is less than this."""
    equals: Bound | None = None
    """… is exactly this."""
    answered: bool | None = None
    """Whether there is an answer that is not "Prefer not to say"."""
    declined: bool | None = None
    """Whether the answer is "Prefer not to say"."""
    any: tuple["Condition", ...] = ()
    """At least one of these conditions holds."""
    all: tuple["Condition", ...] = ()
    """All of these conditions hold."""
    not_: "Condition | None" = Field(default=None, alias="not")
    """This condition does not hold; so too if nothing was answered."""

    @property
    def compares(self) -> bool:
        bounds = (self.at_least, self.at_most, self.above, self.below, self.equals)
        return any(bound is not None for bound in bounds)

    @model_validator(mode="after")
    def one_form(self) -> Self:
        forms = [self.question, self.variant, self.any, self.all, self.not_]
        if sum(bool(form) for form in forms) != 1:
            raise ValueError("a condition has one of question, variant, any, all and not")
        states = (self.answered is not None) + (self.declined is not None)
        tests = bool(self.among) + self.compares + states
        if self.variant and (tests != 1 or not self.among):
            raise ValueError("a variant needs among, with its arms")
        if self.question and tests != 1:
            raise ValueError(
                "a question needs one test: among, a comparison such as at_least, answered "
                "or declined"
            )
        if not self.question and not self.variant and (tests or self.item):
            raise ValueError("any, all and not take whole conditions only")
        return self

    def holds(self, values: Mapping[str, Value], arms: Mapping[str, str]) -> bool:
        """values: question code -> answer; arms: variant code -> arm code."""
        if self.any:
            return any(part.holds(values, arms) for part in self.any)
        if self.all:
            return all(part.holds(values, arms) for part in self.all)
        if self.not_:
            return not self.not_.holds(values, arms)
        if self.variant:
            return arms.get(self.variant) in self.among
        return self._holds_for(values.get(self.question or ""))

    def _holds_for(self, value: Value | None) -> bool:
        if self.answered is not None:
            return self.answered == (value is not None and is_answer(value))
        if self.declined is not None:
            return self.declined == (value is not None and is_declined(value))
        if value is None:
            return False
        if self.among:
            return not chosen(value, self.item).isdisjoint(self.among)
        amount = amount_of(value, self.item)
        return amount is not None and self._within(amount)

    def _within(self, amount: float | str) -> bool:
        try:
            return (
                (self.at_least is None or amount >= self.at_least)  # type: ignore[operator]
                and (self.at_most is None or amount <= self.at_most)  # type: ignore[operator]
                and (self.above is None or amount > self.above)  # type: ignore[operator]
                and (self.below is None or amount < self.below)  # type: ignore[operator]
                and (self.equals is None or amount == self.equals)
            )
        except TypeError:  # a number against a date
            return False

    def leaves(self) -> Iterator["Condition"]:
        """The single tests."""
        if self.question or self.variant:
            yield self
        for part in (*self.any, *self.all, *([self.not_] if self.not_ else [])):
            yield from part.leaves()


def is_declined(value: Value) -> bool:
    """Whether the answer is "Prefer not to say"."""
    return bool(value.get("declined")) or value.get("choice") == "prefer_not_to_say"


def is_skipped(value: Value) -> bool:
    """Whether an optional question was sent without an answer."""
    return bool(value.get("skipped"))


def is_answer(value: Value) -> bool:
    return not is_declined(value) and not is_skipped(value)


def chosen(value: Value, item: str | None) -> set[str]:
    """The codes chosen, in one row if `item` is given."""
    if item is not None:
        cell = value.get("rows", {}).get(item, [])
        return {cell} if isinstance(cell, str) else set(cell)
    if value.get("declined"):
        return {"prefer_not_to_say"}
    if "choice" in value:
        return {value["choice"]}
    return set(value.get("chosen", value.get("ranked", ())))


def amount_of(value: Value, item: str | None) -> float | str | None:
    """The number or ISO date of an answer."""
    if item is not None:
        score: float | None = value.get("scores", {}).get(item)
        return score
    for key in ("number", "score", "date"):
        if key in value:
            amount: float | str | None = value[key]
            return amount
    return None
