"""What an instrument file may contain.

An instrument is pages of questions and, where people then talk to models, the texts of the
conversation task. Codes are stored, labels are shown; a question's code is the released column
of its answer (codebook variable) unless its `release` names another.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from graphlib import CycleError, TopologicalSorter
from typing import Annotated, Any, Literal, Self

from pydantic import Discriminator, Field, Tag, model_validator

from surveys.instruments.conditions import Condition
from surveys.instruments.parts import Code, Part, Text, Unsound, Words, distinct
from surveys.instruments.pipes import pipes
from surveys.instruments.released import ColumnOrder, Release, check_columns
from surveys.places import choices as countries

OTHER = "other"
PREFER_NOT_TO_SAY = "prefer_not_to_say"
SELF_DESCRIBE = "self_describe"

FORM_FIELDS = ("csrfmiddlewaretoken", "instrument", "page", "paradata")

Anchor = Literal["first", "last"]


class Option(Part):
    code: Code
    """Stored; never shown. Keep it from version to version."""
    label: Text
    """Shown, and released unless `released` says otherwise."""
    hint: Words = ""
    """Smaller, below the label."""
    released: str | int | None = None
    """What the release has in place of the label; numbers throughout make a column of numbers."""
    anchor: Anchor | None = None
    """Keeps its place at this end when the others are shuffled."""
    exclusive: bool = False
    """In a multiple choice: cannot be chosen beside any other."""

    @property
    def released_value(self) -> str | int:
        return self.label if self.released is None else self.released


class BaseQuestion(Part):
    code: Code
    """Stored, and the released column unless `release` names another; unique in the file."""
    text: Text
    """The question itself."""
    hint: Words = ""
    """Smaller, below the question."""
    label: str = ""
    """The codebook's label of the variable."""
    show_if: Condition | None = None
    """Shows the question only to those whose earlier answers, or variant, fit."""
    required: bool = True
    """If not, it may be left out."""
    prefer_not_to_say: bool = False
    """Offers "Prefer not to say" beside the answers."""
    anchor: Anchor | None = None
    """Keeps its place at this end when the page's questions are shuffled."""
    release: Release = Release()
    """How the answer leaves, if not as one column of the code's name."""

    @property
    def items(self) -> tuple[Option, ...]:
        """What is shuffled if anything is: options, statements or rows."""
        return ()

    @property
    def choices(self) -> tuple[Option, ...]:
        """What can be chosen: of the question, or in each of its rows."""
        return ()

    @property
    def is_shuffled(self) -> bool:
        return bool(getattr(self, "randomise", False))

    @property
    def last(self) -> str | None:
        """The code of one's own option, which always stands last."""
        own: Option | None = getattr(self, "other", None)
        return own.code if own else None

    @model_validator(mode="after")
    def codes_are_sound(self) -> Self:
        distinct("option", [o.code for o in self.items])
        distinct("choice", [o.code for o in self.choices])
        return self


class Choosing(BaseQuestion):
    """One option of several."""

    options: tuple[Option, ...] = Field(min_length=2)
    """What can be chosen, in this order."""
    randomise: bool = False
    """Shuffle the options, for each person anew."""

    @property
    def items(self) -> tuple[Option, ...]:
        return self.options

    @property
    def choices(self) -> tuple[Option, ...]:
        return self.options


class Single(Choosing):
    """One option. `self_describe` names the option that opens a text field."""

    type: Literal["single"]
    """One option of several."""
    display: Literal["radio", "dropdown", "typeahead"] = "radio"
    """radio: all at once; dropdown: a list; typeahead: a list to search in."""
    self_describe: Code | None = None
    """The code of the option that opens a field for one's own words; radio only."""
    max_length: int = Field(default=200, ge=1, le=10_000)
    """Characters of the own words."""

    @model_validator(mode="after")
    def own_words_have_a_place(self) -> Self:
        if self.self_describe is None:
            return self
        if self.self_describe not in {o.code for o in self.options}:
            raise ValueError(f"self_describe names {self.self_describe!r}, which is no option")
        if self.display != "radio":
            raise ValueError("self_describe needs display: radio")
        return self


