"""The measuring line in Chromium: what people see, hear and send of it."""

import gzip
import json
import re
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from django.template.loader import render_to_string
from playwright.sync_api import Browser, BrowserContext, Locator, Page, expect

from surveys.sliders import Line
from tests.static_site import Site, serving, static_file

REPLY = Line("score_0", "Rate reply A", "Terrible", "Perfect", 1, 100)
OTHER_REPLY = replace(REPLY, name="score_1", ask="Rate reply B")
FILES = ("refract.css", "slider.js", "page.js")
WEIGHT_LIMIT = 25_000
LONGER_THAN_A_REST_MS = 700
PAGE = """<!doctype html><html lang="en" dir="{direction}"><head><meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1"><title>Lines</title>
<link rel="stylesheet" href="/static/refract/refract.css">
<script src="/static/refract/slider.js" defer></script>
<script src="/static/refract/page.js" defer></script></head>
<body><main><div class="page"><form method="post" action="/sent" novalidate>{lines}
<p style="height: 100rem"></p><button class="btn">Send</button>
<span role="status" data-count data-one="One reply still to rate."
 data-many="%n replies still to rate."></span></form></div></main>{words}</body></html>"""


@pytest.fixture
def site() -> Iterator[Site]:
    with serving() as site:
        yield site


def show(page: Page, site: Site, *lines: Line, direction: str = "ltr", words: str = "") -> Locator:
    """Open a page with these lines; the first one."""
    site.pages["/"] = PAGE.format(
        direction=direction,
        lines="".join(render_to_string("partials/_slider.html", {"line": line}) for line in lines),
        words=words or render_to_string("partials/_words.html"),
    )
    page.goto(site.url)
    return page.locator(".vas").first


def mark(vas: Locator) -> Locator:
    return vas.locator("input[type=range]")


def point(vas: Locator, part: float) -> tuple[float, float]:
    """Where on the screen a part of the way along the line is."""
    box = mark(vas).bounding_box()
    assert box is not None
    return box["x"] + 8 + part * (box["width"] - 16), box["y"] + box["height"] / 2


def press(vas: Locator, part: float) -> None:
    vas.page.mouse.click(*point(vas, part))


def record(vas: Locator) -> Any:
    return json.loads(vas.locator("input[name$=_record]").input_value())


def spoken(vas: Locator) -> str:
    return mark(vas).get_attribute("aria-valuetext") or ""


def seen(vas: Locator) -> str:
    """The opacity of the mark."""
    return str(vas.evaluate("vas => getComputedStyle(vas).getPropertyValue('--seen')"))


def fields(page: Page) -> dict[str, str]:
    """What the form would send now."""
    sent: dict[str, str] = page.evaluate(
        "Object.fromEntries(new FormData(document.querySelector('form')))"
    )
    return sent


def send(page: Page, site: Site) -> dict[str, list[str]]:
    """Press Send and wait for the server; what it got."""
    with page.expect_response("**/sent"):
        page.get_by_role("button", name="Send").click()
    return site.forms("/sent")[-1]


def test_it_works(page: Page, site: Site) -> None:
    vas = show(page, site, REPLY)
    press(vas, 0.75)
    expect(vas).to_have_attribute("data-state", "rated")
    assert spoken(vas) == "about three quarters of the way from Terrible to Perfect"
    assert seen(vas) == "1"
    expect(vas.locator(".vas-note")).to_be_hidden()
    kept = record(vas)
    assert kept.pop("ms") >= 0
    assert kept == {"first": 75, "first_by": "pointer", "moves": 1}
    sent = send(page, site)
    assert (sent["score_0"], sent["score_0_rated"]) == (["75"], ["on"])
    assert json.loads(sent["score_0_record"][0])["moves"] == 1


