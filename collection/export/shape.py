"""Whether a row has the codebook's keys, in order, and each key a value of its type."""

import re
from collections.abc import Callable, Container, Iterable, Iterator
from datetime import date, datetime
from typing import Any, TypeGuard

from collection.export.columns import Column, Kind, Table, keys
from collection.export.lines import NAN, Problem, note, show
from surveys.instruments.remembered import remembered

FATAL = {"keys", "type", "null", "nan"}
"""After one of these a row's values can't be relied on to be there or to be of their type."""

TOO_LARGE = 2**63
"""What analysts' tools can't hold as an integer; nor does it pass for a number here."""

SCALAR = (str, int, float)

NUMBER = re.compile("(?:0|[1-9][0-9]{0,17})")
DATETIME_FORM = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d", re.ASCII)


def is_sound(problems: Iterable[Problem]) -> bool:
    return not any(problem.rule in FATAL and not problem.is_note for problem in problems)


def row_problems(table: Table, row: dict[str, Any], where: str = "") -> Iterator[Problem]:
    """where: path of a row within a row, such as `conversation_history[3]`."""
    if is_fine(row, table.key_order, parts_of(table)):
        return
    yield from key_problems(row, table.key_order, where, github=table.github)
    for column in table.columns:
        if column.key in row:
            path = f"{where}.{column.key}" if where else column.key
            yield from column_problems(column, row[column.key], path)


# Most rows are fine. That is found out first, without a message and a path for every value.

Test = Callable[[Any], bool]


@remembered
def parts_of(table: Table) -> tuple[tuple[str, Test], ...]:
    return tuple((column.key, test_of(column)) for column in table.columns)


def is_fine(row: Any, order: tuple[str, ...], parts: tuple[tuple[str, Test], ...]) -> bool:
    """Whether `row_problems` finds nothing for certain."""
    if not isinstance(row, dict) or tuple(row) != order:
        return False
    # No all(): its generator would take as long as the tests.
    for key, test in parts:  # noqa: SIM110
        if not test(row[key]):
            return False
    return True


def test_of(column: Column) -> Test:
    """Whether `column_problems` finds nothing; False also where it is not told fast."""
    test = typed_test(column)
    return (lambda value: value is None or test(value)) if column.nullable else test


def typed_test(column: Column) -> Test:
    allowed = frozenset(column.allowed)
    match column.kind:
        case "string id":
            form = re.compile(f"{column.prefix}(0|[1-9][0-9]{{0,17}})").fullmatch
            return lambda value: isinstance(value, str) and form(value) is not None
        case "string" | "categorical" if allowed:
            return lambda value: isinstance(value, str) and value in allowed
        case "string" | "categorical":
            return is_sound_text
        case "binary" if not allowed:
            return lambda value: value is True or value is False
        case "int" | "float" if not allowed:
            return number_test(column)
        case "datetime" if not allowed:
            return lambda value: isinstance(value, str) and is_datetime(value)
        case "dict" if column.is_ordered and not allowed:
            order, parts = keys(column), tuple((c.key, test_of(c)) for c in column.keys)
            return lambda value: is_fine(value, order, parts)
        case "history":
            return lambda value: isinstance(value, list)
    return lambda value: next(column_problems(column, value, ""), None) is None


def number_test(column: Column) -> Test:
    low = -TOO_LARGE if column.low is None else column.low
    high = TOO_LARGE if column.high is None else column.high
    kinds = (int,) if column.kind == "int" else (int, float)
    # bool is an int, but not by its type.
    return lambda value: (
        type(value) in kinds and low <= value <= high and -TOO_LARGE < value < TOO_LARGE
    )


def is_sound_text(value: Any) -> bool:
    if not isinstance(value, str):
        return False
    try:
        value.encode()
    except UnicodeEncodeError:  # a lone surrogate
        return False
    return True


