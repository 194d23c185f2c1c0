"""A conversation's life: start, prompts, and finish. Every verb may be repeated without harm."""

from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass
from datetime import timedelta
from typing import NamedTuple

from django.db import transaction
from django.db.models import Count, Q, QuerySet
from django.utils import timezone
from django.utils.translation import gettext as _

from collection import assignment, candidates
from collection.candidates import Asked
from collection.models import Attempt, Conversation, Interaction, ModelCall, Utterance
from surveys import quotas, tracing
from surveys.draws import rng
from surveys.errors import DomainError
from surveys.instruments.schema import ConversationType
from surveys.models import Participant, Study
from surveys.prepared import insert, prepared
from surveys.protocol import Anchor
from surveys.texts import clean_text

State = Interaction.State
UNDER_WAY = (Conversation.State.OPEN, Conversation.State.FINISHED)
Message = dict[str, str]

NOT_EXPECTED_BACK = timedelta(hours=24)
"""A conversation begun so long ago takes no place in its type's quota any more."""
HIGHEST_NUMBER = 32_767
"""Of a conversation, as its column holds it; addresses may name a higher one."""
LEASE = timedelta(seconds=20)
"""How long the process that calls the models may be silent before another takes over."""


@dataclass(frozen=True)
class Asking:
    """An attempt whose models are to be asked now, and the calls, all pending."""

    attempt: Attempt
    calls: list[ModelCall]


@dataclass(frozen=True)
class TypeCount:
    """One conversation type on the hub: how many are done and, if a quota binds, left."""

    type: ConversationType
    done: int
    left: int | None
    is_closed: bool = False
    """The whole study has enough of them."""

    @property
    def is_full(self) -> bool:
        return self.left == 0

    @property
    def pips(self) -> list[bool]:
        return [True] * self.done + [False] * (self.left or 0)


def done_by_type(participant: Participant) -> Counter[str]:
    complete = participant.conversations.filter(state=Conversation.State.COMPLETE)
    return Counter(complete.values_list("conversation_type", flat=True))


def usual_number(participant: Participant) -> int:
    """How many conversations people have in all; none where the instrument is a survey only."""
    if participant.file.conversation is None:
        return 0
    protocol = participant.protocol
    of_all_types = protocol.conversations_per_type * len(participant.file.task.types)
    return min(of_all_types, protocol.max_conversations or of_all_types)


def wanted(participant: Participant) -> int:
    """The same for one person: fewer once the study has enough of a type."""
    closed = closed_types(participant)
    if not closed:
        return usual_number(participant)
    begun = participant.conversations.exclude(state=Conversation.State.TECHNICAL)
    own = Counter(begun.values_list("conversation_type", flat=True))
    still_open = [t.code for t in participant.file.task.types if t.code not in closed]
    if not participant.is_recruited and still_open:
        return usual_number(participant)
    per_type = participant.protocol.conversations_per_type
    left = per_type * len(still_open) + sum(own[code] for code in own if code not in still_open)
    return min(left, usual_number(participant))


def closed_types(participant: Participant) -> set[str]:
    """Types of which the whole study has enough without this person's conversation under way.

    No query where the protocol has no such quotas.
    """
    targets = participant.protocol.conversations_in_all
    if not targets or participant.file.conversation is None:
        return set()
    counts = counted_in_all(participant, targets)
    return {code for code, target in targets.items() if counts[code] >= target}


def counted_in_all(participant: Participant, types: Collection[str]) -> Counter[str]:
    """Type -> conversations that are complete, or that somebody else is having."""
    others = Q(state__in=UNDER_WAY, started_at__gt=timezone.now() - NOT_EXPECTED_BACK)
    others &= Q(participant__stopped_at__isnull=True) & ~Q(participant=participant)
    rows = Conversation.objects.filter(
        Q(state=Conversation.State.COMPLETE) | others,
        *quotas.same_kind(participant),
        participant__study=participant.study_id,
        participant__rejected_at__isnull=True,
        participant__screened_at__isnull=True,
        conversation_type__in=list(types),
    )
    return Counter(dict(rows.order_by().values_list("conversation_type").annotate(Count("pk"))))


def is_enough(participant: Participant) -> bool:
    return done_by_type(participant).total() >= wanted(participant)


def left_in_all(participant: Participant) -> int | None:
    """How many conversations are left whatever their types; None if only the types' quotas say."""
    most = participant.protocol.max_conversations
    of_all_types = participant.protocol.conversations_per_type * len(participant.file.task.types)
    if most is None or most >= of_all_types or not participant.is_recruited:
        return None
    return max(0, wanted(participant) - done_by_type(participant).total())


