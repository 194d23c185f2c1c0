"""A release of a study as large as PRISM, and of ten times that: how long, and how much memory.

Each in a process of its own, as `manage.py` runs it. What it is measured against is the same rows
written by json.dumps, or read by json.loads, with nothing around them.
"""

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import NamedTuple

from tests.bench import kept, live, talk
from tests.bench.crowd import SLUG
from tests.bench.exporting import FIVE
from tests.bench.figures import RUNS, Figure
from tests.bench.http import BenchError
from tests.bench.load import measured
from tests.servers import ROOT, Refract

EXPORT_S, EXPORT_SQLITE_S, EXPORT_MB, VALIDATE_S = 15.0, 20.0, 250.0, 12.0
CODEBOOK_S, FLAGS_PER_S = 20.0, 500.0
FLAGGED_PEOPLE = 150
BESIDE_PER_S, BESIDE_S, BESIDE_RUNS, TWICE = 5, 20.0, 3, 2.0
"""Turns a second while a release is built, for so many seconds, so often."""
BUILT_WITHIN_S = 600.0
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
    out, five, everything, ten_out = (folder / name for name in ("out", "five", "all", "ten-out"))
    full = kept.full(kept.PRISM_PEOPLE, folder / "full")
    embedded = kept.embedded(kept.PRISM_PEOPLE)
    on_postgres = several(lambda: export(full, out))
    dumps = median(bare(full, "dumps", out) for _run in range(RUNS))
    yield Figure("release.export.s", on_postgres.s, "s", EXPORT_S, dumps)
    on_sqlite = several(lambda: export(embedded, out))
    yield Figure("release.export.sqlite.s", on_sqlite.s, "s", EXPORT_SQLITE_S, dumps)
    yield Figure("release.export.mb", max(on_postgres.mb, on_sqlite.mb), "MB", EXPORT_MB)
    child(full, "manage.py", "export", SLUG, "--out", str(five), "--only", ",".join(FIVE))
    checked = several(lambda: validate(full, five))
    loads = median(bare(full, "loads", five) for _run in range(RUNS))
    yield Figure("release.validate.s", checked.s, "s", VALIDATE_S, loads)
    yield Figure("release.validate.mb", checked.mb, "MB")
    whole = child(full, "manage.py", "export", SLUG, "--out", str(everything))
    yield Figure("release.whole.s", whole.s, "s")
    yield Figure("release.whole.mb", whole.mb, "MB")
    yield Figure("release.whole.validate.s", validate(full, everything).s, "s")
    yield Figure(
        "release.whole.codebook.s", child(full, "manage.py", "codebook", str(everything)).s, "s"
    )
    described = child(full, "manage.py", "codebook", str(five))
    yield Figure("release.codebook.s", described.s, "s", CODEBOOK_S, note="HTML, Markdown, PDF")
    flagged = median(texts_per_s(folder / f"flags{run}") for run in range(RUNS))
    yield Figure("release.flags", flagged, "texts/s", FLAGS_PER_S, more_is_better=True)
    yield from of_building(folder / "building")

    ten = kept.full(kept.TEN_TIMES, folder / "ten")
    # PRISM's size once more, around it: a machine may be a third slower by now.
    around = [export(full, out) for _run in range(RUNS // 2)]
    of_ten = export(ten, ten_out)
    around += [export(full, out) for _run in range(RUNS // 2)]
    linear = TEN_TIMES_S * median(one.s for one in around)
    yield Figure("release.x10.export.s", of_ten.s, "s", linear, 10 * dumps)
    yield Figure("release.x10.export.mb", of_ten.mb, "MB", TEN_TIMES_MB * on_postgres.mb)
    checked_ten = validate(ten, ten_out)
    # Without the files beside the five, which the smaller one has: so no goal.
    yield Figure("release.x10.validate.s", checked_ten.s, "s", None, bare(ten, "loads", ten_out))
    yield Figure("release.x10.validate.mb", checked_ten.mb, "MB")


def several(run: Callable[[], Run]) -> Run:
    """The median time, and the most memory."""
    runs = [run() for _run in range(RUNS)]
    return Run(median(one.s for one in runs), max(one.mb for one in runs))


def export(refract: Refract, folder: Path) -> Run:
    """The five files."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    found = json.loads(output(refract, "-m", "tests.bench.exporting", SLUG, str(folder)))
    return Run(found["s"], found["mb"])


def validate(refract: Refract, folder: Path) -> Run:
    """Raises BenchError if there is anything to say of the folder."""
    return child(refract, "manage.py", "validate", str(folder))


def texts_per_s(data: Path) -> float:
    """Of the detectors that run before each export."""
    shutil.copytree(kept.embedded(FLAGGED_PEOPLE).data, data)
    found = json.loads(output(Refract(data, {}), "-m", "tests.bench.detecting", SLUG))
    return float(found["texts"] / found["s"])


def of_building(folder: Path) -> Iterator[Figure]:
    """Turns of a live study while its release is built, against the same without."""
    folder.mkdir()
    refract = kept.copied(kept.PRISM_PEOPLE, folder / "data", live.OWN_MODELS, live.PROCESSES)
    with live.serving_on(refract, folder) as site:
        alone = [turns(site, run) for run in range(BESIDE_RUNS)]
        key = site.within("ask_release")
        began = time.monotonic()
        command = [sys.executable, "manage.py", "build_release", key]
        with subprocess.Popen(command, cwd=ROOT, env=refract.env) as build:
            beside: list[float] = []
            while build.poll() is None and len(beside) < BESIDE_RUNS:
                beside.append(turns(site, len(beside)))
            build.wait(BUILT_WITHIN_S)
        took = time.monotonic() - began
        state, reason = json.loads(site.within("state_of_release", key))
        if state != "ready":
            raise BenchError(f"the release is {state}: {reason}")
    limit = median(alone)
    yield Figure("release.build.s", took, "s", note=f"beside {BESIDE_PER_S} turns/s")
    yield Figure("release.beside.p95", median(beside), "ms", TWICE * limit, limit)


def turns(site: live.Site, run: int) -> float:
    """p95 of what turns take beyond the models' second, in ms."""
    people = site.come(round(BESIDE_PER_S * BESIDE_S))
    load = measured(talk.spread(people, BESIDE_S, run))
    return live.p95_ms(load.times)


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


def bare(refract: Refract, measure: str, folder: Path) -> float:
    """Seconds that json takes for the same files."""
    return float(output(refract, "-m", "tests.bench.bare_json", measure, str(folder)))
