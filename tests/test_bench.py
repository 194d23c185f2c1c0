"""The figures of `make bench`, without measuring anything."""

import asyncio
import itertools
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from surveys.models import Study
from tests.bench import people, talk, usage
from tests.bench.figures import Figure, row, write
from tests.bench.http import BenchError, Browser
from tests.bench.live import Bare, Models, Site
from tests.conftest import Run
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
            "note": "",
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


@pytest.fixture
def models(tmp_path: Path) -> Iterator[Models]:
    models = Models(tmp_path / "models.log")
    yield models
    models.stop()


def test_its_people_get_their_replies(run_embedded: Run, models: Models) -> None:
    site = Site(run_embedded(), models)
    some = site.come(3)
    asyncio.run(talk.all_open(some))
    assert len(asyncio.run(talk.burst(some)).times) == 3
    assert len(asyncio.run(talk.spread(site.come(2), within_s=0.5, seed=1)).times) == 2
    site.check()

    def hears(*cookies: tuple[str, str]) -> bool:
        browser = Browser(site.ports())
        for cookie in cookies:
            browser.keep(*cookie)
        return asyncio.run(browser.hear(f"{talk.CONVERSATION}socket/", asyncio.Event()))

    assert hears(some[0].cookie)
    with pytest.raises(BenchError, match="403"):
        hears()

    site.come(1)  # who never sends
    with pytest.raises(BenchError, match="database"):
        site.check()


def test_its_limit_calls_as_often(models: Models) -> None:
    bare = Bare(models.url)
    try:
        before = models.calls()
        assert len(bare.burst(6)) == 6
        assert models.calls() - before == 6 * talk.REPLIES
    finally:
        bare.stop()


def test_what_a_process_uses_counts_its_children() -> None:
    with subprocess.Popen(["sleep", "60"]) as child:
        own = usage.with_children([os.getpid()])
        child.kill()
    assert {os.getpid(), child.pid} <= set(own)
    assert usage.pss_mb([os.getpid()]) > 10
    assert usage.cpu_s([os.getpid()]) > 0


def test_a_long_conversation_takes_no_more_queries(study: Study, client: Client) -> None:
    def queries(turns: int) -> int:
        name, value = people.cookie(people.long_talker(turns))
        client.cookies[name] = value
        with CaptureQueriesContext(connection) as sent:
            page = client.get(talk.CONVERSATION)
        assert page.content.decode().count(talk.WORDS) == turns
        return len(sent)

    queries(2)  # what a process caches
    assert queries(22) == queries(2)
