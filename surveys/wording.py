"""Answers in words, and texts that repeat earlier answers ("piping")."""

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from django.utils.translation import gettext as _

from surveys.instruments.conditions import Value
from surveys.instruments.pipes import PIPE
from surveys.instruments.schema import (
    PREFER_NOT_TO_SAY,
    BaseQuestion,
    Country,
    Number,
    Page,
)
from surveys.places import choices as country_choices
from surveys.sheet import Sheet


def item_labels(question: BaseQuestion) -> dict[str, str]:
    """Code -> label of everything that is shuffled, rated or filled in."""
    return {item.code: item.label for item in question.items}


def labels(question: BaseQuestion) -> dict[str, str]:
    """Code -> label of everything that can be chosen."""
    names = {PREFER_NOT_TO_SAY: _("Prefer not to say")}
    if isinstance(question, Country):
        return names | dict(country_choices())
    return names | {option.code: option.label for option in question.choices}


def words(question: BaseQuestion, value: Value) -> list[str]:
    """The answer in labels, one per choice; a text of one's own follows its option."""
    if value.get("skipped"):
        return []
    if value.get("declined"):
        return [_("Prefer not to say")]
    said = _chosen(question, value)
    if own := value.get("text") or value.get("other_text"):
        said.append(own)
    return said


def _chosen(question: BaseQuestion, value: Value) -> list[str]:
    names, items = labels(question), item_labels(question)
    if "choice" in value:
        choice: str = value["choice"]
        return [names.get(choice, choice)]
    if "chosen" in value:
        return [names.get(code, code) for code in value["chosen"]]
    if "ranked" in value:
        return [items.get(code, code) for code in value["ranked"]]
    if "scores" in value:
        return [f"{items.get(code, code)} {shown_score(s)}" for code, s in value["scores"].items()]
    if "rows" in value:
        return [f"{items.get(c, c)}: {_cell(names, cell)}" for c, cell in value["rows"].items()]
    return list(_amount(question, value))


def _cell(names: Mapping[str, str], cell: str | list[str]) -> str:
    codes = [cell] if isinstance(cell, str) else cell
    return ", ".join(names.get(code, code) for code in codes)


def _amount(question: BaseQuestion, value: Value) -> Iterator[str]:
    if "score" in value:
        yield shown_score(value["score"])
    elif "number" in value:
        unit = f" {question.unit}" if isinstance(question, Number) and question.unit else ""
        yield f"{value['number']}{unit}"
    elif "date" in value:
        yield str(value["date"])


def shown_score(score: int | None) -> str:
    return _("N/A") if score is None else str(score)


def filled(page: Page, sheet: Sheet) -> Page:
    """The page with earlier answers in its texts."""
    if page.code not in sheet.file.piping_pages:
        return page
    document = page.model_dump(mode="json", by_alias=True, exclude_unset=True)
    questions = {question.code: question for question in sheet.file.questions()}

    def answer(match: re.Match[str]) -> str:
        code, fallback = match[1], (match[2] or "…").strip()
        value = sheet.shown.get(code)
        said = words(questions[code], value) if value and code in questions else []
        return ", ".join(said) or fallback

    return Page.model_validate(_mapped(document, lambda text: PIPE.sub(answer, text)))


def _mapped(part: Any, change: Callable[[str], str]) -> Any:
    if isinstance(part, str):
        return change(part)
    if isinstance(part, Mapping):
        return {key: _mapped(value, change) for key, value in part.items()}
    if isinstance(part, list | tuple):
        return [_mapped(item, change) for item in part]
    return part
