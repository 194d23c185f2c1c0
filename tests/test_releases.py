"""Releases: asked for, built, frozen, packed; what goes with them; what keeps them back."""

import errno
import hashlib
import json
import os
import zipfile
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from django.contrib.auth.models import User
from django.test import Client
from django.utils import timezone

from collection import building, disclosure, releases
from collection.export.validate import validate
from collection.models import Release, ReleasedPerson, Tombstone
from surveys import enrolment
from surveys.errors import DomainError
from surveys.models import AuditEntry, Identity, Membership, Participant, Study
from tests.export_cast import choice, converse, make_cast, make_person, make_study

pytestmark = pytest.mark.django_db
Cast = dict[str, Participant]
Row = dict[str, Any]


@pytest.fixture(autouse=True)
def own_folder(settings: Any, tmp_path: Path) -> None:
    settings.RELEASES_DIR = tmp_path / "releases"


@pytest.fixture
def study(db: None) -> Study:
    return make_study()


@pytest.fixture
def cast(study: Study) -> Cast:
    return make_cast(study)


def built(release: Release) -> Release:
    """Built in this process and transaction, as the command does it in its own."""
    assert building.claim(release.pk, "token")
    row = Release.objects.select_related("study__instrument", "first").get(pk=release.pk)
    building.attempt(row, building.Telling())
    return Release.objects.select_related("study", "first").get(pk=release.pk)


def made(study: Study, **options: Any) -> Release:
    release = built(releases.ask(study, "ada", **options))
    assert (release.state, release.reason) == ("ready", "")
    return release


def unpacked(release: Release, folder: Path) -> Path:
    with zipfile.ZipFile(release.path) as archive:
        archive.extractall(folder)
    return folder / release.name


def faults(folder: Path) -> list[str]:
    return [str(d) for d in validate(folder) if not d.is_note]


def lines(folder: Path, name: str) -> list[Row]:
    return [json.loads(line) for line in (folder / f"{name}.jsonl").open(encoding="utf-8")]


def test_it_works(study: Study, cast: Cast, tmp_path: Path) -> None:
    release = made(study)
    folder = unpacked(release, tmp_path)
    assert faults(folder) == []
    assert release.version == "1.0"
    assert release.counts["rows"]["conversations.jsonl"] == 13
    assert hashlib.sha256(release.path.read_bytes()).hexdigest() == release.sha256
    for line in (folder / "SHA256SUMS").read_text().splitlines():
        digest, name = line.split("  ")
        assert hashlib.sha256((folder / name).read_bytes()).hexdigest() == digest
    there = {path.name for path in folder.iterdir()}
    assert there >= {
        *("README.md", "DATASHEET.md", "TERMS.md", "LICENSE.md", "CITATION.cff", "CHANGELOG.md"),
        *("croissant.json", "datapackage.json", "tombstones.json", "consent.json", "study.yaml"),
    }
    assert [path.name for path in release.path.parent.iterdir()] == ["prism-1.0.zip"]


def test_it_is_written_from_the_study_and_marks_what_a_person_must_write(
    study: Study, cast: Cast, tmp_path: Path
) -> None:
    statement = releases.statement_of(study)
    statement.answers = {"curation": "We wanted to know about soup."}
    statement.authors, statement.doi = "Lovelace, Ada\nThe Soup Group", "10.1234/soup"
    statement.human_licence = "CC0-1.0"
    statement.save()
    release = releases.ask(study, "ada")
    statement.answers = {"curation": "Something else."}
    statement.save()
    folder = unpacked(built(release), tmp_path)
    sheet = (folder / "DATASHEET.md").read_text()
    assert "We wanted to know about soup." in sheet  # as it was when the release was asked for
    assert "| Female | 1 | 25.0 % |" in sheet
    assert sheet.count("To be written by the researchers") == 9
    citation = yaml.safe_load((folder / "CITATION.cff").read_text())
    assert citation["authors"] == [
        {"family-names": "Lovelace", "given-names": "Ada"},
        {"name": "The Soup Group"},
    ]
    assert citation["doi"] == "10.1234/soup"
    assert "Creative Commons Zero" in (folder / "LICENSE.md").read_text()
    assert "ada@example.org" in (folder / "TERMS.md").read_text()


