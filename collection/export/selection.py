"""Who and what is released, under which numbers; and what is not, counted by reason."""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from itertools import count
from typing import Any

from django.db.models import Count

from collection.export.columns import keys
from collection.export.subsets import balanced
from collection.export.tables import CHOICE, PERFORMANCE
from collection.models import (
    AttributeRating,
    Conversation,
    Feedback,
    Interaction,
    ReleasedPerson,
    Utterance,
)
from surveys.draws import shuffled
from surveys.models import Decline, Participant, Study
from surveys.models.people import ParticipantQuerySet

MIN_TURNS = 2
"""Conversations with fewer complete turns are never released (codebook: conversation_turns)."""

ScreenReason = Participant.ScreenReason
SCREENED = {
    "": "comprehension check not passed",
    ScreenReason.QUOTA: "no place left in a quota",
    ScreenReason.LAPSED: "stayed away and found no place left in a quota",
}


@dataclass(frozen=True)
class Choice:
    """Whom of a study a release holds, and by which numbers.

    By default everybody, in the order in which they finished the survey.
    """

    seed: int | None = None
    """Draws the order of people."""
    left_out: ParticipantQuerySet | None = None
    """Those who may still withdraw."""
    edition: int | None = None
    """Key of an edition's first release: whom it has, by the numbers that it gave them."""

    def among(self, people: ParticipantQuerySet) -> ParticipantQuerySet:
        if self.left_out is not None:
            people = people.exclude(pk__in=self.left_out.values("pk"))
        if self.edition is not None:
            people = people.filter(released_as__release=self.edition)
        return people


EVERYBODY = Choice()


@dataclass
class ReleasedConversation:
    """number: of its c…; first_interaction: number of the int… of its turn 0;
    first_utterance: of the ut… of its first reply."""

    pk: int
    number: int
    turns: int
    is_balanced: bool
    first_interaction: int = 0
    kept: Mapping[str, Any] = field(default_factory=dict)
    """Of an import: columns as they were."""
    first_utterance: int = 0

    @property
    def id(self) -> str:
        return f"c{self.number}"


@dataclass
class ReleasedUser:
    """number: of their user…; conversations: in the order in which they were finished."""

    pk: int
    number: int
    is_simulated: bool
    version: int | None = None
    """Database id of the study's version that they came in."""
    samples: dict[str, bool] = field(default_factory=dict)
    """us, uk -> whether they are in that census-representative sample, if it was drawn."""
    conversations: list[ReleasedConversation] = field(default_factory=list)
    calls: dict[int, int] = field(default_factory=dict)
    """Key -> number of its call…: in a patch from the start, else as they are written."""

    @property
    def id(self) -> str:
        return f"user{self.number}"


@dataclass
class Selection:
    """Everything that a release holds, in the order of its files, by database id."""

    users: list[ReleasedUser]
    people_left_out: Counter[str]
    conversations_left_out: Counter[str]
    in_file_order: list[tuple[ReleasedUser, ReleasedConversation]] | None = None
    """Of an import, whose conversations need not stand together by person."""
    utterances: list[int] | None = None
    """Of an import: the number of each ut…, in the order of the file."""
    providers: Mapping[str, str] = field(default_factory=dict)
    """Of an import: name of a model -> its provider in utterances.jsonl."""
    keeps_ids: bool = False
    """Of a patch: whatever its edition did not number stays out."""
    samples: dict[str, Any] | None = None
    """What the subsets are, once they are drawn: see `collection.export.samples`."""

    def conversations(self) -> Iterator[tuple[ReleasedUser, ReleasedConversation]]:
        if self.in_file_order is not None:
            yield from self.in_file_order
            return
        for user in self.users:
            for conversation in user.conversations:
                yield user, conversation

    def utterance_numbers(self) -> Callable[[ReleasedConversation], Iterator[int]]:
        """Of ut…, one for each reply of a conversation; to be asked in the order of these."""
        if self.utterances is None:
            return lambda released: count(released.first_utterance)
        rest = iter(self.utterances)
        return lambda _released: rest


