"""Which endpoints may be drawn: not those that keep failing, nor those whose money is spent.

A conversation that is locked in goes on asking its model all the same: nothing else may answer
in its place.
"""

import logging
from collections.abc import Mapping
from datetime import datetime, timedelta
from decimal import Decimal
from itertools import takewhile
from typing import Any

from django.db.models import OuterRef, QuerySet, Subquery, Sum
from django.utils import timezone

from collection import llm
from collection.models import Conversation, ModelCall, ModelEndpoint, ProviderLimit
from surveys.prepared import prepared

log = logging.getLogger("refract.endpoints")

FAILURES = 5
"""Calls in a row without a reply, after which an endpoint rests."""
TURNS = 3
"""… from so many turns at least: one odd prompt is no outage."""
LOOK_BACK = 40
EXPECTED_TURNS = 4
"""Of a conversation; PRISM's had 3.4 (27,172 interactions in 8,011 conversations)."""
CONTINUING_REPLIES = 2
PROMPT_TOKENS = 150
"""Of a header and a participant's message, generously."""
REPLY_TOKENS = 300
"""Where an endpoint's parameters set no max_tokens."""
FIRST_REST = timedelta(minutes=1)
LONGEST_REST = timedelta(minutes=15)
BAD = {ModelCall.Outcome.TIMEOUT, ModelCall.Outcome.ERROR, ModelCall.Outcome.EMPTY}


def with_limits() -> QuerySet[Any]:
    """Endpoints with `provider_limit`: how many calls their provider may have at once, or None."""
    limits = ProviderLimit.objects.filter(provider_code=OuterRef("provider_code"))
    return ModelEndpoint.objects.annotate(
        provider_limit=Subquery(limits.values("max_concurrent")[:1])
    )


@prepared
def active_in(study: int) -> QuerySet[Any]:
    return with_limits().filter(is_active=True, studies=study)


@prepared
def active_named(names: tuple[str, ...]) -> QuerySet[Any]:
    return with_limits().filter(is_active=True, long_name__in=names)


@prepared
def _one(pk: int) -> QuerySet[Any]:
    return with_limits().filter(pk=pk)


def get(pk: int | None) -> Any:
    """An endpoint, with its limit."""
    assert pk is not None
    (found,) = _one(pk)
    return found


def awake(
    known: Mapping[int, ModelEndpoint], wanted: int, now: datetime
) -> dict[int, ModelEndpoint]:
    """Without those that rest after failures, unless too few would be left to draw from."""
    usable = {pk: endpoint for pk, endpoint in known.items() if not endpoint.is_resting(now)}
    return usable if len(usable) >= wanted else dict(known)


def note_failure(endpoint_id: int) -> None:
    """Let an endpoint rest if its last calls all failed; longer and longer if they go on to."""
    calls = (
        ModelCall.objects.filter(endpoint=endpoint_id, ended_at__isnull=False)
        .exclude(outcome=ModelCall.Outcome.CANCELLED)
        .order_by("-ended_at")
        .values_list("outcome", "attempt", "error_class")[:LOOK_BACK]
    )
    failed = list(takewhile(lambda call: call[0] in BAD, calls))
    if len(failed) < FAILURES or len({attempt for _outcome, attempt, _error in failed}) < TURNS:
        return
    now = timezone.now()
    rest = min(LONGEST_REST, FIRST_REST * 2 ** (len(failed) // FAILURES - 1))
    reason = f"{len(failed)} failures in a row, the last: {failed[0][2] or failed[0][0]}"[:300]
    rested = (
        ModelEndpoint.objects.filter(pk=endpoint_id)
        .exclude(resting_until__gt=now)
        .update(resting_until=now + rest, rest_reason=reason)
    )
    if rested:
        log.warning("endpoint %s rests for %s: %s", endpoint_id, rest, reason)


def has_money(endpoint: ModelEndpoint) -> bool:
    """Whether its budget would also pay for one more conversation, beside those under way."""
    if endpoint.budget_usd is None:
        return True
    one = (opening_cost(endpoint) or 0) + (continuing_cost(endpoint) or 0)
    return spent(endpoint) + one * (under_way(endpoint) + 1) <= endpoint.budget_usd


def opening_cost(endpoint: ModelEndpoint) -> Decimal | None:
    """Expected of one reply to a first prompt, in US dollars; None where no price is known."""
    return llm.expected_cost(endpoint.spec, PROMPT_TOKENS, reply_tokens(endpoint))


def continuing_cost(endpoint: ModelEndpoint) -> Decimal | None:
    """Expected of the replies of all further turns, each of which sends the whole history."""
    reply = reply_tokens(endpoint)
    costs = [
        llm.expected_cost(endpoint.spec, PROMPT_TOKENS + turn * (PROMPT_TOKENS + reply), reply)
        for turn in range(1, EXPECTED_TURNS)
    ]
    known = [cost for cost in costs if cost is not None]
    return CONTINUING_REPLIES * sum(known, Decimal(0)) if known else None


def reply_tokens(endpoint: ModelEndpoint) -> int:
    limit = endpoint.parameters.get("max_tokens")
    return limit if isinstance(limit, int) else REPLY_TOKENS


def spent(endpoint: ModelEndpoint) -> Decimal:
    return endpoint.calls.aggregate(sum=Sum("cost_usd"))["sum"] or Decimal(0)


def under_way(endpoint: ModelEndpoint) -> int:
    """Conversations that are locked in, or may yet be."""
    open_ones = Conversation.objects.filter(state=Conversation.State.OPEN)
    asked = open_ones.filter(
        endpoint__isnull=True, interactions__attempts__calls__endpoint=endpoint
    ).distinct()
    return open_ones.filter(endpoint=endpoint).count() + asked.count()