def key_problems(
    row: dict[str, Any],
    order: tuple[str, ...],
    where: str,
    *,
    github: tuple[str, ...] = (),
    is_ordered: bool = True,
) -> Iterator[Problem]:
    name = f"{where}: " if where else ""
    missing = [key for key in order if key not in row]
    unknown = [key for key in row if key not in order]
    if missing:
        yield Problem("keys", f"{name}missing: {', '.join(missing)}")
    if unknown:
        yield Problem("keys", f"{name}unknown: {', '.join(show(key) for key in unknown)}")
    found = tuple(row)
    if missing or unknown or found == order or not is_ordered:
        return
    if github and found == github:
        yield note("key-order", "the order of PRISM's files on GitHub", once=True)
    else:
        first = next(key for key, right in zip(found, order, strict=True) if key != right)
        yield Problem("key-order", f"{name}not the codebook's order, from {first} on")


def column_problems(column: Column, value: Any, path: str) -> Iterator[Problem]:
    if value is NAN:
        yield Problem("nan", f"{path} is NaN or Infinity, which is no JSON; write null")
    elif value is None:
        if not column.nullable:
            yield Problem("null", f"{path} is null")
    elif not HAS_TYPE[column.kind](value):
        yield Problem("type", f"{path} is {show(value)}, not of type {column.kind}")
    else:
        yield from value_problems(column, value, path)


def value_problems(column: Column, value: Any, path: str) -> Iterator[Problem]:
    """What is wrong with a value of the right type."""
    if isinstance(value, str) and any("\ud800" <= character <= "\udfff" for character in value):
        yield Problem("utf-8", f"{path} has a lone surrogate")
    if column.allowed and isinstance(value, SCALAR) and value not in column.allowed:
        yield Problem("value", f"{path} is {show(value)}, not among the codebook's values")
    match column.kind:
        case "string id":
            if id_number(column.prefix, value) is None:
                yield Problem("id", f"{path} is {show(value)}, not {column.prefix} and a number")
        case "int" | "float":
            yield from bound_problems(column, value, path)
        case "list":
            yield from list_problems(column, value, path)
        case "list of dicts":
            yield from bound_problems(column, len(value), f"the length of {path}")
            for place, entry in enumerate(value):
                yield from dict_problems(column, entry, f"{path}[{place}]")
        case "date":
            yield from date_problems(column, value, path)
        case "datetime":
            if not is_datetime(value):
                yield Problem("value", f"{path} is {show(value)}, not YYYY-MM-DD HH:MM:SS")
        case "dict":
            yield from dict_problems(column, value, path)
        case "dict by question":
            for code, facts in value.items():
                yield from question_problems(column, code, facts, f"{path}.{code}")
        case "dict by utterance":
            for utterance, number in value.items():
                yield from number_problems(column, utterance, number, f"{path}.{utterance}")
        case "parameters":
            for key, parameter in value.items():
                if not isinstance(parameter, str | int) or isinstance(parameter, bool):
                    yield Problem("type", f"{path}.{key} is {show(parameter)}, not text or 0 or 1")


def bound_problems(column: Column, value: float | str, path: str) -> Iterator[Problem]:
    low, high = column.low, column.high
    if low is not None and value < low:  # type: ignore[operator]
        yield Problem("range", f"{path} is {show(value)}, below {show(low)}")
    if high is not None and value > high:  # type: ignore[operator]
        yield Problem("range", f"{path} is {show(value)}, above {show(high)}")


def list_problems(column: Column, values: list[Any], path: str) -> Iterator[Problem]:
    """What is in a list: each once, all of them known, as many as there should be."""
    unknown = [value for value in values if column.allowed and value not in column.allowed]
    if unknown:
        yield Problem("value", f"{path} has {show(unknown[0])}, not among the codebook's values")
    elif len(set(values)) < len(values):
        yield Problem("value", f"{path} has an entry twice: {show(values)}")
    else:
        yield from bound_problems(column, len(values), f"the length of {path}")


def date_problems(column: Column, value: str, path: str) -> Iterator[Problem]:
    if not is_date(value, column.digits):
        yield Problem("value", f"{path} is {show(value)}, not {DATE_FORMS[column.digits]}")
    else:
        yield from bound_problems(column, value, path)


