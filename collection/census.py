"""Census tables as researchers have them: read from a CSV, checked as a whole, stored.

Long: a line for each group, with the columns age, ethnicity, gender, and people or share. Or wide,
as PRISM's own: a line for each age, with a column for each ethnicity and gender (White_Male).
Ages are bands that lie within the survey's (18-24), or single years; younger ones are left out.
"""

import csv
import io
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation
from itertools import product
from typing import Any

from django.db import transaction
from django.utils.translation import gettext as _

from collection.export.subsets import AGES, CELLS, GENDERS, HISPANIC
from collection.models import CensusTable
from surveys.models import Study

Hispanics = CensusTable.Hispanics

MOST_LETTERS = 300_000
MOST_LINES = 5_000
MOST_PROBLEMS = 20
SHARES_MISS = Decimal("0.005")
"""Published shares are rounded."""
MOST_PEOPLE = Decimal(10) ** 10

LONG = ("age", "ethnicity", "gender")
PEOPLE, SHARE = "people", "share"
GENDER_NAMES = {
    **dict.fromkeys(("male", "m", "men", "man"), "Male"),
    **dict.fromkeys(("female", "f", "women", "woman"), "Female"),
}
ETHNICITY_NAMES = {
    "white": "White",
    **dict.fromkeys(("black", "black / african", "black/african"), "Black"),
    "asian": "Asian",
    "mixed": "Mixed",
    **dict.fromkeys(
        ("other", "middle eastern / arab", "indigenous / first peoples", "arab"), "Other"
    ),
    **dict.fromkeys(("hispanic", "hispanic / latino", "latino"), HISPANIC),
}
BANDS = {age: (int(age[:2]), int(age[3:5]) if age[2] == "-" else 200) for age in AGES}
ADULT = 18
ALL = re.compile(r"(all|total)\b.*", re.IGNORECASE)
"""Sums of other lines or columns, which are left out."""
RANGE = re.compile(r"(\d{1,3})\s*(?:[-–]|to)\s*(\d{1,3})(?:\s*years?(?: old)?)?", re.IGNORECASE)
OPEN = re.compile(r"(\d{1,3})\s*(?:\+|and over|or older)(?:\s*years?(?: old)?)?", re.IGNORECASE)
YEAR = re.compile(r"\d{1,3}")


class CensusError(ValueError):
    """A table that cannot be used: what is wrong, one line each; nothing of it was stored."""

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = list(problems)


Group = tuple[str, str, str]


@dataclass
class Census:
    """A table that was read. amounts: (age, ethnicity, gender) -> people or share."""

    amounts: dict[Group, Decimal] = field(default_factory=dict)
    is_share: bool = False

    @property
    def has_hispanics(self) -> bool:
        return any(ethnicity == HISPANIC for _age, ethnicity, _gender in self.amounts)

    def whole(self, *, with_hispanics: bool) -> Decimal:
        return sum(
            (n for group, n in self.amounts.items() if with_hispanics or group[1] != HISPANIC),
            Decimal(0),
        )


@dataclass
class _Reading:
    census: Census = field(default_factory=Census)
    problems: list[str] = field(default_factory=list)

    def says(self, line: int, column: int, what: str) -> None:
        where = {"line": line, "column": column, "what": what}
        self.problems.append(_("Line %(line)d, column %(column)d: %(what)s") % where)

    def stop(self) -> None:
        if self.problems:
            raise CensusError(self.problems[:MOST_PROBLEMS])

    def add(self, group: Group, amount: Decimal) -> None:
        amounts = self.census.amounts
        amounts[group] = amounts.get(group, Decimal(0)) + amount


def read(text: str, hispanics: str) -> Census:
    """A table from the text of a CSV. hispanics: of `CensusTable.Hispanics`.

    Raises CensusError with every problem, each with its line and column.
    """
    lines = list(_lines(text))
    if not lines:
        raise CensusError([_("The table is empty.")])
    reading = _Reading()
    (line, names), *rows = lines
    head = [name.casefold() for name in names]
    if head[:3] == list(LONG) or head[:3] == ["age", "ethnicity", "sex"]:
        _read_long(reading, line, head, rows)
    else:
        _read_wide(reading, line, names, rows)
    reading.stop()
    _check(reading, hispanics)
    reading.stop()
    return reading.census


