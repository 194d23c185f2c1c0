"""Whatever dies while people converse, everybody finishes and nothing is lost or done twice.

The processes that run are the real ones. The people try again what was not answered, as browsers
do, and note what they were told.
"""

import asyncio
import itertools
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.conftest import Run
from tests.model_server import ModelServer
from tests.servers import ROOT
from tests.talkers import Manage, Talker, in_shell, prepare
from tests.test_stack import Stack, command_of, eventually, running, started_by
from tests.test_stack import data as data

pytestmark = pytest.mark.servers

SEED = 20
RESUMES_WITHIN_S = 60.0
FIRST_BLOW_AFTER_S = 3.0
MODELS_TAKE_S = 2.0
WORKER = "celery --quiet --app config.celery --skip-checks worker"


class Blow(NamedTuple):
    what: str
    strike: Callable[[], object]


class Struck(NamedTuple):
    what: str
    at: float
    """Seconds since 1970."""


class Ordeal(NamedTuple):
    """Who went through what, and what there is afterwards."""

    talkers: list[Talker]
    struck: list[Struck]
    took_s: float
    stored: dict[str, Any]
    """As `tests.records.everything` prints it."""
    asked: list[dict[str, Any]]
    """Bodies that the models received."""

    @property
    def troubles(self) -> Counter[str]:
        return sum((talker.browser.troubles for talker in self.talkers), Counter[str]())

    def in_flight(self, struck: Struck) -> int:
        return sum(begun < struck.at < end for begun, end in self.stored["attempts"])

    def resumed(self) -> list[float]:
        """Seconds that each turn struck took from the last blow that it met."""
        met = [
            (end, [struck.at for struck in self.struck if begun < struck.at < end])
            for begun, end in self.stored["attempts"]
        ]
        return [end - max(moments) for end, moments in met if moments]


def go_through(
    manage: Manage, port: int, people: int, blows: Sequence[Blow], within_s: float
) -> Ordeal:
    with ModelServer() as models:
        arrived = prepare(manage, people, models.url, MODELS_TAKE_S)
        ports = itertools.repeat(port)
        talkers = [Talker(ports, person.key, person.cookie, SEED) for person in arrived]
        began = time.monotonic()
        struck = asyncio.run(both(talkers, blows, within_s))
        took_s = time.monotonic() - began
        return Ordeal(talkers, struck, took_s, in_shell(manage, "everything()"), models.requests)


async def both(talkers: Sequence[Talker], blows: Sequence[Blow], within_s: float) -> list[Struck]:
    async with asyncio.TaskGroup() as group:
        striking = group.create_task(strike(blows, within_s))
        for talker in talkers:
            group.create_task(talker.take_part())
    return striking.result()


async def strike(blows: Sequence[Blow], within_s: float) -> list[Struck]:
    """In a random order, each at a random moment of its share of the time."""
    rng = random.Random(SEED)
    began, share, struck = time.monotonic(), within_s / len(blows), []
    for number, blow in enumerate(rng.sample(blows, len(blows))):
        moment = began + FIRST_BLOW_AFTER_S + (number + rng.random()) * share
        await asyncio.sleep(max(0.0, moment - time.monotonic()))
        struck.append(Struck(blow.what, time.time()))
        await asyncio.to_thread(blow.strike)
    return struck


def check(ordeal: Ordeal) -> None:
    assert sorted(ordeal.stored["finished"]) == sorted(talker.key for talker in ordeal.talkers)
    assert_kept(ordeal)
    assert_called_once(ordeal.stored["calls"])
    assert_counted(ordeal.stored["calls"], ordeal.asked)
    assert max(ordeal.resumed(), default=0.0) < RESUMES_WITHIN_S
    spent = ordeal.stored["spent"]
    assert spent["by call"] == pytest.approx(spent["by person"], abs=1e-9)
    # Else it was too mild to prove anything.
    assert any(call["error_class"] == "ProcessEnded" for call in ordeal.stored["calls"])
    assert {trouble for trouble in ordeal.troubles if trouble.isdigit()} <= {"503"}


def assert_kept(ordeal: Ordeal) -> None:
    """What people were told is what there is, and there is nothing else."""
    told = [
        {"person": talker.key, "number": number, **notes}
        for talker in ordeal.talkers
        for number, notes in talker.told.items()
    ]
    for row, stored in zip(in_order(told), in_order(ordeal.stored["conversations"]), strict=True):
        assert row == stored


