"""One person's questionnaire: which pages and questions they get, and in which order.

Everything here follows from the instrument, the person's seed, their variants and their answers;
nothing is stored and nothing is asked of the database.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Protocol, TypeVar

from surveys.draws import shuffled
from surveys.instruments.conditions import Condition, Value
from surveys.instruments.schema import (
    Anchor,
    BaseQuestion,
    Block,
    InstrumentFile,
    Option,
    Page,
    Question,
    pages_of,
)


class Anchored(Protocol):
    @property
    def code(self) -> str: ...
    @property
    def anchor(self) -> Anchor | None: ...


A = TypeVar("A", bound=Anchored)


@dataclass(frozen=True)
class Step:
    """A page in the person's order, whether it is shown, and its shown questions in order."""

    page: Page
    is_shown: bool
    questions: tuple[Question, ...]
    conditions: tuple[Condition, ...]
    """Those of the page and of its block."""


@dataclass(frozen=True)
class Sheet:
    """values: question code -> stored answer; arms: variant code -> arm code."""

    file: InstrumentFile
    seed: int
    arms: Mapping[str, str] = field(default_factory=dict)
    values: Mapping[str, Value] = field(default_factory=dict)

    @cached_property
    def steps(self) -> tuple[Step, ...]:
        """Every page of the file, shown or not."""
        return tuple(self._walk())

    def _walk(self) -> Iterator[Step]:
        known: dict[str, Value] = {}  # answers to questions that were shown
        for entry in self._entries():
            conditions = (entry.show_if,) if isinstance(entry, Block) else ()
            found: dict[str, Value] = {}
            for page in self._pages(entry):
                own = tuple(c for c in (*conditions, page.show_if) if c)
                is_shown = all(condition.holds(known, self.arms) for condition in own)
                questions = self._questions(page, known) if is_shown else ()
                given = {q.code: self.values[q.code] for q in questions if q.code in self.values}
                found |= given
                if not (isinstance(entry, Block) and entry.randomise):
                    known |= given
                yield Step(page, is_shown, questions, own)
            known |= found

    def _entries(self) -> Sequence[Page | Block]:
        return (
            ordered(self.file.entries, self.seed, PAGES)
            if self.file.randomise
            else (self.file.entries)
        )

    def _pages(self, entry: Page | Block) -> Sequence[Page]:
        is_shuffled = isinstance(entry, Block) and entry.randomise
        pages = pages_of(entry)
        return ordered(pages, self.seed, block_scope(entry)) if is_shuffled else pages

    def _questions(self, page: Page, known: Mapping[str, Value]) -> tuple[Question, ...]:
        questions = (
            ordered(page.questions, self.seed, page_scope(page))
            if page.randomise
            else page.questions
        )
        return tuple(q for q in questions if not q.show_if or q.show_if.holds(known, self.arms))

    @cached_property
    def shown(self) -> dict[str, Value]:
        """The answers to questions that the person's other answers lead to."""
        return {
            question.code: self.values[question.code]
            for step in self.steps
            for question in step.questions
            if question.code in self.values
        }

    @property
    def pages(self) -> list[Page]:
        return [step.page for step in self.steps if step.is_shown]

    def step(self, page: Page) -> Step:
        return next(step for step in self.steps if step.page.code == page.code)

    def expected(self) -> list[Page]:
        """The pages shown, and those that an answer still to come may open: "page 4 of 9"."""
        pages: list[Page] = []
        open_: set[str] = set()  # questions that may be answered yet
        for step in self.steps:
            needs = {leaf.question for c in step.conditions for leaf in c.leaves()}
            if step.is_shown or needs & open_:
                pages.append(step.page)
                open_ |= {q.code for q in step.page.questions if q.code not in self.values}
        return pages

    def orders(self, page: Page) -> dict[str, list[str]]:
        """Scope -> codes of everything on a page that was put in a drawn order."""
        drawn = {
            q.code: [item.code for item in self.items(q)] for q in page.questions if q.is_shuffled
        }
        if page.randomise:
            scope = page_scope(page)
            drawn[scope] = [q.code for q in ordered(page.questions, self.seed, scope)]
        return drawn

    def page_orders(self) -> dict[str, list[str]]:
        """Scope -> codes of the drawn orders of pages and blocks."""
        drawn = {PAGES: [entry.code for entry in self._entries()]} if self.file.randomise else {}
        for entry in self.file.entries:
            if isinstance(entry, Block) and entry.randomise:
                drawn[block_scope(entry)] = [page.code for page in self._pages(entry)]
        return drawn

    def items(self, question: BaseQuestion) -> list[Option]:
        """Options, statements or rows in the person's order."""
        if not question.is_shuffled:
            return list(question.items)
        own = [item for item in question.items if item.code == question.last]
        others = [item for item in question.items if item.code != question.last]
        return [*ordered(others, self.seed, question.code), *own]


PAGES = "pages:"
"""The scope of a drawn order of pages and blocks. Codes have no colon, so no question's scope,
which is its code, is the same."""


def page_scope(page: Page) -> str:
    return f"page:{page.code}"


def block_scope(entry: Page | Block) -> str:
    return f"block:{entry.code}"


def ordered(parts: Sequence[A], seed: int, scope: str) -> list[A]:
    """All parts in a drawn order, anchored ones at their end in the order of the file."""
    first = [part for part in parts if part.anchor == "first"]
    last = [part for part in parts if part.anchor == "last"]
    loose = [part for part in parts if part.anchor is None]
    return [*first, *shuffled(loose, seed, "order", scope), *last]
