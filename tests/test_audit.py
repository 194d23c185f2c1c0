"""The audit log: everything that was done is in it, nobody's words are, and nothing leaves it."""

import csv
import io
import json
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import DatabaseError, connection, transaction
from django.test import Client
from django.urls import reverse

from surveys import audit
from surveys.models import AppendOnly, AuditEntry, Membership, Study
from tests.admin_pages import list_url, study_form, url
from tests.walk import Person

pytestmark = pytest.mark.django_db

WORDS = "the-lighthouse-keeper"


@pytest.fixture
def alice(study: Study) -> Person:
    person = Person(study, PROLIFIC_PID="pid-of-alice").ready()
    person.row.responses.create(question="self_description", value={"text": WORDS})
    person.start()
    person.prompt(0, WORDS)
    person.rate(0, 20, 90, 40, 60)
    person.post("problem/", {"text": WORDS, "from_page": "/"})
    return person


def last() -> AuditEntry:
    return AuditEntry.objects.latest("pk")


def noted(**filters: Any) -> int:
    return AuditEntry.objects.filter(**filters).count()


def test_it_works(admin_client: Client, alice: Person, study: Study) -> None:
    admin_client.get(url(alice.row))
    entry = last()
    assert (entry.actor_name, entry.verb, entry.object_type) == (
        "admin",
        "saw",
        "surveys.participant",
    )
    assert (entry.object_id, entry.study) == (str(alice.row.pk), study)
    admin_client.post(url(study), study_form(study, title="Wave 2"))
    entry = last()
    assert (entry.verb, entry.object_type) == ("changed", "surveys.study")
    assert "Title" in entry.details["fields"]
    assert "Wave 2" not in str(entry.details)
    admin_client.get(reverse("export-file", args=["prism", "survey"]))
    assert (last().verb, last().details) == (
        "exported",
        {"file": "survey", "with_pilot": False},
    )
    admin_client.get(reverse("export-all", args=["prism"]))
    assert last().details == {"file": "zip", "with_pilot": False}
    text = admin_client.get(list_url(AuditEntry)).content.decode()
    for word in ("saw", "changed", "exported", "surveys.participant"):
        assert word in text


@pytest.mark.parametrize("kind", ["conversation", "utterance", "modelcall", "response"])
def test_every_look_at_peoples_words_is_noted(
    admin_client: Client, alice: Person, kind: str
) -> None:
    from django.apps import apps

    app = "surveys" if kind == "response" else "collection"
    row: Any = apps.get_model(app, kind)._default_manager.earliest("pk")
    admin_client.get(url(row))
    assert (last().verb, last().object_id) == ("saw", str(row.pk))
    assert last().object_type == f"{app}.{kind}"


def test_a_list_of_words_names_its_rows(admin_client: Client, alice: Person) -> None:
    from surveys.models import ProblemReport, Response

    for model in (ProblemReport, Response):
        admin_client.get(list_url(model))
        keys = list(model._default_manager.order_by("-pk").values_list("pk", flat=True))
        assert sorted(last().details["rows"]) == sorted(keys)
        assert last().study == alice.study
    before = noted()
    admin_client.get(list_url(Study))
    assert noted() == before


def test_nobodys_words_are_in_it(admin_client: Client, alice: Person) -> None:
    from django.contrib import admin

    for model in admin.site._registry:
        admin_client.get(list_url(model))
        row = model._default_manager.first()
        if row is not None:
            admin_client.get(url(row))
    alice.post("stop/", {"withdraw": "on"})
    everything = json.dumps(list(AuditEntry.objects.values()), default=str)
    assert WORDS not in everything
    assert "pid-of-alice" not in everything
    with pytest.raises(ValueError, match="too long for the audit log"):
        audit.write("somebody", "saw", alice.row, alice.study, note="word " * 100)


def test_sign_ins_and_refused_ones_are_noted(client: Client, admin_user: User) -> None:
    login = reverse("admin:login")
    client.post(login, {"username": "admin", "password": "wrong"})
    assert (last().verb, last().actor_name) == ("failed to sign in", "admin")
    client.post(login, {"username": "admin", "password": "password"})
    assert (last().verb, last().actor_name) == ("signed in", "admin")
    before = noted()
    # What nobody is called could be a password in the wrong field.
    client.post(login, {"username": "correct-horse", "password": "x"})
    assert noted() == before


def test_it_is_append_only(study: Study) -> None:
    entry = audit.write("somebody", "saw", study, study)
    entry.verb = "did nothing"
    with pytest.raises(AppendOnly):
        entry.save()
    with pytest.raises(AppendOnly):
        entry.delete()
    with pytest.raises(AppendOnly):
        AuditEntry.objects.update(verb="did nothing")
    with pytest.raises(AppendOnly):
        AuditEntry.objects.all().delete()
    table = AuditEntry._meta.db_table
    for statement in (f"UPDATE {table} SET verb = 'x'", f"DELETE FROM {table}"):
        with (
            pytest.raises(DatabaseError, match="append-only"),
            transaction.atomic(),
            connection.cursor() as cursor,
        ):
            cursor.execute(statement)
    assert AuditEntry.objects.get(pk=entry.pk).verb == "saw"


def test_it_outlives_accounts_and_studies(admin_client: Client, study: Study) -> None:
    eve = User.objects.create_user("eve", is_staff=True)
    audit.write(eve, "saw", study, study)
    admin_client.post(reverse("admin:auth_user_delete", args=[eve.pk]), {"post": "yes"})
    study.endpoints.clear()
    study.delete()
    assert noted(actor_name="eve", verb="saw") == 1
    assert noted(verb="deleted", object_type="auth.user") == 1
    assert admin_client.get(list_url(AuditEntry)).status_code == 200
    assert admin_client.get(reverse("admin:surveys_auditentry_export", args=["csv"])).status_code


def exported(client: Client, form: str, query: str = "") -> str:
    response: Any = client.get(reverse("admin:surveys_auditentry_export", args=[form]) + query)
    assert response.status_code == 200
    return b"".join(response.streaming_content).decode()


def test_it_is_taken_away_with_its_filters(admin_client: Client, study: Study) -> None:
    audit.write("=HYPERLINK()", "saw", study, study, rows=[1, 2])
    audit.write("somebody", "purged", study, study)
    rows = list(csv.DictReader(io.StringIO(exported(admin_client, "csv"))))
    assert [row["verb"] for row in rows] == ["signed in", "saw", "purged", "exported"]
    assert rows[1]["actor"] == "'=HYPERLINK()"
    assert json.loads(rows[1]["details"]) == {"rows": [1, 2]}
    found = [json.loads(line) for line in exported(admin_client, "jsonl", "?verb=saw").splitlines()]
    assert [(row["verb"], row["study"], row["actor"]) for row in found] == [
        ("saw", "prism", "=HYPERLINK()")
    ]
    missing = reverse("admin:surveys_auditentry_export", args=["xlsx"])
    assert admin_client.get(missing).status_code == 404


def test_ones_own_studies_log_alone(study: Study) -> None:
    audit.write("somebody", "saw", study, study)
    audit.write("somebody", "saw", User, None)
    other = Study.objects.get(pk=study.pk)
    other.pk, other.slug = None, "other"
    other.save()
    audit.write("somebody", "purged", other, other)
    ada = User.objects.create_user("ada", is_staff=True)
    Membership.objects.create(user=ada, study=study, role="researcher")
    client = Client()
    client.force_login(ada)
    lines = [json.loads(line) for line in exported(client, "jsonl").splitlines()]
    assert [(row["verb"], row["study"]) for row in lines] == [("saw", "prism")]
