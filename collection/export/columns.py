"""What a released column is, and rows made of columns."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

Kind = Literal[
    "string id",
    "string",
    "categorical",
    "binary",
    "int",
    "float",
    "datetime",
    "date",
    "list",
    "dict",
    "dict by question",
    "dict by utterance",
    "parameters",
    "history",
]
Category = Literal["direct", "meta", "constructed", "NA"]
KeyOrder = Literal["codebook", "github"]


@dataclass(frozen=True)
class Column:
    """One key of a row, or of a dict within it.

    allowed: all its values, or those of a list, if they can be listed; low, high: bounds of a
    number, a date or the length of a list, inclusive; keys: the columns of a dict, in this order
    if is_ordered; prefix: of an id; digits: of a date, 10, 7 or 4; absent: what stands there for
    somebody who was not asked; question: what people were asked, word for word; notes: what a
    reader must know to use it; source: where its values come from, if its category does not say.
    """

    key: str
    kind: Kind
    category: Category
    label: str
    nullable: bool = False
    allowed: tuple[Any, ...] = ()
    low: float | str | None = None
    high: float | str | None = None
    keys: tuple["Column", ...] = ()
    is_ordered: bool = True
    prefix: str = ""
    digits: int = 0
    absent: str | None = None
    question: str = ""
    notes: str = ""
    source: str = ""

    @property
    def origin(self) -> str:
        return self.source or ORIGINS[self.category]


ORIGINS: dict[Category, str] = {
    "direct": "the participant",
    "meta": "recorded by Refract",
    "constructed": "derived from other values",
    "NA": "that of its keys",
}
"""Where a column comes from that does not say it in particular."""


class CodebookError(Exception):
    """A row was built with other keys than the codebook has."""


@dataclass(frozen=True)
class Table:
    """One file: its columns in the order of the current codebook.

    github: the order of the files in PRISM's GitHub repository, where it differs; one_row: what a
    row is.
    """

    name: str
    columns: tuple[Column, ...]
    github: tuple[str, ...] = ()
    one_row: str = ""

    @cached_property
    def key_order(self) -> tuple[str, ...]:
        """The current codebook's."""
        return tuple(column.key for column in self.columns)

    @cached_property
    def by_key(self) -> dict[str, Column]:
        return {column.key: column for column in self.columns}

    def row(self, values: Mapping[str, Any], order: KeyOrder = "codebook") -> dict[str, Any]:
        """The values in the codebook's order. Raises CodebookError if a key is missing or extra."""
        is_github = order == "github" and self.github
        return _in_order(self.name, values, self.github if is_github else self.key_order)


def filled(column: Column, values: Mapping[str, Any]) -> dict[str, Any]:
    """A dict column's values in the codebook's order. Raises CodebookError as `Table.row` does."""
    return _in_order(column.key, values, keys(column))


def nothing(column: Column) -> Any:
    """What a column holds for somebody who was not asked: mostly null, or a dict of nulls."""
    if column.kind == "dict":
        return {part.key: nothing(part) for part in column.keys}
    return column.absent


def is_nothing(column: Column, value: Any) -> bool:
    if column.kind == "dict" and isinstance(value, dict):
        return all(is_nothing(part, value.get(part.key)) for part in column.keys)
    return bool(value == column.absent)


def keys(column: Column) -> tuple[str, ...]:
    return tuple(part.key for part in column.keys)


def _in_order(name: str, values: Mapping[str, Any], order: tuple[str, ...]) -> dict[str, Any]:
    if set(values) != set(order):
        differing = ", ".join(sorted(set(values) ^ set(order)))
        raise CodebookError(f"{name}: not as in the codebook: {differing}")
    return {key: values[key] for key in order}


# Columns that are made often


def id_column(
    key: str, prefix: str, label: str, *, nullable: bool = False, notes: str = ""
) -> Column:
    return Column(
        key,
        "string id",
        "meta",
        label,
        prefix=prefix,
        nullable=nullable,
        notes=notes,
        source="numbered by the release",
    )


def choice(
    key: str,
    label: str,
    *allowed: str,
    category: Category = "direct",
    notes: str = "",
    source: str = "",
) -> Column:
    return Column(key, "categorical", category, label, allowed=allowed, notes=notes, source=source)


def text(
    key: str, label: str, category: Category = "direct", *, notes: str = "", source: str = ""
) -> Column:
    return Column(key, "string", category, label, notes=notes, source=source)


def flag(
    key: str,
    label: str,
    category: Category = "constructed",
    *,
    notes: str = "",
    source: str = "",
) -> Column:
    return Column(key, "binary", category, label, notes=notes, source=source)


def count(
    key: str,
    label: str,
    low: float = 0,
    *,
    nullable: bool = False,
    notes: str = "",
    source: str = "",
) -> Column:
    return Column(key, "int", "meta", label, low=low, nullable=nullable, notes=notes, source=source)
