"""The measuring line (visual analogue scale): what is shown of it and what comes back.

A line without `NAME_rated` was not rated: its resting value is not an answer.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _

from surveys.controls import NOTHING, flags
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
    """One measuring line on a page. The mark of an unrated one stands in the middle and counts for
    nothing."""

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

    @property
    def drawn(self) -> SafeString:
        """As HTML. In Python, for a page has many: a template took three times as long."""
        is_rated = self.value is not None
        state = {
            "data-rated": is_rated,
            "data-optional": self.optional,
            'data-start="middle"': self.start_middle,
            "data-missing": self.missing,
        }
        # Only what it needs: each value that goes in is escaped, which is most of the cost.
        return format_html(
            LINE,
            id=self.id,
            name=self.name,
            ask=self.ask,
            low=self.low,
            high=self.high,
            minimum=self.minimum,
            maximum=self.maximum,
            at=self.value if is_rated else round((self.minimum + self.maximum) / 2),
            record=self.record,
            state=flags(state),
            asked=self._own_text() if self.own_text_name else self._label(),
            called=format_html(CALLED, _("Your own statement")) if self.own_text_name else NOTHING,
            invalid=format_html(INVALID, self.id) if self.missing else NOTHING,
            checked=flags({"checked": is_rated}),
            confirm=_("I have rated this"),
            wrong=format_html(ERROR, self.id, self.error) if self.missing else NOTHING,
            na=self._not_applicable() if self.na_allowed else NOTHING,
        )

    def _label(self) -> SafeString:
        return format_html(LABEL, " sr" if self.ask_hidden else "", self.id, self.ask)

    def _own_text(self) -> SafeString:
        is_wrong = bool(self.error) and not self.missing
        return format_html(
            OWN_TEXT,
            id=self.id,
            name=self.own_text_name,
            label=self.own_text_label,
            value=self.own_text_value,
            described=f" {self.id}_error" if is_wrong else NOTHING,
            invalid=flags({'aria-invalid="true"': is_wrong}),
            wrong=format_html(ERROR, self.id, self.error) if is_wrong else NOTHING,
            hint=_("Optional. Leave both empty if there is nothing to add."),
        )

    def _not_applicable(self) -> SafeString:
        checked = flags({"checked": self.is_na})
        return format_html(NA, self.name, checked, _("N/A"), self.ask)


LINE = """\
<div class="vas"{state}>
  {asked}
  <div class="vas-body">
    <div class="vas-line"><input type="range" id="{id}" name="{name}"\
 min="{minimum}" max="{maximum}" value="{at}" autocomplete="off"{called}{invalid}></div>
    <div class="vas-ends" aria-hidden="true"><span class="vas-low">{low}</span>\
<span class="vas-note"></span><span class="vas-high">{high}</span></div>
    <label class="vas-confirm"><input type="checkbox" name="{name}_rated" autocomplete="off"\
{checked}> <span>{confirm}<span class="sr">: {ask}</span></span></label>
    <input type="hidden" name="{name}_record" value="{record}" autocomplete="off">
    {wrong}
  </div>
  {na}
</div>"""
LABEL = '<label class="vas-ask{}" for="{}">{}</label>'
OWN_TEXT = """\
<div>
    <label class="vas-ask" for="{id}_text">{label}</label>
    <input type="text" id="{id}_text" name="{name}" data-own-words\
 value="{value}" autocomplete="off"\
 aria-describedby="{id}_hint{described}"{invalid}>
    {wrong}
    <p class="hint" id="{id}_hint">{hint}</p>
  </div>"""
NA = """\
<label class="vas-na"><input type="checkbox" name="{}_na" autocomplete="off"{}>\
 <span>{}<span class="sr">: {}</span></span></label>"""
CALLED = ' aria-label="{}"'
ERROR = '<p class="error" id="{}_error">{}</p>'
INVALID = ' aria-invalid="true" aria-describedby="{}_error"'


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
