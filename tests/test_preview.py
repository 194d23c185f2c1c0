"""A researcher walks through an instrument: nothing of it becomes data."""

import re
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse

from collection.models import Conversation
from surveys.instruments.load import keep
from surveys.models import Assignment, Instrument, Order, Participant, Response, Study
from tests.drafts import page, parsed, single, text
from tests.walk import answers_to

pytestmark = pytest.mark.django_db

JOB = single("job", "yes", "no", text={"en": "Do you work?", "ar": "هل تعمل؟"})
QUIZ = single("quiz", "right", "wrong", type="comprehension", correct=["right"])
PAGES = (
    page("tone", text=["Welcome, warmly."], show_if={"variant": "tone", "among": ["warm"]}),
    page("quiz", QUIZ | {"explanation": "Read it once more."}),
    page("job", JOB),
    page(
        "work",
        single("kind", "day", "night", text="You said {{ job }}.", randomise=True),
        show_if={"all": [{"question": "job", "among": ["yes"]}]},
    ),
    page("last", {"code": "note", "type": "text", "text": "Anything else?", "required": False}),
)
OTHER = {
    "variants": [{"code": "tone", "arms": [{"code": "warm"}, {"code": "cold"}]}],
    "languages": ["en", "ar"],
}


@pytest.fixture
def instrument(db: None) -> Instrument:
    return keep(parsed(*PAGES, **OTHER))


def words(response: Any) -> str:
    assert response.status_code == 200, response
    return " ".join(response.content.decode().split())


class Walker:
    """Somebody at the preview of one version."""

    def __init__(self, client: Client, sha256: str) -> None:
        self.client, self.sha256 = client, sha256

    def url(self, name: str, *code: str) -> str:
        return reverse(f"admin:surveys_instrument_{name}", args=[self.sha256, *code])

    def start(self) -> Any:
        return self.client.get(self.url("preview"), follow=True)

    def set(self, **fields: str) -> Any:
        return self.client.post(self.url("preview"), fields, follow=True)

    def around(self, code: str) -> str:
        return words(self.client.get(self.url("preview_page", code)))

    def frame(self, code: str) -> str:
        return words(self.client.get(self.url("preview_frame", code)))

    def send(self, code: str, **fields: Any) -> str:
        """Where the form of a page leads."""
        response: Any = self.client.post(self.url("preview_page", code), fields)
        assert response.status_code == 302
        return str(response.url).rstrip("/").split("/")[-2 if "page" in response.url else -1]


@pytest.fixture
def walker(admin_client: Client, instrument: Instrument) -> Walker:
    return Walker(admin_client, instrument.sha256)


def test_it_works(walker: Walker) -> None:
    walker.set(arm_tone="warm")
    assert walker.start().redirect_chain[-1][0] == walker.url("preview_page", "tone")
    assert "Welcome, warmly." in walker.frame("tone")
    assert walker.send("tone") == "quiz"
    assert walker.send("quiz", quiz="right") == "job"
    assert walker.send("job", job="yes") == "work"
    assert "You said Yes." in walker.frame("work")
    assert walker.send("work", kind="night") == "last"
    assert walker.send("last", note="") == "end"
    end = words(walker.client.get(walker.url("preview_end")))
    assert "The survey ends here" in end
    assert "Night" in end
    assert "skipped" in end


def test_nothing_is_stored_as_data(walker: Walker) -> None:
    walker.send("job", job="yes")
    walker.send("work", kind="day")
    for model in (Participant, Response, Assignment, Order, Conversation):
        assert not model._default_manager.exists()


def test_prism_can_be_walked_through(admin_client: Client, study: Study) -> None:
    walker = Walker(admin_client, study.instrument.sha256)
    code = "primer"
    for asked in study.instrument.file.pages:
        assert asked.code == code
        frame = walker.frame(code)
        assert all(f'name="{question.code}' in frame for question in asked.questions)
        code = walker.send(code, **answers_to(asked))
    assert code == "end"
    assert "The conversations follow." in words(walker.client.get(walker.url("preview_end")))
    assert not Participant.objects.exists()


def test_a_refused_page_is_shown_again_as_it_was(walker: Walker) -> None:
    assert walker.send("job", job="never heard of") == "job"
    assert "Please choose one answer." in walker.frame("job")
    assert "Please choose one answer." not in walker.frame("quiz")
    assert walker.send("job", job="no") == "last"
    assert "Please choose one answer." not in walker.frame("job")


def test_answers_lead_past_pages_and_the_rules_say_why(walker: Walker) -> None:
    assert walker.send("job", job="yes") == "work"
    rules = walker.around("work")
    assert "job is yes" in rules
    assert '<span class="hint">(Yes)</span>' in rules
    assert "Not shown" not in rules
    walker.send("work", kind="day")
    assert walker.send("job", job="no") == "last"
    rules = walker.around("work")
    assert "With these answers nobody would see this page." in rules
    assert '<span class="hint">(No)</span>' in rules
    assert "You said No." in walker.frame("work")  # all of it can be seen nonetheless
    answers = words(walker.client.get(walker.url("preview_end")))
    assert '<code>kind</code> <span class="desk-tag">not shown</span>' in answers


