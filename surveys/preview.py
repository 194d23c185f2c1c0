"""A researcher's walk through an instrument, as a participant would take it.

Nothing of it is data: no participant, no answer and no draw is stored. The walk is a small JSON
document, which its keeper, the researcher's session, gets back after each step.
"""

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import Any

from django.http import QueryDict

from surveys import pages
from surveys.answers import Standing, judged
from surveys.draws import new_seed
from surveys.instruments.conditions import Condition
from surveys.instruments.explain import Reason, explain
from surveys.instruments.schema import Block, InstrumentFile, Page, Question
from surveys.models import Instrument
from surveys.reading import Stored
from surveys.sheet import Sheet
from surveys.variants import drawn
from surveys.wording import filled as piped
from surveys.wording import item_labels, words

NO_ANSWER = "no answer"
NOT_SHOWN = "not shown"


@dataclass
class Walk:
    """chosen: variant -> arm, where the researcher chose one. refused: a form and its page."""

    seed: int = field(default_factory=new_seed)
    language: str = ""
    chosen: dict[str, str] = field(default_factory=dict)
    is_narrow: bool = False
    values: dict[str, Any] = field(default_factory=dict)
    touches: dict[str, Any] = field(default_factory=dict)
    attempts: dict[str, list[str]] = field(default_factory=dict)
    sent: list[str] = field(default_factory=list)
    is_screened: bool = False
    refused: dict[str, Any] | None = None

    @classmethod
    def from_json(cls, kept: Mapping[str, Any]) -> "Walk":
        return cls(**{name: kept[name] for name in cls.__dataclass_fields__ if name in kept})

    def as_json(self) -> dict[str, Any]:
        return asdict(self)

    def restart(self) -> None:
        """Forget the answers; seed, arms and language stay."""
        self.values, self.touches, self.attempts = {}, {}, {}
        self.sent, self.is_screened, self.refused = [], False, None


@dataclass(frozen=True)
class Rule:
    """A condition of a page, its block or one of its questions, and whether it let it through."""

    kind: str
    code: str
    page: Page
    reason: Reason


@dataclass(frozen=True)
class Answered:
    """An answer so far: in words, and as it would be stored."""

    question: Question
    words: list[str]
    value: Mapping[str, Any]
    is_shown: bool


@dataclass(frozen=True)
class Drawn:
    """What was put in a drawn order on a page, in labels."""

    code: str
    labels: list[str]


