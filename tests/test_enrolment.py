"""Arriving, consent, declining, stopping."""

import datetime

import pytest
from django.test import Client

from surveys import enrolment
from surveys.models import (
    Consent,
    ConsentText,
    Decline,
    Identity,
    Participant,
    Study,
    fingerprint,
)
from tests.walk import Person

pytestmark = pytest.mark.django_db

ALICE = {"PROLIFIC_PID": "alice-pid", "STUDY_ID": "recruit7", "SESSION_ID": "sess1"}


def test_it_works(study: Study) -> None:
    response = Person(study, **ALICE, source="forum").arrive()
    assert response.redirect_chain[-1][0] == "/s/prism/consent/"
    alice = Participant.objects.get()
    assert (alice.recruitment_id, alice.is_recruited, alice.released_study_id) == (
        "recruit7",
        True,
        "recruit7",
    )
    assert alice.identity.external_id == "alice-pid"
    assert alice.identity.session_id == "sess1"
    assert alice.identity.parameters == {"source": "forum"}


def test_no_page_shows_an_id(study: Study) -> None:
    alice = Person(study, **ALICE)
    pages = [alice.arrive(), alice.consent(), alice.get("leave/")]
    assert not any(b"alice-pid" in page.content or b"sess1" in page.content for page in pages)


def test_the_same_person_on_another_device(study: Study) -> None:
    phone, laptop = Person(study, **ALICE), Person(study, **ALICE)
    phone.consent()
    phone.answer()
    response = laptop.arrive()
    assert Participant.objects.count() == 1
    assert response.redirect_chain[-1][0] == "/s/prism/survey/familiarity/"


def test_a_label_is_an_id_too(study: Study) -> None:
    for _time in range(2):
        Person(study, participant_label="room-12").arrive()
    assert Identity.objects.get().external_id == "room-12"


def test_an_open_link_gives_an_id_and_a_personal_link(study: Study) -> None:
    bob = Person(study)
    bob.consent()
    row = bob.row
    assert (row.is_recruited, row.released_study_id) == (False, "prism")
    assert f"/s/prism/p/{row.key}/" in bob.get("leave/").content.decode()
    elsewhere = Client().get(f"/s/prism/p/{row.key}/", follow=True)
    assert elsewhere.redirect_chain[-1][0] == "/s/prism/survey/primer/"
    bob.arrive()
    assert Participant.objects.count() == 1


def test_another_person_at_the_same_browser(study: Study) -> None:
    alice = Person(study, **ALICE)
    alice.consent()
    alice.client.get("/s/prism/", {"PROLIFIC_PID": "bob-pid"})
    assert Participant.objects.count() == 2
    assert alice.row.identity.external_id == "bob-pid"


def test_volunteers_are_shown_their_personal_link_at_once(study: Study) -> None:
    bob, alice = Person(study), Person(study, **ALICE)
    pages = [person.consent().content.decode() for person in (bob, alice)]
    assert f"/p/{bob.row.key}/" in pages[0]
    assert f"/p/{alice.row.key}/" not in pages[1]


@pytest.mark.parametrize("name", ["PROLIFIC_PID", "STUDY_ID", "SESSION_ID", "odd\x00name"])
def test_a_link_with_a_nul_still_arrives(study: Study, name: str) -> None:
    response = Person(study, **{name: "a\x00b"}).arrive()
    assert response.redirect_chain[-1][0] == "/s/prism/consent/"


def test_far_too_much_is_refused_kindly(study: Study) -> None:
    alice = Person(study, **ALICE)
    alice.consent()
    response = alice.post("problem/", {"text": "x" * 1_100_000})
    assert response.status_code == 400
    assert b"send something shorter" in response.content


def test_a_foreign_key_is_not_found(study: Study) -> None:
    assert Client().get("/s/prism/p/guessed/").status_code == 404


def test_a_closed_study_takes_nobody_new(study: Study) -> None:
    alice = Person(study, **ALICE)
    alice.consent()
    Study.objects.update(state="paused")
    assert Person(study, PROLIFIC_PID="late").arrive().status_code == 403
    assert alice.arrive().status_code == 200


def test_consent_keeps_version_and_hash_of_the_text(study: Study) -> None:
    alice = Person(study, **ALICE)
    alice.consent()
    consent = Consent.objects.get()
    text = ConsentText.objects.get()
    assert consent.text == text
    assert consent.sha256 == fingerprint(enrolment.filled_consent(study))
    assert consent.version == study.consent_document["version"]
    assert study.contact_email in str(text.document)


def test_another_text_is_another_hash(study: Study) -> None:
    Person(study, **ALICE).consent()
    Study.objects.update(contact_email="new@example.org")
    Person(study, PROLIFIC_PID="bob").consent()
    assert ConsentText.objects.count() == 2