def test_a_page_says_what_its_answers_decide(walker: Walker) -> None:
    decides = walker.around("job").split("Answers of this page decide")[1]
    assert f'<a href="{walker.url("preview_page", "work")}">page work</a>' in decides


def test_what_would_be_released_is_shown(walker: Walker) -> None:
    walker.send("job", job="yes")
    walker.send("work", kind="day")
    shown = walker.around("last")
    assert "<code>kind</code></dt><dd><code>&quot;Day&quot;</code>" in shown
    assert "<code>order_kind</code>" in shown
    assert "<code>note</code></dt>" not in shown


def test_attempts_at_a_comprehension_check_are_counted(walker: Walker) -> None:
    assert walker.send("quiz", quiz="wrong", quiz_attempt="1") == "quiz"
    assert "Read it once more." in walker.frame("quiz")
    assert walker.send("quiz", quiz="wrong", quiz_attempt="2") == "end"
    end = words(walker.client.get(walker.url("preview_end")))
    assert "Here a participant is thanked and leaves" in end
    walker.set(restart="on")
    assert walker.send("quiz", quiz="right") == "job"


def test_arms_are_drawn_from_the_seed_or_chosen(walker: Walker) -> None:
    for arm, first in (("warm", "tone"), ("cold", "quiz")):
        walker.set(arm_tone=arm)
        assert walker.start().redirect_chain[-1][0] == walker.url("preview_page", first)
    assert '<option value="cold" selected>' in words(walker.start())
    walker.set(arm_tone="")
    assert "As drawn: " in words(walker.start())
    drawn = set()
    for seed in range(8):
        walker.set(seed=str(seed))
        drawn.add(walker.start().redirect_chain[-1][0])
    assert drawn == {walker.url("preview_page", first) for first in ("tone", "quiz")}


def test_a_seed_gives_the_same_orders_again(walker: Walker) -> None:
    def order() -> list[str]:
        return re.findall(r"value=\"(day|night)\"", walker.frame("work"))

    walker.send("job", job="yes")
    orders = []
    for seed in ("1", "2", "3", "4", "5", "1"):
        walker.set(seed=seed)
        orders.append(order())
    assert orders[0] == orders[-1]
    assert {tuple(one) for one in orders} == {("day", "night"), ("night", "day")}
    walker.set(new_seed="on")
    assert 'value="1"' not in walker.around("work").split('id="seed"')[1][:80]
    walker.set(seed="9" * 30)
    walker.set(seed="nonsense")
    assert walker.start().status_code == 200


def test_the_page_is_in_the_walks_language(walker: Walker) -> None:
    assert "Do you work?" in walker.frame("job")
    walker.set(language="ar")
    frame = walker.frame("job")
    assert 'lang="ar" dir="rtl"' in frame
    assert "هل تعمل؟" in frame
    assert '<html lang="en"' in walker.around("job")
    walker.set(language="fr")
    assert "هل تعمل؟" in walker.frame("job")


def test_settings_keep_the_page(walker: Walker) -> None:
    response = walker.set(page="work", width="narrow")
    assert response.redirect_chain[-1][0] == walker.url("preview_page", "work")
    assert 'class="participant phone"' in words(response)


def test_an_unsaved_version_can_be_walked_through(admin_client: Client) -> None:
    add = reverse("admin:surveys_instrument_add")
    fields = {"text": text(*PAGES, **OTHER), "preview": "on"}
    response: Any = admin_client.post(add, fields, follow=True)
    assert "back to its text" in words(response)
    assert not Instrument.objects.exists()
    walker = Walker(admin_client, parsed(*PAGES, **OTHER).sha256)
    assert walker.send("job", job="yes") == "work"
    assert "Welcome, warmly." in words(admin_client.get(add + "?again"))


def test_nobody_else_sees_it(client: Client, instrument: Instrument) -> None:
    addresses = [
        reverse("admin:surveys_instrument_preview", args=[instrument.sha256]),
        reverse("admin:surveys_instrument_preview_page", args=[instrument.sha256, "job"]),
        reverse("admin:surveys_instrument_preview_frame", args=[instrument.sha256, "job"]),
        reverse("admin:surveys_instrument_preview_end", args=[instrument.sha256]),
        reverse("admin:surveys_instrument_compare"),
    ]
    for address in addresses:
        response: Any = client.get(address)
        assert response.url.startswith(reverse("admin:login"))
    client.force_login(User.objects.create_user("helper", is_staff=True))
    for address in addresses:
        assert client.get(address).status_code == 403


def test_a_version_or_page_that_is_not_there_is_not_found(walker: Walker) -> None:
    assert walker.client.get(walker.url("preview_page", "nowhere")).status_code == 404
    walker.sha256 = "0" * 64
    assert walker.client.get(walker.url("preview")).status_code == 404


def test_only_the_frame_may_be_framed_and_only_here(walker: Walker) -> None:
    assert walker.client.get(walker.url("preview_frame", "job"))["X-Frame-Options"] == "SAMEORIGIN"
    assert walker.client.get(walker.url("preview_page", "job"))["X-Frame-Options"] == "DENY"
