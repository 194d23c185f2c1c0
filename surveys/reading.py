"""What a page's form sent, read as answers; and answers as the form that would send them.

`Response.value`, by type of question:
single, ordinal, country, attention, comprehension  {"choice": code, "text": str|null}
multiple                                            {"chosen": [codes], "other_text": str|null}
sliders                             {"scores": {item: int|null for N/A}, "other_text": str|null}
slider                                              {"score": int|null for N/A}
likert, matrix                                      {"rows": {item: code, or [codes]}}
ranking                                             {"ranked": [codes, the foremost first]}
text                                                {"text": str}
number                                              {"number": int|float}
date                                                {"date": "2001-05-17", "2001-05" or "2001"}
any                 {"declined": true} for "Prefer not to say", {"skipped": true} if optional
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal, InvalidOperation
from typing import Any

from django.http import QueryDict
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from surveys.errors import DomainError, FieldErrors
from surveys.instruments.conditions import Value
from surveys.instruments.schema import (
    PREFER_NOT_TO_SAY,
    BaseQuestion,
    Check,
    Country,
    Date,
    FreeText,
    Likert,
    Matrix,
    Multiple,
    Number,
    Ordinal,
    Question,
    Ranking,
    Scale,
    Single,
    Slider,
    Sliders,
)
from surveys.places import choices as country_choices
from surveys.sliders import Mark, Touch, read_mark
from surveys.texts import clean_text

DECLINED: dict[str, Any] = {"declined": True}
SKIPPED: dict[str, Any] = {"skipped": True}
RADIO = (Single, Ordinal, Check, Country)
"""Types whose "Prefer not to say" is one more option, not a box of its own."""


@dataclass
class Answer:
    """A checked answer. touches: of lines only, item ("" for a single line) -> `Touch.as_json`."""

    value: dict[str, Any]
    touches: dict[str, Any] = field(default_factory=dict)


@dataclass
class Stored(Answer):
    """An answer as `Response` has it."""

    attempts: list[str] = field(default_factory=list)
    is_shown: bool = True


def read(question: Question, data: QueryDict, untouched_counts: bool) -> Answer:
    """The answer to one question. Raises DomainError or FieldErrors in the person's words."""
    if question.prefer_not_to_say and declines(question, data):
        return Answer(dict(DECLINED))
    if not question.required and is_empty(question, data):
        return Answer(dict(SKIPPED))
    match question:
        case Single():
            return read_single(question, data)
        case Ordinal() | Check():
            return Answer({"choice": chosen_option(question, data), "text": None})
        case Country():
            return read_country(question, data)
        case Multiple():
            return read_multiple(question, data)
        case Sliders():
            return read_sliders(question, data, untouched_counts)
        case Slider():
            return read_slider(question, data, untouched_counts)
        case Likert():
            return read_rows(question, data, is_multiple=False)
        case Matrix():
            return read_rows(question, data, is_multiple=question.multiple)
        case Ranking():
            return read_ranking(question, data)
        case FreeText():
            return read_text(question, data)
        case Number():
            return read_number(question, data)
        case Date():
            return read_date(question, data)


def declines(question: BaseQuestion, data: QueryDict) -> bool:
    if isinstance(question, RADIO):
        return data.get(question.code) == PREFER_NOT_TO_SAY
    return f"{question.code}_declined" in data


def is_empty(question: BaseQuestion, data: QueryDict) -> bool:
    """Whether nothing at all was given. A line that nobody touched gives nothing."""
    for name in data:
        if name != question.code and not name.startswith(f"{question.code}_"):
            continue
        if isinstance(question, Scale) and not name.endswith(("_rated", "_na", "_other_text")):
            continue
        if any(value.strip() for value in data.getlist(name)):
            return False
    return True


def chosen_option(question: Single | Ordinal | Check, data: QueryDict) -> str:
    choice = data.get(question.code, "")
    if choice not in {option.code for option in question.choices}:
        raise DomainError("missing", _("Please choose one answer."))
    return choice


