"""The desk's pages of recruiting: tables, dry runs, submissions, the outbox."""

from collections.abc import Iterator
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from surveys.models import Delivery, Invitation, Membership, Recruitment, Study, Submission
from tests.prolific_server import ProlificServer
from tests.test_recruiting import LONG, TABLE, Clock, Desk, comes, live, load

pytestmark = pytest.mark.django_db

LISTS = ["recruitment", "submission", "delivery"]


@pytest.fixture
def desk(settings: Any) -> Iterator[Desk]:
    settings.PUBLIC_URL = "https://study.example"
    with ProlificServer() as server:
        yield Desk(server, Clock())


def words(response: Any) -> str:
    assert response.status_code == 200, response
    return " ".join(response.content.decode().split())


def at(name: str, *args: object) -> str:
    return reverse(f"admin:surveys_{name}", args=args)


def upload(client: Client, study: Study, data: bytes, nonce: str = "n1") -> Any:
    fields = {
        "nonce": nonce,
        "currency": "GBP",
        "description": "You talk to models.",
        "file": SimpleUploadedFile("countries.csv", data),
    }
    return client.post(at("recruitment_table", study.pk), fields, follow=True)


def act(client: Client, what: str, rows: list[Submission], **fields: str) -> Any:
    """The list's menu, then its page."""
    chosen = {"action": f"ask_{what}", "_selected_action": [row.pk for row in rows]}
    page = client.post(at("submission_changelist"), chosen)
    text = words(page)
    nonce = text.partition('name="nonce" value="')[2].partition('"')[0]
    assert nonce
    data = {"row": [row.pk for row in rows], "nonce": nonce, **fields}
    return client.post(at("submission_decide", what), data, follow=True)


def people(study: Study, desk: Desk, number: int) -> list[Submission]:
    row = live(study, desk)
    for person in range(number):
        comes(study, row, desk, f"pid-{person}")
    return list(Submission.objects.order_by("pk"))


def test_it_works(admin_client: Client, study: Study, desk: Desk) -> None:
    assert at("recruitment_study", study.pk) in words(
        admin_client.get(at("study_change", study.pk))
    )
    assert "None yet" in words(admin_client.get(at("recruitment_study", study.pk)))
    stored = words(upload(admin_client, study, TABLE))
    assert "3 recruitments are stored." in stored
    assert "cost £995.00" in stored
    for part in ("Create South Africa", "POST /studies/", "fluent-languages", "QUOTA"):
        assert part in stored
    assert not Delivery.objects.exists()
    sent = admin_client.post(at("recruitment_send", study.pk), {"publish": "on"}, follow=True)
    assert "3 things lie in the outbox" in words(sent)
    desk.send_all(3)
    listed = words(admin_client.get(at("recruitment_study", study.pk)))
    assert listed.count("recruiting</span>") == 3
    assert "nothing to send" in words(admin_client.get(at("recruitment_dry_run", study.pk)))
    row = Recruitment.objects.get(name="Chile")
    comes(study, row, desk, "pid-of-alice")
    submission = Submission.objects.get()
    done = words(act(admin_client, "approve", [submission]))
    assert "1 thing lies in the outbox" in done
    desk.send()
    submission.refresh_from_db()
    assert submission.status == "approved"
    outbox = words(admin_client.get(at("delivery_changelist")))
    assert "approve" in outbox
    for name in LISTS:
        first = {"recruitment": row, "submission": submission}.get(name) or Delivery.objects.first()
        assert first
        assert words(admin_client.get(at(f"{name}_change", first.pk)))


def test_what_is_wrong_with_a_table_is_shown_by_line_and_column(
    admin_client: Client, study: Study
) -> None:
    page = words(
        upload(admin_client, study, b"country,places,reward,minutes\nAtlantis,3,9.00,long\n")
    )
    assert "2 cells need another look. Nothing was stored." in page
    assert "line 2, country: “Atlantis” is no country we know." in page
    assert "line 2, minutes: “long” is not a whole number" in page
    assert not Recruitment.objects.exists()
    empty = admin_client.post(
        at("recruitment_table", study.pk), {"nonce": "n", "currency": "GBP", "text": " "}
    )
    assert "paste the table" in words(empty)


def test_a_double_click_stores_a_table_once(admin_client: Client, study: Study) -> None:
    upload(admin_client, study, TABLE)
    upload(admin_client, study, TABLE)
    assert Recruitment.objects.count() == 3


def test_a_table_can_be_pasted(admin_client: Client, study: Study) -> None:
    fields = {"nonce": "n", "currency": "USD", "text": TABLE.decode()}
    admin_client.post(at("recruitment_table", study.pk), fields)
    assert set(Recruitment.objects.values_list("currency", flat=True)) == {"USD"}


