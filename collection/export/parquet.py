"""The tables as Parquet, typed by the codebook: the same rows as the JSON lines they are made from.

Dates are timestamps and whole numbers are int64, null or not. Dicts are structs; those whose keys
are not in the codebook (by question, by utterance, parameters) are lists of structs with the key in
front, for a struct can't have other fields in each row. Everything that could differ between two
runs is fixed, so the same rows and the same pyarrow give the same bytes.
"""

import json
from collections.abc import Callable, Iterator, Sequence
from datetime import date, datetime
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from collection.export.codebook import Codebook
from collection.export.columns import Column, KeyOrder, Table
from collection.export.tables import USER_ITEM
from surveys.errors import DomainError

if TYPE_CHECKING:
    import pyarrow as pa

FOLDER = "parquet"

ROWS_AT_ONCE = 5_000
BYTES_AT_ONCE = 4 * 2**20
"""Of JSON: a row group ends at either, so that memory does not depend on how much people wrote."""

WRITING = {
    "version": "2.6",
    # The one compression that every reader has; R's arrow may come without zstd.
    "compression": "snappy",
    "data_page_version": "1.0",
    "use_dictionary": True,
    "write_statistics": True,
    "store_schema": True,
}

PARAMETERS = ("name", "value")


def has_pyarrow() -> bool:
    return find_spec("pyarrow") is not None


def check_pyarrow() -> None:
    """Raises DomainError if it is not installed."""
    if not has_pyarrow():
        raise DomainError(
            "pyarrow",
            "Parquet files need pyarrow, which is not installed here: "
            "pip install 'refract[release]', or export without Parquet.",
        )


def write(source: Path, target: Path, table: Table, book: Codebook, order: KeyOrder) -> int:
    """Write one file of JSON lines as Parquet; number of rows. table: its columns."""
    import pyarrow.parquet as pq

    columns = in_order(table, order)
    schema = schema_of(columns, book)
    rows = 0
    with pq.ParquetWriter(target, schema, **WRITING) as writer:
        for batch in batches(source):
            writer.write_table(as_table(batch, columns, book), row_group_size=ROWS_AT_ONCE)
            rows += len(batch)
    return rows


def as_table(batch: list[dict[str, Any]], columns: Sequence[Column], book: Codebook) -> "pa.Table":
    """Rows of the JSON lines, typed."""
    import pyarrow as pa

    rows = [{column.key: as_arrow(column, row[column.key]) for column in columns} for row in batch]
    return pa.Table.from_pylist(rows, schema_of(columns, book))


def in_order(table: Table, order: KeyOrder) -> Sequence[Column]:
    is_github = order == "github" and table.github
    return [table.by_key[key] for key in (table.github if is_github else table.key_order)]


def batches(source: Path) -> Iterator[list[dict[str, Any]]]:
    batch: list[dict[str, Any]] = []
    size = 0
    with source.open("rb") as file:
        for line in file:
            batch.append(json.loads(line))
            size += len(line)
            if len(batch) >= ROWS_AT_ONCE or size >= BYTES_AT_ONCE:
                yield batch
                batch, size = [], 0
    if batch:
        yield batch


def schema_of(columns: Sequence[Column], book: Codebook) -> "pa.Schema":
    """Each column has its label as metadata. Not null where the codebook allows none would make
    two releases that differ in this alone two types; tools read both the same."""
    import pyarrow as pa

    return pa.schema(
        [
            pa.field(column.key, type_of(column, book), metadata={"label": column.label})
            for column in columns
        ]
    )


def type_of(column: Column, book: Codebook) -> "pa.DataType":
    import pyarrow as pa

    def struct(*parts: Column) -> "pa.DataType":
        return pa.struct([(part.key, type_of(part, book)) for part in parts])

    match column.kind:
        case "int":
            return pa.int64()
        case "float":
            return pa.float64()
        case "binary":
            return pa.bool_()
        case "datetime":
            return pa.timestamp("ms")
        case "date" if column.digits == 10:
            return pa.date32()
        case "list":
            return pa.list_(pa.int64() if has_numbers(column) else pa.string())
        case "dict":
            return struct(*column.keys)
        case "list of dicts":
            return pa.list_(struct(*column.keys))
        case "dict by question":
            question = pa.field("question", pa.string())
            return pa.list_(pa.struct([question, *struct(*column.keys)]))
        case "dict by utterance":
            names = [("utterance_id", pa.string()), ("probability", pa.float64())]
            return pa.list_(pa.struct(names))
        case "parameters":
            return pa.list_(pa.struct([(name, pa.string()) for name in PARAMETERS]))
        case "history":
            parts = USER_ITEM.by_key | book.model_item.by_key
            return pa.list_(struct(*parts.values()))
    return pa.string()


def has_numbers(column: Column) -> bool:
    return bool(column.allowed) and all(isinstance(value, int) for value in column.allowed)


def as_arrow(column: Column, value: Any) -> Any:
    """A value of the JSON lines as Parquet has it."""
    if value is None:
        return None
    change = CHANGES.get(column.kind)
    return change(column, value) if change else value


def _datetime(_column: Column, value: str) -> datetime:
    return datetime.fromisoformat(value)


def _date(column: Column, value: str) -> Any:
    return date.fromisoformat(value) if column.digits == 10 else value


def _list(column: Column, values: list[Any]) -> list[Any]:
    return values if has_numbers(column) else [str(value) for value in values]


def _dict(column: Column, value: dict[str, Any]) -> dict[str, Any]:
    return {part.key: as_arrow(part, value[part.key]) for part in column.keys}


def _dicts(column: Column, values: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [_dict(column, value) for value in values]


def _by_question(column: Column, value: dict[str, Any]) -> list[dict[str, Any]]:
    return [{"question": code, **_dict(column, facts)} for code, facts in value.items()]


def _by_utterance(_column: Column, value: dict[str, Any]) -> list[dict[str, Any]]:
    return [{"utterance_id": key, "probability": number} for key, number in value.items()]


def _parameters(_column: Column, value: dict[str, Any]) -> list[dict[str, Any]]:
    return [{"name": key, "value": str(parameter)} for key, parameter in value.items()]


def _json(_column: Column, value: Any) -> str:
    """What has a form of its own in every row stays JSON, as text."""
    return json.dumps(value, ensure_ascii=False)


CHANGES: dict[str, Callable[[Column, Any], Any]] = {
    "datetime": _datetime,
    "date": _date,
    "list": _list,
    "dict": _dict,
    "list of dicts": _dicts,
    "dict by question": _by_question,
    "dict by utterance": _by_utterance,
    "parameters": _parameters,
    "json": _json,
}
