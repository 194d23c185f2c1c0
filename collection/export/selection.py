"""Who and what is released, under which numbers; and what is not, counted by reason."""

from array import array
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Container, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import chain, count, groupby
from typing import Any, NamedTuple

from django.db.models import Count, Exists, OuterRef, QuerySet, Subquery, Value
from django.db.models.functions import Coalesce

from collection.export.columns import keys
from collection.export.subsets import balanced
from collection.export.tables import CHOICE, PERFORMANCE
from collection.export.text import in_text_order
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
NOWHERE = range(0)


NOTHING_KEPT: Mapping[str, Any] = {}
NOT_DRAWN: Mapping[str, bool] = {}


class ReleasedConversation(NamedTuple):
    """number: of its c…; first_interaction: number of the int… of its turn 0;
    first_utterance: of the ut… of its first reply."""

    pk: int
    number: int
    turns: int
    is_balanced: bool
    first_interaction: int = 0
    first_utterance: int = 0
    kept: Mapping[str, Any] = NOTHING_KEPT
    """Of an import: columns as they were."""

    @property
    def id(self) -> str:
        return f"c{self.number}"


class ConversationColumns:
    """Conversations, person by person, in the order in which each was finished.

    Ten times PRISM has 80,000. As objects they took a sixth of all that its release took.
    """

    def __init__(self) -> None:
        self.pks = array("q")
        self.turns = array("i")
        self.replies = array("i")
        self.balanced = bytearray()
        self.numbers = array("i")
        self.first_interactions = array("i")
        self.first_utterances = array("i")

    def __len__(self) -> int:
        return len(self.pks)

    def __getitem__(self, place: int) -> ReleasedConversation:
        return ReleasedConversation(
            self.pks[place],
            self.numbers[place],
            self.turns[place],
            bool(self.balanced[place]),
            self.first_interactions[place],
            self.first_utterances[place],
        )

    def add(self, talk: "_Found", is_balanced: bool) -> None:
        self.pks.append(talk.pk)
        self.turns.append(talk.turns)
        self.replies.append(talk.replies)
        self.balanced.append(is_balanced)
        for unknown_yet in (self.numbers, self.first_interactions, self.first_utterances):
            unknown_yet.append(0)


class Stretch(Collection[ReleasedConversation]):
    """One person's."""

    __slots__ = ("columns", "places")

    def __init__(self, columns: ConversationColumns, places: range) -> None:
        self.columns = columns
        self.places = places

    def __len__(self) -> int:
        return len(self.places)

    def __iter__(self) -> Iterator[ReleasedConversation]:
        return map(self.columns.__getitem__, self.places)

    def __contains__(self, one: object) -> bool:
        return any(one == mine for mine in self)


@dataclass(slots=True)
class ReleasedUser:
    """number: of their user…; conversations: in the order in which they were finished."""

    pk: int
    number: int
    is_simulated: bool
    version: int | None = None
    """Database id of the study's version that they came in."""
    samples: Mapping[str, bool] = field(default_factory=lambda: NOT_DRAWN)
    """us, uk -> whether they are in that census-representative sample, if it was drawn."""
    conversations: Collection[ReleasedConversation] = ()
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
    """Four queries, whatever the size; in memory only ids, types and times."""
    rows = (
        choice.among(study.participants.released(with_pilot=with_pilot))
        .order_by("survey_finished_at", "pk")
        .values_list("pk", "is_simulated", "seed", "version")
    )
    users: list[ReleasedUser] = []
    seeds: dict[int, int] = {}
    for number, (pk, is_simulated, seed, version) in enumerate(rows.iterator()):
        users.append(ReleasedUser(pk, number, is_simulated, version))
        seeds[pk] = seed
    kept = kept_numbers(choice.edition) if choice.edition is not None else None
    talks, places, conversations_left_out = sort_out(study, seeds, kept)
    if kept is not None:
        users = sorted(users, key=lambda user: kept[user.pk].number)
    elif choice.seed is not None:
        order = shuffled(sorted(seeds), choice.seed, "people")
        drawn = {pk: place for place, pk in enumerate(order)}
        users = sorted(users, key=lambda user: drawn[user.pk])
    for number, user in enumerate(users):
        user.number = number
        user.conversations = Stretch(talks, places.get(user.pk, NOWHERE))
    if kept is None:
        in_order = array("i", chain.from_iterable(places.get(u.pk, NOWHERE) for u in users))
        _number(talks, in_order)
    else:
        keep_numbers(users, talks, places, kept)
    reasons = people_left_out(study, seeds, with_pilot=with_pilot)
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


def keep_numbers(
    users: list[ReleasedUser],
    talks: ConversationColumns,
    places: Mapping[int, range],
    kept: Mapping[int, Kept],
) -> None:
    for user in users:
        theirs = kept[user.pk]
        user.number, user.calls = theirs.number, theirs.calls
        for place in places.get(user.pk, NOWHERE):
            (
                talks.numbers[place],
                talks.first_interactions[place],
                talks.first_utterances[place],
            ) = theirs.conversations[talks.pks[place]]


