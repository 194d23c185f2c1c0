"""In which language a person meets a study."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from django.conf import settings
from django.conf.locale import LANG_INFO
from django.utils.translation import get_language_info
from django.utils.translation.trans_real import parse_accept_lang_header

from surveys.instruments.languages import languages_of
from surveys.models import Instrument, Study, StudyVersion

INTERFACE: dict[str, str] = dict(settings.LANGUAGES)
"""Code -> its own name, of every language that the pages themselves speak."""
PARAMETERS = ("lang", "language")
"""Of a link, to say in which language its reader should be met."""


@dataclass(frozen=True)
class Language:
    code: str
    is_draft: bool = False
    """Nobody has reviewed the instrument's translation yet."""

    @property
    def name(self) -> str:
        """In the language itself."""
        if self.code in INTERFACE:
            return INTERFACE[self.code]
        known = get_language_info(self.code) if self.code in LANG_INFO else None
        return known["name_local"] if known else self.code

    @property
    def direction(self) -> str:
        return "rtl" if self.code.split("-")[0] in settings.LANGUAGES_BIDI else "ltr"


def offered(
    study: Study, instrument: Instrument, version: StudyVersion | None = None
) -> tuple[Language, ...]:
    """The instrument's own language, then those of the study, or of one of its versions, that
    all its parts have.

    Translations that nobody reviewed are offered by a demo study alone. One query, and none
    where there is no translation.
    """
    own, *translations = instrument.file.spoken
    terms = version or study
    if not terms.languages:
        return (Language(own),)
    consent = languages_of(terms.consent_document)
    candidates = [
        code
        for code in dict.fromkeys(terms.languages)
        if code in translations and code in consent and code in INTERFACE
    ]
    reviewed = set(instrument.reviews.values_list("language", flat=True)) if candidates else set()
    languages = [Language(code, code not in reviewed) for code in candidates]
    return (Language(own), *(lang for lang in languages if study.is_demo or not lang.is_draft))


def choose(languages: Sequence[Language], wanted: Iterable[str]) -> str:
    """The first wanted language that is offered, or else the instrument's own."""
    codes = [language.code for language in languages]
    found = (closest(want, codes) for want in wanted)
    return next((code for code in found if code), codes[0])


def closest(wanted: str, codes: Sequence[str]) -> str | None:
    """What is offered to those who want `es-MX`: it, or `es`. Every plain `zh` is simplified."""
    for code in _broader(wanted.lower().replace("_", "-")):
        if code in codes:
            return code
    return None


def _broader(code: str) -> Iterator[str]:
    if code == "zh":
        yield "zh-hans"
    while code:
        yield code
        yield from LANG_INFO.get(code, {}).get("fallback", ())
        code = code.rpartition("-")[0]


def accepted(header: str) -> list[str]:
    """The languages of an Accept-Language header, the dearest first."""
    return [code for code, _quality in parse_accept_lang_header(header.lower())]