def select(study: Study, *, with_pilot: bool = False, choice: Choice = EVERYBODY) -> Selection:
    """Eight queries, whatever the size; in memory only ids, types and times."""
    rows = (
        choice.among(study.participants.released(with_pilot=with_pilot))
        .order_by("survey_finished_at", "pk")
        .values_list("pk", "is_simulated", "seed", "version")
    )
    users: list[ReleasedUser] = []
    seeds: dict[int, int] = {}
    for number, (pk, is_simulated, seed, version) in enumerate(rows):
        users.append(ReleasedUser(pk, number, is_simulated, version))
        seeds[pk] = seed
    finished, conversations_left_out = sort_out(study, seeds.keys())
    kept = kept_numbers(choice.edition) if choice.edition is not None else None
    if kept is not None:
        conversations_left_out.update(later_ones(finished, kept))
        users = sorted(users, key=lambda user: kept[user.pk].number)
    elif choice.seed is not None:
        order = shuffled(sorted(seeds), choice.seed, "people")
        places = {pk: place for place, pk in enumerate(order)}
        users = sorted(users, key=lambda user: places[user.pk])
    for number, user in enumerate(users):
        user.number = number
    _number_conversations(users, seeds, finished)
    _number_interactions(users)
    _number_utterances(study, users)
    if kept is not None:
        keep_numbers(users, kept)
    reasons = people_left_out(study, seeds.keys(), with_pilot=with_pilot)
    return Selection(users, reasons, conversations_left_out, keeps_ids=kept is not None)


# A patch has its edition's numbers


@dataclass(frozen=True)
class Kept:
    number: int
    conversations: dict[int, tuple[int, int, int]]
    """Key -> number of its c…, of its first int…, of its first ut…."""
    calls: dict[int, int]


def kept_numbers(edition: int) -> dict[int, Kept]:
    """Participant's key -> their numbers."""
    rows = ReleasedPerson.objects.filter(release=edition)
    return {
        pk: Kept(number, {key: (c, i, u) for key, c, i, u in conversations}, dict(calls))
        for pk, number, conversations, calls in rows.values_list(
            "participant", "number", "conversations", "calls"
        )
    }


def later_ones(finished: dict[int, list["_Finished"]], kept: dict[int, Kept]) -> Counter[str]:
    """Takes out conversations that the edition did not have, and counts them."""
    reasons: Counter[str] = Counter()
    for pk, conversations in finished.items():
        known = [c for c in conversations if c.pk in kept[pk].conversations]
        reasons["came after the edition"] += len(conversations) - len(known)
        finished[pk] = known
    return +reasons


def keep_numbers(users: list[ReleasedUser], kept: dict[int, Kept]) -> None:
    for user in users:
        user.number, user.calls = kept[user.pk].number, kept[user.pk].calls
        for conversation in user.conversations:
            numbers = kept[user.pk].conversations[conversation.pk]
            (
                conversation.number,
                conversation.first_interaction,
                conversation.first_utterance,
            ) = numbers


@dataclass
class _Finished:
    """A conversation fit for release."""

    pk: int
    conversation_type: str
    finished_at: datetime
    turns: int


def sort_out(
    study: Study, released: Iterable[int]
) -> tuple[dict[int, list[_Finished]], Counter[str]]:
    """(participant id -> their conversations to be released, why the others are not)."""
    known = set(released)
    kept: dict[int, list[_Finished]] = defaultdict(list)
    reasons: Counter[str] = Counter()
    turns = _complete_turns(study)
    rated = _rated_attributes(study)
    with_feedback = _with_feedback(study)
    rows = Conversation.objects.filter(participant__study=study).values_list(
        "pk", "participant_id", "conversation_type", "state", "finished_at"
    )
    for pk, participant, kind, state, finished_at in rows:
        if participant not in known:
            reasons["participant not released"] += 1
        elif state == Conversation.State.TECHNICAL:
            reasons["models did not answer"] += 1
        elif state == Conversation.State.FINISHED:
            reasons["feedback not given"] += 1
        elif state != Conversation.State.COMPLETE or finished_at is None:
            reasons["not finished"] += 1
        elif turns[pk] < MIN_TURNS:
            reasons["fewer than two complete turns"] += 1
        elif rated[pk] < len(PERFORMANCE.keys) + len(CHOICE.keys):
            reasons["attributes not all rated"] += 1
        elif pk not in with_feedback:
            reasons["no open feedback"] += 1
        else:
            kept[participant].append(_Finished(pk, kind, finished_at, turns[pk]))
    return kept, reasons