class Preview:
    """A version of an instrument, stored or not, and a walk through it."""

    def __init__(self, instrument: Instrument, walk: Walk) -> None:
        self.instrument, self.walk = instrument, walk

    @cached_property
    def file(self) -> InstrumentFile:
        return self.instrument.in_language(self.walk.language)

    @property
    def sheet(self) -> Sheet:
        return Sheet(self.file, self.walk.seed, self.arms, self.walk.values)

    @property
    def arms(self) -> dict[str, str]:
        """Variant -> arm: the chosen one, or the one that the seed draws."""
        return {
            variant.code: self.walk.chosen.get(variant.code)
            or drawn(variant, {arm.code: 0 for arm in variant.arms}, self.walk.seed)
            for variant in self.file.variants
        }

    @property
    def state(self) -> Standing:
        responses = {
            code: Stored(
                value=self.walk.values.get(code, {}),
                touches=self.walk.touches.get(code, {}),
                attempts=self.walk.attempts.get(code, []),
            )
            for code in {*self.walk.values, *self.walk.attempts}
        }
        return Standing(self.sheet, responses, {})

    @property
    def pending(self) -> Page | None:
        """The first shown page that was not sent yet."""
        return next((p for p in self.sheet.pages if p.code not in self.walk.sent), None)

    def send(self, page: Page, data: QueryDict) -> bool:
        """What a participant's form would do. Whether it was accepted."""
        outcome = judged(self.state, page, data, untouched=False)
        self.walk.attempts |= outcome.attempts
        if outcome.errors:
            for code in outcome.attempts:
                self.walk.values[code] = outcome.answers[code].value
            self.walk.refused = {"page": page.code, "data": data.urlencode()}
            self.walk.refused["errors"] = outcome.errors
            return False
        self.walk.values |= {code: answer.value for code, answer in outcome.answers.items()}
        self.walk.touches |= {code: answer.touches for code, answer in outcome.answers.items()}
        self.walk.sent = [*dict.fromkeys([*self.walk.sent, page.code])]
        self.walk.refused, self.walk.is_screened = None, outcome.is_screened
        return True

    def after(self, page: Page) -> Page | None:
        """The next shown page, or None at the end."""
        steps = self.sheet.steps
        at = next(n for n, step in enumerate(steps) if step.page.code == page.code)
        return next((step.page for step in steps[at + 1 :] if step.is_shown), None)

    def before(self, page: Page) -> Page | None:
        earlier: Page | None = None
        for step in self.sheet.steps:
            if step.page.code == page.code:
                break
            earlier = step.page if step.is_shown else earlier
        return earlier

    def shown(self, page: Page) -> tuple[Page, list[pages.Shown]]:
        """As a participant would see it; all questions of a page that nobody would see now."""
        state, sheet = self.state, self.sheet
        refused = self.walk.refused if (self.walk.refused or {}).get("page") == page.code else None
        given = pages.Given(
            QueryDict(refused["data"]) if refused else pages.given_answers(page, state.responses),
            refused["errors"] if refused else {},
            pages.next_attempts(page, state.responses),
        )
        if sheet.step(page).is_shown:
            return pages.shown_page(sheet, page, given)
        page = piped(page, sheet)
        return page, [pages.shown(sheet, question, given) for question in page.questions]

    def rules(self, page: Page) -> Iterator[Rule]:
        """All conditions that decide what is on a page."""
        yield from (rule for rule, _condition in self._conditions(page))

    def _conditions(self, page: Page) -> Iterator[tuple[Rule, Condition]]:
        sheet = self.sheet
        block = next(
            (e for e in self.file.entries if isinstance(e, Block) and page in e.pages), None
        )
        parts = [("block", block), ("page", page), *(("question", q) for q in page.questions)]
        for kind, part in parts:
            if part is not None and part.show_if is not None:
                reason = explain(part.show_if, self._known(page), sheet.arms, self.said)
                yield Rule(kind, part.code, page, reason), part.show_if

    def decided(self, page: Page) -> Iterator[Rule]:
        """The conditions elsewhere that look at answers of this page, as they come out so far."""
        own = {question.code for question in page.questions}
        found = {
            (rule.kind, rule.code): rule  # a block's comes with each of its pages
            for step in self.sheet.steps
            for rule, condition in self._conditions(step.page)
            if own & {leaf.question for leaf in condition.leaves()}
        }
        yield from found.values()

    def _known(self, page: Page) -> dict[str, Any]:
        """What conditions of a page may look at: shown answers of other pages."""
        own = {question.code for question in page.questions}
        return {code: v for code, v in self.sheet.shown.items() if code not in own}

    def said(self, code: str) -> str:
        question = next((q for q in self.file.questions() if q.code == code), None)
        value = self.sheet.shown.get(code)
        if question is None or value is None:
            return NOT_SHOWN if code not in self._asked else NO_ANSWER
        return ", ".join(words(question, value)) or "skipped"

    @property
    def _asked(self) -> set[str]:
        return {question.code for step in self.sheet.steps for question in step.questions}

    def answered(self) -> list[Answered]:
        """In the order of the file."""
        shown = self.sheet.shown
        return [
            Answered(q, words(q, value), value, q.code in shown)
            for q in self.file.questions()
            if (value := self.walk.values.get(q.code)) is not None
        ]

    def orders(self, page: Page) -> list[Drawn]:
        names = {question.code: item_labels(question) for question in page.questions}
        return [
            Drawn(scope, [names.get(scope, {}).get(code, code) for code in codes])
            for scope, codes in self.sheet.orders(page).items()
        ]
