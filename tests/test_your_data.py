"""A participant's rights: to see what is held, to take a copy, and to have it erased."""

import json
import re
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from playwright.sync_api import Page, expect

from collection.models import Interaction, ModelCall, ModelEndpoint, Utterance
from surveys import drafts, enrolment
from surveys.errors import DomainError
from surveys.models import (
    AuditEntry,
    Consent,
    Draft,
    Identity,
    Membership,
    Participant,
    Study,
    WithdrawalReceipt,
)
from tests.layout import Tape
from tests.servers import Refract
from tests.walk import Person

ORM = pytest.mark.django_db
WORDS = "the-lighthouse-keeper"


@pytest.fixture
def alice(study: Study) -> Person:
    """With an answer, a conversation with a reported reply, a draft and a problem report."""
    person = Person(study, PROLIFIC_PID="pid-of-alice", SESSION_ID="session").ready()
    person.row.responses.create(question="self_description", value={"text": WORDS})
    person.row.pages.create(page="self", shown_at=timezone.now(), paradata={"a": {"note": WORDS}})
    person.start("values guided")
    person.prompt(0, WORDS)
    person.post("c/1/report/", {"position": 1, "reason": WORDS, "hide": "on"})
    person.rate(0, 20, 90, 40, 60)
    person.prompt(1, f"{WORDS} again")
    person.rate(1, 30, 55)
    person.finish()
    person.feedback(open_feedback=f"About {WORDS}, at some length.")
    person.row.drafts.create(page="survey/self", fields={"self_description": [WORDS]})
    person.post("problem/", {"text": WORDS, "from_page": "/"})
    return person


def bob_of(study: Study) -> Person:
    person = Person(study, PROLIFIC_PID="pid-of-bob").ready()
    person.start()
    person.prompt(0, "the-baker")
    return person


def words(response: Any) -> str:
    return " ".join(response.content.decode().split())


def stored() -> str:
    """Every text of every row of ours, whatever the table."""
    found: list[str] = []
    with connection.cursor() as cursor:
        for table in connection.introspection.table_names(cursor):
            if table.startswith(("surveys_", "collection_")):
                cursor.execute(f"SELECT * FROM {table}")
                found += map(str, cursor.fetchall())
    return "\n".join(found)


def copy_of(person: Person) -> dict[str, Any]:
    response = person.client.get(person.root + "data/file/")
    assert response["Content-Disposition"] == 'attachment; filename="my-data-prism.json"'
    found: dict[str, Any] = json.loads(response.content)
    return found


@ORM
def test_it_works(alice: Person) -> None:
    text = words(alice.get("data/"))
    for told in (
        "You agreed to version",
        "1 answer.",
        "When you opened and sent 2 pages, and how you used them.",
        "What you typed on 1 page",
        "1 conversation. 2 messages of yours. 6 replies that you were shown. 6 ratings.",
        "2 reports.",
        "The id that Prolific gave you, apart from your answers.",
        "Download my data",
    ):
        assert told in text, told
    assert "pid-of-alice" not in text


@ORM
def test_the_file_has_everything_of_theirs(alice: Person, study: Study) -> None:
    bob_of(study)
    found = copy_of(alice)
    assert found["answers"][0]["in_words"] == [WORDS]
    assert found["you"]["recruiter"]["id"] == "pid-of-alice"
    assert found["consent"]["text"]["version"] == alice.row.consent.version
    (talk,) = found["conversations"]
    assert [turn["your_message"] for turn in talk["turns"]] == [WORDS, f"{WORDS} again"]
    replies = talk["turns"][0]["replies"]
    assert [reply["letter"] for reply in replies] == ["A", "B", "C", "D"]
    assert [reply["your_rating"] for reply in replies] == [20, 90, 40, 60]
    assert replies[1]["your_report"] == WORDS
    assert replies[1]["text"] is None  # hidden at their wish
    assert talk["open_feedback"] == f"About {WORDS}, at some length."
    assert len(talk["attributes"]) == 14
    assert found["drafts"][0]["fields"] == {"self_description": [WORDS]}
    noted = {visit["page"]: visit["paradata"] for visit in found["pages"]}
    assert noted["self"] == {"a": {"note": WORDS}}
    assert found["problem_reports"][0]["text"] == WORDS
    assert "the-baker" not in str(found)
    assert "pid-of-bob" not in str(found)
    entry = AuditEntry.objects.latest("pk")
    assert (entry.actor_name, entry.verb) == ("the participant", "exported")


@ORM
def test_models_are_named_once_the_study_is_closed(alice: Person, study: Study) -> None:
    names = set(ModelEndpoint.objects.values_list("long_name", flat=True))
    open_now = str(copy_of(alice))
    assert not any(name in open_now for name in names)
    assert "arms" not in copy_of(alice)
    Study.objects.filter(pk=study.pk).update(state=Study.State.CLOSED)
    found = copy_of(alice)
    shown = {r["model"] for t in found["conversations"][0]["turns"] for r in t["replies"]}
    assert shown <= names
    assert shown


