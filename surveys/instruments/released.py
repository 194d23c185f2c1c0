"""How answers leave: the columns of survey.jsonl that each question has, by name."""

from collections import Counter
from collections.abc import Iterator
from typing import TYPE_CHECKING, Literal

from surveys.instruments.parts import Part, Unsound
from surveys.instruments.remembered import remembered

if TYPE_CHECKING:
    from surveys.instruments.conditions import Condition
    from surveys.instruments.schema import Block, InstrumentFile, Page, Question

FIRST = ("user_id", "survey_only", "num_completed_conversations", "consent", "consent_age")
RECRUITMENT = ("study_id", "study_locale")
LAST = (
    *("generated_datetime", "timing_duration_s", "timing_duration_mins"),
    *("included_in_US_REP", "included_in_UK_REP", "included_in_balanced_subset"),
)
VERSION = "instrument"
"""In releases of several versions: which one was answered."""
LANGUAGE = "language"
"""Where an instrument has several: the one answered in."""
OTHER_TEXT = "other_text"
"""Key of what was typed beside `other`, in a dict of options or statements."""
DECLINING = "prefer_not_to_say"
"""Code of "Prefer not to say", where it is an option like others."""


class Release(Part):
    """How an answer leaves: its columns in survey.jsonl."""

    column: str = ""
    """The question's code, if empty."""
    form: Literal["plain", "coded", "place", "none"] = "plain"
    """coded: a self-description with its categories; place: a side of a dict of places; none:
    never."""
    category: Literal["direct", "constructed"] = "direct"
    """constructed: people's own words are made into one of the options by hand."""
    own_text: bool = True
    """Whether what was typed beside a self-describing option is released; if not, that option
    is null until somebody has coded it."""
    categories: dict[str, str] = {}
    """coded: categorised -> simplified."""
    side: Literal["birth", "reside"] | None = None
    """place: of birth or of residence."""
    labels: dict[str, str] = {}
    """Codebook labels of a dict column's keys, where they differ from the options' labels."""


class ColumnOrder(Part):
    """The order of survey.jsonl's columns between consent_age and generated_datetime.

    Columns left out follow: answers as they were asked, drawn orders, study_id, study_locale.
    """

    columns: tuple[str, ...] = ()
    """Names of columns, in their order."""


def column_of(question: "Question") -> str:
    return question.release.column or question.code


def companion(question: "Question", suffix: str) -> str:
    """Key of a column beside the question's own."""
    shared = question.release.form == "place"
    return f"{question.code if shared else column_of(question)}_{suffix}"


def order_of(question: "Question") -> str:
    return f"order_{column_of(question)}"


@remembered
def is_numeric(question: "Question") -> bool:
    """Whether all choices are released as numbers; declining as one of them need not be."""
    if question.release.form in ("coded", "place"):
        return False
    is_choice = _is_choice(question)
    released = [o.released for o in question.choices if not (is_choice and o.code == DECLINING)]
    return bool(released) and all(isinstance(value, int) for value in released)


def may_decline(question: "Question") -> bool:
    return (
        question.prefer_not_to_say
        or question.type == "country"
        or (_is_choice(question) and any(o.code == DECLINING for o in question.choices))
    )


def tells_declined(question: "Question") -> bool:
    """Whether the column itself has "Prefer not to say"; else it is null."""
    return question.type == "country" or (_is_choice(question) and not is_numeric(question))


def _is_choice(question: "Question") -> bool:
    return question.type in ("single", "ordinal", "attention", "comprehension")


def may_be_unknown(question: "Question") -> bool:
    """Whether an answer can be null: N/A, or own words that are not released."""
    if question.type == "single":
        return question.self_describe is not None and not has_own_text(question)
    return (question.type == "sliders" or question.type == "slider") and question.na


def is_coded(question: "Question") -> bool:
    """Whether own words are made into one of the categories, or of the options, by hand."""
    if question.type != "single" or question.self_describe is None:
        return False
    return question.release.form != "none" and not has_own_text(question)


def has_own_text(question: "Question") -> bool:
    """Whether typed words have a column of their own."""
    if question.type != "single" or question.self_describe is None:
        return False
    return question.release.own_text and question.release.form == "plain"


def has_status(question: "Question", *, is_conditional: bool) -> bool:
    """Whether null could mean several things, so that a column beside it says which."""
    return (
        not question.required
        or (may_decline(question) and not tells_declined(question))
        or (is_conditional and may_be_unknown(question) and question.release.form == "plain")
    )


