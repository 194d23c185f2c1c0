"""The measuring line (visual analogue scale): what is shown of it and what comes back.

A line without `NAME_rated` was not rated: its resting value is not an answer.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from django.utils.translation import gettext as _

from surveys.errors import DomainError


@dataclass(frozen=True)
class Touch:
    """How a line was first touched and how often it came to rest; empty where no script ran."""

    first_value: int | None = None
    first_by: str = ""
    moves: int = 0
    ms: int | None = None

    def as_json(self) -> dict[str, Any]:
        return {
            "first": self.first_value,
            "first_by": self.first_by,
            "moves": self.moves,
            "ms": self.ms,
        }


@dataclass(frozen=True)
class Mark:
    """One line as it was sent. value is None if not rated or not applicable."""

    value: int | None
    is_touched: bool
    is_na: bool
    touch: Touch

    @property
    def is_missing(self) -> bool:
        return self.value is None and not self.is_na

    def as_fields(self) -> dict[str, Any]:
        """The columns of `SliderRecord`."""
        return {
            "was_touched": self.is_touched,
            "first_value": self.touch.first_value,
            "first_by": self.touch.first_by,
            "moves": self.touch.moves,
            "ms_to_first_touch": self.touch.ms,
        }


def read_mark(
    data: Mapping[str, Any],
    name: str,
    *,
    minimum: int,
    maximum: int,
    na_allowed: bool = False,
    untouched_counts: bool = False,
) -> Mark:
    """The mark of the line called `name`. Raises DomainError for a value no line could send."""
    if na_allowed and f"{name}_na" in data:
        return Mark(None, f"{name}_rated" in data, True, read_touch(data.get(f"{name}_record")))
    touched = f"{name}_rated" in data
    if not touched and not untouched_counts:
        return Mark(None, False, False, Touch())
    raw = data.get(name, "")
    if not raw and not touched:
        return Mark(None, False, False, Touch())
    try:
        value = int(raw)
    except ValueError:
        value = minimum - 1
    if not minimum <= value <= maximum:
        raise DomainError("out_of_range", _("Please place this mark again."))
    touch = read_touch(data.get(f"{name}_record")) if touched else Touch()
    return Mark(value, touched, False, touch)


def read_touch(raw: Any) -> Touch:
    """The script's record; anything that is not one counts as none, for it is only a side note."""
    try:
        record = json.loads(raw or "{}")
        return Touch(
            first_value=_between(record.get("first"), -1_000_000, 1_000_000),
            first_by=record.get("first_by") if record.get("first_by") in BY else "",
            moves=_between(record.get("moves"), 0, 1_000_000) or 0,
            ms=_between(record.get("ms"), 0, 2_000_000_000),
        )
    except (ValueError, ArithmeticError, AttributeError, TypeError, RecursionError):
        return Touch()


BY = ("pointer", "keyboard")


def _between(value: Any, low: int, high: int) -> int | None:
    return int(value) if value is not None and low <= int(value) <= high else None


@dataclass(frozen=True)
class Line:
    """One measuring line on a page; `partials/_slider.html` draws it."""

    name: str
    ask: str
    low: str
    high: str
    minimum: int
    maximum: int
    value: int | None = None
    record: str = ""
    ask_hidden: bool = False
    na_allowed: bool = False
    is_na: bool = False
    optional: bool = False
    start_middle: bool = False
    missing: bool = False
    error: str = ""
    own_text_name: str = ""
    own_text_value: str = ""
    own_text_label: str = ""

    @property
    def id(self) -> str:
        return f"line_{self.name}"


def filled(line: Line, data: Mapping[str, Any]) -> Line:
    """The line with what a draft, a refused form or a stored answer knows of it."""
    try:
        mark = read_mark(
            data,
            line.name,
            minimum=line.minimum,
            maximum=line.maximum,
            na_allowed=line.na_allowed,
        )
    except DomainError:
        return line
    is_rated = mark.is_touched and not mark.is_na
    record = str(data.get(f"{line.name}_record", "")) if is_rated else ""
    return replace(line, value=mark.value, record=record, is_na=mark.is_na)