class Ordinal(BaseQuestion):
    """One point of an ordered scale, shown side by side where there is room."""

    type: Literal["ordinal"]
    """One point of an ordered scale."""
    points: tuple[Option, ...] = Field(min_length=2, max_length=11)
    """The scale, from its low end to its high end."""

    @property
    def choices(self) -> tuple[Option, ...]:
        return self.points


class Check(Choosing):
    correct: tuple[Code, ...] = Field(min_length=1)
    """The codes of the right options; one of them is enough."""

    @model_validator(mode="after")
    def correct_is_known(self) -> Self:
        if unknown := set(self.correct) - {o.code for o in self.options}:
            raise ValueError(f"correct names {', '.join(sorted(unknown))}, which is no option")
        return self


class Attention(Check):
    """Shows whether a person reads. Nothing happens at once; the release says whether it passed."""

    type: Literal["attention"]
    """Shows whether people read."""


class Comprehension(Check):
    """Must be answered correctly: after a wrong answer `explanation` helps with the next attempt,
    and after the last one the person is thanked and leaves."""

    type: Literal["comprehension"]
    """Must be answered correctly."""
    explanation: Text
    """Shown after a wrong answer, above the next attempt."""
    attempts: int = Field(default=2, ge=1, le=5)
    """How many attempts there are."""


class Country(BaseQuestion):
    """One country of ISO 3166 under its common name, or Prefer not to say."""

    type: Literal["country"]
    """One country of the world."""
    display: Literal["dropdown", "typeahead"] = "typeahead"
    """dropdown: a list; typeahead: a list to search in."""


class Multiple(BaseQuestion):
    """Any number of options, at least one; `other` is shown last and opens a text field."""

    type: Literal["multiple"]
    """Any number of options."""
    options: tuple[Option, ...] = Field(min_length=2)
    """What can be chosen, in this order."""
    other: Option | None = None
    """One more option, always last, with a text field."""
    other_text: Words = ""
    """Label of the text field of `other`."""
    randomise: bool = False
    """Shuffle the options, for each person anew."""
    minimum: int = Field(default=1, ge=1)
    """How many must be chosen."""
    maximum: int | None = Field(default=None, ge=1)
    """How many may be chosen."""
    max_length: int = Field(default=500, ge=1, le=10_000)
    """Characters of the text field of `other`."""

    @property
    def items(self) -> tuple[Option, ...]:
        return (*self.options, self.other) if self.other else self.options

    @property
    def choices(self) -> tuple[Option, ...]:
        return self.items

    @model_validator(mode="after")
    def numbers_agree(self) -> Self:
        most = len(self.items) if self.maximum is None else self.maximum
        if not self.minimum <= most <= len(self.items):
            raise ValueError("minimum and maximum must fit the number of options")
        return self


class Scale(BaseQuestion):
    """A line from `low` to `high`, in whole steps from minimum to maximum."""

    low: Text
    """Text at the low end of the line."""
    high: Text
    """Text at the high end of the line."""
    minimum: int = 0
    """What the low end is stored as; never shown."""
    maximum: int = 100
    """What the high end is stored as; never shown."""
    na: bool = False
    """Offers "N/A" beside each line."""

    @model_validator(mode="after")
    def ends_differ(self) -> Self:
        if not -1_000_000 <= self.minimum < self.maximum <= 1_000_000:
            raise ValueError("minimum must be less than maximum")
        return self


class Sliders(Scale):
    """A set of statements, each rated on one line from `low` to `high`."""

    type: Literal["sliders"]
    """Several statements, each with its own line."""
    stem: Text
    """Heads the statements: "It is important that an AI language model..."."""
    statements: tuple[Option, ...] = Field(min_length=1)
    """What is rated, each on its own line."""
    other: Option | None = None
    """A statement of one's own, shown last; rated if and only if a text is typed."""
    randomise: bool = False
    """Shuffle the statements, for each person anew."""
    max_length: int = Field(default=500, ge=1, le=10_000)
    """Characters of one's own statement."""

    @property
    def items(self) -> tuple[Option, ...]:
        return (*self.statements, self.other) if self.other else self.statements


