"""What people were asked, word for word, and what a reader of its columns must know."""

from collections.abc import Iterable, Iterator
from dataclasses import replace

from collection.export.columns import Column, Table
from surveys.instruments.explain import in_words
from surveys.instruments.released import (
    OTHER_TEXT,
    column_of,
    companion,
    conditions,
    has_own_text,
    is_numeric,
    may_decline,
    order_of,
    tells_declined,
)
from surveys.instruments.schema import (
    AttributeScale,
    BaseQuestion,
    Comprehension,
    ConversationTexts,
    Country,
    FreeText,
    InstrumentFile,
    Matrix,
    Multiple,
    Number,
    Question,
    Ranking,
    Scale,
    Single,
    Sliders,
)


def of_survey(file: InstrumentFile, columns: Iterable[Column]) -> Iterator[Column]:
    """The columns with the wording of the questions that they come from."""
    questions = _by_column(file)
    needed = conditions(file)
    for column in columns:
        if not (asked := questions.get(column.key)):
            yield column
        elif len(asked) > 1 or asked[0].release.form == "place":
            yield _place(column, asked)
        else:
            (question,) = asked
            shown_if = ", and ".join(map(in_words, needed[question.code]))
            yield _of_question(column, question, shown_if)


def _by_column(file: InstrumentFile) -> dict[str, list[Question]]:
    found: dict[str, list[Question]] = {}
    for question in file.questions():
        if question.release.form == "none":
            continue
        own = [companion(question, name) for name in ("text", "iso", "passed", "attempts")]
        for key in (column_of(question), *own, companion(question, "status"), order_of(question)):
            found.setdefault(key, []).append(question)
    return found


def _of_question(column: Column, question: Question, shown_if: str) -> Column:
    source = f"survey, question {question.code}"
    is_own = column.key == column_of(question)
    if not is_own:
        return replace(column, source=column.source or source, notes=_beside(column, question))
    notes = " ".join(_notes(question, shown_if))
    return replace(
        column,
        question=wording(question),
        source=column.source or source,
        notes=" ".join(filter(None, (column.notes, notes))),
    )


def _place(column: Column, asked: list[Question]) -> Column:
    codes = ", ".join(question.code for question in asked)
    return replace(
        column,
        question="\n".join(wording(question) for question in asked),
        source=f"survey, question {codes}",
        notes="Names of countries are pycountry's, regions those of UN M49.",
    )


def wording(question: BaseQuestion) -> str:
    """Verbatim: the question, and the line that begins its statements."""
    parts = [question.text, question.hint, getattr(question, "stem", "")]
    return "\n".join(part for part in parts if part)


def _beside(column: Column, question: Question) -> str:
    if column.key == order_of(question):
        return "Place on the screen, from 1."
    if column.key == companion(question, "status"):
        return f"Of {column_of(question)}."
    if column.key == companion(question, "text") and has_own_text(question):
        return f"Typed beside an option of {column_of(question)}."
    return column.notes


def _notes(question: Question, shown_if: str) -> Iterator[str]:
    if shown_if:
        yield f"Asked only if {shown_if}."
    if not question.required:
        yield "Could be left out."
    if may_decline(question) and not tells_declined(question) and question.release.form != "coded":
        yield "null also where people preferred not to say."
    yield from _form_notes(question)
    if is_numeric(question):
        yield "; ".join(f"{o.released}: {o.label}" for o in question.choices) + "."
    if question.is_shuffled:
        yield f"Shown in an order drawn for each person: {order_of(question)}."


def _form_notes(question: Question) -> Iterator[str]:
    match question:
        case Scale():
            yield (
                f"On a line without numbers from “{question.low}” ({question.minimum}) to "
                f"“{question.high}” ({question.maximum})."
            )
            if question.na:
                yield "null where “N/A” was ticked."
            if isinstance(question, Sliders) and question.other:
                yield f"{question.last} is null unless a text was typed ({OTHER_TEXT})."
        case Multiple():
            yield "1: chosen, 0: not."
        case Ranking():
            yield (
                "1: the foremost."
                if question.top is None
                else (f"1: the foremost; null: not among the first {question.top}.")
            )
        case Matrix(multiple=True):
            yield "All that were chosen in each row."
        case Single() if question.release.form == "coded":
            yield (
                "self_described is what was typed, in small letters and without punctuation; null "
                "in the categories: not coded."
            )
        case Single() if question.self_describe and not question.release.own_text:
            yield "Own words are not released; null: not coded."
        case FreeText():
            if question.sentences:
                low, high = question.sentences
                yield f"A length of {low} to {high} sentences was suggested."
        case Number():
            if question.unit:
                yield f"In {question.unit}."
        case Country():
            yield "pycountry's name."
        case Comprehension():
            yield "The last answer; whoever had none right left the study."


# Conversations


def of_conversations(table: Table, task: ConversationTexts | None) -> Table:
    """The table with the wording of the conversation task, as far as it was asked there."""
    if task is None:
        return table
    asked = dict(_task(task))
    columns = tuple(
        replace(column, question=asked.get(column.key, ""), notes=_with_ends(column, task))
        for column in table.columns
    )
    return replace(table, columns=columns)


def _task(task: ConversationTexts) -> Iterator[tuple[str, str]]:
    yield "conversation_type", "\n".join([task.choose_type, *(t.text for t in task.types)])
    for key in ("opening_prompt", "user_prompt"):
        yield key, task.opening
    yield "score", task.rate
    for key, scale in _scales(task):
        yield key, f"{scale.heading}\n{scale.text}\n{scale.stem}"
    yield "open_feedback", f"{task.feedback_heading}\n{task.feedback}"


def _scales(task: ConversationTexts) -> Iterator[tuple[str, AttributeScale]]:
    yield "performance_attributes", task.performance
    yield "choice_attributes", task.choice


def _with_ends(column: Column, task: ConversationTexts) -> str:
    ends = {key: (scale.low, scale.high) for key, scale in _scales(task)}
    ends["score"] = (task.low, task.high)
    if column.key == "user_prompt":
        return f"{column.notes} From the second turn on, people read: “{task.continuing}”"
    if column.key not in ends:
        return column.notes
    low, high = ends[column.key]
    return f"On a line without numbers from “{low}” (1) to “{high}” (100). {column.notes}"
