"""Rows of a release that was loaded, where they are kept instead of made."""

import json
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from collection.export.columns import Column
from collection.export.plan import ASSIGNMENTS, BESIDE, FLAGS, PARADATA, Plan
from collection.models import CarriedRows, ImportedPerson, ImportedRelease

Row = dict[str, Any]
Maker = Callable[[Plan], Iterator[Row]]

REBUILT = ("survey", "conversations", "utterances")
"""Files whose rows become people, conversations and replies. All others are carried."""
CARRIED = ("models", "metadata", FLAGS, ASSIGNMENTS, PARADATA, *BESIDE)
NAME = "repairs.json"
"""What an import changed in the files that it came from."""


def unless_kept(name: str, maker: Maker) -> Maker:
    """The maker of a file, but for imports that keep its rows."""

    def rows(plan: Plan) -> Iterator[Row]:
        if plan.release is not None and name == "survey":
            return survey_rows(plan)
        if plan.release is not None and name not in REBUILT:
            return carried_rows(plan, name, plan.release)
        return maker(plan)

    return rows


def survey_rows(plan: Plan) -> Iterator[Row]:
    people = ImportedPerson.objects.filter(participant__study=plan.study).order_by("number")
    columns = plan.book.survey.columns
    for row in people.values_list("row", flat=True).iterator():
        yield plan.book.survey.row(in_order(columns, row), plan.order)


def in_order(columns: Sequence[Column], row: Mapping[str, Any]) -> Row:
    """A row in the codebook's order throughout: Postgres keeps none."""
    return {column.key: _ordered(column, row[column.key]) for column in columns}


def _ordered(column: Column, value: Any) -> Any:
    return in_order(column.keys, value) if column.kind == "dict" and value else value


def carried_rows(plan: Plan, name: str, release: ImportedRelease) -> Iterator[Row]:
    """In the codebook's order of keys, or in that of GitHub's files where there is one."""
    table = plan.book.tables.get(name)
    for lines in CarriedRows.objects.filter(release=release, file=name).values_list(
        "lines", flat=True
    ):
        for line in unpacked(lines):
            row = json.loads(line)
            yield table.row(row, plan.order) if table else row


def packed(lines: Sequence[str]) -> bytes:
    return zlib.compress("\n".join(lines).encode(), level=1)


def unpacked(data: bytes | memoryview) -> list[str]:
    return zlib.decompress(data).decode().split("\n")
