"""schemas.json: the codebook as JSON Schema, for those who check rows without Refract.

A schema sees one row. What rows say together, `manage.py validate` checks.
"""

from collections.abc import Sequence
from typing import Any

from collection.export.codebook import Codebook
from collection.export.columns import Column, Table
from collection.export.tables import USER_ITEM

NAME = "schemas.json"
DIALECT = "https://json-schema.org/draft/2020-12/schema"

Schema = dict[str, Any]


def described(book: Codebook, names: Sequence[str]) -> Schema:
    """One schema for a row of each file: schemas.json#/$defs/survey and so on."""
    return {
        "$schema": DIALECT,
        "$defs": {name: of_table(book.tables[name], book) for name in names},
    }


def of_table(table: Table, book: Codebook) -> Schema:
    return {"title": f"A row of {table.name}.jsonl", **of_keys(table.columns, book)}


def of_keys(columns: Sequence[Column], book: Codebook) -> Schema:
    """An object with these keys and no others."""
    return {
        "type": "object",
        "properties": {column.key: of_column(column, book) for column in columns},
        "required": [column.key for column in columns],
        "additionalProperties": False,
    }


def of_column(column: Column, book: Codebook) -> Schema:
    schema = {"description": column.label, **of_values(column, book)}
    if not column.nullable:
        return schema
    if "enum" in schema:
        schema["enum"] = [*schema["enum"], None]
    return schema | {"type": [schema["type"], "null"]}


def of_values(column: Column, book: Codebook) -> Schema:
    match column.kind:
        case "int" | "float":
            return with_bounds(column, {"type": "integer" if column.kind == "int" else "number"})
        case "binary":
            return {"type": "boolean"}
        case "string id":
            return {"type": "string", "pattern": f"^{column.prefix}(0|[1-9][0-9]*)$"}
        case "datetime":
            form = r"^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d$"
            return {"type": "string", "pattern": form}
        case "date":
            form = {10: r"^\d{4}-\d\d-\d\d$", 7: r"^\d{4}-\d\d$", 4: r"^\d{4}$"}
            return {"type": "string", "pattern": form[column.digits]}
        case "list":
            items = {"enum": list(column.allowed)} if column.allowed else {"type": "string"}
            return {"type": "array", "items": items, "uniqueItems": True, **lengths(column)}
        case "dict":
            return of_keys(column.keys, book)
        case "list of dicts":
            return {"type": "array", "items": of_keys(column.keys, book), **lengths(column)}
        case "dict by question":
            facts = of_keys(column.keys, book)
            properties = dict.fromkeys(column.allowed, facts)
            return {"type": "object", "properties": properties, "additionalProperties": False}
        case "dict by utterance":
            number = with_bounds(column, {"type": ["number", "null"]})
            return {
                "type": "object",
                "patternProperties": {"^ut(0|[1-9][0-9]*)$": number},
                "additionalProperties": False,
            }
        case "parameters":
            return {"type": "object", "additionalProperties": {"type": ["string", "integer"]}}
        case "history":
            items = [of_keys(table.columns, book) for table in (USER_ITEM, book.model_item)]
            return {"type": "array", "items": {"oneOf": items}}
    return with_values(column, {"type": "string"})


def with_values(column: Column, schema: Schema) -> Schema:
    return schema | {"enum": list(column.allowed)} if column.allowed else schema


def with_bounds(column: Column, schema: Schema) -> Schema:
    for key, bound in (("minimum", column.low), ("maximum", column.high)):
        if bound is not None:
            schema = schema | {key: bound}
    return with_values(column, schema)


def lengths(column: Column) -> Schema:
    """Bounds of a list's length."""
    bounds = {"minItems": column.low, "maxItems": column.high}
    return {key: bound for key, bound in bounds.items() if bound is not None}
