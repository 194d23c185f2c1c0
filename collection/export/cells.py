"""What a person said, as their row's cells: codes become released words here, and only here."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from collection.export.columns import filled, keys, nothing
from collection.export.derive import (
    ANSWERED,
    DECLINED,
    NOT_SHOWN,
    PREFER_NOT_TO_SAY,
    SAME,
    SIDE_FIELDS,
    SKIPPED,
    SPECIAL,
    codes_of,
    columns_of,
    is_told,
    place_column,
    released_value,
    sides_of,
)
from surveys.instruments.conditions import Value, is_answer, is_declined
from surveys.instruments.released import (
    DECLINING,
    OTHER_TEXT,
    column_of,
    companion,
    conditional,
    is_coded,
    is_numeric,
    order_of,
    tells_declined,
)
from surveys.instruments.schema import (
    Check,
    Comprehension,
    Country,
    InstrumentFile,
    Likert,
    Matrix,
    Multiple,
    Question,
    Ranking,
    Sliders,
)
from surveys.places import place, special_region
from surveys.veil import REDACTED

Cells = dict[str, Any]


@dataclass(frozen=True)
class Said:
    """All that one person's cells are made from.

    values: question code -> answer, of questions that were shown; attempts: of comprehension
    checks; orders: scope -> codes as drawn.
    """

    file: InstrumentFile
    values: Mapping[str, Value]
    attempts: Mapping[str, Sequence[str]] = field(default_factory=dict)
    orders: Mapping[str, Sequence[str]] = field(default_factory=dict)
    coded: Mapping[str, str] = field(default_factory=dict)
    """Question code -> what its own words were coded as: a category's name, or an option's code."""


def cells(said: Said) -> Cells:
    """Every column of every question."""
    found: Cells = {}
    behind = conditional(said.file)
    for question in said.file.questions():
        if question.release.form == "place" and column_of(question) not in found:
            found[column_of(question)] = places(said, column_of(question))
        found |= question_cells(said, question, is_conditional=question.code in behind)
    return found


def question_cells(said: Said, question: Question, *, is_conditional: bool) -> Cells:
    columns = columns_of(question, is_conditional=is_conditional)
    value = said.values.get(question.code)
    known: Cells = {}
    if value is not None:
        code = said.coded.get(question.code)
        known = _main(question, value, code) | _beside(said, question, value)
    known[companion(question, "status")] = status(value)
    return {column.key: known.get(column.key, nothing(column)) for column in columns}


def status(value: Value | None) -> str:
    if value is None:
        return NOT_SHOWN
    if is_answer(value):
        return ANSWERED
    return DECLINED if is_declined(value) else SKIPPED


def _beside(said: Said, question: Question, value: Value) -> Cells:
    found: Cells = {}
    if question.is_shuffled:
        found[order_of(question)] = option_order(said, question)
    if isinstance(question, Comprehension):
        found[companion(question, "attempts")] = len(said.attempts.get(question.code, ())) or None
    if isinstance(question, Check) and is_answer(value):
        found[companion(question, "passed")] = value["choice"] in question.correct
    if is_answer(value) and value.get("text"):
        found[companion(question, "text")] = value["text"].strip()
    return found


def _main(question: Question, value: Value, code: str | None) -> Cells:
    """The question's own column; empty if nothing is in it."""
    key = column_of(question)
    if question.release.form == "coded":
        return {key: identity(question, value, code)}
    if is_coded(question) and describes_oneself(question, value):
        return {key: coded_choice(question, code)}
    if is_declined(value) and tells_declined(question):
        if isinstance(question, Country):
            return dict.fromkeys((key, companion(question, "iso")), PREFER_NOT_TO_SAY)
        return {key: released_choice(question, value.get("choice")) or PREFER_NOT_TO_SAY}
    if not is_answer(value):
        return {}
    if isinstance(question, Country):
        home = place(value["choice"])
        return {key: home.name, companion(question, "iso"): home.iso3}
    return {key: _answer(question, value)}


def _answer(question: Question, value: Value) -> Any:
    match question:
        case Multiple():
            chosen: Cells = {
                item.code: int(item.code in value["chosen"]) for item in question.items
            }
            return chosen | _own_words(question, value)
        case Sliders():
            return _scores(question, value)
        case Likert() | Matrix():
            rows = value["rows"]
            return {item.code: _cell(question, rows.get(item.code)) for item in question.items}
        case Ranking():
            at = {code: n for n, code in enumerate(value["ranked"], start=1)}
            return {item.code: at.get(item.code) for item in question.items}
    if "choice" in value:
        return released_choice(question, value["choice"])
    for name in ("score", "number", "date"):
        if name in value:
            return value[name]
    return value["text"].strip()


def _own_words(question: Multiple | Sliders, value: Value) -> Cells:
    return {OTHER_TEXT: value["other_text"] or None} if question.other else {}


def _scores(question: Sliders, value: Value) -> Cells:
    """Scores as stored; one's own counts only beside a typed text."""
    scores = value["scores"]
    found: Cells = {item.code: scores.get(item.code) for item in question.items}
    found |= _own_words(question, value)
    if question.last is not None and found[OTHER_TEXT] is None:
        found[question.last] = None
    return found


