"""The API from end to end, and each refusal."""

from typing import Any

import pytest
from django.contrib.auth.models import Permission, User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from collection.api import base, throttle
from collection.models import ApiWrite, ModelEndpoint, Review
from surveys import access, tokens
from surveys.models import AuditEntry, Membership, Participant, QuotaTable, Study
from tests import export_cast
from tests.api import Program, member
from tests.walk import Person

pytestmark = pytest.mark.django_db

CSV = "gender,target\nfemale,5\nmale,5\n"


@pytest.fixture
def researcher(study: Study) -> User:
    user = member(study, "researcher", "ada")
    user.user_permissions.add(Permission.objects.get(codename="add_study"))
    return User.objects.get(pk=user.pk)


@pytest.fixture
def ada(researcher: User) -> Program:
    return Program(researcher)


def handed_in(study: Study) -> Participant:
    person = export_cast.make_person(study)
    person.completed_at = timezone.now()
    person.save()
    return person


def test_it_works(ada: Program, study: Study) -> None:
    """From a draft to a decision, without the desk."""
    made = ada.post("studies/", {"slug": "mine", "preset": "quick-pilot", "title": "Mine"})
    assert (made["study"]["state"], made["study"]["protocol"]["name"]) == ("draft", "quick-pilot")
    names = [row["long_name"] for row in ada.get("endpoints/")["results"]]
    changed = ada.patch("studies/mine/", {"endpoints": names[:4], "budget_usd": 12.5})
    assert (changed["endpoints"], changed["budget_usd"]) == (names[:4], 12.5)
    table = ada.post("studies/mine/quotas/", {"name": "Gender", "csv": CSV, "total": 10})
    assert [cell["left"] for cell in table["cells"]] == [5, 5]
    findings = ada.get("studies/mine/check/")["findings"]
    assert {row["level"] for row in findings} <= {"ok", "warn", "stop"}
    assert ada.get("studies/prism/progress/")["funnel"][0]["people"] == 0
    person = handed_in(study)
    (row,) = ada.get("studies/prism/submissions/?state=awaiting")["results"]
    assert (row["participant"], row["seen"]) == (person.pk, 0)
    said = {"decision": "reject", "reason": "Copied.", "seen": 0}
    review = ada.post(f"studies/prism/submissions/{person.pk}/decisions/", said)
    assert (review["decision"], review["reviewer"]) == ("reject", "ada")
    person.refresh_from_db()
    assert person.rejected_at is not None
    assert ada.post("studies/prism/state/", {"step": "pause"})["state"] == "paused"
    noted = AuditEntry.objects.filter(details__token=ada.token.prefix)
    assert set(noted.values_list("verb", flat=True)) == {"added", "changed", "decided"}


# Who may


def test_who_has_no_token_is_nobody(study: Study) -> None:
    response = Client().get("/api/v1/studies/")
    assert (response.status_code, response["WWW-Authenticate"]) == (401, "Bearer")
    assert response.json()["code"] == "signed_out"


@pytest.mark.parametrize("end", ["mistyped", "revoked", "expired", "inactive"])
def test_a_token_that_opens_nothing(ada: Program, end: str) -> None:
    if end == "mistyped":
        ada.secret += "x"
    elif end == "revoked":
        tokens.revoke(ada.token)
    elif end == "expired":
        type(ada.token).objects.update(expires_at=timezone.now())
    else:
        User.objects.update(is_active=False)
    assert ada.refused(401, "GET", "studies/")["code"] == "token"


def test_a_token_stays_within_scopes_role_and_study(study: Study, researcher: User) -> None:
    reader = Program(researcher, "see")
    assert "“read”" in reader.refused(403, "GET", "studies/prism/participants/")["message"]
    assert reader.refused(403, "POST", "studies/", {"slug": "x"})["code"] == "not_allowed"
    Membership.objects.update(role="read_only")
    whole = Program(User.objects.get(pk=researcher.pk))
    assert whole.refused(403, "POST", "studies/prism/state/", {"step": "close"})
    assert whole.refused(403, "GET", "studies/prism/live/")
    other = Study.objects.get(pk=study.pk)
    other.pk, other.slug = None, "other"
    other.save()
    assert whole.refused(404, "GET", "studies/other/")["code"] == "not_found"
    elsewhere = Program(User.objects.get(pk=researcher.pk), study=other)
    assert elsewhere.refused(404, "GET", "studies/prism/")
    assert elsewhere.get("studies/")["results"] == []
    assert elsewhere.get("endpoints/")["results"] == []


