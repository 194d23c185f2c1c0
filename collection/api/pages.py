"""Lists in pages: `next` is the address of the one after, null after the last.

By key and not by number, so that nothing is skipped or shown twice while rows are added.
"""

from collections.abc import Callable
from typing import Any
from urllib.parse import urlencode

from django.db.models import QuerySet
from drf_spectacular.utils import inline_serializer
from rest_framework import serializers
from rest_framework.response import Response

from collection.api.fields import Strict

MOST = 200
USUAL = 50


class PageQuery(Strict):
    """What every list can be asked."""

    cursor = serializers.RegexField(
        r"^p[0-9]{1,18}\Z",
        required=False,
        help_text="Where the page before ended. Take `next` as it is.",
    )
    limit = serializers.IntegerField(
        min_value=1, max_value=MOST, default=USUAL, help_text="Rows of a page, at most."
    )


def page(
    request: Any, rows: QuerySet[Any], query: dict[str, Any], show: Callable[[Any], dict[str, Any]]
) -> Response:
    """One page of rows, in the order of their keys, each as `show` has it."""
    after, limit = int(query.get("cursor", "p0")[1:]), query["limit"]
    found = list(rows.filter(pk__gt=after).order_by("pk")[: limit + 1])
    shown = [show(row) for row in found[:limit]]
    to = following(request, found[limit - 1].pk) if len(found) > limit else None
    return Response({"next": to, "results": shown})


def following(request: Any, key: int) -> str:
    asked = request.query_params.dict() | {"cursor": f"p{key}"}
    return str(request.build_absolute_uri(f"{request.path}?{urlencode(asked)}"))


def page_of(row: type[serializers.Serializer]) -> Any:
    """The schema of a page of rows."""
    name = row.__name__.removesuffix("Shown")
    return inline_serializer(
        f"{name}Page",
        {
            "next": serializers.URLField(allow_null=True, help_text="The next page; null: none."),
            "results": row(many=True),
        },
    )
