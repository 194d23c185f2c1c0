"""What a person handed in, as quality checks read it, and the whole study to compare it with.

Nothing is loaded before a check asks for it; `loaded` brings everything along for many people.
"""

import math
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from hashlib import sha256
from itertools import chain
from statistics import median
from typing import Any

from django.db.models import Count, Prefetch, Q, QuerySet
from django.db.models.fields.json import KT
from django.db.models.functions import Length, Lower, Trim

from collection.conversations import wanted
from collection.models import (
    Attempt,
    Conversation,
    Feedback,
    Interaction,
    QualityRun,
    Utterance,
)
from surveys.instruments.schema import FreeText, Question
from surveys.models import Participant, Response, Study
from surveys.paradata import summary

ENOUGH_SUBMISSIONS = 20
"""Fewer say nothing about what is usual."""
MAD_TO_SD = 1.4826
"""A normal distribution's standard deviation is so many median absolute deviations."""
WORD = re.compile(r"[぀-ヿ㐀-鿿]|[^\W぀-ヿ㐀-鿿]+(?:['’-][^\W぀-ヿ㐀-鿿]+)*")
"""Chinese and Japanese have no spaces: there each character counts as one."""
SHARED_LENGTH = 30
"""Characters of a text that two people don't write by chance."""


def submitted(study: Study) -> QuerySet[Participant]:
    """Who has handed something in to be reviewed."""
    return study.participants.filter(completed_at__isnull=False, withdrawn_at__isnull=True)


@dataclass(frozen=True)
class Text:
    """Something a person wrote. place: {"question": code}, or {"conversation": n} with "turn"."""

    text: str
    place: dict[str, Any]

    @cached_property
    def words(self) -> list[str]:
        return WORD.findall(self.text)

    @cached_property
    def sentences(self) -> int:
        parts = re.split(r"[.!?…。！？]+|\n+", self.text)
        return sum(bool(re.search(r"\w", part)) for part in parts)

    @cached_property
    def plain(self) -> str:
        """Without what hides that two texts are the same: case, spaces, punctuation."""
        return " ".join(self.words).lower()


@dataclass
class Submission:
    """One person's. Conversations count if they are complete."""

    participant: Participant

    @cached_property
    def answers(self) -> dict[str, Response]:
        """By question; only what the person's own path shows."""
        return {row.question: row for row in self.participant.responses.all() if row.is_shown}

    @cached_property
    def asked(self) -> list[tuple[Question, Response]]:
        rows = self.answers
        return [(q, rows[q.code]) for q in self.participant.file.questions() if q.code in rows]

    @cached_property
    def survey_texts(self) -> list[Text]:
        return [
            Text(row.value["text"], {"question": question.code})
            for question, row in self.asked
            if isinstance(question, FreeText) and row.value.get("text")
        ]

    @cached_property
    def conversations(self) -> list[Conversation]:
        rows = self.participant.conversations.all()
        complete = [row for row in rows if row.state == Conversation.State.COMPLETE]
        return sorted(complete, key=lambda row: row.number)

    @cached_property
    def turns(self) -> list[tuple[Conversation, Interaction]]:
        """Those that were rated."""
        return [
            (conversation, turn)
            for conversation in self.conversations
            for turn in sorted(conversation.interactions.all(), key=lambda row: row.turn)
            if turn.state == Interaction.State.RATED
        ]

    @cached_property
    def own_prompts(self) -> list[Text]:
        """Without openings that the study gave."""
        return [
            Text(turn.user_prompt, {"conversation": conversation.number, "turn": turn.turn})
            for conversation, turn in self.turns
            if not (turn.is_opening and conversation.anchor)
        ]

    @cached_property
    def feedback(self) -> list[Text]:
        return [
            Text(row.feedback.open_feedback, {"conversation": row.number})
            for row in self.conversations
            if hasattr(row, "feedback")
        ]

    @property
    def texts(self) -> list[Text]:
        return [*self.survey_texts, *self.own_prompts, *self.feedback]

    @cached_property
    def replies(self) -> list[Utterance]:
        return [reply for _talk, turn in self.turns for reply in turn.utterances.all()]

    @cached_property
    def page_notes(self) -> list[dict[str, Any]]:
        """Paradata of each survey page that has any."""
        return [summary(visit) for visit in self.participant.pages.all() if visit.paradata]

    @property
    def wanted(self) -> int:
        return wanted(self.participant)

    @property
    def talks(self) -> bool:
        return self.participant.file.conversation is not None

    @property
    def language(self) -> str:
        """Without its region or script."""
        return (self.participant.language or self.participant.file.language).split("-")[0]


@dataclass(frozen=True)
class Usual:
    """How long a study's submissions take, robustly: on the log scale, by median and MAD."""

    log_median: float
    log_sd: float

    @property
    def seconds(self) -> int:
        return round(math.exp(self.log_median))

    def deviation(self, seconds: float) -> float:
        """In standard deviations; negative if faster than usual."""
        return (math.log(seconds) - self.log_median) / self.log_sd


def usual(seconds: Iterable[float]) -> Usual | None:
    """None if there are too few, or if most are exactly equal."""
    logs = [math.log(number) for number in seconds if number > 0]
    if len(logs) < ENOUGH_SUBMISSIONS:
        return None
    middle = median(logs)
    spread = median(abs(number - middle) for number in logs) * MAD_TO_SD
    return Usual(middle, spread) if spread > 0 else None


