"""One simulated person at a browser: from their link to wherever their part ends.

The walk goes where the server sends it and fills in what it finds there; it does not know which
page comes after which. It looks into the database for one thing only, which model wrote a reply,
because the person's scores follow their utility for that model.
"""

import asyncio
import re
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import NamedTuple
from urllib.parse import urljoin, urlsplit

import httpx
from channels.db import database_sync_to_async

from collection.ratings import score_name
from collection.simulation import checks, filling, words
from collection.simulation.checks import Sent, Turn
from collection.simulation.filling import Fields
from collection.simulation.pages import Form, Page
from collection.simulation.people import Course, Habit, Person
from collection.simulation.understanding import NOTHING_SAID, Understood, understood
from surveys import enrolment
from surveys.models import Study

STEP_LIMIT = 600
"""Pages a person looks at before something must be wrong; six long conversations take 200."""
TIMEOUT = httpx.Timeout(60, connect=10)
LIMITS = httpx.Limits(keepalive_expiry=2)
"""Well below the 5 s after which uvicorn closes idle connections, which may cross a request."""
WAIT_MARGIN_S = 15.0
POLL_FIRST_S, POLL_LONGEST_S = 0.15, 2.0
ASIDE = frozenset({"report", "finish", "stop", "problem", "language"})
"""Forms that one may send, but that do not lead on."""

OFTEN, SOMETIMES = 0.5, 0.25
MOST_BACK = 8
"""How often one person goes back at most, so that every walk ends."""
MOST_REPORTS = 2
LAYOUTS = ("1,390,844", "2,1024,768", "2,1536,864")
"""What the page's script sends of a phone, a tablet and a computer."""
RELOAD_AFTER_S = (0.5, 1, 2, 4, 8, 8)
"""Pauses between loading a page again: in all long enough for a server to restart."""


class Ending(StrEnum):
    COMPLETED = "completed"
    DECLINED = "declined"
    STOPPED = "stopped"
    VANISHED = "vanished"
    SCREENED = "screened"
    """Did not pass a comprehension check, or found no place left in a quota."""


ENDINGS = {
    "done": Ending.COMPLETED,
    "declined": Ending.DECLINED,
    "stopped": Ending.STOPPED,
    "screened": Ending.SCREENED,
}
"""The ends that pages know; who vanishes sees none."""


class Stuck(Exception):
    """A person met something that no person should: where, and what they saw."""

    def __init__(self, url: str, seen: str) -> None:
        super().__init__(f"{url}: {seen}")


class Site(NamedTuple):
    """base_url: of Refract; entries: recruiters' pages that send people there, if they come so."""

    base_url: str
    entries: Sequence[str] = ()