def test_nothing_is_suggested_before_the_first_touch(page: Page, site: Site) -> None:
    vas = show(page, site, REPLY)
    expect(vas).to_have_attribute("data-state", "unrated")
    assert seen(vas) == "0"
    assert spoken(vas) == "Not yet rated, from Terrible to Perfect"
    expect(vas.locator(".vas-note")).to_have_text("Not yet rated")
    expect(vas.locator(".vas-confirm")).to_be_hidden()
    assert "score_0_rated" not in fields(page)


def test_the_first_key_starts_from_the_middle(page: Page, site: Site) -> None:
    vas = show(page, site, REPLY)
    mark(vas).focus()
    page.keyboard.press("ArrowRight")
    expect(mark(vas)).to_have_value("51")
    page.wait_for_timeout(LONGER_THAN_A_REST_MS)
    kept = record(vas)
    assert (kept["first"], kept["first_by"], kept["moves"]) == (51, "keyboard", 1)


def test_a_run_of_keys_is_one_move(page: Page, site: Site) -> None:
    vas = show(page, site, replace(REPLY, minimum=0))
    mark(vas).focus()
    for key in ("PageUp", "ArrowLeft", "ArrowLeft"):
        page.keyboard.press(key)
    page.wait_for_timeout(LONGER_THAN_A_REST_MS)
    page.keyboard.press("Home")
    page.keyboard.press("Tab")  # leaving settles at once
    kept = record(vas)
    assert (kept["first"], kept["moves"]) == (58, 2)
    assert spoken(vas) == "at Terrible"


def test_what_still_moves_is_sent_as_it_stands(page: Page, site: Site) -> None:
    vas = show(page, site, REPLY)
    mark(vas).focus()
    page.keyboard.press("End")
    with page.expect_response("**/sent"):
        page.keyboard.press("Enter")
    [sent] = site.forms("/sent")
    assert sent["score_0"] == ["100"]
    assert json.loads(sent["score_0_record"][0])["first"] == 100


def test_a_drag_is_one_move_wherever_it_pauses(page: Page, site: Site) -> None:
    vas = show(page, site, REPLY)
    page.mouse.move(*point(vas, 0.2))
    page.mouse.down()
    page.mouse.move(*point(vas, 0.4))
    page.wait_for_timeout(LONGER_THAN_A_REST_MS)
    page.mouse.move(*point(vas, 0.9), steps=5)
    page.mouse.up()
    kept = record(vas)
    assert (kept["first"], kept["moves"]) == (90, 1)
    press(vas, 0.1)
    kept = record(vas)
    assert (kept["first"], kept["moves"]) == (90, 2)


def test_settling_is_told(page: Page, site: Site) -> None:
    vas = show(page, site, REPLY)
    page.evaluate("document.addEventListener('vas:settle', (e) => { window.told = e.detail; })")
    press(vas, 0.5)
    told = page.evaluate("window.told")
    assert (told["name"], told["value"], told["first"], told["firstBy"]) == (
        "score_0",
        51,
        "51",
        "pointer",
    )


def test_na_wins_keeps_the_mark_and_gives_it_back(page: Page, site: Site) -> None:
    vas = show(page, site, replace(REPLY, na_allowed=True))
    press(vas, 0.25)
    vas.get_by_text("N/A").click()
    expect(vas).to_have_attribute("data-state", "na")
    expect(mark(vas)).to_be_disabled()
    expect(vas.locator(".vas-note")).to_have_text("Not applicable")
    assert (spoken(vas), seen(vas)) == ("Not applicable", "0")
    sent = fields(page)
    assert "score_0" not in sent
    assert sent["score_0_na"] == "on"
    press(vas, 0.75)
    expect(vas).to_have_attribute("data-state", "na")
    vas.get_by_text("N/A").click()
    expect(vas).to_have_attribute("data-state", "rated")
    expect(mark(vas)).to_have_value("26")