class Slider(Scale):
    """One line; the question itself is what is rated."""

    type: Literal["slider"]
    """One line."""


class Likert(BaseQuestion):
    """Statements, each answered with one point of the same ordered scale."""

    type: Literal["likert"]
    """Statements on one ordered scale."""
    statements: tuple[Option, ...] = Field(min_length=1)
    """What is judged, each in its own row."""
    points: tuple[Option, ...] = Field(min_length=2, max_length=11)
    """The scale, from its low end to its high end."""
    randomise: bool = False
    """Shuffle the statements, for each person anew."""

    @property
    def items(self) -> tuple[Option, ...]:
        return self.statements

    @property
    def choices(self) -> tuple[Option, ...]:
        return self.points


class Matrix(BaseQuestion):
    """A table: in each row one of the columns is chosen, or any number of them if `multiple`."""

    type: Literal["matrix"]
    """A table of rows and columns."""
    rows: tuple[Option, ...] = Field(min_length=1)
    """What is asked about."""
    columns: tuple[Option, ...] = Field(min_length=2, max_length=11)
    """What can be chosen in each row."""
    multiple: bool = False
    """Any number of columns in each row, at least one."""
    randomise: bool = False
    """Shuffle the rows, for each person anew."""

    @property
    def items(self) -> tuple[Option, ...]:
        return self.rows

    @property
    def choices(self) -> tuple[Option, ...]:
        return self.columns


class Ranking(BaseQuestion):
    """Items in an order of one's own, the first the foremost; only the `top` ones if given."""

    type: Literal["ranking"]
    """An order of one's own."""
    options: tuple[Option, ...] = Field(min_length=2, max_length=20)
    """What is put in order."""
    top: int | None = Field(default=None, ge=1)
    """How many of the foremost are asked for; all, if left out."""
    randomise: bool = True
    """Shuffle what is put in order, for each person anew."""

    @property
    def items(self) -> tuple[Option, ...]:
        return self.options

    @property
    def places(self) -> int:
        """How many places are given."""
        return len(self.options) if self.top is None else self.top

    @model_validator(mode="after")
    def top_fits(self) -> Self:
        if self.places > len(self.options):
            raise ValueError("top is more than there are options")
        return self


class FreeText(BaseQuestion):
    type: Literal["text"]
    """Words of one's own."""
    long: bool = True
    """Several lines; else one."""
    sentences: tuple[int, int] | None = None
    """Length guidance; advice, never enforced."""
    min_length: int = Field(default=1, ge=1)
    """Characters."""
    max_length: int = Field(default=10_000, ge=1, le=20_000)
    """Characters."""

    @model_validator(mode="after")
    def lengths_agree(self) -> Self:
        if self.min_length > self.max_length:
            raise ValueError("min_length must be at most max_length")
        return self


class Number(BaseQuestion):
    type: Literal["number"]
    """A number."""
    minimum: float | None = None
    """The smallest that is taken."""
    maximum: float | None = None
    """The largest that is taken."""
    decimals: int = Field(default=0, ge=0, le=6)
    """Digits after the decimal point."""
    unit: Words = ""
    """Shown behind the field."""

    @model_validator(mode="after")
    def bounds_agree(self) -> Self:
        low, high = self.minimum, self.maximum
        if low is not None and high is not None and low > high:
            raise ValueError("minimum must be at most maximum")
        return self


class Date(BaseQuestion):
    """A day, a month or a year of the Gregorian calendar."""

    type: Literal["date"]
    """A date."""
    precision: Literal["day", "month", "year"] = "day"
    """What is asked for: the whole day, the month or only the year."""
    earliest: Annotated[str, Field(pattern=r"^\d{4}(-\d\d(-\d\d)?)?$")] | None = None
    """Quoted: "1900", "1900-01" or "1900-01-31"."""
    latest: Annotated[str, Field(pattern=r"^(today|\d{4}(-\d\d(-\d\d)?)?)$")] | None = None
    """Quoted like `earliest`, or today."""


Question = Annotated[
    Single
    | Ordinal
    | Attention
    | Comprehension
    | Country
    | Multiple
    | Sliders
    | Slider
    | Likert
    | Matrix
    | Ranking
    | FreeText
    | Number
    | Date,
    Field(discriminator="type"),
]


