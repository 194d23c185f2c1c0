"""So many requests a minute from each token, or from each account without one.

Counted in the cache by the minute on the clock: one increment, whichever process serves.
"""

import time
from typing import Any

from django.core.cache import cache
from django.utils.translation import gettext as _
from rest_framework import exceptions
from rest_framework.throttling import BaseThrottle

WINDOW_S = 60
RATE = 600
HEAVY_RATE = 60
"""Of requests that take data away: each keeps one of a few threads for a second or so."""


def now_s() -> float:
    return time.time()


class PerCaller(BaseThrottle):
    def allow_request(self, request: Any, view: Any) -> bool:
        self.check(request, "all", RATE)
        if view.is_heavy:
            self.check(request, "heavy", HEAVY_RATE)
        return True

    def check(self, request: Any, kind: str, rate: int) -> None:
        """Raises Throttled, which says how long to wait."""
        now = now_s()
        window = int(now // WINDOW_S)
        if counted(f"api/{kind}/{caller(request)}/{window}") > rate:
            wait = (window + 1) * WINDOW_S - now
            said = _("These are more than %(rate)d requests in a minute. Try again in %(wait)d s.")
            error = exceptions.Throttled(wait=wait)
            error.detail = said % {"rate": rate, "wait": int(wait) + 1}
            raise error


def caller(request: Any) -> str:
    return f"token{request.auth.pk}" if request.auth is not None else f"user{request.user.pk}"


def counted(key: str) -> int:
    cache.add(key, 0, 2 * WINDOW_S)
    try:
        return cache.incr(key)
    except ValueError:  # the cache let it go between the two
        return 1