def test_equal_data_give_equal_bytes(study: Study, cast: Cast) -> None:
    first = made(study)
    before = first.path.read_bytes()
    Release.objects.filter(pk=first.pk).update(state="queued")
    ReleasedPerson.objects.all().delete()
    assert built(first).path.read_bytes() == before


# Of other people's libraries.
@pytest.mark.filterwarnings("ignore")
def test_analysts_tools_read_it(study: Study, cast: Cast, tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hub"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    import datasets
    import frictionless
    import mlcroissant
    import pandas
    import polars

    folder = unpacked(made(study), tmp_path)
    cache = str(tmp_path / "cache")
    assert datasets.load_dataset(str(folder), cache_dir=cache)["train"][0]["utterance_id"] == "ut0"
    for name in ("survey", "conversations", "utterances", "models", "assignments"):
        table = datasets.load_dataset(str(folder), name, cache_dir=cache, split="train")
        expected = lines(folder, name)
        assert len(table) == len(expected)
        assert list(table.features) == list(expected[0])
    survey = datasets.load_dataset(str(folder), "survey", cache_dir=cache, split="train")
    assert survey[0]["location"] == lines(folder, "survey")[0]["location"]
    assert len(pandas.read_json(folder / "utterances.jsonl", lines=True)) == 69
    assert polars.read_ndjson(folder / "conversations.jsonl").height == 13
    report = frictionless.validate(str(folder / "datapackage.json"))
    assert report.valid, report.flatten(["fieldName", "type", "message"])[:5]
    dataset = mlcroissant.Dataset(jsonld=str(folder / "croissant.json"))
    assert not dataset.metadata.ctx.issues.errors
    assert not dataset.metadata.ctx.issues.warnings
    for name in ("survey", "conversations", "utterances"):
        assert len(list(dataset.records(name))) == len(lines(folder, name))


def test_each_edition_numbers_people_anew(study: Study, cast: Cast, tmp_path: Path) -> None:
    for minute in range(30, 42):
        make_person(study, minute=minute)
    numbers = []
    for edition in (made(study), made(study)):
        rows = ReleasedPerson.objects.filter(release=edition).order_by("participant")
        numbers.append(list(rows.values_list("number", flat=True)))
        assert faults(unpacked(edition, tmp_path)) == []
    assert sorted(numbers[0]) == sorted(numbers[1]) == list(range(16))
    # In neither order of the other, nor of the database: 16! orders are possible.
    assert numbers[0] != numbers[1] != list(range(16)) != numbers[0]


def test_nothing_and_one_person(study: Study, tmp_path: Path) -> None:
    assert faults(unpacked(made(study), tmp_path)) == []
    make_person(study)
    folder = unpacked(made(study), tmp_path)
    assert faults(folder) == []
    assert "`survey.jsonl`: 0 rows became 1." in (folder / "CHANGELOG.md").read_text()


def test_an_older_release_may_have_noted_less(study: Study, tmp_path: Path) -> None:
    older = made(study)
    kept = {name: older.counts[name] for name in ("people", "rows", "changes")}
    Release.objects.filter(pk=older.pk).update(counts=kept)
    make_person(study)
    changes = (unpacked(made(study), tmp_path) / "CHANGELOG.md").read_text()
    assert "`survey.jsonl`: 0 rows became 1." in changes
    assert "another version of Refract" not in changes


def test_a_double_click_makes_one(study: Study, cast: Cast) -> None:
    first = releases.ask(study, "ada")
    assert releases.ask(study, "ada") == first
    built(first)
    assert releases.ask(study, "ada").version == "2.0"


def test_a_full_disk_leaves_what_was_there(
    study: Study, cast: Cast, monkeypatch: Any, settings: Any
) -> None:
    before = made(study)
    old = before.path.read_bytes()

    def full(*_arguments: Any) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(building, "pack", full)
        failed = built(releases.ask(study, "ada"))
    assert (failed.state, failed.file_name) == ("failed", "")
    assert "disk is full" in failed.reason
    assert [path.name for path in settings.RELEASES_DIR.iterdir()] == ["prism-1.0.zip"]
    assert before.path.read_bytes() == old
    releases.retry(failed)
    assert built(failed).state == "ready"


def test_what_died_is_taken_up_and_given_up_in_the_end(study: Study, cast: Cast) -> None:
    release = releases.ask(study, "ada")
    for state in ("queued", "queued", "failed"):
        building.claim(release.pk, "token")
        assert not building.claim(release.pk, "another")
        long_ago = timezone.now() - 2 * releases.SILENT
        Release.objects.filter(pk=release.pk).update(heard_at=long_ago)
        releases.take_up()
        release.refresh_from_db()
        assert release.state == state
    assert "died" in release.reason


# Disclosure


def finish(study: Study, days_ago: int) -> None:
    ended = timezone.now() - timedelta(days=days_ago)
    study.participants.update(completed_at=ended)


def test_nothing_is_public_while_somebody_may_withdraw(
    study: Study, cast: Cast, tmp_path: Path
) -> None:
    finish(study, days_ago=15)
    recent = make_person(study, minute=9, completed_at=timezone.now() - timedelta(days=14))
    with pytest.raises(DomainError, match="1 person may still withdraw"):
        releases.ask(study, "ada", is_public=True)
    release = made(study, is_public=True, leave_out_recent=True)
    folder = unpacked(release, tmp_path)
    assert len(lines(folder, "survey")) == 4
    assert faults(folder) == []
    assert not ReleasedPerson.objects.filter(participant=recent).exists()
    content = json.loads((folder / "manifest.json").read_text())
    assert content["not_released"]["people"] == {"may still withdraw, or came later": 1}
    assert content["consent_texts"][0]["people"] == 4
    releases.publish(release, "ada")
    releases.publish(release, "ada")
    assert release.state == "published"
    assert AuditEntry.objects.filter(verb="published").count() == 1


def test_a_public_release_waits_for_undecided_texts_and_for_anybody(
    study: Study, monkeypatch: Any
) -> None:
    with pytest.raises(DomainError, match="Nobody"):
        releases.ask(study, "ada", is_public=True)
    make_cast(study)
    finish(study, days_ago=15)
    release = made(study, is_public=True)
    monkeypatch.setattr(disclosure, "undecided_pii", lambda _study: 3)
    with pytest.raises(DomainError, match="3 texts may hold personal information"):
        releases.ask(study, "ada", is_public=True)
    with pytest.raises(DomainError, match="3 texts"):
        releases.publish(release, "ada")
    with pytest.raises(DomainError, match="made for use inside"):
        releases.publish(made(study), "ada")


def test_an_id_from_outside_keeps_a_release_back(study: Study, cast: Cast) -> None:
    ids = {"alice": "5f0e9ab1c2d3e4f5a6b7c8d9", "bob": "P7", "carla": "carla@mail.example"}
    for name, external_id in ids.items():
        Identity.objects.create(study=study, participant=cast[name], external_id=external_id)
    release = made(study)
    assert release.disclosure["ids_too_short"] == 1
    converse(cast["bob"], prompt="Am I (5F0E9AB1C2D3E4F5A6B7C8D9) known to you?")
    failed = built(releases.ask(study, "ada"))
    assert failed.state == "failed"
    assert "conversations.jsonl" in failed.reason
    assert "5f0e" not in failed.reason.lower()


def test_small_cells_are_counted_and_a_remedy_named() -> None:
    def person(age: str, country: str, region: str) -> Row:
        return {"age": age, "location": {"birth_country": country, "birth_subregion": region}}

    rows = [person("18-24 years old", "Chile", "South America")] * 4
    rows += [person("18-24 years old", "Peru", "South America")] * 2
    rows += [person("25-34 years old", "Peru", "South America")]
    cells = disclosure.small_cells(rows, ["age", "location.birth_country"], 3)
    assert (cells.k, cells.cells, cells.small_people) == (1, 3, 3)
    assert cells.smallest == [
        (["25-34 years old", "Peru"], 1),
        (["18-24 years old", "Peru"], 2),
    ]
    assert [step["column"] for step in cells.advice] == ["location.birth_country", "age"]
    assert [step["small_people"] for step in cells.advice] == [1, 0]
    assert "birth_subregion" in cells.advice[0]["words"]
    assert disclosure.small_cells([], ["age"], 3).k == 0


def test_the_cells_of_a_release_stay_at_the_desk(study: Study, cast: Cast, tmp_path: Path) -> None:
    statement = releases.statement_of(study)
    statement.quasi_identifiers, statement.smallest_cell = ["gender", "age"], 2
    statement.save()
    release = made(study)
    assert release.disclosure["cells"]["small_people"] == 2
    for path in unpacked(release, tmp_path).rglob("*"):
        assert path.is_dir() or b"small_people" not in path.read_bytes()


# Withdrawals


def test_a_withdrawal_reaches_every_release(
    study: Study,
    cast: Cast,
    tmp_path: Path,
    django_capture_on_commit_callbacks: Any,
) -> None:
    finish(study, days_ago=15)
    one, two = made(study), made(study, is_public=True)
    releases.publish(two, "ada")
    old = unpacked(two, tmp_path / "old")
    number = ReleasedPerson.objects.get(release=two, participant=cast["carla"]).number
    with django_capture_on_commit_callbacks(execute=True):
        enrolment.withdraw(cast["carla"])
    assert not any(release.path.exists() for release in (one, two))
    assert Tombstone.objects.count() == 2
    assert not ReleasedPerson.objects.filter(participant=cast["carla"]).exists()
    with django_capture_on_commit_callbacks(execute=True):
        enrolment.withdraw(cast["bob"])  # while the patches wait
    waiting = Release.objects.filter(state="queued").order_by("edition")
    assert [release.version for release in waiting] == ["1.1", "2.1"]
    patches = [built(release) for release in waiting]
    assert [patch.state for patch in patches] == ["ready", "published"]
    folder = unpacked(patches[1], tmp_path / "new")
    assert faults(folder) == []
    assert lines(folder, "survey") == [
        row for row in lines(old, "survey") if row["self_description"] and keeps(row, two, cast)
    ]
    for name in ("conversations", "utterances", "assignments", "calls"):
        known = {row["user_id"] for row in lines(folder, "survey")}
        assert lines(folder, name) == [r for r in lines(old, name) if r["user_id"] in known]
    stones = json.loads((folder / "tombstones.json").read_text())
    assert {stone["edition"] for stone in stones} == {2}  # the internal one stays unnamed
    carla = next(stone for stone in stones if stone["user_id"] == f"user{number}")
    assert len(carla["conversation_ids"]) == 4
    changes = (folder / "CHANGELOG.md").read_text()
    assert "Mends 2.0: somebody withdrew. Ids are unchanged, with gaps." in changes
    assert "2 people are no longer in it." in changes
    content = json.loads((folder / "manifest.json").read_text())
    assert content["release"]["keeps_ids_of"] == "2.0"
    two.refresh_from_db()
    assert (two.state, two.file_name) == ("superseded", "")


def keeps(row: Row, release: Release, cast: Cast) -> bool:
    kept = {cast[name].pk for name in ("alice", "dana")}
    rows = ReleasedPerson.objects.filter(release=release, participant__in=kept)
    return row["user_id"] in {f"user{n}" for n in rows.values_list("number", flat=True)}


def test_gaps_are_a_patchs_alone(study: Study, cast: Cast, tmp_path: Path) -> None:
    release = made(study)
    folder = unpacked(built(releases.mend(release, "ada", "a mistake")), tmp_path)
    survey = folder / "survey.jsonl"
    first, *others = survey.read_text().splitlines(keepends=True)
    survey.write_text("".join(others))
    assert not any(": sequence:" in fault for fault in faults(folder))
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["release"]["keeps_ids_of"] = None
    (folder / "manifest.json").write_text(json.dumps(manifest))
    assert any(": sequence:" in fault for fault in faults(folder))
    survey.write_text("".join([others[0], first, *others[1:]]))
    assert any(": sequence:" in fault for fault in faults(folder))


def test_a_patch_has_nobody_new(study: Study, cast: Cast, tmp_path: Path) -> None:
    release = made(study)
    calls = lines(unpacked(release, tmp_path / "old"), "calls")
    make_person(study, minute=50)
    converse(cast["bob"])
    folder = unpacked(built(releases.mend(release, "ada", "a mistake")), tmp_path)
    assert faults(folder) == []
    assert len(lines(folder, "survey")) == 4
    assert len(lines(folder, "conversations")) == 13
    assert lines(folder, "calls") == calls


def test_who_withdraws_while_it_is_built_is_not_in_it(
    study: Study, cast: Cast, monkeypatch: Any
) -> None:
    release = releases.ask(study, "ada")
    pack = building.pack

    def pack_late(folder: Path, archive: Path) -> None:
        pack(folder, archive)
        enrolment.withdraw(cast["carla"])

    with monkeypatch.context() as patch:
        patch.setattr(building, "pack", pack_late)
        assert built(release).state == "queued"
    assert built(release).counts["people"] == 3


# At the desk


@pytest.fixture
def owner(study: Study) -> Client:
    user = User.objects.create_user("owner", is_staff=True)
    Membership.objects.create(user=user, study=study, role="owner")
    client = Client()
    client.force_login(user)
    return client


def test_it_is_asked_for_looked_at_and_published_at_the_desk(
    study: Study, cast: Cast, owner: Client
) -> None:
    finish(study, days_ago=15)
    pages = f"/admin/surveys/study/{study.pk}/releases/"
    form = owner.get(f"{pages}statement/")
    assert b"Author characteristics" in form.content
    fields = {
        "human_licence": "CC-BY-4.0",
        "model_licence": "CC-BY-NC-4.0",
        "smallest_cell": "2",
        "columns": ["gender", "age"],
        "answer_ethics": "We thought about it.",
    }
    wrong = owner.post(f"{pages}statement/", {**fields, "hub_repository": "nowhere"})
    assert wrong.status_code == 422
    assert owner.post(f"{pages}statement/", fields).status_code == 302
    asked = owner.post(pages, {"is_public": "on"})
    release = Release.objects.get()
    assert asked.url == f"{pages}1.0/"  # type: ignore[attr-defined]
    assert release.statement["answers"] == {"ethics": "We thought about it."}
    assert b"<progress" in owner.get(asked.url).content  # type: ignore[attr-defined]
    assert b"<progress" in owner.get(asked.url, HTTP_HX_REQUEST="true").content  # type: ignore[attr-defined]
    built(release)
    part = owner.get(f"{pages}1.0/", HTTP_HX_REQUEST="true")
    assert part.headers["HX-Refresh"] == "true"
    page = owner.get(f"{pages}1.0/").content.decode()
    assert "Small cells" in page
    assert "9 sections of its data statement" in page
    owner.post(f"{pages}1.0/publish/")
    release.refresh_from_db()
    assert release.state == "published"
    owner.post(f"{pages}1.0/take-back/", {"reason": "A fault."})
    release.refresh_from_db()
    assert (release.state, release.reason) == ("withdrawn", "A fault.")
    assert "A fault." in owner.get(f"{pages}1.0/").content.decode()
    assert owner.get("/desk/prism/release/1.0.zip").status_code == 404


def test_a_download_goes_on_where_it_broke_off(study: Study, cast: Cast, owner: Client) -> None:
    release = made(study)
    whole = release.path.read_bytes()
    url = "/desk/prism/release/1.0.zip"

    def get(**headers: str) -> tuple[int, bytes, Any]:
        answer = owner.get(url, headers=headers)
        content = answer.getvalue() if answer.streaming else answer.content
        return answer.status_code, content, answer.headers

    status, content, headers = get(accept_encoding="gzip")
    assert (status, content) == (200, whole)
    etag = headers["ETag"]
    assert get(if_none_match=etag)[:2] == (304, b"")
    status, content, headers = get(range="bytes=1000-", if_range=etag, accept_encoding="gzip")
    assert (status, content) == (206, whole[1000:])
    assert headers["Content-Range"] == f"bytes 1000-{len(whole) - 1}/{len(whole)}"
    assert get(range="bytes=5-9")[1] == whole[5:10]
    assert get(range="bytes=-7")[1] == whole[-7:]
    assert get(range="bytes=1000-", if_range='"other"')[:2] == (200, whole)
    assert get(range="bytes=0-1,5-6")[0] == 200
    assert get(range="bytes=9-5")[0] == 200
    assert get(range=f"bytes={len(whole)}-")[0] == 416
    assert get(range="bytes=-0")[0] == 416
    # Each beginning is a download; what goes on is not another.
    assert AuditEntry.objects.filter(verb="exported").count() == 4
    assert Client().get(url).status_code == 302


def test_choices_of_a_person_do_not_break_the_card(study: Study, tmp_path: Path) -> None:
    make_person(
        study,
        answers={"gender": choice("self_describe", "| pipes |\n# and --- more")},
    )
    assert faults(unpacked(made(study), tmp_path)) == []
