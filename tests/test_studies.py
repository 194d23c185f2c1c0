"""A study's states and versions: who may come in, what people keep, what stays out of releases."""

import json
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from collection import candidates, trials
from collection.export.selection import select
from collection.export.write import write_release
from collection.models import ModelEndpoint
from surveys import enrolment, studies, versions
from surveys.errors import DomainError
from surveys.instruments.load import keep
from surveys.models import Participant, Study
from surveys.protocol import PRESETS
from tests.cast import set_protocol, use_models
from tests.drafts import page, parsed
from tests.model_server import ModelServer
from tests.walk import Person

pytestmark = pytest.mark.django_db


@pytest.fixture
def draft(study: Study) -> Study:
    """Ready in all things, and nobody has been let in."""
    Study.objects.update(state=Study.State.DRAFT)
    study.refresh_from_db()
    trials.run(study.endpoints.all(), "ada")
    return study


def test_it_works(draft: Study) -> None:
    studies.open_pilot(draft, "ada")
    assert Person(draft).arrive().status_code == 200
    studies.launch(draft, "ada")
    assert Person(draft).arrive().status_code == 200
    studies.pause(draft, "ada")
    studies.resume(draft, "ada")
    assert draft.state == Study.State.LIVE
    studies.close(draft, "bob")
    steps = [(c.before, c.after, c.author) for c in draft.state_changes.all()]
    assert steps == [
        ("draft", "pilot", "ada"),
        ("pilot", "live", "ada"),
        ("live", "paused", "ada"),
        ("paused", "live", "ada"),
        ("live", "closed", "bob"),
    ]
    pilot, real = draft.participants.all()
    assert (pilot.is_pilot, real.is_pilot) == (True, False)
    assert [v.number for v in draft.versions.all()] == [1]  # nothing but the state has changed
    assert pilot.version == real.version == draft.versions.get()


@pytest.mark.parametrize("state", ["draft", "paused", "closed"])
def test_nobody_new_comes_in(study: Study, state: str) -> None:
    Study.objects.update(state=state)
    assert Person(study).arrive().status_code == 403
    assert not Participant.objects.exists()


@pytest.mark.parametrize("state", ["paused", "closed"])
def test_people_under_way_finish(study: Study, state: str) -> None:
    set_protocol(study, conversations_per_type=1, max_conversations=1)
    alice = Person(study, PROLIFIC_PID="alice").ready()
    Study.objects.update(state=state)
    alice.converse()
    assert alice.row.completed_at
    assert alice.row.conversations.count() == 1  # one is all that the protocol asks for


def test_simulated_people_try_a_draft(study: Study) -> None:
    token = enrolment.simulation_token(study)
    Study.objects.update(state=Study.State.DRAFT)
    assert Person(study, SIMULATED=token).arrive().status_code == 200
    assert Participant.objects.get().is_simulated
    Study.objects.update(state=Study.State.CLOSED)
    assert Person(study, SIMULATED=token).arrive().status_code == 403


def test_a_step_taken_twice_is_one_and_a_wrong_one_is_refused(draft: Study) -> None:
    studies.launch(draft, "ada")
    studies.launch(draft, "ada")
    assert draft.state_changes.count() == 1
    studies.close(draft, "ada")
    for step in (studies.launch, studies.resume, studies.pause, studies.open_pilot):
        with pytest.raises(DomainError, match="This study is closed"):
            step(draft, "ada")
    assert draft.state_changes.count() == 2


def test_a_pilot_that_was_paused_goes_on_as_a_pilot(draft: Study) -> None:
    studies.open_pilot(draft, "ada")
    studies.pause(draft, "ada")
    studies.resume(draft, "ada")
    assert draft.state == Study.State.PILOT


def test_a_study_that_is_not_ready_takes_nobody(draft: Study) -> None:
    draft.endpoints.clear()
    for step in (studies.open_pilot, studies.launch):
        with pytest.raises(DomainError, match="no active model") as refused:
            step(draft, "ada")
        assert refused.value.code == "not_ready"
    draft.refresh_from_db()
    assert draft.state == Study.State.DRAFT
    assert not draft.versions.exists()


def test_a_pilot_is_released_only_when_it_is_asked_for(draft: Study, tmp_path: Path) -> None:
    studies.open_pilot(draft, "ada")
    Person(draft, PROLIFIC_PID="pilot").survey()
    studies.launch(draft, "ada")
    Person(draft, PROLIFIC_PID="real").survey()
    found = select(draft)
    assert [user.pk for user in found.users] == [draft.participants.last().pk]  # type: ignore[union-attr]
    assert found.people_left_out == {"pilot": 1}
    assert len(select(draft, with_pilot=True).users) == 2
    assert write_release(draft, tmp_path / "a")["survey.jsonl"] == 1
    assert write_release(draft, tmp_path / "b", with_pilot=True)["survey.jsonl"] == 2


def change(study: Study, reason: str = "To see more.", **fields: Any) -> None:
    """As a researcher's edit."""
    versions.keep_first(study)
    Study.objects.filter(pk=study.pk).update(**fields)
    versions.record(study, reason, "ada")