class Page(Part):
    code: Code
    """Unique in the file."""
    title: Text
    """Names the page in the browser's tab and in the progress line."""
    text: tuple[Text, ...] = ()
    """Paragraphs above the questions; an information page has nothing else."""
    questions: tuple[Question, ...] = ()
    """What is asked, in this order."""
    show_if: Condition | None = None
    """Shows the page only to those whose earlier answers, or variant, fit."""
    randomise: bool = False
    """Shuffle the questions."""
    anchor: Anchor | None = None
    """Keeps its place at this end when its neighbours are shuffled."""

    @property
    def has_lines(self) -> bool:
        return any(isinstance(question, Sliders | Slider) for question in self.questions)

    @model_validator(mode="after")
    def field_names_differ(self) -> Self:
        """Parts of an answer are sent as CODE_part, which must be nobody's code."""
        codes = [question.code for question in self.questions]
        for code in codes:
            if code in FORM_FIELDS:
                raise Unsound(f"{code!r} is a field of every page's form; rename it", code)
            if longer := next((other for other in codes if other.startswith(f"{code}_")), None):
                raise Unsound(
                    f"{longer!r} begins like {code!r} of the same page; rename one of them", longer
                )
        return self


class Block(Part):
    """Pages that belong together: shuffled among each other, or shown under one condition."""

    block: Code
    """The code of the block."""
    pages: tuple[Page, ...] = Field(min_length=1)
    """Its pages, in this order."""
    show_if: Condition | None = None
    """Shows its pages only to those whose earlier answers, or variant, fit."""
    randomise: bool = False
    """Shuffle the pages."""
    anchor: Anchor | None = None
    """Keeps its place at this end when its neighbours are shuffled."""

    @property
    def code(self) -> str:
        return self.block


def _kind(entry: Any) -> str:
    is_block = "block" in entry if isinstance(entry, Mapping) else isinstance(entry, Block)
    return "block" if is_block else "page"


Entry = Annotated[
    Annotated[Page, Tag("page")] | Annotated[Block, Tag("block")], Discriminator(_kind)
]


class Arm(Part):
    code: Code
    """Stored and released."""
    label: str = ""
    """What this arm is, for the codebook and the desk."""


class Variant(Part):
    """A between-subject factor: everyone is assigned to one of its arms, in balance."""

    code: Code
    """The released column."""
    label: str = ""
    """The codebook's label of the variable."""
    arms: tuple[Arm, ...] = Field(min_length=2)
    """What people are divided into, in equal parts."""

    @model_validator(mode="after")
    def codes_are_sound(self) -> Self:
        distinct("arm", [arm.code for arm in self.arms])
        return self


class ConversationType(Part):
    code: Annotated[str, Field(min_length=1)]
    """PRISM's conversation_type, e.g. "values guided"."""
    label: Text
    """Its name, on the button."""
    text: Text
    """What is asked of people who choose it."""


class AttributeScale(Part):
    heading: Text
    """Heads the statements."""
    text: Text
    """What is asked."""
    stem: Text
    """Begins each statement."""
    low: Text
    """Text at the low end of the lines."""
    high: Text
    """Text at the high end of the lines."""
    statements: tuple[Option, ...]
    """What is rated; the codes are the released keys."""


class ConversationTexts(Part):
    """The wording of the conversation task (codebook sections 4.2 and App. I: the treatment)."""

    choose_type: Text
    """Where a type of conversation is chosen."""
    remember: Text
    """Reminder below it."""
    types: tuple[ConversationType, ...]
    """What a conversation may be about."""
    opening: Text
    """Above the first message."""
    inspiration_heading: Text
    """Heads what helps to begin."""
    inspiration: Text
    """What helps to begin."""
    placeholder: Text
    """Stands in the empty message field."""
    rate: Text
    """Above the replies."""
    low: Text
    """Text at the low end of the replies' lines."""
    high: Text
    """Text at the high end of the replies' lines."""
    continuing: Text
    """Above the messages from the second turn on."""
    performance: AttributeScale
    """Feedback on how the chosen model did."""
    choice: AttributeScale
    """Feedback on why it was chosen."""
    feedback_heading: Text
    """Heads the open question at the end."""
    feedback: Text
    """The open question at the end."""

    def type(self, code: str) -> ConversationType | None:
        return next((t for t in self.types if t.code == code), None)