def test_lists_agree_with_what_a_token_may(study: Study) -> None:
    """`token_studies` and `token_may` are one rule, said for many and for one."""
    for role in access.Role.values:
        user = member(study, role)
        for scope in access.TOKEN_VERBS:
            token = Program(user, scope).token
            for verb in access.VERBS:
                listed = access.token_studies(token, verb).filter(pk=study.pk).exists()
                assert listed == access.token_may(token, verb, study)


def test_the_desks_session_serves_too_and_needs_the_csrf_token(
    study: Study, researcher: User
) -> None:
    client = Client(enforce_csrf_checks=True)
    client.force_login(researcher)
    assert client.get("/api/v1/account/").json()["token"] is None
    sent: Any = {"data": '{"step": "pause"}', "content_type": "application/json"}
    assert client.post("/api/v1/studies/prism/state/", **sent).status_code == 403
    client.get("/admin/login/")
    client.get("/admin/password_change/")
    cookie = client.cookies["csrftoken"].value
    header = {"X-CSRFToken": cookie}
    assert client.post("/api/v1/studies/prism/state/", headers=header, **sent).status_code == 200


def test_an_api_client_has_no_session(study: Study) -> None:
    client = Client()
    client.force_login(member(study))
    assert client.get("/api/v1/studies/").json()["results"] == []
    assert client.get("/api/v1/studies/prism/").status_code == 404


def test_too_many_requests(ada: Program, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(throttle, "RATE", 2)
    monkeypatch.setattr(throttle, "now_s", lambda: 6_000_000_015.0)
    for _twice in range(2):
        ada.get("account/")
    response = ada.ask("GET", "account/")
    assert (response.status_code, response["Retry-After"]) == (429, "45")
    assert response.json()["code"] == "too_many"
    monkeypatch.setattr(throttle, "now_s", lambda: 6_000_000_060.0)
    ada.get("account/")


# What is shown


def test_participants_are_numbers(ada: Program, study: Study) -> None:
    alice = Person(study, PROLIFIC_PID="alice-pid", STUDY_ID="s1", SESSION_ID="alice-session")
    alice.ready()
    row = alice.row
    shown = ada.get("studies/prism/participants/?stage=conversations")["results"]
    assert [one["id"] for one in shown] == [row.pk]
    for text in (str(shown), str(ada.get(f"studies/prism/participants/{row.pk}/"))):
        assert not any(secret in text for secret in ("alice", row.key, str(row.seed)))
    assert ada.get("studies/prism/participants/?stage=done")["results"] == []
    assert ada.refused(404, "GET", f"studies/prism/participants/{row.pk + 1}/")


def test_no_key_leaves(ada: Program, study: Study, settings: Any) -> None:
    settings.MODEL_KEYS = {"ACME": "sk-secret"}
    ModelEndpoint.objects.update(key_name="ACME", api_base="http://10.0.0.7:9/v1")
    one = study.endpoints.earliest("pk")
    for path in ("endpoints/", f"endpoints/{one.pk}/", "studies/prism/", "studies/prism/progress/"):
        text = str(ada.get(path))
        assert not any(word in text for word in ("sk-secret", "ACME", "10.0.0.7"))
    assert study.completion_code not in str(ada.get("studies/prism/"))


def test_pages_follow_each_other(ada: Program, study: Study) -> None:
    people = [export_cast.make_person(study).pk for _i in range(5)]
    seen, path = [], "studies/prism/participants/?limit=2&is_pilot=false"
    while path:
        answer = ada.get(path)
        seen.append([row["id"] for row in answer["results"]])
        path = (answer["next"] or "").partition("/api/v1/")[2]
    assert seen == [people[:2], people[2:4], people[4:]]


@pytest.mark.parametrize(
    "path",
    ["studies/", "endpoints/", *(f"studies/prism/{n}/" for n in ("participants", "submissions"))],
)
def test_a_longer_list_takes_no_more_queries(ada: Program, study: Study, path: str) -> None:
    def queries() -> int:
        with CaptureQueriesContext(connection) as found:
            ada.get(path)
        return len(found)

    handed_in(study)
    ada.post("studies/", {"slug": "first"})
    queries()
    few = queries()
    for number in range(3):
        handed_in(study)
        ada.post("studies/", {"slug": f"more-{number}"})
    export_cast.make_endpoint("a").studies.add(study)
    assert queries() == few


@pytest.mark.parametrize(
    "query", ["limit=0", "limit=many", "cursor=x", "stage=lost", "stages=done", "stage=%00"]
)
def test_a_query_that_is_not_understood(ada: Program, query: str) -> None:
    said = ada.refused(400, "GET", f"studies/prism/participants/?{query}")
    assert list(said["fields"]) == [query.partition("=")[0]]


# What is sent


def test_a_study_from_another_studys_file(ada: Program, study: Study) -> None:
    file = ada.ask("GET", "studies/prism/design/").content.decode()
    made = ada.post("studies/", {"slug": "again", "file": file})["study"]
    assert made["endpoints"] == sorted(study.endpoints.values_list("long_name", flat=True))
    said = ada.refused(400, "POST", "studies/", {"slug": "third", "file": "refract: 2"})
    assert any("refract" in line for line in said["fields"]["file"])
    both = {"slug": "third", "file": file, "preset": "prism"}
    assert list(ada.refused(400, "POST", "studies/", both)["fields"]) == ["file"]
    assert not Study.objects.filter(slug="third").exists()


def test_a_slug_is_taken_once(ada: Program) -> None:
    assert ada.refused(409, "POST", "studies/", {"slug": "prism"})["code"] == "slug"


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"titel": "x"}, "titel"),
        ({"title": 12}, "title"),
        ({"title": ""}, "title"),
        ({"title": "x\udc00"}, "all"),
        ({"budget_usd": -1}, "budget_usd"),
        ({"budget_usd": "12"}, "budget_usd"),
        ({"protocol": {"name": "x", "min_turns": 0}}, "protocol"),
        ({"protocol": {"name": "x", "turns": 3}}, "protocol"),
        ({"endpoints": ["nobody/knows"]}, "endpoints"),
        ({"instrument": "f" * 64}, "instrument"),
        ({"consent": {"version": "1"}}, "consent"),
        ({"contact_email": "ada"}, "contact_email"),
        ([], "all"),
    ],
)
def test_settings_that_cannot_be(ada: Program, study: Study, body: Any, field: str) -> None:
    Study.objects.update(state="draft")
    said = ada.refused(400, "PATCH", "studies/prism/", body)
    assert list(said["fields"] or ["all"]) == [field]
    fresh = Study.objects.get(pk=study.pk)
    assert (fresh.title, fresh.protocol_json) == (study.title, study.protocol_json)


