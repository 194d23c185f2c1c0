"""A researcher's way through the desk, from setting a study up to closing it."""

import time
from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import Page, expect

from tests.conftest import Run
from tests.keyboard import press
from tests.model_server import ModelServer
from tests.prolific_server import TOKEN, ProlificServer

pytestmark = [pytest.mark.servers, pytest.mark.browser]

WHAT = {
    "title": "Everyday advice",
    "slug": "advice",
    "locale": "uk",
    "contact_name": "Ada Byron",
    "contact_email": "ada@example.org",
    "ethics_reference": "REC-1",
    "ethics_contact": "rec@example.org",
    "payment": "£4.50",
}
MODEL = """
  - long_name: {name}
    short_name: {name}
    longcode: {name}
    model_family: ours
    model_provider: ours
    provider_code: ours
    model_provider_type: Open Access
    model_type: Chat
    header: Limit your answers to 50 words.
    litellm_model: openai/says-I-am-{name}.
    api_base: {url}
    key_name: OURS
"""
QUOTAS = "study_locale,target\nuk,25\nsouth africa,25\n"
COUNTRIES = """country,filters,places,reward,minutes
United Kingdom,prism,25,4.50,30
South Africa,prism,25,4.50,30
"""
PEOPLE = 12
PAGE_MS = 60_000
"""Trying all models and publishing take their time."""
PATIENCE_S = 180.0
"""For what happens in the background, each quarter of a minute or so."""


@pytest.fixture
def prolific() -> Iterator[ProlificServer]:
    with ProlificServer() as server:
        yield server


class Desk:
    """Somebody signed in there, who knows pages by the words on them."""

    def __init__(self, page: Page, url: str, password: str) -> None:
        self.page = page
        self.url = url
        page.set_default_timeout(PAGE_MS)
        page.goto(f"{url}/admin/login/?next=/admin/surveys/study/")
        page.fill("#id_username", "researcher")
        page.fill("#id_password", password)
        page.keyboard.press("Enter")
        self.sees("Set up a study, step by step")

    def press(self, words: str) -> None:
        button = self.page.get_by_role("button", name=words, exact=True)
        button.or_(self.page.get_by_role("link", name=words, exact=True)).first.click()

    def sees(self, words: str) -> None:
        expect(self.page.locator("body")).to_contain_text(words, timeout=PAGE_MS)

    def study(self) -> None:
        """To the page of the study that was set up."""
        self.page.goto(f"{self.url}/admin/surveys/study/")
        self.press("Everyday advice")


def until(is_so: Callable[[], bool]) -> None:
    end = time.monotonic() + PATIENCE_S
    while not is_so():
        assert time.monotonic() < end
        time.sleep(0.2)


def test_a_study_from_set_up_to_its_end(
    run_embedded: Run, page: Page, prolific: ProlificServer, model_server: ModelServer
) -> None:
    site = prolific.url.removesuffix("/api/v1")
    refract = run_embedded(
        {
            "REFRACT_PROLIFIC_URL": prolific.url,
            "REFRACT_PROLIFIC_SITE": site,
            "REFRACT_PROLIFIC_TOKEN": TOKEN,
            "REFRACT_KEY_OURS": "sk-ours",
        }
    )
    models = "".join(MODEL.format(name=name, url=model_server.url) for name in ("left", "right"))
    (refract.data / "models.yaml").write_text(f"title: Two models of ours\nmodels:{models}")
    refract.manage("load_endpoints", str(refract.data / "models.yaml"))
    desk = Desk(page, refract.url, refract.password)

    desk.press("Set up a study, step by step")
    for name, value in WHAT.items():
        page.fill(f"[name={name}]", value)
    desk.press("Store and go on")
    page.check("input[value=quick-pilot]")
    for heading in ("Questionnaire", "Consent text", "Models"):
        desk.press("Store and go on")
        expect(page.locator("legend")).to_have_text(heading, timeout=PAGE_MS)
    page.get_by_label("left").check()
    page.get_by_label("right").check()
    desk.press("Store and go on")
    desk.press("Store and go on")
    page.fill("[name=expected_people]", "50")
    page.fill("[name=budget_usd]", "20")
    desk.press("Store and go on")
    desk.sees("left has not been tried with its present settings")
    desk.press("Open the pilot")
    desk.sees("The study is not ready yet.")

    desk.study()
    desk.press("Quotas")
    desk.press("Add a table")
    page.fill("[name=name]", "Countries")
    page.fill("textarea[name=text]", QUOTAS)
    desk.press("Store")
    desk.sees("south africa")

    desk.study()
    desk.press("Recruiting")
    desk.press("Countries from a table")
    page.fill("textarea[name=text]", COUNTRIES)
    page.fill("[name=description]", "You talk with language models and say what you like better.")
    desk.press("Check and store")
    desk.sees("All places together cost £225.00 in rewards")

    desk.study()
    desk.press("Guided set-up")
    desk.press("8. Check")
    desk.press("Try all models")
    desk.sees("All 2 models answered a test prompt")
    desk.press("Open the pilot")
    desk.sees("Their data are kept apart and not released.")
    desk.press("Recruiting")
    desk.press("Dry run")
    desk.press("Create and publish")
    until(lambda: [row["status"] for row in prolific.studies.values()] == ["ACTIVE", "ACTIVE"])

    entries = [f"--entry={site}/take/{name}" for name in prolific.studies]
    people = f"--participants={PEOPLE}"
    told = refract.manage("simulate", "advice", people, f"--base-url={refract.url}", *entries)
    assert "0 failed" in told
    finished = [row for row in prolific.submissions.values() if row["status"] == "AWAITING REVIEW"]
    assert len(finished) > PEOPLE / 2

    desk.study()
    desk.press("Watch it live")
    desk.sees("From link to finish")
    desk.study()
    desk.press("Review submissions")
    rows = page.locator(".submissions tbody tr")
    for left in reversed(range(rows.count())):
        press(page, "j")
        press(page, "a")
        expect(rows).to_have_count(left, timeout=PAGE_MS)
    # Some came by the study's open link, and Prolific knows nothing of them.
    (approved,) = refract.rows("SELECT count(*) FROM surveys_submission WHERE outcome = 'complete'")
    sent = prolific.submissions.values()
    until(lambda: sum(row["status"] == "APPROVED" for row in sent) == approved[0])

    desk.study()
    desk.press("Participants")
    page.locator("#result_list tbody a, .result-list tbody a, table tbody a").first.click()
    desk.press("Withdraw on their behalf")
    page.select_option("[name=reason]", index=1)
    page.fill("[name=number]", page.url.rstrip("/").split("/")[-2])
    desk.press("Erase for good")
    desk.sees("Erased. The receipt is")

    desk.study()
    page.on("dialog", lambda dialog: dialog.accept())
    desk.press("Close for good")
    desk.sees("closed")
    page.goto(f"{refract.url}/s/advice/")
    desk.sees("not taking new participants")
