"""What is counted, and who may read it."""

import os
import re
import subprocess
from decimal import Decimal
from pathlib import Path

import httpx
import pytest
from django.conf import LazySettings
from django.contrib.auth.models import User
from django.test import Client

from collection import generation, metrics
from collection.models import Attempt
from config import scrape
from surveys.models import Study
from tests import asgi
from tests.conftest import Run
from tests.walk import Person

TOKEN = {"Authorization": "Bearer open-sesame"}


def figure(text: str, name: str, **labels: str) -> float:
    """The value of a line of Prometheus's format; labels may be some of the line's."""
    for line in text.splitlines():
        found = re.fullmatch(rf"{name}(?:\{{(.*)\}})? (\S+)", line)
        if found and labels.items() <= dict(re.findall(r'(\w+)="([^"]*)"', found[1] or "")).items():
            return float(found[2])
    return 0.0


def test_it_works(db: None, admin_client: Client) -> None:
    before = scrape.everything().decode()
    metrics.call_ended("vendor/model", "ok", 1500, Decimal("0.25"))
    metrics.call_ended("vendor/model", "timeout", None, None)
    metrics.turn_settled("opening", 2.0, 0.04)
    metrics.socket_opened()
    metrics.socket_opened()
    metrics.socket_closed()
    answer = admin_client.get("/metrics")
    assert answer["Content-Type"].startswith("text/plain")
    after = answer.content.decode()

    def more(name: str, **labels: str) -> float:
        return figure(after, name, **labels) - figure(before, name, **labels)

    assert more("refract_calls_total", endpoint="vendor/model", outcome="ok") == 1
    assert more("refract_calls_total", endpoint="vendor/model", outcome="timeout") == 1
    assert more("refract_call_seconds_sum", endpoint="vendor/model") == 1.5
    assert more("refract_spend_usd_total", endpoint="vendor/model") == 0.25
    assert more("refract_turn_seconds_count", kind="opening") == 1
    assert more("refract_turn_overhead_seconds_bucket", kind="opening", le="0.03") == 0
    assert more("refract_turn_overhead_seconds_bucket", kind="opening", le="0.05") == 1
    assert more("refract_open_sockets") == 1
    metrics.socket_closed()


def test_overhead_is_never_less_than_none(db: None) -> None:
    """Clocks of two kinds: the slowest model's time may be measured as longer than the turn."""
    before = figure(scrape.everything().decode(), "refract_turn_overhead_seconds_sum", kind="x")
    metrics.turn_settled("x", 1.0, -0.1)
    after = figure(scrape.everything().decode(), "refract_turn_overhead_seconds_sum", kind="x")
    assert after == before


def test_others_do_not_learn_that_it_exists(client: Client, study: Study) -> None:
    person = Person(study, PROLIFIC_PID="alice")
    person.consent()
    client.force_login(User.objects.create_user("somebody"))
    for stranger in (client, person.client, Client()):
        assert stranger.get("/metrics").status_code == 404


def test_a_token_opens_it_to_prometheus(db: None, settings: LazySettings) -> None:
    settings.METRICS_TOKEN = "open-sesame"
    status, headers, text = asgi.get("/metrics", **TOKEN)
    assert status == 200
    assert "refract_oldest_pending_turn_seconds" in text
    assert headers["content-type"].startswith("text/plain")
    assert asgi.get("/metrics", Host="localhost", Authorization="Bearer other")[0] == 404
    assert asgi.get("/metrics", Host="localhost")[0] == 404


def test_without_a_token_no_token_opens_it(db: None, settings: LazySettings) -> None:
    settings.METRICS_TOKEN = ""
    assert asgi.get("/metrics", Host="localhost", Authorization="Bearer ")[0] == 404


def test_the_age_of_the_oldest_turn(study: Study, monkeypatch: pytest.MonkeyPatch) -> None:
    assert scrape.oldest_pending_s() == 0
    person = Person(study, PROLIFIC_PID="alice").ready()
    person.start()
    monkeypatch.setattr(generation, "launch", lambda attempt: None)
    person.prompt(0)
    assert 0 < scrape.oldest_pending_s() < 60
    Attempt.objects.update(settled_at="2026-01-01T00:00Z")
    assert scrape.oldest_pending_s() == 0


def test_what_cannot_be_looked_up_is_left_out(db: None, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> float:
        raise OSError

    monkeypatch.setattr(scrape, "oldest_pending_s", fail)
    text = scrape.everything().decode()
    assert "refract_oldest_pending_turn_seconds" not in text
    assert "refract_chores_total" in text


def test_dead_processes_have_no_open_sockets(tmp_path: Path) -> None:
    ended = subprocess.Popen(["true"])
    ended.wait()
    for process in (ended.pid, os.getpid()):
        (tmp_path / f"gauge_livesum_{process}.db").touch()
        (tmp_path / f"counter_{process}.db").touch()
    assert list(metrics.dead_processes(tmp_path)) == [ended.pid]


def test_any_process_tells_of_all(run_full_stack: Run) -> None:
    refract = run_full_stack(env={"REFRACT_METRICS_TOKEN": "open-sesame"}, processes=2)
    count = "from collection import metrics; metrics.turn_settled('opening', 2.0, 0.04)"
    refract.manage("shell", "--command", count)
    for url in refract.urls:
        text = httpx.get(f"{url}/metrics", headers=TOKEN).text
        assert figure(text, "refract_turn_seconds_count", kind="opening") == 1
        assert httpx.get(f"{url}/metrics").status_code == 404
    refract.manage("check")
    left = [file.name for file in (refract.data / "metrics").iterdir()]
    assert len(left) == 1, left  # of the histogram: commands that count nothing leave nothing
