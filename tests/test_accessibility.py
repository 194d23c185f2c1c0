"""Whether everybody can use participants' pages: axe on each, the keyboard alone, zoomed text."""

from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from django.conf import settings
from playwright.sync_api import Browser, Page

from tests.keyboard import AT_FIRST_ERROR, Keyboard
from tests.layout import WIDTHS, Tape
from tests.model_server import ModelServer
from tests.servers import Refract
from tests.tour import SURVEYS, Country, Tour, prepare

TAGS = ("wcag2a", "wcag2aa", "wcag21aa", "wcag22aa")
ALWAYS = {("en", "light"), ("ar", "dark")}
"""What `make test` checks; `make test-all` checks the rest."""
MODES = [
    pytest.param(
        code,
        scheme,
        marks=() if (code, scheme) in ALWAYS else pytest.mark.every_language,
    )
    for code, _name in settings.LANGUAGES
    for scheme in ("light", "dark")
]

ZOOMS = [
    *[("en", 2), ("en", 4)],
    *[
        pytest.param(code, 2, marks=pytest.mark.every_language)
        for code, _name in settings.LANGUAGES
        if code != "en"
    ],
]


@pytest.fixture(scope="module")
def country(embedded: Refract, model_server: ModelServer) -> Country:
    return prepare(embedded, model_server)


class Inspector:
    """Runs axe at every stop of a tour and keeps what it finds."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.axe = Axe()
        self.found: list[str] = []
        self.stops: list[str] = []
        self.rules: set[str] = set()
        """Those that had something to look at."""

    def look(self, stop: str) -> None:
        # Below the top, whatever the header happens to lie over would be too close to it.
        self.page.evaluate("scrollTo(0, 0)")
        options = {
            "runOnly": {"type": "tag", "values": list(TAGS)},
            "resultTypes": ["violations"],
        }
        result: dict[str, Any] = self.axe.run(self.page, options=options).response
        self.stops.append(stop)
        self.rules |= {rule["id"] for rule in result["passes"]}
        self.found += [
            f"{stop}: {rule['id']}: {node['target']}: {node['failureSummary']}"
            for rule in result["violations"]
            for node in rule["nodes"]
        ]

    def settle(self) -> None:
        assert self.found == [], "\n".join(self.found)


@pytest.fixture
def inspector(page: Page) -> Inspector:
    return Inspector(page)


def tour_of(page: Page, country: Country, inspector: Inspector, code: str, scheme: str) -> Tour:
    page.emulate_media(
        color_scheme="dark" if scheme == "dark" else "light", reduced_motion="reduce"
    )
    page.set_viewport_size({"width": 1280, "height": 900})
    return Tour(page, country, inspector.look, code)


def test_it_works(page: Page, inspector: Inspector) -> None:
    """Axe does find what is wrong, and runs the rules that it leaves out unless asked."""
    page.set_content(
        "<html lang='en'><title>t</title><main><img src='x'><a href='#1'>a</a><a href='#2'>b</a>"
        "<p style='color: #bbb; background: #fff'>Pale</p>"
    )
    inspector.look("a bad page")
    kinds = {found.split(": ")[1] for found in inspector.found}
    assert kinds == {"image-alt", "color-contrast", "target-size"}


@pytest.mark.parametrize(("code", "scheme"), MODES)
@pytest.mark.parametrize("study", SURVEYS)
def test_axe_finds_nothing_in_the_survey(
    page: Page, country: Country, inspector: Inspector, study: str, code: str, scheme: str
) -> None:
    tour = tour_of(page, country, inspector, code, scheme)
    tour.decline(study)
    tour.whole(study)
    inspector.settle()


@pytest.mark.parametrize(("code", "scheme"), MODES)
def test_axe_finds_nothing_elsewhere(
    page: Page, country: Country, inspector: Inspector, code: str, scheme: str
) -> None:
    tour = tour_of(page, country, inspector, code, scheme)
    tour.outside()
    tour.ends()
    tour.waiting()
    tour.failing()
    inspector.settle()


@pytest.mark.parametrize("study", SURVEYS)
def test_the_survey_by_keyboard_alone(page: Page, country: Country, study: str) -> None:
    """First sent empty, so that every page complains, then answered: no mouse, no pointer."""
    page.goto(f"{country.url}/s/{study}/?lang=en")
    keyboard = Keyboard(page)
    refused = 0
    while not page.url.endswith(("/instructions/", "/done/")):
        here = page.url
        keyboard.to_button(answering=False)
        refused += send_empty(keyboard)
        if page.url == here:
            keyboard.to_button(answering=True)
            keyboard.send()
            assert page.url != here, page.locator("main").inner_text()
    assert refused > 5
    assert keyboard.unseen == [], "\n".join(keyboard.unseen)


def send_empty(keyboard: Keyboard) -> bool:
    """Whether the page was refused; then the focus must be at what is wrong."""
    page, here = keyboard.page, keyboard.page.url
    asks_itself = page.locator(".vas[data-state=unrated]:not([data-optional])").count()
    if asks_itself:  # the script complains, and nothing is sent
        keyboard.press("Enter")
    else:
        keyboard.send()
    if page.url != here:
        return False
    assert page.evaluate(AT_FIRST_ERROR) == "", here
    return True


def test_a_focus_that_cannot_be_seen_is_noticed(page: Page) -> None:
    page.set_content("<style>b, :focus { outline: none }</style><button>Unseen</button>")
    keyboard = Keyboard(page)
    keyboard.tab()
    assert len(keyboard.unseen) == 1 and keyboard.unseen[0].endswith("no ring")


@pytest.mark.parametrize(("code", "zoom"), ZOOMS)
@pytest.mark.parametrize("study", SURVEYS)
def test_the_survey_zoomed(
    browser: Browser, country: Country, study: str, code: str, zoom: int
) -> None:
    """In a window of 1280 pixels: at 200 %, and at 400 %, where WCAG 1.4.10 asks for reflow."""
    context = browser.new_context(
        viewport={"width": 1280 // zoom, "height": 1024 // zoom}, device_scale_factor=zoom
    )
    page = context.new_page()
    tape = Tape(page, *(WIDTHS if zoom == 2 else [1280 // zoom]))
    Tour(page, country, tape.look, code).whole(study)
    context.close()
    assert tape.found == [], "\n".join(tape.found)