def type_counts(participant: Participant) -> list[TypeCount]:
    """The types in the person's order; for volunteers on an open link none is ever full."""
    types = {t.code: t for t in participant.file.task.types}
    codes = list(types)
    if participant.protocol.type_order == "drawn":
        codes = assignment.type_order(codes, participant.seed)
    done = done_by_type(participant)
    quota = participant.protocol.conversations_per_type
    closed = closed_types(participant)

    def left(code: str) -> int | None:
        if code in closed:
            return 0
        return max(0, quota - done[code]) if participant.is_recruited else None

    return [TypeCount(types[code], done[code], left(code), code in closed) for code in codes]


def under_way(participant: Participant) -> Conversation | None:
    return participant.conversations.filter(state__in=UNDER_WAY).first()


@transaction.atomic
def start(participant: Participant, code: str) -> Conversation:
    """A new conversation of a type, or the one under way.

    Until the first message is sent, another choice changes the type and starts the clock again,
    as PRISM's did. Raises DomainError for a type that is unknown, full, or one too many.
    """
    row = (
        Participant.objects.select_for_update(of=("self",))
        .only("stopped_at")
        .get(pk=participant.pk)
    )
    if row.stopped_at:  # meanwhile, in another tab
        raise DomainError("stopped", _("You have stopped taking part."))
    if code in participant.protocol.conversations_in_all:
        # Whoever else begins one of these waits, so that there are never too many.
        Study.objects.select_for_update(of=("self",)).only("pk").get(pk=participant.study_id)
    chosen = next((t for t in type_counts(participant) if t.type.code == code), None)
    if chosen is None:
        raise DomainError("unknown_type", _("Please choose one of the types on this page."))
    current = under_way(participant)
    if current and (current.interactions.exists() or lock(current).interactions.exists()):
        return current  # begun, perhaps in this moment in another tab
    if chosen.is_closed:
        raise DomainError(
            "closed_type",
            _("By now the study has enough conversations of this type. Please choose another."),
        )
    if chosen.is_full or is_enough(participant):
        raise DomainError("full", _("You have done all conversations of this type."))
    now = timezone.now()
    number = participant.conversations.count() + (0 if current else 1)
    if current:
        if current.conversation_type != code:
            current.conversation_type, current.started_at = code, now
            current.anchor = draw_anchor(participant, code, number)
            current.save(update_fields=["conversation_type", "started_at", "anchor"])
        return current
    return Conversation.objects.create(
        participant=participant,
        number=number,
        conversation_type=code,
        started_at=now,
        anchor=draw_anchor(participant, code, number),
    )


def draw_anchor(participant: Participant, code: str, number: int) -> str:
    """Code of the study's prompt that opens a conversation of this type, or empty.

    Drawn with equal chances from those that the person has not met.
    """
    anchors = participant.protocol.anchors_of(code)
    if not anchors:
        return ""
    earlier = participant.conversations.filter(number__lt=number).exclude(
        state=Conversation.State.TECHNICAL
    )
    met = [row for row in earlier.values_list("conversation_type", "anchor") if row[1]]
    if sum(kind == code for kind, _anchor in met) >= participant.protocol.anchored_per_type:
        return ""
    left = sorted({anchor.code for anchor in anchors} - {anchor for _kind, anchor in met})
    return rng(participant.seed, "anchor", number, code).choice(left) if left else ""


def anchor_of(conversation: Conversation) -> Anchor | None:
    """The opening prompt that the study gives in this conversation."""
    known = {anchor.code: anchor for anchor in conversation.participant.protocol.anchors}
    return known.get(conversation.anchor)


@prepared
def _states(key: str, slug: str, number: int) -> QuerySet[Interaction, str]:
    turns = Interaction.objects.filter(
        conversation__participant__key=key,
        conversation__participant__study__slug=slug,
        conversation__number=number,
    )
    return turns.order_by("-turn").values_list("state", flat=True)[:1]


def latest_state(key: str, slug: str, number: int) -> str | None:
    """Of the latest turn of a person's conversation; None for strangers."""
    found = _states(key, slug, number) if number <= HIGHEST_NUMBER else []
    return found[0] if found else None


@prepared
def _newest(conversation: int) -> QuerySet[Interaction]:
    return Interaction.objects.filter(conversation=conversation).order_by("-turn")[:1]


def latest(conversation: Conversation) -> Interaction | None:
    found = _newest(conversation.pk)
    if not found:
        return None
    found[0].conversation = conversation
    return found[0]


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


