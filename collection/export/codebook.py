"""The codebook of one release: its files, their columns, and what each may hold.

Rows are built and folders are checked from these tables, so a column cannot be in one and not in
the other. What people were asked is their instrument's: those columns are derived from its file
and from nowhere else.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from collection.export import asked, further_tables, tables
from collection.export.columns import Column, Table
from collection.export.derive import survey_columns
from collection.export.merge import Version, merged
from surveys.instruments.released import FIRST, LAST, VERSION, column_of
from surveys.instruments.schema import ConversationTexts, FreeText, Question, Scale
from surveys.protocol import PRESETS, Protocol

NAME = "codebook.json"


@dataclass(frozen=True)
class Codebook:
    """versions: the instruments that people answered, newest first; one at least."""

    versions: tuple[Version, ...]
    protocol: Protocol = PRESETS["prism"]
    earlier: tuple[Protocol, ...] = ()
    """Other protocols that people of the release met, in versions of the study."""

    @property
    def protocols(self) -> tuple[Protocol, ...]:
        return (self.protocol, *self.earlier)

    @cached_property
    def survey(self) -> Table:
        """Raises DomainError if the versions cannot be one table."""
        answers = merged([(version, survey_columns(version.file)) for version in self.versions])
        if len(self.versions) > 1:
            hashes = tuple(version.sha256 for version in self.versions)
            label = "sha256 of the version of the instrument that was answered"
            answers = [Column(VERSION, "categorical", "meta", label, allowed=hashes), *answers]
        return _around(answers)

    def version(self, sha256: str) -> Version:
        return next(version for version in self.versions if version.sha256 == sha256)

    def survey_of(self, version: Version) -> Table:
        """The columns of one version."""
        return self._by_version[version.sha256]

    @cached_property
    def _by_version(self) -> dict[str, Table]:
        return {v.sha256: _around(list(survey_columns(v.file))) for v in self.versions}

    @cached_property
    def texts(self) -> tuple[str, ...]:
        """Columns of the survey that hold free text, as the table has them."""
        found = {
            column_of(question)
            for version in self.versions
            for question in version.file.questions()
            if isinstance(question, FreeText)
        }
        return tuple(key for key in self.survey.key_order if key in found)

    @cached_property
    def metadata(self) -> Table:
        return tables.metadata(self.texts)

    @cached_property
    def flags(self) -> Table:
        return tables.flags(self.texts)

    @cached_property
    def paradata(self) -> Table:
        pages: dict[str, None] = {}
        questions: dict[str, None] = {}
        for version in self.versions:
            pages |= dict.fromkeys(page.code for page in version.file.pages)
            asked = (q.code for q in version.file.questions() if q.release.form != "none")
            questions |= dict.fromkeys(asked)
        return tables.paradata(tuple(pages), tuple(questions))

    @cached_property
    def model_item(self) -> Table:
        """A reply in a conversation's history."""
        return asked.of_conversations(tables.model_item(self._replies), self._task)

    @cached_property
    def conversations(self) -> Table:
        return asked.of_conversations(tables.CONVERSATIONS, self._task)

    @cached_property
    def utterances(self) -> Table:
        return asked.of_conversations(tables.utterances(self._replies), self._task)

    @cached_property
    def assignments(self) -> Table:
        return tables.assignments(self._replies)

    @cached_property
    def calls(self) -> Table:
        return further_tables.calls(self._replies)

    @cached_property
    def ratings(self) -> Table:
        asked = [q for version in self.versions for q in lines_of(version)]
        items = (item.code for question in asked for item in question.items)
        return further_tables.ratings(tuple(map(column_of, asked)), tuple(items))

    @cached_property
    def wide(self) -> Table:
        return further_tables.wide(self._replies)

    @property
    def _task(self) -> ConversationTexts | None:
        """The newest wording of the conversation task."""
        found = (v.file.conversation for v in self.versions if v.file.conversation)
        return next(found, None)

    @property
    def _replies(self) -> int:
        return max(map(tables.most_replies, self.protocols))

    @property
    def tables(self) -> dict[str, Table]:
        """By the name of the file."""
        found = (
            self.survey,
            self.conversations,
            self.utterances,
            tables.MODELS,
            self.assignments,
            self.metadata,
            self.flags,
            self.paradata,
            self.calls,
            self.ratings,
            further_tables.CONSENTS_TABLE,
            further_tables.QUALITY_TABLE,
            self.wide,
            further_tables.BATTLES_TABLE,
            further_tables.PREFERENCES_TABLE,
            further_tables.UNPAIRED_TABLE,
        )
        return {table.name: table for table in found}


def _around(answers: Sequence[Column]) -> Table:
    first = (tables.FIXED[key] for key in FIRST)
    columns = (*first, *answers, *(tables.FIXED[key] for key in LAST))
    return Table("survey", columns, one_row="a person who consented and finished the survey")


def lines_of(version: Version) -> list[Question]:
    """The questions of a version that are answered on lines, and released."""
    questions = version.file.questions()
    return [q for q in questions if isinstance(q, Scale) and q.release.form != "none"]


def described(book: Codebook, names: Sequence[str]) -> dict[str, Any]:
    """codebook.json: file -> its columns."""
    files: dict[str, Any] = {
        f"{name}.jsonl": [_described(column, book) for column in book.tables[name].columns]
        for name in names
    }
    return {"files": files}


def _described(column: Column, book: Codebook) -> dict[str, Any]:
    return dict(_facts(column, book))


def _facts(column: Column, book: Codebook) -> Iterator[tuple[str, Any]]:
    yield "key", column.key
    yield "kind", column.kind
    yield "category", column.category
    yield "label", column.label
    if column.question:
        yield "question", column.question
    yield "nullable", column.nullable
    if column.allowed:
        yield "allowed", list(column.allowed)
    if column.low is not None:
        yield "minimum", column.low
    if column.high is not None:
        yield "maximum", column.high
    if column.digits:
        yield "digits", column.digits
    if column.keys:
        yield "keys", [_described(part, book) for part in column.keys]
    if column.kind == "history":
        items = {"user": tables.USER_ITEM, "model": book.model_item}
        yield "items", {role: [_described(c, book) for c in t.columns] for role, t in items.items()}
    if column.notes:
        yield "notes", column.notes
    yield "source", column.origin
