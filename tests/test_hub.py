"""Pushing to the hub: the real client against a local server that answers as the hub does."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from collection import hub, releases
from collection.models import Release
from surveys import enrolment
from surveys.errors import DomainError
from surveys.models import Study
from tests.export_cast import make_cast, make_study
from tests.hub_server import TOKEN, HubServer
from tests.test_releases import built, finish, made, unpacked

# The client uses its own HTTP library in a way that is deprecated there.
pytestmark = [pytest.mark.django_db, pytest.mark.filterwarnings("ignore::DeprecationWarning")]
NAME = "ada/soup"


@pytest.fixture
def server(settings: Any, tmp_path: Path, monkeypatch: Any) -> Iterator[HubServer]:
    settings.RELEASES_DIR = tmp_path / "releases"
    # The hub's newer store has a protocol of its own; without it large files go by LFS.
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_DISABLE_XET", True)
    # Another test may have imported it with no hub to reach.
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_DISABLE_PROGRESS_BARS", True)
    with HubServer() as hub_server:
        settings.HUB_URL, settings.HUB_TOKEN = hub_server.url, TOKEN
        yield hub_server


@pytest.fixture
def study(server: HubServer) -> Study:
    study = make_study()
    make_cast(study)
    finish(study, days_ago=15)
    statement = releases.statement_of(study)
    statement.hub_repository = NAME
    statement.save()
    return study


def published(study: Study) -> Release:
    release = made(study, is_public=True)
    releases.publish(release, "ada")
    return release


def pushed(release: Release) -> Release:
    assert hub.run(release.pk)
    release.refresh_from_db()
    return release


def contents(folder: Path) -> dict[str, bytes]:
    paths = [path for path in folder.rglob("*") if path.is_file()]
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in paths}


def test_it_works(study: Study, server: HubServer, tmp_path: Path) -> None:
    release = published(study)
    hub.ask(release, "ada")
    hub.ask(release, "ada")
    row = pushed(release)
    assert (row.push_state, row.push_reason) == ("done", "")
    assert server.files(NAME) == server.files(NAME, "1.0") == contents(unpacked(release, tmp_path))
    assert server.large  # some went the long way
    assert server.private[NAME]
    assert not hub.run(release.pk)


def test_a_patch_leaves_nobody_in_the_history(
    study: Study, server: HubServer, tmp_path: Path, django_capture_on_commit_callbacks: Any
) -> None:
    release = published(study)
    hub.ask(release, "ada")
    pushed(release)
    before = server.files(NAME)
    with django_capture_on_commit_callbacks(execute=True):
        enrolment.withdraw(study.participants.order_by("pk")[0])
    patch = built(Release.objects.get(patch=1))
    assert (patch.state, patch.push_state) == ("published", "waiting")
    pushed(patch)
    assert server.files(NAME) == contents(unpacked(patch, tmp_path)) != before
    assert set(server.repositories[NAME]) == {"main", "1.1"}
    assert len(server.repositories[NAME]["main"]) == 1


def test_an_older_edition_does_not_cover_a_newer_one(
    study: Study, server: HubServer, django_capture_on_commit_callbacks: Any
) -> None:
    for release in (published(study), published(study)):
        hub.ask(release, "ada")
        pushed(release)
    with django_capture_on_commit_callbacks(execute=True):
        enrolment.withdraw(study.participants.order_by("pk")[0])
    for patch in Release.objects.filter(patch=1).order_by("-edition"):
        pushed(built(patch))
    assert set(server.repositories[NAME]) == {"main", "2.1"}
    assert b"release 2.1" in server.files(NAME)["README.md"]


def test_only_what_is_published_and_only_with_a_token(
    study: Study, server: HubServer, settings: Any
) -> None:
    release = made(study, is_public=True)
    with pytest.raises(DomainError, match="Publish it first"):
        hub.ask(release, "ada")
    releases.publish(release, "ada")
    settings.HUB_TOKEN = ""
    with pytest.raises(DomainError, match="REFRACT_HUB_TOKEN"):
        hub.ask(release, "ada")
    settings.HUB_TOKEN = "wrong"
    Release.objects.filter(pk=release.pk).update(push_state="waiting", push_to=NAME)
    row = pushed(release)
    assert row.push_state == "failed"
    assert "refuses REFRACT_HUB_TOKEN" in row.push_reason


def test_a_hub_in_trouble_is_named_and_tried_again(study: Study, server: HubServer) -> None:
    release = published(study)
    hub.ask(release, "ada")
    server.status = 418
    assert "status 418" in pushed(release).push_reason
    server.status = 0
    hub.ask(release, "ada")
    assert pushed(release).push_state == "done"
