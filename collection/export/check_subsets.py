"""The rules of subsets: the survey's flags are those of the draw that subsets.json describes."""

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from collection.export.documents import find_path
from collection.export.lines import Deviation, show
from collection.export.samples import COLUMNS, DRAWN, NAME
from collection.export.subsets import AGES, CELLS, GENDERS, SIMPLIFIED, Cell

Row = Mapping[str, Any]
SHARES_MISS = 1e-6


@dataclass
class Seen:
    """What the survey's rows say of one sample."""

    nulls: int = 0
    inside: int = 0
    eligible: Counter[Cell] = field(default_factory=Counter)
    sampled: Counter[Cell] = field(default_factory=Counter)


@dataclass
class Subsets:
    """All that the survey's rows say."""

    rows: int = 0
    samples: dict[str, Seen] = field(default_factory=lambda: {name: Seen() for name in COLUMNS})

    def see(self, row: Row) -> None:
        """A row whose types are right."""
        self.rows += 1
        for name, column in COLUMNS.items():
            seen, value = self.samples[name], row[column]
            seen.nulls += value is None
            seen.inside += value is True
            cell = cell_of(row)
            if cell is None:
                continue
            seen.sampled[cell] += value is True
            if row["included_in_balanced_subset"] and row["study_locale"] == name:
                seen.eligible[cell] += 1


def cell_of(row: Row) -> Cell | None:
    ethnicity = row.get("ethnicity")
    simplified = ethnicity.get("simplified") if isinstance(ethnicity, dict) else None
    found = SIMPLIFIED.get(simplified or "")
    if row.get("age") not in AGES or row.get("gender") not in GENDERS or found is None:
        return None
    return row["age"], found, row["gender"]


def check_nulls(name: str, seen: Subsets) -> Iterator[Deviation]:
    """A sample is drawn for everybody or for nobody."""
    for sample, column in COLUMNS.items():
        if 0 < seen.samples[sample].nulls < seen.rows:
            yield Deviation(
                name,
                0,
                "sample",
                f"{column} is null in {seen.samples[sample].nulls} of {seen.rows} rows: it is "
                "drawn for everybody or for nobody",
            )


def check(folder: Path, seen: Subsets, conversations: int) -> Iterator[Deviation]:
    """conversations: in the balanced subset, by conversations.jsonl. PRISM's release has no such
    file, which is no fault."""
    path = find_path(folder, NAME)
    if path is None:
        return
    name = path.relative_to(folder).as_posix()
    try:
        report = json.loads(path.read_text(encoding="utf-8"))
        found = list(deviations(report, seen, conversations))
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        yield Deviation(name, 0, "subsets", f"cannot be read: {error!r}")
        return
    for message in found:
        yield Deviation(name, 0, "subsets", message)


def deviations(report: Any, seen: Subsets, conversations: int) -> Iterator[str]:
    said = report["balanced"]["conversations"]
    if said != conversations:
        yield f"says {show(said)} balanced conversations; conversations.jsonl has {conversations}"
    samples = {sample["sample"]: sample for sample in report["samples"]}
    for name, column in COLUMNS.items():
        yield from sample_deviations(column, samples[name], seen.samples[name], seen.rows)


def sample_deviations(column: str, said: Any, seen: Seen, rows: int) -> Iterator[str]:
    is_drawn = said["state"] == DRAWN
    if rows and is_drawn != (seen.nulls < rows):
        yield f"{column} is said to be {said['state']}, but is {'null' if is_drawn else 'there'}"
    if not is_drawn:
        if not said["note"]:
            yield f"{column} is not drawn, and no note says why"
        return
    if said["people"]["sampled"] != seen.inside:
        yield f"{column}: {show(said['people']['sampled'])} sampled, the survey has {seen.inside}"
    cells = {(cell["age"], cell["ethnicity"], cell["gender"]): cell for cell in said["cells"]}
    if set(cells) != set(CELLS):
        yield f"{column}: the cells are not those of six ages, five ethnicities and two genders"
        return
    whole = sum(cell["share"] for cell in cells.values())
    if abs(whole - 1) > SHARES_MISS:
        yield f"{column}: the shares of the cells add up to {whole}, not to 1"
    for key, cell in cells.items():
        yield from cell_deviations(f"{column}, {', '.join(key)}", cell, key, said["size"], seen)


def cell_deviations(where: str, cell: Any, key: Cell, size: int, seen: Seen) -> Iterator[str]:
    target = int(cell["share"] * size) + 1
    if cell["target"] != target:
        yield f"{where}: the target is {show(cell['target'])}, by its share {target}"
    if cell["eligible"] != seen.eligible[key]:
        yield f"{where}: {show(cell['eligible'])} eligible, the survey has {seen.eligible[key]}"
    right = min(target, seen.eligible[key])
    if not cell["sampled"] == right == seen.sampled[key]:
        yield (
            f"{where}: {show(cell['sampled'])} sampled; the survey has {seen.sampled[key]}, and "
            f"the rule gives {right}"
        )