@pytest.mark.parametrize("ticked", [{}, {"consent": "on"}, {"consent_age": "on"}])
def test_both_boxes_are_needed(study: Study, ticked: dict[str, str]) -> None:
    alice = Person(study, **ALICE)
    alice.arrive()
    response = alice.post("consent/", ticked)
    assert b"Please tick this box" in response.content
    assert not Consent.objects.exists()


def test_consent_twice_is_once(study: Study) -> None:
    alice = Person(study, **ALICE)
    alice.consent()
    alice.post("consent/", {"consent_age": "on", "consent": "on"})
    assert Consent.objects.count() == 1


def test_decline_keeps_only_date_and_source(study: Study) -> None:
    alice = Person(study, **ALICE)
    alice.arrive()
    response = alice.post("decline/")
    assert study.return_url in response.content.decode()
    assert not Participant.objects.exists()
    assert not Identity.objects.exists()
    decline = Decline.objects.get()
    assert decline.source == "recruit7"
    assert decline.date == datetime.datetime.now(datetime.UTC).date()
    again = alice.arrive()
    assert again.redirect_chain[-1][0] == "/s/prism/consent/"


def test_declining_twice_is_declining_once(study: Study) -> None:
    alice = Person(study, **ALICE)
    alice.arrive()
    cookies = alice.client.cookies.copy()
    alice.post("decline/")
    alice.client.cookies.update(cookies)  # the second click was on its way already
    response = alice.post("decline/")
    assert b"Thank you for considering it." in response.content
    assert Decline.objects.count() == 1
    assert not Participant.objects.exists()


def test_decline_after_consent_does_nothing(study: Study) -> None:
    alice = Person(study, **ALICE)
    alice.consent()
    alice.post("decline/")
    assert Participant.objects.count() == 1
    assert not Decline.objects.exists()


def test_stopping_is_for_good_and_keeps_the_answers(study: Study) -> None:
    alice = Person(study, **ALICE)
    alice.consent()
    alice.answer()
    alice.answer()
    response = alice.post("stop/")
    assert study.return_url in response.content.decode()
    assert alice.row.responses.count() == 3
    assert alice.arrive().redirect_chain[-1][0] == "/s/prism/stopped/"
    assert alice.get("survey/primer/").redirect_chain[-1][0] == "/s/prism/stopped/"


def test_withdrawing_deletes_everything_given(study: Study) -> None:
    alice = Person(study, **ALICE)
    alice.survey()
    alice.post("instructions/")
    alice.converse()
    alice.post("stop/", {"withdraw": "on"})
    row = alice.row
    assert row.withdrawn_at
    assert not row.responses.exists()
    assert not row.conversations.exists()
    assert not Identity.objects.exists()


def test_a_recruiters_id_alone_cannot_withdraw(study: Study) -> None:
    alice, stranger = Person(study, **ALICE), Person(study, **ALICE)
    alice.survey()
    stranger.arrive()
    stranger.post("stop/", {"withdraw": "on"})
    assert alice.row.withdrawn_at is None
    assert alice.row.responses.exists()


def test_a_recruiters_id_alone_shows_no_earlier_answers(study: Study) -> None:
    alice, stranger = Person(study, **ALICE), Person(study, **ALICE)
    alice.consent()
    alice.answer()
    alice.answer()
    stranger.arrive()
    assert stranger.get("survey/familiarity/").redirect_chain
    assert not alice.get("survey/familiarity/").redirect_chain


def test_a_problem_is_recorded_once(study: Study) -> None:
    alice = Person(study, **ALICE)
    alice.consent()
    for _time in range(2):
        response = alice.post("problem/", {"text": "The page froze", "from_page": "/s/prism/x/"})
    assert b"Thank you, we have it." in response.content
    assert alice.row.problems.count() == 1


def test_an_empty_problem_is_asked_for(study: Study) -> None:
    alice = Person(study, **ALICE)
    alice.consent()
    assert alice.post("problem/", {"text": "  "}).status_code == 422


@pytest.mark.parametrize("path", ["", "consent/", "survey/primer/", "c/1/", "done/"])
def test_an_unknown_study_is_not_found(study: Study, path: str) -> None:
    assert Client().get(f"/s/nowhere/{path}").status_code == 404


def test_strangers_are_sent_to_the_front_door(study: Study) -> None:
    response = Client().get("/s/prism/conversations/")
    assert response.headers["Location"] == "/s/prism/"


def test_a_tampered_cookie_is_a_stranger(study: Study) -> None:
    alice = Person(study, **ALICE)
    alice.consent()
    cookie = alice.client.cookies["refract_prism"]
    alice.client.cookies["refract_prism"] = cookie.value.replace(":resume", ":trusted") + "x"
    assert alice.client.get("/s/prism/next/").headers["Location"] == "/s/prism/"
