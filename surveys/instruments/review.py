"""What is worth knowing of an instrument before anybody meets it: the static check.

`load` refuses what cannot work at all; here is what works and is probably not meant.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import Any, Literal

from surveys.instruments import minutes
from surveys.instruments.conditions import Condition
from surveys.instruments.explain import in_words
from surveys.instruments.languages import languages_of, missing
from surveys.instruments.possible import TooMany, answers, is_choosable
from surveys.instruments.reach import Part, Reach, Seen, Span, explore, name_of
from surveys.instruments.schema import (
    BaseQuestion,
    Block,
    Comprehension,
    Country,
    Date,
    InstrumentFile,
    Multiple,
    Number,
    Option,
    Page,
    Question,
    Scale,
    Single,
    pages_of,
)

Severity = Literal["error", "warning", "note"]
SEVERITIES: tuple[Severity, ...] = ("error", "warning", "note")
"""error: mend it before anybody meets it; warning: probably not meant; note: good to know."""

LONG_PAGE_S = 240
MANY_ANSWERS = 25
"""From here on a page is long: four minutes, or this many things to answer."""
PLACES_NAMED = 4
"""Of texts that miss a translation."""


@dataclass(frozen=True)
class Finding:
    severity: Severity
    place: str
    """Such as "question age"; empty if it is of the whole instrument."""
    words: str
    page: str = ""
    """The code of the page it is on."""

    def __str__(self) -> str:
        where = f"{self.place}: " if self.place else ""
        return f"{self.severity}: {where}{self.words}"


@dataclass(frozen=True)
class Review:
    pages: int
    questions: int
    seconds: Span
    """Of the survey alone, for those with the fewest and the most questions."""
    findings: tuple[Finding, ...] = field(default=())
    """The gravest first."""

    @property
    def minutes(self) -> str:
        """ "7 to 9" or "8"; at least 1."""
        least, most = (max(1, round(s / 60)) for s in (self.seconds.least, self.seconds.most))
        return f"{least}" if least == most else f"{least} to {most}"

    @property
    def size(self) -> str:
        """ "9 pages, 18 questions, about 10 to 12 min" """
        pages = "1 page" if self.pages == 1 else f"{self.pages} pages"
        questions = "1 question" if self.questions == 1 else f"{self.questions} questions"
        return f"{pages}, {questions}, about {self.minutes} min"

    def having(self, severity: Severity) -> list[Finding]:
        return [finding for finding in self.findings if finding.severity == severity]

    @property
    def by_severity(self) -> list[tuple[Severity, list[Finding]]]:
        return [(severity, found) for severity in SEVERITIES if (found := self.having(severity))]


def review(document: Mapping[str, Any], file: InstrumentFile) -> Review:
    """document: with the texts of all languages; file: the same in its own."""
    try:
        reach: Reach | None = explore(file)
    except TooMany:
        reach = None
    findings = chain(
        _branches(file, reach) if reach else [Finding("note", "", TOO_MANY)],
        _answering(file),
        _arms(file),
        _pages(file),
        _release(file),
        _languages(document),
    )
    return Review(
        len(file.pages),
        sum(1 for _question in file.questions()),
        reach.seconds if reach else _all_pages(file),
        tuple(sorted(findings, key=lambda finding: SEVERITIES.index(finding.severity))),
    )


TOO_MANY = (
    "The conditions mix too many answers to try them all. Walk through the branches in the preview."
)


def _all_pages(file: InstrumentFile) -> Span:
    def seconds(pages: Iterable[Page]) -> float:
        return sum(minutes.whole_page_s(page) for page in pages)

    always = [page for entry in file.entries for page in pages_of(entry) if not entry.show_if]
    return Span(seconds(page for page in always if not page.show_if), seconds(file.pages))


# Branches


def _branches(file: InstrumentFile, reach: Reach) -> Iterator[Finding]:
    for entry in file.entries:
        if isinstance(entry, Block):
            yield from _shown(file, reach, entry, "")
            if not reach.seen(("block", entry.code)).is_shown:
                continue
        for page in pages_of(entry):
            yield from _shown(file, reach, page, page.code)
            if reach.seen(("page", page.code)).is_shown:
                yield from _on_page(file, reach, page)


def _on_page(file: InstrumentFile, reach: Reach, page: Page) -> Iterator[Finding]:
    for question in page.questions:
        yield from _shown(file, reach, question, page.code)
    if page.code in reach.empty:
        words = "some people see it with nothing on it; give it a text or a condition of its own"
        yield Finding("warning", f"page {page.code}", words, page.code)
    parts = {("page", page.code), *(("question", q.code) for q in page.questions)}
    for part, code in sorted(reach.unsaid):
        if part in parts:
            yield _unsaid(part, code, page)


def _unsaid(part: Part, code: str, page: Page) -> Finding:
    words = (
        f"repeats the answer to {code}, which some people have not given; they read “…”. "
        f"Write words for them: {{{{ {code} | your answer }}}}"
    )
    return Finding("warning", " ".join(part), words, page.code)


def _shown(
    file: InstrumentFile, reach: Reach, part: Block | Page | Question, page: str
) -> Iterator[Finding]:
    if part.show_if is None:
        return
    kind, code = name = name_of(part)
    seen, place = reach.seen(name), f"{kind} {code}"
    if not seen.is_shown:
        yield Finding("error", place, _never(file, part.show_if, seen), page)
        return
    if not seen.is_hidden:
        words = f"its condition always holds ({in_words(part.show_if)}); leave it out, or mend it"
        yield Finding("warning", place, words, page)
    questions = _by_code(file)
    for at, leaf in enumerate(part.show_if.leaves()):
        if at not in seen.held:
            words = f"{in_words(leaf)} can never be true{_because(questions, leaf)}"
            yield Finding("warning", place, words, page)
        elif lost := _unchoosable(questions, leaf):
            why = _because(questions, leaf)
            words = f"nobody comes here with {leaf.question} {', '.join(lost)}{why}"
            yield Finding("warning", place, words, page)


def _never(file: InstrumentFile, condition: Condition, seen: Seen) -> str:
    questions = _by_code(file)
    leaves = list(enumerate(condition.leaves()))
    false = [leaf for at, leaf in leaves if at not in seen.held]
    if not leaves or not false:
        return f"nobody can reach it: no answers make this true: {in_words(condition)}"
    reasons = "; ".join(f"{in_words(x)} can never be true{_because(questions, x)}" for x in false)
    return f"nobody can reach it: {reasons}"


def _by_code(file: InstrumentFile) -> dict[str, Question]:
    return {question.code: question for question in file.questions()}


def _unchoosable(questions: Mapping[str, BaseQuestion], leaf: Condition) -> list[str]:
    question = questions.get(leaf.question or "")
    return [code for code in leaf.among if question and not is_choosable(question, code)]


def _because(questions: Mapping[str, BaseQuestion], leaf: Condition) -> str:
    """What the question's answers are like, where that alone shows why a test never holds."""
    question = questions.get(leaf.question or "")
    if isinstance(question, Comprehension) and _unchoosable(questions, leaf):
        return ", since those who do not answer it correctly leave"
    if leaf.compares and isinstance(question, Scale):
        return f" (answers go from {question.minimum} to {question.maximum})"
    if leaf.compares and isinstance(question, Number | Date):
        low, high = _ends(question)
        return f" (answers go from {low} to {high})"
    if leaf.answered is False and question and question.required:
        return " (it must be answered)"
    return ""


