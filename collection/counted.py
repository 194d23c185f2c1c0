"""Figures that take longer the larger a study is: kept, so that hardly anybody waits for them.

A page shows what was counted last. While somebody looks, a chore counts anew; where nothing is
kept, a page leaves the waiting to a request of its script.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any, ClassVar, Generic, TypeVar

from django.core.cache import cache
from django.utils import timezone

from collection.models import Conversation
from surveys.models import Study

T = TypeVar("T")

KEPT_S = 600
"""Far longer than the chore's pace: it is older only where no chore runs."""
WATCHED_S = 60
SMALL = 1_000
"""Of fewer conversations everything is counted in an instant."""
ALL_STUDIES = 0
"""As a key, instead of a study's."""


@dataclass(frozen=True)
class Kept(Generic[T]):
    figures: T
    at: datetime


class Counted(Generic[T]):
    """Figures of a study, or of all studies. measure: counts them, by the study's key."""

    every: "ClassVar[list[Counted[Any]]]" = []

    def __init__(self, name: str, measure: Callable[[int], T]) -> None:
        self.name = name
        self.measure = measure
        self.every.append(self)

    def last(self, key: int) -> Kept[T] | None:
        """As last counted, if it was."""
        cache.set(self._address(key, "watched"), True, WATCHED_S)
        found: Kept[T] | None = cache.get(self._address(key, "kept"))
        return found

    def look(self, key: int, *, may_wait: bool) -> Kept[T] | None:
        """As last counted. If it never was: None, or for those who may wait, counted now.

        Of a small study always counted now: nothing is kept.
        """
        if is_small(key):
            return Kept(self.measure(key), timezone.now())
        found = self.last(key)
        return self.count(key) if found is None and may_wait else found

    def count(self, key: int) -> Kept[T]:
        found = Kept(self.measure(key), timezone.now())
        cache.set(self._address(key, "kept"), found, KEPT_S)
        return found

    def forget(self, key: int) -> None:
        """What it was counted from has changed by somebody's own hand."""
        cache.delete(self._address(key, "kept"))

    def watched(self) -> Iterator[int]:
        """Keys that somebody looked at just now."""
        keys = [ALL_STUDIES, *Study.objects.values_list("pk", flat=True)]
        addresses = {self._address(key, "watched"): key for key in keys}
        yield from (addresses[address] for address in cache.get_many([*addresses]))

    def _address(self, key: int, what: str) -> str:
        return f"counted/{self.name}/{key}/{what}"


def count_watched() -> int:
    """Count anew what somebody watches; how much that was."""
    number = 0
    for figures in Counted.every:
        for key in figures.watched():
            figures.count(key)
            number += 1
    return number


def is_small(key: int) -> bool:
    talks = Conversation.objects.order_by()
    if key != ALL_STUDIES:
        talks = talks.filter(participant__study=key)
    return len(talks.values_list("pk")[:SMALL]) < SMALL
