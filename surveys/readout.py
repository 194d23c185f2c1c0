"""A participant's survey as a person reads it: every question with its answer in words."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from surveys.instruments.conditions import Value, is_answer, is_declined, is_skipped
from surveys.instruments.schema import (
    Check,
    InstrumentFile,
    Likert,
    Matrix,
    Page,
    Question,
    Ranking,
    Scale,
    Slider,
)
from surveys.models import PageVisit, Participant, Response
from surveys.sheet import Sheet, ordered, page_scope
from surveys.wording import item_labels, labels, words


@dataclass(frozen=True)
class RatedLine:
    """One statement of a set of sliders. value: as stored, or None if it was not rated."""

    label: str
    value: int | None
    percent: float
    """Of the line's length."""
    touch: str
    is_na: bool = False


@dataclass(frozen=True)
class Attempt:
    """At a comprehension check, or the one answer to an attention check."""

    label: str
    is_correct: bool


State = Literal["answered", "declined", "skipped", "unanswered"]


@dataclass(frozen=True)
class Readout:
    """One question and what became of it.

    An answer to a question that is not shown was given before another answer led past it.
    """

    question: Question
    is_shown: bool
    state: State = "unanswered"
    words: list[str] = field(default_factory=list)
    lines: list[RatedLine] = field(default_factory=list)
    rows: list[tuple[str, str]] = field(default_factory=list)
    """Of a likert or a matrix: (row, what was chosen in it)."""
    attempts: list[Attempt] = field(default_factory=list)
    language: str = ""
    """Answered in, if the instrument has several."""
    order: list[str] = field(default_factory=list)
    """Labels in the order in which this person saw them, if it was drawn."""
    own_text: int | None = None
    """Key of the response, if the person typed words of their own in it."""

    @property
    def is_answered(self) -> bool:
        return self.state != "unanswered"

    @property
    def is_ranking(self) -> bool:
        return isinstance(self.question, Ranking)


@dataclass(frozen=True)
class PageReadout:
    page: Page
    is_shown: bool
    visit: PageVisit | None
    questions: list[Readout]


def pages(participant: Participant) -> list[PageReadout]:
    """All pages of the person's instrument in their order, those not shown to them too.

    In the instrument's own language, which the desk can read. Nothing is drawn here: someone who
    has no arm yet is in none.
    """
    file = participant.instrument.file
    responses = {response.question: response for response in participant.responses.all()}
    visits = {visit.page: visit for visit in participant.pages.all()}
    orders = {order.scope: order.codes for order in participant.orders.all()}
    arms = dict(participant.assignments.values_list("variant", "arm"))
    values = {code: response.value for code, response in responses.items()}
    readouts = []
    for step in Sheet(file, participant.seed, arms, values).steps:
        shown = {question.code for question in step.questions}
        read = [
            readout(q, responses.get(q.code), orders.get(q.code, []), q.code in shown)
            for q in in_order(step.page, participant.seed)
        ]
        readouts.append(PageReadout(step.page, step.is_shown, visits.get(step.page.code), read))
    return readouts


def in_order(page: Page, seed: int) -> Sequence[Question]:
    return ordered(page.questions, seed, page_scope(page)) if page.randomise else page.questions


def arms(participant: Participant) -> list[tuple[str, str]]:
    """(variant, arm) in labels."""
    given = dict(participant.assignments.values_list("variant", "arm"))
    return [
        (variant.label or variant.code, arm.label or arm.code)
        for variant in participant.instrument.file.variants
        for arm in variant.arms
        if given.get(variant.code) == arm.code
    ]


def readout(
    question: Question, response: Response | None, order: list[str], is_shown: bool
) -> Readout:
    names = item_labels(question)
    shown_order = [names.get(code, code) for code in order]
    if response is None:
        return Readout(question, is_shown, order=shown_order)
    value = response.value
    is_full = is_answer(value)
    return Readout(
        question,
        is_shown,
        state(value),
        words(question, value),
        lines(question, response, order) if isinstance(question, Scale) and is_full else [],
        rows(question, value, order) if isinstance(question, Likert | Matrix) and is_full else [],
        attempts(question, response) if isinstance(question, Check) else [],
        response.language,
        shown_order,
        response.pk if value.get("text") or value.get("other_text") else None,
    )


def state(value: Value) -> State:
    if is_declined(value):
        return "declined"
    return "skipped" if is_skipped(value) else "answered"


def rows(question: Likert | Matrix, value: Value, order: list[str]) -> list[tuple[str, str]]:
    items, names, given = item_labels(question), labels(question), value.get("rows", {})
    read = []
    for code in order or list(items):
        cell = given.get(code, [])
        chosen = [cell] if isinstance(cell, str) else cell
        read.append((items.get(code, code), ", ".join(names.get(one, one) for one in chosen)))
    return read


def attempts(question: Check, response: Response) -> list[Attempt]:
    given = response.attempts or [response.value.get("choice", "")]
    names = labels(question)
    return [Attempt(names.get(code, code), code in question.correct) for code in given]


def lines(question: Scale, response: Response, order: list[str]) -> list[RatedLine]:
    if isinstance(question, Slider):
        score = response.value["score"]
        touch = "" if score is None else touch_in_words(response.touches.get(""))
        return [RatedLine("", score, percent(question, score), touch, is_na=score is None)]
    names = item_labels(question)
    scores, touches = response.value["scores"], response.touches
    rated = []
    for code in order or list(names):
        value = scores.get(code)
        own_text = response.value["other_text"] if code == question.last else None
        rated.append(
            RatedLine(
                f"{names.get(code, code)} {own_text}" if own_text else names.get(code, code),
                value,
                percent(question, value),
                touch_in_words(touches.get(code)) if value is not None else "",
                is_na=code in scores and value is None,
            )
        )
    return rated


def percent(question: Scale, value: int | None) -> float:
    """Where a mark lies, of the line's length."""
    span = question.maximum - question.minimum
    return 0 if value is None else 100 * (value - question.minimum) / span


def touch_in_words(touch: Mapping[str, Any] | None) -> str:
    """touch: an entry of `Response.touches`."""
    if touch is None:
        return _("not touched")
    moves: str = ngettext("%d move", "%d moves", touch["moves"]) % touch["moves"]
    if touch["first"] is None:
        return moves
    by = {"pointer": _("by pointer"), "keyboard": _("by keyboard")}.get(touch["first_by"], "")
    after = "" if touch["ms"] is None else _("after %.1f s") % (touch["ms"] / 1000)
    first = " ".join(filter(None, [_("first %d") % touch["first"], by, after]))
    return f"{first}, {moves}"


def response_in_words(file: InstrumentFile, response: Response) -> str:
    """One line for lists."""
    question = next((q for q in file.questions() if q.code == response.question), None)
    return "; ".join(words(question, response.value)) if question else str(response.value)
