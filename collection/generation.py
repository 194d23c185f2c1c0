"""Running the model calls of one attempt: at once, strictly limited, each outcome kept as it lands.

The calls are gathered on the serving process's event loop after the prompt is committed. Where
nothing serves (tests, commands) `launch` runs them to their end instead.
"""

import asyncio
import contextvars
import hashlib
import logging
import time
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from asgiref.sync import async_to_sync
from django.conf import settings
from django.db import transaction
from django.db.models import Q, QuerySet
from django.utils import timezone

from collection import (
    assignment,
    blindness,
    budget,
    candidates,
    conversations,
    endpoints,
    hearing,
    llm,
    metrics,
)
from collection.conversations import LEASE, Asking
from collection.llm import varied
from collection.models import (
    Attempt,
    Conversation,
    Interaction,
    ModelCall,
    Utterance,
    can_be_shown,
)
from collection.writer import in_thread, persistently, written
from surveys import tracing
from surveys.prepared import insert, prepared, prepared_update
from surveys.protocol import Protocol

Outcome = ModelCall.Outcome

log = logging.getLogger("refract.generation")

RENEW_EVERY_S = 5.0
SWEEP_EVERY_S = 5.0
REPEAT_AT_MOST = 3
"""Calls per slot that asks again after a failure, all within the limit of the turn."""
REPEAT_PAUSE_S = 0.5


class TakenOver(Exception):
    """This process was silent for so long that another asks the models of an attempt anew."""


_serving_loop: asyncio.AbstractEventLoop | None = None
_running: dict[int, "asyncio.Task[None]"] = {}
"""Attempts that this process works on, whose leases it renews."""
_leaving: set[int] = set()
"""Of these, attempts that it gives up, for another process to take over."""


def serve_on(loop: asyncio.AbstractEventLoop | None) -> None:
    """Name the event loop that serves requests, or None when it stops."""
    global _serving_loop  # noqa: PLW0603
    _serving_loop = loop


def launch(asking: Asking) -> None:
    """Begin the calls of an attempt; call this after its transaction has committed."""
    work = of_asking(asking)
    if _serving_loop is None:
        async_to_sync(finish)(work)
        return
    # A fresh context: the request's own ends with the request, and its database thread with it.
    contextvars.Context().run(_serving_loop.call_soon_threadsafe, begin, work)


@dataclass(frozen=True)
class Slot:
    """One model to be asked: everything a call needs, so that no query runs meanwhile."""

    number: int
    call_id: int
    endpoint_id: int
    model: str
    spec: llm.ModelSpec
    messages: list[dict[str, str]]
    seed: int
    try_number: int
    replies: int
    """Asked for in one call."""
    is_replacement: bool = False


@dataclass(frozen=True)
class Work:
    """An attempt as the process that works on it knows it."""

    attempt_id: int
    interaction_id: int
    conversation: Conversation
    turn: int
    attempt_number: int
    deadline: float
    """On the monotonic clock: one that jumps must not cut a turn short or make it endless."""
    slots: list[Slot]
    eligible: list[int]
    drawn: list[int]
    request_id: str
    started: float

    @property
    def protocol(self) -> Protocol:
        return self.conversation.participant.protocol

    @property
    def is_opening(self) -> bool:
        return self.turn == 0

    def seconds_left(self) -> float:
        return self.deadline - time.monotonic()


def of_asking(asking: Asking) -> Work:
    return as_work(asking.attempt, asking.calls)


def as_work(attempt: Attempt, calls: list[ModelCall]) -> Work:
    """calls: pending, each with its endpoint as `endpoints.with_limits` gives it."""
    interaction = attempt.interaction
    conversation = interaction.conversation
    now = time.monotonic()
    return Work(
        attempt_id=attempt.pk,
        interaction_id=interaction.pk,
        conversation=conversation,
        turn=interaction.turn,
        attempt_number=attempt.number,
        deadline=now + (attempt.deadline - timezone.now()).total_seconds(),
        slots=[as_slot(call, conversation, interaction.turn, attempt.number) for call in calls],
        eligible=attempt.eligible,
        drawn=attempt.drawn,
        request_id=attempt.request_id,
        started=now,
    )


