"""Every text that a release may hold, as it is released: what detectors look at.

Those of people who finished the survey and stay in the study, and of their complete conversations.
Of the survey all that was typed: answers in one's own words, and own words beside a choice.
"""

import hashlib
from collections.abc import Iterator
from typing import Any, NamedTuple

from django.db.models import QuerySet

from collection.models import Conversation, Detection, Feedback, Interaction, Utterance
from surveys.instruments.schema import FreeText, Question, Single
from surveys.models import Instrument, Response, Study

Kind = Detection.Kind

AT_ONCE = 500
KINDS = tuple(Kind)
"""In the order in which they are gone through."""
NOTHING = ("", "None")
PLACEHELD = (Kind.PROMPT, Kind.REPLY)
"""What a release calls EMPTY STRING, and in which texts."""


class Written(NamedTuple):
    """A text and where it stands. text: without blank ends, empty if there is nothing in it."""

    kind: str
    row: int
    participant: int
    text: str

    @property
    def digest(self) -> str:
        data = self.text.encode("utf-8", "surrogatepass")
        return hashlib.blake2b(data, digest_size=8).hexdigest()


class Reader:
    """Makes of what is stored the text that is released: the one place that knows how."""

    def __init__(self, study: Study) -> None:
        self.study = study

    def read(self, kind: str, row: int, participant: int, text: str) -> Written:
        text = text.strip()
        if kind in PLACEHELD and text in NOTHING:
            text = ""
        return Written(kind, row, participant, text)


def typed(value: Any) -> str:
    """The words in an answer to a question of the survey."""
    found = value.get("text") or value.get("other_text")
    return found.strip() if isinstance(found, str) else ""


def texts(study: Study, kind: str = "", after: int = 0) -> Iterator[list[Written]]:
    """In batches, in the order of kinds and keys; from behind a text on, if one is named."""
    first = KINDS.index(Kind(kind)) if kind else 0
    for place, each in enumerate(KINDS[first:]):
        yield from of_kind(study, each, after if place == 0 else 0)


def of_kind(study: Study, kind: str, after: int = 0) -> Iterator[list[Written]]:
    rows, participant, text = SOURCES[Kind(kind)]
    found = rows(study).order_by("pk").values_list("pk", participant, text)
    reader = Reader(study)
    while batch := list(found.filter(pk__gt=after)[:AT_ONCE]):
        after = batch[-1][0]
        if kind == Kind.ANSWER:
            answered = ((pk, person, typed(value)) for pk, person, value in batch)
            batch = [each for each in answered if each[-1]]
        yield [reader.read(kind, *each) for each in batch]


def count(study: Study) -> dict[str, int]:
    """Kind -> how many texts there are."""
    found = {kind.value: SOURCES[kind][0](study).count() for kind in KINDS if kind != Kind.ANSWER}
    values = answers(study).values_list("value", flat=True)
    return {Kind.ANSWER.value: sum(map(bool, map(typed, values))), **found}


def answers(study: Study) -> QuerySet[Response]:
    """To questions that take words, in any version of the instrument."""
    met = people(study).order_by().values("instrument").distinct()
    files = [row.file for row in Instrument.objects.filter(pk__in=met)]
    codes = {q.code for file in files for q in file.questions() if takes_words(q)}
    return Response.objects.filter(participant__in=people(study), question__in=codes)


def takes_words(question: Question) -> bool:
    match question:
        case FreeText():
            return True
        case Single():
            return question.self_describe is not None
    return bool(getattr(question, "other", None))


def people(study: Study) -> QuerySet[Any]:
    return study.participants.released(with_pilot=True)


def talks(study: Study) -> QuerySet[Conversation]:
    state = Conversation.State.COMPLETE
    return Conversation.objects.filter(participant__in=people(study), state=state)


def feedback(study: Study) -> QuerySet[Feedback]:
    return Feedback.objects.filter(conversation__in=talks(study))


def prompts(study: Study) -> QuerySet[Interaction]:
    state = Interaction.State.RATED
    return Interaction.objects.filter(conversation__in=talks(study), state=state)


def replies(study: Study) -> QuerySet[Utterance]:
    return Utterance.objects.filter(interaction__in=prompts(study))


SOURCES: dict[Kind, Any] = {
    Kind.ANSWER: (answers, "participant", "value"),
    Kind.FEEDBACK: (feedback, "conversation__participant", "open_feedback"),
    Kind.PROMPT: (prompts, "conversation__participant", "user_prompt"),
    Kind.REPLY: (replies, "interaction__conversation__participant", "model_response"),
}
"""Kind -> its rows in a study, and the lookups of the participant and of the text."""
