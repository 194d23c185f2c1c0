"""Pasting into fields for one's own words in Chromium: let through, discouraged or prevented."""

from collections.abc import Iterator
from types import SimpleNamespace

import pytest
from django.template import engines
from playwright.sync_api import Browser, Locator, Page, expect

from tests.static_site import Site, serving

ALLOW, DISCOURAGE, BLOCK = "allow", "discourage", "block"
DISCOURAGED = "What you pasted is in. If you can, please say it in your own words"
BLOCKED = "Nothing can be pasted here"
FORM = """<form method="post" action="/sent" novalidate data-draft="survey/self"
 data-draft-url="/draft"><input type="hidden" name="csrfmiddlewaretoken" value="token">
<p id="elsewhere">Words of a model</p>
<label for="own">Own</label><textarea id="own" name="own" data-own-words></textarea>
<label for="short">Short</label><input type="text" id="short" name="short" data-own-words>
<label for="number">Number</label><input type="text" inputmode="numeric" id="number" name="number">
<button class="btn">Continue</button></form>
<label for="problem">Problem</label><textarea id="problem"></textarea>"""


@pytest.fixture
def site() -> Iterator[Site]:
    with serving() as site:
        yield site


def show(page: Page, site: Site, rule: str) -> None:
    template = engines["django"].from_string(
        '{% extends "base.html" %}{% block title %}Page{% endblock %}'
        f"{{% block content %}}<div class='page'>{FORM}</div>{{% endblock %}}"
    )
    protocol = SimpleNamespace(paste=rule)
    participant = SimpleNamespace(pk=7, consent=True, protocol=protocol)
    study = SimpleNamespace(slug="prism", contact_email="ada@example.org")
    site.pages["/"] = template.render({"study": study, "participant": participant})
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.goto(site.url)


def paste(field: Locator, text: str) -> None:
    field.page.evaluate("text => navigator.clipboard.writeText(text)", text)
    field.focus()
    field.press("Control+v")


def note(page: Page, field: str = "own") -> Locator:
    return page.locator(f"#{field}-paste")


def test_it_works(page: Page, site: Site) -> None:
    """Discouraged: it goes in, and a message beside the field asks for one's own words."""
    show(page, site, DISCOURAGE)
    own = page.get_by_label("Own")
    own.press_sequentially("I say: ")
    expect(note(page)).to_have_count(0)
    paste(own, "as a language model")
    expect(own).to_have_value("I say: as a language model")
    expect(note(page)).to_contain_text(DISCOURAGED)
    expect(page.locator("#spoken")).to_contain_text(DISCOURAGED)
    expect(own).to_have_accessible_description(note(page).inner_text())
    own.press("Control+a")
    own.press_sequentially("mine")
    expect(own).to_have_value("mine")


@pytest.mark.parametrize("field", ["Own", "Short"])
def test_blocked_says_so_and_keeps_what_was_typed(page: Page, site: Site, field: str) -> None:
    show(page, site, BLOCK)
    own = page.get_by_label(field)
    own.press_sequentially("I say: ")
    paste(own, "as a language model")
    expect(note(page, field.lower())).to_contain_text(BLOCKED)
    expect(own).to_have_value("I say: ")
    own.press_sequentially("mine")
    expect(own).to_have_value("I say: mine")
    with page.expect_response("**/draft"):
        pass
    assert site.forms("/draft")[-1][field.lower()] == ["I say: mine"]


def test_each_try_is_announced(page: Page, site: Site) -> None:
    show(page, site, BLOCK)
    page.evaluate(
        """() => { window.spoken = [];
        const place = document.getElementById('spoken');
        new MutationObserver(() => place.textContent && window.spoken.push(place.textContent))
          .observe(place, { childList: true }); }"""
    )
    for count in (1, 2):
        paste(page.get_by_label("Own"), "as a language model")
        page.wait_for_function(f"window.spoken.length === {count}")
    expect(note(page)).to_have_count(1)


def test_allowed_says_nothing(page: Page, site: Site) -> None:
    show(page, site, ALLOW)
    own = page.get_by_label("Own")
    paste(own, "as a language model")
    expect(own).to_have_value("as a language model")
    expect(note(page)).to_have_count(0)


@pytest.mark.parametrize("field", ["Number", "Problem"])
def test_other_fields_take_what_is_pasted(page: Page, site: Site, field: str) -> None:
    show(page, site, BLOCK)
    paste(page.get_by_label(field), "1234")
    expect(page.get_by_label(field)).to_have_value("1234")
    expect(page.locator("[id$=-paste]")).to_have_count(0)


def test_moving_ones_own_words_is_no_paste(page: Page, site: Site) -> None:
    show(page, site, BLOCK)
    own = page.get_by_label("Own")
    own.press_sequentially("first second")
    own.press("Control+a")
    own.press("Control+x")
    expect(own).to_have_value("")
    page.get_by_label("Short").press("Control+v")
    expect(page.get_by_label("Short")).to_have_value("first second")
    expect(page.locator("[id$=-paste]")).to_have_count(0)


def drag(page: Page, start: Locator, end: Locator) -> None:
    """Select all of an element's text with a triple click and drag it."""
    start.click(click_count=3, position={"x": 20, "y": 12})
    box, target = start.bounding_box(), end.bounding_box()
    assert box
    assert target
    page.mouse.move(box["x"] + 20, box["y"] + 12)
    page.mouse.down()
    page.mouse.move(box["x"] + 40, box["y"] + 14, steps=4)
    page.mouse.move(target["x"] + 60, target["y"] + target["height"] / 2, steps=8)
    page.mouse.up()


@pytest.mark.parametrize(
    ("rule", "message", "value"),
    [(DISCOURAGE, DISCOURAGED, "Words of a model"), (BLOCK, BLOCKED, "")],
)
def test_dropping_counts_like_pasting(
    page: Page, site: Site, rule: str, message: str, value: str
) -> None:
    show(page, site, rule)
    own = page.get_by_label("Own")
    drag(page, page.locator("#elsewhere"), own)
    expect(note(page)).to_contain_text(message)
    assert own.input_value().strip() == value


def test_dragging_within_a_field_is_no_paste(page: Page, site: Site) -> None:
    show(page, site, BLOCK)
    own = page.get_by_label("Own")
    own.fill("one\n\n\ntwo")
    drag(page, own, own)
    expect(own).not_to_have_value("one\n\n\ntwo")
    expect(note(page)).to_have_count(0)


@pytest.mark.parametrize("rule", [DISCOURAGE, BLOCK])
def test_a_narrow_page_holds_the_message(browser: Browser, site: Site, rule: str) -> None:
    context = browser.new_context(viewport={"width": 360, "height": 640})
    page = context.new_page()
    show(page, site, rule)
    paste(page.get_by_label("Short"), "as a language model")
    expect(note(page, "short")).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth") == 360
    context.close()
