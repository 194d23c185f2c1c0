"""The survey's pages: order, branches, checks, going back, drafts."""

from typing import Any

import pytest

from surveys import answers
from surveys.models import Study
from tests.walk import Person, answers_to, mark

pytestmark = pytest.mark.django_db


@pytest.fixture
def alice(study: Study) -> Person:
    person = Person(study, PROLIFIC_PID="alice")
    person.consent()
    return person


def reach(person: Person, question: str, use: str = "yes") -> str:
    """Answer pages until the one with a question; its code."""
    for _page in person.row.file.pages:
        page = answers.pending_page(person.row)
        assert page is not None
        if question in [q.code for q in page.questions]:
            return page.code
        person.answer(use)
    raise AssertionError(f"{question} was never asked")


def page_fields(person: Person, code: str) -> dict[str, Any]:
    page = person.row.file.page(code)
    assert page is not None
    return answers_to(page)


def test_it_works(alice: Person, study: Study) -> None:
    visited = []
    while page := answers.pending_page(alice.row):
        assert page.code not in visited
        visited.append(page.code)
        alice.answer()
    assert visited == [page.code for page in alice.row.file.pages]
    assert alice.row.responses.get(question="reside_country").value["choice"] == "CAN"
    prefs = alice.row.responses.get(question="stated_prefs")
    assert prefs.value["scores"]["values"] == 70
    assert "other" not in prefs.value["scores"]
    assert prefs.touches["values"] == {"first": 70, "first_by": "pointer", "moves": 1, "ms": 900}


@pytest.mark.parametrize("use", ["no", "unsure"])
def test_frequency_and_use_cases_are_for_users_only(alice: Person, use: str) -> None:
    codes = []
    while page := answers.pending_page(alice.row):
        assert page.code not in codes
        codes += [page.code, *(q.code for q in page.questions)]
        alice.answer(use)
    assert "lm_frequency_use" not in codes
    assert "lm_usecases" not in codes
    assert not alice.row.orders.filter(scope="lm_usecases").exists()


def test_either_use_opens_the_branch(alice: Person) -> None:
    code = reach(alice, "lm_direct_use")
    alice.post(
        f"survey/{code}/",
        page_fields(alice, code) | {"lm_direct_use": "no", "lm_indirect_use": "yes"},
    )
    page = answers.pending_page(alice.row)
    assert page is not None
    assert "lm_frequency_use" in [q.code for q in page.questions]


@pytest.mark.parametrize(("question", "last"), [("lm_usecases", 19), ("stated_prefs", 9)])
def test_options_stand_in_a_recorded_drawn_order(study: Study, question: str, last: int) -> None:
    orders = []
    for name in ("alice", "bob"):
        person = Person(study, PROLIFIC_PID=name)
        person.consent()
        code = reach(person, question)
        html = person.get(f"survey/{code}/").content.decode()
        codes = person.row.orders.get(scope=question).codes
        places = [
            html.index(f'value="{c}"' if last == 19 else f'name="stated_prefs_{c}"') for c in codes
        ]
        assert places == sorted(places)
        assert (len(codes), codes[-1]) == (last, "other")
        person.get(f"survey/{code}/")
        assert person.row.orders.get(scope=question).codes == codes
        orders.append(codes)
    assert orders[0] != orders[1]


def test_a_missing_answer_is_named_at_its_field(alice: Person) -> None:
    code = reach(alice, "lm_familiarity")
    fields = page_fields(alice, code)
    del fields["lm_direct_use"]
    response = alice.post(f"survey/{code}/", fields)
    assert response.status_code == 422
    html = response.content.decode()
    assert 'id="lm_direct_use-error">Please choose one answer.' in html
    assert "lm_familiarity-error" not in html
    assert html.count(" checked") == 2
    assert not alice.row.responses.exists()


def test_every_line_must_be_touched(alice: Person) -> None:
    code = reach(alice, "stated_prefs")
    fields = page_fields(alice, code)
    del fields["stated_prefs_safety_rated"]
    response = alice.post(f"survey/{code}/", fields)
    assert response.status_code == 422
    assert response.content.decode().count("data-missing") == 1
    assert response.content.decode().count("data-rated") == 7


def test_own_statement_is_rated_if_and_only_if_typed(alice: Person) -> None:
    code = reach(alice, "stated_prefs")
    fields = page_fields(alice, code)
    typed = fields | {"stated_prefs_other_text": "is funny"}
    assert alice.post(f"survey/{code}/", typed).status_code == 422
    alice.post(f"survey/{code}/", fields | mark("stated_prefs_other", 88))
    assert "other" not in alice.row.responses.get(question="stated_prefs").value["scores"]
    alice.post(f"survey/{code}/", typed | mark("stated_prefs_other", 88))
    value = alice.row.responses.get(question="stated_prefs").value
    assert (value["scores"]["other"], value["other_text"]) == (88, "is funny")


