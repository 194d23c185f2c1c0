"""Who gets where: every address as every role, as a participant and as nobody.

An address without an expectation fails the walk: whoever adds one says here who may open it.
"""

import itertools
import re
from collections.abc import Iterator
from datetime import timedelta
from http.cookies import SimpleCookie
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from django.apps import apps
from django.contrib import admin
from django.contrib.auth.models import AnonymousUser, Group, User
from django.db import transaction
from django.test import Client
from django.urls import URLPattern, URLResolver, get_resolver, reverse
from django.utils import timezone

from collection.models import (
    Description,
    Interaction,
    ModelEndpoint,
    ProviderLimit,
    Release,
    ReplyReport,
    Utterance,
)
from surveys import access, audit, tokens
from surveys.access import ROLES, VERBS, Role
from surveys.instruments.load import keep
from surveys.models import (
    ApiToken,
    Decline,
    Delivery,
    Instrument,
    Membership,
    Participant,
    QuotaTable,
    Recruitment,
    Study,
    Submission,
    WithdrawalReceipt,
)
from tests.admin_pages import study_form
from tests.drafts import page, parsed
from tests.walk import Person

pytestmark = pytest.mark.django_db

MARK = "zebra-crossing"
"""Stands in whatever a participant of the study wrote, and in the names of its models."""

MEMBERS = {"read_only", "reviewer", "researcher", "owner"}
SEE = {*MEMBERS, "admin"}
CHANGE = {"researcher", "owner", "admin"}
REVIEW = {"reviewer", *CHANGE}
OWNER = {"owner", "admin"}
ADMIN = {"admin"}
STRANGER = {"stranger"}
"""Owner of another study, who sees lists without a row of this one."""
STAFF = {*SEE, *STRANGER, "staff", "api_client"}
OUTSIDERS = {"staff", "stranger", "api_client", "nobody"}
ACTORS = [*sorted(STAFF), "participant", "nobody"]
NONE: set[str] = set()


class Rows(NamedTuple):
    """Who may open the pages of a model at the desk. Rows are those of the study."""

    view: set[str]
    add: set[str] = NONE
    change: set[str] = NONE
    delete: set[str] = NONE
    lists: set[str] = STRANGER
    """Who else may open the list."""
    adds: set[str] = NONE
    """Who else may add one."""


MODELS = {
    "surveys_study": Rows(SEE, ADMIN, CHANGE, OWNER),
    "surveys_participant": Rows(SEE),
    "surveys_response": Rows(SEE),
    "surveys_problemreport": Rows(SEE),
    "surveys_decline": Rows(SEE),
    "surveys_consenttext": Rows(SEE),
    "surveys_withdrawalreceipt": Rows(SEE),
    "surveys_instrument": Rows(SEE | STRANGER, CHANGE | STRANGER),
    "surveys_membership": Rows(OWNER, OWNER, OWNER, OWNER, adds=STRANGER),
    "surveys_apitoken": Rows(
        OWNER, SEE | STRANGER | {"api_client"}, lists=SEE | STRANGER | {"api_client"}
    ),
    "surveys_auditentry": Rows(CHANGE),
    "surveys_recruitment": Rows(SEE, CHANGE, CHANGE, adds=STRANGER),
    "surveys_submission": Rows(SEE),
    "surveys_delivery": Rows(SEE),
    "surveys_quotatable": Rows(SEE, CHANGE, CHANGE, OWNER, adds=STRANGER),
    "collection_conversation": Rows(SEE),
    "collection_utterance": Rows(SEE),
    "collection_modelcall": Rows(SEE),
    "collection_feedback": Rows(SEE),
    "collection_replyreport": Rows(SEE),
    "collection_modelendpoint": Rows(SEE, CHANGE, CHANGE, CHANGE, adds=STRANGER),
    "collection_providerlimit": Rows(ADMIN, ADMIN, ADMIN, ADMIN, NONE),
    "auth_user": Rows(ADMIN, ADMIN, ADMIN, ADMIN, NONE),
    "auth_group": Rows(ADMIN, ADMIN, ADMIN, ADMIN, NONE),
}

