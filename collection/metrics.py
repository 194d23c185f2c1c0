"""What is counted while participants talk: for Prometheus, and a line of the log each.

In the full stack all processes of a machine keep their counts in files of one folder, and any of
them can tell the sum. Every metric has a label: without one, each command of manage.py that imports
this would leave a file there.
"""

import logging
import os
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

from django.conf import settings
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead

log = logging.getLogger("refract.figures.turns")

SECONDS = (0.1, 0.25, 0.5, 1, 1.5, 2, 3, 4, 5, 7.5, 10, 15, 20, 25, 30, 45, 60, 120)
"""Bounds of replies and turns, dense where a protocol's 30 s end."""
OVERHEAD_SECONDS = (0.01, 0.02, 0.03, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.5, 1, 2, 5, 10)

REGISTRY = CollectorRegistry()
TURNS = Histogram(
    "refract_turn_seconds",
    "From a prompt being kept to its replies being ready to show.",
    ["kind"],
    buckets=SECONDS,
    registry=REGISTRY,
)
OVERHEADS = Histogram(
    "refract_turn_overhead_seconds",
    "What a turn takes beyond its slowest model.",
    ["kind"],
    buckets=OVERHEAD_SECONDS,
    registry=REGISTRY,
)
CALLS = Counter(
    "refract_calls", "Calls of models that have ended.", ["endpoint", "outcome"], registry=REGISTRY
)
CALL_LATENCIES = Histogram(
    "refract_call_seconds",
    "How long a model took to answer or to fail.",
    ["endpoint"],
    buckets=SECONDS,
    registry=REGISTRY,
)
SPEND = Counter("refract_spend_usd", "US dollars for calls.", ["endpoint"], registry=REGISTRY)
SOCKETS = Gauge(
    "refract_open_sockets",
    "Pages that listen for their replies.",
    ["page"],
    multiprocess_mode="livesum",
    registry=REGISTRY,
)

_open_sockets = 0


def call_ended(
    endpoint: str, outcome: str, latency_ms: int | None, cost_usd: Decimal | None
) -> None:
    """endpoint: its long name. outcome: as in ModelCall."""
    CALLS.labels(endpoint, outcome).inc()
    if latency_ms is not None:
        CALL_LATENCIES.labels(endpoint).observe(latency_ms / 1000)
    if cost_usd is not None:
        SPEND.labels(endpoint).inc(float(cost_usd))
    figures = {
        "endpoint": endpoint,
        "outcome": outcome,
        "latency_ms": latency_ms,
        "cost_usd": cost_usd,
    }
    log.info("call ended", extra=figures)


def turn_settled(kind: str, latency_s: float, overhead_s: float) -> None:
    """kind: opening or continuing. overhead_s: over the slowest model."""
    TURNS.labels(kind).observe(latency_s)
    OVERHEADS.labels(kind).observe(max(0.0, overhead_s))
    figures = {
        "kind": kind,
        "latency_ms": round(latency_s * 1000),
        "overhead_ms": round(overhead_s * 1000),
    }
    log.info("turn settled", extra=figures)


def socket_opened() -> None:
    count_sockets(1)


def socket_closed() -> None:
    count_sockets(-1)


def count_sockets(change: int) -> None:
    """Set, not added to: the file may be that of a dead process with the same number."""
    global _open_sockets  # noqa: PLW0603
    _open_sockets += change
    SOCKETS.labels("conversation").set(_open_sockets)


def registry() -> CollectorRegistry:
    """What this process has counted, or all that share the folder."""
    if not settings.FULL_STACK:
        return REGISTRY
    for process in dead_processes(settings.METRICS_DIR):
        mark_process_dead(process)  # type: ignore[no-untyped-call]
    shared = CollectorRegistry()
    MultiProcessCollector(shared)  # type: ignore[no-untyped-call]
    return shared


def dead_processes(folder: Path) -> Iterator[int]:
    """Who has left a count of now, like open sockets. Sums stay: they must never go down."""
    for file in folder.glob("gauge_live*_*.db"):
        process = int(file.stem.rpartition("_")[2])
        try:
            os.kill(process, 0)
        except ProcessLookupError:
            yield process
        except PermissionError:
            continue  # another user's, so alive


def forget_all(folder: Path) -> None:
    """Before the first process starts: whatever is there is of processes that have ended."""
    for file in folder.glob("*.db"):
        file.unlink(missing_ok=True)