def as_slot(call: ModelCall, conversation: Conversation, turn: int, attempt: int) -> Slot:
    protocol = conversation.participant.protocol
    is_varied = protocol.candidates == "varied" and turn == 0
    return Slot(
        number=call.slot,
        call_id=call.pk,
        endpoint_id=call.endpoint_id,
        model=call.endpoint.long_name,
        spec=replace(call.endpoint.spec, parameters=call.parameters),
        messages=call.messages,
        seed=assignment.reply_seed(conversation.seed, turn, attempt, call.slot, call.try_number),
        try_number=call.try_number,
        replies=protocol.opening_models if is_varied else 1,
        is_replacement=call.is_replacement,
    )


def begin(work: Work) -> None:
    """On the serving loop."""
    if work.attempt_id not in _running:  # else two pages found it abandoned at once
        task = asyncio.get_running_loop().create_task(finish(work))
        _running[work.attempt_id] = task
        task.add_done_callback(lambda _done: _running.pop(work.attempt_id, None))


async def finish(work: Work) -> None:
    """Call every slot that has no outcome, then settle the attempt and tell the page."""
    named = tracing.request_id.set(work.request_id)
    try:
        await ask_all(work)
        settled = await written(settle, work)
        if settled:
            await tell(work.conversation)
            note_turn(work, settled)
    except TakenOver:
        log.warning("attempt %s is another process's by now", work.attempt_id)
    except Exception:
        # The lease runs out and the sweeper takes over; nothing is lost but time.
        log.exception("attempt %s was not settled", work.attempt_id)
    finally:
        _leaving.discard(work.attempt_id)
        tracing.request_id.reset(named)  # a command that waits for this has an id of its own


async def ask_all(work: Work) -> None:
    """Until every slot has ended or, if the protocol holds for some, until those have answered."""
    enough = work.protocol.hold_for if work.is_opening else None
    tasks = {asyncio.create_task(fill(slot, work)) for slot in work.slots}
    shown = 0
    try:
        for done in asyncio.as_completed(tasks):
            shown += await done
            if enough and shown >= enough:
                break
    except BaseException:
        _leaving.add(work.attempt_id)  # the others were not superfluous: they are asked anew
        raise
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def fill(slot: Slot, work: Work) -> int:
    """Ask one model, and again or another one as the protocol says; how many replies there are."""
    while True:
        reply = await ask(slot, work)
        kept = await written(keep, slot, work, reply)
        if kept is None:
            raise TakenOver
        if kept:
            return slot.replies
        await persistently(endpoints.note_failure, slot.endpoint_id)
        further = await next_try(slot, work, reply)
        if further is None:
            return 0
        slot = further


async def ask(slot: Slot, work: Work) -> llm.Reply:
    """One call. If it is cut because others sufficed, that is written down too."""
    left = max(0.0, work.seconds_left())
    began = time.monotonic()
    try:
        reply = await llm.complete(slot.spec, slot.messages, limit_s=left, seed=slot.seed)
    except asyncio.CancelledError:
        if work.attempt_id in _leaving:
            raise
        ms = round((time.monotonic() - began) * 1000)
        cut = llm.Reply(Outcome.CANCELLED, error_class="NotNeeded", latency_ms=ms)
        await asyncio.shield(written(keep, slot, work, cut))
        raise
    return with_parts(reply, slot)


def with_parts(reply: llm.Reply, slot: Slot) -> llm.Reply:
    """A call that was asked for several replies and holds too few is malformed."""
    if slot.replies == 1 or not can_be_shown(reply.outcome, reply.text):
        return reply
    try:
        varied.parse(reply.text, slot.replies)
    except llm.MalformedResponse as error:
        return replace(reply, outcome="error", error_class="Malformed", error_message=str(error))
    return reply