def read_single(question: Single, data: QueryDict) -> Answer:
    choice = chosen_option(question, data)
    if choice != question.self_describe:
        return Answer({"choice": choice, "text": None})
    text = clean_text(data.get(f"{question.code}_text", ""), question.max_length)
    if not text:
        raise DomainError("missing", _("Please describe it in your own words, or choose another."))
    return Answer({"choice": choice, "text": text})


def read_country(question: Country, data: QueryDict) -> Answer:
    choice = data.get(question.code, "")
    if choice != PREFER_NOT_TO_SAY and choice not in dict(country_choices()):
        raise DomainError("missing", _("Please choose a country from the list."))
    return Answer({"choice": choice, "text": None})


def read_multiple(question: Multiple, data: QueryDict) -> Answer:
    known = {item.code: item for item in question.items}
    chosen = set(data.getlist(question.code))
    text = clean_text(data.get(f"{question.code}_other_text", ""), question.max_length)
    if not chosen or not chosen <= set(known):
        raise DomainError("missing", _("Please choose at least one answer."))
    alone = [known[code] for code in chosen if known[code].exclusive]
    if alone and len(chosen) > 1:
        raise DomainError(
            "exclusive",
            _("“%(option)s” cannot be chosen together with other answers.")
            % {"option": alone[0].label},
        )
    if not alone:
        check_how_many(question, len(chosen))
    if not question.other or question.other.code not in chosen:
        text = ""
    return Answer(
        {"chosen": [code for code in known if code in chosen], "other_text": text or None}
    )


def check_how_many(question: Multiple, chosen: int) -> None:
    if chosen < question.minimum:
        raise DomainError(
            "too_few",
            ngettext(
                "Please choose at least %(n)d answer.",
                "Please choose at least %(n)d answers.",
                question.minimum,
            )
            % {"n": question.minimum},
        )
    if question.maximum is not None and chosen > question.maximum:
        raise DomainError(
            "too_many",
            ngettext(
                "Please choose at most %(n)d answer.",
                "Please choose at most %(n)d answers.",
                question.maximum,
            )
            % {"n": question.maximum},
        )


def read_sliders(question: Sliders, data: QueryDict, untouched_counts: bool) -> Answer:
    errors: dict[str, str] = {}
    marks: dict[str, Mark] = {}
    other_text = ""
    try:
        other_text = clean_text(data.get(f"{question.code}_other_text", ""), question.max_length)
    except DomainError as error:
        errors[f"{question.code}_other_text"] = error.message
    for item in question.items:
        name = f"{question.code}_{item.code}"
        try:
            mark = line_mark(question, data, name, untouched_counts)
        except DomainError as error:
            errors[name] = error.message
            continue
        if item.code == question.last and not other_text:
            continue  # a line moved without a statement rates nothing
        if not mark.is_missing:
            marks[item.code] = mark
        elif question.required or item.code == question.last:
            errors[name] = _("Please rate this")
    if errors:
        raise FieldErrors(errors)
    if not marks:
        return Answer(dict(SKIPPED))
    return Answer(
        {
            "scores": {code: mark.value for code, mark in marks.items()},
            "other_text": other_text or None,
        },
        {code: mark.touch.as_json() for code, mark in marks.items() if mark.is_touched},
    )


def read_slider(question: Slider, data: QueryDict, untouched_counts: bool) -> Answer:
    mark = line_mark(question, data, question.code, untouched_counts)
    if mark.is_missing:
        raise DomainError("missing", _("Please rate this"))
    return Answer({"score": mark.value}, {"": mark.touch.as_json()} if mark.is_touched else {})


def line_mark(question: Scale, data: QueryDict, name: str, untouched_counts: bool) -> Mark:
    return read_mark(
        data,
        name,
        minimum=question.minimum,
        maximum=question.maximum,
        na_allowed=question.na,
        untouched_counts=untouched_counts,
    )


