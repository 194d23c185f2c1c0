"""Simulated participants who do not give up: what a browser and its person do while servers die.

They send the same again until it is taken, at whichever process answers, and note what they were
told: that is what must be in the database afterwards.
"""

import asyncio
import json
import random
import re
import time
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple
from urllib.parse import urlencode

from tests.bench.http import FROM_SCRIPT, BenchError, Browser, Page
from tests.bench.talk import ASK_BESIDE_SOCKET_S, ASK_S, LIVE, SOCKET
from tests.walk import ATTRIBUTES, feedback_fields, mark

ROOT = "/s/prism/"
HUB = f"{ROOT}conversations/"
DONE = f"{ROOT}done/"
TYPES = ("unguided", "values guided", "controversy guided")
CARD = '<article class="card reply"'
REPLY = re.compile(r"This is reply number \d+\.")
TOKEN = re.compile(r'name="csrfmiddlewaretoken" value="([^"]+)"')
TURN = re.compile(r'name="turn" value="(\d+)"')
PURPOSE = re.compile(rf'action="{ROOT}c/(\d+)/(prompt|rate|again|feedback)/"')
LEADS = re.compile(rb"\r\n(?:location|hx-redirect): *([^\r]+)", re.IGNORECASE)

ANSWERS_WITHIN_S = 40.0
"""Who waits longer reloads."""
GIVES_UP_AFTER_S = 120.0
PAUSE_S = (0.5, 1.5)
THINKS_S = (0.0, 2.0)


Manage = Callable[..., str]
"""Runs a command of manage.py on the data of a running Refract; what it printed."""


class Arrived(NamedTuple):
    """Somebody about to choose their first conversation."""

    key: str
    cookie: tuple[str, str]


def prepare(manage: Manage, people: int, models: str, delay_s: float) -> list[Arrived]:
    """models: address of a model server, where all models of the study now are."""
    found = in_shell(manage, f"prepare({people}, {models!r}, {delay_s})")
    return [Arrived(key, (name, value)) for key, name, value in found]


def in_shell(manage: Manage, call: str) -> Any:
    """What a function of `tests.records` prints, within the running Refract."""
    code = f"from tests import records; records.{call}"
    return json.loads(manage("shell", "--verbosity", "0", "--command", code))


class Patient(Browser):
    """A browser whose person tries again what was not answered, or with a server's error."""

    def __init__(self, ports: Iterator[int], rng: random.Random) -> None:
        super().__init__(ports)
        self.rng = rng
        self.troubles: Counter[str] = Counter()
        """What came instead of an answer: status or exception."""
        self.slowest_s = 0.0

    async def _page(self, path: str, method: bytes, form: bytes, headers: bytes) -> Page:
        head, body = await self._answer(path, method, form, headers)
        while found := LEADS.search(head):
            path = found[1].decode()
            head, body = await self._answer(path, b"GET", b"", b"")
        return Page(path, body.decode())

    async def _answer(
        self, path: str, method: bytes, form: bytes, headers: bytes
    ) -> tuple[bytes, bytes]:
        """Head and body of an answer that is one. Raises BenchError if the server refuses."""
        began = time.monotonic()
        while time.monotonic() - began < GIVES_UP_AFTER_S:
            answer = await self._try(path, method, form, headers)
            if answer is not None:
                return answer
            await asyncio.sleep(self.rng.uniform(*PAUSE_S))
        raise BenchError(f"{path} is not answered: {self.troubles}")

    async def _try(
        self, path: str, method: bytes, form: bytes, headers: bytes
    ) -> tuple[bytes, bytes] | None:
        began = time.monotonic()
        try:
            async with asyncio.timeout(ANSWERS_WITHIN_S):
                head, body = await self._ask(path, method, form, headers)
        except (OSError, EOFError) as error:  # asyncio's IncompleteReadError is an EOFError
            self.troubles[type(error).__name__] += 1
            self.close()
            return None
        self.slowest_s = max(self.slowest_s, time.monotonic() - began)
        status = int(head[9:12])
        if status < 400:
            return head, body
        if status < 500:
            raise BenchError(f"{method.decode()} {path} answers {status}:\n{body.decode()}")
        self.troubles[str(status)] += 1
        return None


