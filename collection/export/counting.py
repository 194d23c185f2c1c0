"""Statistics of values that pass by once and are not kept."""

import math
from array import array
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

MOST_BINS = 1_024
COMPACT_FROM = 1 << 15


@dataclass(frozen=True)
class Numbers:
    """Of values, or of the lengths of texts. sd: None of fewer than two."""

    count: int
    mean: float
    sd: float | None
    low: float
    high: float


@dataclass(frozen=True)
class Bins:
    """How often numbers fell from place * width on, below the next place."""

    width: float
    counts: dict[int, int]


class Distinct:
    """How many different texts there were: Python's hash, eight bytes, is kept of each.

    Two of a million texts have the same hash once in thirty million releases.
    """

    def __init__(self) -> None:
        self._marks = [array("q") for _n in range(16)]
        self._size = 0
        self._limit = COMPACT_FROM

    def add(self, texts: Iterable[str]) -> None:
        for mark in map(hash, set(texts)):
            self._marks[mark & 15].append(mark)
            self._size += 1
        if self._size > self._limit:
            self._limit = max(COMPACT_FROM, 2 * self.count())

    def count(self) -> int:
        # One part after another: a set of all would need ten times the memory for a moment.
        self._marks = [array("q", sorted(set(marks))) for marks in self._marks]
        self._size = sum(map(len, self._marks))
        return self._size


class Moments:
    """Mean and sample sd, batch by batch (Chan, Golub and LeVeque, 1983)."""

    def __init__(self) -> None:
        self._count = 0
        self._mean = self._squares = 0.0
        self._low, self._high = math.inf, -math.inf

    def add(self, values: Sequence[float]) -> None:
        if not values:
            return
        count = len(values)
        mean = math.fsum(values) / count
        squares = math.fsum((value - mean) ** 2 for value in values)
        total, step = self._count + count, mean - self._mean
        self._squares += squares + step**2 * self._count * count / total
        self._mean += step * count / total
        self._count = total
        self._low, self._high = min(self._low, *values), max(self._high, *values)

    def numbers(self) -> Numbers | None:
        if not self._count:
            return None
        spread = self._squares / (self._count - 1) if self._count > 1 else None
        sd = None if spread is None else math.sqrt(spread)
        return Numbers(self._count, self._mean, sd, self._low, self._high)


class Binned:
    """Counts in bins that double their width when there are too many: the order of the values
    does not matter. fraction: bits behind the point that the first bins tell apart."""

    def __init__(self, fraction: int = 0) -> None:
        self._counts: Counter[int] = Counter()
        self._fraction = fraction
        self._shift = 0

    def add(self, values: Iterable[float]) -> None:
        shift, factor = self._shift, 1 << self._fraction
        for value, number in Counter(values).items():
            self._counts[math.floor(value * factor) >> shift] += number
        while len(self._counts) > MOST_BINS:
            self._shift += 1
            merged: Counter[int] = Counter()
            for place, number in self._counts.items():
                merged[place >> 1] += number
            self._counts = merged

    def bins(self) -> Bins | None:
        if not self._counts:
            return None
        width = 2.0 ** (self._shift - self._fraction)
        return Bins(width, dict(sorted(self._counts.items())))
