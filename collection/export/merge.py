"""Several versions of an instrument in one release: one table for all who answered them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from collection.export.columns import Column, nothing
from collection.export.derive import ANSWERED, DECLINED, NOT_SHOWN
from surveys.errors import DomainError
from surveys.instruments.schema import InstrumentFile


@dataclass(frozen=True)
class Version:
    """file: in its own language, which released labels are in."""

    sha256: str
    document: Mapping[str, Any]
    file: InstrumentFile

    def __str__(self) -> str:
        return f"{self.file.instrument} {self.sha256[:8]}"


def merged(versions: Sequence[tuple[Version, Sequence[Column]]]) -> list[Column]:
    """Columns by key: the newest version's in its order, then what only older ones have.

    Raises DomainError if a column is not of one kind throughout.
    """
    columns: dict[str, Column] = {}
    since: dict[str, Version] = {}
    for version, own in versions:
        for column in own:
            if column.key not in columns:
                columns[column.key], since[column.key] = column, version
                continue
            newer = columns[column.key]
            if (place := differing(newer, column)) is not None:
                raise DomainError("versions", _refusal(place, since[column.key], version))
            columns[column.key] = united(newer, column)
    everywhere = set.intersection(*({column.key for column in own} for _v, own in versions))
    return [column if key in everywhere else optional(column) for key, column in columns.items()]


def _refusal(place: str, newer: Version, older: Version) -> str:
    return (
        f"The question {place!r} has answers of one kind in {newer} and of another in {older}: "
        "they cannot be one column. Give the question a code of its own in the newer version, or "
        "run the two versions as two studies."
    )


def differing(one: Column, other: Column) -> str | None:
    """Path of what is not of the same kind in both."""
    if (one.kind, one.digits) != (other.kind, other.digits):
        return one.key
    parts = {part.key: part for part in other.keys}
    for part in one.keys:
        if part.key in parts and differing(part, parts[part.key]):
            return f"{one.key}.{part.key}"
    return None


def united(newer: Column, older: Column) -> Column:
    """What either may hold, under the newer label."""
    return replace(
        newer,
        nullable=newer.nullable or older.nullable,
        allowed=_all_allowed(newer, older),
        low=_bound(min, newer.low, older.low),
        high=_bound(max, newer.high, older.high),
        keys=_all_keys(newer, older),
        notes=_both_notes(newer, older),
    )


def _both_notes(newer: Column, older: Column) -> str:
    if not older.question or older.question == newer.question:
        return newer.notes
    return f"{newer.notes} An earlier version asked: “{older.question}”".strip()


def _all_allowed(newer: Column, older: Column) -> tuple[Any, ...]:
    """No list on either side means that anything goes."""
    if not newer.allowed or not older.allowed:
        return ()
    return tuple(dict.fromkeys((*newer.allowed, *older.allowed)))


def _bound(choose: Any, newer: float | str | None, older: float | str | None) -> Any:
    return None if newer is None or older is None else choose(newer, older)


def _all_keys(newer: Column, older: Column) -> tuple[Column, ...]:
    new = {part.key: part for part in newer.keys}
    old = {part.key: part for part in older.keys}
    return tuple(
        united(new[key], old[key]) if key in new and key in old else optional((new | old)[key])
        for key in dict.fromkeys((*new, *old))
    )


def optional(column: Column) -> Column:
    """For those who answered a version without it."""
    if column.kind == "dict":
        return replace(column, keys=tuple(optional(part) for part in column.keys))
    if column.absent is not None:
        # A version without this column may still have the question.
        said = (*column.allowed, ANSWERED, DECLINED, NOT_SHOWN)
        return replace(column, allowed=tuple(dict.fromkeys(said)))
    return replace(column, nullable=True)


def widened(columns: Sequence[Column], row: Mapping[str, Any]) -> dict[str, Any]:
    """A row of one version as one of the merged table."""
    return {
        column.key: _wide(column, row[column.key]) if column.key in row else nothing(column)
        for column in columns
    }


def _wide(column: Column, value: Any) -> Any:
    return widened(column.keys, value) if column.kind == "dict" and value is not None else value
