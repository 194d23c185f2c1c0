"""Personal information: found, judged, covered in releases and at the desk, purged."""

import json
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse

from collection import coding, held, personal
from collection.detectors import Unavailable
from collection.detectors.contacts import Contacts
from collection.export.validate import validate
from collection.export.write import write_release
from collection.models import (
    Description,
    Feedback,
    Interaction,
    ModelCall,
    TextReview,
    TextScan,
    Utterance,
)
from surveys import enrolment, retention, veil
from surveys.models import (
    AuditEntry,
    Membership,
    Participant,
    ProblemReport,
    Redaction,
    Response,
    Study,
)
from tests.admin_pages import list_url, url, words
from tests.export_cast import PREFERENCES, choice, converse, make_person, make_study

pytestmark = pytest.mark.django_db

MAIL, NAME = "Jane.Doe@example.org", "Jane Doe"
REDACTED = veil.REDACTED


@pytest.fixture
def study(db: None) -> Study:
    return make_study()


@pytest.fixture
def jane(study: Study) -> Participant:
    """Writes her name and address into everything; the model repeats both."""
    person = make_person(
        study,
        answers={
            "self_description": {"text": f"I am {NAME}, as you know."},
            "religion": choice("self_describe", f"Church of {NAME}!"),
            "stated_prefs": {
                "scores": dict.fromkeys(PREFERENCES, 9),
                "other_text": f"knows {NAME}",
            },
        },
    )
    talk = converse(person, prompt=f"Write to {MAIL}", reply=f"Dear {NAME}, I wrote to {MAIL}")
    Feedback.objects.filter(conversation=talk).update(open_feedback=f" It knew {NAME}. ")
    ModelCall.objects.update(text=f"Dear {NAME}")
    return person


@pytest.fixture
def reviewer(study: Study) -> Client:
    return member(study, "rita", "reviewer")


def member(study: Study, name: str, role: str) -> Client:
    user = User.objects.create_user(name, is_staff=True)
    Membership.objects.create(study=study, user=user, role=role)
    client = Client()
    client.force_login(user)
    return client


def queue(study: Study, query: str = "") -> str:
    return reverse("admin:surveys_study_personal", args=[study.pk]) + query


def one(study: Study, kind: str, key: int) -> str:
    return reverse("admin:surveys_study_personal_one", args=[study.pk, kind, key])


def say(client: Client, study: Study, kind: str, row: Any, *passages: str, **fields: str) -> Any:
    text = personal.text_of(study, kind, row.pk)
    assert text is not None
    answer = {"answer": "personal" if passages else "none", "mark": text.mark}
    typed = {"passages": "\n".join(passages)}
    return client.post(one(study, kind, row.pk), answer | typed | fields)


def files(study: Study, folder: Path) -> dict[str, str]:
    write_release(study, folder)
    assert [str(found) for found in validate(folder) if not found.is_note] == []
    return {path.name: path.read_text() for path in folder.iterdir() if path.is_file()}


def mark_all(client: Client, study: Study) -> None:
    say(client, study, "prompt", Interaction.objects.get(turn=0), MAIL)
    say(client, study, "answer", Response.objects.get(question="self_description"), NAME)


