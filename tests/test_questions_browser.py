"""What scripts add to questions, in Chromium: search, order, answers that stand alone, resting."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.conftest import AT_ONCE, running
from tests.servers import ROOT, Refract, Template

SET_UP = f"""
from pathlib import Path
from surveys.instruments.load import store
from surveys.models import Study
study = Study.objects.get(slug="values")
study.pk, study.slug = None, "all"
study.instrument = store(Path({str(ROOT / "tests/fixtures/all_types.yaml")!r}))
study.save()
"""


@pytest.fixture(scope="module")
def refract(
    embedded_template: Template, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Refract]:
    with running(embedded_template, tmp_path_factory.mktemp("all")) as run:
        started = run(AT_ONCE)
        started.manage("shell", "-c", SET_UP)
        yield started


def reach(page: Page, refract: Refract, heading: str) -> None:
    """Answer pages until the one with a heading, each with as little as it accepts."""
    page.goto(f"{refract.url}/s/all/")
    page.check("[name=consent_age]")
    page.check("[name=consent]")
    page.locator("main form .btn").first.click()
    while page.locator("h1").first.text_content() != heading:
        for wanted in ("understood-rate", "attention-blue", "has_garden-own"):
            if page.locator(f"#{wanted}").count():
                page.check(f"#{wanted}")
        for box in page.locator("[data-declines]").all():
            box.check()
        for name in ("often", "who_trees", "who_hours"):
            if page.locator(f"[name={name}]").count():
                page.locator(f"[name={name}]").first.check()
        for combobox in page.get_by_role("combobox").and_(page.locator("input")).all():
            combobox.press_sequentially("a")
            combobox.press("Enter")
        for place in page.locator("[data-verb=place]:not([disabled])").all():
            page.locator("[data-verb=place]:not([disabled])").first.click()
            assert place
        if page.locator("#visits").count():
            page.fill("#visits", "3")
        page.get_by_role("button", name="Continue").click()


def test_a_long_list_is_searched_by_keyboard(page: Page, refract: Refract) -> None:
    reach(page, refract, "Choices")
    flower = page.get_by_role("combobox", name="Which of these flowers")
    flower.focus()
    flower.press_sequentially("anem")  # found without its accent
    expect(page.locator(".combo [role=option]")).to_have_text(["Anémone"])
    expect(page.locator("#spoken")).to_have_text("Entries that match: 1")
    flower.press("Enter")
    expect(flower).to_have_value("Anémone")
    expect(page.locator("#flower")).to_have_value("anemone")
    assert page.url.endswith("/survey/choices/"), "Enter chose and sent nothing"
    flower.fill("zzz")
    expect(page.locator("#spoken")).to_have_text("Nothing matches. Try fewer letters.")
    flower.press("Tab")
    expect(flower).to_have_value("Anémone")
    flower.fill("")
    flower.press("Tab")
    expect(page.locator("#flower")).to_have_value("")
    flower.press("ArrowDown")
    flower.press("ArrowDown")
    flower.press("ArrowDown")
    flower.press("Escape")
    expect(page.locator("#flower")).to_have_value("")


def test_a_long_list_is_searched_by_pointer(page: Page, refract: Refract) -> None:
    reach(page, refract, "Choices")
    country = page.get_by_role("combobox", name="In which country")
    country.click()
    country.press_sequentially("land")
    page.get_by_role("option", name="Ireland").first.click()
    expect(page.locator("#country")).to_have_value("IRL")


def test_some_answers_stand_alone(page: Page, refract: Refract) -> None:
    reach(page, refract, "Choices")
    page.get_by_label("Playing").check()
    page.get_by_label("Resting").check()
    page.get_by_label("Nothing at all").check()
    expect(page.get_by_label("Playing")).not_to_be_checked()
    expect(page.get_by_label("Resting")).not_to_be_checked()
    page.get_by_label("Resting").check()
    expect(page.get_by_label("Nothing at all")).not_to_be_checked()


def test_what_is_declined_rests_and_returns(page: Page, refract: Refract) -> None:
    reach(page, refract, "Choices")
    box = page.locator("[name=uses_declined]")
    page.get_by_label("Playing").check()
    box.check()
    expect(page.locator(".answers[data-resting]")).to_have_count(1)
    expect(page.get_by_label("Playing")).to_be_checked()  # kept, should they think again
    page.get_by_label("Resting").check()
    expect(box).not_to_be_checked()
    expect(page.locator(".answers[data-resting]")).to_have_count(0)


def test_an_order_is_made_with_buttons(page: Page, refract: Refract) -> None:
    """Nothing stands in an order before a person puts it there."""
    reach(page, refract, "What matters most to you in a garden? Put these in your order.")
    assert page.locator(".rank select").evaluate_all("all => all.map(s => s.value)") == [""] * 4

    def press(verb: str, item: str) -> None:
        page.get_by_role("button", name=f"{verb}: {item}", exact=True).press("Enter")

    press("Place", "Quiet")
    press("Place", "Shade")
    expect(page.locator("#spoken")).to_have_text("Shade: place 2 of 4")
    press("Up", "Shade")
    expect(page.locator("#spoken")).to_have_text("Shade: place 1 of 4")
    assert page.evaluate("document.activeElement.getAttribute('aria-label')") == "Down: Shade"
    press("Take back", "Quiet")
    press("Place", "Colour")
    press("Place", "Company")
    press("Place", "Quiet")
    expect(page.locator(".yours li span:first-of-type")).to_have_text(
        ["Shade", "Colour", "Company", "Quiet"]
    )
    places = {"shade": "1", "colour": "2", "company": "3", "quiet": "4"}
    for item, place in places.items():
        expect(page.locator(f"[name=priorities_{item}]")).to_have_value(place)
    page.get_by_role("button", name="Continue").click()
    expect(page.locator("h1").first).not_to_contain_text("What matters most")


def test_a_complaint_goes_when_it_is_answered(page: Page, refract: Refract) -> None:
    reach(page, refract, "Rows and tables")
    page.get_by_role("button", name="Continue").click()
    expect(page.locator("[name=often]").first).to_be_focused()
    complaints = page.locator(".error:visible")
    expect(complaints).to_have_count(6)
    page.locator("[name=often]").first.check()
    page.locator("[name=who_hours]").first.check()
    expect(complaints).to_have_count(4)


def test_everything_can_be_answered_without_scripts(browser: Browser, refract: Refract) -> None:
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(f"{refract.url}/s/all/")
    page.check("[name=consent_age]")
    page.check("[name=consent]")
    page.locator("main form .btn").first.click()
    while "/survey/" in page.url:
        answer_plainly(page)
        page.get_by_role("button", name="Continue").click()
        expect(page.locator(".error")).to_have_count(0)
    assert page.url.endswith("/done/")
    context.close()


def answer_plainly(page: Page) -> None:
    """With the page's own controls."""
    for wanted in ("understood-rate", "attention-blue", "has_garden-own"):
        if page.locator(f"#{wanted}").count():
            page.check(f"#{wanted}")
    for name in ("often", "who_trees", "who_hours", "views_safe", "views_costly", "views_equal"):
        if page.locator(f"[name={name}]").count():
            page.locator(f"[name={name}]").last.check()
    for name, code in {"flower": "rose", "country": "KEN"}.items():
        if page.locator(f"#{name}").count():
            page.select_option(f"#{name}", code)
    for number, item in enumerate(("shade", "quiet", "colour", "company"), start=1):
        if page.locator(f"[name=priorities_{item}]").count():
            page.select_option(f"[name=priorities_{item}]", str(number))
    for name, text in {"visits": "3", "height": "2,5", "story": "Beans and rain."}.items():
        if page.locator(f"#{name}").count():
            page.fill(f"#{name}", text)
    if page.locator("[name=uses]").count():
        page.get_by_label("Growing food").check()
    for item in ("tidy", "wild", "open"):
        if page.locator(f"[name=prefs_{item}]").count():
            page.check(f"[name=prefs_{item}_rated]")  # "I have rated this"
