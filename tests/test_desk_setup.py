"""The guided set-up from an empty database, a study's steps at the desk, and two people at once."""

import json
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse

from collection import trials
from collection.models import EndpointTest, ModelEndpoint
from surveys import versions
from surveys.models import Membership, Study
from tests.admin_pages import list_url, study_form, url, words
from tests.model_server import ModelServer
from tests.walk import Person

pytestmark = pytest.mark.django_db

WHAT = {
    "title": "Soup",
    "slug": "soup",
    "locale": "uk",
    "contact_name": "Ada",
    "contact_email": "ada@example.org",
    "ethics_reference": "REC-1",
    "ethics_contact": "rec@example.org",
    "payment": "£9",
    "withdrawal_days": "14",
}


def step(study: Study, name: str) -> str:
    return reverse("admin:surveys_study_set_up", args=[study.pk, name])


def take(study: Study, name: str) -> str:
    return reverse("admin:surveys_study_step", args=[study.pk, name])


def test_it_works(admin_client: Client, model_server: ModelServer, kept_connection: None) -> None:
    """From nothing to a pilot that somebody takes part in."""
    begin = reverse("admin:surveys_study_begin")
    assert begin in words(admin_client.get(list_url(Study)))
    assert "What it is" in words(admin_client.get(begin))
    response: Any = admin_client.post(begin, WHAT)
    study = Study.objects.get()
    assert response.url == step(study, "protocol")
    for name, fields, after in (
        ("protocol", {"preset": "quick-pilot"}, "questionnaire"),
        ("questionnaire", {"version": study.instrument.sha256}, "consent"),
        ("consent", {"text": "prism-consent"}, "models"),
    ):
        assert words(admin_client.get(step(study, name)))
        response = admin_client.post(step(study, name), fields)
        assert response.url == step(study, after)
    load = reverse("admin:surveys_study_load_models", args=[study.pk])
    text = words(admin_client.post(load, {"preset": "demo"}, follow=True))
    steady = ModelEndpoint.objects.filter(is_demo=True).exclude(long_name__endswith="/flaky")
    models = list(steady[:4])
    assert str(models[0]) in text
    admin_client.post(step(study, "models"), {"endpoints": [row.pk for row in models]})
    back = {"platform_name": "Prolific", "completion_code": "ABCDEFGH"}
    back |= {"completion_url": "https://r.example/?cc={code}", "return_url": "https://r.example/"}
    admin_client.post(step(study, "return"), back)
    response = admin_client.post(step(study, "money"), {"expected_people": 5, "budget_usd": "10"})
    assert response.url == step(study, "check")
    text = words(admin_client.get(step(study, "check")))
    assert text.count("has not been tried with its present settings") == 4
    refused = words(admin_client.post(take(study, "open_pilot"), follow=True))
    assert "The study is not ready yet." in refused
    check = reverse("admin:surveys_study_check", args=[study.pk])
    text = words(admin_client.post(check, follow=True))
    assert "All 4 models answered a test prompt" in text
    text = words(admin_client.post(take(study, "open_pilot"), follow=True))
    assert "Their data are kept apart and not released." in text
    study = Study.objects.get()
    assert (study.state, study.protocol.max_conversations) == ("pilot", 1)
    alice = Person(study, PROLIFIC_PID="alice").ready()
    alice.converse()
    assert alice.row.completed_at and alice.row.is_pilot
    text = words(admin_client.get(url(alice.row)))
    assert "pilot</span>" in text
    assert "version 1 of the study" in text


def test_a_double_click_makes_one_study(admin_client: Client) -> None:
    begin = reverse("admin:surveys_study_begin")
    first: Any = admin_client.post(begin, WHAT)
    second: Any = admin_client.post(begin, WHAT)
    assert first.url == second.url
    assert Study.objects.count() == 1
    other = words(admin_client.post(begin, WHAT | {"title": "Another"}))
    assert "already exists" in other


def test_what_is_wrong_is_said_and_what_was_written_stays(admin_client: Client) -> None:
    fields = WHAT | {"contact_email": "nobody", "title": "Soup <b>"}
    text = words(admin_client.post(reverse("admin:surveys_study_begin"), fields))
    assert "Enter a valid email address." in text
    assert 'value="Soup &lt;b&gt;"' in text
    assert not Study.objects.exists()


def test_only_drafts_are_set_up_so(admin_client: Client, study: Study) -> None:
    response = admin_client.post(step(study, "protocol"), {"preset": "survey"}, follow=True)
    assert "This study is no draft any more" in words(response)
    study.refresh_from_db()
    assert study.protocol.name == "prism"
    assert admin_client.get(step(study, "nonsense")).status_code == 404


def test_a_study_is_paused_and_closed_at_its_page(admin_client: Client, study: Study) -> None:
    text = words(admin_client.get(url(study)))
    assert take(study, "pause") in text
    assert take(study, "launch") not in text
    admin_client.post(take(study, "pause"))
    admin_client.post(take(study, "close"))
    text = words(admin_client.post(take(study, "launch"), follow=True))
    assert "This study is closed, so this step cannot be taken." in text
    assert admin_client.get(take(study, "close")).status_code == 405
    assert admin_client.post(take(study, "nonsense")).status_code == 404


