"""What is noted of how pages are used: kept beside the answers, never in their way."""

import json
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from surveys import paradata
from surveys.instruments.load import InstrumentError
from surveys.models import PageVisit, Study
from tests.cast import set_protocol
from tests.drafts import page as drawn_page
from tests.drafts import parsed, single
from tests.test_answers import page_fields, reach
from tests.walk import Person

pytestmark = pytest.mark.django_db

LOAD, OTHER_LOAD = "0123456789abcdef", "fedcba9876543210"
QUESTION = "self_description"
NOTE = {"visible_ms": 900, "changes": 2, "pastes": 1, "pasted_share": 0.25}


def record(load: str = LOAD, **changes: Any) -> dict[str, Any]:
    whole = {
        "load": load,
        "visible_ms": 1000,
        "focus_losses": 1,
        "viewport_width": 360,
        "viewport_height": 640,
        "input": "touch",
        "questions": {QUESTION: NOTE},
    }
    return whole | changes


def sent(load: str = LOAD, **changes: Any) -> dict[str, str]:
    return {"paradata": json.dumps(record(load, **changes))}


@pytest.fixture
def alice(study: Study) -> Person:
    person = Person(study, PROLIFIC_PID="alice")
    person.consent()
    return person


@pytest.fixture
def page(alice: Person) -> str:
    """Alice is at the page with a text of her own."""
    code = reach(alice, QUESTION)
    alice.get(f"survey/{code}/")
    return code


def visit(person: Person, page: str) -> PageVisit:
    return person.row.pages.get(page=page)


def draft(person: Person, page: str, **fields: str) -> None:
    assert person.post("draft/", {"page": f"survey/{page}", **fields}).status_code == 204


def test_it_works(alice: Person, page: str) -> None:
    draft(alice, page, self_description="I was", **sent())
    assert visit(alice, page).paradata == {
        LOAD: {
            "visible_ms": 1000,
            "focus_losses": 1,
            "viewport_width": 360,
            "viewport_height": 640,
            "input": "touch",
            "nth": 0,
            "questions": {QUESTION: NOTE},
        }
    }
    alice.post(f"survey/{page}/", page_fields(alice, page) | sent(visible_ms=3000))
    found = visit(alice, page)
    assert found.sent_at
    assert found.paradata[LOAD]["visible_ms"] == 3000
    assert paradata.summary(found) == {
        "visible_ms": 3000,
        "focus_losses": 1,
        "viewport_width": 360,
        "viewport_height": 640,
        "input": "touch",
        "loads": 1,
        "questions": {QUESTION: NOTE},
    }
    assert alice.row.responses.filter(question=QUESTION).exists()


def test_loads_are_summed(alice: Person, page: str) -> None:
    draft(alice, page, **sent())
    later = {**NOTE, "pasted_share": 0.0}
    draft(
        alice, page, **sent(OTHER_LOAD, visible_ms=9000, input="mouse", questions={QUESTION: later})
    )
    found = paradata.summary(visit(alice, page))
    assert (found["visible_ms"], found["focus_losses"], found["loads"]) == (10_000, 2, 2)
    assert found["input"] == "mouse"  # of the load that was visible longest
    note = found["questions"][QUESTION]
    assert (note["visible_ms"], note["changes"], note["pastes"]) == (1800, 4, 2)
    assert note["pasted_share"] == 0.0  # of the text that was left in the end


def test_a_text_that_was_emptied_has_no_share() -> None:
    visit = PageVisit()
    for nth, share in enumerate((0.5, None)):
        note = {QUESTION: {**NOTE, "pasted_share": share}}
        raw = json.dumps(record(f"{nth:016x}", questions=note))
        found = paradata.read(raw)
        assert found
        assert paradata.keep(visit, found, {QUESTION})
    assert paradata.summary(visit)["questions"][QUESTION]["pasted_share"] is None