def in_order(conversations: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return sorted(conversations, key=lambda row: (row["person"], row["number"]))


def assert_called_once(calls: list[dict[str, Any]]) -> None:
    """A slot is called again only if its call was lost with its process."""
    by_slot = defaultdict(list)
    for call in calls:
        by_slot[tuple(call["slot"])].append((call["outcome"], call["error_class"]))
    for slot, (*lost, last) in by_slot.items():
        assert last == ("ok", ""), slot
        assert set(lost) <= {("cancelled", "ProcessEnded")}, slot


def partly_lost(calls: list[dict[str, Any]]) -> int:
    """Turns that had kept some of their replies when they lost others."""
    tries = Counter(tuple(call["slot"]) for call in calls)
    by_attempt = defaultdict(set)
    for (attempt, _slot), number in tries.items():
        by_attempt[attempt].add(number)
    return sum(len(numbers) > 1 for numbers in by_attempt.values())


def assert_counted(calls: list[dict[str, Any]], asked: list[dict[str, Any]]) -> None:
    """What models were asked is what is recorded, but for calls lost before they were sent."""
    recorded = Counter(json.dumps(call["sent"]) for call in calls)
    answered = Counter(json.dumps(call["sent"]) for call in calls if call["outcome"] == "ok")
    received = Counter(json.dumps([f"openai/{b['model']}", b["messages"]]) for b in asked)
    assert answered <= received <= recorded


def figures(ordeal: Ordeal) -> str:
    """What happened, for people to read."""
    attempts, calls = ordeal.stored["attempts"], ordeal.stored["calls"]
    lines = [f"{len(ordeal.talkers)} people, {len(attempts)} turns in {ordeal.took_s:.0f} s"]
    lines += [f"{struck.what}: {ordeal.in_flight(struck)} in flight" for struck in ordeal.struck]
    lines.append(f"turns went on within {max(ordeal.resumed(), default=0):.1f} s")
    lost = sum(call["error_class"] == "ProcessEnded" for call in calls)
    lines.append(f"{lost} of {len(calls)} calls were lost with their process and made anew,")
    lines.append(f"beside others that were kept in {partly_lost(calls)} turns")
    slowest = max(talker.browser.slowest_s for talker in ordeal.talkers)
    heard = sum(talker.heard for talker in ordeal.talkers)
    lines.append(f"tried again after {dict(ordeal.troubles)}; slowest answer {slowest:.1f} s")
    lines.append(f"{heard} turns told by socket, the others asked for")
    return "".join(f"\n  {line}" for line in lines) + "\n"


def assert_releasable(manage: Manage, folder: Path) -> None:
    manage("export", "prism", "--out", str(folder))
    assert manage("validate", str(folder)) == ""


class Commands:
    """manage.py on the data of a running stack."""

    def __init__(self, stack: Stack) -> None:
        self._stack = stack

    def __call__(self, *arguments: str) -> str:
        given = [str(self._stack.data / "stack.env"), sys.executable, *arguments]
        shell = '. "$0"; python=$1; shift; exec "$python" manage.py "$@"'
        env = self._stack.env
        done = subprocess.run(
            ["sh", "-c", shell, *given], cwd=ROOT, env=env, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout


def blow(stack: Stack, what: str, words: str, how: signal.Signals) -> Blow:
    """To one of the processes whose command has the words."""

    def strike() -> None:
        eventually(lambda: stack.children(words))  # it may be about to be started again
        os.kill(random.Random(SEED).choice(sorted(stack.children(words))), how)

    return Blow(what, strike)


def restart_postgres(stack: Stack) -> None:
    """Its fast shutdown, which ends all sessions; it is started again as soon as it has ended.

    Postgres 15 never ends if it is asked to while it still recovers from a crash.
    """
    eventually(lambda: sessions(stack))
    [server] = stack.children("bin/postgres")
    os.kill(server, signal.SIGINT)


def crash_postgres(stack: Stack) -> None:
    """Kill one of its sessions: it ends all others too and recovers from its log."""
    eventually(lambda: sessions(stack))
    os.kill(sessions(stack)[0], signal.SIGKILL)


def sessions(stack: Stack) -> list[int]:
    """Those it has let in and that rest: there are none before it has recovered."""
    started = {pid for server in stack.children("bin/postgres") for pid in started_by(server)}
    return sorted(pid for pid in started if command_of(pid).strip().endswith(" idle"))


def test_it_works(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Everything of the full stack, which its supervisor starts again."""
    with running(data, {"REFRACT_PRIVATE_ADDRESSES": "1"}) as stack:
        manage = Commands(stack)
        web = blow(stack, "kill -9 of a web process", "uvicorn", signal.SIGKILL)
        worker = blow(stack, "kill -9 of the worker", WORKER, signal.SIGKILL)
        redis = blow(stack, "restart of Redis", "redis-server", signal.SIGTERM)
        postgres = Blow("restart of Postgres", partial(restart_postgres, stack))
        crash = Blow("crash of Postgres", partial(crash_postgres, stack))
        blows = [web, web, web, worker, redis, redis, postgres, crash]
        port = int(stack.url.rpartition(":")[2])
        ordeal = go_through(manage, port, 50, blows, within_s=40.0)
        with capsys.disabled():
            sys.stdout.write(figures(ordeal))
        eventually(stack.is_ready)
        check(ordeal)
        assert_releasable(manage, data / "release")


def test_embedded(run_embedded: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """kill -9 of the only process, which is started again at once."""
    refract = run_embedded()

    def again() -> None:
        refract.kill9()
        refract.start()

    blows = [Blow("kill -9", again)] * 2
    ordeal = go_through(refract.manage, refract.ports[0], 10, blows, within_s=16.0)
    with capsys.disabled():
        sys.stdout.write(figures(ordeal))
    check(ordeal)
    assert_releasable(refract.manage, tmp_path / "release")