def test_a_missing_line_says_so_and_gets_the_focus(page: Page, site: Site) -> None:
    vas = show(page, site, REPLY, OTHER_REPLY)
    status = page.get_by_role("status")
    expect(status).to_have_text("Two replies still to rate.")
    page.get_by_role("button", name="Send").click()
    for line in (vas, page.locator(".vas").nth(1)):
        expect(line.locator(".vas-note")).to_have_text("Please rate this")
        expect(mark(line)).to_have_attribute("aria-invalid", "true")
    expect(mark(vas)).to_be_focused()
    assert site.forms("/sent") == []
    press(vas, 0.5)
    expect(mark(vas)).not_to_have_attribute("aria-invalid", "true")
    expect(vas).not_to_have_attribute("data-missing", "")
    expect(status).to_have_text("One reply still to rate.")
    press(page.locator(".vas").nth(1), 0.5)
    expect(status).to_have_text("All rated.")


def test_the_servers_refusal_shows_as_missing(page: Page, site: Site) -> None:
    vas = show(page, site, replace(REPLY, missing=True, error="Please rate this"))
    expect(vas.locator(".vas-note")).to_have_text("Please rate this")
    expect(vas.locator(".error")).to_be_hidden()
    press(vas, 0.5)
    expect(vas.locator(".error")).to_be_hidden()
    expect(vas.locator(".vas-note")).to_have_text("Not yet rated")  # kept, unseen


def test_one_of_ones_own_is_needed_only_with_words(page: Page, site: Site) -> None:
    own = replace(REPLY, optional=True, own_text_name="own", own_text_label="...other")
    vas = show(page, site, own)
    send(page, site)
    show(page, site, own)
    page.get_by_label("...other").fill("is brief")
    page.get_by_role("button", name="Send").click()
    expect(vas.locator(".vas-note")).to_have_text("Please rate this")
    assert len(site.forms("/sent")) == 1


def test_the_words_of_ones_own_can_be_refused(page: Page, site: Site) -> None:
    own = replace(REPLY, optional=True, own_text_name="own", own_text_label="...other")
    show(page, site, replace(own, error="This text is too long."))
    text = page.get_by_label("...other")
    expect(text).to_have_accessible_description(re.compile("too long"))
    expect(text).to_have_attribute("aria-invalid", "true")


def test_an_answer_is_restored(page: Page, site: Site) -> None:
    kept = {"first": 12, "first_by": "keyboard", "moves": 3, "ms": 900}
    vas = show(page, site, replace(REPLY, value=64, record=json.dumps(kept)))
    expect(vas).to_have_attribute("data-state", "rated")
    assert spoken(vas) == "a little less than two thirds of the way from Terrible to Perfect"
    press(vas, 0.3)
    assert record(vas) == {**kept, "moves": 4}


def test_a_broken_record_does_no_harm(page: Page, site: Site) -> None:
    vas = show(page, site, replace(REPLY, value=64, record="{broken"))
    press(vas, 0.3)
    assert record(vas)["first"] == 31


@pytest.mark.parametrize("minimum", [0, 1])
def test_a_mark_in_the_middle_asks_for_nothing(page: Page, site: Site, minimum: int) -> None:
    """As PRISM did: 50 is stored if the line is left alone, on either scale."""
    vas = show(page, site, replace(REPLY, minimum=minimum, start_middle=True))
    assert seen(vas) == "1"
    expect(vas.locator(".vas-note")).to_be_hidden()
    sent = send(page, site)
    assert sent["score_0"] == ["50"]
    assert "score_0_rated" not in sent


def test_right_to_left(page: Page, site: Site) -> None:
    vas = show(page, site, REPLY, direction="rtl")
    press(vas, 0.25)
    expect(mark(vas)).to_have_value("75")
    page.keyboard.press("ArrowLeft")
    expect(mark(vas)).to_have_value("76")


