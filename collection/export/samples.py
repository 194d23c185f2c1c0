"""Draws the census-representative samples of a release, and says what each rule of PRISM's does.

A sample that can't be drawn is null for everybody, with a note: no table, a questionnaire that does
not ask, or descriptions of ethnicity that wait to be coded.
"""

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from collection.export import subsets
from collection.export.derive import PREFER_NOT_TO_SAY
from collection.export.loading import answers_of
from collection.export.selection import ReleasedUser, Selection
from collection.export.subsets import AGES, CELLS, GENDERS, SIMPLIFIED, Cell, Eligible, Shares
from collection.export.tables import CONVERSATION_TYPES
from collection.models import CensusTable
from surveys.models import Participant, Study

Report = dict[str, Any]
Row = Mapping[str, Any]
Facts = Callable[[], Iterable[tuple[ReleasedUser, Participant, Row]]]
"""Each person of the release with the cells of their survey row."""

NAME, WORDS_NAME = "subsets.json", "subsets.md"
COLUMNS = {"us": "included_in_US_REP", "uk": "included_in_UK_REP"}
NEEDED = ("age", "gender", "ethnicity")
DRAWN, NOT_DRAWN = "drawn", "not drawn"

NO_TABLE = "No census table was supplied."
NOT_ASKED = "The questionnaire does not ask for {missing}."
NOT_CODED = "Gender or ethnicity waits to be coded for {number} of the people who could be in it."
MEASURES = (
    "“distance” is the share of people (0 to 1) who would have to be others for the sample to have "
    "the census's composition."
)


@dataclass(frozen=True)
class Recruit:
    """Somebody of the sample's country. Values as the survey's row has them; None: not known."""

    user: ReleasedUser
    seed: int
    is_balanced: bool
    age: str | None
    gender: str | None
    ethnicity: str | None
    """Simplified."""
    waits: frozenset[str]
    """Of gender and ethnicity, what they described in words that nobody has coded yet."""

    @property
    def is_binary(self) -> bool:
        return self.gender in GENDERS

    @property
    def may_be_in_a_cell(self) -> bool:
        """Whether coding may put them into one."""
        gender = self.is_binary or "gender" in self.waits
        ethnicity = self.ethnicity in SIMPLIFIED or "ethnicity" in self.waits
        return bool(self.waits) and self.age in AGES and gender and ethnicity

    @property
    def cell(self) -> Cell | None:
        """None: in no cell of the census (D19: whoever did not tell age or ethnicity)."""
        found = SIMPLIFIED.get(self.ethnicity or "")
        if self.age not in AGES or not self.is_binary or found is None:
            return None
        assert self.age is not None
        assert self.gender is not None
        return self.age, found, self.gender


def draw(study: Study, selection: Selection, facts: Facts) -> Report:
    """Put everybody into their samples; what subsets.json says."""
    tables = {table.sample: table for table in study.census_tables.all()}
    recruits = recruits_of(facts(), tables) if tables else {}
    return {
        "balanced": balanced_report(selection),
        "samples": [
            sample_report(sample, tables.get(sample), recruits.get(sample, []), selection)
            for sample in COLUMNS
        ],
    }


def recruits_of(
    facts: Iterable[tuple[ReleasedUser, Participant, Row]], samples: Collection[str]
) -> dict[str, list[Recruit]]:
    """Sample -> the people recruited in its country."""
    found: dict[str, list[Recruit]] = {sample: [] for sample in samples}
    for user, person, row in facts:
        if person.released_locale in found:
            found[person.released_locale].append(recruit(user, person, row))
    return found


def recruit(user: ReleasedUser, person: Participant, row: Row) -> Recruit:
    ethnicity = row.get("ethnicity")
    known = ethnicity if isinstance(ethnicity, dict) else {}
    chosen = {r.question for r in answers_of(person) if r.value.get("choice")}
    values = {"gender": row.get("gender"), "ethnicity": known.get("categorised")}
    waits = frozenset(code for code in values if values[code] is None and code in chosen)
    return Recruit(
        user,
        person.seed,
        any(conversation.is_balanced for conversation in user.conversations),
        row.get("age"),
        row.get("gender"),
        known.get("simplified"),
        waits,
    )