def _cell(question: Question, cell: Any) -> Any:
    if isinstance(cell, str) or cell is None:
        return released_choice(question, cell)
    # Choices that are released as one value count once.
    return list(dict.fromkeys(released_choice(question, code) for code in cell))


def released_choice(question: Question, code: str | None) -> str | int | None:
    """The released word or number of a choice; None for own words that wait to be coded."""
    option = next((o for o in question.choices if o.code == code), None)
    if option is None or not is_told(question, option.code):
        return None
    return released_value(question, option)


# Self-descriptions


def describes_oneself(question: Question, value: Value) -> bool:
    """Whether the person typed who they are instead of choosing."""
    return is_answer(value) and value.get("choice") == getattr(question, "self_describe", None)


def coded_choice(question: Question, code: str | None) -> str | int | None:
    """The option that own words were coded as; None until they are, or if it is not offered."""
    if code is None or code not in codes_of(question):
        return None
    found = released_choice(question, code)
    is_ambiguous = code == DECLINING and not is_numeric(question)
    return found or PREFER_NOT_TO_SAY if is_ambiguous else found


def identity(question: Question, value: Value, code: str | None = None) -> Cells:
    """What was typed waits to be coded: its categories are not known until then."""
    (column, *_rest) = columns_of(question, is_conditional=False)
    found: tuple[str | None, str | None, str | None]
    if is_declined(value):
        found = (DECLINED, PREFER_NOT_TO_SAY, PREFER_NOT_TO_SAY)
    elif not is_answer(value):
        found = (None, None, None)
    elif not describes_oneself(question, value):
        label = str(released_choice(question, value["choice"]))
        categories = question.release.categories
        found = (cleaned(label), label if label in categories else None, categories.get(label))
    else:
        found = (cleaned(value.get("text") or ""), *categories_of(question, code))
        if found[0] == DECLINED:  # whoever types so says so
            found = (DECLINED, PREFER_NOT_TO_SAY, PREFER_NOT_TO_SAY)
    return filled(column, dict(zip(keys(column), found, strict=True)))


def categories_of(question: Question, code: str | None) -> tuple[str | None, str | None]:
    """(categorised, simplified) of a code; null if there is none, or another version's."""
    if code == DECLINING:
        return PREFER_NOT_TO_SAY, PREFER_NOT_TO_SAY
    simplified = question.release.categories.get(code or "")
    return (code, simplified) if simplified is not None else (None, None)


def cleaned(typed: str) -> str:
    """A self-description as PRISM released it: lower case, without punctuation. The mark of what
    was covered stays as it is everywhere."""
    for mark in "?.'\"!,;":
        typed = typed.replace(mark, "")
    return typed.lower().strip().replace(REDACTED.lower(), REDACTED)


# Places


def places(said: Said, key: str) -> Cells:
    """The countries of birth and of residence, and what follows from the two."""
    found: Cells = {}
    chosen: dict[str, str | None] = {}
    for side, question in sides_of(said.file, key).items():
        value = said.values.get(question.code)
        chosen[side] = _country(value)
        found |= _side(side, chosen[side])
    if len(chosen) > 1:
        found[SAME] = _same(chosen["birth"], chosen["reside"])
    if "birth" in chosen:
        birth = chosen["birth"]
        found[SPECIAL] = birth if birth in (None, PREFER_NOT_TO_SAY) else special_region(birth)
    return filled(place_column(said.file, key), found)


def _country(value: Value | None) -> str | None:
    """A code, PREFER_NOT_TO_SAY, or None."""
    if value is None or not (is_answer(value) or is_declined(value)):
        return None
    choice: str = value["choice"] if is_answer(value) else PREFER_NOT_TO_SAY
    return choice


def _side(side: str, country: str | None) -> Cells:
    """The four fields of the country of birth or of residence."""
    fields = [f"{side}_{part}" for part in SIDE_FIELDS[side]]
    if country is None or country == PREFER_NOT_TO_SAY:
        return dict.fromkeys(fields, country)
    home = place(country)
    facts = {
        "country": home.name,
        "countryISO": home.iso3,
        "region": home.region,
        "subregion": home.subregion,
    }
    return {f"{side}_{part}": fact for part, fact in facts.items()}


def _same(birth: str | None, reside: str | None) -> str | None:
    if birth is None or reside is None:
        return None
    if PREFER_NOT_TO_SAY in (birth, reside):
        return PREFER_NOT_TO_SAY
    return "Yes" if birth == reside else "No"


# Drawn orders


def option_order(said: Said, question: Question) -> Cells:
    """Where each option stood, from 1: as drawn for the person, else as in the instrument."""
    drawn = said.orders.get(question.code) or as_written(question)
    at = {code: n for n, code in enumerate(drawn, start=1)}
    return {item.code: at.get(item.code) for item in question.items}


def as_written(question: Question) -> list[str]:
    """The order of the file, but for what has its place at an end."""
    ends = {"first": 0, None: 1, "last": 2}
    items = sorted(
        question.items, key=lambda item: 3 if item.code == question.last else ends[item.anchor]
    )
    return [item.code for item in items]