def _lines(text: str) -> Iterator[tuple[int, list[str]]]:
    """(line number, texts) of every line that is not empty. Raises CensusError."""
    if len(text) > MOST_LETTERS:
        raise CensusError([_("The table is longer than %d characters.") % MOST_LETTERS])
    if "\0" in text:
        raise CensusError([_("This is no text: expected a CSV file, saved as UTF-8.")])
    text = text.removeprefix("\ufeff")
    head = text.lstrip().split("\n", 1)[0]
    delimiter = max((",", ";", "\t"), key=head.count)
    rows = csv.reader(io.StringIO(text), delimiter=delimiter, strict=True)
    try:
        for row in rows:
            texts = [cell.strip() for cell in row]
            if any(texts):
                yield rows.line_num, texts
            if rows.line_num > MOST_LINES:
                raise CensusError([_("The table has more than %d lines.") % MOST_LINES])
    except csv.Error as error:
        said = {"line": rows.line_num, "what": error}
        raise CensusError([_("Line %(line)d: %(what)s") % said]) from error


# The two forms


def _read_long(
    reading: _Reading, line: int, head: list[str], rows: list[tuple[int, list[str]]]
) -> None:
    if len(head) != 4 or head[3] not in (PEOPLE, SHARE):
        reading.says(line, 4, _("expected people or share in the fourth column, and no more"))
        return
    reading.census.is_share = head[3] == SHARE
    for number, texts in rows:
        if not _has_width(reading, number, texts, 4):
            continue
        if any(ALL.fullmatch(text) for text in texts[:3]):
            continue
        age = _age(reading, number, 1, texts[0])
        ethnicity = _known(reading, number, 2, texts[1], ETHNICITY_NAMES)
        gender = _known(reading, number, 3, texts[2], GENDER_NAMES)
        amount = _amount(reading, number, 4, texts[3])
        if age and ethnicity and gender and amount is not None:
            reading.add((age, ethnicity, gender), amount)


def _read_wide(
    reading: _Reading, line: int, names: list[str], rows: list[tuple[int, list[str]]]
) -> None:
    columns: dict[int, tuple[str, str]] = {}
    for place, name in enumerate(names[1:], start=2):
        if ALL.fullmatch(name.replace("_", " ")):
            continue
        ethnicity, _low, gender = name.rpartition("_")
        found = (ETHNICITY_NAMES.get(ethnicity.casefold()), GENDER_NAMES.get(gender.casefold()))
        if found[0] is None or found[1] is None:
            reading.says(
                line,
                place,
                _("“%s” stands here; expected an ethnicity and a gender such as White_Male")
                % name[:60],
            )
        else:
            columns[place] = (found[0], found[1])
    if not columns and not reading.problems:
        reading.says(
            line,
            1,
            _("expected age,ethnicity,gender,people, or age and columns such as White_Male"),
        )
    reading.stop()
    amounts: list[Decimal] = []
    for number, texts in rows:
        if not _has_width(reading, number, texts, len(names)) or ALL.fullmatch(texts[0]):
            continue
        age = _age(reading, number, 1, texts[0])
        for place, group in columns.items():
            amount = _amount(reading, number, place, texts[place - 1])
            if age and amount is not None:
                reading.add((age, *group), amount)
                amounts.append(amount)
    reading.census.is_share = any(amount != int(amount) for amount in amounts)


def _has_width(reading: _Reading, line: int, texts: list[str], width: int) -> bool:
    if len(texts) == width:
        return True
    said = {"line": line, "found": len(texts), "expected": width}
    reading.problems.append(
        _("Line %(line)d: %(found)d columns; expected %(expected)d, as in the first line") % said
    )
    return False


# Their parts


def _age(reading: _Reading, line: int, column: int, text: str) -> str:
    """The survey's band; empty for children, who are in none."""
    low, high = _years(text)
    if low is None or high is None or high < low:
        reading.says(line, column, _("“%s”: expected an age such as 18-24, 65+ or 37") % text[:60])
        return ""
    if high < ADULT:
        return ""
    for age, (first, last) in BANDS.items():
        if first <= low and high <= last:
            return age
    reading.says(
        line, column, _("“%s”: the ages lie in more than one of the survey's bands") % text[:60]
    )
    return ""


