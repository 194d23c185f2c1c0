"""The figures of `make bench`, without measuring anything."""

import asyncio
import itertools
import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.bench.figures import Figure, row, write
from tests.bench.http import BenchError, Browser
from tests.servers import ROOT, Refract


def test_it_works(tmp_path: Path) -> None:
    quick = Figure("quick", 120.0, "ms", goal=300.0, limit=40.0)
    write([quick], tmp_path / "data" / "bench.json")
    assert json.loads((tmp_path / "data" / "bench.json").read_text()) == [
        {
            "name": "quick",
            "value": 120.0,
            "unit": "ms",
            "goal": 300.0,
            "limit": 40.0,
            "holds": True,
        }
    ]
    assert "holds" in row(quick)


@pytest.mark.parametrize(
    ("value", "goal", "more_is_better", "holds"),
    [
        (300.0, 300.0, False, True),
        (301.0, 300.0, False, False),
        (50.0, 50.0, True, True),
        (49.0, 50.0, True, False),
        (49.0, None, False, None),
    ],
)
def test_whether_a_goal_holds(
    value: float, goal: float | None, more_is_better: bool, holds: bool | None
) -> None:
    figure = Figure("any", value, "ms", goal=goal, more_is_better=more_is_better)
    assert figure.holds is holds


@pytest.mark.parametrize("group", ["nonsense", "figures"])
def test_a_group_that_is_not_there_is_named(group: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tests.bench", group], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode != 0
    assert f"no group {group!r}" in done.stderr
    assert "survey" in done.stderr
    assert "Traceback" not in done.stderr


def test_its_browser_keeps_cookies_and_follows_redirects(embedded: Refract) -> None:
    async def arrive() -> str:
        browser = Browser(itertools.cycle(embedded.ports))
        try:
            return (await browser.get("/s/prism/")).path
        finally:
            browser.close()

    assert asyncio.run(arrive()) == "/s/prism/consent/"


def test_its_browser_takes_no_error_for_a_page(embedded: Refract) -> None:
    async def ask() -> None:
        browser = Browser(itertools.cycle(embedded.ports))
        try:
            await browser.get("/s/no-such-study/")
        finally:
            browser.close()

    with pytest.raises(BenchError, match="404"):
        asyncio.run(ask())
