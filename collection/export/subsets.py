"""Which conversations and people belong to a subset of the release, as PRISM drew its own.

Balanced: from each person with conversations of all three types, equally many of each. PRISM used
one seed for all; here each person's own stored seed decides, so that more people in a later
release change nobody's flags.

Representative: of the balanced people of a country, as many of each age, ethnicity and gender as
its census has. Here too each person's own seed decides, which gives everybody a number; those
with the lowest in their cell are taken. So people who come or go change no more than they must.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import product

from collection.export.tables import CONVERSATION_TYPES
from surveys.draws import rng

AGES = (
    "18-24 years old",
    "25-34 years old",
    "35-44 years old",
    "45-54 years old",
    "55-64 years old",
    "65+ years old",
)
ETHNICITIES = ("White", "Black", "Asian", "Mixed", "Other")
GENDERS = ("Male", "Female")
HISPANIC = "Hispanic"
"""In a census table; of the sample's ethnicities it is Other."""
CELLS = tuple(product(AGES, ETHNICITIES, GENDERS))
SIMPLIFIED = {
    "White": "White",
    "Black": "Black",
    "Asian": "Asian",
    "Mixed": "Mixed",
} | dict.fromkeys((HISPANIC, "Other"), "Other")
"""simplified ethnicity of the survey -> of the sample."""

Cell = tuple[str, str, str]
"""Age, ethnicity, gender."""
Shares = Mapping[Cell, float]
"""Of the adults of a country: they add up to 1."""


def balanced(seed: int, conversations: Mapping[str, Sequence[int]]) -> set[int]:
    """The ids in one person's balanced subset; empty if a type is missing.

    conversations: type -> ids, in the order in which the conversations were finished.
    """
    smallest = min(len(conversations.get(kind, ())) for kind in CONVERSATION_TYPES)
    return {
        drawn
        for kind in CONVERSATION_TYPES
        for drawn in rng(seed, "balanced", kind).sample(conversations.get(kind, ()), smallest)
    }


@dataclass(frozen=True)
class Eligible:
    """Somebody who can be in a sample. pk, seed: of the participant."""

    pk: int
    seed: int
    cell: Cell


def targets(shares: Shares, size: int) -> dict[Cell, int]:
    """PRISM's: rounded down, and one more, so that no cell is empty and they exceed the size."""
    return {cell: int(shares[cell] * size) + 1 for cell in CELLS}


def proportional(shares: Shares, size: int) -> dict[Cell, int]:
    """Without the one more: rounded so that they add up to the size (largest remainders)."""
    found = {cell: int(shares[cell] * size) for cell in CELLS}
    by_rest = sorted(CELLS, key=lambda cell: (found[cell] - shares[cell] * size, CELLS.index(cell)))
    for cell in by_rest[: size - sum(found.values())]:
        found[cell] += 1
    return found


def drawn(people: Iterable[Eligible], wanted: Mapping[Cell, int], sample: str) -> set[int]:
    """Keys of those in the sample: as many of each cell as are wanted, or all there are."""
    by_cell: dict[Cell, list[tuple[float, int]]] = {cell: [] for cell in CELLS}
    for one in people:
        by_cell[one.cell].append((rng(one.seed, "census", sample).random(), one.pk))
    return {pk for cell in CELLS for _number, pk in sorted(by_cell[cell])[: wanted[cell]]}


def distance(counts: Mapping[Cell, int], shares: Shares) -> float:
    """Of a sample from the census, 0 to 1: the share of people who would have to be others."""
    whole = sum(counts.values())
    if not whole:
        return 1.0
    return sum(abs(counts.get(cell, 0) / whole - shares[cell]) for cell in CELLS) / 2


def reached(wanted: Mapping[Cell, int], eligible: Counter[Cell]) -> dict[Cell, int]:
    """How many of each cell a sample has."""
    return {cell: min(wanted[cell], eligible[cell]) for cell in CELLS}


def shares_of(
    amounts: Mapping[Cell, float], hispanics: Mapping[tuple[str, str], float], *, as_others: bool
) -> dict[Cell, float]:
    """Of all adults. as_others: Hispanics are added to Other, as PRISM did, and not left out.

    amounts: without Hispanics; hispanics: (age, gender) -> theirs.
    """
    found = {cell: amounts.get(cell, 0.0) for cell in CELLS}
    if as_others:
        for (age, gender), amount in hispanics.items():
            found[age, "Other", gender] += amount
    whole = sum(found.values())
    return {cell: amount / whole for cell, amount in found.items()}
