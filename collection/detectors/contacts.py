"""E-mail addresses and telephone numbers: what a text must not have if nobody is to be found by it.

Addresses by pattern, numbers by phonenumbers with the regions of the study's locales. Only numbers
that a country really has are told: most long numbers in texts are something else.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from importlib.metadata import version
from itertools import islice

from django.utils.translation import gettext_lazy as _

from collection.detectors.outcomes import Result
from surveys.models import Study

Span = tuple[int, int, str]
"""Where it begins and ends, and what it is."""

LOCAL = re.compile(r"[\w.!#$%&'*+/=?^`{|}~-]{1,64}\Z")
DOMAIN = re.compile(r"(?:[^\W_](?:[\w-]{0,61}[^\W_])?\.)+[^\W\d_][\w-]{0,61}[^\W_]")
LONGEST_DOMAIN = 253
DIGITS = re.compile(r"\d(?:[^\w\n]{0,4}\d){6,}")
"""Seven digits and more with little between them: fewer are no number to call."""
BEFORE, AFTER = 8, 16
"""Characters around them that tell a number from something else: +, a bracket, a time's end."""
MOST_TRIES = 1000
"""Of a text, places with digits that are looked at: a page of figures has thousands."""
INFORMAL = {"uk": "GB", "usa": "US", "england": "GB", "scotland": "GB", "wales": "GB"}


class Contacts:
    """The default detector of personal information."""

    name = "pii"
    title = _("Personal information: e-mail addresses and telephone numbers")
    is_local = True
    at_once = 500

    def __init__(self, study: Study) -> None:
        self.regions = regions_of(study)
        where = f" ({','.join(self.regions)})" if self.regions else ""
        self.version = f"contacts 1, phonenumbers {version('phonenumbers')}{where}"

    def detect(self, texts: Sequence[str]) -> list[Result]:
        return [{"found": [list(span) for span in self.find(text)]} for text in texts]

    def find(self, text: str) -> list[Span]:
        return sorted({*emails(text), *phones(text, self.regions)})


def regions_of(study: Study) -> tuple[str, ...]:
    """ISO codes of the countries that people are recruited in; numbers with a country's code are
    known everywhere."""
    locales = {study.locale, *study.recruitments.values_list("locale", flat=True)}
    return tuple(sorted(filter(None, map(region_of, locales))))


@cache
def region_of(locale: str) -> str:
    """Empty where a locale is no country: asia."""
    import pycountry

    name = locale.strip().lower()
    if name in INFORMAL:
        return INFORMAL[name]
    try:
        return str(pycountry.countries.lookup(name).alpha_2) if name else ""
    except LookupError:
        return ""


def emails(text: str) -> Iterator[Span]:
    """Each @ is looked at by itself: a pattern over the whole text takes the square of its length
    on a text made for it."""
    at = text.find("@")
    while at >= 0:
        local = LOCAL.search(text[max(0, at - 64) : at])
        domain = DOMAIN.match(text[at + 1 : at + 1 + LONGEST_DOMAIN])
        if local and domain:
            begins = at - len(local[0].lstrip(".'"))
            if begins < at:
                yield begins, at + 1 + domain.end(), "EMAIL_ADDRESS"
        at = text.find("@", at + 1)


def phones(text: str, regions: Iterable[str]) -> Iterator[Span]:
    """Only the places with digits are given to phonenumbers, which is slow on whole texts."""
    places = list(islice(DIGITS.finditer(text), MOST_TRIES))
    if not places:
        return
    from phonenumbers import PhoneNumberMatcher as matcher  # noqa: N813

    for place in places:
        begins = max(0, place.start() - BEFORE)
        window = text[begins : place.end() + AFTER]
        for region in (*regions, None):
            for match in matcher(window, region, max_tries=MOST_TRIES):
                yield begins + match.start, begins + match.end, "PHONE_NUMBER"
