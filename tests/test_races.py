"""Two tabs, or two devices, at the same instant: one outcome, and both pages show it.

On both stacks, with real processes; in the full stack the devices talk to different ones. Several
people race at once, so that requests meet in as many ways as they can.
"""

import asyncio
import itertools
import random
import re
from collections.abc import Awaitable, Callable, Iterator, Mapping
from typing import NamedTuple
from urllib.parse import urlencode

import pytest

from tests.bench.http import FROM_SCRIPT, Page
from tests.conftest import running
from tests.model_server import ModelServer
from tests.servers import Refract
from tests.talkers import HUB, ROOT, TOKEN, TYPES, Patient, prepare
from tests.walk import feedback_fields, mark

pytestmark = pytest.mark.servers

RACING = 6
"""People at once."""
DECLINING = 24
"""At once: a page less to load between the two clicks, so they meet less often."""
RACES = 8
"""Tests that need people who have finished the survey."""
CONVERSATION = f"{ROOT}c/1/"
MAIN = re.compile(r"<main.*</main>", re.DOTALL)
LOOK_EVERY_S = 0.1
LOOKS = 600


class Device(Patient):
    """A browser with the page that it shows. Two of them have their person's cookie."""

    page: Page
    sends_as = b""
    """Headers: of a page's script, or of a page without."""

    async def look(self) -> str:
        """Load the page where the server says that the person is; what it shows."""
        self.page = await self.get(f"{ROOT}next/")
        found = MAIN.search(self.page.text)
        assert found, self.page
        return TOKEN.sub("", found[0])

    async def settled(self) -> str:
        """The same, once there is nothing to wait for."""
        for _look in range(LOOKS):
            seen = await self.look()
            if 'id="waiting"' not in seen:
                return seen
            await asyncio.sleep(LOOK_EVERY_S)
        raise AssertionError(f"the models never answer:\n{seen}")

    async def send(self, path: str, fields: Mapping[str, str]) -> None:
        """From the page that it shows, which stays as it is until somebody looks."""
        token = TOKEN.search(self.page.text)
        assert token, self.page
        form = urlencode({"csrfmiddlewaretoken": token[1], **fields}).encode()
        await self.post(path, form, b"" if path == HUB else self.sends_as)

    async def start(self, kind: str = TYPES[0]) -> None:
        await self.send(HUB, {"type": kind})

    async def prompt(self, turn: int, text: str) -> None:
        await self.send(f"{CONVERSATION}prompt/", {"turn": str(turn), "prompt": text})

    async def rate(self, turn: int, *scores: int) -> None:
        fields = {"turn": str(turn)}
        for position, score in enumerate(scores):
            fields |= mark(f"score_{position}", score)
        await self.send(f"{CONVERSATION}rate/", fields)

    async def finish(self) -> None:
        await self.send(f"{CONVERSATION}finish/", {})

    async def feedback(self, text: str, value: int) -> None:
        fields = feedback_fields() | mark("choice_values", value) | mark("choice_safety", value)
        await self.send(f"{CONVERSATION}feedback/", fields | {"open_feedback": text})


class Pair(NamedTuple):
    """One person's two devices."""

    one: Device
    other: Device

    async def at_once(self, *deeds: Awaitable[None]) -> None:
        await asyncio.gather(*deeds)

    async def talk(self, turns: int) -> None:
        """So many rated turns, on the one device; both then show where that is."""
        await self.one.look()
        await self.one.start()
        for turn in range(turns):
            await self.one.look()
            await self.one.prompt(turn, f"Question {turn}?")
            await self.one.settled()
            await self.one.rate(turn, *((10, 20, 90, 30) if turn == 0 else (70, 60)))
        await self.both_look()

    async def both_look(self) -> None:
        assert await self.one.settled() == await self.other.settled()


Race = Callable[[Pair], Awaitable[None]]
Run = Callable[[Race], str]
"""Runs a race for several people; returns a condition of SQL for their rows."""


@pytest.fixture(scope="module")
def models() -> Iterator[ModelServer]:
    with ModelServer() as server:
        yield server


