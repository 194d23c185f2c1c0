"""Prompts that no person means to send: each is kept as it is or refused kindly, and never lost."""

from typing import TYPE_CHECKING
from urllib.parse import quote

import pytest
from bs4 import BeautifulSoup

from surveys.models import Study
from tests.model_server import ModelServer
from tests.walk import Person

if TYPE_CHECKING:
    from django.test.client import _MonkeyPatchedWSGIResponse as Seen

pytestmark = pytest.mark.django_db

FORM = "application/x-www-form-urlencoded"


@pytest.fixture
def alice(study: Study) -> Person:
    alice = Person(study, PROLIFIC_PID="alice").ready()
    alice.start()
    return alice


def send(alice: Person, body: bytes, content_type: str = FORM, **headers: str) -> "Seen":
    path = f"/s/prism/c/{alice.conversation.number}/prompt/"
    return alice.client.generic("POST", path, body, content_type, headers=headers)


def typed(text: str) -> bytes:
    """As a browser sends it."""
    return f"turn=0&prompt={quote(text)}".encode()


def field(response: "Seen") -> str:
    """What stands in the field again, as a browser reads it."""
    area = BeautifulSoup(response.content, "html.parser").find("textarea", attrs={"name": "prompt"})
    assert area
    return area.get_text().removeprefix("\n")


def error(response: "Seen") -> str:
    found = BeautifulSoup(response.content, "html.parser").select_one("#prompt-error")
    return found.get_text() if found else ""


KEPT = {
    "control characters": "".join(map(chr, range(1, 32))).replace("\r", "") + "x\x7f\x80\x9f.",
    "escape sequences": "\x1b[31mred\x1b[0m\x07",
    "right to left": "\u202eabc\u202c \u2066def",
    "an override that never ends": "\u202e\u202d\u2067 Is soup a drink?",
    "html": "<script>alert('x')</script></textarea><b>&amp;</b>",
    "template tags": "{{ settings.SECRET_KEY }} {% debug %} ${7*7} %s %(x)s",
    "sql": "'; DROP TABLE collection_interaction; --",
    "piled accents": "Z" + "\u0300\u0316\u0335" * 60,
    "emoji": "🫕👩‍🍳🏳️‍🌈",
    "noncharacters": "\ufffe\uffff\U0010ffff",
    "one word": "a" * 4000,
    "byte order mark": "\ufeffsoup",
    "separators": "a\u2028b\u2029c\x0bd\x0ce",
}


@pytest.mark.parametrize("name", KEPT)
def test_it_works(alice: Person, model_server: ModelServer, name: str) -> None:
    """Kept letter for letter, sent to the models so, and shown so."""
    text = KEPT[name]
    response = alice.prompt(0, text)
    assert response.status_code == 200
    interaction = alice.conversation.interactions.get()
    assert interaction.user_prompt == text.strip()
    assert model_server.requests[-1]["messages"][-1]["content"] == text.strip()
    html = BeautifulSoup(response.content, "html.parser")
    assert not html.select("main script, main b:not(.notice b)")
    shown = html.select_one(".you .plain")
    assert shown
    assert shown.get_text() == text.strip()


REFUSED = {
    "nothing": ("", "Please write a message"),
    "blanks": (" \n\t\r\n\u2003\u3000\u2028 ", "Please write a message"),
    "NUL": ("a\0b", "a character that cannot be saved"),
    "only NUL": ("\0", "a character that cannot be saved"),
    "too long": ("soup " * 801, "is 4 characters too long"),
    "far too long": ("s" * 900_000, "is 896000 characters too long"),
}


@pytest.mark.parametrize("name", REFUSED)
@pytest.mark.parametrize("is_script", [False, True])
def test_refused(alice: Person, name: str, is_script: bool) -> None:
    """With a kind sentence beside the field, which still has every word."""
    text, words = REFUSED[name]
    response = send(alice, typed(text), **({"HX-Request": "true"} if is_script else {}))
    assert response.status_code == 422
    assert words in error(response)
    assert field(response).strip() == text.replace("\r\n", "\n").strip()
    assert not alice.conversation.interactions.exists()
    assert b"<html" in response.content or is_script
    assert send(alice, typed("Is soup a drink?")).status_code == 302
    assert alice.conversation.interactions.get().user_prompt == "Is soup a drink?"