class Talker:
    """A person with so many conversations before them, one of each type."""

    def __init__(self, ports: Iterator[int], key: str, cookie: tuple[str, str], seed: int) -> None:
        self.key = key
        self.rng = random.Random(f"{seed}/{key}")
        self.browser = Patient(ports, self.rng)
        self.browser.keep(*cookie)
        self.told: dict[int, dict[str, Any]] = {}
        """Number of a conversation -> what the server has acknowledged of it."""
        self.heard = 0
        """How often a socket told that the replies were there."""

    async def take_part(self) -> None:
        """All conversations, in an order of one's own."""
        types = self.rng.sample(TYPES, len(TYPES))
        page = await self.browser.get(HUB)
        while page.path != DONE:
            await asyncio.sleep(self.rng.uniform(*THINKS_S))
            page = await self.step(page, types)
        self.browser.close()

    async def step(self, page: Page, types: list[str]) -> Page:
        if page.path == HUB:
            return await self.post(page, HUB, type=types.pop())
        if 'id="waiting"' in page.text:
            return await self.wait(page)
        found = PURPOSE.search(page.text)
        if found is None or found[2] == "again":
            raise BenchError(f"{page.path} leads nowhere:\n{page.text}")
        number, purpose = int(found[1]), found[2]
        turn = TURN.search(page.text)
        notes = self.told.setdefault(number, {"turns": [], "attributes": [], "feedback": None})
        match purpose:
            case "feedback":
                return await self.give_feedback(page, number, notes)
            case "rate" if turn:
                return await self.rate(page, number, notes["turns"][int(turn[1])])
            case "prompt" if turn:
                if int(turn[1]) == self.turns(number):
                    return await self.post(page, f"{ROOT}c/{number}/finish/")
                return await self.prompt(page, number, int(turn[1]), notes["turns"])
        raise BenchError(f"{page.path} has a form without a turn:\n{page.text}")

    def turns(self, number: int) -> int:
        return random.Random(f"{self.key}/{number}").choice((2, 3))

    async def post(self, page: Page, path: str, **fields: str) -> Page:
        token = TOKEN.search(page.text)
        if token is None:
            raise BenchError(f"{page.path} has no token:\n{page.text}")
        form = urlencode({"csrfmiddlewaretoken": token[1], **fields}).encode()
        headers = b"" if path == HUB else FROM_SCRIPT
        return await self.browser.post(path, form, headers)

    async def prompt(self, page: Page, number: int, turn: int, turns: list[Any]) -> Page:
        if len(turns) != turn:
            raise BenchError(f"{page.path} asks for turn {turn} again:\n{page.text}")
        text = f"Question {turn} of {number}, by {self.key}?"
        page = await self.post(page, f"{ROOT}c/{number}/prompt/", turn=str(turn), prompt=text)
        turns.append({"prompt": text, "replies": [], "scores": []})
        return page

    async def wait(self, page: Page) -> Page:
        """As the page's script does: ask often, or seldom beside a socket that is open."""
        socket, live = SOCKET.search(page.text), LIVE.search(page.text)
        if not socket or not live:
            raise BenchError(f"the page does not say what it waits for:\n{page.text}")
        listening, opened = self.listen(socket[1])
        while True:
            every_s = ASK_BESIDE_SOCKET_S if opened.is_set() else ASK_S
            await asyncio.wait({listening}, timeout=every_s)
            if listening.done():
                if is_told(listening):
                    self.heard += 1
                else:
                    await asyncio.sleep(ASK_S)
                listening, opened = self.listen(socket[1])
            fragment = await self.browser.get(live[1], FROM_SCRIPT)
            if fragment.text:
                listening.cancel()
                await asyncio.gather(listening, return_exceptions=True)
                return fragment

    def listen(self, path: str) -> "tuple[asyncio.Task[bool], asyncio.Event]":
        """A socket, and whether it has opened."""
        opened = asyncio.Event()
        return asyncio.create_task(self.browser.hear(path, opened)), opened

    async def rate(self, page: Page, number: int, turn: dict[str, Any]) -> Page:
        if turn["scores"]:
            raise BenchError(f"{page.path} asks for scores again:\n{page.text}")
        _before, *cards = page.text.split(CARD)
        replies = [found[0] for card in cards if (found := REPLY.search(card))]
        scores = [self.rng.randint(1, 100) for _reply in replies]
        marks: dict[str, str] = {}
        for position, score in enumerate(scores):
            marks |= mark(f"score_{position}", score)
        found = TURN.search(page.text)
        assert found
        turn["replies"] = replies  # seen, whatever becomes of the scores
        page = await self.post(page, f"{ROOT}c/{number}/rate/", turn=found[1], **marks)
        turn["scores"] = scores
        return page

    async def give_feedback(self, page: Page, number: int, notes: dict[str, Any]) -> Page:
        text = f"What {self.key} thought of conversation {number}."
        fields = feedback_fields()
        page = await self.post(page, f"{ROOT}c/{number}/feedback/", **fields, open_feedback=text)
        notes |= {"feedback": text, "attributes": values_of(fields)}
        return page


def values_of(fields: dict[str, str]) -> list[list[str | int | None]]:
    """[kind, attribute, value or None where it does not apply], in alphabetical order."""
    names = sorted(f"{kind}_{code}" for kind in ("choice", "performance") for code in ATTRIBUTES)
    values = {name: int(fields[name]) if name in fields else None for name in names}
    return [[*name.split("_"), value] for name, value in values.items()]


def is_told(listening: "asyncio.Task[bool]") -> bool:
    """Whether a socket has spoken. Opened in vain or lost, it has not."""
    error = listening.exception()
    if error and not isinstance(error, OSError | EOFError | BenchError):
        raise error
    return not error and listening.result()