def read_rows(question: Likert | Matrix, data: QueryDict, *, is_multiple: bool) -> Answer:
    known = [option.code for option in question.choices]
    errors: dict[str, str] = {}
    rows: dict[str, str | list[str]] = {}
    for item in question.items:
        name = f"{question.code}_{item.code}"
        given = data.getlist(name)
        if not set(given) <= set(known) or (question.required and not given):
            errors[name] = (
                _("Please choose at least one answer.")
                if is_multiple
                else _("Please choose one answer.")
            )
        elif given:
            rows[item.code] = (
                [code for code in known if code in given] if is_multiple else given[-1]
            )
    if errors:
        raise FieldErrors(errors)
    return Answer({"rows": rows} if rows else dict(SKIPPED))


def read_ranking(question: Ranking, data: QueryDict) -> Answer:
    """Each item's place is sent as CODE_item: 1, 2, … or empty."""
    at: dict[int, str] = {}
    for item in question.items:
        raw = data.get(f"{question.code}_{item.code}", "").strip()
        if not raw:
            continue
        place = whole_number(raw)
        if place is None or not 1 <= place <= question.places:
            raise DomainError("out_of_range", _("Please choose a place from the list."))
        if place in at:
            raise DomainError(
                "twice", _("Two items have the same place. Please give each a place of its own.")
            )
        at[place] = item.code
    if len(at) < question.places:
        missing = question.places - len(at)
        raise DomainError(
            "missing",
            ngettext(
                "Please give %(n)d more item a place.",
                "Please give %(n)d more items a place.",
                missing,
            )
            % {"n": missing},
        )
    return Answer({"ranked": [at[place] for place in sorted(at)]})


def read_text(question: FreeText, data: QueryDict) -> Answer:
    text = clean_text(data.get(question.code, ""), question.max_length)
    if not text:
        raise DomainError("missing", _("Please write a few words."))
    if len(text) < question.min_length:
        raise DomainError("too_short", _("Please write a little more."))
    return Answer({"text": text})


def read_number(question: Number, data: QueryDict) -> Answer:
    raw = data.get(question.code, "").strip().replace(" ", "").replace("\u00a0", "")
    if not raw:
        raise DomainError("missing", _("Please write a number."))
    number = decimal(raw)
    if number is None:
        raise DomainError("not_a_number", _("Please write this as a number, such as 12."))
    if number != round(number, question.decimals):
        raise DomainError(
            "decimals",
            _("Please write a whole number.")
            if question.decimals == 0
            else ngettext(
                "Please write at most %(n)d digit after the decimal point.",
                "Please write at most %(n)d digits after the decimal point.",
                question.decimals,
            )
            % {"n": question.decimals},
        )
    check_bounds(question, number)
    return Answer({"number": float(number) if question.decimals else int(number)})


def check_bounds(question: Number, number: Decimal) -> None:
    low, high = question.minimum, question.maximum
    is_low = low is not None and number < Decimal(str(low))
    is_high = high is not None and number > Decimal(str(high))
    if not (is_low or is_high):
        return
    shown = {"low": plain(low), "high": plain(high)}
    if low is not None and high is not None:
        message = _("Please write a number from %(low)s to %(high)s.")
    elif low is not None:
        message = _("Please write a number of at least %(low)s.")
    else:
        message = _("Please write a number of at most %(high)s.")
    raise DomainError("out_of_range", message % shown)


def plain(number: float | None) -> str:
    return "" if number is None else f"{number:g}" if abs(number) < 1e6 else f"{number:.0f}"


def decimal(raw: str) -> Decimal | None:
    """The number somebody typed, with either decimal sign; None if it is none."""
    if len(raw) > 30 or "_" in raw:
        return None
    try:
        number = Decimal(raw.replace(",", "."))
    except InvalidOperation:
        return None
    return number if number.is_finite() and abs(number) < Decimal("1e15") else None


def whole_number(raw: str) -> int | None:
    number = decimal(raw)
    return int(number) if number is not None and number == number.to_integral_value() else None


DATE_PARTS = {"day": ("year", "month", "day"), "month": ("year", "month"), "year": ("year",)}


