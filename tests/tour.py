"""A tour of every page that participants meet, in a browser, stopping at each to look at it.

It reads what a page asks and answers that, so it can walk any study's survey.
"""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from playwright.sync_api import Locator, Page, expect

from tests.model_server import ModelServer
from tests.servers import Refract

Look = Callable[[str], None]
"""What is done at each stop; it gets the stop's name."""

SURVEYS = ("prism", "values", "every")
"""Studies whose survey is walked: the two of the demo, and one of every type of question."""
SET_UP = """
import json
from pathlib import Path
from django.conf import settings
from django.utils import timezone
from collection.models import ModelEndpoint
from surveys import enrolment
from surveys.instruments.load import store
from surveys.models import Instrument, Participant, Study

CODES = [code for code, name in settings.LANGUAGES]
prism = Study.objects.get(slug="prism")

def study_like_prism(slug, **changes):
    study = Study.objects.get(slug="prism")
    study.pk = None
    study.slug = slug
    for name, value in changes.items():
        setattr(study, name, value)
    study.save()
    return study

def person(study, **times):
    found = enrolment.arrive(study, {}, None)
    enrolment.show_consent(found)
    enrolment.consent(found)
    Participant.objects.filter(pk=found.pk).update(**{name: timezone.now() for name in times})
    return f"/s/{study.slug}/p/{found.key}/"

every = store(Path("tests/fixtures/every_question.yaml"))
study_like_prism("every", instrument=every)
ready = {"survey_finished_at": True, "instructed_at": True}
links = {
    "stopped": [person(prism, stopped_at=True)],
    "withdrawn": [person(prism, stopped_at=True, withdrawn_at=True)],
    "screened": [person(prism, screened_at=True)],
    "done": [person(prism, completed_at=True, **ready)],
}
prism.endpoints.clear()
for behaviour in ("ok", "hang", "http-500"):
    study = prism if behaviour == "ok" else study_like_prism(behaviour)
    for number in range(4):
        study.endpoints.create(
            long_name=f"{behaviour}-{number}", short_name=f"{behaviour}-{number}",
            model_provider_type="Open Access", model_type="Chat",
            litellm_model=f"openai/{behaviour}", api_base=MODELS,
        )
    links[behaviour] = [person(study, **ready) for language in CODES for scheme in range(2)]

# Every page in every language, whatever the instrument has: its texts then stay its own.
for instrument in Instrument.objects.all():
    own = instrument.document.get("language", "en")
    instrument.document["languages"] = [own, *(code for code in CODES if code != own)]
    instrument.save()
for study in Study.objects.all():
    study.languages = CODES
    study.consent_document["languages"] = CODES
    study.save()
print(json.dumps(links))
"""


@dataclass(frozen=True)
class Country:
    """A running Refract with everything in it that a tour visits."""

    url: str
    links: dict[str, list[str]]
    """Personal links of people who stand where a walk would take long to come."""


def prepare(refract: Refract, models: ModelServer) -> Country:
    """Make the studies and people of a tour. Before anybody visits: instruments are cached."""
    printed = refract.manage("shell", "-v0", "-c", f"MODELS = {models.url!r}\n{SET_UP}")
    return Country(refract.url, json.loads(printed))


def no_look(_stop: str) -> None:
    """For those who only pass through."""