@pytest.fixture(scope="module", params=["embedded", "full"])
def refract(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Refract]:
    """Each of the two ways to run, with models on this machine."""
    template = request.getfixturevalue(f"{request.param}_template")
    with running(template, tmp_path_factory.mktemp("races")) as run:
        processes = 2 if request.param == "full" else 1
        yield run({"REFRACT_PRIVATE_ADDRESSES": "1"}, processes)


@pytest.fixture(scope="module")
def people(refract: Refract, models: ModelServer) -> Iterator[tuple[str, tuple[str, str]]]:
    return iter(prepare(refract.manage, RACING * RACES, models.url, delay_s=0.0))


def pair(refract: Refract, *cookies: tuple[str, str]) -> Pair:
    first, last = refract.ports[0], refract.ports[-1]
    found = Pair(*(Device(itertools.repeat(port), random.Random(0)) for port in (first, last)))
    found.one.sends_as = FROM_SCRIPT
    for cookie in cookies:
        found.one.keep(*cookie)
        found.other.keep(*cookie)
    return found


async def all_race(race: Race, pairs: list[Pair]) -> None:
    await asyncio.gather(*(race(racing) for racing in pairs))
    for racing in pairs:
        await racing.both_look()
        for device in racing:
            assert not device.troubles
            device.close()


@pytest.fixture
def run(refract: Refract, people: Iterator[tuple[str, tuple[str, str]]]) -> Run:
    def run(race: Race) -> str:
        racing = list(itertools.islice(people, RACING))
        asyncio.run(all_race(race, [pair(refract, cookie) for _key, cookie in racing]))
        keys = ", ".join(f"'{key}'" for key, _cookie in racing)
        return f"key IN ({keys})"

    return run


OF_PEOPLE = "surveys_participant p LEFT JOIN collection_conversation c ON c.participant_id = p.id"
OF_TURNS = f"{OF_PEOPLE} JOIN collection_interaction i ON i.conversation_id = c.id"


def test_it_works(refract: Refract, run: Run) -> None:
    """The same message, sent twice: one turn, four calls, four replies."""

    async def race(pair: Pair) -> None:
        await pair.talk(0)
        await pair.at_once(*(device.prompt(0, "Twice?") for device in pair))

    racing = run(race)
    turns = refract.rows(f"SELECT c.id, turn, user_prompt FROM {OF_TURNS} WHERE {racing}")
    assert len(turns) == RACING
    assert {row[1:] for row in turns} == {(0, "Twice?")}
    replies = refract.rows(
        "SELECT i.id, a.number, count(distinct call.id), count(distinct u.id)"
        f" FROM {OF_TURNS} JOIN collection_attempt a ON a.interaction_id = i.id"
        " JOIN collection_modelcall call ON call.attempt_id = a.id"
        f" JOIN collection_utterance u ON u.interaction_id = i.id WHERE {racing} GROUP BY 1, 2"
    )
    assert [row[1:] for row in replies] == [(0, 4, 4)] * RACING


def test_different_messages(refract: Refract, run: Run) -> None:
    async def race(pair: Pair) -> None:
        await pair.talk(1)
        await pair.at_once(pair.one.prompt(1, "One?"), pair.other.prompt(1, "Other?"))

    racing = run(race)
    sent = refract.rows(f"SELECT user_prompt FROM {OF_TURNS} WHERE {racing} AND turn = 1")
    assert len(sent) == RACING
    assert {text for [text] in sent} <= {"One?", "Other?"}
    asked = refract.rows(f"SELECT turn FROM {OF_TURNS} WHERE {racing} AND turn > 1")
    assert asked == []