def test_it_works(study: Study, jane: Participant, reviewer: Client, tmp_path: Path) -> None:
    before = files(study, tmp_path / "before")
    assert personal.scan(study) == 2  # both turns; her name only a reader finds
    assert "To review 2" in words(reviewer.get(queue(study)))
    first = Interaction.objects.get(turn=0)
    shown = words(reviewer.get(one(study, "prompt", first.pk)))
    assert f"<mark>{MAIL}</mark>" in shown
    mark_all(reviewer, study)
    assert Redaction.objects.count() == 2

    after = files(study, tmp_path / "after")
    for name, text in after.items():
        assert "Jane" not in text and "jane" not in text, name
    row = json.loads(after["survey.jsonl"])
    assert row["self_description"] == f"I am {REDACTED}, as you know."
    assert row["religion"]["self_described"] == f"church of {REDACTED}"
    assert row["stated_prefs"]["other_text"] == f"knows {REDACTED}"
    talk = json.loads(after["conversations.jsonl"])
    assert talk["opening_prompt"] == f"Write to {REDACTED} 0"
    assert talk["conversation_history"][1]["content"] == f"Dear {REDACTED}, I wrote to {REDACTED} 0"
    assert talk["open_feedback"] == f"It knew {REDACTED}."
    for name in ("models.jsonl", "assignments.jsonl", "codebook.json"):
        assert before[name] == after[name]
    noted = json.loads(after["manifest.json"])["personal_information"]
    assert noted == {"flagged": 2, "reviewed": 2, "redacted": 2}
    assert personal.manual_flags(study) == {
        ("prompt", first.pk): True,
        ("answer", Response.objects.get(question="self_description").pk): True,
    }


def test_none_is_an_answer_too(study: Study, jane: Participant, reviewer: Client) -> None:
    personal.scan(study)
    first = Interaction.objects.get(turn=0)
    for _twice in range(2):
        say(reviewer, study, "prompt", first)
    assert personal.manual_flags(study) == {("prompt", first.pk): False}
    assert not Redaction.objects.exists()
    assert "None 1" in words(reviewer.get(queue(study, "?state=clean")))


def test_a_reviewer_may_think_again(study: Study, jane: Participant, reviewer: Client) -> None:
    personal.scan(study)
    first = Interaction.objects.get(turn=0)
    for passages in ([MAIL], [MAIL], ["Write", MAIL], []):
        assert say(reviewer, study, "prompt", first, *passages).status_code == 302
        assert set(Redaction.objects.values_list("passage", flat=True)) == set(passages)
    assert TextReview.objects.get(interaction=first).is_personal is False


def test_scanning_again_does_no_more(study: Study, jane: Participant, reviewer: Client) -> None:
    assert personal.scan_all() == 2
    assert personal.scan_all() == 0
    first = Interaction.objects.get(turn=0)
    say(reviewer, study, "prompt", first, MAIL)
    TextScan.objects.update(detectors="of another version")
    assert personal.scan_all() == 0
    assert TextReview.objects.get(interaction=first).is_personal
    Response.objects.filter(question="system_string").update(
        value={"text": "Call +44 20 7946 0958"}
    )
    assert personal.scan_all() == 0  # looked through already, and nobody changes a sent survey
    TextScan.objects.update(detectors="of another version")
    assert personal.scan_all() == 1


def test_a_text_that_changed_is_judged_anew(
    study: Study, jane: Participant, reviewer: Client
) -> None:
    personal.scan(study)
    first = Interaction.objects.get(turn=0)
    say(reviewer, study, "prompt", first, MAIL)
    stale = personal.text_of(study, "prompt", first.pk)
    assert stale is not None
    Interaction.objects.filter(pk=first.pk).update(user_prompt="Write to joe@example.org")
    refused = say(reviewer, study, "prompt", first, "joe@example.org", mark=stale.mark)
    assert "has changed or gone" in refused.content.decode()
    personal.scan(study)
    assert TextReview.objects.get(interaction=first).is_personal is None
    assert not Redaction.objects.exists()


@pytest.mark.parametrize(
    ("passages", "said"),
    [
        (["jane doe"], "does not stand in the text"),  # a name counts with its capitals
        (["Jan"], "does not stand in the text"),
        (["x" * 501], "to 500 characters"),
        ([" "], "Please mark what is personal"),
        ([f"P{n}" for n in range(51)], "at most 50 passages"),
    ],
)
def test_passages_that_cannot_be(
    study: Study, jane: Participant, reviewer: Client, passages: list[str], said: str
) -> None:
    row = Response.objects.get(question="self_description")
    refused = say(reviewer, study, "answer", row, *passages)
    assert refused.status_code == 422
    assert said in refused.content.decode()
    assert not Redaction.objects.exists()


