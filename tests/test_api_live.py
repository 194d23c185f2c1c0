"""The lines of a study as it goes on: each once, in an order that stays, without who withdrew."""

import json
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from collection.api import live
from collection.export.write import stream
from collection.models import Conversation, Interaction
from surveys import enrolment
from surveys.models import AuditEntry, Participant, Study
from tests import export_cast
from tests.api import Program, member

pytestmark = pytest.mark.django_db
PATH = "studies/prism/live/"


def long_ago(study: Study) -> None:
    """Give everything of the cast the times that the pages would have given it."""
    start = timezone.now() - timedelta(days=1)
    turns = Interaction.objects.filter(conversation__participant__study=study)
    for number, turn in enumerate(turns.order_by("conversation", "turn")):
        Interaction.objects.filter(pk=turn.pk).update(rated_at=start + timedelta(seconds=number))
    for talk in Conversation.objects.filter(state="complete"):
        last = talk.interactions.latest("turn").rated_at
        Conversation.objects.filter(pk=talk.pk).update(closed_at=last)


@pytest.fixture
def cast(db: None) -> dict[str, Participant]:
    study = export_cast.make_study()
    people = export_cast.make_cast(study)
    export_cast.add_left_out(study)
    long_ago(study)
    return people


@pytest.fixture
def notebook(cast: dict[str, Participant]) -> Program:
    return Program(member(cast["alice"].study), "export")


def rows(lines: list[Any], kind: str) -> list[Any]:
    return [line["row"] for line in lines if line["kind"] == kind]


@pytest.mark.parametrize("kind", ["survey", "conversations", "utterances"])
def test_it_works(notebook: Program, cast: dict[str, Participant], kind: str) -> None:
    """The same people and words as a release has, but for numbers and what is known at the end."""
    ids = {"user_id", "conversation_id", "interaction_id", "utterance_id"}
    released = [json.loads(line) for line in stream(cast["alice"].study, kind)]
    shown = rows(notebook.lines(f"{PATH}?kinds={kind}"), kind)

    def plain(row: dict[str, Any]) -> str:
        kept = {k: v for k, v in row.items() if k not in ids | live.AT_THE_END}
        return json.dumps(kept, sort_keys=True)

    missing = set(map(plain, released)) - set(map(plain, shown))
    assert missing == set()
    assert list(shown[0]) == [key for key in released[0] if key not in live.AT_THE_END]
    if kind != "utterances":  # replies come before their conversation is complete
        assert len(shown) == len(released)


def test_it_goes_on_where_it_ended(notebook: Program) -> None:
    whole = notebook.lines(f"{PATH}?limit=5000")
    assert len(whole) > 100
    pieces: list[Any] = []
    after = ""
    while piece := notebook.lines(f"{PATH}?limit=37{after}"):
        pieces += piece
        after = f"&after={piece[-1]['cursor']}"
    assert pieces == whole
    assert len({line["cursor"] for line in whole}) == len(whole)


def test_what_was_just_written_waits(notebook: Program, cast: dict[str, Participant]) -> None:
    """What was written first may be committed last: a cursor beyond it would skip it."""
    last = notebook.lines(f"{PATH}?limit=5000")[-1]["cursor"]
    person = export_cast.make_person(cast["alice"].study)
    finish(person, timezone.now())
    assert notebook.lines(f"{PATH}?after={last}") == []
    finish(person, timezone.now() - live.LAG)
    (line,) = notebook.lines(f"{PATH}?after={last}")
    assert (line["kind"], line["participant"]) == ("survey", person.pk)


def finish(person: Participant, at: datetime) -> None:
    Participant.objects.filter(pk=person.pk).update(survey_finished_at=at)


def test_who_withdraws_is_gone_and_told_of(
    notebook: Program, cast: dict[str, Participant], monkeypatch: pytest.MonkeyPatch
) -> None:
    alice = cast["alice"]
    before = notebook.lines(f"{PATH}?limit=5000")
    assert alice.pk in {line["participant"] for line in before}
    enrolment.withdraw(alice)
    monkeypatch.setattr(live, "LAG", timedelta(0))
    (told,) = notebook.lines(f"{PATH}?after={before[-1]['cursor']}")
    assert (told["kind"], told["participant"], told["row"]) == ("withdrawn", alice.pk, None)
    left = notebook.lines(f"{PATH}?limit=5000")
    about = {line["kind"] for line in left if line["participant"] == alice.pk}
    assert about == {"withdrawn"}
    assert f"user{alice.pk}" not in {line["row"]["user_id"] for line in left if line["row"]}


def test_a_pilots_people_only_when_asked_for(
    notebook: Program, cast: dict[str, Participant]
) -> None:
    Participant.objects.filter(pk=cast["bob"].pk).update(is_pilot=True)
    without = notebook.lines(f"{PATH}?kinds=survey")
    with_them = notebook.lines(f"{PATH}?kinds=survey&pilot=with")
    pilots = {line["participant"] for line in with_them if line["is_pilot"]}
    assert pilots == {cast["bob"].pk}
    assert len(with_them) == len(without) + 1


def test_nothing_that_identifies_anybody(notebook: Program, cast: dict[str, Participant]) -> None:
    text = json.dumps(notebook.lines(f"{PATH}?limit=5000"))
    for person in cast.values():
        assert person.key not in text
        assert str(person.seed) not in text


def test_taking_data_away_is_noted(notebook: Program, cast: dict[str, Participant]) -> None:
    number = len(notebook.lines(f"{PATH}?kinds=survey"))
    notebook.lines(f"{PATH}?after=9999999999999999-0-1")
    (entry,) = AuditEntry.objects.filter(verb="exported")
    assert entry.details == {"file": "live", "rows": number, "token": notebook.token.prefix}


@pytest.mark.parametrize(
    "query", ["after=x", "after=99999999999999999-9-1", "kinds=people", "limit=5001", "pilot=yes"]
)
def test_what_is_not_understood(notebook: Program, query: str) -> None:
    said = notebook.refused(400, "GET", f"{PATH}?{query}")
    assert list(said["fields"]) == [query.partition("=")[0]]


def test_files_of_a_release(notebook: Program, cast: dict[str, Participant]) -> None:
    files = notebook.get("studies/prism/files/")["files"]
    assert "survey" in files
    lines = notebook.lines("studies/prism/files/survey/")
    assert lines == [json.loads(line) for line in stream(cast["alice"].study, "survey")]
    zipped = notebook.ask("GET", "studies/prism/files/all/")
    assert b"".join(zipped.streaming_content).startswith(b"PK")
    assert notebook.refused(404, "GET", "studies/prism/files/nothing/")


@pytest.mark.parametrize("kind", ["survey", "conversations", "utterances"])
def test_more_people_take_no_more_queries(cast: dict[str, Participant], kind: str) -> None:
    study = cast["alice"].study

    def queries(keys: list[int]) -> int:
        with CaptureQueriesContext(connection) as captured:
            live.Rows(study).of(kind, keys)
        return len(captured)

    keys = [place.pk for _kind, place in live.places(study, (kind,), None, 5000, False)]
    assert len(keys) > 3
    assert queries(keys) == queries(keys[:1])