DESK: dict[str, tuple[str, set[str]]] = {
    "desk": ("GET", STAFF),
    "admin:index": ("GET", STAFF),
    "admin:search": ("GET", STAFF),
    "admin:logout": ("POST", STAFF),
    "admin:password_change": ("GET", STAFF),
    "admin:password_change_done": ("GET", STAFF),
    "admin:autocomplete": ("GET", NONE),
    "admin:jsi18n": ("GET", STAFF),
    "admin:view_on_site": ("GET", STAFF),
    "admin:app_list": ("GET", SEE | STRANGER | {"api_client"}),
    "admin:auth_user_password_change": ("GET", ADMIN),
    "admin:surveys_instrument_compare": ("GET", SEE | STRANGER),
    "admin:surveys_instrument_preview": ("GET", SEE | STRANGER),
    "admin:surveys_instrument_preview_end": ("GET", SEE | STRANGER),
    "admin:surveys_instrument_preview_page": ("GET", SEE | STRANGER),
    "admin:surveys_instrument_preview_frame": ("GET", SEE | STRANGER),
    "admin:surveys_instrument_vouch": ("POST", CHANGE | STRANGER),
    "admin:surveys_participant_withdraw": ("GET", CHANGE),
    "admin:surveys_auditentry_export": ("GET", CHANGE | STRANGER),
    "admin:surveys_apitoken_revoke": ("POST", OWNER),
    "admin:surveys_study_review": ("GET", SEE),
    "admin:surveys_study_review_one": ("GET", SEE),
    "admin:surveys_study_review_decide": ("POST", REVIEW),
    "admin:surveys_study_review_approve": ("POST", REVIEW),
    "admin:surveys_study_review_check": ("POST", REVIEW),
    "admin:surveys_study_watch": ("GET", SEE),
    "admin:surveys_study_coding": ("GET", SEE),
    "admin:surveys_study_coding_plan": ("POST", CHANGE),
    "admin:surveys_study_coding_suggest": ("POST", CHANGE),
    "admin:surveys_study_coding_csv": ("GET", CHANGE),
    "admin:surveys_study_coding_list": ("GET", SEE),
    "admin:surveys_study_coding_judge": ("GET", REVIEW),
    "admin:surveys_study_coding_settle": ("GET", REVIEW),
    "admin:surveys_study_coding_again": ("POST", REVIEW),
    "admin:surveys_study_personal": ("GET", SEE),
    "admin:surveys_study_personal_scan": ("POST", REVIEW),
    "admin:surveys_study_personal_one": ("GET", REVIEW),
    "admin:surveys_study_metadata": ("GET", SEE),
    "admin:surveys_study_detect": ("POST", CHANGE),
    "admin:surveys_study_moderator": ("POST", CHANGE),
    "admin:surveys_study_subsets": ("GET", SEE),
    "admin:surveys_study_census": ("POST", CHANGE),
    "admin:surveys_study_releases": ("GET", SEE),
    "admin:surveys_study_statement": ("GET", CHANGE),
    "admin:surveys_study_release": ("GET", SEE),
    "admin:surveys_study_release_do": ("POST", CHANGE),
    "release-zip": ("GET", CHANGE),
    "admin:surveys_study_step": ("POST", CHANGE),
    "admin:surveys_study_check": ("GET", SEE),
    "admin:surveys_study_versions": ("GET", SEE),
    "admin:surveys_study_copy": ("POST", ADMIN),
    "admin:surveys_study_file": ("GET", SEE),
    "admin:surveys_study_begin": ("GET", ADMIN),
    "admin:surveys_study_from_file": ("GET", ADMIN),
    "admin:surveys_study_load_models": ("POST", CHANGE),
    "admin:surveys_study_set_up": ("GET", CHANGE),
    "admin:collection_modelendpoint_load": ("POST", CHANGE | STRANGER),
    "admin:surveys_recruitment_study": ("GET", SEE),
    "admin:surveys_recruitment_table": ("GET", CHANGE),
    "admin:surveys_recruitment_dry_run": ("GET", SEE),
    "admin:surveys_recruitment_send": ("POST", CHANGE),
    "admin:surveys_recruitment_do": ("POST", CHANGE),
    "admin:surveys_recruitment_links": ("GET", CHANGE),
    "admin:surveys_submission_decide": ("POST", CHANGE | STRANGER),
    "admin:surveys_quotatable_study": ("GET", SEE),
    "admin:surveys_quotatable_live": ("GET", SEE),
    "admin:surveys_quotatable_upload": ("GET", CHANGE),
    "admin:surveys_quotatable_csv": ("GET", SEE),
    "admin:surveys_quotatable_targets": ("POST", CHANGE),
    "admin:collection_modelendpoint_try": ("POST", CHANGE),
    "two-factor": ("GET", STAFF),
    "two-factor-code": ("GET", STAFF),
    "export-all": ("GET", CHANGE),
    "export-file": ("GET", CHANGE),
    "metrics": ("GET", STAFF),
    "api-account": ("GET", STAFF),
    "api-studies": ("GET", STAFF),
    "api-study": ("GET", SEE),
    "api-study-state": ("POST", CHANGE),
    "api-study-check": ("GET", SEE),
    "api-study-versions": ("GET", SEE),
    "api-study-design": ("GET", SEE),
    "api-progress": ("GET", SEE),
    "api-quotas": ("GET", SEE),
    "api-quota": ("GET", SEE),
    "api-participants": ("GET", SEE),
    "api-participant": ("GET", SEE),
    "api-submissions": ("GET", SEE),
    "api-submission": ("GET", SEE),
    "api-decisions": ("POST", REVIEW),
    "api-live": ("GET", CHANGE),
    "api-releases": ("GET", SEE),
    "api-release": ("GET", SEE),
    "api-release-publish": ("POST", CHANGE),
    "api-release-archive": ("GET", CHANGE),
    "api-files": ("GET", CHANGE),
    "api-files-zip": ("GET", CHANGE),
    "api-file": ("GET", CHANGE),
    "api-endpoints": ("GET", STAFF),
    "api-endpoint": ("GET", SEE),
    "api-nowhere": ("GET", NONE),
    "prolific-webhook": ("POST", NONE),
}
PUBLIC = {
    *(
        "admin:login",
        "home",
        "instrument-schema",
        "arrive",
        "personal-link",
        "information",
        "declined",
        "receipt",
        "api-schema",
        "api-docs",
    ),
}
PARTICIPANT = {
    "your-data": "GET",
    "your-data-file": "GET",
    "withdraw": "POST",
    "consent": "GET",
    "decline": "GET",
    "survey-page": "GET",
    "draft": "POST",
    "set-language": "POST",
    "leave": "GET",
    "stop": "POST",
    "stopped": "GET",
    "screened": "GET",
    "problem": "POST",
    "done": "GET",
    "next": "GET",
    "instructions": "GET",
    "hub": "GET",
    "conversation": "GET",
    "live": "GET",
    "prompt": "POST",
    "again": "POST",
    "rate": "POST",
    "finish": "POST",
    "feedback": "GET",
    "report-reply": "POST",
}
"""Name -> method. Everybody else is sent to the study's front door."""

