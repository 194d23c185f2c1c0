"""What forms send, read question by question: each type's refusals, and that nothing is lost."""

from typing import Any

import pytest
import yaml
from django.http import QueryDict
from hypothesis import given, settings
from hypothesis import strategies as st

from surveys.errors import DomainError, FieldErrors
from surveys.instruments.schema import InstrumentFile, Question
from surveys.reading import as_fields, read
from tests.instruments import JUNK, TYPES, documents, questions, said


def question(text: str) -> Question:
    """One question, as it would stand in a file."""
    document = {
        "instrument": "one",
        "title": "One",
        "language": "en",
        "attribution": "Ours.",
        "pages": [{"code": "p", "title": "P", "questions": [yaml.safe_load(text)]}],
    }
    return next(InstrumentFile.model_validate(document).questions())


def form(fields: dict[str, Any]) -> QueryDict:
    data = QueryDict(mutable=True)
    for name, value in fields.items():
        data.setlist(name, value if isinstance(value, list) else [value])
    return data


ITEMS = "[{code: a, label: A}, {code: b, label: B}, {code: c, label: C}]"
RANKING = f"{{code: q, type: ranking, text: T, options: {ITEMS}}}"
NUMBER = "{code: q, type: number, text: T, minimum: 0, maximum: 120}"
DATE = "{code: q, type: date, text: T, earliest: '1900', latest: '2020-06'}"
MULTIPLE = (
    "{code: q, type: multiple, text: T, maximum: 2, options: [{code: a, label: A}, "
    "{code: b, label: B}, {code: c, label: C}, "
    "{code: none, label: None of these, exclusive: true}]}"
)
MATRIX = (
    f"{{code: q, type: matrix, multiple: true, text: T, rows: {ITEMS}, columns: {ITEMS}, "
    "required: false}"
)
LIKERT = f"{{code: q, type: likert, text: T, statements: {ITEMS}, points: {ITEMS}}}"


@pytest.mark.parametrize(
    ("text", "fields", "value"),
    [
        (RANKING, {"q_a": "2", "q_b": "1", "q_c": "3"}, {"ranked": ["b", "a", "c"]}),
        (NUMBER, {"q": " 12 "}, {"number": 12}),
        (NUMBER, {"q": "1 2"}, {"number": 12}),
        (NUMBER, {"q": "٤٢"}, {"number": 42}),
        ("{code: q, type: number, text: T, decimals: 2}", {"q": "-1,25"}, {"number": -1.25}),
        (DATE, {"q_year": "1984", "q_month": "2", "q_day": "29"}, {"date": "1984-02-29"}),
        (
            "{code: q, type: date, text: T, precision: month}",
            {"q_year": "1984", "q_month": "11"},
            {"date": "1984-11"},
        ),
        (MULTIPLE, {"q": ["c", "a"]}, {"chosen": ["a", "c"], "other_text": None}),
        (MULTIPLE, {"q": ["none"]}, {"chosen": ["none"], "other_text": None}),
        (
            LIKERT,
            {"q_a": "b", "q_b": "b", "q_c": "a"},
            {"rows": {"a": "b", "b": "b", "c": "a"}},
        ),
        (
            MATRIX,
            {"q_a": ["c", "a"]},
            {"rows": {"a": ["a", "c"]}},
        ),
        (
            "{code: q, type: text, text: T, required: false}",
            {"q": "  "},
            {"skipped": True},
        ),
        (
            "{code: q, type: number, text: T, prefer_not_to_say: true}",
            {"q": "12", "q_declined": "on"},
            {"declined": True},
        ),
        (
            f"{{code: q, type: ordinal, text: T, points: {ITEMS}, prefer_not_to_say: true}}",
            {"q": "prefer_not_to_say"},
            {"declined": True},
        ),
        (
            "{code: q, type: slider, text: T, low: L, high: H, required: false}",
            {"q": "50"},
            {"skipped": True},
        ),
        (
            "{code: q, type: slider, text: T, low: L, high: H, na: true}",
            {"q": "50", "q_na": "on"},
            {"score": None},
        ),
    ],
)
def test_it_works(text: str, fields: dict[str, Any], value: dict[str, Any]) -> None:
    assert read(question(text), form(fields), False).value == value