def dict_problems(column: Column, value: Any, path: str) -> Iterator[Problem]:
    """What is wrong with one dict that has the column's keys."""
    if not isinstance(value, dict):
        yield Problem("type", f"{path} is {show(value)}, no object")
        return
    yield from key_problems(value, keys(column), path, is_ordered=column.is_ordered)
    for part in column.keys:
        if part.key in value:
            yield from column_problems(part, value[part.key], f"{path}.{part.key}")


def question_problems(column: Column, code: str, facts: Any, path: str) -> Iterator[Problem]:
    if code not in column.allowed:
        yield Problem("keys", f"{path}: no question of the instrument")
    else:
        yield from dict_problems(column, facts, path)


def number_problems(column: Column, utterance: str, number: Any, path: str) -> Iterator[Problem]:
    if id_number("ut", utterance) is None:
        yield Problem("id", f"{path}: the key is no utterance_id")
    elif number is NAN:
        yield Problem("nan", f"{path} is NaN or Infinity, which is no JSON; write null")
    elif number is not None and not is_number(number):
        yield Problem("type", f"{path} is {show(number)}, no number")
    elif number is not None:
        yield from bound_problems(column, number, path)


def is_integer(value: Any) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool) and abs(value) < TOO_LARGE


def is_number(value: Any) -> bool:
    return is_integer(value) or (isinstance(value, float) and abs(value) < TOO_LARGE)


def is_text(value: Any) -> bool:
    return isinstance(value, str)


def is_object(value: Any) -> bool:
    return isinstance(value, dict)


HAS_TYPE: dict[Kind, Callable[[Any], bool]] = {
    "string id": is_text,
    "string": is_text,
    "categorical": is_text,
    "datetime": is_text,
    "binary": lambda value: isinstance(value, bool),
    "int": is_integer,
    "float": is_number,
    "date": is_text,
    "list": lambda value: isinstance(value, list) and all(isinstance(x, SCALAR) for x in value),
    "list of dicts": lambda value: isinstance(value, list),
    "dict": is_object,
    "dict by question": is_object,
    "dict by utterance": is_object,
    "parameters": is_object,
    "json": is_object,
    "history": lambda value: isinstance(value, list),
}


DATE_FORMS = {10: "YYYY-MM-DD", 7: "YYYY-MM", 4: "YYYY"}


def is_date(value: str, digits: int) -> bool:
    """Whether it is an ISO date of so many characters."""
    if len(value) != digits:
        return False
    try:
        return date.fromisoformat(value + "0000-01-01"[digits:]).isoformat()[:digits] == value
    except ValueError:
        return False


def is_datetime(value: str) -> bool:
    if not DATETIME_FORM.fullmatch(value):
        return False
    try:
        datetime.fromisoformat(value)  # a sixth of what strptime takes
    except ValueError:
        return False
    return True


def id_number(prefix: str, value: Any) -> int | None:
    """12 of user12; None if it is not the prefix and a number without leading zeros."""
    if not isinstance(value, str) or not value.startswith(prefix):
        return None
    digits = value.removeprefix(prefix)
    # Eighteen digits: more than any release has, and Python refuses to read thousands.
    return int(digits) if NUMBER.fullmatch(digits) else None


class Sequence:
    """Ids in the order of the file: 0, 1, 2, each once. has_gaps: of a patch, which keeps the ids
    of the release it mends, so that some may be missing."""

    def __init__(self, prefix: str, *, has_gaps: bool = False) -> None:
        self.prefix = prefix
        self.has_gaps = has_gaps
        self.last = -1

    def problems(self, value: Any, known: Container[str]) -> Iterator[Problem]:
        """known: the ids of the rows above."""
        number = id_number(self.prefix, value)
        if number is None:
            return
        if value in known:
            yield Problem("unique", f"{value} was given to an earlier row")
            return
        if number != self.last + 1 and not (self.has_gaps and number > self.last):
            before = f"{self.prefix}{self.last}" if self.last >= 0 else "nothing"
            yield Problem(
                "sequence", f"{value} follows {before}; expected {self.prefix}{self.last + 1}"
            )
        self.last = number