def test_other_words(page: Page, site: Site) -> None:
    own = '{"untouched": "Noch nicht bewertet, von {low} bis {high}"}'
    words = f'<script type="application/json" id="vas-words">{own}</script>'
    vas = show(page, site, REPLY, words=words)
    assert spoken(vas) == "Noch nicht bewertet, von Terrible bis Perfect"


def test_lines_that_arrive_later_wake(page: Page, site: Site) -> None:
    show(page, site, REPLY)
    html = render_to_string("partials/_slider.html", {"line": OTHER_REPLY})
    page.evaluate(
        """html => {
            const box = document.createElement('div');
            box.innerHTML = html;
            document.querySelector('form').prepend(box);
            box.dispatchEvent(new Event('htmx:load', { bubbles: true }));
        }""",
        html,
    )
    expect(page.locator(".vas").first).to_have_attribute("data-state", "unrated")
    press(page.locator(".vas").first, 0.5)
    assert fields(page)["score_1_rated"] == "on"


def test_without_scripts(browser: Browser, site: Site) -> None:
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    vas = show(page, site, REPLY, replace(OTHER_REPLY, missing=True, error="Please rate this"))
    assert seen(vas) == "1"
    expect(page.get_by_text("Please rate this")).to_be_visible()
    page.get_by_label("I have rated this: Rate reply A").check()
    sent = send(page, site)
    assert (sent["score_0"], sent["score_0_rated"]) == (["50"], ["on"])
    assert "score_1_rated" not in sent
    context.close()


@pytest.fixture
def phone(browser: Browser) -> Iterator[BrowserContext]:
    context = browser.new_context(
        has_touch=True, is_mobile=True, viewport={"width": 360, "height": 640}
    )
    yield context
    context.close()


def swipe(page: Page, start: tuple[float, float], across: float, down: float) -> None:
    """A finger put down, moved in steps and lifted."""
    touch = page.context.new_cdp_session(page)

    def send(kind: str, *points: dict[str, float]) -> None:
        touch.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": list(points)})

    x, y = start
    send("touchStart", {"x": x, "y": y})
    for step in range(1, 11):
        send("touchMove", {"x": x + across * step / 10, "y": y + down * step / 10})
    send("touchEnd")
    page.wait_for_timeout(LONGER_THAN_A_REST_MS)


def test_a_swipe_up_scrolls_and_rates_nothing(phone: BrowserContext, site: Site) -> None:
    page = phone.new_page()
    vas = show(page, site, REPLY, OTHER_REPLY)
    swipe(page, point(vas, 0.7), across=10, down=-150)
    assert page.evaluate("scrollY") > 50
    expect(vas).to_have_attribute("data-state", "unrated")
    assert record_text(vas) == ""


def record_text(vas: Locator) -> str:
    return vas.locator("input[name$=_record]").input_value()


def test_a_finger_drags_sideways(phone: BrowserContext, site: Site) -> None:
    page = phone.new_page()
    vas = show(page, site, REPLY)
    (x, y), (end, _y) = point(vas, 0.2), point(vas, 0.8)
    swipe(page, (x, y), across=end - x, down=4)
    expect(mark(vas)).to_have_value("80")
    assert (record(vas)["first_by"], record(vas)["moves"]) == ("pointer", 1)
    assert page.evaluate("scrollY") == 0


def test_a_tap_rates(phone: BrowserContext, site: Site) -> None:
    page = phone.new_page()
    vas = show(page, site, REPLY)
    page.touchscreen.tap(*point(vas, 0.5))
    expect(mark(vas)).to_have_value("51")
    assert record(vas)["moves"] == 1


def test_a_drag_that_the_browser_takes_over_rates_nothing(page: Page, site: Site) -> None:
    vas = show(page, site, REPLY)
    page.mouse.move(*point(vas, 0.2))
    page.mouse.down()
    mark(vas).dispatch_event("pointercancel")
    expect(vas).to_have_attribute("data-state", "unrated")
    assert record_text(vas) == ""