def test_a_draft_is_changed_by_one_at_a_time(ada: Program, study: Study) -> None:
    assert ada.refused(409, "PATCH", "studies/prism/", {"title": "X"})["code"] == "not_draft"
    Study.objects.update(state="draft")
    seen = ada.get("studies/prism/")["mark"]
    fresh = ada.patch("studies/prism/", {"title": "Mine", "budget_usd": 5, "mark": seen})["mark"]
    theirs = {"title": "Theirs", "mark": seen}
    assert ada.refused(409, "PATCH", "studies/prism/", theirs)["code"] == "changed"
    assert ada.get("studies/prism/")["title"] == "Mine"
    assert ada.patch("studies/prism/", {"title": "Theirs", "mark": fresh})["title"] == "Theirs"


def test_a_step_that_cannot_be_taken(ada: Program, study: Study) -> None:
    refused = ada.refused(409, "POST", "studies/prism/state/", {"step": "open_pilot"})
    assert refused["code"] == "step"
    ada.post("studies/prism/state/", {"step": "pause"})
    ada.post("studies/prism/state/", {"step": "pause"})
    assert study.state_changes.count() == 1
    study.endpoints.clear()
    said = ada.refused(409, "POST", "studies/prism/state/", {"step": "resume"})
    assert said["code"] == "not_ready"


def test_a_table_is_stored_once_or_not_at_all(ada: Program, study: Study) -> None:
    sent = {"name": "Gender", "csv": CSV, "total": 10}
    first, second = (ada.post("studies/prism/quotas/", sent) for _twice in range(2))
    assert first["id"] == second["id"]
    bad = {"name": "Bad", "csv": "gender,target\nfemale,many\nalien,3\n"}
    said = ada.refused(400, "POST", "studies/prism/quotas/", bad)["fields"]["csv"]
    assert ("Line 2, column 2" in said[0], "Line 3, column 1" in said[1]) == (True, True)
    assert QuotaTable.objects.count() == 1
    path = f"studies/prism/quotas/{first['id']}/"
    more = sent | {"csv": CSV.replace("5", "6"), "total": 12, "version": first["version"]}
    assert [cell["target"] for cell in ada.put(path, more)["cells"]] == [6, 6]
    late = sent | {"csv": CSV.replace("5", "7"), "total": 14, "version": first["version"]}
    assert ada.refused(409, "PUT", path, late)["code"] == "changed"
    assert ada.refused(404, "PUT", "studies/prism/quotas/999/", late)
    assert [cell["target"] for cell in ada.get(path)["cells"]] == [6, 6]


