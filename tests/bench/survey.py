"""Survey steps (a form sent, and the next page) of the demo study, beside a bare Django page.

Each embedded, and with two processes on Postgres and Redis.
"""

import itertools
import re
from collections.abc import Iterator
from pathlib import Path
from statistics import median, quantiles
from tempfile import TemporaryDirectory
from urllib.parse import urlencode

from surveys.instruments.load import FOLDER, read
from tests.bench import load
from tests.bench.bare.server import Bare
from tests.bench.figures import RUNS, Figure
from tests.bench.http import LOG_SHOWN, BenchError, Browser, Page
from tests.servers import Refract, Template
from tests.walk import answers_to

THINK_P95_MS = 300.0
SHARE_OF_BARE = 0.5
RAMP_S, MEASURED_S = 60.0, 70.0
"""The ramp is as long as a survey takes, so that people are spread over all of its pages."""
BARE_RAMP_S, BARE_MEASURED_S = 5.0, 25.0

STUDY = "/s/prism/"
ANSWERS = {page.code: answers_to(page) for page in read(FOLDER / "prism.yaml").pages}
HIDDEN = re.compile(r'<input type="hidden" name="([^"]+)" value="([^"]*)"')
FINISHED = (
    "from surveys.models import Participant as P;"
    "print(P.objects.filter(survey_finished_at__isnull=False).count())"
)


class Person:
    """Somebody who takes the survey. counted: one entry for each who reached its end."""

    def __init__(self, ports: Iterator[int], counted: list["Person"]) -> None:
        self._browser = Browser(ports)
        self._counted = counted
        self._page: Page
        self.is_finished = False

    async def arrive(self) -> None:
        self._page = await self._browser.get(STUDY)
        await self._send({"consent_age": "on", "consent": "on"})

    async def step(self) -> None:
        await self._send(ANSWERS[self._page.path.split("/")[-2]])
        if not self._page.path.startswith(f"{STUDY}survey/"):
            self.is_finished = True
            self._counted.append(self)

    def leave(self) -> None:
        self._browser.close()

    async def _send(self, fields: dict[str, object]) -> None:
        self._page = await self._browser.post(self._page.path, filled(self._page, fields))


class Writer:
    """Somebody at the bare page, who never finishes."""

    is_finished = False

    def __init__(self, ports: Iterator[int]) -> None:
        self._browser = Browser(ports)
        self._page: Page

    async def arrive(self) -> None:
        self._page = await self._browser.get("/")

    async def step(self) -> None:
        form = filled(self._page, {"text": "Being kind and honest matters to me."})
        self._page = await self._browser.post("/", form)

    def leave(self) -> None:
        self._browser.close()


def filled(page: Page, fields: dict[str, object]) -> bytes:
    """The page's form as a browser sends it: its hidden fields, and those that were filled in."""
    return urlencode(dict(HIDDEN.findall(page.text)) | fields, doseq=True).encode()


def figures() -> Iterator[Figure]:
    with TemporaryDirectory(prefix="refract-bench-") as folder:
        yield from of_stack(Path(folder, "embedded"), full=False)
        yield from of_stack(Path(folder, "full"), full=True)


def of_stack(folder: Path, *, full: bool) -> Iterator[Figure]:
    folder.mkdir()
    processes = 2 if full else 1
    bare = Bare.with_tables(folder / "bare", processes, full=full)
    refract = Template(folder / "template", full=full).copy(folder / "data", {}, processes)
    try:
        bare.start()
        refract.start()
        yield from of_sites(refract, bare, ".full" if full else "")
    except BenchError as error:
        error.add_note(f"The servers wrote:\n{(refract.log + bare.log)[-LOG_SHOWN:]}")
        raise
    finally:
        refract.stop()
        bare.stop()


def of_sites(refract: Refract, bare: Refract, suffix: str) -> Iterator[Figure]:
    finished: list[Person] = []
    ports, bare_ports = itertools.cycle(refract.ports), itertools.cycle(bare.ports)

    def person() -> Person:
        return Person(ports, finished)

    def writer() -> Writer:
        return Writer(bare_ports)

    # First, because for its first seconds a server is still importing.
    times = load.step_times(person, RAMP_S, MEASURED_S)
    bare_times = load.step_times(writer, BARE_RAMP_S, BARE_MEASURED_S)
    limit = p95_ms(bare_times)
    yield Figure(f"survey.think.p95{suffix}", p95_ms(times), "ms", THINK_P95_MS, limit)
    yield Figure(
        f"survey.think.median{suffix}", 1000 * median(times), "ms", None, 1000 * median(bare_times)
    )
    yield Figure(f"survey.think.pace{suffix}", len(times) / MEASURED_S, "steps/s")
    # In turns, because what slows the machine for a while should slow both.
    paces = [(load.pace(person), load.pace(writer)) for _run in range(RUNS)]
    limit = median(of_bare.steps_per_s for _ours, of_bare in paces)
    value = median(ours.steps_per_s for ours, _of_bare in paces)
    goal = SHARE_OF_BARE * limit
    yield Figure(f"survey.saturated{suffix}", value, "steps/s", goal, limit, more_is_better=True)
    yield Figure(
        f"survey.generator{suffix}", median(ours.own_ms for ours, _bare in paces), "ms/step"
    )
    check(refract, len(finished))


def p95_ms(times: list[float]) -> float:
    return 1000 * quantiles(times, n=20)[-1]


def check(refract: Refract, finished: int) -> None:
    """Raises BenchError unless the database knows everybody who reached the end."""
    stored = int(refract.manage("shell", "--verbosity", "0", "--command", FINISHED))
    if stored != finished:
        raise BenchError(f"{finished} people finished the survey, the database has {stored}")