def test_different_scores(refract: Refract, run: Run) -> None:
    """One of the two ratings, and all of it."""
    one, other = (90, 1, 1, 1), (2, 2, 2, 80)

    async def race(pair: Pair) -> None:
        await pair.talk(0)
        await pair.one.prompt(0, "Which?")
        await pair.both_look()
        await pair.at_once(pair.one.rate(0, *one), pair.other.rate(0, *other))

    racing = run(race)
    rows = refract.rows(
        "SELECT c.id, score, if_chosen, c.endpoint_id = u.endpoint_id"
        f" FROM {OF_TURNS} JOIN collection_utterance u ON u.interaction_id = i.id"
        f" WHERE {racing} ORDER BY c.id, u.position"
    )
    for _conversation, group in itertools.groupby(rows, key=lambda row: row[0]):
        scores, chosen, locked_in = zip(*(row[1:] for row in group), strict=True)
        assert scores in (one, other)
        assert [bool(c) for c in chosen] == [score >= 80 for score in scores]
        assert [bool(at) for at in locked_in] == [bool(c) for c in chosen]
    assert len(rows) == 4 * RACING


def test_finishing_while_sending(refract: Refract, run: Run) -> None:
    """Whichever came first: a third turn in an open conversation, or two in a finished one."""

    async def race(pair: Pair) -> None:
        await pair.talk(2)
        await pair.at_once(pair.one.prompt(2, "One more?"), pair.other.finish())

    racing = run(race)
    found = refract.rows(
        "SELECT c.state, c.finished_at IS NULL, count(*),"
        f" sum(CASE WHEN i.state = 'pending' THEN 1 ELSE 0 END)"
        f" FROM {OF_TURNS} WHERE {racing} GROUP BY c.id, c.state, c.finished_at"
    )
    assert len(found) == RACING
    assert {(s, bool(n), t, p) for s, n, t, p in found} <= {
        ("open", True, 3, 0),
        ("finished", False, 2, 0),
    }


def test_feedback_twice(refract: Refract, run: Run) -> None:
    async def race(pair: Pair) -> None:
        await pair.talk(2)
        await pair.at_once(*(device.finish() for device in pair))
        await pair.both_look()
        await pair.at_once(pair.one.feedback("One.", 11), pair.other.feedback("Other.", 22))

    racing = run(race)
    found = refract.rows(
        "SELECT c.state, f.open_feedback, count(*), min(r.value), max(r.value)"
        f" FROM {OF_PEOPLE} JOIN collection_feedback f ON f.conversation_id = c.id"
        " LEFT JOIN collection_attributerating r ON r.conversation_id = c.id"
        " AND r.kind = 'choice' AND r.attribute IN ('values', 'safety')"
        f" WHERE {racing} GROUP BY c.id, c.state, f.open_feedback"
    )
    assert len(found) == RACING
    assert set(found) <= {("complete", "One.", 2, 11, 11), ("complete", "Other.", 2, 22, 22)}


def test_starting_two_conversations(refract: Refract, run: Run) -> None:
    async def race(pair: Pair) -> None:
        await pair.both_look()
        await pair.at_once(pair.one.start(TYPES[0]), pair.other.start(TYPES[1]))
        # A type can be changed until the first message is sent.
        await pair.one.look()
        await pair.at_once(pair.one.prompt(0, "Begun?"), pair.other.start(TYPES[2]))

    racing = run(race)
    found = refract.rows(
        f"SELECT p.id, c.number, count(i.id) FROM {OF_TURNS} WHERE {racing} GROUP BY 1, 2"
    )
    assert [row[1:] for row in found] == [(1, 1)] * RACING


def test_trying_again_twice(refract: Refract, run: Run, models: ModelServer) -> None:
    known = [name for [name] in refract.rows("SELECT litellm_model FROM collection_modelendpoint")]

    async def race(pair: Pair) -> None:
        await pair.talk(0)
        await pair.one.prompt(0, "Anybody?")
        assert "again/" in await pair.one.settled()
        await pair.both_look()
        await still.wait()
        models.behaviours.clear()
        await pair.at_once(
            pair.one.send(f"{CONVERSATION}again/", {"attempt": "0", "prompt": "One?"}),
            pair.other.send(f"{CONVERSATION}again/", {"attempt": "0", "prompt": "Other?"}),
        )

    still = asyncio.Barrier(RACING)
    models.behaviours |= {name.removeprefix("openai/"): "http-500" for name in known}
    racing = run(race)
    found = refract.rows(
        "SELECT i.id, user_prompt, i.state, count(*)"
        f" FROM {OF_TURNS} JOIN collection_attempt a ON a.interaction_id = i.id"
        f" WHERE {racing} GROUP BY 1, 2, 3"
    )
    assert len(found) == RACING
    assert {row[1:] for row in found} <= {("One?", "settled", 2), ("Other?", "settled", 2)}


