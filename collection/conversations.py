"""A conversation's life: start, prompts, and finish. Every verb may be repeated without harm."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta

from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from collection import assignment
from collection.models import (
    Attempt,
    Conversation,
    Interaction,
    ModelCall,
    ModelEndpoint,
)
from surveys.errors import DomainError
from surveys.instruments.schema import ConversationType
from surveys.models import Participant
from surveys.texts import clean_text

State = Interaction.State
Message = dict[str, str]


@dataclass(frozen=True)
class TypeCount:
    """One conversation type on the hub: how many are done and, if a quota binds, left."""

    type: ConversationType
    done: int
    left: int | None

    @property
    def is_full(self) -> bool:
        return self.left == 0

    @property
    def pips(self) -> list[bool]:
        return [True] * self.done + [False] * (self.left or 0)


def done_by_type(participant: Participant) -> Counter[str]:
    complete = participant.conversations.filter(state=Conversation.State.COMPLETE)
    return Counter(complete.values_list("conversation_type", flat=True))


def wanted(participant: Participant) -> int:
    """How many conversations a person has in all; none where the instrument is a survey only."""
    if participant.file.conversation is None:
        return 0
    return participant.protocol.conversations_per_type * len(participant.file.task.types)


def is_enough(participant: Participant) -> bool:
    return done_by_type(participant).total() >= wanted(participant)


def type_counts(participant: Participant) -> list[TypeCount]:
    """The types in the person's order; for volunteers on an open link none is ever full."""
    types = {t.code: t for t in participant.file.task.types}
    codes = list(types)
    if participant.protocol.type_order == "drawn":
        codes = assignment.type_order(codes, participant.seed)
    done = done_by_type(participant)
    quota = participant.protocol.conversations_per_type
    return [
        TypeCount(
            types[code],
            done[code],
            max(0, quota - done[code]) if participant.is_recruited else None,
        )
        for code in codes
    ]


def under_way(participant: Participant) -> Conversation | None:
    return participant.conversations.filter(
        state__in=(Conversation.State.OPEN, Conversation.State.FINISHED)
    ).first()


@transaction.atomic
def start(participant: Participant, code: str) -> Conversation:
    """A new conversation of a type, or the one under way.

    Until the first message is sent, another choice changes the type and starts the clock again,
    as PRISM's did. Raises DomainError for a type that is unknown, full, or one too many.
    """
    Participant.objects.select_for_update().get(pk=participant.pk)
    chosen = next((t for t in type_counts(participant) if t.type.code == code), None)
    if chosen is None:
        raise DomainError("unknown_type", _("Please choose one of the types on this page."))
    current = under_way(participant)
    if current and current.interactions.exists():
        return current
    if chosen.is_full or is_enough(participant):
        raise DomainError("full", _("You have done all conversations of this type."))
    now = timezone.now()
    if current:
        if current.conversation_type != code:
            current.conversation_type, current.started_at = code, now
            current.save(update_fields=["conversation_type", "started_at"])
        return current
    return Conversation.objects.create(
        participant=participant,
        number=participant.conversations.count() + 1,
        conversation_type=code,
        started_at=now,
    )


def latest(conversation: Conversation) -> Interaction | None:
    return conversation.interactions.order_by("-turn").first()


def complete_turns(conversation: Conversation) -> int:
    return conversation.interactions.filter(state=State.RATED).count()


def may_finish(conversation: Conversation, last: Interaction | None, turns: int) -> bool:
    """From the second complete turn on, unless replies are on their way or await rating."""
    return (
        conversation.state == Conversation.State.OPEN
        and last is not None
        and last.state in (State.RATED, State.FAILED)
        and turns >= conversation.participant.protocol.min_turns
    )


def may_continue(conversation: Conversation, turns: int) -> bool:
    limit = conversation.participant.protocol.max_turns
    return limit is None or turns < limit


def add_prompt(conversation: Conversation, turn: int, raw: str) -> Attempt | None:
    """Send the prompt of a turn; the attempt to call, or None if the turn already has one.

    Raises DomainError if the text is empty or too long.
    """
    prompt = clean_prompt(conversation, raw)
    with transaction.atomic():
        locked = lock(conversation)
        last = latest(locked)
        expected = last.turn + 1 if last else 0
        if locked.state != Conversation.State.OPEN or turn != expected:
            return None  # sent twice, or from a page out of date
        if (last and last.state != State.RATED) or not may_continue(locked, turn):
            return None
        interaction = Interaction.objects.create(conversation=locked, turn=turn, user_prompt=prompt)
        return open_attempt(interaction)


def clean_prompt(conversation: Conversation, raw: str) -> str:
    prompt = clean_text(raw, conversation.participant.protocol.prompt_limit)
    if not prompt:
        raise DomainError("empty", _("Please write a message before you send it."))
    return prompt


