"""A release of a study as large as PRISM, and of ten times that: how long, and how much memory.

Each in a process of its own, as `manage.py` runs it. What it is measured against is the same rows
written by json.dumps, or read by json.loads, with nothing around them.
"""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

from tests.bench import kept
from tests.bench.crowd import SLUG
from tests.bench.exporting import FIVE
from tests.bench.figures import RUNS, Figure
from tests.bench.http import BenchError
from tests.servers import ROOT, Refract

EXPORT_S, EXPORT_SQLITE_S, EXPORT_MB, VALIDATE_S = 15.0, 20.0, 250.0, 12.0
TEN_TIMES_S = 12.0
"""Ten times as many rows may take so many times as long: what is worse is not linear."""
TEN_TIMES_MB = 1.2


class Run(NamedTuple):
    s: float
    mb: float


def figures() -> Iterator[Figure]:
    with TemporaryDirectory(prefix="refract-bench-") as folder:
        yield from of_sizes(Path(folder))


def of_sizes(folder: Path) -> Iterator[Figure]:
    out, ten_out = folder / "out", folder / "ten-out"
    out.mkdir()
    ten_out.mkdir()
    full = kept.full(kept.PRISM_PEOPLE, folder / "full")
    embedded = kept.embedded(kept.PRISM_PEOPLE)
    on_postgres = several(lambda: export(full, out))
    dumps = median(dumped(out) for _run in range(RUNS))
    yield Figure("release.export.s", on_postgres.s, "s", EXPORT_S, dumps)
    on_sqlite = several(lambda: export(embedded, out))
    yield Figure("release.export.sqlite.s", on_sqlite.s, "s", EXPORT_SQLITE_S, dumps)
    yield Figure("release.export.mb", max(on_postgres.mb, on_sqlite.mb), "MB", EXPORT_MB)
    whole = child(full, "manage.py", "export", SLUG, "--out", str(out))
    yield Figure("release.whole.s", whole.s, "s")
    yield Figure("release.whole.mb", whole.mb, "MB")
    checked = several(lambda: validate(full, out))
    loads = median(loaded(out) for _run in range(RUNS))
    yield Figure("release.validate.s", checked.s, "s", VALIDATE_S, loads)
    yield Figure("release.validate.mb", checked.mb, "MB")

    ten = kept.full(kept.TEN_TIMES, folder / "ten")
    of_ten = export(ten, ten_out)
    yield Figure("release.x10.export.s", of_ten.s, "s", TEN_TIMES_S * on_postgres.s, 10 * dumps)
    yield Figure("release.x10.export.mb", of_ten.mb, "MB", TEN_TIMES_MB * on_postgres.mb)
    checked_ten = validate(ten, ten_out)
    # Without the files beside the five, which the smaller one has: so no goal.
    yield Figure("release.x10.validate.s", checked_ten.s, "s", None, loaded(ten_out))
    yield Figure("release.x10.validate.mb", checked_ten.mb, "MB")


def several(run: Callable[[], Run]) -> Run:
    """The median time, and the most memory."""
    runs = [run() for _run in range(RUNS)]
    return Run(median(one.s for one in runs), max(one.mb for one in runs))


def export(refract: Refract, folder: Path) -> Run:
    """The five files."""
    for old in folder.iterdir():
        old.unlink()
    found = json.loads(output(refract, "-m", "tests.bench.exporting", SLUG, str(folder)))
    return Run(found["s"], found["mb"])


def validate(refract: Refract, folder: Path) -> Run:
    """Raises BenchError if there is anything to say of the folder."""
    return child(refract, "manage.py", "validate", str(folder))


def output(refract: Refract, *arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, *arguments], cwd=ROOT, env=refract.env, capture_output=True, text=True
    )
    if done.returncode:
        raise BenchError(f"{' '.join(arguments)}:\n{done.stdout}{done.stderr}")
    return done.stdout


def child(refract: Refract, *arguments: str) -> Run:
    """The seconds that a program takes from its start to its end, and the most memory."""
    began = time.monotonic()
    process = subprocess.Popen(
        [sys.executable, *arguments],
        cwd=ROOT,
        env=refract.env,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    _pid, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise BenchError(f"{' '.join(arguments)} ended with {process.returncode}")
    return Run(time.monotonic() - began, usage.ru_maxrss / 1024)


def dumped(folder: Path) -> float:
    """Seconds that json.dumps takes for the same rows, from memory into files."""
    return sum(dump(folder / f"{name}.jsonl") for name in FIVE)


def dump(path: Path) -> float:
    if not path.exists():
        return 0.0
    with path.open(encoding="utf-8") as file:
        rows: list[Any] = [json.loads(line) for line in file]
    again = path.with_suffix(".again")
    began = time.monotonic()
    with again.open("w", encoding="utf-8") as file:
        for row in rows:
            file.write(json.dumps(row, ensure_ascii=False) + "\n")
    took = time.monotonic() - began
    again.unlink()
    return took


def loaded(folder: Path) -> float:
    """Seconds that json.loads takes to read all files."""
    began = time.monotonic()
    for path in folder.glob("*.jsonl"):
        with path.open(encoding="utf-8") as file:
            for line in file:
                json.loads(line)
    return time.monotonic() - began
