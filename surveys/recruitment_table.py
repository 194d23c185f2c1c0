"""One table with a row per country, read into recruitments that are not stored yet.

Columns: country, places, reward (9.00), minutes; and if wanted filters, sample, locale.
filters: `prism` (fluent English, born and resident in the country), or `filter: label | label; …`
in Prolific's own names and labels, with `18-65` for a range. sample: `balanced`, or the name of
one of Prolific's representative samples.
"""

import csv
import io
import re
from collections.abc import Iterator, Mapping
from decimal import Decimal, InvalidOperation
from functools import cache
from typing import Any, NamedTuple

import pycountry
from django.utils.translation import gettext as _

from surveys import places
from surveys.errors import DomainError
from surveys.models import Recruitment, Study

NEEDED = ("country", "places", "reward", "minutes")
ALLOWED = (*NEEDED, "filters", "sample", "locale")
ROWS = 300
SIZE = 1_000_000
PRISM_PLACES = 100
"""A country, in PRISM's design (paper 2.1)."""
LEAST_PER_HOUR = {"GBP": 600, "USD": 800}
"""What Prolific allows, in pence and cents."""
LOCALES = {"USA": "us", "GBR": "uk"}
"""As PRISM wrote them; other countries by their name in lower case."""
SAMPLES = {
    "UK_REP_SAMPLE": "GBR",
    "UK_REGIONAL_REP_SAMPLE": "GBR",
    "REP_SAMPLE_UK_ENGLISH_AGE_POLITICAL_AFFILIATION": "GBR",
    "US_REP_SAMPLE": "USA",
    "US_REGIONAL_REP_SAMPLE": "USA",
    "REP_SAMPLE_US_ENGLISH_AGE_POLITICAL_AFFILIATION": "USA",
    "REP_SAMPLE_US_ENGLISH_AGE_POLITICAL_AFFILIATION_ETHNICITY": "USA",
}
"""Prolific's representative samples, and the country of each."""
BALANCED = "balanced"
PRISM = "prism"
RANGE = re.compile(r"(\d+)\s*[-–]\s*(\d+)")
Filter = dict[str, Any]


class Problem(NamedTuple):
    line: int
    column: str
    words: str

    def __str__(self) -> str:
        where = _("line %(line)d") % {"line": self.line}
        return f"{where}, {self.column}: {self.words}" if self.column else f"{where}: {self.words}"


class TableErrors(DomainError):
    """Everything that is wrong with a table, in its order."""

    def __init__(self, problems: list[Problem]) -> None:
        super().__init__("table", str(problems[0]))
        self.problems = problems


class Row(NamedTuple):
    line: int
    cells: Mapping[str, str]


def read(study: Study, data: bytes, currency: str = "GBP") -> list[Recruitment]:
    """The table's recruitments, not stored. Raises TableErrors with every problem there is."""
    rows = cells_of(data)
    problems: list[Problem] = []
    found = [recruitment(study, row, currency, problems) for row in rows]
    problems += repeated(rows, found)
    if problems:
        raise TableErrors(sorted(problems))
    return found


def cells_of(
    data: bytes,
    needed: tuple[str, ...] = NEEDED,
    allowed: tuple[str, ...] = ALLOWED,
    most: int = ROWS,
) -> list[Row]:
    """Any CSV with named columns. Raises TableErrors."""
    if len(data) > SIZE:
        raise TableErrors([Problem(1, "", _("The file is too large: 1 MB at most."))])
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise TableErrors(
            [Problem(line, "", _("This is not UTF-8. Please save the file as CSV in UTF-8."))]
        ) from error
    if "\x00" in text:
        raise TableErrors([Problem(1, "", _("This is no CSV file."))])
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter(text), strict=True)
    try:
        return list(rows_of(reader, needed, allowed, most))
    except csv.Error as error:
        words = _("This line is no CSV: %s. Look for a quotation mark that is not closed.") % error
        raise TableErrors([Problem(reader.line_num, "", words)]) from error