def _years(text: str) -> tuple[int | None, int | None]:
    if text in BANDS:
        return BANDS[text]
    if found := RANGE.fullmatch(text):
        return int(found[1]), int(found[2])
    if found := OPEN.fullmatch(text):
        return int(found[1]), BANDS[AGES[-1]][1]
    if YEAR.fullmatch(text):
        return int(text), int(text)
    return None, None


def _known(reading: _Reading, line: int, column: int, text: str, names: dict[str, str]) -> str:
    found = names.get(text.casefold(), "")
    if not found:
        expected = ", ".join(dict.fromkeys(names.values()))
        said = {"text": text[:60], "expected": expected}
        reading.says(line, column, _("“%(text)s”: expected one of %(expected)s") % said)
    return found


def _amount(reading: _Reading, line: int, column: int, text: str) -> Decimal | None:
    try:
        amount = Decimal(text.removesuffix("%").replace(",", "").strip())
    except InvalidOperation:
        amount = Decimal(-1)
    if amount.is_finite() and 0 <= amount <= MOST_PEOPLE:
        return amount
    reading.says(line, column, _("“%s”: expected a number of people, or a share") % text[:60])
    return None


# The whole


def _check(reading: _Reading, hispanics: str) -> None:
    census = reading.census
    missing = [cell for cell in CELLS if cell not in census.amounts]
    if missing:
        said = {"number": len(missing), "first": ", ".join(missing[0])}
        reading.problems.append(
            _("%(number)d of the 60 groups have no figure; the first is %(first)s.") % said
        )
        return
    if census.has_hispanics:
        _check_hispanics(reading, hispanics)
    elif hispanics:
        reading.problems.append(
            _("It is said how Hispanics are counted, but the table has no such group.")
        )
    if not reading.problems:
        _check_sum(reading, hispanics)


def _check_hispanics(reading: _Reading, hispanics: str) -> None:
    groups = {(age, HISPANIC, gender) for age, gender in product(AGES, GENDERS)}
    if not groups <= reading.census.amounts.keys():
        reading.problems.append(
            _("The table has Hispanics of some ages or genders only; expected all, or none.")
        )
    if hispanics not in (Hispanics.WITHIN, Hispanics.APART):
        reading.problems.append(
            _(
                "The table has a group of Hispanics: please say whether the other groups count "
                "them as well. If so, added to those they would be counted twice."
            )
        )


def _check_sum(reading: _Reading, hispanics: str) -> None:
    """Shares are of all adults, or of what PRISM added up, Hispanics twice."""
    census = reading.census
    wholes = {census.whole(with_hispanics=True)}
    if hispanics == Hispanics.WITHIN:
        wholes.add(census.whole(with_hispanics=False))
    if census.is_share and not any(_is_whole(one) for one in wholes):
        said = ", ".join(f"{one:f}" for one in sorted(wholes))
        reading.problems.append(_("The shares add up to %s; expected 1 or 100.") % said[:80])
    if not census.whole(with_hispanics=False):
        reading.problems.append(_("All figures are 0."))


def _is_whole(amount: Decimal) -> bool:
    return any(abs(amount - whole) <= whole * SHARES_MISS for whole in (1, 100))


# Storing


@transaction.atomic
def store(
    study: Study, sample: str, census: Census, by: str, **facts: Any
) -> tuple[CensusTable, bool]:
    """(the table, whether it is the first of its sample). It takes the place of an earlier one."""
    hispanics = facts["hispanics"]
    counted = census.whole(with_hispanics=hispanics == Hispanics.APART)
    values = {
        **facts,
        "cells": [[*group, float(amount)] for group, amount in sorted(census.amounts.items())],
        "adults": None if census.is_share else int(counted),
        "uploaded_by": by,
    }
    return CensusTable.objects.update_or_create(study=study, sample=sample, defaults=values)


def remove(study: Study, sample: str) -> None:
    CensusTable.objects.filter(study=study, sample=sample).delete()