def test_a_change_needs_a_reason_and_shows_as_a_version(admin_client: Client, study: Study) -> None:
    Person(study, PROLIFIC_PID="alice").consent()
    changed = json.dumps(study.protocol_json | {"opening_models": 2})
    text = words(admin_client.post(url(study), study_form(study, protocol_json=changed, reason="")))
    assert "Please say why: people may be taking part" in text
    response = admin_client.post(
        url(study), study_form(study, protocol_json=changed, reason="Too long."), follow=True
    )
    assert "This is version 2 now." in words(response)
    text = words(admin_client.get(reverse("admin:surveys_study_versions", args=[study.pk])))
    assert "Too long." in text and "admin" in text
    assert "<dt>protocol.opening_models</dt><dd><del>4</del> <ins>2</ins></dd>" in text
    study.refresh_from_db()
    admin_client.post(url(study), study_form(study, title="Another", reason=""))
    assert study.versions.count() == 2  # a title is no part of what people meet
    study.endpoints.remove(study.endpoints.earliest("pk"))
    assert admin_client.post(url(study), study_form(study, reason="")).status_code == 302
    assert study.versions.get(number=3).reason == versions.FOUND


def opened(client: Client, study: Study) -> str:
    page: Any = client.get(url(study))
    found: str = page.context["adminform"].form["opened"].value()
    return found


def test_two_researchers_at_one_study(admin_client: Client, study: Study) -> None:
    """The second is told who changed what; nothing that either wrote is lost."""
    bob = Client()
    bob.force_login(User.objects.create_superuser("bob"))
    begun = opened(admin_client, study)
    bobs = study_form(study, title="Bob's", payment="£12.00", opened=opened(bob, study))
    assert bob.post(url(study), bobs).status_code == 302
    adas = study_form(study, title="Ada's", contact_name="Ada L", opened=begun)
    response: Any = admin_client.post(url(study), adas)
    text = words(response)
    assert "bob (" in text
    assert "changed Title and Payment after you had opened this page" in text
    assert "Title now has, by them: Bob&#x27;s" in text
    study.refresh_from_db()
    assert (study.title, study.payment, study.contact_name) == ("Bob's", "£12.00", "Ada")
    form = response.context["adminform"].form
    assert form["title"].value() == "Ada's"  # as she wrote it
    assert form["payment"].value() == "£12.00"  # as he did, where she wrote nothing
    assert form["contact_name"].value() == "Ada L"
    again = adas | {"payment": "£12.00", "opened": form["opened"].value()}
    assert admin_client.post(url(study), again).status_code == 302
    study.refresh_from_db()
    assert (study.title, study.payment, study.contact_name) == ("Ada's", "£12.00", "Ada L")


def test_an_own_second_edit_is_no_conflict(admin_client: Client, study: Study) -> None:
    for title in ("One", "Two"):
        fields = study_form(study, title=title, opened=opened(admin_client, study))
        assert admin_client.post(url(study), fields).status_code == 302
    broken = study_form(study, title="Three", opened="{}")
    assert "was not sent whole" in words(admin_client.post(url(study), broken))
    study.refresh_from_db()
    assert study.title == "Two"


def test_a_clone_is_one_click(admin_client: Client, study: Study) -> None:
    address = reverse("admin:surveys_study_copy", args=[study.pk])
    for _click in range(2):
        text = words(admin_client.post(address, {"slug": "prism-2"}, follow=True))
        assert "A draft with everything that the other is set to." in text
    assert Study.objects.count() == 2
    admin_client.post(address, {"slug": "prism"})
    assert Study.objects.count() == 2


def test_who_may_only_look_changes_nothing(study: Study) -> None:
    reader = User.objects.create_user("reader", is_staff=True)
    Membership.objects.create(user=reader, study=study, role="read_only")
    client = Client()
    client.force_login(reader)
    for name in ("check", "versions", "file"):
        assert (
            client.get(reverse(f"admin:surveys_study_{name}", args=[study.pk])).status_code == 200
        )
    for address in (
        take(study, "close"),
        step(study, "money"),
        reverse("admin:surveys_study_check", args=[study.pk]),
        reverse("admin:surveys_study_copy", args=[study.pk]),
        reverse("admin:surveys_study_begin"),
        reverse("admin:surveys_study_from_file"),
        reverse("admin:surveys_study_load_models", args=[study.pk]),
        reverse("admin:collection_modelendpoint_load"),
    ):
        assert client.post(address, {}).status_code == 403, address
    study.refresh_from_db()
    assert study.state == Study.State.LIVE
    assert not EndpointTest.objects.exists()
    stranger: Any = Client().post(take(study, "close"))
    assert stranger.url.startswith(reverse("admin:login"))


def test_the_check_is_fresh(admin_client: Client, study: Study) -> None:
    trials.run(study.endpoints.all(), "ada")
    check = reverse("admin:surveys_study_check", args=[study.pk])
    assert "All 4 models answered" in words(admin_client.get(check))
    ModelEndpoint.objects.update(header="Be brief.")
    assert "All 4 models answered" not in words(admin_client.get(check))
