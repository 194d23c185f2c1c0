"""What a page notes of how it is used, in Chromium: times, changes, pastes, losses, input."""

import json
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from django.template import engines
from playwright.sync_api import Browser, Page

from surveys.sliders import Line
from tests.static_site import Site, serving
from tests.test_paste_browser import paste

CODES = ["age", "line", "self"]
FORM = """<form method="post" action="/sent" novalidate data-draft="survey/self"
 data-draft-url="/draft" data-paradata="{{ noted }}">
<input type="hidden" name="csrfmiddlewaretoken" value="token">
<fieldset class="field"><legend>Age</legend>
<label class="choice"><input type="radio" name="age" value="young"> <span>Young</span></label>
<label class="choice"><input type="radio" name="age" value="old"> <span>Old</span></label>
</fieldset>
<div class="field">{% include "partials/_slider.html" %}</div>
<div class="field"><label for="self">Self</label>
<textarea id="self" name="self" data-own-words>{{ text }}</textarea>
<label for="self_text">Short</label>
<input type="text" id="self_text" name="self_text" data-own-words></div>
{{ filler|safe }}<button class="btn">Continue</button></form><a href="/away">Away</a>"""
FILLER = "<div style='height: 300vh'></div>"
LINE = Line("line", "How much?", "Little", "Much", 0, 100, na_allowed=True)


@pytest.fixture
def site() -> Iterator[Site]:
    with serving() as site:
        yield site


def show(page: Page, site: Site, **context: Any) -> None:
    """Open a survey page of three questions; time passes only in `pass_s`."""
    template = engines["django"].from_string(
        '{% extends "base.html" %}{% load static %}{% block title %}Page{% endblock %}'
        "{% block scripts %}<script src=\"{% static 'refract/paradata.js' %}\" defer></script>"
        f"{{% endblock %}}{{% block content %}}<div class='page'>{FORM}</div>{{% endblock %}}"
    )
    protocol = SimpleNamespace(paste=context.pop("rule", "discourage"))
    participant = SimpleNamespace(pk=7, consent=True, protocol=protocol)
    study = SimpleNamespace(slug="prism", contact_email="ada@example.org")
    noted = json.dumps({"questions": CODES, "pasted": context.pop("pasted", {})})
    frame = {"study": study, "participant": participant, "noted": noted, "line": LINE}
    site.pages["/"] = template.render(frame | context)
    page.clock.install(time=0)
    page.clock.pause_at(1000)
    page.goto(site.url)


def pass_s(page: Page, seconds: int) -> None:
    page.clock.run_for(1000 * seconds)


def noted(page: Page) -> Any:
    """What would be sent now."""
    raw = page.evaluate("new FormData(document.querySelector('form')).get('paradata')")
    return json.loads(raw)


def at(page: Page, code: str) -> Any:
    return noted(page)["questions"][code]


def times(page: Page) -> tuple[int, ...]:
    """Seconds of the page and of each question."""
    found = noted(page)
    each = [found["questions"][code]["visible_ms"] for code in CODES]
    return tuple(round(ms / 1000) for ms in (found["visible_ms"], *each))


def hide(page: Page, state: str = "hidden") -> None:
    """What switching to another tab, and back, does to a page."""
    page.evaluate(
        """state => { Object.defineProperty(document, 'visibilityState',
          { value: state, configurable: true });
        document.dispatchEvent(new Event('visibilitychange')); }""",
        state,
    )


def test_it_works(page: Page, site: Site) -> None:
    page.set_viewport_size({"width": 800, "height": 600})
    show(page, site)
    page.get_by_label("N/A").check()
    with page.expect_response("**/draft"):
        pass_s(page, 3)
    with page.expect_response("**/sent"):
        page.get_by_role("button", name="Continue").click()
    [sent] = site.forms("/sent")
    record = json.loads(sent["paradata"][0])
    load = record.pop("load")
    assert len(load) == 16
    assert round(record.pop("visible_ms") / 1000) == 3
    assert {code: note["changes"] for code, note in record.pop("questions").items()} == {
        "age": 0,
        "line": 1,
        "self": 0,
    }
    assert record == {
        "focus_losses": 0,
        "viewport_width": 800,
        "viewport_height": 600,
        "input": "mouse",
    }
    [draft] = site.forms("/draft")
    assert json.loads(draft["paradata"][0])["load"] == load


def test_each_load_has_a_name_of_its_own(page: Page, site: Site) -> None:
    show(page, site)
    first = noted(page)["load"]
    assert noted(page)["load"] == first
    page.reload()
    assert noted(page)["load"] != first


def test_time_goes_to_the_question_looked_at(page: Page, site: Site) -> None:
    show(page, site)
    pass_s(page, 1)
    assert times(page) == (1, 1, 0, 0)  # the first, before anything is done
    page.get_by_label("Self").focus()
    pass_s(page, 2)
    page.locator(".vas").hover()
    pass_s(page, 4)
    page.mouse.move(1, 1)  # beside all of them: nothing new is looked at
    pass_s(page, 8)
    page.get_by_label("Self").press("a")  # typed in, with the pointer elsewhere
    pass_s(page, 16)
    assert times(page) == (31, 1, 12, 18)


def test_scrolling_looks_at_what_is_near(page: Page, site: Site) -> None:
    page.set_viewport_size({"width": 800, "height": 600})
    show(page, site, filler=FILLER)
    page.evaluate("scrollTo({ top: document.documentElement.scrollHeight, behavior: 'instant' })")
    page.wait_for_function("scrollY > 0")
    pass_s(page, 2)
    assert at(page, "self")["visible_ms"] >= 2000
    assert at(page, "age")["visible_ms"] < 1000