def test_nothing_was_noted() -> None:
    assert paradata.summary(PageVisit()) == {
        "visible_ms": 0,
        "focus_losses": 0,
        "viewport_width": None,
        "viewport_height": None,
        "input": None,
        "loads": 0,
        "questions": {},
    }


def test_the_page_says_what_is_to_be_noted(alice: Person, page: str) -> None:
    draft(alice, page, self_description="Pasted", **sent())
    html = alice.get(f"survey/{page}/").content.decode()
    assert "refract/paradata" in html
    assert "&quot;questions&quot;: [&quot;self_description&quot;]" in html
    assert "&quot;pasted&quot;: {&quot;self_description&quot;: 0.25}" in html


def test_a_protocol_without_it_notes_nothing(study: Study) -> None:
    set_protocol(study, paradata=False)
    bob = Person(study, PROLIFIC_PID="bob")
    bob.consent()
    code = reach(bob, QUESTION)
    html = bob.get(f"survey/{code}/").content.decode()
    assert "paradata" not in html
    draft(bob, code, self_description="I was", **sent())
    bob.post(f"survey/{code}/", sent())  # refused
    bob.post(f"survey/{code}/", page_fields(bob, code) | sent())
    assert bob.row.responses.filter(question=QUESTION).exists()
    assert all(found == {} for found in bob.row.pages.values_list("paradata", flat=True))


def test_a_draft_keeps_answers_only(alice: Person, page: str) -> None:
    draft(alice, page, self_description="I was", **sent())
    assert alice.row.drafts.get().fields == {"self_description": ["I was"]}


def test_a_page_that_was_only_read_is_noted_and_its_draft_stays(alice: Person, page: str) -> None:
    draft(alice, page, **sent())
    assert not alice.row.drafts.exists()
    draft(alice, page, self_description="I was")
    draft(alice, page, **sent(OTHER_LOAD))
    assert alice.row.drafts.get().fields == {"self_description": ["I was"]}
    assert set(visit(alice, page).paradata) == {LOAD, OTHER_LOAD}


def test_a_refused_page_is_noted_too(alice: Person, page: str) -> None:
    response = alice.post(f"survey/{page}/", {QUESTION: ""} | sent())
    assert response.status_code == 422
    assert visit(alice, page).paradata[LOAD]["visible_ms"] == 1000
    assert "&quot;pasted&quot;: {&quot;self_description&quot;: 0.25}" in response.content.decode()


def test_sending_twice_counts_once(alice: Person, page: str) -> None:
    for _time in range(2):
        alice.post(f"survey/{page}/", page_fields(alice, page) | sent())
    assert paradata.summary(visit(alice, page))["visible_ms"] == 1000


def test_a_draft_that_was_overtaken_changes_nothing(alice: Person, page: str) -> None:
    draft(alice, page, **sent(visible_ms=3000))
    draft(alice, page, **sent(visible_ms=2000))
    assert visit(alice, page).paradata[LOAD]["visible_ms"] == 3000


def test_only_so_many_loads_are_noted(alice: Person, page: str) -> None:
    loads = {f"{n:016x}": record() | {"nth": n} for n in range(paradata.LOADS)}
    alice.row.pages.filter(page=page).update(paradata=loads)
    draft(alice, page, **sent())
    assert LOAD not in visit(alice, page).paradata
    known = f"{0:016x}"
    draft(alice, page, **sent(known, visible_ms=5000))
    assert visit(alice, page).paradata[known]["visible_ms"] == 5000


def test_questions_of_other_pages_are_left_out(alice: Person, page: str) -> None:
    draft(alice, page, **sent(questions={QUESTION: NOTE, "age": NOTE, "x\x00": NOTE}))
    assert set(visit(alice, page).paradata[LOAD]["questions"]) == {QUESTION}