def conditions(file: "InstrumentFile") -> "dict[str, tuple[Condition, ...]]":
    """Question code -> what must all hold for it to be shown; of every question."""
    return {
        question.code: tuple(c for c in (_outer(entry), page.show_if, question.show_if) if c)
        for entry in file.entries
        for page in _pages(entry)
        for question in page.questions
    }


def _pages(entry: "Page | Block") -> "tuple[Page, ...]":
    return entry.pages if hasattr(entry, "pages") else (entry,)


def _outer(entry: "Page | Block") -> "Condition | None":
    return entry.show_if if hasattr(entry, "pages") else None


@remembered
def conditional(file: "InstrumentFile") -> frozenset[str]:
    """Codes of the questions that not everybody is shown."""
    return frozenset(code for code, needed in conditions(file).items() if needed)


def keys_of(question: "Question", *, is_conditional: bool) -> list[str]:
    """All columns of a question."""
    if question.release.form == "none":
        return []
    keys = [column_of(question)]
    keys += [companion(question, suffix) for suffix in _suffixes(question, is_conditional)]
    return [*keys, order_of(question)] if question.is_shuffled else keys


def _suffixes(question: "Question", is_conditional: bool) -> Iterator[str]:
    if has_own_text(question):
        yield "text"
    if question.type == "attention":
        yield "passed"
    if question.type == "comprehension":
        yield "attempts"
    if question.type == "country" and question.release.form == "plain":
        yield "iso"
    if has_status(question, is_conditional=is_conditional):
        yield "status"


def list_keys(file: "InstrumentFile") -> dict[str, str]:
    """Scope of a drawn order of questions, pages or blocks -> the column that has it."""
    found = {"pages:": "order_pages"} if file.randomise else {}
    for entry in file.entries:
        if hasattr(entry, "pages") and entry.randomise:
            found[f"block:{entry.code}"] = f"order_block_{entry.code}"
        for page in _pages(entry):
            if page.randomise:
                found[f"page:{page.code}"] = f"order_page_{page.code}"
    return found


def check_columns(file: "InstrumentFile") -> None:
    """Raises Unsound if two things would be one column, or a column cannot be made."""
    for question in file.questions():
        _check_form(question)
    owners = dict.fromkeys((*FIRST, *RECRUITMENT, *LAST, VERSION), "the release")
    if len(file.languages) > 1:
        owners[LANGUAGE] = "the language answered in"
    for code, key in _owned(file):
        if key in owners:
            raise Unsound(
                f"column {key!r} would be of {code!r} and of {owners[key]}; name another column "
                "with release, or change the code",
                code,
            )
        owners[key] = repr(code)
    movable = owners.keys() - {*FIRST, *LAST, VERSION}
    if unknown := [key for key in file.release.columns if key not in movable]:
        raise Unsound(
            f"columns names {', '.join(unknown)}, which cannot be placed; remove or correct it",
            "release",
            "columns",
        )
    if twice := [key for key, n in Counter(file.release.columns).items() if n > 1]:
        raise Unsound(f"columns names {', '.join(twice)} twice; remove one", "release", "columns")


def _owned(file: "InstrumentFile") -> Iterator[tuple[str, str]]:
    """(code of a question, variant, page or block; a column of it)"""
    yield from ((variant.code, variant.code) for variant in file.variants)
    for scope, column in list_keys(file).items():
        yield scope.partition(":")[2] or "pages", column
    behind = conditional(file)
    sides: set[tuple[str, str | None]] = set()
    for question in file.questions():
        keys = keys_of(question, is_conditional=question.code in behind)
        if question.release.form == "place":
            column = column_of(question)
            shared = any(column == known for known, _side in sides)
            if shared and (column, question.release.side) not in sides:
                keys.remove(column)
            sides.add((column, question.release.side))
        yield from ((question.code, key) for key in keys)


def _check_form(question: "Question") -> None:
    release, code = question.release, question.code
    if release.form == "coded" and not (
        question.type == "single" and question.self_describe and release.categories
    ):
        raise Unsound(
            "form coded needs a single choice with self_describe, and categories", code, "release"
        )
    if (release.form == "place") != (release.side is not None):
        raise Unsound("form place and side go together; add or remove one", code, "release")
    if release.form == "place" and not (question.type == "country" and release.column):
        raise Unsound("form place needs a country and the column of both sides", code, "release")
    if getattr(question, "other", None) and any(o.code == OTHER_TEXT for o in question.items):
        raise Unsound(f"{OTHER_TEXT} is where the typed text goes; change this code", OTHER_TEXT)