def test_no_number_is_seen_or_heard(page: Page, site: Site) -> None:
    """In Chromium's accessibility tree, in every state.

    A range input always has its DOM value there too; nobody hears that where aria-valuetext is.
    """
    vas = show(
        page,
        site,
        replace(REPLY, value=64),
        OTHER_REPLY,
        replace(REPLY, name="score_c", value=37, na_allowed=True, is_na=True),
        replace(REPLY, name="score_d", missing=True, error="Please rate this"),
    )
    heard: list[str] = []
    nodes = page.context.new_cdp_session(page).send("Accessibility.getFullAXTree")["nodes"]
    for node in nodes:
        heard += [str(node.get(part, {}).get("value", "")) for part in ("name", "description")]
        if node.get("role", {}).get("value") != "slider":
            heard += [str(node.get("value", {}).get("value", ""))]
    lines = page.locator("input[type=range]")
    assert lines.count() == 4
    heard += [line.get_attribute("aria-valuetext") or "0" for line in lines.all()]
    assert [text for text in heard if re.search(r"\d", text)] == []
    assert "Rate reply A" in heard
    assert not re.search(r"\d", page.locator("body").inner_text())
    press(vas, 0.5)
    assert not re.search(r"\d", page.locator("body").inner_text() + spoken(vas))


@pytest.mark.parametrize("width", [360, 640, 1920])
def test_nothing_scrolls_sideways(page: Page, site: Site, width: int) -> None:
    page.set_viewport_size({"width": width, "height": 800})
    long = replace(REPLY, low="Performed " * 3, high="Wohlfahrtsverbändevertretung" * 2)
    show(page, site, replace(long, na_allowed=True), replace(long, name="x", own_text_name="own"))
    assert page.evaluate("document.documentElement.scrollWidth") == width


def static(name: str) -> str:
    file = static_file(f"refract/{name}")
    assert file is not None
    return file.read_text()


def test_scripts_and_styles_are_light() -> None:
    assert len(gzip.compress("".join(map(static, FILES)).encode())) < WEIGHT_LIMIT


def test_dark_is_dark_however_it_is_asked_for() -> None:
    blocks = re.findall(r"color-scheme: dark;(.*?)}", static("refract.css"), re.DOTALL)
    media, attribute = (re.findall(r"(--[\w-]+): (#\w+)", block) for block in blocks)
    assert media == attribute
    light = re.search(r":root {(.*?)}", static("refract.css"), re.DOTALL)
    assert light is not None
    assert {name for name, _colour in media} == set(re.findall(r"(--[\w-]+): #", light[1]))


def contrast(one: str, other: str) -> float:
    """WCAG 2's contrast ratio of two #rrggbb colours, 1 to 21."""

    def light(colour: str) -> float:
        parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        red, green, blue = (
            p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts
        )
        return 0.2126 * red + 0.7152 * green + 0.0722 * blue

    dark, bright = sorted([light(one), light(other)])
    return (bright + 0.05) / (dark + 0.05)


TEXT_ON = {
    "ink": ("paper", "surface", "sunk", "tint", "warn-tint", "bad-tint"),
    "ink-2": ("paper", "surface", "sunk", "tint"),
    "accent": ("paper", "surface"),
    "bad": ("paper", "surface"),
    "on-accent": ("accent",),
}


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_and_controls_stand_out(scheme: str) -> None:
    css = static("refract.css")
    block = re.search(rf"color-scheme: {scheme};(.*?)}}", css, re.DOTALL)
    assert block is not None
    colours = dict(re.findall(r"--([\w-]+): (#\w+)", block[1]))
    weak = [
        (text, ground)
        for text, grounds in TEXT_ON.items()
        for ground in grounds
        if contrast(colours[text], colours[ground]) < 4.5
    ]
    assert weak == []
    assert min(contrast(colours["edge"], colours[g]) for g in ("surface", "paper")) >= 3