WRONG: list[tuple[str, Any]] = [
    ("load", "x" * 16),
    ("load", ""),
    ("load", None),
    ("visible_ms", -1),
    ("visible_ms", 1.5),
    ("visible_ms", "1"),
    ("visible_ms", True),
    ("visible_ms", paradata.MS_LIMIT + 1),
    ("visible_ms", float("nan")),
    ("focus_losses", paradata.COUNT_LIMIT + 1),
    ("viewport_width", None),
    ("viewport_height", 10**40),
    ("input", "mind"),
    ("questions", []),
    ("questions", {QUESTION: None}),
    ("questions", {QUESTION: {**NOTE, "changes": -1}}),
    ("questions", {QUESTION: {**NOTE, "pastes": "2"}}),
    ("questions", {QUESTION: {**NOTE, "pasted_share": 1.01}}),
    ("questions", {QUESTION: {**NOTE, "pasted_share": float("nan")}}),
    ("questions", {QUESTION: {**NOTE, "visible_ms": paradata.MS_LIMIT + 1}}),
]
NOTHING = ["", " ", "null", "[]", "{}", '"x"', "NaN", "\x00", "[" * 20_000, "x" * 100_000]
JUNK = [*NOTHING, *(json.dumps(record() | {name: value}) for name, value in WRONG)]


@pytest.mark.parametrize("junk", JUNK, ids=range(len(JUNK)))
def test_junk_is_no_record(junk: str) -> None:
    assert paradata.read(junk) is None


def test_a_lone_surrogate_is_no_record() -> None:
    assert paradata.read('{"load": "\ud800"}') is None
    assert paradata.read(None) is None


def test_junk_is_in_nobodys_way(alice: Person, page: str) -> None:
    for junk in ("[" * 20_000, "\x00", json.dumps(record(visible_ms=-1))):
        draft(alice, page, self_description="I was", paradata=junk)
    response = alice.post(f"survey/{page}/", page_fields(alice, page) | {"paradata": "}{"})
    assert response.status_code == 200
    assert visit(alice, page).paradata == {}
    assert alice.row.responses.filter(question=QUESTION).exists()


def test_pages_that_nobody_opened_are_not_noted(alice: Person) -> None:
    for page in ("nonsense", "c/1/0/prompt", alice.row.file.pages[-1].code):
        draft(alice, page, **sent())
    assert alice.row.pages.filter(page="nonsense").count() == 0
    assert [v.paradata for v in alice.row.pages.all()] == [{}]


def test_whoever_has_left_is_not_noted(alice: Person, page: str) -> None:
    alice.post("stop/")
    draft(alice, page, self_description="late", **sent())
    assert visit(alice, page).paradata == {}
    assert not alice.row.drafts.exists()


def test_withdrawing_deletes_the_notes(alice: Person, page: str) -> None:
    draft(alice, page, **sent())
    alice.post("stop/", {"withdraw": "on"})
    assert alice.row.withdrawn_at
    assert not PageVisit.objects.filter(participant=alice.row).exists()


def test_queries(alice: Person, page: str) -> None:
    """A note is one more look at the visit, and a write only if it says something new."""

    def questions(**fields: str) -> int:
        with CaptureQueriesContext(connection) as asked:
            draft(alice, page, self_description="I was", **fields)
        return sum(not query["sql"].startswith(("SAVEPOINT", "RELEASE")) for query in asked)

    questions()  # makes the draft
    without = questions()
    assert questions(paradata="junk") == without + 1
    assert questions(**sent()) == without + 2
    assert questions(**sent()) == without + 1


def test_a_sent_page_takes_its_note_along(alice: Person, page: str) -> None:
    def questions(**fields: str) -> int:
        with CaptureQueriesContext(connection) as asked:
            alice.client.post(f"{alice.root}survey/{page}/", page_fields(alice, page) | fields)
        return len(asked)

    questions()
    assert questions() == questions(**sent())


@pytest.mark.parametrize("code", ["page", "paradata", "instrument"])
def test_no_question_is_called_like_a_field_of_every_form(code: str) -> None:
    with pytest.raises(InstrumentError, match="field of every page"):
        parsed(drawn_page("first", single(code, "yes", "no")))
