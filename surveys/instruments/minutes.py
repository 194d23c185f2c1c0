"""How long a survey takes: reading at a steady speed, and a time for each kind of answer.

A rough model, meant to show that a survey takes 8 minutes and not 20. Where people were timed,
their times are better.
"""

from collections.abc import Iterator
from typing import Any

from surveys.instruments.schema import (
    BaseQuestion,
    Country,
    Date,
    FreeText,
    Likert,
    Matrix,
    Multiple,
    Number,
    Page,
    Ranking,
    Sliders,
)

READ_PER_MINUTE = 200
"""Words. Silent reading of prose is about 240 (Brysbaert 2019); questions are read with more care,
and long lists of options with less."""
LETTERS_PER_WORD = 1.6
"""Of Chinese and Japanese, which have no spaces."""
WRITTEN_PER_MINUTE = 20
"""Words, thought up while typing them; copying is twice as fast (Karat et al. 1999)."""
WORDS_PER_SENTENCE = 14
UNGUIDED_WORDS = {True: 30, False: 4}
"""Written into a long and a short text field that say nothing of length."""

TURN_S = 2.0
"""To press Continue and see the next page."""
CHOICE_S = 3.0
OPTION_S = 0.5
"""To decide on each further option where several may be chosen."""
LINE_S = 5.0
"""To place a mark."""
ROW_S = 3.0
PLACE_S = 4.0
"""To give an item its place in a ranking."""
TYPED_S = {"number": 5.0, "date": 8.0, "country": 6.0}


def page_s(page: Page) -> float:
    """Seconds for a page without its questions."""
    return TURN_S + _reading_s([page.title, *page.text])


def whole_page_s(page: Page) -> float:
    """With all its questions."""
    return page_s(page) + sum(map(question_s, page.questions))


def question_s(question: BaseQuestion) -> float:
    """Seconds to read and answer a question."""
    return _reading_s(list(_texts(question))) + _answering_s(question)


def _answering_s(question: BaseQuestion) -> float:
    match question:
        case Multiple():
            return CHOICE_S + OPTION_S * len(question.items)
        case Sliders():
            return LINE_S * len(question.statements)
        case Likert() | Matrix():
            return ROW_S * len(question.items)
        case Ranking():
            return PLACE_S * question.places
        case FreeText():
            return 60 * _written(question) / WRITTEN_PER_MINUTE
        case Number() | Date() | Country():
            return TYPED_S[question.type]
        case _:
            return LINE_S if not question.choices else CHOICE_S


def _written(question: FreeText) -> float:
    if question.sentences:
        return WORDS_PER_SENTENCE * sum(question.sentences) / 2
    return max(UNGUIDED_WORDS[question.long], question.min_length / 6)


def _texts(question: BaseQuestion) -> Iterator[str]:
    yield from (question.text, question.hint, getattr(question, "stem", ""))
    parts = {id(part): part for part in (*question.items, *question.choices)}
    for part in parts.values():
        yield from (part.label, part.hint)


def _reading_s(texts: list[str]) -> float:
    return 60 * sum(map(_words, texts)) / READ_PER_MINUTE


def _words(text: Any) -> float:
    dense = sum("\u3040" <= letter <= "\u9fff" for letter in text)
    return dense / LETTERS_PER_WORD if dense > len(text) / 4 else len(text.split())
