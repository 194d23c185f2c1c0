"""`make stack`: everything on one machine; and that the containers are made of what there is."""

import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from config.programs import BEAT, WORK
from tests.servers import ROOT, Process, free_port, is_setting, postgres, redis

pytestmark = pytest.mark.servers
READY = {"database": "ok", "cache": "ok", "layer": "ok", "worker": "ok"}
WITHIN_S = 90.0
"""Much more than it takes: it is reached only when something is wrong."""


class Stack:
    """One that runs, and what is asked of it."""

    def __init__(self, data: Path, port: int, env: dict[str, str]) -> None:
        inherited = {name: value for name, value in os.environ.items() if not is_setting(name)}
        self.data = data
        self.url = f"http://127.0.0.1:{port}"
        self.env = {
            **inherited,
            "REFRACT_DATA": str(data),
            "PYTHONPATH": "platform",
            "DJANGO_SETTINGS_MODULE": "config.settings",
            **env,
        }
        argv = [sys.executable, "-m", "config.stack", "--port", str(port)]
        log = data / f"stack-{port}.log"
        self.process = Process(argv, log, ends_on=signal.SIGINT, env=self.env)

    def becomes_ready(self) -> None:
        self.process.wait_until(self.is_ready)

    def is_ready(self) -> bool:
        try:
            answer = httpx.get(f"{self.url}/readyz", timeout=5)
        except httpx.TransportError:
            return False
        return bool(answer.json() == READY)

    def children(self, words: str = "") -> set[int]:
        """Ids of the processes that it has started itself and whose command has the words."""
        return {pid for pid in started_by(self.process.pid) if words in command_of(pid)}

    def study_titles(self) -> str:
        code = "from surveys.models import Study as S; print(*S.objects.values_list('title'))"
        shell = f". {self.data}/stack.env; exec {sys.executable} manage.py shell -v 0 -c {code!r}"
        done = subprocess.run(
            ["sh", "-c", shell], cwd=ROOT, env=self.env, capture_output=True, text=True, check=True
        )
        return done.stdout


def started_by(parent: int) -> set[int]:
    found = set()
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue  # it has just ended
        if int(fields[1]) == parent and fields[0] != "Z":
            found.add(int(stat.parent.name))
    return found


def command_of(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
    except OSError:
        return ""


def eventually(is_true: Callable[[], object]) -> None:
    give_up = time.monotonic() + WITHIN_S
    while not is_true():
        assert time.monotonic() < give_up
        time.sleep(0.1)


def has_others(stack: Stack, words: str, died: set[int]) -> bool:
    """Whether each that died has a successor."""
    return len(stack.children(words) - died) == len(died)


@contextmanager
def running(data: Path, env: dict[str, str] | None = None) -> Iterator[Stack]:
    stack = Stack(data, free_port(), env or {})
    try:
        stack.becomes_ready()
        yield stack
    except BaseException:
        sys.stdout.write(stack.process.log)
        raise
    finally:
        stack.process.stop()


@pytest.fixture
def data() -> Iterator[Path]:
    """A folder that Postgres can reach, which runs as somebody else if we are root."""
    with tempfile.TemporaryDirectory(prefix="refract-stack-") as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)


def test_it_works(data: Path) -> None:
    """It starts with nothing, outlives the death of its parts, ends in order, keeps the data."""
    with running(data) as stack:
        assert httpx.get(f"{stack.url}/s/prism/").status_code == 302
        assert "password" in stack.process.log
        assert "PRISM" in stack.study_titles()
        webs = stack.children("uvicorn")
        assert len(webs) == 2
        for words in ("uvicorn", "celery", "redis-server", "bin/postgres"):
            died = stack.children(words)
            assert died, words
            for process in died:
                os.kill(process, signal.SIGKILL)
            eventually(partial(has_others, stack, words, died))
            eventually(stack.is_ready)
        assert len(stack.children("uvicorn")) == 2
        assert "web 1 has ended (SIGKILL), starting it again" in stack.process.log
        of_all = {pid for child in stack.children() for pid in {child} | started_by(child)}
        assert len(of_all) > 10
    assert {pid for pid in of_all if command_of(pid)} == set()
    assert not (data / "stack.env").exists()
    with running(data) as again:
        assert "password" not in again.process.log
        assert "PRISM" in again.study_titles()


def test_servers_that_there_are_already_are_used(data: Path) -> None:
    env = {"DATABASE_URL": postgres().create("stack"), "REDIS_URL": redis().url()}
    with running(data, env) as stack:
        assert stack.children("redis-server") == set()
        assert not (data / "postgres").exists()
        assert not (data / "redis").exists()


def test_a_port_in_use_is_said_at_once(data: Path) -> None:
    taken = postgres().port
    stack = Stack(data, taken, {})
    with pytest.raises(RuntimeError, match=f"Nobody can listen on 127.0.0.1, port {taken}"):
        stack.becomes_ready()
    assert not (data / "postgres").exists()


def compose() -> dict[str, Any]:
    document: dict[str, Any] = yaml.safe_load((ROOT / "compose.yaml").read_text())
    return document


def copied() -> list[str]:
    lines = (ROOT / "Dockerfile").read_text().splitlines()
    return [line.split()[1] for line in lines if re.match(r"COPY (?!--)", line)]


def test_the_image_is_made_of_what_there_is() -> None:
    ignored = (ROOT / ".dockerignore").read_text().splitlines()
    assert {"platform", "surveys", "collection", "templates", "static"} <= set(copied())
    for source in copied():
        assert (ROOT / source).exists()
        assert f"!{source}" in ignored


def test_every_service_says_whether_it_is_well() -> None:
    services = compose()["services"]
    assert {"web", "worker", "beat", "postgres", "redis"} <= services.keys()
    assert [n for n, s in services.items() if "healthcheck" not in s] == ["migrate"]


@pytest.mark.parametrize("service", ["worker", "beat"])
def test_containers_start_the_same_programs(service: str) -> None:
    program = WORK if service == "worker" else BEAT
    assert compose()["services"][service]["command"].split() == program[2:]


def test_what_containers_are_told_is_a_setting() -> None:
    settings = (ROOT / "platform/config/settings.py").read_text()
    for name in compose()["x-refract"]["environment"]:
        assert f'"{name}"' in settings, name
