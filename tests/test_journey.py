"""One person, from the link to the row in the release, in a real browser."""

import gzip
import json
import re
from pathlib import Path

import pytest
from playwright.sync_api import Page, Response

from collection.llm import demo_endpoints
from tests.conftest import Run
from tests.servers import Refract

LINK = "/s/prism/?PROLIFIC_PID=carol-pid&STUDY_ID=recruit9&SESSION_ID=carol-session"
PAGE_WEIGHT = 100_000
"""Bytes of HTML, CSS and scripts of a participant's page, compressed."""


@pytest.fixture
def refract(run_embedded: Run) -> Refract:
    return run_embedded(env={"REFRACT_DEMO_LATENCY": "0.2"})


class Walk:
    """Somebody at the browser, and what every page they saw must hold to."""

    def __init__(self, page: Page, refract: Refract) -> None:
        self.page = page
        self.refract = refract
        self.weights: dict[str, int] = {}
        self.names = [name for e in demo_endpoints() for name in (e["long_name"], e["short_name"])]
        self.told: list[str | bytes] = []
        page.on("response", self.weigh)
        page.on("websocket", lambda socket: socket.on("framereceived", self.hear))

    def hear(self, message: str | bytes) -> None:
        self.told.append(message)

    def weigh(self, response: Response) -> None:
        kind = response.request.resource_type
        if kind in ("document", "stylesheet", "script") and response.status == 200:
            self.weights[response.url.split("?")[0]] = len(gzip.compress(response.body(), 6))

    def look(self) -> None:
        """No page names a model, shows a score or lets one be heard, or weighs too much."""
        html = self.page.content()
        assert [name for name in self.names if re.search(rf"\b{re.escape(name)}\b", html)] == []
        assert "carol-pid" not in html
        assert "carol-session" not in html
        for line in self.page.locator("input[type=range]").all():
            heard = line.get_attribute("aria-valuetext") or "0"
            assert not re.search(r"\d", heard), heard
        nodes = self.page.context.new_cdp_session(self.page).send("Accessibility.getFullAXTree")
        for node in nodes["nodes"]:
            # The raw value of a range input is the DOM's, and aria-valuetext is what is spoken.
            if node.get("role", {}).get("value") == "slider":
                spoken = [node.get(part, {}).get("value", "") for part in ("name", "description")]
                assert not re.search(r"\d", " ".join(map(str, spoken)))
        assert not re.search(r"\d", "".join(self.page.locator(".vas").all_inner_texts()))
        wide = self.page.evaluate("document.documentElement.scrollWidth - innerWidth")
        assert wide <= 0, self.page.url

    def rate_all(self) -> None:
        lines = self.page.locator(".vas:not([data-optional]) input[type=range]")
        for number, line in enumerate(lines.all()):
            box = line.bounding_box()
            assert box
            part = 0.1 + 0.8 * (number * 37 % 10) / 10
            line.click(position={"x": box["width"] * part, "y": box["height"] / 2})

    def survey(self) -> None:
        page = self.page
        while "/survey/" in page.url:
            for group in page.locator("fieldset:has(input[type=radio])").all():
                group.locator("input[type=radio]").last.check()
            for radio in page.locator("input[type=radio][value=yes]").all():
                radio.check()
            for box in page.locator("input[type=checkbox][name=lm_usecases]").all()[:2]:
                box.check()
            for country in page.get_by_role("combobox").all():
                country.press_sequentially("keny")
                country.press("Enter")
            for text in page.locator("textarea").all():
                text.fill("Kindness matters to me. I try to be fair.")
            self.rate_all()
            self.look()
            before = page.url
            page.get_by_role("button", name="Continue").click()
            page.wait_for_function("before => location.href !== before", arg=before)
            page.wait_for_load_state()

    def turn(self, text: str, button: str) -> None:
        page = self.page
        page.locator("#prompt").fill(text)
        page.get_by_role("button", name="Send").dblclick()
        page.wait_for_selector("#rating", timeout=40_000)
        self.rate_all()
        self.look()
        page.locator("#rating").get_by_role("button", name=button, exact=True).click()
        page.wait_for_selector("#prompt")

    def conversation(self) -> None:
        page = self.page
        page.get_by_role("button", name="Start").first.click()
        page.wait_for_selector("#prompt")
        self.look()
        self.turn("What would you cook for somebody who is sad?", "Send")
        page.reload()
        self.turn("And for two people?", "Save")
        page.get_by_role("button", name="Finish").click()
        page.wait_for_selector("#open_feedback")
        self.rate_all()
        page.locator("[name=choice_safety_na]").check()
        page.locator("#open_feedback").fill("Warm and to the point. I missed a shopping list.")
        self.look()
        page.get_by_role("button", name="Submit").click()
        page.wait_for_selector("#open_feedback", state="detached")


