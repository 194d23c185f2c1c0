"""Loading releases: PRISM's quirks and all, once, whole or not at all, exported as they came."""

import io
import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from collection.export.validate import validate
from collection.export.write import write_release
from collection.importing import release, talks
from collection.importing.folder import Broken
from collection.models import (
    AttributeRating,
    Conversation,
    Feedback,
    ImportedRelease,
    ModelEndpoint,
    Utterance,
)
from surveys.errors import DomainError
from surveys.models import AuditEntry, Participant, Study
from tests.export_cast import add_left_out, make_cast, make_study

pytestmark = pytest.mark.django_db

Row = dict[str, Any]

PRISM = Path(__file__).parent / "fixtures" / "prism_release"
FILES = {
    "survey": "data/survey.jsonl",
    "conversations": "data/conversations.jsonl",
    "utterances": "data/utterances.jsonl",
    "models": "data/metadata/models.jsonl",
    "metadata": "data/metadata/metadata.jsonl",
}


def run(folder: Path, *args: str) -> list[str]:
    out = io.StringIO()
    call_command("import_release", folder, *args, stdout=out)
    return out.getvalue().splitlines()


def rows_of(path: Path) -> list[Row]:
    return [json.loads(line) for line in path.read_bytes().decode().split("\n") if line]


@pytest.fixture
def prism(tmp_path: Path) -> Path:
    return Path(shutil.copytree(PRISM, tmp_path / "prism-alignment"))


@pytest.fixture
def ours(tmp_path: Path) -> Path:
    """A release of this installation, whose study is renamed so that only the files tell of it."""
    study = make_study()
    make_cast(study)
    add_left_out(study)
    write_release(study, tmp_path / "ours")
    return tmp_path / "ours"


def mended(name: str, rows: list[Row]) -> list[Row]:
    """The fixture's rows with its documented repairs, done here by hand: value for value."""
    for row in rows:
        if name == "metadata" and row["pii_manual_flag"] != row["pii_manual_flag"]:
            row["pii_manual_flag"] = None
    if name == "conversations":
        rows[3]["conversation_history"][6 - 1]["if_chosen"] = False  # 40 beside its twin's 46
        rows[4]["conversation_history"][7]["if_chosen"] = False  # 70 beside 70: the first stays
        rows[9]["conversation_history"][10]["if_chosen"] = False  # 9 and 3
    if name == "utterances":
        for row in rows:
            place = (row["conversation_id"], row["turn"], row["within_turn_id"])
            if place in {("c3", 1, 0), ("c4", 1, 1), ("c9", 2, 1)}:
                row["if_chosen"] = False
    return rows


def test_it_works(prism: Path, tmp_path: Path) -> None:
    said = run(prism, "--study", "prism-2023", "--name", "The PRISM Alignment Dataset")
    study = Study.objects.get(slug="prism-2023")
    assert study.is_imported and not study.is_open
    write_release(study, tmp_path / "again", "github")
    for name, path in FILES.items():
        before = mended(name, rows_of(PRISM / path))
        after = rows_of(tmp_path / "again" / f"{name}.jsonl")
        assert [list(row.items()) for row in after] == [list(row.items()) for row in before]
    assert [d for d in validate(tmp_path / "again") if not d.is_note] == []
    repairs = json.loads((tmp_path / "again" / "repairs.json").read_text())
    assert {(r["rule"], r["file"]): r["cells"] for r in repairs["repairs"]} == {
        ("if-chosen", "conversations.jsonl"): 3,
        ("if-chosen", "utterances.jsonl"): 3,
        ("nan", "metadata.jsonl"): (PRISM / FILES["metadata"]).read_text().count("NaN"),
    }
    assert {row["rule"] for row in repairs["left_as_they_were"]} >= {"other-text", "country-name"}
    assert said[0] == "survey.jsonl: 6"
    assert said[-1].endswith("--order github` gives the files again.")


def test_what_it_becomes(prism: Path) -> None:
    run(prism)
    study = Study.objects.get()
    assert (study.slug, study.title) == ("prism-alignment", "prism-alignment")
    assert study.participants.released().count() == 6
    conversation = Conversation.objects.get(imported__number=2)
    assert conversation.participant.imported.number == 3
    assert conversation.endpoint is not None and not conversation.endpoint.is_active
    opening = conversation.interactions.get(turn=0)
    replies = Utterance.objects.filter(interaction=opening)
    assert list(replies.values_list("score", "if_chosen", "was_tied")) == [
        (50, False, True),
        (50, True, True),
        (50, False, True),
        (20, False, False),
    ]
    assert Feedback.objects.filter(open_feedback="").count() == 1
    assert AttributeRating.objects.filter(conversation__imported__number=0).count() == 14
    assert set(ModelEndpoint.objects.values_list("is_active", flat=True)) == {False}
    assert ModelEndpoint.objects.get(long_name="gpt-4").provider_code == "openai"


def test_what_people_said(prism: Path) -> None:
    run(prism)
    person = Participant.objects.get(imported__number=4)
    said = {row.question: row.value for row in person.responses.all()}
    assert said["gender"] == {"choice": "male", "text": None}
    assert said["birth_country"] == {"choice": "GBR", "text": None}
    assert said["religion"]["text"] == "c of e"
    assert said["stated_prefs"]["other_text"] == "is funny"
    assert said["lm_usecases"]["other_text"] == "chess puzzles"
    assert said["self_description"] == {"text": "Be kind. \nBe brief."}
    order = person.orders.get(scope="stated_prefs").codes
    assert person.imported.row["order_stated_prefs"][order[0]] == 1
    assert "lm_frequency_use" not in {
        row.question for row in Participant.objects.get(imported__number=1).responses.all()
    }


