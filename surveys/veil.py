"""Passages that a reviewer marked as personal information, covered wherever their words appear.

A passage is covered in everything that its person wrote, and in what models answered them: models
repeat names. It counts where it stands as words of its own; in scripts without capitals, which
mostly do not space their words either, anywhere. One with a digit or an @ counts in any case.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from django.db.models import QuerySet

from surveys import access
from surveys.models import Redaction, Study

REDACTED = "[REDACTED]"
Passages = Sequence[str]


def spans(text: str, passages: Passages) -> list[tuple[int, int]]:
    """Where passages stand in a text, in order; what overlaps or touches is one."""
    found: list[tuple[int, int]] = []
    for start, end in sorted(span for passage in passages for span in places(text, passage)):
        if found and start <= found[-1][1]:
            found[-1] = (found[-1][0], max(end, found[-1][1]))
        else:
            found.append((start, end))
    return found


def places(text: str, passage: str) -> Iterator[tuple[int, int]]:
    loose = any(each.isdigit() or each == "@" for each in passage)
    pattern = r"\s+".join(map(re.escape, passage.split()))
    if not pattern:
        return
    for match in re.finditer(pattern, text, re.IGNORECASE if loose else 0):
        if not goes_on(text, match.start() - 1, match.start()) and not goes_on(
            text, match.end() - 1, match.end()
        ):
            yield match.span()


def goes_on(text: str, before: int, after: int) -> bool:
    """Whether a word goes on between two characters next to each other."""
    if before < 0 or after >= len(text):
        return False
    return is_of_word(text[before]) and is_of_word(text[after])


def is_of_word(character: str) -> bool:
    return character.isdigit() or character.lower() != character.upper()


def covered(text: str, passages: Passages) -> str:
    parts, at = [], 0
    for start, end in spans(text, passages):
        parts += [text[at:start], REDACTED]
        at = end
    return "".join([*parts, text[at:]])


def deep(value: Any, change: Callable[[str], str]) -> Any:
    """A JSON value with all its texts changed; keys stay."""
    if isinstance(value, str):
        return change(value)
    if isinstance(value, dict):
        return {key: deep(part, change) for key, part in value.items()}
    if isinstance(value, list):
        return [deep(part, change) for part in value]
    return value


def passages_of(people: Iterable[int]) -> dict[int, list[str]]:
    """Participant -> their passages, of those who have any. One query."""
    return by_person(Redaction.objects.filter(participant__in=list(people)))


def passages_of_study(study: Study) -> dict[int, list[str]]:
    """Likewise, of everybody in a study."""
    return by_person(Redaction.objects.filter(participant__study=study))


def by_person(rows: QuerySet[Redaction]) -> dict[int, list[str]]:
    found: dict[int, list[str]] = {}
    for participant, passage in rows.order_by("pk").values_list("participant", "passage"):
        found.setdefault(participant, []).append(passage)
    return found


def behind_the_veil(user: Any) -> list[int]:
    """People with passages that an account may not uncover. One query."""
    rows = Redaction.objects.order_by().values_list("participant", "participant__study").distinct()
    return [person for person, study in rows if not access.may(user, "uncover", study)]


class Veil:
    """What an account sees of people's texts at the desk."""

    def __init__(self, user: Any, people: Iterable[tuple[int, int]]) -> None:
        """people: (participant, study)."""
        behind = {person for person, study in people if not access.may(user, "uncover", study)}
        self.passages = passages_of(behind) if behind else {}

    def text(self, person: int, text: str) -> str:
        return covered(text, self.passages[person]) if person in self.passages else text

    def value(self, person: int, value: Any) -> Any:
        if person not in self.passages:
            return value
        return deep(value, lambda text: self.text(person, text))

    def row(self, person: int, row: Any, *fields: str) -> None:
        """Cover fields of a row that is to be shown and never saved."""
        if person in self.passages:
            for name in fields:
                setattr(row, name, self.value(person, getattr(row, name)))
