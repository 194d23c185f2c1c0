"""What a participant's browser gets tells nothing about which model wrote what."""

import re
from typing import TYPE_CHECKING

import pytest
from bs4 import BeautifulSoup, Tag

from collection.models import Interaction
from surveys.models import Study
from tests.cast import set_protocol, use_models
from tests.model_server import TEXTS, ModelServer
from tests.walk import Person

if TYPE_CHECKING:
    from django.test.client import _MonkeyPatchedWSGIResponse as Seen

pytestmark = pytest.mark.django_db

HX = {"HX-Request": "true"}
SCRIPT = '<script>alert(1)</script><img src=x onerror=alert(1)> <b hx-get="/x">&amp;</b>'
SAID = ("Soup is a drink.", "As Claude, I say no.", SCRIPT, "**No.** [No](https://a.example)")
NAMES = re.compile(
    r"vendor|model-\d|openai|gpt|claude|anthropic|llama|meta ai|google|mistral|litellm|endpoint",
    re.IGNORECASE,
)


@pytest.fixture
def alice(study: Study, model_server: ModelServer, monkeypatch: pytest.MonkeyPatch) -> Person:
    """Her models differ in all that they can: what they say, how long they take, how they end."""
    for number, text in enumerate(SAID):
        monkeypatch.setitem(TEXTS, f"said-{number}", (text, "length" if number == 2 else "stop"))
    behaviours = [f"said-{number}" for number in range(len(SAID))]
    use_models(study, model_server, *behaviours)
    return Person(study, PROLIFIC_PID="alice").ready()


def walk(alice: Person) -> list["Seen"]:
    """Every page of a conversation, as its script asks for them and as a reload does."""
    path = f"/s/prism/c/{alice.conversation.number}/"

    def send(verb: str, **fields: object) -> "Seen":
        return alice.client.post(f"{path}{verb}/", fields, headers=HX)

    def mark(*values: int) -> dict[str, object]:
        fields: dict[str, object] = {}
        for position, value in enumerate(values):
            fields |= {f"score_{position}": value, f"score_{position}_rated": "on"}
        return fields

    seen = [alice.client.get(path), send("prompt", turn=0, prompt="Is soup a drink?")]
    seen += [alice.client.get(path), alice.client.get(f"{path}live/", headers=HX)]
    seen += [send("rate", turn=0), send("rate", turn=0, **mark(1, 2, 3, 4)), alice.client.get(path)]
    seen += [send("prompt", turn=1, prompt="Why?"), alice.client.get(path)]
    seen += [send("rate", turn=1, **mark(1, 2)), send("finish"), alice.client.get(path)]
    return seen


def without_replies(seen: "Seen") -> str:
    """Everything that the browser gets, but for what the models said."""
    html = BeautifulSoup(seen.content, "html.parser")
    for block in html.select(".prose"):
        block.decompose()
    cookies = seen.client.cookies.output() if seen.client else ""
    return f"{html}\n{seen.headers}\n{cookies}"


def cards(seen: "Seen") -> list[Tag]:
    return list(BeautifulSoup(seen.content, "html.parser").select(".replies > .reply"))


def bare(card: Tag, position: int) -> str:
    """A card without what is said and without its place."""
    said = card.select_one(".prose")
    assert said
    said.clear()
    letter = chr(ord("A") + position)
    html = re.sub(rf"(?<=[-_])(?:{position}|{letter})(?=[\"_-])", "#", str(card))
    return re.sub(rf"\b((?:R|r)eply) {letter}\b", r"\1 #", html)


def test_it_works(alice: Person) -> None:
    alice.start()
    pages = walk(alice)
    assert [page.status_code for page in pages] == [200] * 4 + [422] + [200] * 7
    for page in pages:
        found = NAMES.search(without_replies(page))
        assert found is None, f"{found} in {page.request['PATH_INFO']}"


