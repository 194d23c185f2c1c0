"""The pages on which submissions are reviewed, and their keys."""

from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone
from playwright.sync_api import Page, expect

from collection import checking
from collection.models import QualityRun, Review
from surveys.models import Membership, Participant, Study
from tests.export_cast import TYPES, converse, make_person, make_study
from tests.keyboard import press
from tests.servers import Refract

QUEUE_QUERIES = 11


@pytest.fixture
def study(db: None) -> Study:
    return make_study()


def hand_in(study: Study, minute: int = 0) -> Participant:
    person = make_person(study, minute=minute, completed_at=timezone.now(), is_recruited=True)
    for kind in TYPES:
        converse(person, kind)
    return person


def queue(study: Study, query: str = "") -> str:
    return reverse("admin:surveys_study_review", args=[study.pk]) + query


def one(person: Participant, query: str = "") -> str:
    return reverse("admin:surveys_study_review_one", args=[person.study_id, person.pk]) + query


def decide(person: Participant) -> str:
    return reverse("admin:surveys_study_review_decide", args=[person.study_id, person.pk])


def words(response: Any, status: int = 200) -> str:
    assert response.status_code == status, response
    return " ".join(response.content.decode().split())


def test_it_works(admin_client: Client, study: Study) -> None:
    first, second = hand_in(study, 0), hand_in(study, 1)
    checking.check_new()
    text = words(admin_client.get(queue(study)))
    assert "Awaiting review 2" in text
    assert "Few conversations" in text
    text = words(admin_client.get(one(first)))
    assert "3 of 6 conversations" in text
    assert "PRISM’s rule would" in text
    assert "Feedback shorter than asked" in text
    assert f"/admin/collection/conversation/{first.conversations.get(number=2).pk}/" in text
    response = admin_client.post(decide(first), {"decision": "approve", "seen": "0"}, follow=True)
    assert response.redirect_chain[-1][0] == one(second, "?state=awaiting&signal=")
    assert "Participant 1: approved." in words(response).replace(str(first.pk), "1")
    assert first.reviews.get().decision == "approve"


def test_the_list_of_studies_leads_there(admin_client: Client, study: Study) -> None:
    text = words(admin_client.get(reverse("admin:surveys_study_change", args=[study.pk])))
    assert queue(study) in text


def test_a_refusal_says_why_and_keeps_what_was_written(admin_client: Client, study: Study) -> None:
    person = hand_in(study)
    text = words(admin_client.post(decide(person), {"decision": "reject"}), 422)
    assert "Please say why" in text
    Review.objects.create(participant=person, decision="return", reviewer_name="bea")
    sent = {"decision": "reject", "seen": "0", "reason": "Copied texts."}
    text = words(admin_client.post(decide(person), sent), 422)
    assert "bea has reviewed this meanwhile" in text
    assert "Copied texts.</textarea>" in text
    assert person.reviews.count() == 1


def test_a_common_reason_is_enough(admin_client: Client, study: Study) -> None:
    person = hand_in(study)
    sent = {"decision": "reject", "common": "Pasted texts", "reason": "All of them.", "seen": "0"}
    admin_client.post(decide(person), sent)
    admin_client.post(decide(person), sent)
    assert person.reviews.get().reason == "Pasted texts\nAll of them."
    person.refresh_from_db()
    assert person.rejected_at


def test_a_second_opinion(admin_client: Client, study: Study) -> None:
    person = hand_in(study)
    admin_client.post(decide(person), {"decision": "second", "reason": "Rude?", "seen": "0"})
    assert "Second opinion 1" in words(admin_client.get(queue(study)))
    text = words(admin_client.get(one(person)))
    assert "second opinion asked for" in text
    assert "Rude?" in text


def test_filters(admin_client: Client, study: Study) -> None:
    flat, fine = hand_in(study, 0), hand_in(study, 1)
    QualityRun.objects.create(
        participant=flat, check_name="flat_scores", version=1, severity="investigate", value=1
    )
    both = words(admin_client.get(queue(study)))
    assert one(flat) in both and one(fine) in both
    some = words(admin_client.get(queue(study, "?signal=flat_scores")))
    assert one(flat) in some and one(fine) not in some
    assert one(flat) not in words(admin_client.get(queue(study, "?signal=none")))
    assert one(flat) not in words(admin_client.get(queue(study, "?state=approve")))
    assert one(flat) in words(admin_client.get(queue(study, "?state=<b>&signal=x&page=99")))


def test_all_without_signals(admin_client: Client, study: Study) -> None:
    fine, late = hand_in(study, 0), hand_in(study, 1)
    checking.check_new()
    QualityRun.objects.exclude(severity="").update(severity="")
    assert "Approve all 2 without signals" in words(admin_client.get(queue(study)))
    at = reverse("admin:surveys_study_review_approve", args=[study.pk])
    assert late.completed_at
    until = late.completed_at.isoformat()
    Participant.objects.filter(pk=late.pk).update(completed_at=timezone.now())
    assert "1 submission approved." in words(admin_client.post(at, {"until": until}, follow=True))
    assert fine.reviews.count() == 1
    assert not late.reviews.exists()
    assert admin_client.post(at, {"until": "yesterday"}).status_code == 403
    assert admin_client.get(at).status_code == 405


