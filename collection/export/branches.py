"""Whether a survey row has values exactly where the person was asked."""

from collections.abc import Iterator, Mapping
from typing import Any

from collection.export.columns import Column, is_nothing
from collection.export.derive import (
    ANSWERED,
    DECLINED,
    SIDE_FIELDS,
    columns_of,
    is_silent,
)
from collection.export.lines import Problem, show
from collection.export.recover import NotTold, recovered
from surveys.instruments.conditions import Condition, Value
from surveys.instruments.released import (
    column_of,
    companion,
    conditions,
    has_status,
    may_be_unknown,
)
from surveys.instruments.schema import InstrumentFile, Question

Row = Mapping[str, Any]


def branch_problems(file: InstrumentFile, row: Row) -> Iterator[Problem]:
    needed = conditions(file)
    questions = {question.code: question for question in file.questions()}
    arms = {variant.code: row[variant.code] for variant in file.variants}
    for question in questions.values():
        if question.release.form == "none":
            continue
        shown = is_shown(needed[question.code], questions, arms, row)
        if shown is not None:
            yield from _question_problems(question, bool(needed[question.code]), shown, row)


def is_shown(
    needed: tuple[Condition, ...],
    questions: Mapping[str, Question],
    arms: Mapping[str, str],
    row: Row,
) -> bool | None:
    """Whether the row's own answers lead to a question; None if the row does not tell."""
    values: dict[str, Value] = {}
    codes = {leaf.question for condition in needed for leaf in condition.leaves()} - {None}
    try:
        for code in codes:
            value = recovered(questions[str(code)], row)
            if value is not None:
                values[str(code)] = value
    except NotTold:
        return None
    return all(condition.holds(values, arms) for condition in needed)


def _question_problems(
    question: Question, is_conditional: bool, shown: bool, row: Row
) -> Iterator[Problem]:
    columns = columns_of(question, is_conditional=is_conditional, is_shown=shown)
    if question.release.form == "place":
        yield from _side_problems(question, shown, row)
    for column in columns:
        if shown and _lacks(column, row[column.key]):
            yield Problem("branch", f"{column.key} has nulls though its question was shown")
        if not shown and not is_nothing(column, row[column.key]):
            yield Problem("branch", f"{column.key} has values though its question was not shown")
    if shown and has_status(question, is_conditional=is_conditional):
        yield from _status_problems(question, columns, row)


def _lacks(column: Column, value: Any) -> bool:
    """Whether there is a null that nobody who was asked can have."""
    if column.kind == "dict" and isinstance(value, dict):
        return any(_lacks(part, value[part.key]) for part in column.keys)
    return value is None and not column.nullable


def _side_problems(question: Question, shown: bool, row: Row) -> Iterator[Problem]:
    side = question.release.side or ""
    place = row[column_of(question)]
    name = f"{column_of(question)}.{side}_*"
    has_values = [place[f"{side}_{part}"] is not None for part in SIDE_FIELDS[side]]
    if shown and question.required and not any(has_values):
        yield Problem("branch", f"{name} has nulls though its question was shown")
    if not shown and any(has_values):
        yield Problem("branch", f"{name} has values though its question was not shown")


def _status_problems(
    question: Question, columns: tuple[Column, ...], row: Row
) -> Iterator[Problem]:
    """The companion column against the one it explains."""
    key = companion(question, "status")
    status = row[key]
    column = next(column for column in columns if column.key == key)
    if status not in column.allowed:
        yield Problem("status", f"{key} is {show(status)}, but the question was shown")
        return
    main = next((column for column in columns if column.key == column_of(question)), None)
    if main is None or (status == DECLINED and not is_silent(question)):
        return
    is_empty = is_nothing(main, row[main.key])
    if status != ANSWERED and not is_empty:
        yield Problem("status", f"{main.key} has values, but {key} is {show(status)}")
    if status == ANSWERED and is_empty and not may_be_unknown(question):
        yield Problem("status", f"{main.key} is null, but {key} is {show(status)}")