def test_a_decision_knows_what_it_decides(ada: Program, study: Study) -> None:
    person = handed_in(study)
    path = f"studies/prism/submissions/{person.pk}/decisions/"
    assert ada.refused(409, "POST", path, {"decision": "reject"})["code"] == "reason"
    first = ada.post(path, {"decision": "approve", "seen": 0})
    assert ada.post(path, {"decision": "approve", "seen": 0})["id"] == first["id"]
    late = {"decision": "return", "reason": "Too short.", "seen": 0}
    assert ada.refused(409, "POST", path, late)["code"] == "changed"
    assert [row["id"] for row in ada.get(path[:-10])["decisions"]] == [first["id"]]
    nobody = export_cast.make_person(study)
    path = f"studies/prism/submissions/{nobody.pk}/decisions/"
    assert ada.refused(404, "POST", path, {"decision": "approve"})


# Once


def test_what_is_sent_twice_is_done_once(ada: Program, study: Study) -> None:
    body, key = {"slug": "mine"}, {"Idempotency-Key": "k-1"}
    first = ada.ask("POST", "studies/", body, **key)
    again = ada.ask("POST", "studies/", body, **key)
    assert (first.status_code, again.status_code) == (201, 201)
    assert first.json() == again.json()
    assert (first.headers.get("Idempotency-Replayed"), again["Idempotency-Replayed"]) == (
        None,
        "true",
    )
    assert Study.objects.filter(slug="mine").count() == 1
    other = ada.refused(409, "POST", "studies/", {"slug": "other"}, **key)
    assert other["code"] == "key_used"
    step = ada.refused(409, "POST", "studies/mine/state/", body, **key)
    assert step["code"] == "key_used"


def test_a_refusal_may_be_mended_under_the_same_key(ada: Program, study: Study) -> None:
    person, key = handed_in(study), {"Idempotency-Key": "k-2"}
    path = f"studies/prism/submissions/{person.pk}/decisions/"
    ada.refused(409, "POST", path, {"decision": "reject"}, **key)
    assert ApiWrite.objects.count() == 0
    ada.post(path, {"decision": "reject", "reason": "Copied."}, **key)
    assert Review.objects.count() == 1


def test_a_key_is_one_tokens_own_and_outlives_no_right(ada: Program, researcher: User) -> None:
    key = {"Idempotency-Key": "k-3"}
    ada.post("studies/", {"slug": "mine"}, **key)
    Program(researcher).post("studies/", {"slug": "ours"}, **key)
    researcher.user_permissions.clear()
    assert ada.refused(403, "POST", "studies/", {"slug": "mine"}, **key)
    assert ada.refused(403, "POST", "studies/", {"slug": "mine"}, **{"Idempotency-Key": " "})


@pytest.mark.parametrize("key", ["two words", "é", "x" * 101])
def test_a_key_that_cannot_be_kept(ada: Program, key: str) -> None:
    said = ada.refused(400, "POST", "studies/", {"slug": "mine"}, **{"Idempotency-Key": key})
    assert list(said["fields"]) == ["Idempotency-Key"]


# Bodies and addresses


@pytest.mark.parametrize(
    ("kind", "body", "number", "code"),
    [
        ("application/json", "{", 400, "malformed"),
        ("application/json", b"\xff", 400, "malformed"),
        ("application/json", '{"slug": NaN}', 400, "malformed"),
        ("application/json", '{"slug": "\\u0000"}', 400, "malformed"),
        ("application/json", '{"slug": "\\ud800"}', 400, "malformed"),
        ("application/json", "[" * 100_000, 400, "malformed"),
        ("application/json", "9" * 5_000, 400, "malformed"),
        ("text/plain", "slug", 415, "media_type"),
    ],
)
def test_a_body_that_is_no_json(ada: Program, kind: str, body: str, number: int, code: str) -> None:
    headers = {"Authorization": f"Bearer {ada.secret}"}
    response = ada.client.post("/api/v1/studies/", body, content_type=kind, headers=headers)
    assert (response.status_code, response.json()["code"]) == (number, code)


def test_a_body_that_is_too_long(ada: Program, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(base, "LONGEST", 100)
    assert ada.refused(413, "POST", "studies/", {"slug": "x" * 100})["code"] == "too_large"


def test_addresses_that_are_none(ada: Program) -> None:
    for path in ("", "studies", "nowhere/", "studies/prism/nowhere/"):
        assert ada.refused(404, "GET", path)["code"] == "not_found"
    assert ada.refused(405, "PUT", "studies/", {})["code"] == "method"
    assert ada.ask("PUT", "studies/", {})["Allow"] == "GET, HEAD, POST"
