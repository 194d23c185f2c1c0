"""People who send the opening prompt of a conversation and wait for the replies.

As a browser with the page's script does it: the prompt is sent, a socket opened, and what has
settled fetched when the socket says so; until then it also asks now and then.
"""

import asyncio
import random
import re
import time
from collections.abc import Awaitable, Callable, Iterable, Iterator
from typing import NamedTuple
from urllib.parse import urlencode

from tests.bench.http import FROM_SCRIPT, BenchError, Browser, Page
from tests.bench.stub import ANSWERS_AFTER_S, TEXT

CONVERSATION = "/s/prism/c/1/"
PROMPT = f"{CONVERSATION}prompt/"
REPLIES = 4
HIDDEN = re.compile(r'<input type="hidden" name="([^"]+)" value="([^"]*)"')
SOCKET = re.compile(r'data-socket="([^"]+)"')
LIVE = re.compile(r'hx-get="([^"]+)"')
ASK_S, ASK_BESIDE_SOCKET_S = 2.0, 10.0
"""As in static/refract/page.js: how often a page asks that has no open socket, and that has one."""
LISTEN_AFTER_S = 0.4
"""Likewise: when it opens the socket."""
WORDS = "How do I tell a friend that I will not come to her wedding, without hurting her?"

Newcomer = Callable[[], "Person"]


def hidden_fields(page: Page) -> dict[str, str]:
    """CSRF token and turn."""
    return dict(HIDDEN.findall(page.text))


class Person:
    def __init__(self, ports: Iterator[int], cookie: tuple[str, str]) -> None:
        self._browser = Browser(ports)
        self._browser.keep(*cookie)
        self.cookie = cookie
        self._form = b""

    async def open(self) -> None:
        """Load the page. Writing takes longer than a server keeps a connection."""
        page = await self._browser.get(CONVERSATION)
        self._form = urlencode(hidden_fields(page) | {"prompt": WORDS}).encode()
        self._browser.close()

    @property
    def is_writing(self) -> bool:
        return bool(self._form)

    async def send(self) -> float:
        """Seconds until the replies are there, beyond those that the models take."""
        began = time.monotonic()
        page = await self._browser.post(PROMPT, self._form, FROM_SCRIPT)
        if 'id="waiting"' in page.text:
            page = await self._settled(page.text)
        took = time.monotonic() - began
        if page.text.count(TEXT) != REPLIES:
            raise BenchError(f"{page.path} has not {REPLIES} replies:\n{page.text}")
        self._browser.close()
        return took - ANSWERS_AFTER_S

    async def _settled(self, waiting: str) -> Page:
        socket, live = SOCKET.search(waiting), LIVE.search(waiting)
        if not socket or not live:
            raise BenchError(f"the page does not say what it waits for:\n{waiting}")
        opened = asyncio.Event()
        heard = asyncio.create_task(self._listen(socket[1], opened))
        while True:
            await self._time_to_ask(heard, opened)
            page = await self._browser.get(live[1], FROM_SCRIPT)
            if page.text:
                if heard.done():
                    heard.result()  # what went wrong there should be known
                heard.cancel()
                return page

    async def _listen(self, path: str, opened: asyncio.Event) -> bool:
        await asyncio.sleep(LISTEN_AFTER_S * random.uniform(0.75, 1.25))
        return await self._browser.hear(path, opened)

    async def _time_to_ask(self, heard: asyncio.Task[bool], opened: asyncio.Event) -> None:
        """Once the socket has spoken, or now and then."""
        if heard.done():  # it was lost
            await asyncio.sleep(ASK_S)
            return
        await asyncio.wait({heard}, timeout=ASK_S)
        if opened.is_set():
            await asyncio.wait({heard}, timeout=ASK_BESIDE_SOCKET_S - ASK_S)


async def all_open(people: Iterable[Person]) -> None:
    """A few at a time."""
    waiting = iter(people)

    async def some() -> None:
        for person in waiting:
            await person.open()

    await asyncio.gather(*(some() for _place in range(8)))


class Load(NamedTuple):
    times: list[float]
    """Overhead of each prompt, in seconds; of who was given up, until then."""
    own_s: float
    """Processor time that the load itself took."""
    unanswered: int = 0
    """People who were given up."""


async def burst(people: list[Person]) -> Load:
    """Everybody sends at the same instant."""
    used = time.process_time()
    times = await asyncio.gather(*(person.send() for person in people))
    return Load(list(times), time.process_time() - used)


async def spread(
    people: list[Person], within_s: float, seed: int, give_up_s: float | None = None
) -> Load:
    """Everybody sends at some moment of a span of time; who has no page opens it then.

    Whoever waits after `give_up_s` is given up, so that a site that can't keep up has figures too.
    """
    rng = random.Random(seed)
    moments = [rng.uniform(0, within_s) for _person in people]

    async def one(person: Person, moment: float) -> float:
        await asyncio.sleep(moment)
        if not person.is_writing:
            await person.open()
        return await person.send()

    used = time.process_time()
    sending = [asyncio.create_task(one(*each)) for each in zip(people, moments, strict=True)]
    _, late = await asyncio.wait(sending, timeout=give_up_s)
    for task in late:
        task.cancel()
    await asyncio.gather(*late, return_exceptions=True)
    times = [
        (give_up_s or 0) - moment if task in late else task.result()
        for task, moment in zip(sending, moments, strict=True)
    ]
    return Load(times, time.process_time() - used, len(late))


async def every(seconds: float, ask: Callable[[], Awaitable[object]]) -> list[float]:
    """Seconds that it took to ask, again and again, until cancelled."""
    times: list[float] = []
    try:
        while True:
            began = time.monotonic()
            await ask()
            times.append(time.monotonic() - began)
            await asyncio.sleep(max(0.0, seconds - times[-1]))
    except asyncio.CancelledError:
        return times