def test_the_button_checks(admin_client: Client, study: Study) -> None:
    person = hand_in(study)
    at = reverse("admin:surveys_study_review_check", args=[study.pk])
    assert "1 submission checked." in words(admin_client.post(at, follow=True))
    assert person.quality_runs.exists()


def test_many_are_left_to_the_chore(
    admin_client: Client, study: Study, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("collection.desk_review.AT_ONCE", 0)
    person = hand_in(study)
    checking.check_new()
    person.responses.filter(question="system_string").update(value={"text": "No."})
    person.responses.filter(question="self_description").update(value={"text": "No."})
    at = reverse("admin:surveys_study_review_check", args=[study.pk])
    assert "in the background" in words(admin_client.post(at, follow=True))
    assert checking.check_new() == 1
    assert checking.check_new() == 0
    run = person.quality_runs.get(check_name="short_texts", is_current=True)
    assert run.severity == "investigate"


def test_pages_need_a_fixed_number_of_queries(admin_client: Client, study: Study) -> None:
    def queries(address: str) -> int:
        with CaptureQueriesContext(connection) as seen:
            assert admin_client.get(address).status_code == 200
        return len(seen)

    people = [hand_in(study, minute) for minute in range(2)]
    checking.check_new()
    few, of_one = queries(queue(study)), queries(one(people[0]))
    for minute in range(3):
        hand_in(study, minute)
    checking.check_new()
    assert queries(queue(study)) == few == QUEUE_QUERIES
    converse(people[0])
    assert queries(one(people[0])) == of_one


@pytest.mark.parametrize(
    ("role", "sees", "decides"),
    [("", 403, 403), ("read_only", 200, 403), ("reviewer", 200, 302)],
)
def test_roles(client: Client, study: Study, role: str, sees: int, decides: int) -> None:
    person = hand_in(study)
    user = User.objects.create_user("bea", is_staff=True)
    if role:
        Membership.objects.create(user=user, study=study, role=role)
    client.force_login(user)
    assert client.get(queue(study)).status_code == sees
    assert client.get(one(person)).status_code == sees
    sent = {"decision": "approve", "seen": "0"}
    assert client.post(decide(person), sent).status_code == decides
    assert person.reviews.exists() == (decides == 302)
    if sees == 200 and decides == 403:
        assert "Ask to return</button>" not in words(client.get(one(person)))


def test_strangers_are_sent_to_the_login(client: Client, study: Study) -> None:
    person = hand_in(study)
    for response in (
        client.get(queue(study)),
        client.post(decide(person), {"decision": "approve"}),
    ):
        assert response.status_code == 302
        assert response["Location"].startswith(reverse("admin:login"))
    assert not person.reviews.exists()


def test_submissions_of_other_studies_are_not_there(admin_client: Client, study: Study) -> None:
    other = make_study("other")
    person = hand_in(other)
    address = reverse("admin:surveys_study_review_one", args=[study.pk, person.pk])
    assert admin_client.get(address).status_code == 404
    assert admin_client.post(f"{address}decide/", {"decision": "approve"}).status_code == 404


SEED = """
from django.contrib.auth.models import User
from django.utils import timezone
from surveys.models import Study
from tests.export_cast import make_person
from collection import checking
User.objects.create_superuser("ada", password="pw")
study = Study.objects.get(slug="prism")
for minute in range(4):
    make_person(study, minute=minute, completed_at=timezone.now(), is_recruited=True)
checking.check_new()
"""


def test_a_queue_is_reviewed_with_keys_alone(embedded: Refract, page: Page) -> None:
    embedded.manage("shell", "-c", SEED)
    page.goto(f"{embedded.url}/admin/login/?next=/admin/surveys/study/1/review/")
    page.fill("#id_username", "ada")
    page.fill("#id_password", "pw")
    page.keyboard.press("Enter")
    rows = page.locator(".submissions tbody tr")
    expect(rows).to_have_count(4, timeout=30_000)
    first, second, third = (rows.nth(n).locator("[data-open]").inner_text() for n in range(3))

    press(page, "?")
    expect(page.locator("#keys")).to_have_attribute("open", "")
    press(page, "j")
    press(page, "j")
    press(page, "k")
    expect(rows.nth(0).locator("[data-open]")).to_be_focused()
    press(page, "a")
    expect(rows).to_have_count(3)

    press(page, "j")
    press(page, "Enter")
    title = page.locator(".desk h1")
    expect(title).to_have_text(f"Participant {second}")
    press(page, "j")
    expect(title).to_have_text(f"Participant {third}")
    press(page, "k")
    expect(title).to_have_text(f"Participant {second}")

    press(page, "x")
    expect(page.locator("#reason")).to_be_focused()
    page.keyboard.type("Just a jumble, really.")  # j, a and r are letters here
    press(page, "Control+Enter")
    expect(title).to_have_text(f"Participant {third}")
    press(page, "r")
    press(page, "Escape")
    press(page, "s")
    page.keyboard.type("Not sure.")
    press(page, "Control+Enter")
    expect(page.locator("body")).to_contain_text("a second opinion is asked for")

    page.goto(f"{embedded.url}/admin/surveys/study/1/review/?state=all")
    found = [row.split()[0] + row.split()[-1] for row in rows.all_inner_texts()]
    assert {f"{first}Approved", f"{second}Rejected", f"{third}opinion"} <= set(found)
