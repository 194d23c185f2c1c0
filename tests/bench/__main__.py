"""Run the groups, print their figures as they come, and write them to $REFRACT_DATA/bench.json."""

import os
import sys
from collections.abc import Callable, Iterator
from importlib import import_module
from importlib.util import find_spec

import django

from tests.bench.data import DATA
from tests.bench.figures import Figure, header, row, write

GROUPS = ("survey", "live", "desk", "release")
"""In this order; those whose module is not there yet are left out."""
BUSY = 0.5
"""Load of the last minute. Two test runs beside it moved a bare page's p95 from 58 to 217 ms."""


def chosen(only: str) -> list[str]:
    """The groups to run. Ends the program if the one asked for does not exist."""
    there = [name for name in GROUPS if find_spec(f"tests.bench.{name}")]
    if only and only not in there:
        kind = "yet" if only in GROUPS else "here"
        sys.exit(f"There is no group {only!r} {kind}. Groups to run: {', '.join(there)}.")
    return [only] if only else there


def set_up_django() -> None:
    """With the tests' settings, to read instruments; it touches nobody's data."""
    sys.path.append("platform")
    os.environ["DJANGO_SETTINGS_MODULE"] = "tests.settings"
    django.setup()


def warn_if_busy() -> None:
    load = os.getloadavg()[0]
    if load > BUSY:
        sys.stderr.write(f"This machine has other work (load {load:.1f}): don't trust figures.\n")


def main(only: str) -> None:
    groups = chosen(only)
    warn_if_busy()
    set_up_django()
    found: list[Figure] = []
    sys.stdout.write(header())
    for group in groups:
        figures: Callable[[], Iterator[Figure]] = import_module(f"tests.bench.{group}").figures
        for figure in figures():
            found.append(figure)
            sys.stdout.write(row(figure))
            sys.stdout.flush()
    write(found, DATA / "bench.json")


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "")
