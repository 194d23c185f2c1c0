"""Turns with models that answer after a second: what Refract takes beyond that second.

On the full stack with two web processes, a worker and beat, and embedded. Servers, models, the
people and what they are compared with all share the machine.
"""

import asyncio
import itertools
import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from http.client import HTTPConnection
from pathlib import Path
from statistics import median, quantiles
from tempfile import TemporaryDirectory
from typing import NamedTuple

from config.programs import BEAT, WORK
from tests.bench import survey, talk, usage
from tests.bench.figures import RUNS, Figure
from tests.bench.http import LOG_SHOWN, BenchError, Browser
from tests.bench.load import measured
from tests.bench.stub import ANSWERS_AFTER_S
from tests.bench.talk import CONVERSATION, Load, Person
from tests.servers import ROOT, Process, Refract, Template, accepts, free_port

PROCESSES = 2
WARM = 40
"""People before those who count: for its first seconds a server is still importing."""
SPREAD, WITHIN_S = 200, 10.0
SPREAD_P50_MS, SPREAD_P95_MS, EMBEDDED_P95_MS = 60.0, 200.0, 600.0
BURSTS = {40: 3.0, 200: 2.5}
"""People at the same instant -> how many times bare litellm's time they may take."""
BYSTANDER_P95_MS = 150.0
BYSTANDER_EVERY_S = 0.2
SOAK_S = 180.0
TURNS_PER_S = 20
GIVE_UP_S = 240.0
"""People of the soak who wait then are given up."""
SETTLED_S = 60.0
"""By then the memory should no longer grow."""
SAMPLE_EVERY_S = 3.0
PSS_MB = 700.0
GROWTH_MB = 20.0
TURNS = 22
HISTORY_MS = 50.0
PAGES = 40
IDLE_SHARE = 0.1
"""Of a core; a web process without people takes about a hundredth."""
QUIET_S = 1.0
"""Between two measurements: what the first left to do is then done."""

OWN_MODELS = {"REFRACT_PRIVATE_ADDRESSES": "1"}
"""Its models are on this machine, where a full stack's may not be."""
INSIDE = "from tests.bench import people; people."


class Models:
    """The stub in its process."""

    def __init__(self, log: Path) -> None:
        self._port = free_port()
        command = [sys.executable, "-m", "tests.bench.stub", "--port", str(self._port)]
        self._process = Process(command, log)
        self._process.wait_until(lambda: accepts(self._port))
        self.url = f"http://127.0.0.1:{self._port}/v1"
        self.stop = self._process.stop

    def calls(self) -> int:
        """How many there were so far."""
        connection = HTTPConnection("127.0.0.1", self._port, timeout=10)
        connection.request("GET", "/")
        said: int = json.load(connection.getresponse())
        connection.close()
        return said

    def cpu_s(self) -> float:
        return usage.cpu_s([self._process.pid])


class Site:
    """A Refract with models that nobody else asks."""

    def __init__(self, refract: Refract, models: Models) -> None:
        self.refract = refract
        self.models = models
        self._prompts = 0
        self.within("use_stub", models.url)

    def within(self, verb: str, *arguments: object) -> str:
        """Do something of tests.bench.people in a process of this Refract; what it printed."""
        call = f"{verb}({', '.join(map(repr, arguments))})"
        return self.refract.manage("shell", "--verbosity", "0", "--command", INSIDE + call)

    def come(self, number: int) -> list[Person]:
        """People who are about to write their first prompt, and will."""
        self._prompts += number
        cookies = json.loads(self.within("come", number))
        return [Person(self.ports(index), cookie) for index, cookie in enumerate(cookies)]

    def ports(self, first: int = 0) -> Iterator[int]:
        """In turns, for one person. From one cycle for all, one process would get all prompts and
        another all sockets."""
        return itertools.islice(itertools.cycle(self.refract.ports), first % PROCESSES, None)

    def check(self) -> None:
        """Raises BenchError unless every prompt has four replies and no model was called twice."""
        found = json.loads(self.within("count"))
        calls = talk.REPLIES * self._prompts
        due = {
            "prompts": self._prompts,
            "whole": self._prompts,
            "replies": calls,
            "outcomes": {"ok": calls},
        }
        asked = self.models.calls()
        if found != due or asked != calls:
            raise BenchError(f"{found} in the database, {asked} calls of the models, not {due}")