LEAD_ON = re.compile(r"^admin/(\w+)/(\w+)/<path:object_id>/$")
"""Old addresses of a row, which lead to its page."""


class Address(NamedTuple):
    name: str
    route: str


def addresses(
    resolver: URLResolver | None = None, before: str = "", space: str = ""
) -> Iterator[Address]:
    """All of the URLconf, with the whole route of each."""
    for entry in (resolver or get_resolver()).url_patterns:
        route = before + str(entry.pattern)
        if isinstance(entry, URLResolver):
            inner = f"{space}{entry.namespace}:" if entry.namespace else space
            yield from addresses(entry, route, inner)
        else:
            assert isinstance(entry, URLPattern)
            yield Address(f"{space}{entry.name}" if entry.name else route, route)


class Country(NamedTuple):
    """A study with a row of everything, and everybody who may come by."""

    study: Study
    clients: dict[str, Client]
    values: dict[str, Any]


@pytest.fixture
def country(study: Study, settings: Any, tmp_path: Path) -> Country:
    settings.SESSION_ENGINE = "django.contrib.sessions.backends.db"
    alice = Person(study, PROLIFIC_PID="alice").ready()
    alice.row.responses.create(question="self_description", value={"text": MARK})
    bob = Person(study, PROLIFIC_PID="bob").ready()
    Participant.objects.filter(pk=bob.row.pk).update(completed_at=timezone.now())
    alice.start()
    alice.prompt(0, MARK)
    alice.post("c/1/report/", {"position": 0, "reason": MARK})
    alice.rate(0, 20, 90, 40, 60)
    alice.prompt(1, MARK)
    alice.rate(1, 20, 90)
    alice.finish()
    alice.feedback(open_feedback=f"It was all about a {MARK}, from start to end.")
    alice.start("values guided")
    alice.prompt(0, MARK)
    alice.post("problem/", {"text": MARK, "from_page": "/"})
    ModelEndpoint.objects.update(model_family=MARK)
    for endpoint in ModelEndpoint.objects.all():
        ModelEndpoint.objects.filter(pk=endpoint.pk).update(long_name=f"{MARK}/{endpoint.pk}")
    Decline.objects.create(study=study, date=timezone.now().date(), source=MARK)
    WithdrawalReceipt.objects.create(study=study, code=MARK, by="participant")
    ProviderLimit.objects.create(provider_code="openai", max_concurrent=20)
    QuotaTable.objects.create(study=study, name="Gender", fields=["gender"])
    recruited(study)
    Description.objects.create(study=study, question="ethnicity", mark=MARK, text=MARK)
    Group.objects.create(name="group")
    users = accounts(study)
    tokens.issue(users["admin"], MARK, ["see"], study, timezone.now() + timedelta(days=1))
    audit.write(users["owner"], MARK, study, study)
    settings.RELEASES_DIR = tmp_path
    (tmp_path / "1.zip").touch()
    Release.objects.create(study=study, edition=1, state="ready", file_name="1.zip", asked_by=MARK)
    spanish = {"en": "Hello.", "es": "Hola."}
    talks = keep(
        parsed(page("hello", title=spanish, text=[spanish]), title=spanish, languages=["en", "es"])
    )
    clients = {name: signed_in(user) for name, user in users.items()}
    clients |= {"participant": alice.client, "nobody": Client()}
    values = {
        "slug": study.slug,
        "key": alice.row.key,
        "what": "approve",
        "page_code": study.instrument.file.pages[0].code,
        "number": 2,
        "name": "survey",
        "sha256": study.instrument.sha256,
        "code": study.instrument.file.pages[0].code,
        "form": "csv",
        "vouch": talks.pk,
        "users": users,
        "person": alice.row.pk,
        "question": "ethnicity",
        "kind": "prompt",
        "edition": 1,
        "patch": 0,
        "version": "1.0",
        "deed": "mend",
    }
    return Country(study, clients, values)


