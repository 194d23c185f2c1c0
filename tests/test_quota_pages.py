"""Quotas at the desk: upload, change, and the grid that fills by itself."""

import re
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from surveys.models import Membership, Participant, QuotaCell, QuotaClaim, QuotaTable, Study
from tests.cast import set_protocol
from tests.test_quotas import arrived, survey, table_of, words, you
from tests.walk import Person

__all__ = ["survey"]  # a fixture
pytestmark = pytest.mark.django_db

SETTINGS = {
    "name": "Gender",
    "others": "screen",
    "timeout_hours": "12",
    "payment": "£0.15",
    "completion_code": "FULL",
}


def url(name: str, pk: int) -> str:
    return reverse(f"admin:surveys_quotatable_{name}", args=[pk])


def seen(response: Any) -> str:
    return " ".join(response.content.decode().split())


def upload(client: Client, study: Study, text: str = "", **other: Any) -> Any:
    return client.post(url("upload", study.pk), SETTINGS | {"text": text} | other, follow=True)


def test_it_works(admin_client: Client, survey: Study) -> None:
    study_page = seen(admin_client.get(reverse("admin:surveys_study_change", args=[survey.pk])))
    assert url("study", survey.pk) in study_page
    assert "everybody who comes can take part" in seen(admin_client.get(url("study", survey.pk)))
    assert "Add a table" in seen(admin_client.get(url("study", survey.pk)))
    shown = seen(upload(admin_client, survey, "gender,home,target\nfemale,GBR,2\nmale,GBR,1\n"))
    assert "United Kingdom" in shown
    table = QuotaTable.objects.get()
    assert (table.name, table.others, table.timeout_hours, table.payment) == (
        "Gender",
        "screen",
        12,
        "£0.15",
    )
    you(arrived(survey))
    live = seen(admin_client.get(url("live", survey.pk)))
    assert '<td class="some" style="--f:0.50">1/2</td>' in live
    assert '<td class="none" style="--f:0.00">0/1</td>' in live
    assert "<html" not in live


def test_a_file_replaces_the_text(admin_client: Client, survey: Study) -> None:
    file = SimpleUploadedFile("t.csv", "\ufeffgender;share\nfemale;50\nmale;50\n".encode())
    upload(admin_client, survey, "gender,target\nother,1", file=file, total="7")
    cells = QuotaCell.objects.values_list("values", "target")
    assert list(cells) == [({"gender": ["female"]}, 4), ({"gender": ["male"]}, 3)]


@pytest.mark.parametrize(
    ("sent", "said"),
    [
        ({"text": "gender,target\nfemal,3"}, "Line 2, column 1: gender “femal”: expected one of"),
        ({"text": ""}, "The table is empty"),
        ({"text": "gender,target\nfemale,3", "total": "4"}, "add up to 3; expected 4"),
        ({"text": "gender,target\nfemale,3", "timeout_hours": "0"}, "greater than or equal to 1"),
        ({"text": "gender,target\nfemale,3", "name": ""}, "This field is required"),
        ({"file": SimpleUploadedFile("t.csv", b"\xff\xfe\x00g")}, "saved as UTF-8"),
        ({"text": "faith,target\nTea,3"}, "in their own words"),
    ],
)
def test_nothing_of_a_wrong_table_is_stored(
    admin_client: Client, survey: Study, sent: dict[str, Any], said: str
) -> None:
    response = upload(admin_client, survey, **sent)
    assert response.status_code == 422
    assert said in seen(response)
    assert not QuotaTable.objects.exists()
    if "text" in sent:
        assert sent["text"].replace("\n", " ") in seen(response)


def test_a_double_click_stores_one_table(admin_client: Client, survey: Study) -> None:
    for _click in range(2):
        assert upload(admin_client, survey, "gender,target\nfemale,3").status_code == 200
    assert QuotaTable.objects.count() == 1
    other = upload(admin_client, survey, "gender,target\nfemale,4")
    assert other.status_code == 422
    assert "has a table of this name" in seen(other)


def test_changing_lines_and_settings(admin_client: Client, survey: Study) -> None:
    table = table_of(survey, "gender,target\nfemale,3\nmale,3")
    page = seen(admin_client.get(url("change", table.pk)))
    assert "gender,target female,3 male,3" in page
    sent = SETTINGS | {"version": "1", "text": "gender,target\nfemale,8\nother | male,3"}
    admin_client.post(url("change", table.pk), sent)
    assert [(str(c), c.target) for c in table.cells.all()] == [("female", 8), ("male | other", 3)]
    late = admin_client.post(url("change", table.pk), sent | {"name": "Late"}, follow=True)
    assert "Somebody else has changed this table" in seen(late)
    assert QuotaTable.objects.get().name == "Gender"


def test_changing_targets_in_their_fields(admin_client: Client, survey: Study) -> None:
    table = table_of(survey, "gender,target\nfemale,3\nmale,3")
    cell = table.cells.all()[0]
    send = {"version": "1", f"target_{cell.pk}": "9"}
    admin_client.post(url("targets", table.pk), send)
    cell.refresh_from_db()
    assert cell.target == 9
    assert "Stored." in seen(admin_client.post(url("targets", table.pk), send, follow=True))
    bad = admin_client.post(
        url("targets", table.pk), {"version": "2", f"target_{cell.pk}": "many"}, follow=True
    )
    assert "“many”; expected a whole number of people" in seen(bad)
    old = {"version": "1", f"target_{cell.pk}": "1"}
    assert "Somebody else" in seen(admin_client.post(url("targets", table.pk), old, follow=True))
    cell.refresh_from_db()
    assert cell.target == 9