def sample_report(
    sample: str, table: CensusTable | None, recruits: list[Recruit], selection: Selection
) -> Report:
    head = {"sample": sample, "column": COLUMNS[sample]}
    reason = why_not(table, recruits)
    if table is None or reason:
        return head | {"state": NOT_DRAWN, "note": reason}
    pool = [one for one in recruits if one.is_balanced]
    eligible = [Eligible(one.user.pk, one.seed, one.cell) for one in pool if one.cell is not None]
    shares = shares_of(table)
    wanted = subsets.targets(shares, table.size)
    chosen = subsets.drawn(eligible, wanted, sample)
    for user in selection.users:
        user.samples = {**user.samples, sample: user.pk in chosen}
    counts: Counter[Cell | None] = Counter(one.cell for one in eligible)
    return (
        head
        | {"state": DRAWN, "note": None, "size": table.size, "census": census_of(table)}
        | {"people": people_of(recruits, pool, eligible, chosen)}
        | {"rules": rules_of(table, pool, counts, wanted, shares)}
        | {"cells": list(cells_of(shares, wanted, counts))}
    )


def why_not(table: CensusTable | None, recruits: list[Recruit]) -> str:
    if table is None:
        return NO_TABLE
    file = table.study.instrument.file
    asked = {question.code for question in file.questions()}
    missing = [code for code in NEEDED if code not in asked]
    if missing:
        return NOT_ASKED.format(missing=", ".join(missing))
    waiting = sum(one.is_balanced and one.may_be_in_a_cell for one in recruits)
    return NOT_CODED.format(number=waiting) if waiting else ""


# The census


def split(table: CensusTable) -> tuple[dict[Cell, float], dict[tuple[str, str], float]]:
    """(the amounts of cells, those of Hispanics by age and gender)"""
    amounts: dict[Cell, float] = {}
    hispanics: dict[tuple[str, str], float] = {}
    for age, ethnicity, gender, amount in table.cells:
        if ethnicity == subsets.HISPANIC:
            hispanics[age, gender] = amount
        else:
            amounts[age, ethnicity, gender] = amount
    return amounts, hispanics


def shares_of(table: CensusTable, *, twice: bool = False) -> Shares:
    """twice: as PRISM had them, with Hispanics among the others and once more as Other (D21)."""
    apart = table.hispanics == CensusTable.Hispanics.APART
    return subsets.shares_of(*split(table), as_others=apart or twice)


def census_of(table: CensusTable) -> Report:
    counted, whole = table.adults, table.adults_in_country
    return {
        "source": table.source,
        "area": table.area,
        "adults": counted,
        "adults_in_country": whole,
        "share_of_country": round(counted / whole, 4) if counted and whole else None,
        "hispanics": table.hispanics or None,
    }


# What the rules do


def people_of(
    recruits: list[Recruit], pool: list[Recruit], eligible: list[Eligible], chosen: set[int]
) -> Report:
    return {
        "recruited": len(recruits),
        "in_balanced_subset": len(pool),
        "with_a_gender_of_the_census": sum(one.is_binary for one in pool),
        "eligible": len(eligible),
        "sampled": len(chosen),
    }


def rules_of(
    table: CensusTable,
    pool: list[Recruit],
    counts: Counter[Cell | None],
    wanted: Mapping[Cell, int],
    shares: Shares,
) -> Report:
    known: Counter[Cell] = Counter({cell: counts[cell] for cell in CELLS})
    return {
        "one_more_per_cell": one_more(table, known, wanted, shares),
        "not_told": not_told(pool),
        "hispanics_counted_twice": counted_twice(table, known, wanted),
        "area": area(table),
    }


def one_more(
    table: CensusTable, known: Counter[Cell], wanted: Mapping[Cell, int], shares: Shares
) -> Report:
    """PRISM adds one to the target of each cell."""
    without = subsets.proportional(shares, table.size)
    with_it, without_it = subsets.reached(wanted, known), subsets.reached(without, known)
    return {
        "rule": "The target of each cell is its share of the size, rounded down, and one more.",
        "aimed_at": table.size,
        "targets": sum(wanted.values()),
        "cells_empty_without": sum(not number for number in without.values()),
        "sampled": sum(with_it.values()),
        "sampled_without": sum(without_it.values()),
        "distance": rounded(subsets.distance(with_it, shares)),
        "distance_without": rounded(subsets.distance(without_it, shares)),
        "distance_of_targets": rounded(subsets.distance(wanted, shares)),
        "distance_of_targets_without": rounded(subsets.distance(without, shares)),
    }