def test_time_away_does_not_count(page: Page, site: Site) -> None:
    show(page, site)
    pass_s(page, 1)
    hide(page)
    pass_s(page, 60)
    hide(page, "visible")
    pass_s(page, 2)
    page.evaluate("dispatchEvent(new Event('blur'))")
    pass_s(page, 60)
    page.evaluate("dispatchEvent(new Event('focus'))")
    pass_s(page, 4)
    found = noted(page)
    assert (found["visible_ms"], found["focus_losses"]) == (7000, 2)


def test_a_loss_counts_once(page: Page, site: Site) -> None:
    show(page, site)
    page.evaluate("dispatchEvent(new Event('blur'))")
    hide(page)
    page.evaluate("dispatchEvent(new Event('blur'))")
    assert noted(page)["focus_losses"] == 1


def test_whoever_presses_something_is_back(page: Page, site: Site) -> None:
    show(page, site)
    page.evaluate("dispatchEvent(new Event('blur'))")
    pass_s(page, 60)
    page.get_by_text("Young").click()
    pass_s(page, 2)
    assert noted(page)["visible_ms"] == 2000


def test_a_page_that_is_only_read_sends_its_record_alone(page: Page, site: Site) -> None:
    show(page, site)
    pass_s(page, 3)
    with page.expect_response("**/draft"):
        hide(page)
    [sent] = site.forms("/draft")
    assert set(sent) == {"csrfmiddlewaretoken", "page", "paradata"}
    assert sent["page"] == ["survey/self"]
    assert json.loads(sent["paradata"][0])["visible_ms"] == 3000
    hide(page, "visible")
    page.get_by_text("Young").click()
    with page.expect_response("**/draft"):
        hide(page)
    page.wait_for_timeout(200)
    assert [set(sent) >= {"age", "paradata"} for sent in site.forms("/draft")] == [False, True]


def test_leaving_the_page_is_no_loss(page: Page, site: Site) -> None:
    site.pages["/away"] = "away"
    show(page, site)
    pass_s(page, 3)
    page.get_by_role("link", name="Away").click()
    page.wait_for_url("**/away")
    page.wait_for_timeout(200)
    [sent] = site.forms("/draft")
    assert json.loads(sent["paradata"][0])["focus_losses"] == 0


def test_changes(page: Page, site: Site) -> None:
    show(page, site)
    for name in ("Young", "Old", "Young"):
        page.get_by_text(name).click()
        pass_s(page, 1)
    text = page.get_by_label("Self")
    for words in ("one", "two"):
        text.press_sequentially(words)  # many letters, one change
        text.blur()
        pass_s(page, 1)
    mark = page.locator("input[type=range]")
    mark.click()
    pass_s(page, 1)
    mark.press("ArrowRight")
    pass_s(page, 1)
    page.get_by_label("N/A").check()
    pass_s(page, 1)
    assert [at(page, code)["changes"] for code in CODES] == [3, 3, 2]


def test_pastes_and_their_share(page: Page, site: Site) -> None:
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    show(page, site)
    assert at(page, "self") == {"visible_ms": 0, "changes": 0, "pastes": 0, "pasted_share": None}
    assert at(page, "age")["pasted_share"] is None
    text = page.get_by_label("Self")
    text.press_sequentially("12345")
    paste(text, "67890")
    assert (at(page, "self")["pastes"], at(page, "self")["pasted_share"]) == (1, 0.5)
    for _letter in range(3):
        text.press("Backspace")  # of what was pasted
    text.press("Home")
    text.press_sequentially("0")
    assert at(page, "self")["pasted_share"] == 0.25
    paste(page.get_by_label("Short"), "12345678")
    assert at(page, "self")["pastes"] == 2
    assert at(page, "self")["pasted_share"] == 10 / 16  # of all its texts
    text.fill("")
    page.get_by_label("Short").fill("")
    assert at(page, "self")["pasted_share"] is None


def test_a_paste_that_was_blocked_is_counted(page: Page, site: Site) -> None:
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    show(page, site, rule="block")
    text = page.get_by_label("Self")
    paste(text, "67890")
    text.press_sequentially("12345")
    found = at(page, "self")
    assert (found["pastes"], found["pasted_share"]) == (1, 0)


def test_what_was_pasted_before_stays_pasted(page: Page, site: Site) -> None:
    show(page, site, text="0123456789", pasted={"self": 0.5})
    assert at(page, "self")["pasted_share"] == 0.5
    page.get_by_label("Self").press("End")
    page.get_by_label("Self").press_sequentially("0123456789")
    assert at(page, "self")["pasted_share"] == 0.25


def test_input_is_what_was_mainly_used(page: Page, site: Site) -> None:
    show(page, site)
    assert noted(page)["input"] is None
    page.get_by_label("Self").press_sequentially("Typing tells nothing")
    assert noted(page)["input"] is None
    page.get_by_text("Young").click()
    assert noted(page)["input"] == "mouse"
    page.get_by_role("radio", name="Young").press("ArrowDown")
    page.keyboard.press("Tab")
    assert noted(page)["input"] == "keyboard"
    for _click in range(3):
        page.get_by_text("Old").click()
    assert noted(page)["input"] == "mouse"


def test_touch_is_told_from_the_mouse(browser: Browser, site: Site) -> None:
    context = browser.new_context(has_touch=True, viewport={"width": 360, "height": 640})
    page = context.new_page()
    show(page, site)
    page.get_by_text("Young").tap()
    found = noted(page)
    assert (found["input"], found["viewport_width"]) == ("touch", 360)
    context.close()