def read_date(question: Date, data: QueryDict) -> Answer:
    """Its parts are sent as CODE_year, CODE_month and CODE_day."""
    raw = {part: data.get(f"{question.code}_{part}", "") for part in DATE_PARTS[question.precision]}
    if not all(text.strip() for text in raw.values()):
        raise DomainError("missing", _("Please fill in the whole date."))
    parts = {part: whole_number(text.strip()) for part, text in raw.items()}
    try:
        day = date(parts["year"] or 0, parts.get("month", 1) or 0, parts.get("day", 1) or 0)
    except (ValueError, OverflowError) as error:
        raise DomainError(
            "no_date", _("This date does not exist. Please check day, month and year.")
        ) from error
    text = day.isoformat()[: {"day": 10, "month": 7, "year": 4}[question.precision]]
    check_dates(question, text)
    return Answer({"date": text})


def check_dates(question: Date, text: str) -> None:
    """ISO dates sort as their days do, if cut to the same length."""
    today = timezone.now().date().isoformat()
    latest = today if question.latest == "today" else question.latest
    if question.earliest and text < question.earliest[: len(text)]:
        raise DomainError("too_early", _("Please give a date not before %s.") % question.earliest)
    if latest and text > latest[: len(text)]:
        raise DomainError("too_late", _("Please give a date not after %s.") % latest)


# Answers as the form that would send them

Fields = dict[str, list[str]]


def as_fields(question: Question, value: Value, touches: Mapping[str, Any]) -> Fields:
    """Stored answers as their form sends them: name -> values."""
    code = question.code
    if value.get("skipped"):
        return {}
    if value.get("declined"):
        is_radio = isinstance(question, RADIO)
        return {code: [PREFER_NOT_TO_SAY]} if is_radio else {f"{code}_declined": ["on"]}
    for key, write in WRITERS.items():
        if key in value:
            return write(code, value, touches)
    return {}


def _choice(code: str, value: Value, _touches: Mapping[str, Any]) -> Fields:
    return {code: [value["choice"]], f"{code}_text": [value["text"] or ""]}


def _chosen(code: str, value: Value, _touches: Mapping[str, Any]) -> Fields:
    return {code: list(value["chosen"]), f"{code}_other_text": [value["other_text"] or ""]}


def _scores(code: str, value: Value, touches: Mapping[str, Any]) -> Fields:
    fields = {f"{code}_other_text": [value["other_text"] or ""]}
    for item, score in value["scores"].items():
        fields |= _line(f"{code}_{item}", score, touches.get(item))
    return fields


def _score(code: str, value: Value, touches: Mapping[str, Any]) -> Fields:
    return _line(code, value["score"], touches.get(""))


def _line(name: str, score: int | None, touch: Mapping[str, Any] | None) -> Fields:
    fields = {f"{name}_na": ["on"]} if score is None else {name: [str(score)]}
    if touch is not None:
        record = {key: touch.get(key) for key in Touch().as_json()}  # in one order on any database
        fields |= {f"{name}_rated": ["on"], f"{name}_record": [json.dumps(record)]}
    return fields


def _rows(code: str, value: Value, _touches: Mapping[str, Any]) -> Fields:
    return {
        f"{code}_{item}": [cell] if isinstance(cell, str) else list(cell)
        for item, cell in value["rows"].items()
    }


def _ranked(code: str, value: Value, _touches: Mapping[str, Any]) -> Fields:
    return {f"{code}_{item}": [str(at)] for at, item in enumerate(value["ranked"], start=1)}


def _text(code: str, value: Value, _touches: Mapping[str, Any]) -> Fields:
    return {code: [value["text"]]}


def _number(code: str, value: Value, _touches: Mapping[str, Any]) -> Fields:
    return {code: [f"{Decimal(str(value['number'])).normalize():f}"]}


def _date(code: str, value: Value, _touches: Mapping[str, Any]) -> Fields:
    parts = zip(("year", "month", "day"), value["date"].split("-"), strict=False)
    return {f"{code}_{part}": [str(int(text))] for part, text in parts}


WRITERS: dict[str, Callable[[str, Value, Mapping[str, Any]], Fields]] = {
    "choice": _choice,
    "chosen": _chosen,
    "scores": _scores,
    "score": _score,
    "rows": _rows,
    "ranked": _ranked,
    "text": _text,
    "number": _number,
    "date": _date,
}
"""By the key that only this kind of value has; "choice" before "text", which it has too."""