def test_each_bulk_action(admin_client: Client, study: Study, desk: Desk) -> None:
    alice, bob, carol = people(study, desk, 3)
    short = act(admin_client, "reject", [alice], category="LOW_EFFORT", text="Too short.")
    assert "100 characters" in words(short)
    act(admin_client, "reject", [alice], category="LOW_EFFORT", text=LONG)
    act(admin_client, "return", [bob], text="You left early.")
    act(admin_client, "message", [bob, carol], text="Hello.")
    act(admin_client, "bonus", [carol], amount="1.50")
    part = act(admin_client, "part", [carol])
    assert "has not ended here" in words(part)
    desk.send_all(2)
    there = {row["participant"]: row for row in desk.server.submissions.values()}
    assert there["pid-0"]["status"] == "REJECTED"
    assert there["pid-1"]["return_requested"]
    assert there["pid-2"]["bonus_payments"] == [150]
    assert len(desk.server.messages) == 2
    again = words(act(admin_client, "approve", [alice]))
    assert "rejected already" in again
    wrong = act(admin_client, "bonus", [carol], amount="-1")
    assert "greater than or equal to 0.01" in words(wrong)


def test_the_same_form_twice_pays_once(admin_client: Client, study: Study, desk: Desk) -> None:
    (alice,) = people(study, desk, 1)
    data = {"row": [alice.pk], "nonce": "one-form", "amount": "1.50"}
    for _click in range(2):
        admin_client.post(at("submission_decide", "bonus"), data)
    assert Delivery.objects.filter(kind="bonus").count() == 1


def test_the_outbox_says_what_is_wrong_and_lets_one_try_again(
    admin_client: Client, study: Study, desk: Desk
) -> None:
    (alice,) = people(study, desk, 1)
    act(admin_client, "approve", [alice])
    desk.server.submissions[alice.external_id]["status"] = "RETURNED"
    desk.send_all(1)
    page = words(admin_client.get(at("delivery_changelist") + "?state__exact=refused"))
    assert "A submission that is RETURNED cannot be changed." in page
    assert "refused" in words(admin_client.get(at("recruitment_study", study.pk)))
    delivery = Delivery.objects.get(kind="approve")
    chosen = {"action": "try_again", "_selected_action": [delivery.pk]}
    assert "outbox" in words(admin_client.post(at("delivery_changelist"), chosen, follow=True))
    delivery.refresh_from_db()
    assert delivery.state == "due"
    chosen["action"] = "cancel"
    admin_client.post(at("delivery_changelist"), chosen)
    delivery.refresh_from_db()
    assert delivery.state == "cancelled"


def test_a_payment_in_doubt_is_settled_by_a_person(
    admin_client: Client, study: Study, desk: Desk
) -> None:
    (alice,) = people(study, desk, 1)
    act(admin_client, "bonus", [alice], amount="1.50")
    Delivery.objects.filter(kind="bonus").update(state="unclear")
    delivery = Delivery.objects.get(kind="bonus")
    chosen = {"action": "it_happened", "_selected_action": [delivery.pk]}
    admin_client.post(at("delivery_changelist"), chosen)
    alice.refresh_from_db()
    assert alice.bonus_paid == 150


def test_a_recruitments_own_page(admin_client: Client, study: Study, desk: Desk) -> None:
    row = live(study, desk)
    page = words(admin_client.get(at("recruitment_change", row.pk)))
    assert "Raise places to" in page
    do = at("recruitment_do", row.pk)
    assert "only be raised" in words(
        admin_client.post(do, {"what": "places", "places": "2"}, follow=True)
    )
    admin_client.post(do, {"what": "places", "places": "7"})
    admin_client.post(do, {"what": "pause", "nonce": "a"})
    admin_client.post(do, {"what": "read"})
    desk.send_all(1)
    row.refresh_from_db()
    assert (row.places, row.state, row.read_due_at) == (7, "paused", None)
    assert "not known" in words(admin_client.post(do, {"what": "explode"}, follow=True))


def test_what_prolific_has_is_not_edited_here(
    admin_client: Client, study: Study, desk: Desk
) -> None:
    row = live(study, desk)
    fields = {
        "name": "Renamed",
        "reward": "1",
        "codes-TOTAL_FORMS": "0",
        "codes-INITIAL_FORMS": "0",
    }
    admin_client.post(at("recruitment_change", row.pk), fields)
    row.refresh_from_db()
    assert (row.name, row.reward) == ("Renamed", 900)