async def next_try(slot: Slot, work: Work, reply: llm.Reply) -> Slot | None:
    """After a failure: the same model once more, another in its place, or nothing."""
    if slot.try_number + 1 >= REPEAT_AT_MOST:
        return None
    waits_for_limit = reply.retry_after_s is not None
    pause = reply.retry_after_s if waits_for_limit else REPEAT_PAUSE_S * 2**slot.try_number
    assert pause is not None
    may_repeat = not work.is_opening or work.protocol.on_failure == "hold" or waits_for_limit
    if may_repeat and work.seconds_left() > 2 * pause:
        await asyncio.sleep(pause)
        return await persistently(repeat, slot, work)
    if work.is_opening and work.protocol.on_failure == "replace" and not slot.is_replacement:
        return await persistently(put_in_place, slot, work)
    return None


@prepared_update
def _pending(call: int) -> QuerySet[ModelCall]:
    return ModelCall.objects.filter(pk=call, outcome=Outcome.PENDING)


def keep(slot: Slot, work: Work, reply: llm.Reply) -> bool | None:
    """Write down how a call ended; True if its text can be shown, None if it came too late."""
    is_shown = can_be_shown(reply.outcome, reply.text)
    several = is_shown and slot.replies > 1
    written = _pending(
        slot.call_id,
        outcome=reply.outcome,
        text=reply.text,
        parts=varied.parse(reply.text, slot.replies) if several else [],
        was_repaired=reply.was_repaired,
        error_class=reply.error_class[:100],
        error_message=reply.error_message,
        finish_reason=reply.finish_reason[:50],
        latency_ms=reply.latency_ms,
        queued_ms=reply.queued_ms,
        prompt_tokens=reply.prompt_tokens,
        completion_tokens=reply.completion_tokens,
        cost_usd=reply.cost_usd,
        ended_at=timezone.now(),
    )
    if not written:
        return None
    participant = work.conversation.participant
    if reply.cost_usd and participant.study.budget_usd is not None:
        budget.settle(participant.pk, reply.cost_usd)
    metrics.call_ended(slot.model, reply.outcome, reply.latency_ms, reply.cost_usd)
    return is_shown


def repeat(slot: Slot, work: Work) -> Slot:
    """The same slot once more, as a call of its own."""
    old = ModelCall.objects.get(pk=slot.call_id)
    new = further_call(old, slot.try_number + 1)
    seed = assignment.reply_seed(
        work.conversation.seed, work.turn, work.attempt_number, slot.number, new.try_number
    )
    return replace(slot, call_id=new.pk, try_number=new.try_number, seed=seed)


def further_call(old: ModelCall, try_number: int) -> ModelCall:
    return ModelCall.objects.create(
        attempt_id=old.attempt_id,
        slot=old.slot,
        try_number=try_number,
        endpoint_id=old.endpoint_id,
        arm=old.arm,
        is_replacement=old.is_replacement,
        messages=old.messages,
        parameters=old.parameters,
        started_at=timezone.now(),
    )


def put_in_place(slot: Slot, work: Work) -> Slot | None:
    """Another model in the place of one that failed, none twice; None if there is none left."""
    with transaction.atomic():
        # Two slots that fail at once must not take the same.
        Attempt.objects.select_for_update().only("pk").get(pk=work.attempt_id)
        calls = ModelCall.objects.filter(attempt=work.attempt_id)
        used = set(calls.values_list("endpoint", flat=True))
        asked = candidates.replacement(
            work.conversation, work.eligible, used, work.attempt_number, slot.number
        )
        if asked is None:
            return None
        call = ModelCall.objects.create(
            attempt_id=work.attempt_id,
            slot=slot.number,
            try_number=slot.try_number + 1,
            endpoint=asked.endpoint,
            arm=asked.arm,
            is_replacement=True,
            messages=[{"role": "system", "content": asked.header}, *slot.messages[1:]],
            parameters=asked.endpoint.parameters,
            started_at=timezone.now(),
        )
    return as_slot(call, work.conversation, work.turn, work.attempt_number)