class Walk:
    """One person's part in a study."""

    def __init__(self, person: Person, study: Study, site: Site, languages: Sequence[str]) -> None:
        """languages: what the study offers, its own first."""
        self.person = person
        self.study = study
        self.site = site
        self.talks = study.instrument.file.conversation is not None
        self.language = person.language(languages)
        by_browser = self.comes_by("browser")
        self.client = httpx.AsyncClient(
            follow_redirects=True,
            timeout=TIMEOUT,
            limits=LIMITS,
            trust_env=False,
            headers={"Accept-Language": f"{self.language}, en;q=0.5"} if by_browser else None,
        )
        self.speaks_at_first = languages[0] if self.comes_by("switch") else self.language
        self.participant_id: int | None = None
        self.sent = Sent()
        self.forms_sent = 0
        self.times: Counter[str] = Counter()
        """How often each form was sent, by its address."""
        self.before: list[str] = []
        """Addresses of the pages seen, the latest last."""
        self.last_post: tuple[str, Fields, str] | None = None
        self.conversation_type = ""
        self.went_back = 0
        self.reports = 0

    def comes_by(self, way: str) -> bool:
        return self.person.comes_to_it_by == way

    @property
    def latest_url(self) -> str:
        return self.before[-1] if self.before else self.site.base_url

    async def go(self, arrival: str) -> Ending:
        """Take part until the end. Raises Stuck, or httpx's errors if the server can't be had."""
        async with self.client:
            page = await self.in_own_language(await self.arrive(arrival))
            for _step in range(STEP_LIMIT):
                if page.end:
                    await self.hand_in(page)
                    return ENDINGS[page.end]
                if self.leaves_now():
                    return await self.leave(page)
                page = await self.step_or_reload(page)
            raise Stuck(page.url, f"still here after {STEP_LIMIT} pages: {page.heading}")

    async def arrive(self, path: str) -> Page:
        parameters = self.person.parameters | {
            enrolment.SIMULATED: enrolment.simulation_token(self.study)
        }
        if self.comes_by("link"):
            parameters["lang"] = self.language
        page = await self.load(urljoin(self.site.base_url, path), parameters)
        row = await database_sync_to_async(checks.find)(self.study, self.person)
        if row is None:
            raise Stuck(page.url, "the server does not use the database of this command")
        if not row.is_simulated:
            raise Stuck(page.url, "somebody else has come with this person's id")
        self.participant_id = row.pk
        return page

    async def in_own_language(self, page: Page) -> Page:
        """Choose it, if it is another than the page's."""
        if page.language == self.language:
            return page
        switch = page.switch(self.language)
        if switch is None:
            raise Stuck(page.url, f"not in {self.language}, and no button for it")
        url, form = switch
        return await self.post(url, filling.fill(self.person, form, {}), page.url)

    def leaves_now(self) -> bool:
        after = self.person.leaves_after(talks=self.talks)
        return after is not None and self.forms_sent >= after

    async def leave(self, page: Page) -> Ending:
        if self.person.card.course == Course.VANISHES:
            return Ending.VANISHED
        page = await self.follow(page, "leave")
        form = page.form("stop")
        if form is None:
            raise Stuck(page.url, "there is no button to stop with")
        page = await self.post(form.action, filling.fill(self.person, form, {}), page.url)
        if not page.end:
            raise Stuck(page.url, f"stopped, and yet: {page.heading}")
        await self.hand_in(page)
        return ENDINGS[page.end]

    async def hand_in(self, page: Page) -> None:
        """Follow the completion link to the recruiter, if that is who sent them here."""
        link = page.link("complete")
        recruiters = {urlsplit(entry).netloc for entry in self.site.entries}
        if link and urlsplit(link).netloc in recruiters:
            response = await self.client.get(link)
            if response.is_error:
                raise Stuck(link, f"status {response.status_code}: {response.text[:200]}")

    async def step_or_reload(self, page: Page) -> Page:
        """What a person does whose connection is lost, or whose server restarts: load it again."""
        try:
            return await self.step(page)
        except httpx.TransportError:
            return await self.load(self.latest_url)

    async def step(self, page: Page) -> Page:
        """From one page to the next."""
        if page.language not in (None, self.language):
            raise Stuck(page.url, f"in {page.language}, and it was in {self.language}")
        if page.waiting:
            return await self.wait(page)
        if self.person.card.course == Course.DECLINES and page.link("decline"):
            return await self.follow(page, "decline")
        if not leading_on(page) and page.link("next"):
            return await self.follow(page, "next")
        page = await self.report(page)
        form = self.main_form(page)
        filled = await self.fill(page, form)
        if self.person.has(Habit.RELOADS) and self.feels("reload", OFTEN):
            page = await self.reload(page, form, filled)
            form = self.main_form(page)
            filled = await self.fill(page, form)
        if self.person.has(Habit.SKIPS) and self.feels("skip", SOMETIMES):
            await self.send_too_little(page, form, filled)
        page = await self.send(page, form, filled)
        return await self.go_back(page)

    def feels(self, what: str, share: float) -> bool:
        """Whether the person does something now: drawn anew with every form they send."""
        return self.person.draw(what, self.forms_sent).random() < share

    def main_form(self, page: Page) -> Form:
        """The form that leads on: Finish once there were turns enough, else what the page asks."""
        finish = page.form("finish")
        asking = leading_on(page)
        if finish and (not asking or self.has_had_enough(asking[0])):
            return finish
        if not asking:
            raise Stuck(page.url, f"no form that leads on: {page.heading}")
        return asking[0]

    def has_had_enough(self, form: Form) -> bool:
        turn = turn_of(form)
        return turn is not None and turn[1] >= self.person.turns(turn[0])

    async def fill(self, page: Page, form: Form) -> Fields:
        decided: dict[str, str] = {}
        turn = turn_of(form)
        if form.purpose == "prompt" and turn:
            decided["prompt"] = self.prompt(page, turn)
        if form.purpose == "again" and "prompt" in form.fields:
            decided["prompt"] = form.fields["prompt"].value
        if form.purpose == "rate" and turn:
            decided |= await self.scores(turn)
        said = await self.understand(form)
        filled = filling.fill(self.person, form, decided, self.times[form.action], said)
        if form.purpose == "rate":
            filled["layout"] = [self.person.draw("window").choice(LAYOUTS)]
        return filled

    async def understand(self, form: Form) -> Understood:
        """What the questions of a survey page say beyond their fields."""
        place, _slash, code = form.draft.partition("/")
        if place != "survey":
            return NOTHING_SAID
        assert self.participant_id is not None
        page = await database_sync_to_async(checks.page_asked)(self.participant_id, code)
        if page is None:
            raise Stuck(form.action, f"the instrument has no page {code}")
        return understood(self.person, page.questions, self.language, form.attempts())

    def prompt(self, page: Page, turn: Turn) -> str:
        """What they write: about one thing throughout a conversation."""
        number, index = turn
        if index == 0:
            self.conversation_type = page.eyebrow
        about = words.topic(self.person.draw("topic", number), self.conversation_type)
        draw = self.person.draw("prompt", number, index)
        if index == 0:
            return self.person.styled(words.opening(draw, self.conversation_type, about))
        return self.person.styled(words.follow_up(draw, about))

    async def scores(self, turn: Turn) -> dict[str, str]:
        """A score for each reply, by the person's utility for the model that wrote it."""
        assert self.participant_id is not None
        shown = await database_sync_to_async(checks.models_shown)(self.participant_id, turn)
        return {
            score_name(position): str(self.person.score(model, *turn, position))
            for position, model in shown.items()
        }

    async def send(self, page: Page, form: Form, filled: Fields) -> Page:
        """Send a form, twice at once by those who double-click; the page it leads to."""
        # Before, for it may be taken although no answer comes; then the same is sent once more.
        self.note(page, form, filled)
        # The first form for certain: consenting and declining twice are worth seeing.
        doubles = self.forms_sent == 0 or self.feels("double click", OFTEN)
        if self.person.has(Habit.DOUBLE_CLICKS) and doubles:
            _first, following = await asyncio.gather(
                self.post(form.action, filled, page.url), self.post(form.action, filled, page.url)
            )
        else:
            following = await self.post(form.action, filled, page.url)
        if following.status == 422 and not is_next_attempt(form, following):
            raise Stuck(following.url, f"refused: {'; '.join(following.errors)}")
        self.forms_sent += 1
        self.times[form.action] += 1
        self.last_post = (form.action, filled, page.url)
        return following

    def note(self, page: Page, form: Form, filled: Fields) -> None:
        """Remember what was sent, to compare it with what was stored."""
        turn = turn_of(form)
        if turn is None:
            if "/survey/" in form.action:
                self.sent.answers |= given_answers(form, filled)
        elif form.purpose == "prompt":
            own_words = filled.get("prompt")
            self.sent.prompts[turn] = own_words[0] if own_words else page.given_words
        elif form.purpose == "rate":
            self.sent.layouts[turn] = filled["layout"][0]
            self.sent.scores[turn] = {
                int(line.name.rpartition("_")[2]): int(filled[line.name][0])
                for line in form.lines()
            }

    async def send_too_little(self, page: Page, form: Form, filled: Fields) -> None:
        """Leave an answer out: the page must say so, and take nothing."""
        draw = self.person.draw("left out", self.forms_sent)
        optional = (await self.understand(form)).optional
        too_little = filling.leave_one_out(draw, form, filled, optional)
        if too_little is None:
            return
        refused = await self.post(form.action, too_little, page.url)
        if not refused.errors:
            missing = ", ".join(filled.keys() - too_little.keys())
            raise Stuck(form.action, f"taken without {missing}: {refused.heading}")

    async def reload(self, page: Page, form: Form, filled: Fields) -> Page:
        """Load the page again; where it keeps drafts, half filled in, and find the text again."""
        texts = [field.name for field in form.own() if field.kind == "textarea"]
        if form.draft:
            kept = filled | {"page": [form.draft]}
            saved = await self.client.post(form.draft_url, data=kept, headers={"Referer": page.url})
            if saved.status_code != 204:
                raise Stuck(form.draft_url, f"the draft was not kept: {saved.status_code}")
        again = await self.get(page.url)
        found = self.main_form(again)
        for name in texts if form.draft else ():
            shown = found.fields[name].value if name in found.fields else None
            if shown != filled[name][0]:
                raise Stuck(page.url, f"the draft of {name} is {shown!r}")
        return again

    async def go_back(self, page: Page) -> Page:
        """Go back a page or two, or send the last form once more; then on from there."""
        if not self.person.has(Habit.GOES_BACK) or self.went_back >= MOST_BACK or page.end:
            return page
        if not self.feels("go back", SOMETIMES):
            return page
        self.went_back += 1
        draw = self.person.draw("back to", self.forms_sent)
        if self.last_post and draw.random() < OFTEN:
            return await self.post(*self.last_post)
        back = draw.choice((1, 2))
        return await self.get(self.before[-1 - back] if len(self.before) > back else page.url)

    async def report(self, page: Page) -> Page:
        """Report a reply where that can be done, and once a problem."""
        forms = [form for form in page.forms if form.purpose == "report"]
        if not self.person.has(Habit.REPORTS) or self.reports >= MOST_REPORTS or not forms:
            return page
        if not self.feels("report", SOMETIMES):
            return page
        if self.reports == 0:
            await self.report_problem(page)
        self.reports += 1
        draw = self.person.draw("reason", self.forms_sent)
        form = draw.choice(forms)
        filled = filling.fill(self.person, form, {"reason": draw.choice(words.REPORTS)})
        return await self.post(form.action, filled, page.url)

    async def report_problem(self, page: Page) -> None:
        leaving = await self.follow(page, "leave")
        form = leaving.form("problem")
        if form is None:
            raise Stuck(leaving.url, "there is no form to report a problem with")
        text = self.person.draw("problem").choice(words.PROBLEMS)
        await self.post(form.action, filling.fill(self.person, form, {"text": text}), leaving.url)

    async def wait(self, page: Page) -> Page:
        """Ask as the page's script does until the replies are there, or too late."""
        waiting = page.waiting
        assert waiting is not None
        # Twice the limit: a restarted server starts the calls of a turn afresh.
        give_up = time.monotonic() + 2 * waiting.limit_s + WAIT_MARGIN_S
        pause = POLL_FIRST_S
        while time.monotonic() < give_up:
            await asyncio.sleep(pause)
            pause = min(1.5 * pause, POLL_LONGEST_S)
            if self.person.has(Habit.RELOADS):
                again = await self.get(page.url)
                if not again.waiting:
                    return again
                continue
            reply = await self.client.get(waiting.url, headers={"HX-Request": "true"})
            if reply.status_code == 204:
                continue
            if "HX-Redirect" in reply.headers:
                return await self.get(urljoin(page.url, reply.headers["HX-Redirect"]))
            return self.seen(reply, around=page)
        raise Stuck(page.url, "the replies did not come and the page did not say so")

    async def follow(self, page: Page, word: str) -> Page:
        url = page.link(word)
        if url is None:
            raise Stuck(page.url, f"no link to {word}")
        return await self.get(url)

    async def load(self, url: str, parameters: Mapping[str, str] | None = None) -> Page:
        """A page, asked for again while the server can't be reached."""
        for pause in RELOAD_AFTER_S:
            try:
                return await self.get(url, parameters)
            except httpx.TransportError:
                await asyncio.sleep(pause)
        return await self.get(url, parameters)

    async def get(self, url: str, parameters: Mapping[str, str] | None = None) -> Page:
        return self.seen(await self.client.get(url, params=parameters))

    async def post(self, url: str, filled: Fields, referer: str) -> Page:
        return self.seen(await self.client.post(url, data=filled, headers={"Referer": referer}))

    def seen(self, reply: httpx.Response, around: Page | None = None) -> Page:
        """The page of an answer. Raises Stuck unless it is one a person can go on from."""
        url = around.url if around else str(reply.url)
        page = Page(url, reply.status_code, reply.text, around)
        if reply.status_code not in (200, 422):
            raise Stuck(page.url, f"status {reply.status_code}: {page.heading}")
        if reply.request.method == "GET" and [page.url] != self.before[-1:]:
            self.before.append(page.url)
        return page


def leading_on(page: Page) -> list[Form]:
    return [form for form in page.forms if form.purpose not in ASIDE]


def is_next_attempt(form: Form, following: Page) -> bool:
    """Whether the same form asks again because a comprehension check was not passed yet."""
    again = next((one for one in following.forms if one.action == form.action), None)
    before = form.attempts()
    return again is not None and any(
        attempt > before.get(code, attempt) for code, attempt in again.attempts().items()
    )


def turn_of(form: Form) -> Turn | None:
    """Which turn of which conversation a form is about."""
    number = re.search(r"/c/(\d+)/", form.action)
    if number is None:
        return None
    if form.turn is not None:
        return int(number[1]), form.turn
    return None


def given_answers(form: Form, filled: Fields) -> dict[str, str]:
    """The answers of a survey page that have one value each."""
    return {
        name: values[0]
        for name, values in filled.items()
        if name in form.fields
        and form.fields[name].kind in ("radio", "select", "textarea", "text", "range")
        and values[0]
        and (form.fields[name].kind != "range" or f"{name}_rated" in filled)
    }
