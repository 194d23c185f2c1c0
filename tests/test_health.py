"""What load balancers ask. Real servers first; then each part that can fail."""

import asyncio
import json
import time

import httpx
import pytest
from django.core.cache.backends.dummy import DummyCache
from django.db import OperationalError

from collection import hearing
from config import health, heartbeat
from tests import asgi
from tests.servers import Refract

ALL_WELL = {"database": "ok", "cache": "ok", "layer": "ok", "worker": "ok"}


@pytest.fixture
def beating(db: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker that lives; and patience, since a machine may pause for longer than the limit."""
    monkeypatch.setattr(health, "CHECK_WITHIN_S", 60.0)
    heartbeat.beat()


def ready() -> tuple[int, dict[str, str]]:
    status, _headers, body = asgi.get("/readyz")
    return status, json.loads(body)


def test_it_works(embedded: Refract) -> None:
    give_up = time.monotonic() + 10
    while (answer := httpx.get(f"{embedded.url}/readyz")).status_code != 200:
        assert time.monotonic() < give_up, answer.text
    assert answer.json() == ALL_WELL
    assert httpx.get(f"{embedded.url}/healthz").json() == {"process": "ok"}


def test_no_host_name_no_cookie_no_redirect(embedded: Refract) -> None:
    answer = httpx.get(f"{embedded.url}/healthz", headers={"Host": "10.1.2.3"})
    assert answer.status_code == 200
    assert "set-cookie" not in answer.headers
    assert answer.headers["cache-control"] == "no-store"


def test_web_servers_without_a_worker_are_not_ready(full_stack: Refract) -> None:
    for url in full_stack.urls:
        answer = httpx.get(f"{url}/readyz")
        assert answer.status_code == 503
        assert answer.json() == ALL_WELL | {"worker": "no heartbeat yet"}
        assert httpx.get(f"{url}/healthz").status_code == 200


def test_all_parts_together(beating: None) -> None:
    assert ready() == (200, ALL_WELL)


def test_a_database_that_fails(beating: None, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> None:
        raise OperationalError("no password for refract@10.0.0.1")

    monkeypatch.setattr(health, "check_database", fail)
    assert ready() == (503, ALL_WELL | {"database": "failed: OperationalError"})


def test_a_cache_that_forgets(beating: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health, "cache", DummyCache("", {}))
    assert ready() == (503, ALL_WELL | {"cache": "forgets at once"})


def test_a_layer_that_does_not_answer(beating: None, monkeypatch: pytest.MonkeyPatch) -> None:
    async def hang() -> None:
        await asyncio.sleep(3600)

    monkeypatch.setattr(hearing, "echo", hang)
    monkeypatch.setattr(health, "CHECK_WITHIN_S", 0.2)
    assert ready() == (503, ALL_WELL | {"layer": "no answer within 0.2 seconds"})


def test_a_worker_that_is_late(beating: None, monkeypatch: pytest.MonkeyPatch) -> None:
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now + heartbeat.LATE_S + 5)
    status, found = ready()
    assert status == 503
    assert found["worker"].startswith("last heartbeat 9")


def test_a_clock_that_was_put_back(beating: None, monkeypatch: pytest.MonkeyPatch) -> None:
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now - 3600)
    assert ready() == (200, ALL_WELL)
