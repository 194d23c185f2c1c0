"""What participants' pages do in Chromium: keep drafts, send once, guide, copy."""

import json
from collections.abc import Iterator
from http import HTTPStatus
from types import SimpleNamespace
from typing import Any

import pytest
from django.template import engines
from playwright.sync_api import Page, expect

from tests.static_site import Site, serving

AFTER_A_PAUSE_MS = 900
FORM = """<form method="post" action="/sent" novalidate data-draft="survey/self"
 data-draft-url="/draft"><input type="hidden" name="csrfmiddlewaretoken" value="token">
<label for="text">Text</label><textarea id="text" name="text"></textarea>
<label class="choice"><input type="checkbox" name="use" value="games"> <span>Games</span></label>
<label class="choice"><input type="checkbox" name="use" value="other" id="use-other">
 <span>Other</span></label>
<label for="own">In your own words</label>
<input type="text" id="own" name="own" data-other-for="use-other">
<button class="btn" name="go" value="on">Continue</button></form><a href="/away">Away</a>"""


@pytest.fixture
def site() -> Iterator[Site]:
    with serving() as site:
        yield site


def show(page: Page, site: Site, content: str, person: int = 7) -> None:
    """Open a participant's page with this content in the real frame."""
    template = engines["django"].from_string(
        '{% extends "base.html" %}{% block title %}Page{% endblock %}'
        f"{{% block content %}}<div class='page'>{content}</div>{{% endblock %}}"
    )
    study = SimpleNamespace(slug="prism", contact_email="ada@example.org")
    progress = SimpleNamespace(
        where="Survey",
        detail="page 4 of 9",
        left="About 55 minutes left",
        pieces=[(1, 100), (4, 40)],
    )
    participant = SimpleNamespace(pk=person, consent=True)
    context = {"study": study, "participant": participant, "progress": progress}
    site.pages["/"] = template.render(context)
    page.goto(site.url)


def copies(page: Page) -> dict[str, Any]:
    """What the browser keeps of unsaved answers."""
    kept: dict[str, str] = page.evaluate("({ ...localStorage })")
    return {key: json.loads(copy) for key, copy in kept.items()}


def test_it_works(page: Page, site: Site) -> None:
    show(page, site, FORM)
    page.get_by_label("Text").fill("Being kind")
    page.get_by_text("Games").click()
    with page.expect_response("**/draft"):
        pass
    expect(page.locator(".toast")).to_have_class("toast on")
    [draft] = site.forms("/draft")
    assert draft == {
        "csrfmiddlewaretoken": ["token"],
        "text": ["Being kind"],
        "use": ["games"],
        "own": [""],
        "page": ["survey/self"],
    }
    expect(page.locator(".toast")).to_have_class("toast")
    assert copies(page) == {}


def test_the_frame(page: Page, site: Site) -> None:
    page.set_viewport_size({"width": 360, "height": 640})
    show(page, site, FORM)
    expect(page.locator(".where")).to_have_text("Survey page 4 of 9")
    expect(page.get_by_role("link", name="Pause or leave")).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth") == 360
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to the page")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("main")).to_be_focused()


def test_answers_survive_a_server_that_fails(page: Page, site: Site) -> None:
    site.status["/draft"] = HTTPStatus.INTERNAL_SERVER_ERROR
    show(page, site, FORM)
    page.get_by_label("Text").fill("Being kind")
    trouble = page.locator("#trouble")
    expect(trouble).to_contain_text("can’t be saved just now")
    page.reload()
    expect(page.get_by_label("Text")).to_have_value("Being kind")
    expect(trouble).to_contain_text("can’t be saved just now")
    site.status.clear()
    expect(trouble).to_be_empty()
    assert site.forms("/draft")[-1]["text"] == ["Being kind"]
    assert copies(page) == {}


def test_a_stranger_to_the_server_is_not_told_that_all_is_saved(page: Page, site: Site) -> None:
    site.status["/draft"] = HTTPStatus.FOUND
    show(page, site, FORM)
    page.get_by_label("Text").fill("Being kind")
    expect(page.locator("#trouble")).to_contain_text("can’t be saved just now")


def test_nothing_is_lost_offline(page: Page, site: Site) -> None:
    show(page, site, FORM)
    page.context.set_offline(True)
    expect(page.locator("#trouble")).to_contain_text("You are offline.")
    page.get_by_label("Text").fill("Being kind")
    page.get_by_role("button", name="Continue").click()
    page.wait_for_timeout(AFTER_A_PAUSE_MS)
    expect(page.get_by_label("Text")).to_have_value("Being kind")
    [copy] = copies(page).values()
    assert ["text", "Being kind"] in copy["fields"]
    assert "token" not in json.dumps(copy)
    page.context.set_offline(False)
    expect(page.locator("#trouble")).to_be_empty()
    assert site.forms("/draft")[-1]["text"] == ["Being kind"]