class _Found(NamedTuple):
    """A conversation, and what decides whether it is fit for release."""

    pk: int
    participant: int
    conversation_type: str
    state: str
    finished_at: datetime | None
    turns: int
    """Complete ones."""
    replies: int
    rated: int
    """How many attributes are."""
    has_feedback: bool

    @property
    def problem(self) -> str:
        """Why it is not released, if its participant is."""
        if self.state == Conversation.State.TECHNICAL:
            return "models did not answer"
        if self.state == Conversation.State.FINISHED:
            return "feedback not given"
        if self.state != Conversation.State.COMPLETE or self.finished_at is None:
            return "not finished"
        if self.turns < MIN_TURNS:
            return "fewer than two complete turns"
        if self.rated < len(PERFORMANCE.keys) + len(CHOICE.keys):
            return "attributes not all rated"
        return "" if self.has_feedback else "no open feedback"


def sort_out(
    study: Study, seeds: Mapping[int, int], kept: Mapping[int, Kept] | None
) -> tuple[ConversationColumns, dict[int, range], Counter[str]]:
    """(those to be released, participant id -> places of theirs, why the others are not).

    seeds: of the participants who are released.
    """
    released = ConversationColumns()
    places: dict[int, range] = {}
    reasons: Counter[str] = Counter()
    for participant, talks in groupby(_talks(study), key=lambda talk: talk.participant):
        if participant not in seeds:
            reasons["participant not released"] += len([*talks])
            continue
        fit = []
        for talk in talks:
            problem = talk.problem
            if not problem and kept is not None and talk.pk not in kept[participant].conversations:
                problem = "came after the edition"
            if problem:
                reasons[problem] += 1
            else:
                fit.append(talk)
        begin = len(released)
        _add(released, fit, seeds[participant])
        places[participant] = range(begin, len(released))
    return released, places, reasons


def _add(released: ConversationColumns, talks: list[_Found], seed: int) -> None:
    by_type: dict[str, list[int]] = defaultdict(list)
    for talk in talks:
        by_type[talk.conversation_type].append(talk.pk)
    flagged = balanced(seed, by_type)
    for talk in talks:
        released.add(talk, talk.pk in flagged)


def _talks(study: Study) -> Iterator[_Found]:
    """Person by person, in the order in which they were finished; one by one, since figures of all
    at once would be most of the memory that a release takes at ten times PRISM's size."""
    mine = {"conversation": OuterRef("pk")}
    turns = Interaction.objects.filter(**mine, state=Interaction.State.RATED)
    replies = Utterance.objects.filter(
        interaction__conversation=OuterRef("pk"), interaction__state=Interaction.State.RATED
    )
    rated = AttributeRating.objects.filter(**mine, attribute__in=keys(PERFORMANCE))
    rows = Conversation.objects.filter(participant__study=study)
    found = rows.order_by("participant", "finished_at", "pk").values_list(
        *("pk", "participant_id", "conversation_type", "state", "finished_at"),
        *map(_count, (turns, replies, rated)),
        Exists(Feedback.objects.filter(**mine)),
    )
    return map(_Found._make, found.iterator())


def _count(rows: QuerySet[Any]) -> Coalesce:
    """How many there are of a conversation."""
    counted = rows.order_by().annotate(one=Value(1)).values("one").annotate(n=Count("pk"))
    return Coalesce(Subquery(counted.values("n")), Value(0))


def people_left_out(
    study: Study, released: Container[int], *, with_pilot: bool = False
) -> Counter[str]:
    """Why people who arrived are not in the survey; each is counted once, decliners included."""
    reasons = Counter({"declined": Decline.objects.filter(study=study).count()})
    rows = study.participants.values_list(
        *("pk", "withdrawn_at", "rejected_at", "consent", "screened_at", "screen_reason"),
        *("survey_finished_at", "is_pilot"),
    )
    for pk, withdrawn_at, rejected_at, consent, screened_at, screened, *rest in rows.iterator():
        finished_at, is_pilot = rest
        if pk in released:
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


def _number(talks: ConversationColumns, in_order: Sequence[int]) -> None:
    """in_order: places, as the conversations stand in a release.

    int… counts turns in the order of conversation ids as text: c0, c1, c10, c100, c101, c11.
    """
    first_utterance, first_interaction = 0, 0
    for number, place in enumerate(in_order):
        talks.numbers[place] = number
        talks.first_utterances[place] = first_utterance
        first_utterance += talks.replies[place]
    for number in in_text_order(len(in_order)):
        talks.first_interactions[in_order[number]] = first_interaction
        first_interaction += talks.turns[in_order[number]]