def recruited(study: Study) -> None:
    row = Recruitment.objects.create(study=study, kind="prolific", name="US", locale="us", places=9)
    Submission.objects.create(recruitment=row, external_id="1")
    Delivery.objects.create(recruitment=row, key="1", kind="create", next_try_at=timezone.now())


def accounts(study: Study) -> dict[str, User]:
    users = {name: User.objects.create_user(name, is_staff=True) for name in STAFF}
    User.objects.filter(username="admin").update(is_superuser=True)
    for role in Role.values:
        Membership.objects.create(user=users[role], study=study, role=role)
    other = Study.objects.get(pk=study.pk)
    other.pk, other.slug, other.title = None, "other", "Other"
    other.save()
    Membership.objects.create(user=users["stranger"], study=other, role=Role.OWNER)
    return {user.username: user for user in User.objects.all()}


def signed_in(user: User) -> Client:
    client = Client()
    client.force_login(user)
    return client


def path_of(address: Address, country: Country) -> str:
    route = address.route.replace("^", "").replace("$", "")
    if address.name == "admin:app_list":
        return reverse("admin:app_list", args=["surveys"])
    if address.name == "admin:view_on_site":
        return f"/admin/r/{content_type(Study)}/{country.study.pk}/"
    values = dict(country.values)
    if found := re.match(r"admin/(auth|surveys|collection)/(\w+)/", route):
        values["object_id"] = values["pk"] = values["id"] = row_of(found[1], found[2], country)
    if "/study/<int:pk>/" in route:
        values["pk"] = country.study.pk
    values["step"] = "check" if "set-up" in route else "pause"
    if "/review/" in route:
        values["person"] = Participant.objects.get(completed_at__isnull=False).pk
    if "/personal/" in route:
        values["key"] = Interaction.objects.earliest("pk").pk
    if address.name.startswith("api-"):
        rows = {"quota": QuotaTable, "endpoint": ModelEndpoint}
        kind = rows.get(address.name.removeprefix("api-"), Participant)
        only = {"completed_at__isnull": False} if kind is Participant else {}
        values["key"] = kind._default_manager.filter(**only).earliest("pk").pk
    if address.name.endswith("_vouch"):
        values["pk"] = values["vouch"]
    route = route.replace("(?P<url>.*)", "nowhere/").replace("api/.*", "api/nowhere/")
    path = re.sub(r"<(?:\w+:)?(\w+)>", lambda found: str(values[found[1]]), route)
    query = f"?old={values['sha256']}&new={values['sha256']}" if "compare" in path else ""
    query = f"?s={MARK}" if address.name == "admin:search" else query
    return f"/{path}{query}"


