"""/metrics: what was counted, and what is looked up when somebody asks. Never public."""

import logging
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor

from django.db import connection
from django.db.models import Min
from django.http import Http404, HttpRequest, HttpResponse
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from collection import metrics
from collection.models import Attempt
from config import chores, heartbeat

log = logging.getLogger("refract.scrape")

CONTENT_TYPE = CONTENT_TYPE_LATEST
LOOK_UP_WITHIN_S = 1.0
_thread = ThreadPoolExecutor(1, thread_name_prefix="scrape")


def oldest_pending_s() -> float:
    """How long the attempt that has waited longest has been waiting; 0 if none is."""
    oldest = Attempt.objects.filter(settled_at__isnull=True).aggregate(at=Min("started_at"))["at"]
    return (timezone.now() - oldest).total_seconds() if oldest else 0.0


def queue() -> Iterable[Metric]:
    yield GaugeMetricFamily(
        "refract_oldest_pending_turn_seconds",
        "How long the turn that has waited longest has been waiting.",
        value=oldest_pending_s(),
    )


def chores_done() -> Iterable[Metric]:
    family = CounterMetricFamily(
        "refract_chores", "Chores done, by all processes.", labels=["chore", "outcome"]
    )
    for labels, count in chores.counts().items():
        family.add_metric(labels, count)
    yield family
    age = heartbeat.age_s()
    if age is not None:
        yield GaugeMetricFamily(
            "refract_worker_heartbeat_age_seconds", "Since chores were last done.", value=age
        )


def looked_up(look_up: Callable[[], Iterable[Metric]]) -> list[Metric]:
    """In a thread that no request ends, so that its connection must be looked after."""
    try:
        return list(look_up())
    finally:
        connection.close()


class LookedUp(Collector):
    """What is true now, of all processes: equal whichever is asked."""

    def collect(self) -> Iterable[Metric]:
        for look_up in (queue, chores_done):
            try:
                yield from _thread.submit(looked_up, look_up).result(LOOK_UP_WITHIN_S)
            except Exception:
                # Left out: a figure that is missing is better than none at all, or a wrong one.
                log.warning("%s could not be looked up", look_up.__name__, exc_info=True)


LOOKED_UP = CollectorRegistry()
LOOKED_UP.register(LookedUp())


def everything() -> bytes:
    return generate_latest(metrics.registry()) + generate_latest(LOOKED_UP)


@require_safe
@never_cache
def page(request: HttpRequest) -> HttpResponse:
    """For researchers who have signed in. Others don't learn that it exists."""
    if not (request.user.is_authenticated and request.user.is_staff):
        raise Http404
    return HttpResponse(everything(), content_type=CONTENT_TYPE)