def test_one_added_by_hand_gets_its_codes(admin_client: Client, study: Study) -> None:
    fields = {
        "study": study.pk,
        "kind": "panel",
        "name": "Panel",
        "reward": "0",
        "currency": "EUR",
        "minutes": "30",
        "filters": "[]",
        "person_parameter": "rid",
        "codes-TOTAL_FORMS": "0",
        "codes-INITIAL_FORMS": "0",
    }
    admin_client.post(at("recruitment_add"), fields)
    row = Recruitment.objects.get()
    assert row.codes.count() == 8
    admin_client.post(at("recruitment_do", row.pk), {"what": "open"})
    row.refresh_from_db()
    assert row.state == "live"


def test_people_are_invited_by_csv(admin_client: Client, study: Study) -> None:
    row = Recruitment.objects.create(study=study, kind="invitations", name="Friends")
    do = at("recruitment_do", row.pk)
    file = SimpleUploadedFile("people.csv", b"label,e-mail\nAlice,alice@example.org\n")
    page = words(admin_client.post(do, {"what": "invite", "file": file}, follow=True))
    assert "1 person is invited." in page
    assert "alice@example.org" not in page
    links = admin_client.get(at("recruitment_links", row.pk))
    assert links["Content-Disposition"].startswith("attachment")
    assert Invitation.objects.get().token in links.content.decode()
    wrong = SimpleUploadedFile("people.csv", b"label,e-mail\nAlice,nowhere\n")
    assert "line 2, e-mail" in words(
        admin_client.post(do, {"what": "invite", "file": wrong}, follow=True)
    )
    assert "choose a CSV" in words(admin_client.post(do, {"what": "invite"}, follow=True))


def test_nobody_is_named_on_a_page(admin_client: Client, study: Study, desk: Desk) -> None:
    (alice, *_others) = people(study, desk, 2)
    act(admin_client, "message", [alice], text="Hello.")
    delivery = Delivery.objects.get(kind="message")
    pages = [at(f"{name}_changelist") for name in LISTS]
    pages += [at("submission_change", alice.pk), at("delivery_change", delivery.pk)]
    pages += [at("recruitment_study", study.pk), at("recruitment_change", alice.recruitment_id)]
    for page in pages:
        text = words(admin_client.get(page))
        assert alice.person not in text, page
        assert alice.external_id not in text, page
    found = words(admin_client.get(at("submission_changelist") + f"?q={alice.person}"))
    assert "1 submission" in found


def test_lists_ask_as_often_however_long_they_are(
    admin_client: Client, study: Study, desk: Desk
) -> None:
    people(study, desk, 1)
    pages = [at(f"{name}_changelist") for name in LISTS] + [at("recruitment_study", study.pk)]
    before = [queries(admin_client, page) for page in pages]
    row = Recruitment.objects.get()
    load(study)
    for number in range(5):
        comes(study, row, desk, f"more-{number}")
    assert [queries(admin_client, page) for page in pages] == before


def queries(client: Client, page: str) -> int:
    with CaptureQueriesContext(
        connection,
    ) as seen:
        words(client.get(page))
    return len(seen)


def test_strangers_and_readers(study: Study, desk: Desk, client: Client) -> None:
    (alice,) = people(study, desk, 1)
    row = alice.recruitment
    gets = [
        *(at(f"{name}_changelist") for name in LISTS),
        *(at(f"recruitment_{page}", study.pk) for page in ("study", "table", "dry_run")),
        at("recruitment_links", row.pk),
    ]
    posts = [
        at("recruitment_send", study.pk),
        at("recruitment_do", row.pk),
        at("submission_decide", "approve"),
    ]
    for page in gets:
        assert client.get(page).status_code == 302
    for page in posts:
        assert client.post(page, {"row": alice.pk, "what": "stop"}).status_code == 302
    reader = User.objects.create_user("reader", is_staff=True)
    Membership.objects.create(user=reader, study=study, role="read_only")
    client.force_login(reader)
    may_see = [*(at(f"{name}_changelist") for name in LISTS)]
    may_see += [at("recruitment_study", study.pk), at("recruitment_dry_run", study.pk)]
    for page in gets:
        assert (client.get(page).status_code == 200) == (page in may_see), page
    for page in posts:
        assert client.post(page, {"row": alice.pk, "what": "stop"}).status_code in (403, 404)
    chosen = {"action": "ask_approve", "_selected_action": [alice.pk]}
    client.post(at("submission_changelist"), chosen)
    alice.refresh_from_db()
    assert alice.decision == ""
    for page in posts:
        assert client.get(page).status_code == 405