def content_type(model: type) -> int:
    from django.contrib.contenttypes.models import ContentType

    return ContentType.objects.get_for_model(model).pk


def row_of(app: str, model: str, country: Country) -> int:
    """A row of the study: of accounts, a participant in it would not do."""
    kind = apps.get_model(app, model)
    if kind is Participant:
        return int(country.values["person"])
    if kind is ReplyReport or kind is Utterance or kind is Instrument:
        return int(kind._default_manager.earliest("pk").pk)
    if kind is User:
        return int(country.values["users"]["staff"].pk)
    if kind is Membership:
        return int(Membership.objects.get(study=country.study, role="reviewer").pk)
    return int(kind._default_manager.earliest("pk").pk)


def expected(address: Address) -> list[tuple[str, dict[str, str], set[str]]]:
    """(method, fields, who gets in) of each way to ask. Raises KeyError where none is written."""
    name = address.name
    if name in DESK:
        method, who = DESK[name]
        fields = {
            "preset": "prism",
            "language": "es",
            "unit": str(Description.objects.values_list("pk", flat=True).first()),
            "reviewer": "Ada",
            "until": timezone.now().isoformat(),
        }
        return [(method, fields, who)]
    if name in PUBLIC:
        return [("GET", {}, {*ACTORS})]
    if name in PARTICIPANT:
        return [(PARTICIPANT[name], {}, {"participant"})]
    if found := LEAD_ON.match(address.route):
        rows = MODELS[f"{found[1]}_{found[2]}"]
        return [("GET", {}, STAFF)]  # to the page, which then decides
    if address.route == "admin/(?P<url>.*)$":
        return [("GET", {}, NONE)]
    model, _low, kind = name.removeprefix("admin:").rpartition("_")
    rows = MODELS[model]
    ways: dict[str, list[tuple[str, dict[str, str], set[str]]]] = {
        "changelist": [("GET", {}, rows.view | rows.lists)],
        "add": [("GET", {}, rows.add | rows.adds), ("POST", {}, rows.add | rows.adds)],
        "history": [("GET", {}, rows.view)],
        "change": [("GET", {}, rows.view), ("POST", {}, rows.change)],
        "delete": [("GET", {}, rows.delete), ("POST", {"post": "yes"}, rows.delete)],
    }
    return ways[kind]


def gets_in(response: Any) -> bool:
    """Neither refused, nor sent to the login, the desk's front page or the study's front door."""
    if response.status_code in (401, 403, 404):
        return False
    assert response.status_code < 500
    away = (reverse("admin:login"), reverse("admin:index"), "/s/prism/")
    to = response.headers.get("Location", "").partition("?")[0]
    return response.status_code not in (301, 302) or to not in away


def ask(client: Client, method: str, path: str, fields: dict[str, str]) -> Any:
    """The response; whatever it changed is undone."""
    cookies = SimpleCookie(client.cookies)
    point = transaction.savepoint()
    response = client.get(path) if method == "GET" else client.post(path, fields)
    text = b"".join(response.streaming_content) if response.streaming else response.content  # type: ignore[attr-defined]
    response.seen = text.decode(errors="replace")  # type: ignore[attr-defined]
    transaction.savepoint_rollback(point)
    client.cookies = cookies
    return response


def test_every_address_has_an_expectation() -> None:
    unknown = []
    for address in addresses():
        try:
            expected(address)
        except KeyError:
            unknown.append(address.name)
    assert unknown == []


def test_every_expectation_is_of_an_address() -> None:
    names = {address.name for address in addresses()}
    assert {*DESK, *PUBLIC, *PARTICIPANT} - names == set()
    models = {f"{m._meta.app_label}_{m._meta.model_name}" for m in admin.site._registry}
    assert models == set(MODELS)


def test_every_address_lets_in_whom_it_should(country: Country) -> None:
    wrong, leaks, asked = [], [], 0
    for address, actor in itertools.product(addresses(), ACTORS):
        path = path_of(address, country)
        for method, fields, who in expected(address):
            response = ask(country.clients[actor], method, path, fields)
            asked += 1
            if address.name not in PUBLIC and gets_in(response) != (actor in who):
                wrong.append((actor, method, path, response.status_code))
            if actor in OUTSIDERS and MARK in response.seen and address.name != "personal-link":
                leaks.append((actor, path))
    assert "\n".join(map(str, wrong)) == ""
    assert leaks == []
    assert asked > 1000