class InstrumentFile(Part):
    instrument: Code
    """Code of the instrument; all its versions have the same."""
    title: Text
    """Its name, for people."""
    language: Annotated[str, Field(pattern=r"^[a-z]{2,3}(-[a-z]+)?$")]
    """Of every text that is not a mapping from languages to texts."""
    languages: tuple[str, ...] = ()
    """All languages, this one among them, if there are more."""
    attribution: Text
    """Whose words these are, and under which licence."""
    variants: tuple[Variant, ...] = ()
    """Between-subject factors; conditions ask which arm a person is in."""
    randomise: bool = False
    """Shuffle the pages and blocks."""
    entries: tuple[Entry, ...] = Field(min_length=1, alias="pages")
    """Pages and blocks, in this order."""
    conversation: ConversationTexts | None = None
    """Left out, the study ends with the survey."""
    release: ColumnOrder = ColumnOrder()
    """The order of the released columns."""

    @property
    def pages(self) -> tuple[Page, ...]:
        """All pages in the order of the file."""
        return tuple(page for entry in self.entries for page in pages_of(entry))

    @property
    def spoken(self) -> tuple[str, ...]:
        """Every language, its own first."""
        return (self.language, *(code for code in self.languages if code != self.language))

    @property
    def task(self) -> ConversationTexts:
        """The texts of the conversations; asked for only where there are any."""
        assert self.conversation is not None, "this instrument ends with the survey"
        return self.conversation

    def questions(self) -> Iterator[Question]:
        for page in self.pages:
            yield from page.questions

    def page(self, code: str) -> Page | None:
        return next((page for page in self.pages if page.code == code), None)

    @cached_property
    def piping_pages(self) -> frozenset[str]:
        """Pages with a text that repeats an earlier answer."""
        return frozenset(
            page.code
            for page in self.pages
            if next(pipes(page.model_dump(exclude_unset=True)), None) is not None
        )

    @model_validator(mode="after")
    def codes_and_branches_are_sound(self) -> Self:
        distinct("page and block", [entry.code for entry in self.entries if is_block(entry)])
        distinct("page", [page.code for page in self.pages])
        distinct("variant", [variant.code for variant in self.variants])
        distinct("question", [question.code for question in self.questions()])
        clash = {v.code for v in self.variants} & {q.code for q in self.questions()}
        if clash:
            raise ValueError(f"variant and question of the same code: {', '.join(sorted(clash))}")
        if self.languages and self.language not in self.languages:
            raise ValueError(f"languages must have {self.language!r}, the language of the file")
        check_branches(self)
        check_columns(self)
        return self


def is_block(entry: Page | Block) -> bool:
    return isinstance(entry, Block)


def pages_of(entry: Page | Block) -> tuple[Page, ...]:
    return entry.pages if isinstance(entry, Block) else (entry,)


# Branches


def check_branches(file: InstrumentFile) -> None:
    """Raises Unsound if a condition needs what is not known before it is evaluated."""
    check_cycles(file)
    arms = {v.code: {arm.code for arm in v.arms} for v in file.variants}
    known: dict[str, Question] = {}
    for group in _groups(file):
        for page in group.pages:
            for part in (*group.above, page, *page.questions):
                if part.show_if:
                    _check_condition(part, part.show_if, known, arms)
            _check_pipes(page, known)
            if not group.is_shuffled:
                known |= {question.code: question for question in page.questions}
        known |= {question.code: question for page in group.pages for question in page.questions}


@dataclass(frozen=True)
class _Group:
    """Pages that stand in the file's order, or are shuffled and so cannot build on each other."""

    pages: tuple[Page, ...]
    is_shuffled: bool
    above: tuple[Block, ...] = ()


