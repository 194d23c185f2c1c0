"""A participant's survey as a person reads it: every question with its answer in words."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from surveys.answers import choices_of
from surveys.instruments.schema import (
    PREFER_NOT_TO_SAY,
    Country,
    FreeText,
    InstrumentFile,
    Multiple,
    Page,
    Question,
    Single,
    Sliders,
)
from surveys.models import PageVisit, Participant, Response
from surveys.places import choices as country_choices


@dataclass(frozen=True)
class RatedLine:
    """One statement of a set of sliders. value: as stored, or None if it was not rated."""

    label: str
    value: int | None
    percent: float
    """Of the line's length."""
    touch: str


@dataclass(frozen=True)
class Readout:
    """One question and what became of it."""

    question: Question
    is_shown: bool
    is_answered: bool = False
    words: list[str] = field(default_factory=list)
    lines: list[RatedLine] = field(default_factory=list)
    order: list[str] = field(default_factory=list)
    """Labels in the order in which this person saw them, if it was drawn."""


@dataclass(frozen=True)
class PageReadout:
    page: Page
    is_shown: bool
    visit: PageVisit | None
    questions: list[Readout]


def pages(participant: Participant) -> list[PageReadout]:
    """All pages of the person's instrument in its order, those not shown to them too."""
    responses = {response.question: response for response in participant.responses.all()}
    orders = {order.question: order.codes for order in participant.orders.all()}
    visits = {visit.page: visit for visit in participant.pages.all()}
    choices = choices_of(participant)

    def read(question: Question, is_shown: bool) -> Readout:
        order = orders.get(question.code, [])
        return readout(question, responses.get(question.code), order, is_shown)

    def holds(part: Page | Question) -> bool:
        return part.show_if is None or part.show_if.holds(choices)

    return [
        PageReadout(
            page,
            holds(page),
            visits.get(page.code),
            [read(question, holds(page) and holds(question)) for question in page.questions],
        )
        for page in participant.file.pages
    ]


def readout(
    question: Question, response: Response | None, order: list[str], is_shown: bool
) -> Readout:
    names = labels(question)
    shown_order = [names.get(code, code) for code in order]
    if response is None:
        return Readout(question, is_shown, order=shown_order)
    return Readout(
        question,
        is_shown,
        is_answered=True,
        words=words(question, response.value),
        lines=lines(question, response, order) if isinstance(question, Sliders) else [],
        order=shown_order,
    )


def labels(question: Question) -> dict[str, str]:
    """Code -> label of everything that could be chosen or rated."""
    match question:
        case Single():
            return {option.code: option.label for option in question.options}
        case Country():
            return dict(country_choices()) | {PREFER_NOT_TO_SAY: _("Prefer not to say")}
        case Multiple() | Sliders():
            return {item.code: item.label for item in question.items}
        case FreeText():
            return {}


def words(question: Question, value: Mapping[str, Any]) -> list[str]:
    """The answer in labels, one per choice; a text of one's own follows its option."""
    names = labels(question)
    if "choice" in value:
        chosen = [names.get(value["choice"], value["choice"])]
    elif "chosen" in value:
        chosen = [names.get(code, code) for code in value["chosen"]]
    elif "scores" in value:
        chosen = [f"{names.get(code, code)} {score}" for code, score in value["scores"].items()]
    else:
        chosen = []
    own = value.get("text") or value.get("other_text")
    return [*chosen, *([own] if own else [])]


def lines(question: Sliders, response: Response, order: list[str]) -> list[RatedLine]:
    names = labels(question)
    scores, touches = response.value["scores"], response.touches
    span = question.maximum - question.minimum
    rated = []
    for code in order or list(names):
        value = scores.get(code)
        is_own = question.other is not None and code == question.other.code
        own_text = response.value["other_text"] if is_own else None
        rated.append(
            RatedLine(
                f"{names.get(code, code)} {own_text}" if own_text else names.get(code, code),
                value,
                0 if value is None else 100 * (value - question.minimum) / span,
                touch_in_words(touches.get(code)) if value is not None else "",
            )
        )
    return rated


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