def test_a_report_and_a_draft_twice(refract: Refract, run: Run) -> None:
    """Things noted beside the conversation, of which the latest stands."""

    async def race(pair: Pair) -> None:
        await pair.talk(0)
        await pair.one.prompt(0, "What?")
        await pair.both_look()
        report = {"position": "1", "reason": "Rude.", "hide": "on"}
        await pair.at_once(*(d.send(f"{CONVERSATION}report/", report) for d in pair))
        draft = {"page": "c/1/0/rate", "score_0": "33", "score_0_rated": "on"}
        await pair.at_once(*(d.send(f"{ROOT}draft/", draft) for d in pair))

    racing = run(race)
    reports = refract.rows(
        f"SELECT reason, hidden_at IS NULL FROM {OF_TURNS}"
        " JOIN collection_utterance u ON u.interaction_id = i.id"
        f" JOIN collection_replyreport r ON r.utterance_id = u.id WHERE {racing}"
    )
    assert [(reason, bool(shown)) for reason, shown in reports] == [("Rude.", False)] * RACING
    drafts = "surveys_participant p JOIN surveys_draft d ON d.participant_id = p.id"
    assert len(refract.rows(f"SELECT page FROM {drafts} WHERE {racing}")) == RACING


@pytest.mark.usefixtures("people")
def test_consenting_twice(refract: Refract) -> None:
    """Arriving twice, too: two devices with the same recruiter's link."""

    async def race(pair: Pair) -> None:
        link = f"{ROOT}?PROLIFIC_PID=racer-{next(numbers)}&STUDY_ID=races"
        pages = await asyncio.gather(*(device.get(link) for device in pair))
        pair.one.page, pair.other.page = pages
        agreed = {"consent_age": "on", "consent": "on"}
        await pair.at_once(*(d.send(f"{ROOT}consent/", agreed) for d in pair))

    numbers = itertools.count()
    asyncio.run(all_race(race, [pair(refract) for _person in range(RACING)]))
    found = refract.rows(
        "SELECT external_id, count(distinct p.id), count(c.id), count(r.id)"
        " FROM surveys_identity i JOIN surveys_participant p ON i.participant_id = p.id"
        " LEFT JOIN surveys_consent c ON c.participant_id = p.id"
        " LEFT JOIN collection_reservation r ON r.participant_id = p.id"
        " WHERE external_id LIKE 'racer-%' GROUP BY 1"
    )
    assert sorted(found) == [(f"racer-{number}", 1, 1, 1) for number in range(RACING)]


@pytest.mark.usefixtures("people")
def test_declining_twice(refract: Refract) -> None:
    """Counted once, and the second click takes nobody in again."""

    async def race(number: int) -> list[str]:
        devices = pair(refract)
        link = f"{ROOT}?PROLIFIC_PID=decliner-{number}&STUDY_ID=declining"
        tokens = [TOKEN.search((await device.get(link)).text) for device in devices]
        forms = [urlencode({"csrfmiddlewaretoken": token[1]}).encode() for token in tokens if token]
        clicks = zip(devices, forms, strict=True)
        ends = await asyncio.gather(*(one.post(f"{ROOT}decline/", form) for one, form in clicks))
        for device in devices:
            device.close()
        return [page.path for page in ends]

    async def races() -> list[list[str]]:
        return await asyncio.gather(*(race(number) for number in range(DECLINING)))

    ends = asyncio.run(races())
    assert {path for paths in ends for path in paths} == {f"{ROOT}declined/"}
    declined = "SELECT count(*) FROM surveys_decline WHERE source = 'declining'"
    assert refract.rows(declined) == [(DECLINING,)]
