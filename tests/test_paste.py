"""Which fields are for one's own words, and what the page's script is told about pasting."""

import re
from typing import Any

import pytest

from surveys.models import Study
from surveys.protocol import PRESETS
from tests.cast import set_protocol
from tests.test_answers import reach
from tests.walk import Person

pytestmark = pytest.mark.django_db


@pytest.fixture
def alice(study: Study) -> Person:
    person = Person(study, PROLIFIC_PID="alice")
    person.consent()
    return person


def own_words(response: Any) -> set[str]:
    html = response.content.decode()
    return set(re.findall(r'name="(\w+)" data-own-words', html))


def rule(response: Any) -> str:
    found = re.search(r'<body[^>]* data-paste="(\w+)"', response.content.decode())
    return found[1] if found else ""


def test_it_works(alice: Person) -> None:
    for question, field in {
        "lm_usecases": "lm_usecases_other_text",
        "self_description": "self_description",
        "stated_prefs": "stated_prefs_other_text",
        "gender": "gender_text",
    }.items():
        page = alice.get(f"survey/{reach(alice, question)}/")
        assert field in own_words(page)
        assert rule(page) == "discourage"


def test_conversations_too(study: Study) -> None:
    alice = Person(study, PROLIFIC_PID="alice").ready()
    alice.start()
    number = alice.conversation.number
    page = alice.get(f"c/{number}/")
    assert (own_words(page), rule(page)) == ({"prompt"}, "discourage")
    alice.prompt(0)
    alice.rate(0, 20, 90, 40, 60)
    assert own_words(alice.get(f"c/{number}/")) == {"prompt"}
    alice.prompt(1)
    alice.rate(1, 30, 55)
    alice.finish()
    page = alice.get(f"c/{number}/")
    assert (own_words(page), rule(page)) == ({"open_feedback"}, "discourage")


@pytest.mark.parametrize("kept", ["allow", "block"])
def test_the_protocol_decides(study: Study, kept: str) -> None:
    set_protocol(study, paste=kept)
    alice = Person(study, PROLIFIC_PID="alice")
    alice.consent()
    assert rule(alice.get(f"survey/{reach(alice, 'self_description')}/")) == kept


def test_presets() -> None:
    assert (PRESETS["prism"].paste, PRESETS["prism"].paradata) == ("discourage", True)
    assert (PRESETS["prism-2023"].paste, PRESETS["prism-2023"].paradata) == ("allow", False)


def test_reporting_a_problem_is_nobodys_answer(alice: Person) -> None:
    assert own_words(alice.get("leave/")) == set()
