"""What the cells of a quota table are made of: answers, the recruiter's parameters, the locale.

A field's name is a question's code, `link.NAME` for a parameter of the recruiter's link, or
`study_locale`. What a cell takes of a field is a list of texts: an option's code, a country's
ISO 3166 code, a band such as 18-24 or 65+, or a parameter's value in small letters.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from difflib import get_close_matches

import pycountry
from django.utils.translation import gettext as _

from surveys.errors import DomainError
from surveys.instruments.conditions import Value
from surveys.instruments.schema import (
    PREFER_NOT_TO_SAY,
    Country,
    FreeText,
    InstrumentFile,
    Number,
    Ordinal,
    Question,
    Single,
)
from surveys.places import choices as countries
from surveys.wording import labels

LINK = "link."
LOCALE = "study_locale"
BAND = re.compile(r"(\d+(?:\.\d+)?)\s*(?:[-–]\s*(\d+(?:\.\d+)?)|\+)")
NAMED = 12
"""As many answers of a question are listed in a message."""


@dataclass(frozen=True)
class QuotaField:
    """One column of a table. question: None for what the recruiter tells."""

    name: str
    question: Question | None = None

    @property
    def is_answer(self) -> bool:
        return not is_from_recruiter(self.name)

    def read(self, text: str) -> str:
        """What a cell of a table says, as it is stored. Raises DomainError: what was expected."""
        if band := read_band(text):
            text = written_band(*band)
        match self.question:
            case None:
                return plain(text)
            case Number():
                return self._number(text)
            case Country():
                return self._country(text)
            case _:
                return self._option(text)

    def _number(self, text: str) -> str:
        if text == PREFER_NOT_TO_SAY or read_band(text):
            return text
        try:
            return f"{float(text):g}"
        except ValueError as error:
            raise DomainError(
                "value", _("expected a number or a band such as 18-24 or 65+")
            ) from error

    def _country(self, text: str) -> str:
        by_name = {name.casefold(): code for code, name in countries()}
        if code := by_name.get(text.casefold()):
            return code
        two_letters = pycountry.countries.get(alpha_2=text.upper())
        code = two_letters.alpha_3 if two_letters else text.upper()
        if code in dict(countries()):
            return code
        if text == PREFER_NOT_TO_SAY:
            return text
        raise DomainError(
            "value", _("expected a country's name, or its code such as GBR") + meant(text, by_name)
        )

    def _option(self, text: str) -> str:
        assert self.question is not None
        codes = closed_options(self.question)
        known = {label.casefold(): code for code, label in codes.items()}
        known |= {code.casefold(): code for code in codes}
        if code := known.get(text.casefold()):
            return code
        if text == getattr(self.question, "self_describe", None):
            raise DomainError("typed", typed_reason())
        listed = ", ".join(list(codes)[:NAMED]) + (", …" if len(codes) > NAMED else "")
        raise DomainError("value", _("expected one of %s") % listed + meant(text, known))


def is_from_recruiter(name: str) -> bool:
    return name.startswith(LINK) or name == LOCALE


def field_of(name: str, file: InstrumentFile) -> QuotaField:
    """Raises DomainError: why there can be no such column."""
    if is_from_recruiter(name):
        if name == LINK:
            raise DomainError("field", _("write the parameter's name after it: link.gender"))
        return QuotaField(name)
    known = {question.code: question for question in file.questions()}
    question = known.get(name)
    if question is None:
        raise DomainError(
            "field",
            _(
                "expected the code of a question, link.NAME for a parameter of the recruiter's "
                "link, or study_locale"
            )
            + meant(name, known),
        )
    check_closed(question)
    return QuotaField(name, question)


def check_closed(question: Question) -> None:
    """Raises DomainError unless the answer is one of a few that are fixed beforehand."""
    if isinstance(question, FreeText) or (
        isinstance(question, Single) and question.self_describe and not said_by(question)
    ):
        raise DomainError("typed", typed_reason())
    if not isinstance(question, Single | Ordinal | Country | Number):
        raise DomainError(
            "field",
            _(
                "its answers do not sort people into groups; expected a single choice, a scale, "
                "a country or a number"
            ),
        )


def said_by(question: Single) -> set[str]:
    """Options that say something about a person."""
    return closed_options(question).keys() - {PREFER_NOT_TO_SAY}


def closed_options(question: Question) -> dict[str, str]:
    """Code -> label of what can be chosen without typing."""
    own = getattr(question, "self_describe", None)
    codes = {option.code: option.label for option in question.choices if option.code != own}
    return codes | ({PREFER_NOT_TO_SAY: ""} if question.prefer_not_to_say else {})


def typed_reason() -> str:
    return _(
        "people type this in their own words, and words are put into groups by people, after the "
        "study: nobody would know in time which place a person needs. Use a question with fixed "
        "answers, or the recruiter's own field, such as link.ethnicity"
    )


def meant(text: str, known: Mapping[str, object]) -> str:
    close = get_close_matches(text.casefold(), list(known), n=1)
    return "; " + _("did you mean %s?") % close[0] if close else ""


def plain(text: str) -> str:
    """A parameter's value: neither capitals nor spaces tell two apart."""
    return " ".join(text.casefold().split())


# Bands

Band = tuple[float, float | None]
"""Both ends belong to it; None is open."""


def read_band(text: str) -> Band | None:
    found = BAND.fullmatch(text.strip())
    if found is None:
        return None
    low, high = float(found[1]), float(found[2]) if found[2] else None
    if high is not None and high < low:
        raise DomainError("value", _("expected the smaller number of a band first, as in 18-24"))
    return low, high


def written_band(low: float, high: float | None) -> str:
    return f"{low:g}+" if high is None else f"{low:g}-{high:g}"


def as_range(text: str) -> Band | None:
    """A band, or a number as a band of itself."""
    if band := read_band(text):
        return band
    try:
        return float(text), float(text)
    except ValueError:
        return None


# Who fits


def answer_code(value: Value) -> str:
    """What an answer to a closed question says; empty if it was left out."""
    if value.get("declined"):
        return PREFER_NOT_TO_SAY
    if "number" in value:
        return f"{value['number']:g}"
    return str(value.get("choice") or "")


def takes(wanted: list[str], said: str) -> bool:
    return not wanted or any(text == said or overlap(text, said) for text in wanted)


def fits(values: Mapping[str, list[str]], said: Mapping[str, str]) -> bool:
    """Whether a cell takes the people who say this. Both: field -> …"""
    return all(takes(wanted, said[field]) for field, wanted in values.items())


def overlap(one: str, other: str) -> bool:
    """Whether two texts can be true of the same person."""
    if one == other:
        return True
    if not (one[:1].isdigit() and other[:1].isdigit()):
        return False
    a, b = as_range(one), as_range(other)
    if a is None or b is None:
        return False
    return (a[1] is None or b[0] <= a[1]) and (b[1] is None or a[0] <= b[1])


def same_people(one: Mapping[str, list[str]], other: Mapping[str, list[str]]) -> bool:
    """Whether somebody could fit both cells of a table."""
    return all(
        not one[field]
        or not other[field]
        or any(overlap(a, b) for a in one[field] for b in other[field])
        for field in one
    )


# In words


def in_words(file: InstrumentFile, values: Mapping[str, list[str]]) -> Iterator[str]:
    """What a cell takes, field by field, in labels."""
    questions = {question.code: question for question in file.questions()}
    for name, wanted in values.items():
        question = questions.get(name)
        names = labels(question) if question else {}
        yield ", ".join(names.get(text, text) for text in wanted) or _("all")