@pytest.mark.parametrize("markup", ["plain", "markdown"])
def test_cards_differ_in_their_words_and_letter_only(
    alice: Person, study: Study, markup: str
) -> None:
    set_protocol(study, markup=markup)
    alice.start()
    opening = alice.prompt(0)
    alice.rate(0, 1, 2, 3, 4)
    continuing = alice.prompt(1)
    for page, replies in ((opening, 4), (continuing, 2)):
        found = [bare(card, position) for position, card in enumerate(cards(page))]
        assert len(found) == replies
        assert set(found) == {found[0]}
        assert "reply-#" in found[0]
        ids = [tag["id"] for tag in BeautifulSoup(page.content, "html.parser").select("[id]")]
        assert len(ids) == len(set(ids))


def test_a_page_says_nothing_about_time(alice: Person) -> None:
    """Neither of the replies nor of the server's work on them."""
    alice.start()
    page = alice.prompt(0)
    assert not page.streaming  # one piece: its chunks cannot tell the replies apart
    assert {"Server-Timing", "Content-Length"} & set(page.headers) <= {"Content-Length"}
    for card in cards(page):
        assert not re.search(r"latency|data-ms|tokens|time|seed|draw", str(bare(card, 0)))


def test_comments_say_nothing(alice: Person) -> None:
    alice.start()
    for page in walk(alice):
        assert b"<!--" not in page.content.replace(b"&lt;!--", b"")


def test_places_are_drawn_apart_from_models(alice: Person, study: Study) -> None:
    """The order on the page is the screen position, whatever the draw was."""
    alice.start()
    page = alice.prompt(0)
    on_page = [card.select(".prose")[0].get_text() for card in cards(page)]
    stored = alice.conversation.interactions.get().utterances.order_by("position")
    assert on_page == [reply.text_shown for reply in stored]


@pytest.mark.parametrize("markup", ["plain", "markdown"])
def test_what_models_and_people_write_is_inert(alice: Person, study: Study, markup: str) -> None:
    set_protocol(study, markup=markup)
    alice.start()
    path = f"/s/prism/c/{alice.conversation.number}/"
    alice.prompt(0, SCRIPT)
    rating = alice.client.get(path)
    alice.rate(0, 1, 2, 3, 4)
    continuing = alice.client.get(path)
    alice.prompt(1, SCRIPT)
    alice.rate(1, 1, 2)
    feedback = alice.finish()
    for page in (rating, continuing, feedback):
        html = BeautifulSoup(page.content, "html.parser")
        assert not html.select(".prose script, .prose img, .prose a, .plain *:not(.who)")
        assert not html.select("main script, main img, [onerror], .talk [hx-get]")
        assert SCRIPT in html.get_text()


def test_a_masked_reply_is_shown_masked_everywhere(alice: Person, study: Study) -> None:
    set_protocol(study, self_naming="mask")
    alice.start()
    alice.prompt(0)
    conversation = alice.conversation
    first = conversation.interactions.get().utterances
    named = first.get(model_response__startswith="As Claude")
    scores = [10, 10, 10, 10]
    scores[named.position] = 90
    pages = [alice.get(f"c/{conversation.number}/"), alice.rate(0, *scores)]
    pages += [alice.prompt(1), alice.rate(1, 1, 2), alice.finish()]
    for page in pages:
        assert b"Claude" not in page.content
        assert b"As this assistant, I say no." in page.content
    assert Interaction.objects.filter(utterances__model_response__contains="Claude").exists()


def test_a_hidden_reply_stays_hidden(alice: Person) -> None:
    alice.start()
    alice.prompt(0)
    number = alice.conversation.number
    alice.post(f"c/{number}/report/", {"position": 3, "hide": "on"})
    hidden = alice.conversation.interactions.get().utterances.get(position=3)
    said = BeautifulSoup(alice.rate(0, 1, 2, 3, 4).content, "html.parser").get_text()
    assert hidden.model_response not in said
    assert "You reported this reply, and it is hidden." in said