def test_the_same_folder_twice(prism: Path, tmp_path: Path) -> None:
    run(prism)
    moved = shutil.copytree(prism / "data", tmp_path / "elsewhere")
    assert run(moved, "--study", "another") == [
        "This release was loaded before: it is the study 'prism-alignment'."
    ]
    assert (Study.objects.count(), ImportedRelease.objects.count()) == (1, 1)
    assert AuditEntry.objects.filter(verb="imported").count() == 1


def test_ours_comes_back_byte_for_byte(ours: Path, tmp_path: Path) -> None:
    names = [path.name for path in ours.glob("*.jsonl")]
    assert {"survey.jsonl", "metadata.jsonl", "calls.jsonl", "battles.jsonl"} <= {*names}
    run(ours, "--study", "again")
    study = Study.objects.get(slug="again")
    write_release(study, tmp_path / "again")
    for name in (*names, "codebook.json", "instrument.json"):
        before, after = json_or_bytes(ours / name), json_or_bytes(tmp_path / "again" / name)
        assert before == after, name
    before, after = (
        json.loads((folder / "manifest.json").read_text()) for folder in (ours, tmp_path / "again")
    )
    assert after["not_released"] == before["not_released"]
    assert after["imported_from"]["study"] == "prism"
    assert [d for d in validate(tmp_path / "again") if not d.is_note] == []


def json_or_bytes(path: Path) -> Any:
    """Bytes of lines; Postgres keeps no order of keys in the documents beside them."""
    return path.read_bytes() if path.suffix == ".jsonl" else json.loads(path.read_text())


def test_models_that_are_here_stay_as_they_are(prism: Path, tmp_path: Path) -> None:
    make_study()
    here = ModelEndpoint.objects.first()
    assert here is not None
    ModelEndpoint.objects.filter(pk=here.pk).update(
        long_name="gpt-4", provider_code="azure", header="Ours."
    )
    run(prism, "--study", "old")
    here.refresh_from_db()
    assert (here.provider_code, here.header, here.is_active) == ("azure", "Ours.", True)
    write_release(Study.objects.get(slug="old"), tmp_path / "again", "github")
    for name in ("utterances", "models"):
        after = rows_of(tmp_path / "again" / f"{name}.jsonl")
        assert after == mended(name, rows_of(PRISM / FILES[name]))


def test_without_models_and_metadata(prism: Path, tmp_path: Path) -> None:
    shutil.rmtree(prism / "data" / "metadata")
    run(prism)
    rows = write_release(Study.objects.get(), tmp_path / "again")
    assert "survey.jsonl" in rows
    assert not {"models.jsonl", "metadata.jsonl"} & {*rows}


def test_nul_is_repaired_and_said(prism: Path, tmp_path: Path) -> None:
    path = prism / FILES["conversations"]
    lines = path.read_bytes().split(b"\n")
    lines[7] = lines[7].replace(b'"None"', rb'"a\u0000b"')
    path.write_bytes(b"\n".join(lines))
    run(prism)
    study = Study.objects.get()
    write_release(study, tmp_path / "again")
    assert rows_of(tmp_path / "again/conversations.jsonl")[7]["open_feedback"] == "a\ufffdb"
    (repair,) = [r for r in study.release.repairs["repairs"] if r["rule"] == "nul"]
    assert (repair["column"], repair["lines"]) == ("open_feedback", [[8, 8]])


# Refused


def nothing_was_loaded() -> bool:
    return not (
        Study.objects.exists() or Participant.objects.exists() or ModelEndpoint.objects.exists()
    )


def test_a_broken_folder(prism: Path) -> None:
    rows = rows_of(prism / FILES["utterances"])
    rows[1]["score"] = 101
    (prism / FILES["utterances"]).write_text("".join(json.dumps(row) + "\n" for row in rows))
    out = io.StringIO()
    with pytest.raises(CommandError, match="nothing was loaded"):
        call_command("import_release", prism, stdout=out)
    assert out.getvalue().startswith("data/utterances.jsonl:2: range: score is 101, above 100\n")
    assert nothing_was_loaded()


def test_a_missing_folder(tmp_path: Path) -> None:
    with pytest.raises(Broken):
        release.load(tmp_path / "nowhere")


@pytest.mark.parametrize("slug", ["taken", "Not a slug", "x" * 51])
def test_a_slug_that_cannot_be(prism: Path, slug: str) -> None:
    make_study("taken")
    with pytest.raises(CommandError, match=r"[Ss]lug|study"):
        call_command("import_release", prism, "--study", slug)
    assert Study.objects.count() == 1


def test_what_ends_half_way_leaves_nothing(prism: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_args: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(talks, "add_turns", full)
    with pytest.raises(CommandError, match="No space left on device"):
        call_command("import_release", prism)
    assert nothing_was_loaded()


def test_what_could_not_be_exported_again_is_not_loaded(
    prism: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(talks, "KEPT", tuple(key for key in talks.KEPT if key != "open_feedback"))
    with pytest.raises(DomainError, match=r"conversations\.jsonl:1: open_feedback"):
        release.load(prism)
    assert nothing_was_loaded()


def test_a_name_that_no_column_holds(prism: Path) -> None:
    for path in (*prism.rglob("*.jsonl"),):
        path.write_text(path.read_text().replace('"gpt-4"', f'"{"g" * 101}"'))
    with pytest.raises(DomainError, match=r"long_name of .* has 101 characters; 100 fit"):
        release.load(prism)
    assert nothing_was_loaded()