@ORM
@pytest.mark.parametrize("path", ["data/", "data/file/"])
def test_a_recruiters_id_alone_shows_nothing(alice: Person, study: Study, path: str) -> None:
    stranger = Person(study, PROLIFIC_PID="pid-of-alice")
    stranger.arrive()
    assert stranger.row == alice.row
    text = words(stranger.get(path))
    assert "your personal link" in text
    assert WORDS not in text
    assert "1 answer" not in text
    stranger.post("withdraw/")
    assert alice.row.withdrawn_at is None


@ORM
def test_before_consent_there_is_nothing_to_see(study: Study) -> None:
    carol = Person(study)
    carol.arrive()
    for path in ("data/", "data/file/"):
        assert carol.get(path).request["PATH_INFO"] == "/s/prism/consent/"
    carol.post("withdraw/")
    assert carol.row.withdrawn_at is None


@ORM
def test_the_page_is_linked_where_people_look_for_it(alice: Person) -> None:
    link = 'href="/s/prism/data/"'
    assert link in words(alice.get("leave/"))
    Participant.objects.update(completed_at=timezone.now())
    assert link in words(alice.get("done/"))
    Participant.objects.update(completed_at=None, stopped_at=timezone.now())
    assert link in words(alice.get("stopped/"))


@ORM
def test_withdrawing_erases_every_word_and_leaves_a_receipt(alice: Person, study: Study) -> None:
    bob = bob_of(study)
    key, kept = alice.row.key, Consent.objects.count()
    told: list[tuple[Participant, WithdrawalReceipt]] = []

    def hear(participant: Participant, receipt: WithdrawalReceipt, **_signal: Any) -> None:
        told.append((participant, receipt))

    enrolment.withdrawn.connect(hear)
    try:
        shown = alice.post("withdraw/")
    finally:
        enrolment.withdrawn.disconnect(hear)
    receipt = WithdrawalReceipt.objects.get()
    assert shown.request["PATH_INFO"] == f"/s/prism/receipt/{receipt.code}/"
    text = words(shown)
    for line in (receipt.code, "1 answer", "1 conversation", "6 replies with their ratings"):
        assert line in text, line
    everything = stored()
    for gone in (WORDS, "pid-of-alice", "session"):
        assert gone not in everything, gone
    assert [(who.pk, what) for who, what in told] == [(alice.row.pk, receipt)]
    # The other's are as they were, and the row stays, to be counted.
    assert Interaction.objects.get().conversation.participant == bob.row
    assert ModelCall.objects.exists()
    assert Utterance.objects.exists()
    assert Identity.objects.get().participant == bob.row
    assert Consent.objects.count() == kept
    assert alice.row.withdrawn_at is not None
    # The receipt says nothing about the person.
    row = str(WithdrawalReceipt.objects.values().get())
    assert key not in row
    assert "participant_id" not in row


@ORM
def test_the_audit_log_has_the_withdrawal_and_no_word(alice: Person) -> None:
    alice.post("withdraw/")
    entry = AuditEntry.objects.get(verb="withdrew")
    assert (entry.actor_name, entry.object_id) == ("the participant", str(alice.row.pk))
    assert entry.details["receipt"] == WithdrawalReceipt.objects.get().code
    assert entry.details["counts"]["response"] == 1


@ORM
def test_twice_and_in_two_tabs_is_once(alice: Person) -> None:
    other_tab = alice.row
    first = alice.post("withdraw/")
    second = alice.post("withdraw/")
    assert first.request["PATH_INFO"] == second.request["PATH_INFO"]
    receipt = enrolment.withdraw(other_tab)
    assert receipt == WithdrawalReceipt.objects.get()
    assert other_tab.withdrawn_at
    assert AuditEntry.objects.filter(verb="withdrew").count() == 1
    for path in ("data/", "stopped/"):
        assert "Your receipt" in words(alice.get(path))
    assert b"deleted" in alice.client.get(alice.root + "data/file/", follow=True).content


@ORM
def test_what_another_tab_sends_after_it_is_not_kept(alice: Person) -> None:
    tab = alice.row
    talk = alice.conversation
    alice.post("withdraw/")
    from collection import conversations

    with pytest.raises(DomainError):
        conversations.start(tab, "unguided")
    with pytest.raises(DomainError):
        conversations.lock(talk)
    Draft.objects.create(participant=tab, page="x", fields={"x": [WORDS]})  # in the same moment
    assert drafts.expire(timezone.now()) == 1
    assert WORDS not in stored()


@ORM
def test_a_receipt_is_for_whoever_has_its_code(alice: Person, client: Client) -> None:
    alice.post("withdraw/")
    code = WithdrawalReceipt.objects.get().code
    assert code in words(client.get(f"/s/prism/receipt/{code}/"))
    assert client.get("/s/prism/receipt/AAAA-AAAA-AAAA/").status_code == 404
    other = Study.objects.get()
    other.pk, other.slug = None, "other"
    other.save()
    assert client.get(f"/s/other/receipt/{code}/").status_code == 404