def add_prompt(conversation: Conversation, turn: int, raw: str) -> Asking | None:
    """Send the prompt of a turn; the models to be asked, or None if the turn already has one.

    Raises DomainError if the text is empty or too long.
    """
    anchor = anchor_of(conversation) if turn == 0 else None
    prompt = anchor.text if anchor else clean_prompt(conversation, raw)
    with transaction.atomic():
        locked = lock(conversation)
        last = latest(locked)
        expected = last.turn + 1 if last else 0
        if locked.state != Conversation.State.OPEN or turn != expected:
            return None  # sent twice, or from a page out of date
        if (last and last.state != State.RATED) or not may_continue(locked, turn):
            return None
        [interaction] = insert([Interaction(conversation=locked, turn=turn, user_prompt=prompt)])
        return open_attempt(interaction, 0)


def clean_prompt(conversation: Conversation, raw: str) -> str:
    prompt = clean_text(raw, conversation.participant.protocol.prompt_limit)
    if not prompt:
        raise DomainError("empty", _("Please write a message before you send it."))
    return prompt


@prepared
def _lock(conversation: int) -> QuerySet[Conversation]:
    # Without the model's own order, which joins the person's row and would lock that too: two who
    # wait for each other's row would be a deadlock.
    rows = Conversation.objects.select_for_update(of=("self",)).order_by()
    return rows.filter(pk=conversation)


def lock(conversation: Conversation) -> Conversation:
    """The conversation as it is now, locked: look only after this."""
    rows = _lock(conversation.pk)
    if not rows:  # withdrawn meanwhile, in another tab
        raise DomainError("gone", _("You have stopped taking part."))
    (locked,) = rows
    # Not joined: nobody else should wait while a person, a study and a survey are read again.
    locked.participant = conversation.participant
    return locked


def try_again(conversation: Conversation, attempt: int, raw: str | None) -> Asking | None:
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
        if not (interaction.is_opening and conversation.anchor):  # those words are the study's
            interaction.user_prompt = prompt or interaction.user_prompt
        interaction.state = State.PENDING
        interaction.save(update_fields=["user_prompt", "state"])
        return open_attempt(interaction, attempt + 1)


def tries_left(interaction: Interaction) -> int:
    further = interaction.conversation.participant.protocol.further_tries
    return max(0, further + 1 - interaction.attempts.count())


def open_attempt(interaction: Interaction, number: int) -> Asking:
    """An attempt with its slots, all pending: what a restarted server needs to go on.

    Its lease is this process's, which calls the models as soon as the transaction has committed.
    """
    conversation = interaction.conversation
    if interaction.is_opening:
        plan = candidates.for_opening(conversation, number)
    else:
        plan = candidates.for_continuing(conversation)
    now = timezone.now()
    attempt = Attempt(
        interaction=interaction,
        number=number,
        eligible=plan.eligible,
        drawn=plan.drawn,
        strategy=plan.strategy,
        inclusion=plan.inclusion,
        pairs=[[*pair, probability] for pair, probability in plan.pairs.items()],
        request_id=tracing.request_id.get(),
        started_at=now,
        deadline=now + timedelta(seconds=conversation.participant.protocol.reply_limit_s),
        lease_until=now + LEASE,
    )
    insert([attempt])
    history = messages_so_far(interaction)
    calls = [as_call(attempt, slot, asked, history) for slot, asked in enumerate(plan.asked)]
    return Asking(attempt, insert(calls))


def as_call(attempt: Attempt, slot: int, asked: Asked, history: list[Message]) -> ModelCall:
    return ModelCall(
        attempt=attempt,
        slot=slot,
        endpoint=asked.endpoint,
        arm=asked.arm,
        messages=[{"role": "system", "content": asked.header}, *history],
        parameters=asked.endpoint.parameters,
        started_at=attempt.started_at,
    )


def messages_so_far(interaction: Interaction) -> list[Message]:
    """The whole history as sent to a model: each prompt with its chosen reply, then this prompt."""
    messages: list[Message] = []
    for exchange in history(interaction.conversation, before=interaction.turn):
        messages += [
            {"role": "user", "content": exchange.prompt},
            {"role": "assistant", "content": exchange.reply.model_response},
        ]
    return [*messages, {"role": "user", "content": interaction.user_prompt}]


class Exchange(NamedTuple):
    """A rated turn: the prompt, and the reply that was chosen."""

    prompt: str
    reply: Utterance


def history(conversation: Conversation, before: int) -> list[Exchange]:
    """The rated turns with an index below `before`, in order, in one query at most."""
    if before == 0:
        return []
    chosen = (
        Utterance.objects.filter(
            interaction__conversation=conversation,
            interaction__turn__lt=before,
            interaction__state=State.RATED,
            if_chosen=True,
        )
        .select_related("interaction")
        .order_by("interaction__turn")
    )
    return [Exchange(reply.interaction.user_prompt, reply) for reply in chosen]


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