@dataclass(frozen=True)
class Cohort:
    """All submissions of a study, as far as one has to be compared with them."""

    survey_s: Mapping[int, float]
    talk_s: Mapping[int, float]
    """Participant -> seconds of all complete conversations together, feedback excluded."""
    shared: Mapping[int, list[tuple[dict[str, Any], int]]]
    """Participant -> (place, how many others) of each text that others have written too."""
    pattern_of: Mapping[int, str]
    """Participant -> fingerprint of all closed answers, of those checked so far."""
    pattern_counts: Counter[str] = field(init=False)
    usual_survey: Usual | None = field(init=False)
    usual_talk: Usual | None = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "pattern_counts", Counter(self.pattern_of.values()))
        object.__setattr__(self, "usual_survey", usual(self.survey_s.values()))
        object.__setattr__(self, "usual_talk", usual(self.talk_s.values()))


def cohort(study: Study) -> Cohort:
    return Cohort(survey_seconds(study), talk_seconds(study), shared_texts(study), patterns(study))


def survey_seconds(study: Study) -> dict[int, float]:
    rows = submitted(study).filter(consent_shown_at__isnull=False, survey_finished_at__isnull=False)
    times = rows.values_list("pk", "consent_shown_at", "survey_finished_at")
    return {pk: (end - start).total_seconds() for pk, start, end in times if start and end}


def talk_seconds(study: Study) -> dict[int, float]:
    rows = Conversation.objects.filter(
        participant__in=submitted(study),
        state=Conversation.State.COMPLETE,
        finished_at__isnull=False,
    ).values_list("participant", "started_at", "finished_at")
    seconds: dict[int, float] = defaultdict(float)
    for pk, start, end in rows.order_by():
        seconds[pk] += (end - start).total_seconds() if end else 0
    return dict(seconds)


def shared_texts(study: Study) -> dict[int, list[tuple[dict[str, Any], int]]]:
    """The database finds what is equal up to case and outer spaces; only that is brought here."""
    found: dict[str, list[tuple[int, dict[str, Any]]]] = defaultdict(list)
    for text, pk, place in chain(same_answers(study), same_prompts(study), same_feedback(study)):
        found[text].append((pk, place))
    shared: dict[int, list[tuple[dict[str, Any], int]]] = defaultdict(list)
    for places in found.values():
        people = {pk for pk, _place in places}
        for pk, place in places:
            if len(people) > 1:
                shared[pk].append((place, len(people) - 1))
    return dict(shared)


Found = Iterator[tuple[str, int, dict[str, Any]]]


def repeated(rows: QuerySet[Any], text: Any, person: str) -> QuerySet[Any]:
    """Rows whose `said`, the text made comparable, is that of several people."""
    said = rows.annotate(said=Lower(Trim(text))).annotate(length=Length("said"))
    long = said.filter(length__gte=SHARED_LENGTH).order_by()
    again = long.values("said").annotate(people=Count(person, distinct=True)).filter(people__gt=1)
    found: QuerySet[Any] = long.filter(said__in=again.values("said"))
    return found


def same_answers(study: Study) -> Found:
    codes = {q.code for q in study.instrument.file.questions() if isinstance(q, FreeText)}
    rows = Response.objects.filter(
        participant__in=submitted(study), question__in=codes, is_shown=True
    )
    found = repeated(rows, KT("value__text"), "participant")
    for text, pk, code in found.values_list("said", "participant", "question"):
        yield text, pk, {"question": code}


def same_prompts(study: Study) -> Found:
    rows = Interaction.objects.filter(conversation__participant__in=submitted(study)).exclude(
        ~Q(conversation__anchor=""), turn=0
    )
    found = repeated(rows, "user_prompt", "conversation__participant")
    names = ("said", "conversation__participant", "conversation__number", "turn")
    for text, pk, number, turn in found.values_list(*names):
        yield text, pk, {"conversation": number, "turn": turn}


def same_feedback(study: Study) -> Found:
    rows = Feedback.objects.filter(conversation__participant__in=submitted(study))
    found = repeated(rows, "open_feedback", "conversation__participant")
    names = ("said", "conversation__participant", "conversation__number")
    for text, pk, number in found.values_list(*names):
        yield text, pk, {"conversation": number}


PATTERN_CHECK = "closed_answers"
"""Its runs keep the fingerprints."""


def patterns(study: Study) -> dict[int, str]:
    rows = QualityRun.objects.filter(
        participant__in=submitted(study),
        check_name=PATTERN_CHECK,
        is_current=True,
        value__isnull=False,
    )
    return dict(rows.order_by().values_list("participant", KT("evidence__pattern")))


def pattern(values: Iterable[Any]) -> str:
    return sha256(repr(list(values)).encode()).hexdigest()[:16]


def loaded(people: Iterable[int]) -> list[Submission]:
    """Submissions of these participants with all that checks read, in a fixed number of queries."""
    turns = Interaction.objects.order_by("turn").prefetch_related(
        Prefetch("attempts", Attempt.objects.only("interaction", "number", "settled_at")),
        Prefetch(
            "utterances",
            Utterance.objects.only(
                *["interaction", "score", "was_touched", "model_response", "shown_text"]
            ),
        ),
    )
    talks = Conversation.objects.select_related("feedback").prefetch_related(
        Prefetch("interactions", turns), "attributes"
    )
    rows = Participant.objects.filter(pk__in=list(people)).order_by("pk")
    rows = rows.select_related("consent").prefetch_related(
        "study", "instrument", "responses", "pages", Prefetch("conversations", talks)
    )
    return [Submission(row) for row in rows]
