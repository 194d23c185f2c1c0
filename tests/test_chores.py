"""What is done every so often, by the server itself or by a worker."""

from subprocess import CompletedProcess

import httpx
import pytest
from django.core.cache import cache

from config import chores, heartbeat
from config.chores import Chore
from tests.conftest import Run
from tests.test_house import run_python
from tests.test_metrics import TOKEN, figure


@pytest.fixture(autouse=True)
def forgotten() -> None:
    cache.delete_many([f"chores/{c.name}/{how}" for c in chores.CHORES for how in ("ok", "failed")])


def add(monkeypatch: pytest.MonkeyPatch, chore: Chore) -> None:
    monkeypatch.setattr(chores, "CHORES", [*chores.CHORES, chore])
    monkeypatch.setitem(chores._BY_NAME, chore.name, chore)


def test_it_works(run_embedded: Run) -> None:
    refract = run_embedded(env={"REFRACT_METRICS_TOKEN": "open-sesame"})
    text = ""
    while figure(text, "refract_chores_total", chore="drafts", outcome="ok") < 1:
        text = httpx.get(f"{refract.url}/metrics", headers=TOKEN).text
    assert figure(text, "refract_chores_total", chore="drafts", outcome="failed") == 0
    refract.stop()
    assert refract.log == ""


@pytest.mark.django_db
def test_every_chore_can_be_done() -> None:
    for chore in chores.CHORES:
        chores.do(chore.name)
        assert chores.counts()[chore.name, "ok"] == 1, chore.name
        assert chores.counts()[chore.name, "failed"] == 0, chore.name
    assert heartbeat.what_is_wrong() == ""


def test_what_fails_is_counted_and_comes_round_again(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> None:
        raise ValueError

    add(monkeypatch, Chore("impossible", 1.0, fail))
    chores.do("impossible")
    chores.do("impossible")
    assert chores.counts()["impossible", "failed"] == 2
    assert chores.counts()["impossible", "ok"] == 0


def test_beat_tells_of_every_chore() -> None:
    code = (
        "from config.celery import app; from config.chores import CHORES;"
        "told = {entry['args'][0]: entry['schedule'] for entry in app.conf.beat_schedule.values()};"
        "assert told == {c.name: c.every_s for c in CHORES};"
        "assert 'chore' in app.tasks"
    )
    done = python(code)
    assert done.returncode == 0, done.stderr


def test_a_worker_leaves_litellm_alone() -> None:
    """It would be three times as large."""
    done = python("import config.celery, sys; sys.exit('litellm' in sys.modules)")
    assert done.returncode == 0, done.stderr


def test_a_web_server_leaves_celery_alone() -> None:
    done = python("import config.asgi, sys; sys.exit('celery' in sys.modules)")
    assert done.returncode == 0, done.stderr


def python(code: str) -> CompletedProcess[str]:
    return run_python("-c", code, DJANGO_SETTINGS_MODULE="tests.settings", PYTHONPATH="platform")