def test_it_works(study: Study) -> None:
    users = accounts(study)
    for role, verbs in ROLES.items():
        granted = {verb for verb in VERBS if access.may(users[role], verb, study)}
        assert granted == (set() if role == Role.API_CLIENT else verbs)
    for name in ("staff", "stranger"):
        assert not any(access.may(users[name], verb, study) for verb in VERBS)
    assert access.may(users["admin"], "delete", study)
    assert not access.may(AnonymousUser(), "see", study)
    assert not access.may(users["owner"], "see", None)


def test_a_role_ends_with_the_account(study: Study) -> None:
    users = accounts(study)
    User.objects.filter(username__in=["owner", "admin"]).update(is_active=False)
    for name in ("owner", "admin"):
        left = User.objects.get(pk=users[name].pk)
        assert not access.may(left, "see", study)


def test_lists_and_filters_have_ones_own_alone(country: Country) -> None:
    client = country.clients["stranger"]
    listed = client.get(reverse("admin:surveys_study_changelist"))
    assert [row.slug for row in listed.context["cl"].result_list] == ["other"]
    people = reverse("admin:surveys_participant_changelist")
    for query in ("", "?stage=conversations", f"?q={country.values['person']}"):
        assert list(client.get(people + query).context["cl"].result_list) == []
        assert "PRISM" not in client.get(people + query).content.decode()
    ours = country.clients["reviewer"].get(reverse("admin:surveys_study_changelist"))
    assert [row.slug for row in ours.context["cl"].result_list] == ["prism"]


def test_a_model_in_two_studies_takes_the_right_to_change_both(country: Country) -> None:
    endpoint = country.study.endpoints.earliest("pk")
    endpoint.studies.add(Study.objects.get(slug="other"))
    url = reverse("admin:collection_modelendpoint_change", args=[endpoint.pk])
    stranger = country.clients["stranger"]
    seen = stranger.get(url)
    assert seen.status_code == 200
    assert ">prism<" not in seen.content.decode()  # the study; a hint names PRISM as a tag
    assert stranger.post(url, {"header": "Mine."}).status_code == 403
    rows = list(ModelEndpoint.objects.filter(studies__slug="other"))
    fields = {"form-TOTAL_FORMS": "1", "form-INITIAL_FORMS": "1", "_save": "Save"}
    fields |= {"form-0-id": str(rows[0].pk)}
    listed = reverse("admin:collection_modelendpoint_changelist")
    assert stranger.post(listed, fields).status_code == 403
    endpoint.refresh_from_db()
    assert endpoint.is_active


def test_who_begins_a_study_owns_it(country: Country) -> None:
    country.study.slug = "mine"
    client = country.clients["admin"]
    client.post(reverse("admin:surveys_study_add"), study_form(country.study))
    made = Membership.objects.get(study__slug="mine")
    assert (made.user.username, made.role) == ("admin", "owner")


# Roles


def role_form(study: Study, **changes: str) -> dict[str, Any]:
    return {"study": study.pk, "username": "staff", "role": "reviewer"} | changes


def test_an_owner_gives_and_takes_roles(country: Country) -> None:
    owner, add = country.clients["owner"], reverse("admin:surveys_membership_add")
    assert owner.post(add, role_form(country.study)).status_code == 302
    made = Membership.objects.get(user__username="staff")
    assert (made.study, made.role) == (country.study, "reviewer")
    again = owner.post(add, role_form(country.study))
    assert "has a role in the study already" in again.content.decode()
    change = reverse("admin:surveys_membership_change", args=[made.pk])
    owner.post(change, {"role": "read_only"})
    made.refresh_from_db()
    assert made.role == "read_only"
    assert country.clients["staff"].get(change).status_code == 403
    owner.post(reverse("admin:surveys_membership_delete", args=[made.pk]), {"post": "yes"})
    assert not Membership.objects.filter(user__username="staff").exists()


