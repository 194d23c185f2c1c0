"""The API's own description: OpenAPI as JSON, and as a page to read that needs no script."""

from collections.abc import Iterator
from functools import cache
from typing import Any

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import render
from django.views.decorators.cache import cache_control
from django.views.decorators.http import require_safe
from drf_spectacular.generators import SchemaGenerator

from collection.api import examples, reference
from collection.api.fields import Strict
from surveys.protocol import Protocol

POLICY = (
    "default-src 'none'; style-src 'self'; img-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'"
)
COMPONENT = "#/components/schemas/{model}"


@cache
def document() -> dict[str, Any]:
    """The same for everybody, and as long as the process lives."""
    found: dict[str, Any] = SchemaGenerator().get_schema(request=None, public=True)  # type: ignore[no-untyped-call]
    return found


def complete(result: dict[str, Any], **_context: Any) -> dict[str, Any]:
    """A hook of drf-spectacular: what it can't know."""
    components = result["components"]["schemas"]
    components |= protocol_parts()
    for name in strict_names() & set(components):
        components[name]["additionalProperties"] = False
    for operation in operations(result):
        give_examples(operation)
    whole: dict[str, Any] = without(result, "x-spec-enum-id")
    return whole


def without(part: Any, name: str) -> Any:
    """Without drf-spectacular's notes to itself."""
    if isinstance(part, dict):
        return {key: without(value, name) for key, value in part.items() if key != name}
    return [without(value, name) for value in part] if isinstance(part, list) else part


def protocol_parts() -> dict[str, Any]:
    found = Protocol.model_json_schema(ref_template=COMPONENT)
    return {**found.pop("$defs", {}), "Protocol": found}


def strict_names() -> set[str]:
    names = {kind.__name__ for kind in descendants(Strict)}
    return names | {f"Patched{name}" for name in names}


def descendants(kind: type[Any]) -> Iterator[type[Any]]:
    for below in kind.__subclasses__():
        yield below
        yield from descendants(below)


def operations(result: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for path in result["paths"].values():
        yield from path.values()


def give_examples(operation: dict[str, Any]) -> None:
    name = operation["operationId"]
    for media in operation.get("requestBody", {}).get("content", {}).values():
        media["example"] = examples.SENT[name]
    for number, response in operation["responses"].items():
        for media in response.get("content", {}).values():
            if number in examples.ERRORS:
                media["example"] = examples.ERRORS[number]
            elif name in examples.SHOWN:
                media["example"] = shown(name)


def shown(name: str) -> Any:
    example = examples.SHOWN[name]
    is_page = name.endswith(("_list", "_versions")) and name != "files_list"
    return {"next": None, "results": [example]} if is_page else example


@require_safe
@cache_control(public=True, max_age=300)
def schema(request: HttpRequest) -> JsonResponse:
    return JsonResponse(
        document(),
        json_dumps_params={"indent": 1, "ensure_ascii": False},
        content_type="application/vnd.oai.openapi+json; charset=utf-8",
    )


@require_safe
@cache_control(public=True, max_age=300)
def docs(request: HttpRequest) -> HttpResponse:
    context = {"groups": reference.groups(document()), "info": document()["info"]}
    response = render(request, "collection/api.html", context)
    response["Content-Security-Policy"] = POLICY
    return response