class Bare:
    """The same calls by bare litellm, in as many processes."""

    def __init__(self, url: str) -> None:
        command = [sys.executable, "-m", "tests.bench.bare_calls", url]
        self._processes = [
            subprocess.Popen(
                command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
            )
            for _process in range(PROCESSES)
        ]
        self._answers()  # warm

    def burst(self, people: int) -> list[float]:
        """Overhead of each person's calls, in seconds."""
        time.sleep(QUIET_S)
        for process in self._processes:
            assert process.stdin
            process.stdin.write(f"{people // PROCESSES}\n")
            process.stdin.flush()
        return [seconds - ANSWERS_AFTER_S for seconds in self._answers()]

    def stop(self) -> None:
        for process in self._processes:
            process.terminate()
            process.communicate()

    def _answers(self) -> list[float]:
        lines = [process.stdout.readline() for process in self._processes if process.stdout]
        if not all(lines):
            raise BenchError("bare litellm has ended")
        return [seconds for line in lines for seconds in json.loads(line)]


def figures() -> Iterator[Figure]:
    with TemporaryDirectory(prefix="refract-bench-") as folder:
        with serving(Path(folder, "full"), full=True) as site:
            yield from of_full_stack(site)
        with serving(Path(folder, "embedded"), full=False) as site:
            runs = [spread(site, run) for run in range(RUNS)]
            yield Figure("embedded.spread.p50", of_runs(p50_ms, runs), "ms")
            yield Figure("embedded.spread.p95", of_runs(p95_ms, runs), "ms", EMBEDDED_P95_MS)
            site.check()


@contextmanager
def serving(folder: Path, *, full: bool) -> Iterator[Site]:
    folder.mkdir()
    template = Template(folder / "template", full=full)
    refract = template.copy(folder / "data", OWN_MODELS, PROCESSES if full else 1)
    with serving_on(refract, folder) as site:
        yield site


@contextmanager
def serving_on(refract: Refract, folder: Path) -> Iterator[Site]:
    with ExitStack() as stops:
        models = Models(folder / "models.log")
        stops.callback(models.stop)
        stops.callback(refract.stop)
        refract.start()
        site = Site(refract, models)
        try:
            measured(warmed(site))
            yield site
        except BenchError as error:
            error.add_note(f"The servers wrote:\n{refract.log[-LOG_SHOWN:]}")
            raise


async def warmed(site: Site) -> None:
    people = site.come(WARM)
    await talk.all_open(people)
    await talk.burst(people)


def of_full_stack(site: Site) -> Iterator[Figure]:
    with ExitStack() as stops:
        worker = site.refract.beside("worker", WORK)
        stops.callback(worker.stop)
        stops.callback(site.refract.beside("beat", BEAT).stop)
        yield from of_spread(site)
        models = Models(site.refract.data / "bare-models.log")
        stops.callback(models.stop)
        bare = Bare(models.url)
        stops.callback(bare.stop)
        for people, times in BURSTS.items():
            yield burst_figure(site, bare, people, times)
        yield from of_soak(site, [*site.refract.pids, worker.pid])
        yield history_figure(site)


class Spread(NamedTuple):
    times: list[float]
    beside: list[float]
    """Seconds of the survey pages that somebody else asked for meanwhile."""
    own_ms: float
    """Processor time per turn: of the load, of the models, of the web processes."""
    stub_ms: float
    web_ms: float


def of_spread(site: Site) -> Iterator[Figure]:
    runs = [spread(site, run) for run in range(RUNS)]
    yield Figure("live.spread.p50", of_runs(p50_ms, runs), "ms", SPREAD_P50_MS)
    yield Figure("live.spread.p95", of_runs(p95_ms, runs), "ms", SPREAD_P95_MS)
    bystander = median(p95_ms(run.beside) for run in runs)
    yield Figure("live.bystander.p95", bystander, "ms", BYSTANDER_P95_MS)
    yield Figure("live.web", median(run.web_ms for run in runs), "ms/turn")
    yield Figure("live.generator", median(run.own_ms for run in runs), "ms/turn")
    yield Figure("live.stub", median(run.stub_ms for run in runs), "ms/turn")
    site.check()


def spread(site: Site, run: int) -> Spread:
    people = site.come(SPREAD)
    return measured(_spread(site, people, run))


