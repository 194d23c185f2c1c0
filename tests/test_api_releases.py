"""Releases by the API: asked for, watched, fetched with resume, published, refused."""

from pathlib import Path
from typing import Any

import pytest

from collection.models import Release
from surveys.models import AuditEntry, Study
from tests import export_cast
from tests.api import Program, member
from tests.test_releases import built

pytestmark = pytest.mark.django_db
PATH = "studies/prism/releases/"


@pytest.fixture
def study(db: None, settings: Any, tmp_path: Path) -> Study:
    settings.RELEASES_DIR = tmp_path / "releases"
    study = export_cast.make_study()
    export_cast.make_cast(study)
    return study


@pytest.fixture
def program(study: Study) -> Program:
    return Program(member(study))


def test_it_works(program: Program) -> None:
    asked = program.ask("POST", PATH, {"leave_out_recent": True})
    assert (asked.status_code, asked.json()["state"]) == (202, "queued")
    again = program.ask("POST", PATH, {"leave_out_recent": True})
    assert again.json()["version"] == asked.json()["version"] == "1.0"
    assert program.refused(404, "GET", f"{PATH}1.0/archive/")
    built(Release.objects.get())
    shown = program.get(f"{PATH}1.0/")
    assert (shown["state"], shown["is_whole"]) == ("ready", True)
    assert program.get(PATH)["results"] == [shown]
    whole = program.ask("GET", f"{PATH}1.0/archive/")
    content = b"".join(whole.streaming_content)
    assert len(content) == shown["size"]
    rest = program.ask("GET", f"{PATH}1.0/archive/", Range="bytes=100-")
    assert (rest.status_code, b"".join(rest.streaming_content)) == (206, content[100:])
    assert AuditEntry.objects.filter(verb="exported").count() == 1


def test_what_cannot_be(program: Program, study: Study) -> None:
    study.participants.update(completed_at="2026-03-01T10:00:00Z")
    assert program.refused(400, "POST", PATH, {"public": True})
    for version in ("2.0", "1", "x.y", "1.0.0", "9999999999.9999999999"):
        assert program.refused(404, "GET", f"{PATH}{version}/")
    program.ask("POST", PATH, {})
    assert program.refused(409, "POST", f"{PATH}1.0/publish/", {})["code"] == "not_ready"
    built(Release.objects.get())
    assert program.refused(409, "POST", f"{PATH}1.0/publish/", {})["code"] == "internal"
    reader = Program(member(study), "see")
    assert reader.get(f"{PATH}1.0/")["version"] == "1.0"
    assert reader.refused(403, "GET", f"{PATH}1.0/archive/")
    assert reader.refused(403, "POST", PATH, {})