def test_a_megabyte_is_more_than_a_page_takes(alice: Person) -> None:
    response = send(alice, typed("s" * 1_000_001))
    assert response.status_code == 400
    assert b"send something shorter" in response.content
    assert not alice.conversation.interactions.exists()


BYTES = {
    "a lone surrogate": b"turn=0&prompt=a%ED%A0%80b",
    "half a letter": b"turn=0&prompt=a%C3",
    "no UTF-8": b"turn=0&prompt=%FF%FE%00a",
    "overlong": b"turn=0&prompt=%C0%AFsoup",
    "bad escapes": b"turn=0&prompt=100%+%zz%u1234",
    "two prompts": b"turn=0&prompt=first&prompt=second",
    "raw bytes": b"turn=0&prompt=\xff\x80soup",
    "no prompt": b"turn=0",
    "an array": b"turn=0&prompt[]=soup",
    "nothing": b"",
    "no turn": b"prompt=soup",
    "a turn that is none": b"turn=0.5&prompt=soup",
    "a huge turn": b"turn=99999999999999999999&prompt=soup",
    "a turn in other digits": "turn=०&prompt=soup".encode(),
    "a thousand fields": b"&".join(b"f%d=x" % number for number in range(2000)),
    "no form": b"\x00\x01\x02" * 100,
}


@pytest.mark.parametrize("name", BYTES)
def test_what_a_script_may_send(alice: Person, name: str) -> None:
    response = send(alice, BYTES[name])
    assert response.status_code in (302, 400, 422)
    for interaction in alice.conversation.interactions.all():
        interaction.user_prompt.encode()  # can be stored anywhere
        assert "\0" not in interaction.user_prompt


PART = (
    b'--x\r\nContent-Disposition: form-data; name="turn"\r\n\r\n0\r\n'
    b'--x\r\nContent-Disposition: form-data; name="prompt"\r\n\r\n%b\r\n--x--\r\n'
)


@pytest.mark.parametrize(
    ("charset", "said"),
    [
        ("utf-7", b"a+2AA-b"),
        ("unicode_escape", rb"a\ud800b"),
        ("raw_unicode_escape", rb"a\ud800b"),
        ("utf-16", b"a\x00\x00\xd8b\x00"),
        ("utf-8", b"a\xed\xa0\x80b"),
        ("idna", b"xn--a"),
        ("zip", b"x"),
        ("nonsense", b"soup"),
    ],
)
@pytest.mark.parametrize("form", ["multipart", "urlencoded"])
def test_other_alphabets_than_the_pages(
    alice: Person, charset: str, said: bytes, form: str
) -> None:
    """A browser sends UTF-8. Decoders of other kinds make lone surrogates, or fail."""
    if form == "multipart":
        response = send(alice, PART % said, f"multipart/form-data; boundary=x; charset={charset}")
    else:
        response = send(alice, b"turn=0&prompt=" + said, f"{FORM}; charset={charset}")
    assert response.status_code in (302, 400, 403, 415, 422)
    response.content.decode()


@pytest.mark.parametrize("text", ["a\0b", "\u202ex", "s" * 900_000, "<script>x</script>"])
def test_drafts_of_such_are_kept(alice: Person, text: str) -> None:
    number = alice.conversation.number
    fields = {"page": f"c/{number}/0/prompt", "turn": "0", "prompt": text}
    response = alice.client.post("/s/prism/draft/", fields)
    assert response.status_code == 204
    again = field(alice.get(f"c/{number}/"))
    assert again.startswith(text.replace("\0", "")[:20_000])


@pytest.mark.parametrize("number", [0, 2, 32_768, 2**31, 2**63, 10**40])
def test_a_conversation_that_there_is_not(alice: Person, number: int) -> None:
    assert alice.get(f"c/{number}/").status_code == 404