@ORM
def test_the_window_closes(alice: Person, study: Study) -> None:
    late = timezone.now() - timedelta(days=study.withdrawal_days + 1)
    Participant.objects.update(completed_at=late)
    text = words(alice.get("data/"))
    assert "That was possible here until" in text
    assert "Delete everything I gave" not in text
    alice.post("withdraw/")
    assert alice.row.withdrawn_at is None
    assert "Download my data" in text  # that has no window
    Participant.objects.update(completed_at=late + timedelta(days=1))
    alice.post("withdraw/")
    assert alice.row.withdrawn_at


# On their behalf


def researcher(study: Study, role: str = "researcher") -> Client:
    user = User.objects.create_user("ada", is_staff=True)
    Membership.objects.create(user=user, study=study, role=role)
    client = Client()
    client.force_login(user)
    return client


def withdraw_url(person: Person) -> str:
    return reverse("admin:surveys_participant_withdraw", args=[person.row.pk])


@ORM
def test_the_study_team_withdraws_at_a_participants_wish(alice: Person, study: Study) -> None:
    Participant.objects.update(completed_at=timezone.now() - timedelta(days=400))
    client = researcher(study)
    page = reverse("admin:surveys_participant_change", args=[alice.row.pk])
    assert withdraw_url(alice) in words(client.get(page))
    fields = {"reason": "asked_by_mail", "number": alice.row.pk}
    done = words(client.post(withdraw_url(alice), fields, follow=True))
    receipt = WithdrawalReceipt.objects.get()
    assert receipt.code in done
    assert receipt.by == "researcher"
    assert WORDS not in stored()
    entry = AuditEntry.objects.get(verb="withdrew")
    assert (entry.actor_name, entry.details["reason"]) == ("ada", "asked_by_mail")
    client.post(withdraw_url(alice), fields)
    assert WithdrawalReceipt.objects.count() == 1
    assert "there is nothing left to erase" in words(client.get(withdraw_url(alice)))
    # The participant finds it with their link.
    assert receipt.code in words(alice.get("stopped/"))


@ORM
@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"reason": "asked_by_mail", "number": 999_999}, "This is the page of participant"),
        ({"reason": "asked_by_mail"}, "Please type the participant’s number."),
        ({"reason": "because", "number": 1}, "Select a valid choice"),
        ({"number": 1}, "This field is required"),
    ],
)
def test_a_reason_and_the_number_are_asked_for(
    alice: Person, study: Study, fields: dict[str, Any], told: str
) -> None:
    refused = researcher(study).post(withdraw_url(alice), fields)
    assert refused.status_code == 422
    assert told in " ".join(refused.content.decode().split())
    assert alice.row.withdrawn_at is None


@ORM
def test_a_reviewer_withdraws_nobody(alice: Person, study: Study) -> None:
    client = researcher(study, "reviewer")
    fields = {"reason": "asked_by_mail", "number": alice.row.pk}
    assert client.post(withdraw_url(alice), fields).status_code == 403
    assert alice.row.withdrawn_at is None
    page = reverse("admin:surveys_participant_change", args=[alice.row.pk])
    assert withdraw_url(alice) not in words(client.get(page))


# In a browser


SET_UP = """
from surveys import enrolment
from surveys.models import Study
study = Study.objects.get(slug="prism")
person = enrolment.arrive(study, {"PROLIFIC_PID": "carol"}, None)
enrolment.show_consent(person)
enrolment.consent(person)
person.responses.create(question="self_description", value={"text": "A baker."})
print(f"/s/prism/p/{person.key}/")
"""


@pytest.mark.browser
def test_somebody_sees_takes_and_withdraws_it_on_a_phone(embedded: Refract, page: Page) -> None:
    link = embedded.manage("shell", "-v0", "-c", SET_UP).strip()
    page.set_viewport_size({"width": 360, "height": 740})
    tape = Tape(page, 360)
    page.goto(embedded.url + link)
    page.get_by_role("link", name="Pause or leave").click()
    page.get_by_role("link", name=re.compile("Your data")).click()
    expect(page.get_by_role("link", name="Download my data")).to_be_visible()
    tape.look("your data")
    with page.expect_download() as download:
        page.get_by_role("link", name="Download my data").click()
    held = json.loads(Path(download.value.path()).read_text())
    assert held["answers"][0]["value"] == {"text": "A baker."}
    page.get_by_text("Withdraw my data").click()
    tape.look("withdraw")
    page.get_by_role("button", name="Delete everything I gave").click()
    page.wait_for_url("**/receipt/*/")
    tape.look("receipt")
    code = page.locator(".code").inner_text()
    page.goto(f"{embedded.url}/s/prism/data/")
    page.get_by_role("link", name="Your receipt").click()
    assert page.locator(".code").inner_text() == code
    assert tape.found == []
