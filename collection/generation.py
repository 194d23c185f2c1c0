"""Running the model calls of one attempt: at once, strictly limited, each outcome kept as it lands.

The calls are gathered on the serving process's event loop after the prompt is committed. Where
nothing serves (tests, commands) `launch` runs them to their end instead.
"""

import asyncio
import contextvars
import logging
from dataclasses import dataclass
from datetime import datetime, timedelta

from asgiref.sync import async_to_sync
from channels.db import database_sync_to_async
from channels.layers import get_channel_layer
from django.conf import settings
from django.db import transaction
from django.db.models import Q
from django.utils import timezone

from collection import assignment, conversations, llm
from collection.models import (
    Attempt,
    Conversation,
    Interaction,
    ModelCall,
    Utterance,
)

log = logging.getLogger("refract.generation")

LEASE_MARGIN = timedelta(seconds=5)
SWEEP_EVERY_S = 5.0
REPEAT_AT_MOST = 3
"""Calls per slot of a continuing turn, all within the limit of the turn."""
REPEAT_PAUSE_S = 0.5

_serving_loop: asyncio.AbstractEventLoop | None = None


def serve_on(loop: asyncio.AbstractEventLoop | None) -> None:
    """Name the event loop that serves requests, or None when it stops."""
    global _serving_loop  # noqa: PLW0603
    _serving_loop = loop


def launch(attempt: Attempt) -> None:
    """Begin the calls of an attempt; call this after its transaction has committed."""
    if _serving_loop is None:
        async_to_sync(run)(attempt.pk)
        return
    # A fresh context: the request's own ends with the request, and its database thread with it.
    contextvars.Context().run(asyncio.run_coroutine_threadsafe, run(attempt.pk), _serving_loop)


@dataclass(frozen=True)
class Slot:
    """One model to be asked: everything a call needs, so that no query runs meanwhile."""

    call_id: int
    spec: llm.ModelSpec
    messages: list[dict[str, str]]
    seed: int
    try_number: int


@dataclass(frozen=True)
class Work:
    interaction_id: int
    deadline: datetime
    slots: list[Slot]
    may_repeat: bool

    def seconds_left(self) -> float:
        return (self.deadline - timezone.now()).total_seconds()


async def run(attempt_id: int) -> None:
    """Call every slot that has no outcome, then settle the attempt and tell the page."""
    try:
        await asyncio.to_thread(llm.warm)  # an import under way would eat the lease
        work = await database_sync_to_async(claim)(attempt_id)
        if work is None:
            return
        await asyncio.gather(*(fill(slot, work) for slot in work.slots))
        await database_sync_to_async(settle)(attempt_id)
        await tell(work.interaction_id)
    except Exception:
        # The lease runs out and the sweeper takes over; nothing is lost but time.
        log.exception("attempt %s was not settled", attempt_id)


@transaction.atomic
def claim(attempt_id: int) -> Work | None:
    """Take the lease of an attempt; None if another process has it or it is settled."""
    now = timezone.now()
    free = Q(lease_until__isnull=True) | Q(lease_until__lt=now)
    attempt = (
        Attempt.objects.select_for_update(of=("self",))
        .select_related("interaction__conversation__participant__study")
        .filter(free, pk=attempt_id, settled_at__isnull=True)
        .first()
    )
    if attempt is None:
        return None
    interaction = attempt.interaction
    conversation = interaction.conversation
    limit = timedelta(seconds=conversation.participant.protocol.reply_limit_s)
    if attempt.deadline - now < limit / 2:  # taken over from a process that died
        attempt.deadline = now + limit
    attempt.lease_until = attempt.deadline + LEASE_MARGIN
    attempt.save(update_fields=["deadline", "lease_until"])
    pending = attempt.calls.filter(outcome=ModelCall.Outcome.PENDING).select_related("endpoint")
    pending.update(started_at=now)
    return Work(
        interaction.pk,
        attempt.deadline,
        [as_slot(call, conversation, interaction, attempt) for call in pending],
        may_repeat=not interaction.is_opening,
    )


def as_slot(
    call: ModelCall, conversation: Conversation, interaction: Interaction, attempt: Attempt
) -> Slot:
    endpoint = call.endpoint
    spec = llm.ModelSpec(
        litellm_model=endpoint.litellm_model,
        api_base=endpoint.api_base,
        key_name=endpoint.key_name,
        parameters=call.parameters,
    )
    seed = assignment.reply_seed(
        conversation.seed, interaction.turn, attempt.number, call.slot, call.try_number
    )
    return Slot(call.pk, spec, call.messages, seed, call.try_number)


