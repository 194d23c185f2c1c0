"""datapackage.json: what is in the files, for Frictionless and whatever else reads its form."""

from typing import Any

from collection.dossier import citation, terms
from collection.dossier.facts import Facts
from collection.export.columns import Column, Kind
from collection.export.tables import DATETIME

TYPES: dict[Kind, str] = {
    "binary": "boolean",
    "int": "integer",
    "float": "number",
    "datetime": "datetime",
    "list": "array",
    "list of dicts": "array",
    "json": "any",
    "history": "array",
    "dict": "object",
    "dict by question": "object",
    "dict by utterance": "object",
    "parameters": "object",
}
"""Of all others: string."""


def of(facts: Facts) -> dict[str, Any]:
    return {
        "profile": "data-package",
        "name": facts.release.study.slug,
        "title": facts.title,
        "version": facts.version,
        "created": f"{facts.date}T00:00:00Z",
        "licenses": [licence(facts.said(kind)) for kind in ("human_licence", "model_licence")],
        "contributors": [{"title": name, "role": "author"} for name in citation.names(facts)],
        "resources": [
            {
                "name": name.removesuffix(".jsonl"),
                "path": name,
                "profile": "tabular-data-resource",
                "format": "jsonl",
                "mediatype": "application/jsonlines",
                "encoding": "utf-8",
                # An empty text is a text; what is missing is null.
                "schema": {"fields": list(map(field, table.columns)), "missingValues": []},
            }
            for name, table in facts.tables()
        ],
    }


def licence(name: str) -> dict[str, str]:
    title = terms.LICENCES.get(name, (name, ""))[0]
    return {"name": name, "title": title, "path": terms.address_of(name)}


def field(column: Column) -> dict[str, Any]:
    found: dict[str, Any] = {
        "name": column.key,
        "type": TYPES.get(column.kind, "string"),
        "description": column.label,
    }
    if column.kind == "datetime":
        found["format"] = DATETIME
    if limits := constraints(column):
        found["constraints"] = limits
    return found


def constraints(column: Column) -> dict[str, Any]:
    found: dict[str, Any] = {}
    if not column.nullable and column.kind == "string id":
        found["required"] = True
    if column.kind == "categorical" and column.allowed:
        found["enum"] = list(column.allowed)
    if column.kind in ("int", "float"):
        limits = {"minimum": column.low, "maximum": column.high}
        found |= {name: limit for name, limit in limits.items() if limit is not None}
    return found