def lock(conversation: Conversation) -> Conversation:
    """The conversation as it is now, locked: look only after this."""
    return (
        Conversation.objects.select_for_update(of=("self",))
        .select_related("participant__study", "participant__instrument", "endpoint")
        .get(pk=conversation.pk)
    )


def try_again(conversation: Conversation, attempt: int, raw: str | None) -> Attempt | None:
    """Ask again after too few replies, with the same words or others; None if out of date.

    attempt: number of the attempt that failed, so that a double click asks once.
    """
    prompt = clean_prompt(conversation, raw) if raw is not None else None
    with transaction.atomic():
        locked = lock(conversation)
        interaction = latest(locked)
        if (
            interaction is None
            or interaction.state != State.FAILED
            or interaction.attempts.count() != attempt + 1
            or tries_left(interaction) == 0
        ):
            return None
        interaction.user_prompt = prompt or interaction.user_prompt
        interaction.state = State.PENDING
        interaction.save(update_fields=["user_prompt", "state"])
        return open_attempt(interaction)


def tries_left(interaction: Interaction) -> int:
    further = interaction.conversation.participant.protocol.further_tries
    return max(0, further + 1 - interaction.attempts.count())


def open_attempt(interaction: Interaction) -> Attempt:
    """An attempt with its slots, all pending: what a restarted server needs to go on."""
    conversation = interaction.conversation
    protocol = conversation.participant.protocol
    number = interaction.attempts.count()
    if interaction.is_opening:
        eligible = eligible_ids(conversation)
        drawn = assignment.draw_models(eligible, protocol.opening_models, conversation.seed, number)
        probability = assignment.inclusion_probability(len(eligible), protocol.opening_models)
    else:
        assert conversation.endpoint_id is not None
        eligible = [conversation.endpoint_id]
        drawn = eligible * protocol.continuing_replies
        probability = 1.0
    now = timezone.now()
    attempt = Attempt.objects.create(
        interaction=interaction,
        number=number,
        eligible=eligible,
        drawn=drawn,
        probability=probability,
        started_at=now,
        deadline=now + timedelta(seconds=protocol.reply_limit_s),
    )
    history = messages_so_far(interaction)
    endpoints = ModelEndpoint.objects.in_bulk(drawn)
    ModelCall.objects.bulk_create(
        ModelCall(
            attempt=attempt,
            slot=slot,
            endpoint=endpoints[pk],
            messages=[{"role": "system", "content": endpoints[pk].header}, *history],
            parameters=endpoints[pk].parameters,
        )
        for slot, pk in enumerate(drawn)
    )
    return attempt


def eligible_ids(conversation: Conversation) -> list[int]:
    """The study's active endpoints, which may be drawn. Raises DomainError if there are none."""
    study = conversation.participant.study
    ids = list(study.endpoints.filter(is_active=True).order_by("pk").values_list("pk", flat=True))
    if not ids:
        raise DomainError(
            "no_models",
            _("No model can be reached at the moment. Your message is kept; please come back."),
        )
    return ids


def messages_so_far(interaction: Interaction) -> list[Message]:
    """The whole history as sent to a model: each prompt with its chosen reply, then this prompt."""
    earlier = exchanges(
        interaction.conversation.interactions.filter(turn__lt=interaction.turn).prefetch_related(
            "utterances"
        )
    )
    messages: list[Message] = []
    for prompt, reply in earlier:
        messages += [
            {"role": "user", "content": prompt},
            {"role": "assistant", "content": reply},
        ]
    return [*messages, {"role": "user", "content": interaction.user_prompt}]


def exchanges(interactions: Iterable[Interaction]) -> list[tuple[str, str]]:
    """(prompt, chosen reply) of each rated interaction; wants `utterances` prefetched."""
    return [
        (interaction.user_prompt, utterance.model_response)
        for interaction in interactions
        for utterance in interaction.utterances.all()
        if utterance.if_chosen
    ]


@transaction.atomic
def finish(conversation: Conversation) -> None:
    """End the talking; the time of the conversation stops here (codebook: before feedback)."""
    locked = lock(conversation)
    if may_finish(locked, latest(locked), complete_turns(locked)):
        locked.state = Conversation.State.FINISHED
        locked.finished_at = timezone.now()
        locked.save(update_fields=["state", "finished_at"])


def close_if_hopeless(conversation: Conversation, last: Interaction) -> None:
    """After the last try: without two complete turns the conversation does not count."""
    if tries_left(last) or complete_turns(conversation) >= (
        conversation.participant.protocol.min_turns
    ):
        return
    conversation.state = Conversation.State.TECHNICAL
    conversation.closed_at = timezone.now()
    conversation.save(update_fields=["state", "closed_at"])
