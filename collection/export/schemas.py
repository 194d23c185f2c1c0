"""JSON Schemas of a release's rows, derived from the codebook: draft 2020-12, one for each file.

They say what one row may hold. What two rows or two files must have in common is `validate`'s.
"""

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from collection.export import tables
from collection.export.codebook import Codebook
from collection.export.columns import Column, Table
from collection.export.documents import find_path
from collection.export.lines import Deviation

Schema = dict[str, Any]

FOLDER = "schemas"
DIALECT = "https://json-schema.org/draft/2020-12/schema"
NUMBER = "(0|[1-9][0-9]{0,17})"
"""Of an id: no leading zeros."""
DATES = {
    10: "^[0-9]{4}-[0-9]{2}-[0-9]{2}$",
    7: "^[0-9]{4}-[0-9]{2}$",
    4: "^[0-9]{4}$",
}
DATETIME = "^[0-9]{4}-[0-9]{2}-[0-9]{2} [0-9]{2}:[0-9]{2}:[0-9]{2}$"


def names(files: Iterable[str]) -> list[str]:
    """files: the data files of a release."""
    return [
        f"{FOLDER}/{file.removesuffix('.jsonl')}.schema.json"
        for file in files
        if file.endswith(".jsonl")
    ]


def texts(book: Codebook, found: Iterable[str]) -> dict[str, str]:
    """Name of a schema's file -> the file. found: names of tables."""
    return {
        f"{FOLDER}/{name}.schema.json": json.dumps(
            schema_of(book.tables[name], book), ensure_ascii=False, indent=2
        )
        + "\n"
        for name in found
    }


def write(folder: Path, book: Codebook, found: Iterable[str]) -> None:
    (folder / FOLDER).mkdir(exist_ok=True)
    for name, text in texts(book, found).items():
        (folder / name).write_text(text, encoding="utf-8", newline="\n")


def deviations(folder: Path, book: Codebook) -> Iterator[Deviation]:
    """Schemas that are there are those that the codebook gives."""
    for name, expected in texts(book, book.tables).items():
        path = find_path(folder, name)
        if path is None:
            continue
        try:
            found = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError, RecursionError) as error:
            reason = " ".join(str(error).split())
            yield Deviation(name, 0, "schema", f"cannot be read: {reason}")
            continue
        if found != json.loads(expected):
            yield Deviation(name, 0, "schema", "differs from what the codebook says")


def schema_of(table: Table, book: Codebook) -> Schema:
    """One row of a file."""
    return {
        "$schema": DIALECT,
        "title": f"{table.name}.jsonl",
        "description": f"One line: {table.one_row}." if table.one_row else "One line.",
        **_object(table.columns, book),
    }


def _object(columns: Iterable[Column], book: Codebook) -> Schema:
    properties = {column.key: column_schema(column, book) for column in columns}
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


def column_schema(column: Column, book: Codebook) -> Schema:
    facts = {"title": column.label, "description": column.question, "$comment": column.notes}
    told = {key: value for key, value in facts.items() if value}
    return told | _nullable(_value(column, book), column.nullable)


def _nullable(schema: Schema, nullable: bool) -> Schema:
    if not nullable:
        return schema
    if "enum" in schema:
        schema = schema | {"enum": [*schema["enum"], None]}
    return schema | {"type": [schema["type"], "null"]} if "type" in schema else schema


def _value(column: Column, book: Codebook) -> Schema:
    match column.kind:
        case "string id":
            return {"type": "string", "pattern": f"^{column.prefix}{NUMBER}$"}
        case "string" | "categorical":
            return {"type": "string"} | _enum(column)
        case "binary":
            return {"type": "boolean"}
        case "int":
            return {"type": "integer"} | _enum(column) | _bounds(column)
        case "float":
            return {"type": "number"} | _bounds(column)
        case "datetime":
            return {"type": "string", "pattern": DATETIME}
        case "date":
            return {"type": "string", "pattern": DATES[column.digits]}
        case "list":
            return _list(column)
        case "dict":
            return _object(column.keys, book)
        case "dict by question":
            facts = _object(column.keys, book)
            return {
                "type": "object",
                "propertyNames": {"enum": list(column.allowed)},
                "additionalProperties": facts,
            }
        case "dict by utterance":
            return {
                "type": "object",
                "propertyNames": {"pattern": f"^ut{NUMBER}$"},
                "additionalProperties": {"type": ["number", "null"]} | _bounds(column),
            }
        case "list of dicts":
            return {"type": "array", "items": _object(column.keys, book)} | _lengths(column)
        case "json":
            return {"type": "object"}
        case "parameters":
            return {"type": "object", "additionalProperties": {"type": ["string", "integer"]}}
        case "history":
            items = (tables.USER_ITEM, book.model_item)
            return {
                "type": "array",
                "items": {"oneOf": [_object(item.columns, book) for item in items]},
            }


def _enum(column: Column) -> Schema:
    return {"enum": list(column.allowed)} if column.allowed else {}


def _bounds(column: Column) -> Schema:
    found = {"minimum": column.low, "maximum": column.high}
    return {key: bound for key, bound in found.items() if bound is not None}


def _list(column: Column) -> Schema:
    entries: Schema = {"type": ["string", "number", "boolean"]} | _enum(column)
    return {"type": "array", "items": entries, "uniqueItems": True} | _lengths(column)


def _lengths(column: Column) -> Schema:
    found = {"minItems": column.low, "maxItems": column.high}
    return {key: bound for key, bound in found.items() if bound is not None}