@pytest.mark.parametrize(
    ("text", "passage", "expected"),
    [
        ("Ann met Anna and ann.", "Ann", "_ met Anna and ann."),
        ("Mail A@B.org, a@b.org!", "a@b.org", "Mail _, _!"),
        ("Ring 0171 234 or 10171 2345", "0171 234", "Ring _ or 10171 2345"),
        ("私は田中です", "田中", "私は_です"),
        ("Jane\nDoe and Jane  Doe", "Jane Doe", "_ and _"),
        ("a (b) [c] a.b", "(b) [c]", "a _ a.b"),
        ("nothing", "", "nothing"),
    ],
)
def test_where_a_passage_stands(text: str, passage: str, expected: str) -> None:
    assert veil.covered(text, [passage]) == expected.replace("_", REDACTED)


def test_passages_that_overlap_are_one() -> None:
    assert veil.covered("Jane Doe Smith", ["Jane Doe", "Doe Smith"]) == REDACTED


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("a.b+c@mail.example.co.uk", ["EMAIL_ADDRESS"]),
        ("me@home", []),
        ("+44 20 7946 0958", ["PHONE_NUMBER"]),
        ("(212) 736-5000", ["PHONE_NUMBER"]),
        ("from 1999-2023 it cost 1,250,000", []),
        ("12345678901234567890", []),
        ("on 2023-11-22 at 15:48", []),
    ],
)
def test_what_is_found(study: Study, text: str, found: list[str]) -> None:
    assert [what for what, _start, _end in personal.Finder(study).find(text)] == found


def test_a_release_flags_what_reviewers_are_shown(
    study: Study, jane: Participant, tmp_path: Path
) -> None:
    Response.objects.filter(question="system_string").update(value={"text": "(212) 736-5000"})
    Feedback.objects.update(open_feedback="In 1912, 123 456 789 people")  # nobody's number
    assert personal.scan(study) == 3
    rows = map(json.loads, files(study, tmp_path)["metadata.jsonl"].splitlines())
    flagged = [row["column_id"] for row in rows if row["pii_flag"] and not row["utterance_id"]]
    assert sorted(flagged) == ["system_string", "user_prompt", "user_prompt"]