def test_another_persons_copy_stays_theirs(page: Page, site: Site) -> None:
    site.status["/draft"] = HTTPStatus.INTERNAL_SERVER_ERROR
    show(page, site, FORM)
    page.get_by_label("Text").fill("Being kind")
    expect(page.locator("#trouble")).not_to_be_empty()
    show(page, site, FORM, person=8)
    expect(page.get_by_label("Text")).to_have_value("")


def test_an_old_copy_is_forgotten(page: Page, site: Site) -> None:
    show(page, site, FORM)
    page.evaluate("localStorage.setItem('refract/3/x', JSON.stringify({ at: 1, fields: [] }))")
    page.reload()
    assert copies(page) == {}


def test_leaving_saves_at_once(page: Page, site: Site) -> None:
    site.pages["/away"] = "away"
    show(page, site, FORM)
    page.get_by_label("Text").fill("Being kind")
    page.get_by_role("link", name="Away").click()
    page.wait_for_url("**/away")
    page.wait_for_timeout(200)
    assert site.forms("/draft")[-1]["text"] == ["Being kind"]


def test_no_draft_follows_the_form(page: Page, site: Site) -> None:
    show(page, site, FORM)
    page.get_by_label("Text").fill("Being kind")
    with page.expect_response("**/sent"):
        page.get_by_role("button", name="Continue").click()
    page.get_by_label("Text").fill("Being kinder")
    page.wait_for_timeout(AFTER_A_PAUSE_MS)
    assert ["Being kinder"] not in [form["text"] for form in site.forms("/draft")]
    page.reload()  # the sending may have failed: what was sent is there again
    expect(page.get_by_label("Text")).to_have_value("Being kind")


def test_a_double_click_sends_once(page: Page, site: Site) -> None:
    show(page, site, FORM)
    with page.expect_response("**/sent"):
        page.get_by_role("button", name="Continue").dblclick()
    page.get_by_role("button", name="Continue").click()
    page.wait_for_timeout(300)
    [sent] = site.forms("/sent")
    assert sent["go"] == ["on"]
    page.evaluate("dispatchEvent(new PageTransitionEvent('pageshow', { persisted: true }))")
    with page.expect_response("**/sent"):
        page.get_by_role("button", name="Continue").click()
    assert len(site.forms("/sent")) == 2


def test_own_words_tick_their_option(page: Page, site: Site) -> None:
    show(page, site, FORM)
    page.get_by_label("In your own words").fill(" ")
    expect(page.get_by_label("Other")).not_to_be_checked()
    page.get_by_label("In your own words").fill("Letters")
    expect(page.get_by_label("Other")).to_be_checked()


@pytest.mark.parametrize(
    ("text", "words", "ticks"),
    [
        ("", "Two to five sentences", 0),
        ("I try to listen", "One sentence so far", 1),
        ("I try to listen. Then I speak!", "A good length", 2),
        ("One. Two. Three. Four. Five. Six.", "A good length", 5),
    ],
)
def test_a_length_in_words(page: Page, site: Site, text: str, words: str, ticks: int) -> None:
    area = '<textarea aria-label="Text" aria-describedby="length" data-sentences="2,5"></textarea>'
    show(page, site, f'{area}{{% include "partials/_length.html" with id="length" %}}')
    page.get_by_label("Text").fill(text)
    expect(page.locator("#length")).to_have_text(words)
    expect(page.locator("#length i.on")).to_have_count(ticks)


def test_more_sentences_may_be_asked_for(page: Page, site: Site) -> None:
    area = '<textarea aria-label="Text" aria-describedby="length" data-sentences="3,4"></textarea>'
    show(page, site, f'{area}{{% include "partials/_length.html" with id="length" %}}')
    expect(page.locator("#length")).to_have_text("Three to four sentences")
    page.get_by_label("Text").fill("I listen. I speak.")
    expect(page.locator("#length")).to_have_text("Two sentences so far")


@pytest.mark.parametrize(
    ("length", "words"),
    [
        (100, ""),
        (299, ""),
        (300, "You have room for about 30 more words."),
        (430, "You have room for about 10 more words."),
        (460, "You have room for about 5 more words."),
        (490, "There is almost no room left."),
    ],
)
def test_room_is_told_near_the_limit(page: Page, site: Site, length: int, words: str) -> None:
    show(page, site, '<label for="t">Text</label><textarea id="t" maxlength="500"></textarea>')
    page.get_by_label("Text").fill("a" * length)
    hint = page.locator("#t-room")
    expect(hint).to_have_count(1 if words else 0)
    if words:
        expect(hint).to_have_text(words)
        expect(page.get_by_label("Text")).to_have_accessible_description(words)


def test_copying(page: Page, site: Site) -> None:
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    show(page, site, '<button data-copy="C7K29QFX" data-copied="Copied">Copy the code</button>')
    page.get_by_role("button").click()
    expect(page.get_by_role("button")).to_have_text("Copied")
    expect(page.locator("#spoken")).to_have_text("Copied")
    assert page.evaluate("navigator.clipboard.readText()") == "C7K29QFX"
    expect(page.get_by_role("button")).to_have_text("Copy the code")
