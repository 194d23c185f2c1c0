"""What an instrument file may contain.

An instrument is pages of questions and the texts of the conversation task. Codes are stored,
labels are shown; a question's code is the released column of its answer (codebook variable).
"""

from collections.abc import Iterator
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

Code = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_-]*$", max_length=64)]
Text = Annotated[str, Field(min_length=1)]

OTHER = "other"
PREFER_NOT_TO_SAY = "prefer_not_to_say"
SELF_DESCRIBE = "self_describe"


class Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Condition(Part):
    """Show a page or question only if an earlier choice is among `among`, or a mix of such."""

    question: Code | None = None
    among: tuple[Code, ...] = ()
    any: tuple["Condition", ...] = ()
    all: tuple["Condition", ...] = ()

    @model_validator(mode="after")
    def one_form(self) -> Self:
        forms = [self.question is not None and bool(self.among), bool(self.any), bool(self.all)]
        if sum(forms) != 1:
            raise ValueError("a condition is either question with among, or any, or all")
        return self

    def holds(self, choices: dict[str, str]) -> bool:
        """choices: question code -> chosen option code."""
        if self.any:
            return any(part.holds(choices) for part in self.any)
        if self.all:
            return all(part.holds(choices) for part in self.all)
        return choices.get(self.question or "") in self.among

    def leaves(self) -> Iterator[tuple[str, set[str]]]:
        """(question, options that open it) of each part."""
        if self.question:
            yield self.question, set(self.among)
        for part in (*self.any, *self.all):
            yield from part.leaves()


class Option(Part):
    code: Code
    label: Text
    """Shown, and released unless `released` says otherwise."""
    hint: str = ""
    released: str | None = None

    @property
    def released_label(self) -> str:
        return self.released or self.label


class BaseQuestion(Part):
    code: Code
    text: Text
    hint: str = ""
    label: str = ""
    """The codebook's label of the variable."""
    show_if: Condition | None = None


class Single(BaseQuestion):
    """One option. `self_describe` names the option that opens a text field."""

    type: Literal["single"]
    options: tuple[Option, ...] = Field(min_length=2)
    self_describe: Code | None = None
    max_length: int = 200

    @model_validator(mode="after")
    def codes_are_sound(self) -> Self:
        _distinct("option", [o.code for o in self.options])
        if self.self_describe and self.self_describe not in {o.code for o in self.options}:
            raise ValueError(f"self_describe names {self.self_describe!r}, which is no option")
        return self


class Country(BaseQuestion):
    """One country of ISO 3166 under its common name, or Prefer not to say."""

    type: Literal["country"]


class Multiple(BaseQuestion):
    """Any number of options, at least one; `other` is shown last and opens a text field."""

    type: Literal["multiple"]
    options: tuple[Option, ...] = Field(min_length=2)
    other: Option | None = None
    other_text: str = ""
    """Label of the text field of `other`."""
    randomise: bool = False
    max_length: int = 500

    @model_validator(mode="after")
    def codes_are_sound(self) -> Self:
        _distinct("option", [o.code for o in self.items])
        return self

    @property
    def items(self) -> tuple[Option, ...]:
        return (*self.options, self.other) if self.other else self.options


class Sliders(BaseQuestion):
    """A set of statements, each rated on one line from `low` to `high`."""

    type: Literal["sliders"]
    stem: Text
    """Heads the statements: "It is important that an AI language model..."."""
    statements: tuple[Option, ...] = Field(min_length=1)
    other: Option | None = None
    """A statement of one's own, shown last; rated if and only if a text is typed."""
    low: Text
    high: Text
    minimum: int = 0
    maximum: int = 100
    randomise: bool = False
    max_length: int = 500

    @model_validator(mode="after")
    def codes_are_sound(self) -> Self:
        _distinct("statement", [o.code for o in self.items])
        return self

    @property
    def items(self) -> tuple[Option, ...]:
        return (*self.statements, self.other) if self.other else self.statements


class FreeText(BaseQuestion):
    type: Literal["text"]
    long: bool = True
    sentences: tuple[int, int] | None = None
    """Length guidance; advice, never enforced."""
    max_length: int = 10_000


Question = Annotated[Single | Country | Multiple | Sliders | FreeText, Field(discriminator="type")]


class Page(Part):
    code: Code
    title: Text
    """Names the page in the browser's tab and in the progress line."""
    text: tuple[Text, ...] = ()
    """Paragraphs above the questions; an information page has nothing else."""
    questions: tuple[Question, ...] = ()
    show_if: Condition | None = None

    @property
    def has_lines(self) -> bool:
        return any(isinstance(question, Sliders) for question in self.questions)


class ConversationType(Part):
    code: Text
    """PRISM's conversation_type, e.g. "values guided"."""
    label: Text
    text: Text


class AttributeScale(Part):
    heading: Text
    text: Text
    stem: Text
    low: Text
    high: Text
    statements: tuple[Option, ...]


class ConversationTexts(Part):
    """The wording of the conversation task (codebook sections 4.2 and App. I: the treatment)."""

    choose_type: Text
    remember: Text
    types: tuple[ConversationType, ...]
    opening: Text
    inspiration_heading: Text
    inspiration: Text
    placeholder: Text
    rate: Text
    low: Text
    high: Text
    continuing: Text
    performance: AttributeScale
    choice: AttributeScale
    feedback_heading: Text
    feedback: Text

    def type(self, code: str) -> ConversationType | None:
        return next((t for t in self.types if t.code == code), None)


class InstrumentFile(Part):
    instrument: Code
    title: Text
    language: str
    attribution: Text
    pages: tuple[Page, ...] = Field(min_length=1)
    conversation: ConversationTexts

    @model_validator(mode="after")
    def codes_and_branches_are_sound(self) -> Self:
        _distinct("page", [page.code for page in self.pages])
        _distinct("question", [question.code for question in self.questions()])
        asked: dict[str, set[str]] = {}
        for page in self.pages:
            for part in (page, *page.questions):
                for name, codes in part.show_if.leaves() if part.show_if else ():
                    if name not in asked:
                        raise ValueError(f"{part.code}: show_if needs {name!r}, not asked before")
                    if unknown := codes - asked[name]:
                        raise ValueError(
                            f"{part.code}: {name!r} has no option {', '.join(sorted(unknown))}"
                        )
            for question in page.questions:
                if isinstance(question, Single):
                    asked[question.code] = {option.code for option in question.options}
        return self

    def questions(self) -> Iterator[Question]:
        for page in self.pages:
            yield from page.questions

    def page(self, code: str) -> Page | None:
        return next((page for page in self.pages if page.code == code), None)


def _distinct(what: str, codes: list[str]) -> None:
    twice = sorted({code for code in codes if codes.count(code) > 1})
    if twice:
        raise ValueError(f"{what} codes must differ; given twice: {', '.join(twice)}")
