"""Who can get where: every mix of answers and arms that conditions tell apart is walked through.

Exact as long as there are few enough mixes (`possible.LIMIT`): most conditions look at one or two
earlier answers, and what no later page asks about is forgotten on the way.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product
from math import prod

from surveys.instruments import minutes
from surveys.instruments.conditions import Condition, Value, is_skipped
from surveys.instruments.pipes import PIPE
from surveys.instruments.possible import LIMIT, TooMany, answers
from surveys.instruments.schema import Block, InstrumentFile, Page, Question, pages_of
from surveys.sheet import Sheet, Step

Part = tuple[str, str]
"""("block", code), ("page", code) or ("question", code)."""
State = frozenset[tuple[str, int]]
"""Question or variant -> which of its answers or arms; questions that were not shown are absent."""


@dataclass
class Seen:
    """What became of a part for those who got to where it stands."""

    is_shown: bool = False
    is_hidden: bool = False
    held: set[int] = field(default_factory=set)
    """Which of its condition's single tests came true for somebody, in their order."""


@dataclass(frozen=True)
class Span:
    """Seconds, for the quickest and the slowest way to a place."""

    least: float
    most: float

    def joined(self, other: "Span | None") -> "Span":
        if other is None:
            return self
        return Span(min(self.least, other.least), max(self.most, other.most))

    def plus(self, seconds: float) -> "Span":
        return Span(self.least + seconds, self.most + seconds)


@dataclass
class Reach:
    parts: dict[Part, Seen] = field(default_factory=dict)
    empty: set[str] = field(default_factory=set)
    """Pages that somebody sees with nothing on them."""
    unsaid: set[tuple[Part, str]] = field(default_factory=set)
    """(part, question) where a text repeats an answer that somebody did not give."""
    seconds: Span = Span(0, 0)

    def seen(self, part: Part) -> Seen:
        return self.parts.setdefault(part, Seen())


def explore(file: InstrumentFile) -> Reach:
    """Raises TooMany."""
    return _Walk(file).walked()


class _Walk:
    def __init__(self, file: InstrumentFile) -> None:
        self.reach = Reach()
        self.steps = Sheet(file, 0).steps
        self.blocks = {
            page.code: entry
            for entry in file.entries
            if isinstance(entry, Block)
            for page in pages_of(entry)
        }
        self.last_use = self._last_uses()
        self.arms = {
            variant.code: [arm.code for arm in variant.arms]
            for variant in file.variants
            if variant.code in self.last_use
        }
        leaves = [leaf for step in self.steps for c in _conditions(step) for leaf in c.leaves()]
        self.answers = {
            question.code: answers(question, [x for x in leaves if x.question == question.code])
            for question in file.questions()
            if question.code in self.last_use
        }

    def _last_uses(self) -> dict[str, int]:
        uses: dict[str, int] = {}
        for n, step in enumerate(self.steps):
            for condition in _conditions(step):
                for leaf in condition.leaves():
                    uses[leaf.question or leaf.variant or ""] = n
            for _part, code in _bare_pipes(step.page):
                uses[code] = n
        return uses

    def walked(self) -> Reach:
        if prod(len(arms) for arms in self.arms.values()) > LIMIT:
            raise TooMany
        states = {
            frozenset(zip(self.arms, mix, strict=True)): Span(0, 0)
            for mix in product(*(range(len(arms)) for arms in self.arms.values()))
        }
        for n, step in enumerate(self.steps):
            states = self._after(n, step, states)
        for span in states.values():
            self.reach.seconds = span.joined(
                self.reach.seconds if self.reach.seconds.most else None
            )
        return self.reach

    def _after(self, n: int, step: Step, states: Mapping[State, Span]) -> dict[State, Span]:
        after: dict[State, Span] = {}

        def keep(state: State, span: Span) -> None:
            left = frozenset(pair for pair in state if self.last_use.get(pair[0], -1) > n)
            after[left] = span.joined(after.get(left))
            if len(after) > LIMIT:
                raise TooMany

        for state, span in states.items():
            values, arms = self._known(state)
            if not self._is_shown(step.page, values, arms):
                keep(state, span)
                continue
            shown = [q for q in step.page.questions if self._holds(q, values, arms)]
            self._note(step.page, shown, values)
            seconds = minutes.page_s(step.page) + sum(map(minutes.question_s, shown))
            for given in self._given(shown):
                keep(state | given, span.plus(seconds))
        return after

    def _known(self, state: State) -> tuple[dict[str, Value], dict[str, str]]:
        values = {code: self.answers[code][at] for code, at in state if code in self.answers}
        arms = {code: self.arms[code][at] for code, at in state if code in self.arms}
        return values, arms

    def _given(self, shown: Sequence[Question]) -> Iterator[State]:
        codes = [q.code for q in shown if self.answers.get(q.code)]
        for mix in product(*(range(len(self.answers[code])) for code in codes)):
            yield frozenset(zip(codes, mix, strict=True))

    def _is_shown(self, page: Page, values: Mapping[str, Value], arms: Mapping[str, str]) -> bool:
        block = self.blocks.get(page.code)
        return (block is None or self._holds(block, values, arms)) and self._holds(
            page, values, arms
        )

    def _holds(
        self, part: Block | Page | Question, values: Mapping[str, Value], arms: Mapping[str, str]
    ) -> bool:
        seen = self.reach.seen(name_of(part))
        condition = part.show_if
        holds = condition is None or condition.holds(values, arms)
        seen.is_shown |= holds
        seen.is_hidden |= not holds
        if condition:
            leaves = enumerate(condition.leaves())
            seen.held |= {at for at, leaf in leaves if leaf.holds(values, arms)}
        return holds

    def _note(self, page: Page, shown: Sequence[Question], values: Mapping[str, Value]) -> None:
        if not shown and not page.text:
            self.reach.empty.add(page.code)
        names = {name_of(part) for part in (page, *shown)}
        for part, code in _bare_pipes(page):
            value = values.get(code)
            if part in names and (value is None or is_skipped(value)):
                self.reach.unsaid.add((part, code))


def name_of(part: Block | Page | Question) -> Part:
    kind = "block" if isinstance(part, Block) else "page" if isinstance(part, Page) else "question"
    return kind, part.code


def _conditions(step: Step) -> Iterator[Condition]:
    yield from step.conditions
    yield from (question.show_if for question in step.page.questions if question.show_if)


def _bare_pipes(page: Page) -> Iterator[tuple[Part, str]]:
    """The answers that a page repeats without words for those who gave none."""
    for code in _without_fallback(page.model_dump(exclude={"questions"})):
        yield ("page", page.code), code
    for question in page.questions:
        for code in _without_fallback(question.model_dump()):
            yield ("question", question.code), code


def _without_fallback(part: object) -> Iterator[str]:
    if isinstance(part, str):
        yield from (match[1] for match in PIPE.finditer(part) if not (match[2] or "").strip())
    elif isinstance(part, Mapping):
        for value in part.values():
            yield from _without_fallback(value)
    elif isinstance(part, list | tuple):
        for item in part:
            yield from _without_fallback(item)