async def fill(slot: Slot, work: Work) -> None:
    """Ask one model; in a continuing turn ask again after a failure while there is time."""
    while True:
        reply = await llm.complete(
            slot.spec, slot.messages, limit_s=max(0.0, work.seconds_left()), seed=slot.seed
        )
        is_shown = await database_sync_to_async(keep)(slot.call_id, reply)
        pause = REPEAT_PAUSE_S * 2**slot.try_number
        if (
            is_shown
            or not work.may_repeat
            or slot.try_number + 1 >= REPEAT_AT_MOST
            or work.seconds_left() < 2 * pause
        ):
            return
        await asyncio.sleep(pause)
        slot = await database_sync_to_async(repeat)(slot.call_id)


def keep(call_id: int, reply: llm.Reply) -> bool:
    """Write down how a call ended; True if its text can be shown."""
    call = ModelCall.objects.get(pk=call_id)
    if call.outcome != ModelCall.Outcome.PENDING:
        return call.is_shown  # another process took the slot over and was first
    call.outcome = reply.outcome
    call.text = reply.text
    call.was_repaired = reply.was_repaired
    call.error_class = reply.error_class[:100]
    call.error_message = reply.error_message
    call.finish_reason = reply.finish_reason[:50]
    call.latency_ms = reply.latency_ms
    call.prompt_tokens = reply.prompt_tokens
    call.completion_tokens = reply.completion_tokens
    call.cost_usd = reply.cost_usd
    call.ended_at = timezone.now()
    call.save()
    return call.is_shown


def repeat(call_id: int) -> Slot:
    """The same slot once more, as a call of its own."""
    old = ModelCall.objects.select_related("endpoint", "attempt__interaction__conversation").get(
        pk=call_id
    )
    new = ModelCall.objects.create(
        attempt=old.attempt,
        slot=old.slot,
        try_number=old.try_number + 1,
        endpoint=old.endpoint,
        messages=old.messages,
        parameters=old.parameters,
        started_at=timezone.now(),
    )
    interaction = old.attempt.interaction
    return as_slot(new, interaction.conversation, interaction, old.attempt)


@transaction.atomic
def settle(attempt_id: int) -> None:
    """All slots have an outcome: show the replies together, or say that there were too few."""
    attempt = Attempt.objects.select_for_update().get(pk=attempt_id)
    if attempt.settled_at is not None:
        return
    conversation = conversations.lock(attempt.interaction.conversation)
    interaction = Interaction.objects.get(pk=attempt.interaction_id)
    shown = [call for call in attempt.calls.select_related("endpoint") if call.is_shown]
    attempt.settled_at = timezone.now()
    attempt.save(update_fields=["settled_at"])
    if len(shown) < replies_needed(conversation, interaction, attempt):
        interaction.state = Interaction.State.FAILED
        interaction.save(update_fields=["state"])
        conversations.close_if_hopeless(conversation, interaction)
        return
    positions = assignment.screen_positions(len(shown), conversation.seed, interaction.turn)
    Utterance.objects.bulk_create(
        Utterance(
            interaction=interaction,
            call=call,
            endpoint=call.endpoint,
            within_turn_id=index,
            position=positions[index],
            model_response=call.text,
        )
        for index, call in enumerate(shown)
    )
    interaction.state = Interaction.State.SETTLED
    interaction.save(update_fields=["state"])


def replies_needed(conversation: Conversation, interaction: Interaction, attempt: Attempt) -> int:
    """Fewer make no turn. A study with one or two models can't give more than it has."""
    protocol = conversation.participant.protocol
    if interaction.is_opening:
        return min(protocol.min_opening_replies, len(attempt.drawn))
    return protocol.continuing_replies


def group_name(interaction_id: int) -> str:
    return f"interaction-{interaction_id}"


async def tell(interaction_id: int) -> None:
    """Tell waiting pages that the interaction has settled; those that miss it poll."""
    layer = get_channel_layer()
    try:
        await layer.group_send(group_name(interaction_id), {"type": "settled"})
    except Exception:
        log.exception("interaction %s settled, but its page could not be told", interaction_id)


def abandoned() -> list[int]:
    """Attempts that nobody works on: their process died before it could finish."""
    now = timezone.now()
    never_claimed = Q(lease_until__isnull=True, started_at__lt=now - LEASE_MARGIN)
    return list(
        Attempt.objects.filter(
            never_claimed | Q(lease_until__lt=now), settled_at__isnull=True
        ).values_list("pk", flat=True)
    )


def free_leases() -> None:
    """At the start of the only process there is, every lease is a dead one."""
    Attempt.objects.filter(settled_at__isnull=True).update(lease_until=None)


async def sweep_for_ever() -> None:
    """Take over abandoned attempts until cancelled."""
    if settings.EMBEDDED:
        await database_sync_to_async(free_leases)()
    while True:
        try:
            found = await database_sync_to_async(abandoned)()
            if found:
                log.info("taking over attempts %s", found)
            await asyncio.gather(*map(run, found))
        except Exception:
            log.exception("the sweep failed and will be tried again")
        await asyncio.sleep(SWEEP_EVERY_S)