def test_people_finish_on_the_version_they_began_with(study: Study) -> None:
    early = Person(study, PROLIFIC_PID="early").ready()
    old, first = study.instrument, study.consent_document
    shorter = PRESETS["prism"].model_copy(update={"opening_models": 2})
    other = keep(parsed(page("hello", text=["Hello."])))
    change(
        study,
        protocol_json=shorter.model_dump(mode="json"),
        instrument=other,
        consent_document=first | {"version": "2", "lede": "Another text."},
    )
    late = Person(study, PROLIFIC_PID="late")
    assert b"Another text." in late.arrive().content
    assert (early.row.version.number, late.row.version.number) == (1, 2)  # type: ignore[union-attr]
    assert (early.row.instrument, late.row.instrument) == (old, other)
    assert early.row.terms.consent_document == first
    early.start()
    early.prompt(0)
    assert early.replies(0) == 4
    assert late.row.protocol.opening_models == 2


def test_people_keep_the_models_that_they_began_with(
    study: Study, model_server: ModelServer
) -> None:
    alice = Person(study, PROLIFIC_PID="alice").ready()
    versions.keep_first(study)
    old = set(study.endpoints.all())
    ModelEndpoint.objects.update(header="Be brief.", parameters={"max_tokens": 8})
    use_models(study, model_server, "ok", "ok")
    versions.record(study, "Other models.", "ada")
    drawn = candidates.drawable(alice.row, "")
    assert set(drawn) == old
    assert {e.header for e in drawn} == {"You are a conversational assistant."}
    alice.start()
    alice.prompt(0)
    sent = model_server.requests[-1]
    assert sent["messages"][0]["content"] == "You are a conversational assistant."
    assert sent["max_tokens"] == 64
    bob = Person(study, PROLIFIC_PID="bob").ready()
    assert set(candidates.drawable(bob.row, "")) == set(study.endpoints.all())


def test_a_draft_has_no_versions(draft: Study) -> None:
    change(draft, title="Another", locale="uk", languages=["es"])
    assert not draft.versions.exists()


def test_a_version_needs_a_change_and_a_reason(study: Study) -> None:
    change(study, title="Another")
    assert [v.reason for v in study.versions.all()] == [versions.FIRST]
    with pytest.raises(DomainError, match="Please say why"):
        change(study, reason=" ", languages=["es"])
    change(study, languages=["es"])
    first, second = study.versions.all()
    assert (second.reason, second.author) == ("To see more.", "ada")
    assert [str(c.place) for c in versions.differences(first, second)] == ["languages.further"]


def test_a_difference_names_each_place(study: Study) -> None:
    Person(study).arrive()
    document = study.consent_document
    facts = [dict(fact) for fact in document["facts"]]
    facts[1]["text"] = "Soon"
    versions.keep_first(study)
    ModelEndpoint.objects.filter(long_name__startswith="vendor/model-0").update(header="Be brief.")
    change(study, consent_document=document | {"facts": facts, "version": "2"})
    found = {c.place: (c.before, c.after) for c in versions.differences(*study.versions.all())}
    assert found == {
        "consent.version": (document["version"], "2"),
        "consent.facts[1].text": (document["facts"][1]["text"], "Soon"),
        "models.vendor/model-0-ok.header": ("You are a conversational assistant.", "Be brief."),
    }


def test_a_clone_has_everything_and_nobody(study: Study) -> None:
    Person(study).consent()
    slug = studies.free_slug(study.slug)
    copy = studies.clone(study, slug)
    assert studies.clone(study, slug) == copy
    assert (copy.slug, copy.state) == ("prism-2", "draft")
    assert copy.protocol == study.protocol
    assert copy.instrument == study.instrument
    assert set(copy.endpoints.all()) == set(study.endpoints.all())
    assert copy.completion_code != study.completion_code
    assert not copy.participants.exists()
    assert studies.free_slug(study.slug) == "prism-3"


def queries(person: Person) -> int:
    with CaptureQueriesContext(connection) as captured:
        person.get("conversations/")
    return len(captured)


def test_a_version_costs_no_query_per_page(study: Study) -> None:
    alice = Person(study, PROLIFIC_PID="alice").ready()
    queries(alice)
    without = queries(alice)
    versions.keep_first(study)
    assert alice.row.version
    assert queries(alice) == without


def test_a_release_knows_each_persons_protocol(study: Study, tmp_path: Path) -> None:
    """Rows are what the person's own version asked for, and the release is sound."""
    set_protocol(study, conversations_per_type=1, max_conversations=1, opening_models=4)
    early, late = Person(study, PROLIFIC_PID="early"), Person(study, PROLIFIC_PID="late")
    early.survey()
    other = Study.objects.get().protocol_json | {"candidates": "samples", "opening_models": 2}
    change(study, protocol_json=other)
    late.survey()
    for person in (early, late):
        Participant.objects.filter(pk=person.row.pk).update(instructed_at=timezone.now())
        person.converse()
    write_release(Study.objects.get(), tmp_path)
    rows = [json.loads(line) for line in (tmp_path / "assignments.jsonl").open()]
    opening = [(row["user_id"], row["candidates"]) for row in rows if row["turn"] == 0]
    assert opening == [("user0", "models")] * 4 + [("user1", "samples")] * 2
    manifest = json.loads((tmp_path / "manifest.json").read_text())
    assert manifest["protocol"]["candidates"] == "samples"
    assert [p["candidates"] for p in manifest["earlier_protocols"]] == ["models"]
    call_command("validate", str(tmp_path))