async def _spread(site: Site, people: list[Person], run: int) -> Spread:
    await talk.all_open(people)
    reader = Browser(site.ports())
    page = await survey_page(reader)
    await asyncio.sleep(QUIET_S)
    web, stub = usage.cpu_s(site.refract.pids), site.models.cpu_s()
    ask = partial(reader.get, page)
    beside = asyncio.create_task(talk.every(BYSTANDER_EVERY_S, ask))
    load = await talk.spread(people, WITHIN_S, run)
    web, stub = usage.cpu_s(site.refract.pids) - web, site.models.cpu_s() - stub
    beside.cancel()
    per_turn = (1000 * used / len(people) for used in (load.own_s, stub, web))
    return Spread(load.times, await beside, *per_turn)


async def survey_page(browser: Browser) -> str:
    """Address of the first page of the survey, for somebody who has just consented."""
    consent = await browser.get(survey.STUDY)
    agreed = survey.filled(consent, {"consent_age": "on", "consent": "on"})
    return (await browser.post(consent.path, agreed)).path


def burst_figure(site: Site, bare: Bare, people: int, times: float) -> Figure:
    # In turns, because what slows the machine for a while should slow both.
    runs = [(burst(site, people), bare.burst(people)) for _run in range(RUNS)]
    site.check()
    limit = median(p95_ms(of_bare) for _ours, of_bare in runs)
    value = median(p95_ms(ours.times) for ours, _bare in runs)
    return Figure(f"live.burst{people}.p95", value, "ms", times * limit, limit)


def burst(site: Site, number: int) -> Load:
    return measured(_burst(site.come(number)))


async def _burst(people: list[Person]) -> Load:
    await talk.all_open(people)
    await asyncio.sleep(QUIET_S)
    return await talk.burst(people)


def of_soak(site: Site, pids: list[int]) -> Iterator[Figure]:
    people = site.come(round(SOAK_S * TURNS_PER_S))
    load, samples = measured(_soak(people, pids))
    yield Figure("live.soak.p95", p95_ms(load.times), "ms")
    yield Figure("live.soak.given_up", load.unanswered, "people", 0)
    last = median(mb for at, mb in samples if at > SOAK_S - SETTLED_S / 3)
    first = median(mb for at, mb in samples if SETTLED_S < at < SETTLED_S * 4 / 3)
    yield Figure("live.soak.pss_mb", last, "MB", PSS_MB)
    yield Figure("live.soak.growth_mb", last - first, "MB", GROWTH_MB)
    until_idle(site)
    if not load.unanswered:
        site.check()


def until_idle(site: Site) -> None:
    """Until the web processes have done what people left behind; a minute at most."""
    for _second in range(60):
        used = usage.cpu_s(site.refract.pids)
        time.sleep(1)
        if usage.cpu_s(site.refract.pids) - used < IDLE_SHARE:
            return


async def _soak(people: list[Person], pids: list[int]) -> tuple[Load, list[tuple[float, float]]]:
    """Overheads, and (seconds since the beginning, MB) now and then."""
    samples: list[tuple[float, float]] = []
    began = time.monotonic()

    async def sample() -> None:
        mb = await asyncio.to_thread(lambda: usage.pss_mb(usage.with_children(pids)))
        samples.append((time.monotonic() - began, mb))

    sampling = asyncio.create_task(talk.every(SAMPLE_EVERY_S, sample))
    load = await talk.spread(people, SOAK_S, seed=0, give_up_s=GIVE_UP_S)
    sampling.cancel()
    await sampling
    return load, samples


def history_figure(site: Site) -> Figure:
    name, value = json.loads(site.within("talk_long", TURNS))
    runs = [measured(_history(site, name, value)) for _run in range(RUNS)]
    return Figure("live.history.ms", median(map(p50_ms, runs)), "ms", HISTORY_MS)


async def _history(site: Site, name: str, value: str) -> list[float]:
    browser = Browser(site.ports())
    browser.keep(name, value)
    page = await browser.get(CONVERSATION)
    if (found := page.text.count('class="you"')) != TURNS:
        raise BenchError(f"{found} turns, not {TURNS}, on the page:\n{page.text}")
    times = []
    for _page in range(PAGES):
        began = time.monotonic()
        await browser.get(CONVERSATION)
        times.append(time.monotonic() - began)
    browser.close()
    return times


def of_runs(of: Callable[[list[float]], float], runs: list[Spread]) -> float:
    return median(of(run.times) for run in runs)


def p50_ms(times: list[float]) -> float:
    return 1000 * median(times)


def p95_ms(times: list[float]) -> float:
    return 1000 * quantiles(times, n=20)[-1]