def _ends(question: Number | Date) -> tuple[object, object]:
    if isinstance(question, Date):
        return question.earliest or "any date", question.latest or "any date"
    ends = (question.minimum, question.maximum)
    low, high = ("any number" if end is None else f"{end:g}" for end in ends)
    return low, high


# Questions that cannot be answered, or are easily misread


def _answering(file: InstrumentFile) -> Iterator[Finding]:
    for page in file.pages:
        for question in page.questions:
            for severity, words in _of_question(question, page):
                yield Finding(severity, f"question {question.code}", words, page.code)


def _of_question(question: Question, page: Page) -> Iterator[tuple[Severity, str]]:
    if isinstance(question, Multiple):
        yield from _together(question)
    elif not answers(question, []):
        yield "error", _unanswerable(question)
    for label in _twice(option.label for option in question.items):
        yield "warning", f"two of its items read “{label}”"
    if question.choices != question.items:
        for label in _twice(option.label for option in question.choices):
            yield "warning", f"two of its choices read “{label}”"
    if isinstance(question, Comprehension) and len(question.correct) == len(question.options):
        yield "warning", "every option is correct"
    if not question.is_shuffled and any(option.anchor for option in question.items):
        yield "note", "anchor has no effect, since its options are not randomised"
    if question.anchor and not page.randomise:
        yield "note", "anchor has no effect, since the page's questions are not randomised"


def _together(question: Multiple) -> Iterator[tuple[Severity, str]]:
    loose = sum(not option.exclusive for option in question.items)
    if not loose:
        yield "warning", "every option is exclusive, so only one can be chosen; use type: single"
    elif loose < question.minimum:
        words = f"only {loose} options can be chosen together, fewer than its minimum"
        yield "error", f"{words}, {question.minimum}"