@transaction.atomic(savepoint=False)
def settle(work: Work) -> list[ModelCall] | None:
    """All slots have ended: show the replies together, or say that there were too few.

    The calls whose replies are shown; None if the attempt was settled before.
    """
    conversation = conversations.lock(work.conversation)
    if not _unsettled(work.attempt_id, settled_at=timezone.now()):
        return None
    shown = [call for call in calls_of(work.attempt_id) if call.is_shown]
    if sum(len(call.replies) for call in shown) < replies_needed(work):
        _interaction(work.interaction_id, state=Interaction.State.FAILED)
        last = Interaction.objects.get(pk=work.interaction_id)
        conversations.close_if_hopeless(conversation, last)
        return []
    insert(utterances(work, shown))
    _interaction(work.interaction_id, state=Interaction.State.SETTLED)
    return shown


@prepared_update
def _unsettled(attempt: int) -> QuerySet[Attempt]:
    return Attempt.objects.filter(pk=attempt, settled_at__isnull=True)


@prepared_update
def _interaction(pk: int) -> QuerySet[Interaction]:
    return Interaction.objects.filter(pk=pk)


@prepared
def calls_of(attempt_id: int) -> QuerySet[ModelCall]:
    """In draw order, with what their replies need and none of what was sent."""
    return (
        ModelCall.objects.filter(attempt=attempt_id)
        .select_related("endpoint")
        .only(
            *("slot", "try_number", "outcome", "text", "parts", "latency_ms"),
            *("endpoint__short_name", "endpoint__model_family", "endpoint__model_provider"),
        )
        .order_by("slot", "try_number")
    )


def utterances(work: Work, shown: list[ModelCall]) -> list[Utterance]:
    replies = [(call, text) for call in shown for text in call.replies]
    places = assignment.screen_positions(len(replies), work.conversation.seed, work.turn)
    return [
        Utterance(
            interaction_id=work.interaction_id,
            call=call,
            endpoint_id=call.endpoint_id,
            within_turn_id=index,
            position=places[index],
            model_response=text,
            **named_itself(work, call, text),
        )
        for index, (call, text) in enumerate(replies)
    ]


def named_itself(work: Work, call: ModelCall, text: str) -> dict[str, object]:
    """Where a reply says which model it is, and what is shown in its place if it is masked."""
    model = call.endpoint
    spans = blindness.spans(text, [model.short_name, model.model_family, model.model_provider])
    if not spans:
        return {}
    masks = work.protocol.self_naming == "mask"
    return {"self_named": spans, "shown_text": blindness.mask(text, spans) if masks else ""}


def replies_needed(work: Work) -> int:
    """Fewer make no turn. A study with one or two models can't give more than it has."""
    if not work.is_opening:
        return work.protocol.continuing_replies
    asked = len(work.drawn) if work.protocol.candidates != "varied" else 2
    return min(work.protocol.min_opening_replies, asked)


def note_turn(work: Work, shown: list[ModelCall]) -> None:
    took = time.monotonic() - work.started
    slowest = max((call.latency_ms or 0) for call in shown) / 1000
    kind = "opening" if work.is_opening else "continuing"
    metrics.turn_settled(kind, took, max(0.0, took - slowest))


def page_name(participant_key: str, number: int) -> str:
    """Of the page of a conversation. The key opens a person's pages: its hash must do."""
    return f"{hashlib.sha256(participant_key.encode()).hexdigest()[:32]}-{number}"


async def tell(conversation: Conversation) -> None:
    """Tell waiting pages that the turn has settled; those that miss it poll."""
    try:
        await hearing.tell(page_name(conversation.participant.key, conversation.number))
    except Exception:
        log.exception("conversation %s: its page could not be told", conversation.pk)


# Leases: who works on what.