@pytest.fixture
def walk(page: Page, refract: Refract) -> Walk:
    page.set_viewport_size({"width": 390, "height": 844})
    return Walk(page, refract)


def test_it_works(walk: Walk, refract: Refract, tmp_path: Path) -> None:
    page = walk.page
    page.goto(refract.url + LINK)
    walk.look()
    page.get_by_label("I certify that I am 18 years of age or over").check()
    page.get_by_label("Yes, I consent to take part").check()
    page.get_by_role("button", name="Start the study").click()
    walk.survey()
    walk.look()
    page.get_by_role("button", name="Start with the first conversation").click()
    for _conversation in range(6):
        walk.conversation()
    assert page.url.endswith("/done/")
    walk.look()
    code = page.locator(".code").inner_text()
    href = page.get_by_role("link", name="Return to Prolific").get_attribute("href") or ""
    assert code in href

    assert "settled" in walk.told  # a waiting page is told at once, it need not poll
    own = sum(size for url, size in walk.weights.items() if "/static/" in url)
    pages = [size for url, size in walk.weights.items() if "/static/" not in url]
    assert own + max(pages) < PAGE_WEIGHT

    folder = tmp_path / "release"
    refract.manage("export", "prism", "--out", str(folder))
    assert refract.manage("validate", str(folder)) == ""
    released = (folder / "survey.jsonl").read_text()
    row = json.loads(released)
    assert row["user_id"] == "user0"
    assert row["study_id"] == "recruit9"
    assert row["num_completed_conversations"] == 6
    assert row["included_in_balanced_subset"] is True
    assert row["location"]["reside_country"] == "Kenya"
    everything = "".join(file.read_text() for file in folder.rglob("*.json*"))
    assert "carol-pid" not in everything
    assert "carol-session" not in everything
    conversations = [
        json.loads(line) for line in (folder / "conversations.jsonl").read_text().splitlines()
    ]
    for conversation in conversations:
        assert conversation["conversation_turns"] == 2
        assert conversation["choice_attributes"]["safety"] is None
        opening = [m for m in conversation["conversation_history"] if m["turn"] == 0][1:]
        assert sum(reply["if_chosen"] for reply in opening) == 1


def test_a_restarted_server_goes_on(walk: Walk, refract: Refract) -> None:
    page = walk.page
    page.goto(refract.url + LINK)
    page.get_by_label("I certify that I am 18 years of age or over").check()
    page.get_by_label("Yes, I consent to take part").check()
    page.get_by_role("button", name="Start the study").click()
    walk.survey()
    page.get_by_role("button", name="Start with the first conversation").click()
    page.get_by_role("button", name="Start").first.click()
    page.locator("#prompt").fill("Do you remember me?")
    page.wait_for_timeout(1500)  # what is half written is saved after a moment
    refract.kill9()
    refract.start()
    page.goto(refract.url + LINK)
    assert page.locator("#prompt").input_value() == "Do you remember me?"
    page.get_by_role("button", name="Send").click()
    page.wait_for_selector("#waiting, #rating")  # the message has arrived
    refract.kill9()  # while the models are asked, or just after
    refract.start()
    page.goto(refract.url + LINK)
    page.wait_for_selector("#rating", timeout=60_000)
    assert page.get_by_text("Do you remember me?").count() == 1


def test_simulated_people_on_both_stacks(stack: Refract, tmp_path: Path) -> None:
    stack.manage("simulate", "prism", "--participants", "5", "--seed", "3", "--base-url", stack.url)
    folder = tmp_path / "release"
    stack.manage("export", "prism", "--out", str(folder))
    assert stack.manage("validate", str(folder)) == ""
    manifest = json.loads((folder / "manifest.json").read_text())
    assert manifest["simulated"]["people"] > 0
    assert manifest["rows"]["conversations.jsonl"] >= 6
