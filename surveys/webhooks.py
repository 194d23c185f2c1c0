"""Where Prolific's webhooks arrive: no account, no cookie, only a signature."""

import logging

from django.http import HttpRequest, JsonResponse
from django.utils import timezone
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_POST

from surveys import inbox
from surveys.errors import DomainError

log = logging.getLogger("refract.recruiting")
REFUSED = {"forged": 403}
"""Code of a refusal -> status; 400 for the others."""


@csrf_exempt
@require_POST
def prolific(request: HttpRequest) -> JsonResponse:
    try:
        state = inbox.take(request.headers, request.body, timezone.now())
    except DomainError as error:
        log.warning("a webhook was refused: %s", error.code)
        answer = {"error": error.code, "message": error.message}
        return JsonResponse(answer, status=REFUSED.get(error.code, 400))
    return JsonResponse({"state": state})