def _groups(file: InstrumentFile) -> Iterable[_Group]:
    if file.randomise:
        # Whatever stands where by its anchor, the rest may come in any order.
        first = [e for e in file.entries if e.anchor == "first"]
        last = [e for e in file.entries if e.anchor == "last"]
        middle = [e for e in file.entries if e.anchor is None]
        yield from (_group(entry) for entry in first)
        blocks = tuple(entry for entry in middle if isinstance(entry, Block))
        pages = tuple(page for entry in middle for page in pages_of(entry))
        if pages:
            yield _Group(pages, True, blocks)
        yield from (_group(entry) for entry in last)
    else:
        yield from (_group(entry) for entry in file.entries)


def _group(entry: Page | Block) -> _Group:
    if isinstance(entry, Block):
        return _Group(entry.pages, entry.randomise, (entry,))
    return _Group((entry,), is_shuffled=False)


def _check_pipes(page: Page, known: Mapping[str, Question]) -> None:
    if unknown := set(pipes(page.model_dump(exclude_unset=True))) - set(known):
        raise Unsound(
            f"a text repeats the answer to {', '.join(sorted(unknown))}, not asked before; "
            "ask it on an earlier page",
            page.code,
        )


def _check_condition(
    part: Block | Page | BaseQuestion,
    condition: Condition,
    known: Mapping[str, Question],
    arms: Mapping[str, set[str]],
) -> None:
    for leaf in condition.leaves():
        if leaf.variant is not None:
            if leaf.variant not in arms:
                raise Unsound(
                    f"show_if needs variant {leaf.variant!r}; give it under variants",
                    part.code,
                    "show_if",
                )
            _check_known(part, leaf.variant, leaf.among, arms[leaf.variant])
            continue
        name = leaf.question or ""
        if name not in known:
            raise Unsound(
                f"show_if needs {name!r}, not asked before; move it to an earlier page",
                part.code,
                "show_if",
            )
        _check_leaf(part, leaf, known[name])


def _check_leaf(part: Block | Page | BaseQuestion, leaf: Condition, question: BaseQuestion) -> None:
    has_rows = isinstance(question, Sliders | Likert | Matrix)
    if leaf.item is not None:
        if not has_rows:
            raise Unsound(f"{question.code!r} has no items; remove item", part.code, "show_if")
        _check_known(part, question.code, (leaf.item,), {item.code for item in question.items})
    elif has_rows and (leaf.among or leaf.compares):
        raise Unsound(f"say with item which line of {question.code!r} counts", part.code, "show_if")
    if leaf.among:
        _check_known(part, question.code, leaf.among, choosable(question))
    if leaf.compares and not isinstance(question, Number | Slider | Sliders | Date):
        raise Unsound(
            f"{question.code!r} has no amount to compare; use among", part.code, "show_if"
        )


def choosable(question: BaseQuestion) -> set[str]:
    """The codes that an answer may hold."""
    if isinstance(question, Country):
        return {PREFER_NOT_TO_SAY, *dict(countries())}
    options = question.items if isinstance(question, Ranking) else question.choices
    codes = {option.code for option in options}
    return codes | {PREFER_NOT_TO_SAY} if question.prefer_not_to_say else codes


def _check_known(
    part: Block | Page | BaseQuestion, name: str, codes: Sequence[str], known: set[str]
) -> None:
    if unknown := set(codes) - known:
        raise Unsound(
            f"{name!r} has no option {', '.join(sorted(unknown))}; correct the code",
            part.code,
            "show_if",
        )


def check_cycles(file: InstrumentFile) -> None:
    """Raises Unsound naming a circle of questions that wait for each other."""
    needs: dict[str, set[str]] = {}
    for entry in file.entries:
        for page in pages_of(entry):
            above = [part.show_if for part in {id(p): p for p in (entry, page)}.values()]
            for question in page.questions:
                conditions = [c for c in (*above, question.show_if) if c]
                leaves = [leaf for condition in conditions for leaf in condition.leaves()]
                needs[question.code] = {leaf.question for leaf in leaves if leaf.question}
    try:
        TopologicalSorter(needs).prepare()
    except CycleError as error:
        circle = " needs ".join(reversed(error.args[1]))
        raise Unsound(
            f"show_if goes in a circle: {circle}; remove one of these", error.args[1][0], "show_if"
        ) from error