def test_a_detector_that_cannot_run(
    study: Study, jane: Participant, reviewer: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(*_arguments: object) -> None:
        raise Unavailable("No memory left.")

    monkeypatch.setattr(Contacts, "detect", away)
    scan = reverse("admin:surveys_study_personal_scan", args=[study.pk])
    assert "No memory left." in words(reviewer.post(scan, follow=True))
    mark_all(reviewer, study)
    retention.purge(study)  # a mark is written in without it
    assert not Redaction.objects.exists()
    assert len(personal.manual_flags(study)) == 2


# Under lock


def desk_pages(jane: Participant) -> list[str]:
    talk = jane.conversations.get()
    rows = [jane, talk, Feedback.objects.get(), Utterance.objects.earliest("pk")]
    rows += [ModelCall.objects.earliest("pk"), Response.objects.get(question="self_description")]
    models = (Utterance, Feedback, Response)
    return [*map(url, rows), *map(list_url, models)]


def test_the_desk_covers_it_but_for_owners(
    study: Study, jane: Participant, reviewer: Client
) -> None:
    mark_all(reviewer, study)
    owner, researcher = member(study, "olga", "owner"), member(study, "rob", "researcher")
    for at in desk_pages(jane):
        for client in (researcher, reviewer):
            shown = words(client.get(at))
            assert "Jane" not in shown, at
        assert REDACTED in words(researcher.get(at)), at
        assert REDACTED not in words(owner.get(at)), at
    first = one(study, "prompt", Interaction.objects.get(turn=0).pk)
    assert MAIL in words(owner.get(first))
    assert MAIL in words(reviewer.get(first))  # who marked it
    assert MAIL not in words(researcher.get(first))
    changed = researcher.post(first, {"answer": "none"})
    assert changed.status_code == 403
    assert Redaction.objects.count() == 2
    assert MAIL in json.dumps(held.document(jane), default=str)  # her own


def test_a_search_does_not_find_covered_words(
    study: Study, jane: Participant, reviewer: Client
) -> None:
    mark_all(reviewer, study)
    ProblemReport.objects.create(participant=jane, page="/", text=f"I am {NAME}, it hangs")
    owner = member(study, "olga", "owner")
    for model, word in ((Utterance, "wrote"), (Feedback, "knew"), (ProblemReport, "hangs")):
        for term, seen in (
            *((NAME, False), (f"{word} Jane", False), (f'"{NAME}"', False)),
            (word, True),
        ):
            at = f"{list_url(model)}?{urlencode({'q': term})}"
            assert bool(found(reviewer, at)) == seen, (model, term)
            assert found(owner, at), (model, term)


def found(client: Client, at: str) -> list[Any]:
    """The rows of a list."""
    response: Any = client.get(at)
    return list(response.context_data["cl"].result_list)


def test_the_log_has_no_words(study: Study, jane: Participant, reviewer: Client) -> None:
    mark_all(reviewer, study)
    judged = AuditEntry.objects.filter(verb="judged")
    assert judged.count() == 2
    assert "Jane" not in json.dumps([*AuditEntry.objects.values_list("details", flat=True)])


@pytest.mark.parametrize("kind", ["prompt", "nothing"])
def test_texts_of_other_studies(study: Study, jane: Participant, kind: str) -> None:
    other = make_study("other", study.instrument)
    owner = member(other, "olga", "owner")
    first = Interaction.objects.get(turn=0)
    assert owner.get(one(other, kind, first.pk)).status_code == 404
    assert owner.get(one(study, kind, first.pk)).status_code == 403


# How it ends


def test_the_purge_writes_it_into_the_texts(
    study: Study, jane: Participant, reviewer: Client, tmp_path: Path
) -> None:
    coding.sync(study)
    personal.scan(study)
    mark_all(reviewer, study)
    reply = Utterance.objects.earliest("pk")
    before = files(study, tmp_path / "before")
    start = reply.model_response.index("wrote")
    Utterance.objects.filter(pk=reply.pk).update(self_named=[[start, start + 5]])
    retention.purge(study)
    assert not Redaction.objects.exists()
    for model in (Response, Interaction, Feedback, Utterance, ModelCall, Description, TextReview):
        assert "jane" not in json.dumps(list(model.objects.values()), default=str).lower(), model
    after = files(study, tmp_path / "after")
    for name in ("survey.jsonl", "conversations.jsonl", "utterances.jsonl"):
        assert before[name] == after[name]
    reply.refresh_from_db()
    ((start, end),) = reply.self_named
    assert reply.model_response[start:end] == "wrote"
    assert personal.manual_flags(study)[("prompt", Interaction.objects.get(turn=0).pk)] is True
    assert personal.scan(study) == 0
    assert personal.reviews(study).filter(is_personal=None).count() == 0
    assert AuditEntry.objects.get(verb="purged").details["counts"]["redaction"] == 2
    retention.purge(study)
    assert AuditEntry.objects.filter(verb="purged").count() == 1


def test_the_purge_waits_for_who_still_talks(
    study: Study, jane: Participant, reviewer: Client
) -> None:
    mark_all(reviewer, study)
    jane.conversations.update(state="open")
    retention.purge(study)
    assert Interaction.objects.get(turn=0).user_prompt == f"Write to {MAIL} 0"
    assert Redaction.objects.count() == 2


def test_a_withdrawal_erases_it(study: Study, jane: Participant, reviewer: Client) -> None:
    personal.scan(study)
    mark_all(reviewer, study)
    enrolment.withdraw(jane)
    assert not Redaction.objects.exists()
    assert not TextReview.objects.exists()
    assert personal.scan(study) == 0