def not_told(pool: list[Recruit]) -> Report:
    """D19: PRISM counted as eligible whoever has a binary gender; whoever told no age or ethnicity
    was then in no cell."""
    binary = [one for one in pool if one.is_binary]
    return {
        "rule": "Who told no age or no ethnicity is not eligible; PRISM counted them as eligible, "
        "though no cell could take them.",
        "eligible": sum(one.cell is not None for one in binary),
        "eligible_as_prism_counted": len(binary),
        "without_gender_of_the_census": len(pool) - len(binary),
        "without_age": sum(one.age not in AGES for one in binary),
        "without_ethnicity": sum(one.ethnicity in (None, PREFER_NOT_TO_SAY) for one in binary),
    }


def counted_twice(
    table: CensusTable, known: Counter[Cell], wanted: Mapping[Cell, int]
) -> Report | None:
    """D21: PRISM added a table of Hispanics, who are of every race, to the tables of races."""
    if table.hispanics != CensusTable.Hispanics.WITHIN:
        return None
    amounts, hispanics = split(table)
    twice = subsets.targets(shares_of(table, twice=True), table.size)
    theirs, others = sum(hispanics.values()), sum(amounts.values())
    return {
        "rule": "Hispanics are in the other groups of the table, so their own group is left out; "
        "PRISM added it to Other and counted them twice.",
        "share_counted_twice": rounded(theirs / (theirs + others)),
        "targets": sum(wanted.values()),
        "targets_if_twice": sum(twice.values()),
        "sampled": sum(subsets.reached(wanted, known).values()),
        "sampled_if_twice": sum(subsets.reached(twice, known).values()),
        "target_by_ethnicity": by_ethnicity(wanted),
        "target_by_ethnicity_if_twice": by_ethnicity(twice),
        "cells_that_differ": sum(wanted[cell] != twice[cell] for cell in CELLS),
    }


def by_ethnicity(numbers: Mapping[Cell, int]) -> dict[str, int]:
    return {
        ethnicity: sum(numbers[cell] for cell in CELLS if cell[1] == ethnicity)
        for ethnicity in subsets.ETHNICITIES
    }


def area(table: CensusTable) -> Report:
    """D20: the table behind PRISM's UK sample is of England and Wales."""
    counted, whole = table.adults, table.adults_in_country
    return {
        "rule": "People are sampled by the country that they were recruited in, whatever part of "
        "it the table covers.",
        "area": table.area,
        "adults_left_out": whole - counted if counted and whole else None,
        "share_left_out": rounded(1 - counted / whole) if counted and whole else None,
    }


def cells_of(
    shares: Shares, wanted: Mapping[Cell, int], counts: Counter[Cell | None]
) -> Iterator[Report]:
    for cell in CELLS:
        yield {
            **dict(zip(("age", "ethnicity", "gender"), cell, strict=True)),
            "share": shares[cell],
            "target": wanted[cell],
            "eligible": counts[cell],
            "sampled": min(wanted[cell], counts[cell]),
        }


def rounded(number: float) -> float:
    return round(number, 4)


# The balanced subset


def balanced_report(selection: Selection) -> Report:
    """Section 3.1 of PRISM's description of its files."""
    taken = [sum(c.is_balanced for c in user.conversations) for user in selection.users]
    return {
        "column": "included_in_balanced_subset",
        "rule": "Of each person with conversations of all types, equally many of each: as many as "
        "of the type that they had least often.",
        "types": list(CONVERSATION_TYPES),
        "people": sum(map(bool, taken)),
        "people_without_one_of_the_types": sum(
            not number and bool(user.conversations)
            for number, user in zip(taken, selection.users, strict=True)
        ),
        "conversations": sum(taken),
        "people_by_conversations": {
            str(number): people for number, people in sorted(Counter(filter(None, taken)).items())
        },
    }


# In words


def in_words(report: Report) -> str:
    """subsets.md."""
    return "\n".join(lines(report)) + "\n"


