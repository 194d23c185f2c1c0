"""The schema as the page shows it: operations by tag, and what each takes and answers as rows."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

CODE = "<code>{}</code>"
DEPTH = 4
"""Of objects within objects; the page would be longer than it is helpful."""


@dataclass(frozen=True)
class Row:
    """A parameter or a key. name: with the path to it."""

    name: str
    kind: str
    words: str
    is_required: bool = False
    allowed: list[str] = field(default_factory=list)
    place: str = ""


@dataclass(frozen=True)
class Answer:
    number: str
    words: str
    kind: str
    rows: list[Row]
    example: str

    @property
    def is_refusal(self) -> bool:
        return self.number >= "4"


@dataclass(frozen=True)
class Operation:
    name: str
    method: str
    path: str
    summary: str
    words: str
    parameters: list[Row]
    body: list[Row]
    sent: str
    answers: list[Answer]

    @property
    def good(self) -> list[Answer]:
        return [answer for answer in self.answers if not answer.is_refusal]

    @property
    def refusals(self) -> list[Answer]:
        return [answer for answer in self.answers if answer.is_refusal]

    @property
    def curl(self) -> str:
        path = self.path.replace("{slug}", "values-2026").replace("{key}", "12")
        path = path.replace("{name}", "survey")
        parts = ['curl -H "Authorization: Bearer $TOKEN"']
        if self.method != "GET":
            parts = [f'curl -X {self.method} -H "Authorization: Bearer $TOKEN"']
        if self.sent:
            parts.append("-H 'Content-Type: application/json'")
            parts.append(f"-d '{self.sent_on_a_line}'")
        return " \\\n  ".join([*parts, f'"$REFRACT{path}"'])

    @property
    def sent_on_a_line(self) -> str:
        return json.dumps(json.loads(self.sent), ensure_ascii=False)


@dataclass(frozen=True)
class Group:
    name: str
    words: str
    operations: list[Operation]


def groups(document: dict[str, Any]) -> list[Group]:
    """In the order of the tags."""
    found: dict[str, list[Operation]] = {tag["name"]: [] for tag in document["tags"]}
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            made = operation_of(document, path, method, operation)
            found[operation["tags"][0]].append(made)
    words = {tag["name"]: tag["description"] for tag in document["tags"]}
    return [Group(name, words[name], operations) for name, operations in found.items()]


def operation_of(
    document: dict[str, Any], path: str, method: str, operation: dict[str, Any]
) -> Operation:
    sent = operation.get("requestBody", {}).get("content", {}).get("application/json")
    return Operation(
        name=operation["operationId"],
        method=method.upper(),
        path=path,
        summary=operation["summary"],
        words=marked(operation.get("description", "")),
        parameters=[parameter(document, one) for one in operation.get("parameters", ())],
        body=list(rows(document, sent["schema"])) if sent else [],
        sent=as_text(sent["example"]) if sent else "",
        answers=[answer(document, *pair) for pair in operation["responses"].items()],
    )


def parameter(document: dict[str, Any], one: dict[str, Any]) -> Row:
    schema = one["schema"]
    return Row(
        one["name"],
        kind_of(document, schema),
        marked(one.get("description", "") or schema.get("description", "")),
        one.get("required", False),
        allowed_by(schema),
        one["in"],
    )


def answer(document: dict[str, Any], number: str, response: dict[str, Any]) -> Answer:
    content: dict[str, dict[str, Any]] = response.get("content") or {"": {}}
    kind, media = next(iter(content.items()))
    is_json = kind == "application/json" and number < "4"
    return Answer(
        number,
        response.get("description", ""),
        kind,
        list(rows(document, media["schema"])) if is_json else [],
        as_text(media["example"]) if "example" in media else "",
    )


def rows(
    document: dict[str, Any], schema: dict[str, Any], before: str = "", depth: int = 0
) -> Iterator[Row]:
    """Every key of an object, and of the objects in it."""
    whole = resolved(document, schema)
    required = set(whole.get("required", ()))
    for name, part in whole.get("properties", {}).items():
        said = resolved(document, part)
        words = marked(part.get("description") or said.get("description", ""))
        is_required = name in required
        yield Row(before + name, kind_of(document, part), words, is_required, allowed_by(said))
        inner = said.get("items", part)
        dots = f"{before}{name}[]." if "items" in said else f"{before}{name}."
        if depth < DEPTH and not is_protocol(part):
            yield from rows(document, inner, dots, depth + 1)


def is_protocol(schema: dict[str, Any]) -> bool:
    """Explained elsewhere, in full."""
    named = [schema, *schema.get("allOf", ())]
    return any(str(part.get("$ref", "")).endswith("/Protocol") for part in named)


def resolved(document: dict[str, Any], schema: dict[str, Any]) -> dict[str, Any]:
    """Without references and alternatives: of several, the first that is not null."""
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        return resolved(document, document["components"]["schemas"][name])
    for word in ("allOf", "oneOf", "anyOf"):
        for part in schema.get(word, ()):
            if part.get("type") != "null":
                return resolved(document, part)
    return schema


def kind_of(document: dict[str, Any], schema: dict[str, Any]) -> str:
    whole = resolved(document, schema)
    kinds = whole.get("type", "any value")
    names = kinds if isinstance(kinds, list) else [kinds]
    if "items" in whole:
        names = [f"list of {kind_of(document, whole['items'])}"]
    may_be_null = any(part.get("type") == "null" for part in schema.get("oneOf", ()))
    words = " or ".join([*names, "null"] if may_be_null else names)
    return f"{words}, {whole['format']}" if "format" in whole else words


def allowed_by(schema: dict[str, Any]) -> list[str]:
    return [str(value) for value in schema.get("enum", ()) if value is not None]


def marked(words: str) -> SafeString:
    """With what stands between backticks as code."""
    parts = ((CODE if place % 2 else "{}", part) for place, part in enumerate(words.split("`")))
    return format_html_join("", "{}", ((format_html(form, part),) for form, part in parts))


def as_text(example: Any) -> str:
    if isinstance(example, str):
        return example
    return json.dumps(example, indent=2, ensure_ascii=False)
