"""Test prompts: one short message to an endpoint, sent as participants' messages are, and kept."""

import asyncio
from collections.abc import Iterable
from datetime import timedelta

from asgiref.sync import async_to_sync
from django.db.models import Max

from collection import llm
from collection.models import EndpointTest, ModelEndpoint
from surveys.draws import new_seed

PROMPT = "Hello! Please say in one or two sentences what you can help with."
LIMIT_S = 30.0
FRESH = timedelta(hours=24)
"""How long a test holds: a provider may retire a model or spend its money overnight."""


def messages_to(endpoint: ModelEndpoint) -> list[dict[str, str]]:
    return [
        {"role": "system", "content": endpoint.header},
        {"role": "user", "content": PROMPT},
    ]


def run(endpoints: Iterable[ModelEndpoint], author: str) -> list[tuple[EndpointTest, llm.Reply]]:
    """Ask all of them at once; keeps and returns how each call ended. Costs money."""
    asked = list(endpoints)
    replies = async_to_sync(ask)(asked)
    return [
        (keep(endpoint, reply, author), reply)
        for endpoint, reply in zip(asked, replies, strict=True)
    ]


async def ask(endpoints: Iterable[ModelEndpoint]) -> list[llm.Reply]:
    calls = [
        llm.complete(e.spec, messages_to(e), limit_s=LIMIT_S, seed=new_seed() % 2**31)
        for e in endpoints
    ]
    return list(await asyncio.gather(*calls))


def keep(endpoint: ModelEndpoint, reply: llm.Reply, author: str) -> EndpointTest:
    return EndpointTest.objects.create(
        endpoint=endpoint,
        settings_mark=endpoint.settings_mark,
        outcome=reply.outcome,
        text=reply.text,
        error_class=reply.error_class[:100],
        error_message=reply.error_message,
        latency_ms=reply.latency_ms,
        cost_usd=reply.cost_usd,
        author=author,
    )


def latest(endpoints: Iterable[ModelEndpoint]) -> dict[int, EndpointTest]:
    """Endpoint -> its last test, of those that were tested. One query."""
    of_these = EndpointTest.objects.filter(endpoint__in=list(endpoints)).order_by()
    last = of_these.values("endpoint").annotate(last=Max("pk")).values("last")
    return {row.endpoint_id: row for row in EndpointTest.objects.filter(pk__in=last)}
