"""Switching the language in Chromium, where scripts keep what stands in a page."""

import pytest
from playwright.sync_api import Page, expect

from tests.servers import Refract
from tests.test_languages import TRANSLATED


@pytest.fixture
def survey(embedded: Refract, page: Page) -> Page:
    """The first page with choices, in English, of somebody who has just consented."""
    embedded.manage("shell", "-c", TRANSLATED)
    page.goto(f"{embedded.url}/s/prism/?lang=en")
    for box in page.locator("main [type=checkbox]").all():
        box.check()
    page.get_by_role("button", name="Start the study").click()
    page.get_by_role("button", name="Continue").click()
    expect(page.locator("main [type=radio]").first).to_be_visible()
    return page


def test_it_works(survey: Page) -> None:
    """At once, before the script has saved anything of itself."""
    survey.locator("main [type=radio]").nth(1).check()
    survey.get_by_role("button", name="العربية").click()
    expect(survey.locator("html")).to_have_attribute("dir", "rtl")
    expect(survey.locator("main [type=radio]").nth(1)).to_be_checked()
    survey.get_by_role("button", name="Español").click()
    expect(survey.locator("html")).to_have_attribute("lang", "es")
    expect(survey.locator("main [type=radio]").nth(1)).to_be_checked()
    survey.evaluate("localStorage.clear()")
    survey.reload()
    expect(survey.locator("main [type=radio]").nth(1)).to_be_checked()


def test_lines_that_were_not_rated_are_not_asked_for(embedded: Refract, survey: Page) -> None:
    """A switch sends nothing, so nothing needs to be complete, and focus asks for no rating."""
    survey.evaluate(
        """() => document.getElementById('page-form').insertAdjacentHTML('beforeend',
            '<div class="vas" data-state="unrated"><input type="range"></div>')"""
    )
    survey.get_by_role("button", name="Español").click()
    expect(survey.locator("html")).to_have_attribute("lang", "es")


@pytest.mark.parametrize("width", [360, 1280])
def test_arabic_needs_no_scrolling_sideways(survey: Page, width: int) -> None:
    survey.set_viewport_size({"width": width, "height": 800})
    survey.get_by_role("button", name="العربية").click()
    expect(survey.locator("html")).to_have_attribute("dir", "rtl")
    assert survey.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_what_people_write_runs_its_own_way(survey: Page) -> None:
    """In a page from left to right, Arabic words begin at the right, and the other way round."""
    survey.evaluate(
        """() => document.querySelector('main').insertAdjacentHTML('afterbegin',
            '<p class="plain" id="own" style="width: 300px"><span>مرحبا بكم</span></p>')"""
    )
    own, text = survey.locator("#own").bounding_box(), survey.locator("#own span").bounding_box()
    assert own and text
    assert text["x"] + text["width"] == pytest.approx(own["x"] + own["width"], abs=1)