def lines(report: Report) -> Iterator[str]:
    balanced = report["balanced"]
    yield from ("# Subsets of this release", "", "## Balanced (`included_in_balanced_subset`)", "")
    yield balanced["rule"]
    yield ""
    yield (
        f"{balanced['conversations']} conversations of {balanced['people']} people; "
        f"{balanced['people_without_one_of_the_types']} people talked, but not in all of the "
        f"types {', '.join(balanced['types'])}."
    )
    for number, people in balanced["people_by_conversations"].items():
        yield f"- {people} people with {number} conversations each"
    for sample in report["samples"]:
        yield from ("", f"## Representative: {sample['sample'].upper()} (`{sample['column']}`)", "")
        yield from (drawn_lines(sample) if sample["state"] == DRAWN else not_drawn_lines(sample))


def not_drawn_lines(sample: Report) -> Iterator[str]:
    yield f"Not drawn, so null for everybody. {sample['note']}"


def drawn_lines(sample: Report) -> Iterator[str]:
    yield from people_lines(sample)
    yield from rule_lines(sample["rules"])
    yield from cell_lines(sample["cells"])


def people_lines(sample: Report) -> Iterator[str]:
    people, census = sample["people"], sample["census"]
    yield f"Census: {census['source']}; {census['area']}."
    yield ""
    yield (
        f"{people['sampled']} people sampled of {people['eligible']} eligible. Recruited there: "
        f"{people['recruited']}; in the balanced subset: {people['in_balanced_subset']}; of these "
        f"female or male, as the census has it: {people['with_a_gender_of_the_census']}."
    )


def rule_lines(rules: Report) -> Iterator[str]:
    yield from ("", "### What each rule does", "", MEASURES, "")
    more, told = rules["one_more_per_cell"], rules["not_told"]
    yield (
        f"- **One more per cell.** {more['rule']} So the targets add up to {more['targets']}, not "
        f"{more['aimed_at']}, and {more['sampled']} people are sampled; without it "
        f"{more['sampled_without']}, and {more['cells_empty_without']} cells would be empty by "
        f"target. Distance from the census: {more['distance']}; without it "
        f"{more['distance_without']}. Were every target met: {more['distance_of_targets']} and "
        f"{more['distance_of_targets_without']}."
    )
    yield (
        f"- **Not told (D19).** {told['rule']} Eligible: {told['eligible']}; as PRISM counted: "
        f"{told['eligible_as_prism_counted']}. Without an age: {told['without_age']}; without an "
        f"ethnicity: {told['without_ethnicity']}."
    )
    twice = rules["hispanics_counted_twice"]
    if twice:
        yield (
            f"- **Hispanics (D21).** {twice['rule']} That was {twice['share_counted_twice']:.1%} "
            f"of its total. Targets by ethnicity: {listed(twice['target_by_ethnicity'])}; counted "
            f"twice they were {listed(twice['target_by_ethnicity_if_twice'])}, and "
            f"{twice['cells_that_differ']} cells differ. Sampled: {twice['sampled']}; counted "
            f"twice {twice['sampled_if_twice']}."
        )
    place = rules["area"]
    left = (
        f" It leaves out {place['adults_left_out']} adults, {place['share_left_out']:.1%}."
        if place["adults_left_out"] is not None
        else " How many adults it leaves out was not said."
    )
    yield f"- **Area (D20).** {place['rule']} The table covers {place['area']}.{left}"


def listed(numbers: Mapping[str, int]) -> str:
    return ", ".join(f"{name} {number}" for name, number in numbers.items())


def cell_lines(cells: list[Report]) -> Iterator[str]:
    short = [cell for cell in cells if cell["eligible"] < cell["target"]]
    yield from ("", "### Cells", "")
    yield f"In {len(short)} of {len(cells)} cells there were fewer eligible people than wanted."
    yield ""
    yield "| Age | Ethnicity | Gender | Share of adults | Target | Eligible | Sampled |"
    yield "|---|---|---|--:|--:|--:|--:|"
    for cell in cells:
        yield (
            f"| {cell['age']} | {cell['ethnicity']} | {cell['gender']} | {cell['share']:.3%} | "
            f"{cell['target']} | {cell['eligible']} | {cell['sampled']} |"
        )
