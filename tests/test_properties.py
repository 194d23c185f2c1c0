"""Drawn instruments, answered over HTTP: what was meant is recorded and restored."""

import itertools
from typing import Any

import pytest
from django.http import QueryDict
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from collection.simulation.pages import Form
from collection.simulation.pages import Page as SeenPage
from surveys import answers
from surveys.instruments.load import FOLDER, Parsed, keep, read_consent
from surveys.instruments.schema import InstrumentFile, Page, Question
from surveys.models import Participant, Study
from surveys.reading import as_fields
from tests.instruments import JUNK, Said, documents, said
from tests.walk import Person

pytestmark = pytest.mark.django_db
numbers = itertools.count()
over_http = settings(
    max_examples=25,
    phases=[Phase.explicit, Phase.generate],  # shrinking over HTTP would take minutes
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


def study_of(document: dict[str, Any]) -> Study:
    instrument = keep(Parsed(document, InstrumentFile.model_validate(document)))
    return Study.objects.create(
        state=Study.State.LIVE,
        slug=f"drawn-{next(numbers)}",
        title="Drawn",
        instrument=instrument,
        consent_document=read_consent(FOLDER / "prism-consent.yaml"),
        locale="us",
        contact_email="a@example.org",
        ethics_contact="b@example.org",
    )


def at_first_page(document: dict[str, Any]) -> Person:
    person = Person(study_of(document), PROLIFIC_PID="alice")
    person.consent()
    # A seed of its own would shuffle pages differently each time an example is tried.
    Participant.objects.filter(pk=person.row.pk).update(seed=7)
    person.row.orders.all().delete()
    return person


def fields_of(questions: tuple[Question, ...], meant: dict[str, Said]) -> dict[str, Any]:
    fields: dict[str, Any] = {}
    for question in questions:
        fields |= as_fields(question, meant[question.code].value, meant[question.code].touches)
    return fields


def restored(form: Form) -> dict[str, list[str]]:
    """What a browser would send if the page were left as it came. Of lines: only touched ones."""
    sent: dict[str, list[str]] = {}
    lines = {line.name for line in form.lines()}
    for name, field in form.fields.items():
        is_rated = f"{name}_rated" in form.fields and form.fields[f"{name}_rated"].chosen
        if name in ("csrfmiddlewaretoken", "instrument", "paradata"):
            continue
        if name in lines and not is_rated:
            continue
        chosen = field.chosen if field.kind in ("radio", "checkbox", "select") else [field.value]
        if kept := [value for value in chosen if value]:
            sent[name] = sorted(kept)
    return sent


def given_fields(fields: dict[str, Any]) -> dict[str, list[str]]:
    return {name: sorted(values) for name, values in fields.items() if any(values)}


@given(data=st.data())
@over_http
def test_it_works(db: None, data: st.DataObject) -> None:
    """Recorded is what was meant; the page, opened again, holds it; what a branch hides is kept."""
    person = at_first_page(data.draw(documents()))
    file = person.row.file
    meant = {q.code: data.draw(said(q), label=q.code) for q in file.questions()}
    walk(person, meant)
    rows = {row.question: row for row in person.row.responses.all()}
    sheet = answers.sheet_of(person.row)
    asked = {q.code for step in sheet.steps for q in step.questions}
    assert set(rows) == asked
    for code, row in rows.items():
        assert row.value == meant[code].value
        assert row.touches == meant[code].touches
        assert row.is_shown
    assert person.row.completed_at


def walk(person: Person, meant: dict[str, Said]) -> None:
    while page := answers.pending_page(person.row):
        state = answers.standing(person.row)
        fields = fields_of(state.sheet.step(page).questions, meant)
        path = f"survey/{page.code}/"
        person.client.get(person.root + path)
        draft = {"page": f"survey/{page.code}", **fields}
        assert person.client.post(f"{person.root}draft/", draft).status_code == 204
        assert_restored(person, page, fields)
        response = person.client.post(person.root + path, fields)
        assert response.status_code == 302, response.content.decode()
        if answers.pending_page(person.row):
            assert_restored(person, page, fields)  # from the answers: the draft is gone
        else:
            return


def assert_restored(person: Person, page: Page, fields: dict[str, Any]) -> None:
    url = f"{person.root}survey/{page.code}/"
    seen = SeenPage(url, 200, person.client.get(url).content.decode())
    form = next(form for form in seen.forms if form.draft)
    assert restored(form) == given_fields(fields)


@given(data=st.data())
@over_http
def test_a_changed_mind_hides_answers_without_losing_them(db: None, data: st.DataObject) -> None:
    person = at_first_page(data.draw(documents()))
    file = person.row.file
    meant = {q.code: data.draw(said(q), label=q.code) for q in file.questions()}
    meant["gate"] = Said({"choice": "open", "text": None}, {})
    pending = answers.pending_page(person.row)
    for _step in range(2):  # the gate, and one page behind it
        if pending is None:
            return
        questions = answers.standing(person.row).sheet.step(pending).questions
        person.post(f"survey/{pending.code}/", fields_of(questions, meant))
        pending = answers.pending_page(person.row)
    if pending is None:
        return  # finished: nothing can be changed any more
    before = {row.question: row.value for row in person.row.responses.all()}
    person.post("survey/start/", {"gate": ["shut"]})
    after = {row.question: row for row in person.row.responses.all()}
    assert {code: row.value for code, row in after.items()} == before | {
        "gate": {"choice": "shut", "text": None}
    }
    shown = answers.sheet_of(person.row).shown
    assert {code for code, row in after.items() if row.is_shown} == set(shown)
    if person.row.survey_finished_at is None:
        person.post("survey/start/", {"gate": ["open"]})
        assert all(row.is_shown for row in person.row.responses.all())


@given(data=st.data())
@over_http
def test_no_form_breaks_a_page(db: None, data: st.DataObject) -> None:
    """Whatever is sent, the page answers in words, stores nothing half, and keeps what it got."""
    person = at_first_page(data.draw(documents()))
    person.post("survey/start/", {"gate": ["open"]})
    row = person.row
    page = answers.pending_page(row)
    if page is None:
        return
    names = sorted(stems(row, page))
    sent = data.draw(st.dictionaries(st.sampled_from(names), st.lists(JUNK, max_size=2)))
    body = QueryDict(mutable=True)
    for name, values in sent.items():
        body.setlist(name, values)
    response = person.client.generic(
        "POST",
        f"{person.root}survey/{page.code}/",
        encoded(body),
        content_type="application/x-www-form-urlencoded",
    )
    assert response.status_code in (302, 422)
    stored = set(person.row.responses.values_list("question", flat=True))
    if response.status_code == 422:
        assert stored == {"gate"}
        assert b'class="error"' in response.content or b'role="alert"' in response.content
    else:
        asked = {question.code for question in answers.standing(row).sheet.step(page).questions}
        assert stored == {"gate"} | asked


def stems(row: Participant, page: Page) -> set[str]:
    """Names that the page's form has, and some that it doesn't."""
    names = {"gate", "nonsense", "instrument"}
    for question in page.questions:
        names |= {question.code, f"{question.code}_declined", f"{question.code}_other_text"}
        names |= {f"{question.code}_{item.code}" for item in question.items}
        names |= {f"{question.code}_{item.code}_rated" for item in question.items}
    return names


def encoded(body: QueryDict) -> bytes:
    return "&".join(
        f"{name}={''.join(f'%{byte:02x}' for byte in value.encode('utf-8', 'surrogatepass'))}"
        for name, values in body.lists()
        for value in values
    ).encode()
