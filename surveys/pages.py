"""How survey questions look on a page: their options in order, what was given, what is missing."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from django.http import QueryDict
from django.utils.translation import gettext as _

from surveys import answers
from surveys.instruments.schema import (
    PREFER_NOT_TO_SAY,
    Country,
    FreeText,
    Multiple,
    Option,
    Page,
    Question,
    Single,
    Sliders,
)
from surveys.models import Participant
from surveys.places import choices as country_choices
from surveys.sliders import Line, filled


@dataclass
class Shown:
    """One question as its partial draws it."""

    question: Question
    chosen: set[str] = field(default_factory=set)
    text: str = ""
    error: str = ""
    text_error: str = ""
    options: list[Option] = field(default_factory=list)
    lines: list[Line] = field(default_factory=list)
    countries: list[tuple[str, str]] = field(default_factory=list)

    @property
    def template(self) -> str:
        return f"surveys/questions/{self.question.type}.html"


def shown_questions(
    participant: Participant, page: Page, data: QueryDict | None, errors: Mapping[str, str]
) -> list[Shown]:
    """All questions of a page; `data` is what a draft or a refused form holds, else the answers."""
    given = data if data is not None else given_answers(participant, page)
    choices = answers.choices_of(participant)
    return [
        shown(participant, question, given, errors)
        for question in answers.questions_on(page, choices)
    ]


def shown(
    participant: Participant, question: Question, given: QueryDict, errors: Mapping[str, str]
) -> Shown:
    code = question.code
    view = Shown(question, chosen=set(given.getlist(code)), error=errors.get(code, ""))
    match question:
        case Single():
            view.options = list(question.options)
            view.text = given.get(f"{code}_text", "")
        case Country():
            view.countries = [
                *country_choices(),
                (PREFER_NOT_TO_SAY, _("Prefer not to say")),
            ]
        case Multiple():
            view.options = answers.ordered_items(participant, question)
            view.text = given.get(f"{code}_other_text", "")
        case Sliders():
            view.lines = lines(participant, question, given, errors)
        case FreeText():
            view.text = given.get(code, "")
    return view


def lines(
    participant: Participant, question: Sliders, given: QueryDict, errors: Mapping[str, str]
) -> list[Line]:
    start_middle = participant.protocol.untouched_counts
    drawn = []
    for item in answers.ordered_items(participant, question):
        name = f"{question.code}_{item.code}"
        line = Line(
            name=name,
            ask=item.label,
            low=question.low,
            high=question.high,
            minimum=question.minimum,
            maximum=question.maximum,
            start_middle=start_middle,
            missing=name in errors,
            error=errors.get(name, ""),
        )
        line = filled(line, given)
        drawn.append(own_line(line, question, given, errors) if item is question.other else line)
    return drawn


def own_line(line: Line, question: Sliders, given: QueryDict, errors: Mapping[str, str]) -> Line:
    name = f"{question.code}_other_text"
    return replace(
        line,
        optional=True,
        own_text_name=name,
        own_text_label=line.ask,
        own_text_value=given.get(name, ""),
        error=errors.get(name, line.error),
    )


def given_answers(participant: Participant, page: Page) -> QueryDict:
    """Stored answers in the shape a form would send them."""
    data = QueryDict(mutable=True)
    codes = [question.code for question in page.questions]
    for response in participant.responses.filter(question__in=codes):
        code, value = response.question, response.value
        if "choice" in value:
            data[code] = value["choice"]
            data[f"{code}_text"] = value["text"] or ""
        elif "chosen" in value:
            data.setlist(code, value["chosen"])
            data[f"{code}_other_text"] = value["other_text"] or ""
        elif "scores" in value:
            data.update(given_scores(code, value, response.touches))
        else:
            data[code] = value["text"]
    return data


def given_scores(code: str, value: Mapping[str, Any], touches: Mapping[str, Any]) -> dict[str, str]:
    data = {f"{code}_other_text": value["other_text"] or ""}
    for item, score in value["scores"].items():
        data[f"{code}_{item}"] = str(score)
        if item in touches:
            data[f"{code}_{item}_rated"] = "on"
            data[f"{code}_{item}_record"] = json.dumps(touches[item])
    return data