@transaction.atomic
def take_over(attempt_id: int) -> Work | None:
    """The work that is left of an attempt whose process has died; None if it has not.

    Calls that were under way are cancelled, since nobody hears their answers, and made anew.
    """
    now = timezone.now()
    free = Q(lease_until__isnull=True) | Q(lease_until__lt=now)
    attempt = (
        Attempt.objects.select_for_update(of=("self",))
        .select_related(
            "interaction__conversation__participant__study",
            "interaction__conversation__participant__version",
        )
        .filter(free, pk=attempt_id, settled_at__isnull=True)
        .first()
    )
    if attempt is None:
        return None
    limit = timedelta(seconds=attempt.interaction.conversation.participant.protocol.reply_limit_s)
    if attempt.deadline - now < limit / 2:
        attempt.deadline = now + limit
    attempt.lease_until = now + LEASE
    attempt.save(update_fields=["deadline", "lease_until"])
    return as_work(attempt, [made_anew(call, now) for call in lost_calls(attempt)])


def lost_calls(attempt: Attempt) -> list[ModelCall]:
    pending = attempt.calls.filter(outcome=Outcome.PENDING)
    return list(pending.order_by("slot", "try_number"))


def made_anew(lost: ModelCall, now: datetime) -> ModelCall:
    ModelCall.objects.filter(pk=lost.pk).update(
        outcome=Outcome.CANCELLED, error_class="ProcessEnded", ended_at=now
    )
    call = further_call(lost, lost.try_number + 1)
    call.endpoint = endpoints.get(lost.endpoint_id)
    return call


async def run(attempt_id: int) -> None:
    """Take an abandoned attempt over, if it is one, and finish it."""
    try:
        await asyncio.to_thread(llm.warm)  # an import under way would eat the limit
        work = await persistently(take_over, attempt_id)
    except Exception:
        log.exception("attempt %s could not be taken over", attempt_id)
        return
    if work is None:
        return
    if _serving_loop is None:
        await finish(work)
    else:
        begin(work)


def take_over_soon(attempt: Attempt) -> None:
    """Somebody waits for an attempt: if its process has died, don't wait for the next sweep."""
    is_free = attempt.lease_until is None or attempt.lease_until < timezone.now()
    if is_free and _serving_loop is not None:
        contextvars.Context().run(asyncio.run_coroutine_threadsafe, run(attempt.pk), _serving_loop)


def renew(attempt_ids: list[int]) -> None:
    Attempt.objects.filter(pk__in=attempt_ids, settled_at__isnull=True).update(
        lease_until=timezone.now() + LEASE
    )


def abandoned() -> list[int]:
    """Attempts that nobody works on: their process died before it could finish."""
    free = Q(lease_until__isnull=True) | Q(lease_until__lt=timezone.now())
    open_ones = Attempt.objects.filter(free, settled_at__isnull=True)
    return list(open_ones.values_list("pk", flat=True))


def free_leases(attempt_ids: list[int] | None = None) -> None:
    """Give attempts up, or at the start of the only process there is, all that it had."""
    attempts = Attempt.objects.filter(settled_at__isnull=True)
    if attempt_ids is not None:
        attempts = attempts.filter(pk__in=attempt_ids)
    attempts.update(lease_until=None)


async def renew_for_ever() -> None:
    """Say every few seconds that this process still works on what it has begun."""
    while True:
        await asyncio.sleep(RENEW_EVERY_S)
        if _running:
            try:
                await in_thread(renew, list(_running))
            except Exception:
                log.exception("leases could not be renewed")


async def work_for_ever() -> None:
    """Keep what this process has begun, and take over what others left, until cancelled."""
    if settings.EMBEDDED:
        await persistently(free_leases)
    await asyncio.gather(renew_for_ever(), sweep_for_ever())


async def sweep_for_ever() -> None:
    while True:
        try:
            found = await in_thread(abandoned)
            if found:
                log.info("taking over attempts %s", found)
            await asyncio.gather(*map(run, found))
        except Exception:
            log.exception("the sweep failed and will be tried again")
        await asyncio.sleep(SWEEP_EVERY_S)


async def drain(seconds: float) -> None:
    """At shutdown: wait for the turns under way, then leave what is left to other processes."""
    if _running:
        await asyncio.wait(list(_running.values()), timeout=seconds)
    left = dict(_running)
    if not left:
        return
    _leaving.update(left)
    for task in left.values():
        task.cancel()
    await asyncio.gather(*left.values(), return_exceptions=True)
    await in_thread(free_leases, list(left))