@pytest.mark.parametrize(
    ("text", "fields", "message"),
    [
        (RANKING, {"q_a": "1", "q_b": "1", "q_c": "2"}, "Two items have the same place"),
        (RANKING, {"q_a": "1", "q_b": "2"}, "Please give 1 more item a place."),
        (RANKING, {"q_a": "4", "q_b": "2", "q_c": "1"}, "Please choose a place from the list."),
        (RANKING, {"q_a": "x", "q_b": "2", "q_c": "1"}, "Please choose a place from the list."),
        (NUMBER, {}, "Please write a number."),
        (NUMBER, {"q": "twelve"}, "Please write this as a number"),
        (NUMBER, {"q": "nan"}, "Please write this as a number"),
        (NUMBER, {"q": "1_000"}, "Please write this as a number"),
        (NUMBER, {"q": "12.5"}, "Please write a whole number."),
        (NUMBER, {"q": "121"}, "Please write a number from 0 to 120."),
        (NUMBER, {"q": "-0.0001"}, "Please write a whole number."),
        (DATE, {"q_year": "1984", "q_month": "2"}, "Please fill in the whole date."),
        (DATE, {"q_year": "1983", "q_month": "2", "q_day": "29"}, "This date does not exist."),
        (DATE, {"q_year": "84", "q_month": "2", "q_day": "1"}, "not before 1900"),
        (DATE, {"q_year": "2020", "q_month": "7", "q_day": "1"}, "not after 2020-06"),
        (DATE, {"q_year": "9" * 30, "q_month": "7", "q_day": "1"}, "This date does not exist."),
        (MULTIPLE, {}, "Please choose at least one answer."),
        (MULTIPLE, {"q": ["a", "z"]}, "Please choose at least one answer."),
        (MULTIPLE, {"q": ["a", "b", "c"]}, "Please choose at most 2 answers."),
        (MULTIPLE, {"q": ["a", "none"]}, "“None of these” cannot be chosen together"),
        (LIKERT, {"q_a": "b", "q_b": "b"}, "Please choose one answer."),
        (LIKERT, {"q_a": "b", "q_b": "b", "q_c": "d"}, "Please choose one answer."),
        (
            "{code: q, type: text, text: T, min_length: 20}",
            {"q": "Short."},
            "Please write a little more.",
        ),
        (
            "{code: q, type: text, text: T, max_length: 20}",
            {"q": "x" * 100_000},
            "99980 characters too long",
        ),
        ("{code: q, type: text, text: T}", {"q": "a\x00b"}, "a character that cannot be saved"),
        ("{code: q, type: text, text: T}", {"q": "a\ud800b"}, "a character that cannot be saved"),
        (
            "{code: q, type: slider, text: T, low: L, high: H}",
            {"q": "50"},
            "Please rate this",
        ),
        (
            "{code: q, type: slider, text: T, low: L, high: H}",
            {"q": "101", "q_rated": "on"},
            "Please place this mark again.",
        ),
    ],
)
def test_it_refuses_in_words(text: str, fields: dict[str, Any], message: str) -> None:
    with pytest.raises(DomainError) as caught:
        read(question(text), form(fields), False)
    errors = caught.value.errors if isinstance(caught.value, FieldErrors) else {}
    assert message in (next(iter(errors.values()), "") or caught.value.message)


@given(document=documents())
@settings(max_examples=60)
def test_drawn_instruments_are_sound(document: dict[str, Any]) -> None:
    assert InstrumentFile.model_validate(document).pages


@given(data=st.data())
@settings(max_examples=300)
def test_every_answer_comes_back_as_the_form_that_sent_it(data: st.DataObject) -> None:
    asked = question(yaml.safe_dump(data.draw(questions("q"))))
    meant = data.draw(said(asked))
    sent = form(dict(as_fields(asked, meant.value, meant.touches)))
    answer = read(asked, sent, untouched_counts=False)
    assert answer.value == meant.value
    assert answer.touches == meant.touches


@given(data=st.data())
@settings(max_examples=400)
def test_junk_is_answered_in_words_or_read_as_an_answer(data: st.DataObject) -> None:
    asked = question(yaml.safe_dump(data.draw(questions("q"))))
    parts = ["", "_text", "_other_text", "_declined", "_year", "_month", "_day", "_rated", "_na"]
    parts += [f"_{item.code}" for item in asked.items]
    parts += [f"_{item.code}{end}" for item in asked.items for end in ("_rated", "_na", "_record")]
    names = st.sampled_from([f"q{part}" for part in parts])
    sent = data.draw(st.dictionaries(names, st.lists(JUNK, max_size=3), max_size=8))
    try:
        answer = read(asked, form(sent), data.draw(st.booleans()))
    except DomainError:
        return  # refused with a message
    again = read(asked, form(dict(as_fields(asked, answer.value, answer.touches))), True)
    assert again.value == answer.value


def test_every_type_is_drawn() -> None:
    kinds = {kind.__name__ for kind in Question.__origin__.__args__}  # type: ignore[attr-defined]
    assert len(TYPES) == len(kinds) - 1  # a comprehension check is judged with its attempts