def delimiter(text: str) -> str:
    """As spreadsheets of different countries write: by what the first line has most of."""
    first = text.lstrip().partition("\n")[0]
    return max(",;\t", key=first.count)


def rows_of(
    reader: Any, needed: tuple[str, ...], allowed: tuple[str, ...], most: int
) -> Iterator[Row]:
    header = [name.strip().lower() for name in next(reader, [])]
    check_header(header, needed, allowed)
    number = 0
    for cells in reader:
        if not any(cell.strip() for cell in cells):
            continue
        number += 1
        if number > most:
            words = _("There are more rows than %d.") % most
            raise TableErrors([Problem(reader.line_num, "", words)])
        if len(cells) != len(header):
            words = _("%(found)d cells, but the first line has %(named)d columns.")
            counts = {"found": len(cells), "named": len(header)}
            raise TableErrors([Problem(reader.line_num, "", words % counts)])
        named = zip(header, (cell.strip() for cell in cells), strict=True)
        yield Row(reader.line_num, dict(named))
    if not number:
        raise TableErrors([Problem(2, "", _("There is no row below the names of the columns."))])


def check_header(header: list[str], needed: tuple[str, ...], allowed: tuple[str, ...]) -> None:
    problems = [
        Problem(1, name, _("This column is missing.")) for name in needed if name not in header
    ]
    problems += [
        Problem(1, name or "?", _("There is no such column. Known: %s.") % ", ".join(allowed))
        for name in header
        if name not in allowed
    ]
    problems += [
        Problem(1, name, _("This column stands twice."))
        for name in sorted(set(header))
        if header.count(name) > 1
    ]
    if problems:
        raise TableErrors(problems)


class Refusal(Exception):
    """Of one cell, with what was expected instead."""


def recruitment(study: Study, row: Row, currency: str, problems: list[Problem]) -> Recruitment:
    def cell(column: str, reader: Any, *more: Any) -> Any:
        try:
            return reader(row.cells.get(column, ""), *more)
        except Refusal as refusal:
            problems.append(Problem(row.line, column, str(refusal)))
            return None

    iso3 = cell("country", country)
    name = places.english_names()[iso3] if iso3 else ""
    minutes = cell("minutes", whole, 1, 600)
    return Recruitment(
        study=study,
        kind=Recruitment.Kind.PROLIFIC,
        name=name,
        locale=cell("locale", locale, iso3, name),
        places=cell("places", number_of_places, study.protocol.name),
        reward=cell("reward", reward, minutes, currency) or 0,
        currency=currency,
        minutes=minutes or 1,
        filters=cell("filters", filters, name) or [],
        sample=cell("sample", sample, iso3) or "",
    )


def repeated(rows: list[Row], found: list[Recruitment]) -> Iterator[Problem]:
    first: dict[str, int] = {}
    for row, item in zip(rows, found, strict=True):
        if item.name and item.name in first:
            words = _("%(country)s stands in line %(line)d already.")
            yield Problem(
                row.line, "country", words % {"country": item.name, "line": first[item.name]}
            )
        first.setdefault(item.name, row.line)


# Cells


@cache
def countries() -> dict[str, str]:
    """Every way to write a country, in lower case -> alpha-3."""
    found = {"uk": "GBR", "usa": "USA"}
    for entry in pycountry.countries:
        if entry.alpha_3 in places.english_names():
            common = places.english_names()[entry.alpha_3]
            for way in (entry.alpha_2, entry.alpha_3, entry.name, common):
                found.setdefault(way.casefold(), entry.alpha_3)
    return found


def country(cell: str) -> str:
    if cell.casefold() not in countries():
        raise Refusal(
            _("“%s” is no country we know. Expected: a name in English or an ISO code.") % cell
        )
    return countries()[cell.casefold()]


