"""A study that was imported: it can be looked at from every side, and nothing of it changes."""

import re
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from django.apps import apps
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command
from django.test import Client
from django.utils import timezone

from collection import checking
from collection.importing import release
from collection.models import Conversation, ModelEndpoint, QualityRun
from surveys import access, studies, tokens
from surveys.models import Membership, Participant, Study
from tests.test_access import addresses
from tests.test_import_release import PRISM

pytestmark = pytest.mark.django_db

OF_STUDY = {
    "surveys.study": "pk",
    "surveys.participant": "study",
    "surveys.recruitment": "study",
    "surveys.studyversion": "study",
    "surveys.statechange": "study",
    "surveys.quotatable": "study",
    "surveys.response": "participant__study",
    "surveys.consent": "participant__study",
    "collection.review": "participant__study",
    "collection.qualityrun": "participant__study",
    "collection.conversation": "participant__study",
    "collection.interaction": "conversation__participant__study",
    "collection.utterance": "interaction__conversation__participant__study",
    "collection.feedback": "conversation__participant__study",
    "collection.importedrelease": "study",
    "collection.carriedrows": "release__study",
}
"""Model -> lookup of the study."""


@pytest.fixture
def study() -> Study:
    found, _is_new = release.load(PRISM, slug="prism")
    return found.study


@pytest.fixture(params=["superuser", "owner"])
def somebody(study: Study, request: pytest.FixtureRequest) -> User:
    user = User.objects.create_user("somebody", is_staff=True)
    if request.param == "superuser":
        User.objects.update(is_superuser=True)
    else:
        Membership.objects.create(user=user, study=study, role=Membership.Role.OWNER)
    return User.objects.get()


def signed_in(user: User) -> Client:
    client = Client(raise_request_exception=True)
    client.force_login(user)
    return client


def paths(study: Study) -> list[str]:
    """Every address that leads to the study or to a row of it."""
    person = Participant.objects.get(imported__number=3)
    conversation = Conversation.objects.get(imported__number=2)
    values: dict[str, Any] = {
        "slug": study.slug,
        "key": person.key,
        "person": person.pk,
        "page_code": study.instrument.file.pages[0].code,
        "number": 1,
        "name": "survey",
        "sha256": study.instrument.sha256,
        "code": study.instrument.file.pages[0].code,
        "step": "resume",
        "what": "approve",
        "form": "csv",
    }
    found = []
    for address in addresses():
        route = address.route.replace("^", "").replace("$", "")
        row = re.match(r"admin/(surveys|collection)/(\w+)/", route)
        if "(?P" in route or not (row or route.startswith("desk/")):
            continue
        if row:
            if "/study/" in route:
                key = study.pk
            elif row[2] == "conversation":
                key = conversation.pk
            elif row[2] == "participant":
                key = person.pk
            else:
                model = apps.get_model(row[1], row[2])
                key = model._default_manager.values_list("pk", flat=True).first() or 1
            values |= {"pk": key, "object_id": key, "id": key}
        path = re.sub(r"<(?:\w+:)?(\w+)>", partial(value_of, values), route)
        found.append(f"/{path}")
    return found


def value_of(values: dict[str, Any], at: re.Match[str]) -> str:
    return str(values.get(at[1], 1))


def everything(study: Study) -> dict[str, Any]:
    """All that is stored of the study: a digest for each model."""
    found = {}
    for model in apps.get_models():
        path = OF_STUDY.get(model._meta.label_lower)
        if path:
            rows = model._default_manager.filter(**{path: study.pk}).order_by("pk").values_list()
            found[model._meta.label] = hash(repr(list(rows)))
    return found


def test_it_works(study: Study, somebody: User) -> None:
    client = signed_in(somebody)
    page = client.get(f"/admin/surveys/study/{study.pk}/change/").content.decode()
    assert "A release that was loaded" in page
    assert "NaN, which is no JSON, became null." in page
    assert "/data/prism.zip" in page or "Download all (zip)" in page
    assert 'name="_save"' not in page
    assert "imported</span>" in client.get("/admin/surveys/study/").content.decode()
    conversation = Conversation.objects.get(imported__number=2)
    talk = client.get(f"/admin/collection/conversation/{conversation.pk}/change/").content.decode()
    assert "Answer 2.0.1" in talk and "imported</span>" in talk
    assert "not touched" not in talk and "shown as reply" not in talk
    person = client.get(f"/admin/surveys/participant/{conversation.participant_id}/change/")
    assert "Be kind." in person.content.decode()


def test_no_page_breaks_and_no_verb_changes_it(study: Study) -> None:
    """Not even a superuser's. A clone is another study; models belong to no study alone."""
    client = signed_in(User.objects.create_superuser("root"))
    before = everything(study)
    found = {path: client.get(path).status_code for path in paths(study)}
    assert {p: code for p, code in found.items() if code not in (200, 302, 403, 404, 405)} == {}
    for path in paths(study):
        if "/copy/" not in path and "/set-language/" not in path:
            client.post(path, {"decision": "approve", "reason": "x", "number": "1", "post": "yes"})
    assert everything(study) == before


@pytest.mark.parametrize("verb", sorted(access.CHANGING))
def test_what_nobody_may(study: Study, somebody: User, verb: access.Verb) -> None:
    somebody.user_permissions.clear()
    assert not access.may(somebody, verb, study)
    assert not access.may(somebody, verb, study.pk)
    assert study not in access.studies(somebody, verb)
    assert access.may(somebody, "export", study) and access.may(somebody, "read", study.pk)


def test_a_token_reads_and_changes_nothing(study: Study, somebody: User) -> None:
    end = timezone.now() + timedelta(days=1)
    row, _secret = tokens.issue(somebody, "x", ["read", "change"], study, end)
    assert access.token_may(row, "read", study)
    assert not access.token_may(row, "change", study.pk)


def test_nobody_takes_part(study: Study, client: Client) -> None:
    page = client.get(f"/s/{study.slug}/", {"PROLIFIC_PID": "alice"}, follow=True)
    assert "not taking new participants" in page.content.decode()
    assert Participant.objects.count() == 6
    person = Participant.objects.first()
    assert person is not None
    assert client.get(f"/s/{study.slug}/p/{person.key}/").status_code == 404


def test_simulated_people_do_not_come(study: Study) -> None:
    with pytest.raises(CommandError, match="a release that was imported"):
        call_command("simulate", study.slug, "--participants", "1")


def test_chores_leave_it_alone(study: Study) -> None:
    assert checking.check_new() == 0
    assert not QualityRun.objects.exists()


def test_a_clone_is_a_draft_like_any_other(study: Study) -> None:
    copy = studies.clone(study, "again")
    copy.refresh_from_db()
    assert not copy.is_imported and copy.state == Study.State.DRAFT
    assert copy.protocol.name == "prism-2023"


def test_other_figures_do_not_count_it(study: Study, somebody: User) -> None:
    """Nobody drew these models here."""
    User.objects.update(is_superuser=True)
    endpoint = ModelEndpoint.objects.get(long_name="gpt-4")
    page = signed_in(User.objects.get()).get(
        f"/admin/collection/modelendpoint/{endpoint.pk}/change/"
    )
    assert page.status_code == 200
    assert "0 (0 %)" in page.content.decode()


def test_the_fixture_is_what_its_readme_says() -> None:
    readme = (Path(PRISM) / "README.md").read_text()
    assert all(f"| {name}" in readme or f", {name}" in readme for name in ("c0", "c11", "user3"))
