"""Leaving and coming back in Chromium: another device, a minute offline, no script, a refusal."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
import yaml
from playwright.sync_api import Browser, Locator, Page, expect

from tests.conftest import AT_ONCE, running
from tests.drafts import draft, single
from tests.drafts import page as drawn_page
from tests.servers import Refract, Template

AFTER_A_PAUSE_MS = 900
OPTIONS = [f"o{n}" for n in range(8)]
LINE = {"low": "Little", "high": "Much", "na": True}
STATEMENTS = [{"code": f"s{n}", "label": f"Statement {n}"} for n in range(5)]
GARDEN = [
    single("colour", *OPTIONS, randomise=True, self_describe="o7"),
    {
        "code": "uses",
        "type": "multiple",
        "text": "Uses?",
        "randomise": True,
        "options": [{"code": code, "label": code.upper()} for code in OPTIONS],
        "other": {"code": "other", "label": "Something else"},
        "other_text": "Namely",
    },
    {"code": "place", "type": "country", "text": "Where?"},
    {
        "code": "views",
        "type": "sliders",
        "text": "Views",
        "stem": "It is",
        "randomise": True,
        "statements": STATEMENTS,
        "other": {"code": "other", "label": "Own statement"},
        **LINE,
    },
    {"code": "mood", "type": "slider", "text": "Mood?", **LINE},
    {
        "code": "order",
        "type": "ranking",
        "text": "Order?",
        "options": [{"code": f"r{n}", "label": f"Rank {n}"} for n in range(4)],
    },
    {"code": "words", "type": "text", "text": "In your words?"},
]
CHECK = single(
    "task",
    "rate",
    "buy",
    type="comprehension",
    correct=["rate"],
    explanation="You will rate gardens.",
)
SET_UP = """
from pathlib import Path
from surveys.instruments.load import store
from surveys.models import Study
study = Study.objects.get(slug="prism")
study.pk, study.slug, study.instrument = None, "garden", store(Path({path!r}))
study.save()
"""
SHOW = """
import json
from surveys import paradata
from surveys.models import Participant
person = Participant.objects.filter(study__slug="garden").latest("pk")
responses = {r.question: [r.value, r.touches] for r in person.responses.all()}
visits = {v.page: paradata.summary(v) for v in person.pages.all()}
print(json.dumps([responses, visits, person.drafts.count()]))
"""


@pytest.fixture(scope="module")
def refract(
    embedded_template: Template, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Refract]:
    """With a study `garden`: most kinds of question on one page, then a check."""
    folder = tmp_path_factory.mktemp("garden")
    file = folder / "garden.yaml"
    pages = [drawn_page("garden", *GARDEN), drawn_page("check", CHECK), drawn_page("end")]
    pages[2] |= {"text": ["Nearly done."]}
    file.write_text(yaml.safe_dump(draft(*pages), sort_keys=False))
    with running(embedded_template, folder) as run:
        refract = run(AT_ONCE)
        refract.manage("shell", "-v0", "-c", SET_UP.format(path=str(file)))
        yield refract


def begin(page: Page, refract: Refract) -> str:
    """Consent and come to the first page; the personal link."""
    page.goto(f"{refract.url}/s/garden/")
    for box in page.get_by_role("checkbox").all():
        box.check()
    page.get_by_role("main").get_by_role("button").click()
    page.wait_for_url("**/survey/garden/")
    return page.locator("input[readonly]").input_value()


def stored(refract: Refract) -> Any:
    """Answers with touches, visits and the number of drafts of whoever came last."""
    return json.loads(refract.manage("shell", "-v0", "-c", SHOW).strip().splitlines()[-1])


def line(page: Page, name: str) -> Locator:
    return page.locator(f'.vas:has(input[name="{name}"])')


def rate(page: Page, name: str, part: float) -> None:
    mark = page.locator(f'input[name="{name}"]')
    box = mark.bounding_box()
    assert box
    mark.click(position={"x": box["width"] * part, "y": box["height"] / 2})


def answer_half(page: Page) -> None:
    page.locator("input[name=colour][value=o7]").check()
    page.locator("[name=colour_text]").fill("Between blue and gre")
    page.locator("input[name=uses][value=o2]").check()
    page.locator("input[name=uses][value=o5]").check()
    page.locator("[name=uses_other_text]").fill("Hiding")
    page.locator("#place-search").fill("Egy")
    page.keyboard.press("Enter")
    rate(page, "views_s1", 0.8)
    line(page, "views_s2").get_by_label("N/A").check()
    rate(page, "mood", 0.25)
    page.get_by_role("button", name="Place: Rank 2").click()
    page.locator("[name=words]").fill("I was about to say")


def order_of(page: Page, name: str) -> list[str]:
    found = page.locator(f"input[name={name}]").evaluate_all("all => all.map((one) => one.value)")
    return list(map(str, found))


def rows_of(page: Page) -> list[str]:
    lines = page.locator("input[name^=views_][type=range]")
    return list(map(str, lines.evaluate_all("all => all.map((one) => one.name)")))


def fields(page: Page) -> dict[str, list[str]]:
    """What the form would send, but for the token and the notes on this load."""
    pairs: list[list[str]] = page.evaluate(
        "[...new FormData(document.getElementById('page-form'))]"
    )
    sent: dict[str, list[str]] = {}
    for name, value in pairs:
        if name not in ("csrfmiddlewaretoken", "paradata"):
            sent.setdefault(name, []).append(value)
    return {name: sorted(values) for name, values in sent.items()}


def seen(page: Page) -> dict[str, Any]:
    """Everything that must be the same wherever the page is opened."""
    return {
        "fields": fields(page),
        "orders": [order_of(page, "colour"), order_of(page, "uses"), rows_of(page)],
        "states": {
            name: line(page, name).get_attribute("data-state") for name in [*rows_of(page), "mood"]
        },
        "country": page.locator("#place-search").input_value(),
        "ranked": page.locator(".yours li span").first.inner_text(),
    }


def test_it_works(page: Page, browser: Browser, refract: Refract) -> None:
    """Another device shows what stands in the fields of this one, in the same order."""
    link = begin(page, refract)
    answer_half(page)
    expect(page.locator(".toast")).to_have_class("toast on")
    page.wait_for_timeout(AFTER_A_PAUSE_MS)
    here = seen(page)
    assert here["states"] == {
        **dict.fromkeys(rows_of(page), "unrated"),
        "views_s1": "rated",
        "views_s2": "na",
        "mood": "rated",
    }
    assert here["orders"][0] != sorted(here["orders"][0])
    phone = browser.new_context(viewport={"width": 360, "height": 640}, has_touch=True)
    other = phone.new_page()
    other.goto(link)
    other.wait_for_url("**/survey/garden/")
    assert seen(other) == here
    assert here["country"] == "Egypt"
    assert here["ranked"] == "Rank 2"
    phone.close()


def test_a_minute_offline(page: Page, refract: Refract) -> None:
    """The page says so, keeps what is given, and sends it when it can; a reload loses nothing."""
    begin(page, refract)
    page.context.set_offline(True)
    trouble = page.locator("#trouble")
    expect(trouble).to_contain_text("You are offline.")
    answer_half(page)
    page.wait_for_timeout(AFTER_A_PAUSE_MS)
    here = seen(page)
    page.get_by_role("button", name="Continue").click()  # a line is not rated yet
    for name in rows_of(page):
        if line(page, name).get_attribute("data-state") == "unrated" and "other" not in name:
            rate(page, name, 0.5)
    page.get_by_role("button", name="Continue").click()
    expect(trouble).to_contain_text("You are offline, so this page can’t be sent yet.")
    expect(page.locator("[name=words]")).to_have_value("I was about to say")
    here = seen(page)
    with page.expect_response("**/draft/"):
        page.context.set_offline(False)
    expect(trouble).to_be_empty()
    page.reload()
    assert seen(page) == here
    page.evaluate("localStorage.clear()")
    page.reload()  # now from the server alone
    assert seen(page) == here


def test_what_was_given_offline_survives_a_reload_before_it_is_sent(
    page: Page, refract: Refract
) -> None:
    begin(page, refract)
    page.route("**/draft/", lambda route: route.abort())
    answer_half(page)
    expect(page.locator("#trouble")).to_contain_text("You are offline.")
    here = seen(page)
    page.reload()
    assert seen(page) == here
    with page.expect_response("**/draft/"):  # before it can go out: a retry may be due now
        page.unroute("**/draft/")
    page.evaluate("localStorage.clear()")
    page.reload()
    assert seen(page) == here


def finish_page(page: Page) -> None:
    """Give what `answer_half` left open."""
    for name in rows_of(page):
        if line(page, name).get_attribute("data-state") == "unrated" and "other" not in name:
            rate(page, name, 0.5)
    for number in (0, 1, 3):
        page.get_by_role("button", name=f"Place: Rank {number}").click()
    page.get_by_role("button", name="Continue").click()
    page.wait_for_url("**/survey/check/")


def test_lines_are_recorded(page: Page, refract: Refract) -> None:
    begin(page, refract)
    answer_half(page)
    rate(page, "mood", 0.75)
    page.locator("input[name=views_s3]").focus()
    page.keyboard.press("ArrowRight")
    page.locator("input[name=views_s3]").blur()
    finish_page(page)
    responses, visits, drafts = stored(refract)
    value, touches = responses["views"]
    assert value["scores"]["s2"] is None
    assert 75 < value["scores"]["s1"] < 85
    assert value["scores"]["s3"] == 51
    assert touches["s1"]["first"] == value["scores"]["s1"]
    assert (touches["s1"]["first_by"], touches["s3"]["first_by"]) == ("pointer", "keyboard")
    assert touches["s1"]["ms"] > 0
    [score], [touch] = responses["mood"][0].values(), responses["mood"][1].values()
    assert 70 < score < 80
    assert (touch["moves"], 20 < touch["first"] < 30) == (2, True)
    assert drafts == 0
    noted = visits["garden"]
    assert noted["loads"] == 1
    assert noted["input"] == "mouse"
    assert noted["viewport_width"] == 1280
    assert noted["visible_ms"] > 0
    questions = noted["questions"]
    assert set(questions) == {"colour", "uses", "place", "views", "mood", "order", "words"}
    total = sum(question["visible_ms"] for question in questions.values())
    assert abs(total - noted["visible_ms"]) <= len(questions)
    assert questions["mood"]["changes"] == 2
    assert questions["place"]["changes"] == 1
    assert questions["order"]["changes"] == 4
    assert questions["words"] == questions["words"] | {"changes": 1, "pastes": 0}
    assert questions["words"]["pasted_share"] == 0
    assert questions["order"]["pasted_share"] is None


def test_what_is_pasted_is_noted_over_loads(page: Page, refract: Refract) -> None:
    begin(page, refract)
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.evaluate("navigator.clipboard.writeText('0123456789')")
    words = page.locator("[name=words]")
    words.press("Control+v")
    expect(page.locator("#words-paste")).to_contain_text("say it in your own words")
    page.wait_for_timeout(AFTER_A_PAUSE_MS)
    page.reload()
    expect(words).to_have_value("0123456789")
    words.press("End")
    words.press_sequentially("0123456789")
    with page.expect_response("**/draft/"):
        pass
    note = stored(refract)[1]["garden"]
    assert note["loads"] == 2
    assert (note["questions"]["words"]["pastes"], note["questions"]["words"]["pasted_share"]) == (
        1,
        0.5,
    )


def test_a_check_counts_its_attempts_whatever_the_device_kept(page: Page, refract: Refract) -> None:
    """The copy of a page that was refused fills it again, but not what the server says there."""
    begin(page, refract)
    answer_half(page)
    finish_page(page)
    page.get_by_label("Buy").check()
    page.get_by_role("button", name="Continue").click()  # at once: the device has a copy
    expect(page.get_by_text("You will rate gardens.")).to_be_visible()
    page.get_by_label("Rate").check()
    page.get_by_role("button", name="Continue").click()
    page.wait_for_url("**/survey/end/")


def test_without_a_script(browser: Browser, refract: Refract) -> None:
    """A line is a native range with "I have rated this", and N/A a state of its own."""
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    begin(page, refract)
    page.locator("input[name=colour][value=o1]").check()
    page.locator("input[name=uses][value=o2]").check()
    page.locator("select[name=place]").select_option("EGY")
    for number in range(4):
        page.locator(f"select[name=order_r{number}]").select_option(str(number + 1))
    page.locator("[name=words]").fill("No script")
    for name in [f"views_s{n}" for n in range(4)]:
        mark = page.locator(f"input[name={name}]")
        mark.press("ArrowRight")
        line(page, name).get_by_label("I have rated this").check()
    line(page, "views_s4").get_by_label("N/A").check()
    page.locator("input[name=mood]").press("ArrowLeft")
    page.get_by_role("button", name="Continue").click()
    expect(line(page, "mood").locator(".error")).to_be_visible()  # moved, but not said to be rated
    line(page, "mood").get_by_label("I have rated this").check()
    page.get_by_role("button", name="Continue").click()
    page.wait_for_url("**/survey/check/")
    responses, visits, _drafts = stored(refract)
    assert responses["views"][0]["scores"] == {"s0": 51, "s1": 51, "s2": 51, "s3": 51, "s4": None}
    [score] = responses["mood"][0].values()
    assert isinstance(score, int)
    assert responses["views"][1]["s0"] == {"first": None, "first_by": "", "moves": 0, "ms": None}
    assert visits["garden"]["loads"] == 0
    context.close()
