"""A measured number, what it should be, and what it is measured against."""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

RUNS = 5
"""Of a line that takes less than a minute: its median counts."""


@dataclass(frozen=True)
class Figure:
    """goal: what the value should be at most, or at least if `more_is_better`; None if it only
    informs. limit: what something bare did in the same run."""

    name: str
    value: float
    unit: str
    goal: float | None = None
    limit: float | None = None
    more_is_better: bool = False
    note: str = ""
    """Which of many it was, say."""

    @property
    def holds(self) -> bool | None:
        if self.goal is None:
            return None
        return self.value >= self.goal if self.more_is_better else self.value <= self.goal

    def as_json(self) -> dict[str, object]:
        """{name, value, unit, goal, limit, holds, note}; null where there is no goal or limit."""
        return {
            "name": self.name,
            "value": self.value,
            "unit": self.unit,
            "goal": self.goal,
            "limit": self.limit,
            "holds": self.holds,
            "note": self.note,
        }


def header() -> str:
    return f"{'':30}{'value':>10} {'unit':9}{'goal':>11}{'limit':>10}\n"


def row(figure: Figure) -> str:
    sign = "≥" if figure.more_is_better else "≤"
    goal = "" if figure.goal is None else f"{sign} {figure.goal:.4g}"
    limit = "" if figure.limit is None else f"{figure.limit:.4g}"
    verdict = {True: "holds", False: "does not hold", None: ""}[figure.holds]
    line = f"{figure.name:30}{figure.value:>10.4g} {figure.unit:9}{goal:>11}{limit:>10}  "
    return f"{line}{verdict:15}{figure.note}".rstrip() + "\n"


def write(figures: Iterable[Figure], path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps([figure.as_json() for figure in figures], indent=2)
    path.write_text(f"{text}\n")
