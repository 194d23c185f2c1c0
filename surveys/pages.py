"""How survey questions look on a page: their options in order, what was given, what is missing."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cache

from django.http import QueryDict
from django.utils.dates import MONTHS
from django.utils.html import escape, format_html_join
from django.utils.safestring import SafeString, mark_safe
from django.utils.translation import get_language, override
from django.utils.translation import gettext as _

from surveys import controls
from surveys.instruments.schema import (
    PREFER_NOT_TO_SAY,
    Check,
    Choosing,
    Comprehension,
    Country,
    Date,
    FreeText,
    Likert,
    Matrix,
    Multiple,
    Number,
    Option,
    Page,
    Question,
    Ranking,
    Scale,
    Single,
    Slider,
    Sliders,
)
from surveys.places import choices as country_choices
from surveys.reading import DATE_PARTS, RADIO, Stored, as_fields
from surveys.sheet import Sheet
from surveys.sliders import Line, filled
from surveys.wording import filled as piped


@dataclass
class Row:
    """A line of a likert, a matrix or a ranking. chosen: codes, or the place in a ranking."""

    item: Option
    name: str
    chosen: set[str]
    error: str = ""
    controls: SafeString | str = ""
    """The points or columns to choose from."""


@dataclass
class Shown:
    """One question as its partial draws it; only what its type has is filled."""

    question: Question
    chosen: set[str] = field(default_factory=set)
    text: str = ""
    """What stands in its text field, or in the one beside "other"."""
    error: str = ""
    text_error: str = ""
    options: list[Option] = field(default_factory=list)
    controls: SafeString | str = ""
    """The options as radio buttons, boxes or entries of a list."""
    rows: list[Row] = field(default_factory=list)
    lines: list[Line] = field(default_factory=list)
    countries: SafeString | str = ""
    """The options of a list of countries, ready."""
    parts: dict[str, str] = field(default_factory=dict)
    """Of a date: year, month, day."""
    months: list[tuple[str, str]] = field(default_factory=list)
    places: list[int] = field(default_factory=list)
    attempt: int = 0
    """Of a comprehension check, from 1."""
    is_declined: bool = False

    @property
    def template(self) -> str:
        return f"surveys/questions/{self.question.type}.html"

    @property
    def has_own_decline(self) -> bool:
        """Whether "Prefer not to say" is a box of its own, below the question."""
        return self.question.prefer_not_to_say and not isinstance(self.question, RADIO)


@dataclass(frozen=True)
class Given:
    """What a page is filled with: a draft or a refused form, else the stored answers."""

    data: QueryDict
    errors: Mapping[str, str]
    attempts: Mapping[str, int] = field(default_factory=dict)
    """Comprehension checks: which attempt comes next."""
    start_middle: bool = False

    def error(self, name: str) -> str:
        return self.errors.get(name, "")


def shown_page(sheet: Sheet, page: Page, given: Given) -> tuple[Page, list[Shown]]:
    """The page with earlier answers in its texts, and its shown questions in order."""
    page = piped(page, sheet)
    questions = {question.code: question for question in page.questions}
    codes = [question.code for question in sheet.step(page).questions]
    return page, [shown(sheet, questions[code], given) for code in codes]


def shown(sheet: Sheet, question: Question, given: Given) -> Shown:
    code, data = question.code, given.data
    view = Shown(
        question,
        chosen=set(data.getlist(code)),
        text=data.get(code, ""),
        error=given.error(code),
        is_declined=f"{code}_declined" in data,
    )
    if question.prefer_not_to_say and isinstance(question, RADIO):
        declining = [Option(code=PREFER_NOT_TO_SAY, label=_("Prefer not to say"))]
    else:
        declining = []
    match question:
        case Choosing():
            view.options = [*sheet.items(question), *declining]
        case Multiple():
            view.controls = controls.boxes(question, sheet.items(question), view.chosen)
        case Country():
            view.countries = country_options(get_language() or "en", view.text)
        case Sliders():
            view.lines = lines(sheet, question, given)
        case Slider():
            view.lines = [replace(line(question, code, question.text, given), ask_hidden=True)]
        case Likert() | Matrix() | Ranking():
            view.rows = rows(sheet, question, given)
        case Number() | FreeText():
            pass
        case Date():
            view.parts = {
                part: data.get(f"{code}_{part}", "") for part in DATE_PARTS[question.precision]
            }
            view.months = [(str(number), str(name)) for number, name in MONTHS.items()]
        case _:
            view.options = [*question.choices, *declining]
    match question:
        case Single():
            view.text = data.get(f"{code}_text", "")
            view.text_error = given.error(f"{code}_text")
            view.controls = (
                controls.radios(question, view.options, view.chosen, view.text)
                if question.display == "radio"
                else controls.in_list(view.options, view.chosen)
            )
        case Multiple():
            view.text = data.get(f"{code}_other_text", "")
        case Ranking():
            view.places = list(range(1, question.places + 1))
        case Comprehension():
            view.attempt = given.attempts.get(code, 1)
    if isinstance(question, Check):
        view.controls = controls.radios(question, view.options, view.chosen, "")
    return view


def country_options(language: str, chosen: str) -> SafeString:
    """250 options, drawn once per language: a template took longer for them than for the rest."""
    value = f'value="{escape(chosen)}"'
    return mark_safe(_country_options(language).replace(value, f"{value} selected", 1))  # noqa: S308


@cache
def _country_options(language: str) -> str:
    with override(language):
        options = [*country_choices(), (PREFER_NOT_TO_SAY, _("Prefer not to say"))]
    return format_html_join("\n", '<option value="{}">{}</option>', options)


def rows(sheet: Sheet, question: Likert | Matrix | Ranking, given: Given) -> list[Row]:
    drawn = []
    for item in sheet.items(question):
        name = f"{question.code}_{item.code}"
        row = Row(item, name, set(given.data.getlist(name)), given.error(name))
        match question:
            case Likert():
                row.controls = controls.points(name, question.points, row.chosen)
            case Matrix():
                row.controls = controls.cells(question, name, row.chosen, row.error)
        drawn.append(row)
    return drawn


def lines(sheet: Sheet, question: Sliders, given: Given) -> list[Line]:
    drawn = []
    for item in sheet.items(question):
        one = line(question, f"{question.code}_{item.code}", item.label, given)
        drawn.append(own_line(one, question, given) if item.code == question.last else one)
    return drawn


def line(question: Scale, name: str, ask: str, given: Given) -> Line:
    empty = Line(
        name=name,
        ask=ask,
        low=question.low,
        high=question.high,
        minimum=question.minimum,
        maximum=question.maximum,
        na_allowed=question.na,
        start_middle=given.start_middle,
        optional=not question.required,
        missing=bool(given.error(name)),
        error=given.error(name),
    )
    return filled(empty, given.data)


def own_line(line: Line, question: Sliders, given: Given) -> Line:
    name = f"{question.code}_other_text"
    return replace(
        line,
        optional=True,
        own_text_name=name,
        own_text_label=line.ask,
        own_text_value=given.data.get(name, ""),
        error=given.errors.get(name, line.error),
    )


def given_answers(page: Page, responses: Mapping[str, Stored]) -> QueryDict:
    """Stored answers in the shape a form would send them."""
    data = QueryDict(mutable=True)
    for question in page.questions:
        if response := responses.get(question.code):
            for name, values in as_fields(question, response.value, response.touches).items():
                data.setlist(name, values)
    return data


def next_attempts(page: Page, responses: Mapping[str, Stored]) -> dict[str, int]:
    """Comprehension checks of a page: the number of the attempt that its form will be."""
    return {
        question.code: len(responses[question.code].attempts) + 1
        if question.code in responses
        else 1
        for question in page.questions
        if isinstance(question, Comprehension)
    }