def whole(cell: str, least: int, most: int) -> int:
    if not re.fullmatch(r"[0-9]{1,6}", cell) or not least <= int(cell) <= most:
        raise Refusal(
            _("“%(cell)s” is not a whole number from %(least)d to %(most)d.")
            % {"cell": cell, "least": least, "most": most}
        )
    return int(cell)


def number_of_places(cell: str, protocol: str) -> int:
    found = whole(cell, 1, 100_000)
    if protocol.startswith(PRISM) and found > PRISM_PLACES:
        raise Refusal(
            _("%(found)d places; PRISM's design has at most %(most)d a country.")
            % {"found": found, "most": PRISM_PLACES}
        )
    return found


def reward(cell: str, minutes: int | None, currency: str) -> int:
    """In pence or cents."""
    try:
        amount = Decimal(cell) * 100
    except InvalidOperation:
        amount = Decimal("NaN")
    if not amount.is_finite() or amount != int(amount) or not 0 < amount <= 1_000_00:
        raise Refusal(_("“%s” is no amount. Expected: 9.00, with a point.") % cell)
    least = LEAST_PER_HOUR.get(currency, 0)
    if minutes and amount * 60 / minutes < least:
        raise Refusal(
            _(
                "%(cell)s for %(minutes)d minutes is less than the %(least)s an hour that Prolific "
                "asks for."
            )
            % {"cell": cell, "minutes": minutes, "least": money(least, currency)}
        )
    return int(amount)


def money(minor: int, currency: str) -> str:
    """900 -> £9.00."""
    sign = {"GBP": "£", "USD": "$", "EUR": "€"}.get(currency)
    amount = f"{Decimal(minor) / 100:.2f}"
    return f"{sign}{amount}" if sign else f"{amount} {currency}"


def locale(cell: str, iso3: str | None, name: str) -> str:
    found = cell.lower() or LOCALES.get(iso3 or "", name.lower())
    if len(found) > 50:
        raise Refusal(_("A locale has 50 characters at most."))
    return found


def sample(cell: str, iso3: str | None) -> str:
    if not cell or cell.lower() == BALANCED:
        return cell.lower()
    home = SAMPLES.get(cell.upper())
    if home is None:
        raise Refusal(
            _("“%(cell)s” is no sample. Expected: nothing, balanced, or one of %(known)s.")
            % {"cell": cell, "known": ", ".join(SAMPLES)}
        )
    if iso3 and home != iso3:
        raise Refusal(
            _("%(cell)s is of %(home)s.") % {"cell": cell, "home": places.english_names()[home]}
        )
    return cell.upper()


def filters(cell: str, name: str) -> list[Filter]:
    """With labels for choices: Prolific's ids for them are looked up when the study is made."""
    if cell.lower() in ("", PRISM):
        return prism_filters(name) if cell else []
    return [one_filter(part.strip()) for part in cell.split(";") if part.strip()]


def prism_filters(name: str) -> list[Filter]:
    return [
        {"filter_id": "fluent-languages", "labels": ["English"]},
        {"filter_id": "country-of-birth", "labels": [name]},
        {"filter_id": "current-country-of-residence", "labels": [name]},
    ]


def one_filter(part: str) -> Filter:
    filter_id, colon, value = (piece.strip() for piece in part.partition(":"))
    if not (filter_id and colon and value):
        raise Refusal(
            _("“%s” is no filter. Expected: prism, or filter: label | label; filter: 18-65.") % part
        )
    if ends := RANGE.fullmatch(value):
        lower, upper = int(ends[1]), int(ends[2])
        if lower > upper:
            raise Refusal(_("“%s” ends before it begins.") % part)
        return {"filter_id": filter_id, "selected_range": {"lower": lower, "upper": upper}}
    labels = [label.strip() for label in value.split("|") if label.strip()]
    return {"filter_id": filter_id, "labels": labels}