def _unanswerable(question: BaseQuestion) -> str:
    why = "nobody can answer it"
    if isinstance(question, Date):
        return f"{why}: no date lies between earliest and latest"
    if isinstance(question, Number):
        return f"{why}: no number with {question.decimals} decimals lies between its bounds"
    return why


def _twice(labels: Iterable[str]) -> list[str]:
    counted = Counter(" ".join(label.split()) for label in labels)
    folded = Counter(label.casefold() for label in counted.elements())
    return [label for label in counted if folded.pop(label.casefold(), 0) > 1]


# Variants


def _arms(file: InstrumentFile) -> Iterator[Finding]:
    asked = [leaf for part in _parts(file) if part.show_if for leaf in part.show_if.leaves()]
    for variant in file.variants:
        tests = [set(leaf.among) for leaf in asked if leaf.variant == variant.code]
        alike: dict[tuple[bool, ...], list[str]] = {}
        for arm in variant.arms:
            alike.setdefault(tuple(arm.code in test for test in tests), []).append(arm.code)
        for arms in alike.values():
            if len(arms) > 1:
                words = f"no condition tells {' and '.join(arms)} apart: they see the same"
                yield Finding("warning", f"variant {variant.code}", words)


def _parts(file: InstrumentFile) -> Iterator[Block | Page | Question]:
    yield from (entry for entry in file.entries if isinstance(entry, Block))
    yield from file.pages
    yield from file.questions()


# Pages


def _pages(file: InstrumentFile) -> Iterator[Finding]:
    for page in file.pages:
        seconds = minutes.whole_page_s(page)
        parts = sum(len(_answered(q)) or 1 for q in page.questions)
        if seconds > LONG_PAGE_S or parts > MANY_ANSWERS:
            words = (
                f"a long page: about {seconds / 60:.0f} minutes, {parts} things to answer; "
                "people lose their place, above all on a phone"
            )
            yield Finding("note", f"page {page.code}", words, page.code)
    if not file.randomise:
        anchored = [entry for entry in file.entries if entry.anchor]
        for entry in anchored:
            words = "anchor has no effect, since the pages are not randomised"
            yield Finding("note", f"page {entry.code}", words, entry.code)


def _answered(question: Question) -> Sequence[Option]:
    """The lines, rows or statements of a question."""
    return question.items if question.choices != question.items else ()


# The release


def _release(file: InstrumentFile) -> Iterator[Finding]:
    for page in file.pages:
        for question in page.questions:
            for severity, words in _exported(question):
                yield Finding(severity, f"question {question.code}", words, page.code)


def _exported(question: Question) -> Iterator[tuple[Severity, str]]:
    if question.release.form == "none":
        yield "note", "its answers are never exported"
        return
    options = [] if isinstance(question, Country) else list(question.choices)
    values = Counter(str(option.released_value) for option in options)
    for value, times in values.items():
        if times > 1 and not _twice(option.label for option in options):
            yield "warning", f"{times} options are exported as “{value}” and cannot be told apart"
    kinds = {isinstance(option.released, int) for option in options}
    if len(kinds) > 1 and any(isinstance(option.released, int) for option in options):
        yield "warning", "some options are exported as numbers and others as texts"
    if isinstance(question, Single) and question.self_describe and not question.release.own_text:
        yield "note", "what people write in their own words is never exported"


# Languages


def _languages(document: Mapping[str, Any]) -> Iterator[Finding]:
    places: dict[str, list[str]] = {code: [] for code in languages_of(document)}
    for place, language in missing(document):
        places[language].append(place)
    for language, lacking in places.items():
        if lacking:
            more = (
                "" if len(lacking) <= PLACES_NAMED else f" and {len(lacking) - PLACES_NAMED} more"
            )
            named = ", ".join(readable(document, place) for place in lacking[:PLACES_NAMED])
            texts = "1 text is" if len(lacking) == 1 else f"{len(lacking)} texts are"
            words = f"{texts} missing: {named}{more}. There people read the file's own language"
            yield Finding("warning", f"language {language}", words)


def readable(document: Mapping[str, Any], place: str) -> str:
    """pages[2].questions[0].text with codes in place of numbers: use_cases.lm_usecases.text."""
    names: list[str] = []
    node: Any = document
    for step in place.replace("[", ".[").split("."):
        if step.startswith("["):
            node = node[int(step[1:-1])]
            if isinstance(node, Mapping):
                names.append(str(node.get("code") or node.get("block") or step))
        else:
            node = node.get(step) if isinstance(node, Mapping) else None
            names += [] if isinstance(node, list | tuple) else [step]
    return ".".join(names)
