"""Releases: asked for, built, frozen, packed; what goes with them; what keeps them back."""

import json
import zipfile
from pathlib import Path
from typing import Any

import pytest

from collection import building, releases
from collection.export.validate import validate
from collection.models import Release
from surveys.models import Study
from tests.export_cast import make_cast, make_study

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def own_folder(settings: Any, tmp_path: Path) -> None:
    settings.RELEASES_DIR = tmp_path / "releases"


@pytest.fixture
def study(db: None) -> Study:
    study = make_study()
    make_cast(study)
    return study


def built(release: Release) -> Release:
    """Built in this process and transaction, as the command does it in its own."""
    assert building.claim(release.pk, "token")
    row = Release.objects.select_related("study__instrument", "first").get(pk=release.pk)
    building.attempt(row, building.Telling())
    row.refresh_from_db()
    return row


def unpacked(release: Release, folder: Path) -> Path:
    with zipfile.ZipFile(release.path) as archive:
        archive.extractall(folder)
    return folder / release.name


def test_it_works(study: Study, tmp_path: Path) -> None:
    release = built(releases.ask(study, "ada", is_public=False))
    assert (release.state, release.reason) == ("ready", "")
    folder = unpacked(release, tmp_path)
    assert [str(d) for d in validate(folder) if not d.is_note] == []
    print(sorted(p.name for p in folder.iterdir()))
    print((folder / "DATASHEET.md").read_text())
    print((folder / "README.md").read_text())
    print((folder / "CHANGELOG.md").read_text())
    print(json.dumps(release.disclosure))