def people_left_out(
    study: Study, released: Iterable[int], *, with_pilot: bool = False
) -> Counter[str]:
    """Why people who arrived are not in the survey; each is counted once, decliners included."""
    reasons = Counter({"declined": Decline.objects.filter(study=study).count()})
    known = set(released)
    rows = study.participants.values_list(
        *("pk", "withdrawn_at", "rejected_at", "consent", "screened_at", "screen_reason"),
        *("survey_finished_at", "is_pilot"),
    )
    for pk, withdrawn_at, rejected_at, consent, screened_at, screened, *rest in rows:
        finished_at, is_pilot = rest
        if pk in known:
            continue
        if withdrawn_at:
            reasons["withdrawn"] += 1
        elif rejected_at:
            reasons["rejected"] += 1
        elif consent is None:
            reasons["no consent"] += 1
        elif screened_at:
            reasons[SCREENED.get(screened, SCREENED[""])] += 1
        elif finished_at is None:
            reasons["survey not finished"] += 1
        elif is_pilot and not with_pilot:
            reasons["pilot"] += 1
        else:
            reasons["may still withdraw, or came later"] += 1
    return +reasons


def _complete_turns(study: Study) -> Counter[int]:
    rows = (
        Interaction.objects.filter(
            conversation__participant__study=study, state=Interaction.State.RATED
        )
        .order_by()
        .values_list("conversation_id")
        .annotate(Count("pk"))
    )
    return Counter(dict(rows))


def _rated_attributes(study: Study) -> Counter[int]:
    rows = (
        AttributeRating.objects.filter(
            conversation__participant__study=study, attribute__in=keys(PERFORMANCE)
        )
        .order_by()
        .values_list("conversation_id")
        .annotate(Count("pk"))
    )
    return Counter(dict(rows))


def _with_feedback(study: Study) -> set[int]:
    return set(
        Feedback.objects.filter(conversation__participant__study=study).values_list(
            "conversation_id", flat=True
        )
    )


def _number_conversations(
    users: list[ReleasedUser], seeds: dict[int, int], finished: dict[int, list[_Finished]]
) -> None:
    number = 0
    for user in users:
        theirs = sorted(finished.get(user.pk, ()), key=lambda c: (c.finished_at, c.pk))
        by_type: dict[str, list[int]] = defaultdict(list)
        for row in theirs:
            by_type[row.conversation_type].append(row.pk)
        flagged = balanced(seeds[user.pk], by_type)
        for row in theirs:
            user.conversations.append(
                ReleasedConversation(row.pk, number, row.turns, row.pk in flagged)
            )
            number += 1


def _number_interactions(users: list[ReleasedUser]) -> None:
    """int… counts turns in the order of conversation ids as text: c0, c1, c10, c100, c101, c11."""
    in_text_order = sorted((c for user in users for c in user.conversations), key=lambda c: c.id)
    number = 0
    for conversation in in_text_order:
        conversation.first_interaction = number
        number += conversation.turns


def _number_utterances(study: Study, users: list[ReleasedUser]) -> None:
    rows = (
        Utterance.objects.filter(
            interaction__conversation__participant__study=study,
            interaction__state=Interaction.State.RATED,
        )
        .order_by()
        .values_list("interaction__conversation_id")
        .annotate(Count("pk"))
    )
    replies = dict(rows)
    number = 0
    for user in users:
        for conversation in user.conversations:
            conversation.first_utterance = number
            number += replies.get(conversation.pk, 0)