class Tour:
    """Somebody at the browser who looks at each page."""

    def __init__(self, page: Page, country: Country, look: Look, language: str = "en") -> None:
        self.page = page
        self.country = country
        self.look = look
        self.language = language

    def go(self, path: str, **parameters: str) -> None:
        query = "&".join(f"{name}={value}" for name, value in parameters.items())
        mark = "&" if "?" in path else "?"
        self.page.goto(f"{self.country.url}{path}{mark * bool(query)}{query}")

    def visit(self, path: str, stop: str) -> None:
        self.go(path, lang=self.language)
        self.look(stop)

    # -- the stages --

    def outside(self) -> None:
        """What strangers see."""
        for path in ("/", "/nothing/", "/s/prism/?SIMULATED=forged", "/s/prism/declined/"):
            self.visit(path, path)

    def consent(self, study: str, look: Look = no_look) -> None:
        page = self.page
        self.go(f"/s/{study}/", lang=self.language)
        look("consent")
        press_first_button(page)
        look("consent, refused")
        for box in page.locator("main form [type=checkbox]").all():
            box.check()
        press_first_button(page)

    def decline(self, study: str) -> None:
        self.go(f"/s/{study}/", lang=self.language)
        self.visit(f"/s/{study}/decline/", "decline")
        self.visit(f"/s/{study}/information/", "information")

    def survey(self) -> None:
        """Every page: empty, refused, and filled."""
        page = self.page
        while "/survey/" in page.url:
            here = page.url
            name = here.rstrip("/").rpartition("/")[2]
            self.look(name)
            send_anyway(page)
            if page.url == here:
                self.look(f"{name}, refused")
            else:  # nothing on it has to be answered
                page.goto(here)
            fill(page)
            self.look(f"{name}, filled")
            press_continue(page)
            assert page.url != here, page.locator("main").inner_text()

    def leave(self, study: str) -> None:
        self.visit(f"/s/{study}/leave/", "leave")
        report = self.page.locator("form[action$='/problem/'] button")
        press(report)
        self.look("problem, refused")
        self.page.locator("#problem-text").fill("It was slow.")
        press(report)
        self.look("problem, reported")

    def conversation(self) -> None:
        page = self.page
        self.look("instructions")
        press_first_button(page)
        self.look("hub")
        press_first_button(page)
        self.look("opening")
        press_first_button(page)
        self.look("opening, refused")
        self.turn("rating", 4)
        self.look("continuing")
        self.turn("rating two", 2)
        self.look("continuing, may finish")
        press(page.locator("[form=finish]"))
        self.feedback()

    def turn(self, stop: str, replies: int) -> None:
        page = self.page
        page.locator("#prompt").fill("What is a good soup?")
        press_first_button(page)
        page.wait_for_selector("#rating", timeout=60_000)
        expect(page.locator(".reply")).to_have_count(replies)
        self.look(stop)
        for report in page.locator(".report summary").all():
            report.click()
        send = page.locator("#rating > .actions > button")
        send.click()
        self.look(f"{stop}, refused")
        mark_lines(page.locator("#rating"))
        self.look(f"{stop}, filled")
        send.click()
        page.wait_for_selector("#prompt")

    def feedback(self) -> None:
        page = self.page
        page.wait_for_selector("#open_feedback")
        self.look("feedback")
        send_anyway(page)
        self.look("feedback, refused")
        form = page.locator("#page-form")
        form.locator("[name=choice_safety_na]").check()
        mark_lines(form)
        form.locator("#open_feedback").fill("Good answers. A little long.")
        self.look("feedback, filled")
        form.locator(".actions button").click()
        page.wait_for_selector("#open_feedback", state="detached")

    def waiting(self) -> None:
        self.prompt_of("hang")
        expect(self.page.locator("#waiting")).to_be_visible()
        self.look("waiting")

    def failing(self) -> None:
        self.prompt_of("http-500")
        self.page.wait_for_selector(".notice.bad", timeout=60_000)
        self.look("failed models")

    def prompt_of(self, behaviour: str) -> None:
        """Send a first message to models that behave so, as somebody who has not yet."""
        self.go(self.country.links[behaviour].pop(), lang=self.language)
        press_first_button(self.page)
        self.page.locator("#prompt").fill("What is a good soup?")
        press_first_button(self.page)

    def ends(self) -> None:
        for end in ("done", "stopped", "withdrawn", "screened"):
            self.visit(self.country.links[end][0], end)

    def whole(self, study: str) -> None:
        """A study from its link to the end of the survey, and on through one conversation."""
        self.consent(study, self.look)
        self.survey()
        if self.page.url.endswith("/instructions/"):
            self.conversation()
        else:
            self.look("done")
        self.leave(study)


@contextmanager
def renewed(page: Page) -> Iterator[None]:
    """What is done here ends with another page, or with other content in this one."""
    page.evaluate("document.querySelector('main').firstElementChild.dataset.old = ''")
    yield
    page.wait_for_function("!document.querySelector('main [data-old], .htmx-settling')")
    page.wait_for_load_state()


def press(button: Locator) -> None:
    with renewed(button.page):
        button.click()


def press_first_button(page: Page) -> None:
    """The page's own: the switch of languages stands outside main."""
    press(page.locator("main form .btn:not(a)").first)


def press_continue(page: Page) -> None:
    press(page.locator("#page-form > .actions > button"))


def send_anyway(page: Page) -> None:
    """Send the page's form as it is: the server answers, not the script."""
    with renewed(page):
        page.evaluate("document.getElementById('page-form').submit()")


def fill(page: Page) -> None:
    """Answer everything that a survey page asks, with the mouse and by typing."""
    form = page.locator("#page-form")
    for name in names(form, "input[type=radio]"):
        form.locator(f'input[type=radio][name="{name}"]').first.check()
    for name in names(form, "input[type=checkbox]"):
        if not name.endswith(("_na", "_rated", "_declined")):
            boxes = form.locator(f'input[type=checkbox][name="{name}"]')
            for box in boxes.all()[:2]:
                box.check()
    for choice in visible(form.locator("select")):
        choice.select_option(index=1)
    for search in visible(form.locator("[role=combobox]")):
        search.press("ArrowDown")
        search.press("ArrowDown")
        search.press("Enter")
    while (place := form.locator("button[data-verb=place]:enabled")).count():
        place.first.click()
    for field in visible(form.locator("textarea, input[type=text]:not([role])")):
        if is_asked(field):
            field.fill(words_for(field))
    mark_lines(form)


def is_asked(field: Locator) -> bool:
    """Not what may be left empty: words for an option that is not chosen, a line of one's own."""
    asked: bool = field.evaluate(
        """field => {
            const option = document.getElementById(field.dataset.otherFor ?? '');
            return option ? option.checked : !field.closest('[data-optional]');
        }"""
    )
    return asked


def words_for(field: Locator) -> str:
    if field.get_attribute("inputmode") is None:
        return "Kindness matters to me. I try to be fair."
    return {"2": "3", "4": "2001"}.get(field.get_attribute("maxlength") or "", "7")


def mark_lines(form: Locator) -> None:
    lines = form.locator(".vas:not([data-optional]) input[type=range]:enabled")
    for number, line in enumerate(lines.all()):
        box = line.bounding_box()
        assert box
        part = 0.1 + 0.8 * (number * 37 % 10) / 10
        line.click(position={"x": box["width"] * part, "y": box["height"] / 2})


def names(form: Locator, selector: str) -> list[str]:
    found: list[str] = form.locator(selector).evaluate_all("all => all.map(one => one.name)")
    return list(dict.fromkeys(found))


def visible(found: Locator) -> Iterator[Locator]:
    return (one for one in found.all() if one.is_visible())
