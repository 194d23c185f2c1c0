"""What looks like an e-mail address or a phone number in a text.

The seam for other detectors: name -> where it finds something. A change that finds other things
takes a new version, and texts are then looked through again.
"""

import re
from collections.abc import Callable, Iterator

Span = tuple[int, int]

EMAIL = re.compile(r"[\w.+%-]{1,64}@[\w-]{1,63}(?:\.[\w-]{1,63})+")
PHONE = re.compile(r"(?<![\w.,])\+?\(?\d(?:[\d\s().\-/]{5,22})\d(?![\w,])")
FEWEST_DIGITS, FEWEST_ABROAD, MOST_DIGITS = 9, 7, 15
"""Of a phone number, and of one that begins with +. Fewer are years, prices and scores; more are
no phone number (ITU E.164)."""


def emails(text: str) -> Iterator[Span]:
    return (match.span() for match in EMAIL.finditer(text))


def phones(text: str) -> Iterator[Span]:
    for match in PHONE.finditer(text):
        digits = sum(each.isdigit() for each in match[0])
        fewest = FEWEST_ABROAD if match[0].startswith("+") else FEWEST_DIGITS
        if fewest <= digits <= MOST_DIGITS:
            yield match.span()


DETECTORS: dict[str, Callable[[str], Iterator[Span]]] = {"email-1": emails, "phone-1": phones}
"""By name and version."""
NAMES = ",".join(DETECTORS)


def find(text: str) -> list[tuple[str, int, int]]:
    """(detector, start, end) of all that looks personal, in the order of the text."""
    found = [(name, *span) for name, detect in DETECTORS.items() for span in detect(text)]
    return sorted(found, key=lambda each: each[1:])