@pytest.mark.parametrize(
    "forged",
    [
        {"age": "a hundred"},
        {"age": ""},
        {"gender": "self_describe"},
        {"gender": "self_describe", "gender_text": "x" * 201},
        {"gender": "self_describe", "gender_text": "a\x00b"},
    ],
)
def test_forged_answers_are_refused(alice: Person, forged: dict[str, str]) -> None:
    code = reach(alice, "age")
    response = alice.post(f"survey/{code}/", page_fields(alice, code) | forged)
    assert response.status_code == 422
    assert not alice.row.responses.filter(question="age").exists()


@pytest.mark.parametrize("country", ["", "Canada", "XXX", "can"])
def test_a_country_is_from_the_list(alice: Person, country: str) -> None:
    code = reach(alice, "reside_country")
    fields = page_fields(alice, code) | {"reside_country": country}
    assert alice.post(f"survey/{code}/", fields).status_code == 422


@pytest.mark.parametrize("value", ["101", "-1", "abc", ""])
def test_a_value_out_of_range_is_refused(alice: Person, value: str) -> None:
    code = reach(alice, "stated_prefs")
    fields = page_fields(alice, code) | {"stated_prefs_values": value}
    response = alice.post(f"survey/{code}/", fields)
    assert response.status_code == 422
    assert b"Please place this mark again." in response.content


def test_unknown_use_cases_are_refused(alice: Person) -> None:
    code = reach(alice, "lm_usecases")
    assert alice.post(f"survey/{code}/", {"lm_usecases": ["hacking"]}).status_code == 422
    assert alice.post(f"survey/{code}/", {}).status_code == 422


def test_a_page_out_of_order_leads_back(alice: Person) -> None:
    last = alice.row.file.pages[-1].code
    assert alice.get(f"survey/{last}/").redirect_chain[-1][0] == "/s/prism/survey/primer/"
    alice.post(f"survey/{last}/", page_fields(alice, last))
    assert not alice.row.responses.exists()
    assert alice.get("survey/nonsense/").redirect_chain[-1][0] == "/s/prism/survey/primer/"
    assert alice.get("done/").redirect_chain[-1][0] == "/s/prism/survey/primer/"
    assert alice.get("conversations/").redirect_chain[-1][0] == "/s/prism/survey/primer/"


def test_going_back_shows_and_changes_the_answers(alice: Person) -> None:
    code = reach(alice, "lm_familiarity")
    fields = page_fields(alice, code)
    alice.post(f"survey/{code}/", fields)
    assert 'value="yes" checked' in alice.get(f"survey/{code}/").content.decode()
    alice.post(f"survey/{code}/", fields | {"lm_direct_use": "no", "lm_indirect_use": "no"})
    assert alice.row.responses.get(question="lm_direct_use").value["choice"] == "no"
    assert alice.row.responses.count() == 3


def test_sending_twice_is_sending_once(alice: Person) -> None:
    code = reach(alice, "lm_familiarity")
    for _time in range(2):
        alice.post(f"survey/{code}/", page_fields(alice, code))
    assert alice.row.responses.count() == 3
    assert alice.row.pages.filter(page=code).count() == 1


def test_a_finished_survey_stays_as_it_is(study: Study) -> None:
    alice = Person(study, PROLIFIC_PID="alice")
    alice.survey()
    finished = alice.row.survey_finished_at
    code = next(p.code for p in alice.row.file.pages if "age" in [q.code for q in p.questions])
    alice.post(f"survey/{code}/", page_fields(alice, code) | {"age": "prefer_not_to_say"})
    assert alice.row.survey_finished_at == finished
    assert alice.row.responses.get(question="age").value["choice"] != "prefer_not_to_say"


def test_half_given_answers_come_back_on_another_device(alice: Person, study: Study) -> None:
    code = reach(alice, "self_description")
    alice.post("draft/", {"page": f"survey/{code}", "self_description": "I was about to"})
    phone = Person(study, PROLIFIC_PID="alice")
    assert "I was about to" in phone.arrive().content.decode()
    alice.answer()
    assert not alice.row.drafts.exists()


def test_a_draft_is_no_answer(alice: Person) -> None:
    code = reach(alice, "self_description")
    alice.post("draft/", {"page": f"survey/{code}", "self_description": "x"})
    assert not alice.row.responses.filter(question="self_description").exists()


def test_drafts_are_bounded(alice: Person) -> None:
    fields = {f"f{n}": "x" * 30_000 for n in range(3)} | {"page": "p" * 300}
    alice.post("draft/", fields)
    draft = alice.row.drafts.get()
    assert len(draft.page) == 100
    assert all(len(values[0]) == 20_000 for values in draft.fields.values())


def test_too_long_a_text_comes_back_with_its_message(alice: Person) -> None:
    code = reach(alice, "self_description")
    response = alice.post(f"survey/{code}/", {"self_description": "y" * 10_001})
    assert response.status_code == 422
    assert b"1 character too long" in response.content
    assert b"y" * 10_001 in response.content
