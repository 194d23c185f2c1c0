"""Answers read back from a released row: the way round from `cells`, as far as a row tells."""

from collections.abc import Mapping
from typing import Any

from collection.export.cells import Cells, released_choice
from collection.export.derive import ANSWERED, DECLINED, PREFER_NOT_TO_SAY
from surveys.instruments.conditions import Value
from surveys.instruments.released import (
    OTHER_TEXT,
    column_of,
    companion,
    is_coded,
    may_be_unknown,
    tells_declined,
)
from surveys.instruments.schema import (
    Country,
    Date,
    FreeText,
    Likert,
    Matrix,
    Multiple,
    Number,
    Question,
    Ranking,
    Slider,
    Sliders,
)

Row = Mapping[str, Any]


class NotTold(Exception):
    """The release does not say what was answered."""


def recovered(question: Question, row: Row) -> Value | None:
    """The answer as it was stored, but for what was typed beside it; None if there is none.

    Raises NotTold where the answer is not released, or not clearly.
    """
    if question.release.form == "none":
        raise NotTold(question.code)
    status = row.get(companion(question, "status"))
    if status == DECLINED:
        return {"declined": True}
    if status not in (None, ANSWERED):
        return None
    value = row[column_of(question)]
    match question:
        case Country():
            return _country(question, row)
        case Multiple() | Sliders() | Likert() | Matrix() | Ranking():
            # Without a status everybody was asked, or null would say more than one thing.
            is_answered = status == ANSWERED or (status is None and may_be_unknown(question))
            return _parts(question, value, is_answered=is_answered)
        case FreeText():
            return None if value is None else {"text": value}
        case Number():
            return None if value is None else {"number": value}
        case Date():
            return None if value is None else {"date": value}
        case Slider():
            if value is None and may_be_unknown(question):
                return {"score": None}
            return None if value is None else {"score": value}
    if question.release.form == "coded":
        return _coded(question, value)
    return _choice(question, value)


def _choice(question: Question, value: Any) -> Value | None:
    if is_coded(question):
        # Null, or a value: it may have been chosen, or be what own words were coded as.
        raise NotTold(question.code)
    if value is None:
        return None
    if value == PREFER_NOT_TO_SAY and tells_declined(question):
        return {"declined": True}
    return {"choice": _code(question, value)}


def coded_as(question: Question, row: Row) -> Value | None:
    """The option of which a coded answer is released, whether it was chosen or typed.

    Raises NotTold where that is none of the options.
    """
    value = row[column_of(question)]
    return None if value is None else {"choice": _code(question, value)}


def _code(question: Question, value: Any) -> str:
    found = [o.code for o in question.choices if released_choice(question, o.code) == value]
    if len(found) != 1:
        raise NotTold(question.code)
    return found[0]


def _coded(question: Question, value: Cells) -> Value | None:
    """An own description may read like an option, so only what is certain is told."""
    if value["self_described"] is None:
        return None
    if value["self_described"] == DECLINED and value["categorised"] == PREFER_NOT_TO_SAY:
        return {"declined": True}
    raise NotTold(question.code)


def _country(question: Country, row: Row) -> Value | None:
    if question.release.form == "place":
        code = row[column_of(question)][f"{question.release.side}_countryISO"]
    else:
        code = row[companion(question, "iso")]
    if code is None:
        return None
    return {"declined": True} if code == PREFER_NOT_TO_SAY else {"choice": code}


def _parts(
    question: Multiple | Sliders | Likert | Matrix | Ranking, cells: Cells, *, is_answered: bool
) -> Value | None:
    codes = [item.code for item in question.items]
    given = {code: cells[code] for code in codes if cells[code] is not None}
    if isinstance(question, Sliders) and question.na and (given or is_answered):
        is_own = bool(question.other) and cells[OTHER_TEXT] is not None
        given = {code: cells[code] for code in codes if code != question.last or is_own}
    elif not given and not is_answered:
        return None
    match question:
        case Multiple():
            return {"chosen": [code for code in codes if given.get(code)]}
        case Sliders():
            return {"scores": given}
        case Ranking():
            return {"ranked": sorted(given, key=lambda code: given[code])}
    return {"rows": {code: _cell(question, cell) for code, cell in given.items()}}


def _cell(question: Likert | Matrix, cell: Any) -> str | list[str]:
    if isinstance(cell, list):
        return [_code(question, value) for value in cell]
    return _code(question, cell)