def test_a_line_that_people_hold_cannot_go(admin_client: Client, survey: Study) -> None:
    table = table_of(survey, "gender,target\nfemale,3\nmale,3")
    you(arrived(survey))
    sent = SETTINGS | {"version": "1", "text": "gender,target\nmale,3"}
    response = admin_client.post(url("change", table.pk), sent)
    assert response.status_code == 422
    assert "1 person holds a place that the new table does not have" in seen(response)
    assert table.cells.count() == 2


def test_it_comes_back_as_the_csv_that_it_was(admin_client: Client, survey: Study) -> None:
    csv = "gender,home,target\nfemale,DEU | GBR,3\nmale,*,2\n"
    table = table_of(survey, csv)
    response = admin_client.get(url("csv", table.pk))
    assert response.content.decode() == csv
    assert response["Content-Type"].startswith("text/csv")


def test_only_a_table_that_nobody_met_can_be_deleted(admin_client: Client, survey: Study) -> None:
    table = table_of(survey, "gender,target\nfemale,3")
    you(arrived(survey))
    assert admin_client.post(url("delete", table.pk), {"post": "yes"}).status_code == 403
    QuotaClaim.objects.all().delete()
    admin_client.post(url("delete", table.pk), {"post": "yes"})
    assert not QuotaTable.objects.exists()


def test_pilot_and_live_are_shown_apart(admin_client: Client, survey: Study) -> None:
    table_of(survey, "gender,home,target\nfemale,*,2\nmale,GBR,1")
    Study.objects.update(state="pilot")
    you(arrived(survey))
    Study.objects.update(state="live")
    pilot = seen(admin_client.get(url("live", survey.pk)))
    assert 'aria-current="page">Pilot' in pilot
    live = seen(admin_client.get(url("live", survey.pk) + "?people=live"))
    assert 'aria-current="page">Participants' in live
    assert '<span class="fill some" style="--f:0.50">1</span>' in pilot
    assert '<span class="fill some"' not in live


def test_the_live_grid_asks_little_however_much_there_is(
    admin_client: Client, survey: Study
) -> None:
    def queries() -> int:
        with CaptureQueriesContext(connection) as captured:
            assert admin_client.get(url("live", survey.pk)).status_code == 200
        return len(captured)

    table = table_of(survey, "gender,target\nfemale,3\nmale,3")
    queries()
    few = queries()
    for name in ("Two", "Three"):
        table_of(survey, "home,target\n" + "".join(f"{c},4\n" for c in CODES), name=name)
    people = Participant.objects.bulk_create(
        Participant(study=survey, instrument=survey.instrument) for _person in range(50)
    )
    QuotaClaim.objects.bulk_create(
        QuotaClaim(
            participant=person,
            table=table,
            cell=table.cells.all()[number % 2],
            people="live",
            state="claimed",
            claimed_at=timezone.now(),
        )
        for number, person in enumerate(people)
    )
    assert queries() == few
    assert few <= 9  # session and account, second proof, the study, who came, counts, tables, cells


CODES = ("GBR", "USA", "DEU", "FRA", "ZAF", "MEX", "CHL", "NZL")


def test_strangers_and_those_who_may_not(client: Client, survey: Study) -> None:
    table = table_of(survey, "gender,target\nfemale,3")
    addresses = [url(name, survey.pk) for name in ("study", "live", "upload")]
    addresses += [url(name, table.pk) for name in ("change", "csv", "targets", "delete")]
    for address in addresses:
        assert client.get(address).status_code == 302
        assert client.post(address).status_code in (302, 405)
    reader = User.objects.create_user("reader", is_staff=True)
    client.force_login(reader)
    for address in addresses:
        if address != url("targets", table.pk):  # which only sends on
            assert client.get(address).status_code in (403, 404)
    Membership.objects.create(user=reader, study=survey, role="read_only")
    client.force_login(User.objects.get(pk=reader.pk))
    assert "Add a table" not in seen(client.get(url("study", survey.pk)))
    assert client.get(url("change", table.pk)).status_code == 200
    for name, pk in (("upload", survey.pk), ("change", table.pk), ("targets", table.pk)):
        assert client.post(url(name, pk), SETTINGS).status_code == 403
    assert client.get(url("study", 0)).status_code == 404
    assert client.get(url("change", 999)).status_code == 404


def test_the_list_of_all_tables(admin_client: Client, survey: Study) -> None:
    table_of(survey, "gender,target\nfemale,3\nmale,4")
    shown = seen(admin_client.get(reverse("admin:surveys_quotatable_changelist")))
    assert re.search(r'class="[^"]*field-places[^"]*"[^>]*> ?7 ?<', shown)
    added = admin_client.get(reverse("admin:surveys_quotatable_add"), follow=True)
    assert "Choose the study" in seen(added)


def test_nobody_s_answers_are_on_the_page(admin_client: Client, survey: Study) -> None:
    table_of(survey, "link.gender,target\nfemale,3\nmale,3", others="screen")
    person = arrived(survey, gender="secret-gender")
    words(person)
    assert "secret-gender" not in seen(admin_client.get(url("study", survey.pk)))


def test_conversation_types_are_on_the_page(admin_client: Client, study: Study) -> None:
    set_protocol(study, conversations_in_all={"unguided": 2, "odd": 1})
    alice = Person(study, PROLIFIC_PID="alice").ready()
    alice.converse("unguided")
    alice.start("values guided")
    Person(study, PROLIFIC_PID="bea").ready().start("unguided")
    shown = seen(admin_client.get(url("study", study.pk)))
    numbers = re.findall(r'class="num">(?:<span[^>]*>)?(\d+)', shown.partition("Unguided")[2])
    assert numbers[:5] == ["2", "2", "1", "1", "0"]
    assert "the questionnaire has no type “odd”" in shown
