"""That a write which is sent twice is done once.

With the header `Idempotency-Key` the answer is kept beside the write, in its transaction: a program
that heard nothing sends the same again and gets the same answer. A refusal is not kept, so that
what was mended can be sent under the same key.
"""

import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any

from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext as _
from drf_spectacular.utils import OpenApiParameter
from rest_framework import serializers
from rest_framework.renderers import JSONRenderer
from rest_framework.response import Response

from collection.api.errors import Conflict
from collection.api.throttle import caller
from collection.models import ApiWrite
from surveys.models import fingerprint

HEADER = "Idempotency-Key"
KEPT = timedelta(days=2)
LONGEST = 100
REPLAYED = "Idempotency-Replayed"

PARAMETER = OpenApiParameter(
    HEADER,
    {"type": "string", "minLength": 1, "maxLength": LONGEST, "pattern": r"^[\x21-\x7e]+$"},
    OpenApiParameter.HEADER,
    description="Of your choosing, such as a UUID: the same sent again under the same key is done "
    "once, and answered as before, for two days.",
)


def once(request: Any, do: Callable[[], Response]) -> Response:
    """The answer of `do`, or the one that it gave when this was sent before."""
    key = request.headers.get(HEADER)
    if key is None:
        return do()
    if not key.isascii() or not key.isprintable() or not 0 < len(key) <= LONGEST or " " in key:
        said = _("Please keep it to %d letters, digits and signs, without spaces.") % LONGEST
        raise serializers.ValidationError({HEADER: [said]})
    ApiWrite.objects.filter(user=request.user, created_at__lt=timezone.now() - KEPT).delete()
    with transaction.atomic():
        # A second one at the same time waits here for the first one's transaction.
        row, is_new = ApiWrite.objects.get_or_create(
            caller=caller(request),
            key=key,
            defaults={"user": request.user, "mark": mark(request), "status": 0},
        )
        if not is_new:
            return again(row, request)
        response = do()
        row.status, row.answer = (
            response.status_code,
            json.loads(JSONRenderer().render(response.data)),
        )
        row.save(update_fields=["status", "answer"])
        return response


def again(row: ApiWrite, request: Any) -> Response:
    if row.mark != mark(request):
        said = _("This Idempotency-Key was used for something else. Please take a new one.")
        raise Conflict(said, code="key_used")
    return Response(row.answer, status=row.status, headers={REPLAYED: "true"})


def mark(request: Any) -> str:
    return fingerprint([request.method, request.path, request.data])