def test_roles_in_other_studies_are_not_ones_own_to_give(country: Country) -> None:
    add = reverse("admin:surveys_membership_add")
    refused = country.clients["stranger"].post(add, role_form(country.study))
    assert "Select a valid choice" in refused.content.decode()
    unknown = country.clients["owner"].post(add, role_form(country.study, username="who"))
    assert "There is no account with this name." in unknown.content.decode()
    assert not Membership.objects.filter(user__username="staff").exists()


def test_a_study_keeps_an_owner(country: Country) -> None:
    last = Membership.objects.get(study=country.study, role="owner")
    owner = country.clients["owner"]
    change = reverse("admin:surveys_membership_change", args=[last.pk])
    assert "keeps at least one owner" in owner.post(change, {"role": "reviewer"}).content.decode()
    delete = reverse("admin:surveys_membership_delete", args=[last.pk])
    shown = owner.post(delete, {"post": "yes"}, follow=True)
    assert "keeps at least one owner" in shown.content.decode()
    last.refresh_from_db()
    assert last.role == "owner"


# Tokens


def make_token(client: Client, study: Study | None, *scopes: str) -> tuple[ApiToken, str]:
    fields = {"name": "backup", "study": study.pk if study else "", "scopes": scopes, "days": 30}
    response = client.post(reverse("admin:surveys_apitoken_add"), fields)
    found = re.search(r"refract_[\w-]+", response.content.decode())
    assert found, response.content.decode()
    assert "no-store" in response["Cache-Control"]
    return ApiToken.objects.latest("pk"), found[0]


def test_a_token_is_shown_once_and_kept_as_a_hash(country: Country) -> None:
    client = country.clients["researcher"]
    token, secret = make_token(client, country.study, "see", "export")
    assert secret not in str(ApiToken.objects.values().get(pk=token.pk))
    assert secret.startswith(token.prefix)
    for url in ("changelist", "change"):
        args = [token.pk] if url == "change" else []
        shown = client.get(reverse(f"admin:surveys_apitoken_{url}", args=args)).content.decode()
        assert secret not in shown
        assert token.prefix in shown
    held = tokens.holder(secret)
    assert held == token
    assert held is not None
    assert held.last_used_at is not None


def test_a_token_does_what_its_scopes_and_its_account_may(country: Country) -> None:
    token, _secret = make_token(country.clients["researcher"], country.study, "see", "export")
    other = Study.objects.get(slug="other")
    held = ApiToken.objects.select_related("user").get(pk=token.pk)
    assert access.token_may(held, "export", country.study)
    assert not access.token_may(held, "change", country.study)
    assert not access.token_may(held, "see", other)
    Membership.objects.filter(user=held.user).update(role="reviewer")
    held = ApiToken.objects.select_related("user").get(pk=token.pk)
    assert access.token_may(held, "see", country.study)
    assert not access.token_may(held, "export", country.study)


def test_an_api_client_works_by_token_alone(country: Country) -> None:
    token, _secret = make_token(country.clients["api_client"], None, "see", "read")
    held = ApiToken.objects.select_related("user").get(pk=token.pk)
    assert access.token_may(held, "read", country.study)
    assert not access.may(held.user, "read", country.study)


@pytest.mark.parametrize("end", ["revoked", "expired", "left", "mistyped", "short", "nul"])
def test_a_token_that_opens_nothing(country: Country, end: str) -> None:
    client = country.clients["owner"]
    token, secret = make_token(client, country.study, "see")
    if end == "revoked":
        url = reverse("admin:surveys_apitoken_revoke", args=[token.pk])
        for _twice in range(2):
            assert client.post(url).status_code == 302
    elif end == "expired":
        ApiToken.objects.update(expires_at=timezone.now())
    elif end == "left":
        User.objects.filter(username="owner").update(is_active=False)
    else:
        secret = {"mistyped": secret[:-1] + "~", "short": "see", "nul": secret + "\x00"}[end]
    assert tokens.holder(secret) is None


def test_a_token_may_have_no_scope_of_an_owner(country: Country) -> None:
    fields = {"name": "x", "study": country.study.pk, "scopes": ["withdraw"], "days": 30}
    refused = country.clients["owner"].post(reverse("admin:surveys_apitoken_add"), fields)
    assert "Select a valid choice" in refused.content.decode()
    fields |= {"scopes": ["see"], "days": 4000, "study": Study.objects.get(slug="other").pk}
    refused = country.clients["owner"].post(reverse("admin:surveys_apitoken_add"), fields)
    assert "less than or equal to 366" in refused.content.decode()
    assert "Select a valid choice" in refused.content.decode()
