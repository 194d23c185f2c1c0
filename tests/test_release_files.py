"""The files beside PRISM's: what it did not keep, other forms of it, Parquet and JSON Schemas."""

import io
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import pandas as pd
import polars as pl
import pyarrow.parquet as pq
import pytest
from django.core.management import CommandError, call_command
from django.db import transaction
from pytest_django.plugin import DjangoDbBlocker

from collection.demo import load_values_study
from collection.export import derived, documents, parquet, rows
from collection.export.derived import Rules
from collection.export.validate import validate
from collection.export.write import Options, files_of, stream, write_release
from collection.models import Conversation, Interaction, ModelCall, Utterance
from surveys.models import Participant, Study
from surveys.protocol import PRESETS
from tests.cast import set_protocol, use_models
from tests.export_cast import add_left_out, choice, converse, make_cast, make_person, make_study
from tests.model_server import ModelServer
from tests.walk import Person, mark

pytestmark = pytest.mark.django_db

Row = dict[str, Any]

BOTH = Options(formats=("jsonl", "parquet"))
MANIFEST = "manifest.json"


def add_findings(person: Participant) -> None:
    runs = person.quality_runs
    found = {
        "failed": 1,
        "asked": 2,
        "places": [{"question": "age"}, {"conversation": 1, "turn": 0}],
    }
    runs.create(check_name="attention", version=2, value=1, severity="investigate", evidence=found)
    runs.create(check_name="old", version=1, value=1, is_current=False)
    runs.create(check_name="phone", version=1, value=None)


@pytest.fixture(scope="module")
def template(
    django_db_setup: None,
    django_db_blocker: DjangoDbBlocker,
    tmp_path_factory: pytest.TempPathFactory,
) -> Path:
    """A release of the cast in both formats, with failed calls and findings."""
    folder = tmp_path_factory.mktemp("release")
    with django_db_blocker.unblock(), transaction.atomic():
        study = make_study()
        alice = make_cast(study)["alice"]
        add_left_out(study)
        add_findings(alice)
        first = ModelCall.objects.filter(attempt__interaction__conversation__participant=alice)[0]
        ModelCall.objects.filter(pk=first.pk).update(try_number=1)
        first.pk, first.outcome, first.error_class = None, ModelCall.Outcome.TIMEOUT, "Timeout"
        first.error_message, first.cost_usd = "says what she wrote", None
        first.save(force_insert=True)
        write_release(study, folder, options=BOTH)
        transaction.set_rollback(True)
    return folder


def files_with(folder: Path, text: bytes) -> list[Path]:
    """Of all files of a release, also those in folders."""
    return [p for p in folder.rglob("*") if p.is_file() and text in p.read_bytes()]


@pytest.fixture
def folder(template: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(template, tmp_path / "release"))


def rows_of(folder: Path, name: str) -> list[Row]:
    return [json.loads(line) for line in (folder / f"{name}.jsonl").read_text().splitlines()]


def released(study: Study, name: str) -> list[Row]:
    return [json.loads(text) for text in stream(Study.objects.get(pk=study.pk), name)]


def faults(folder: Path) -> list[tuple[str, int, str]]:
    return [(d.file, d.line, d.rule) for d in validate(folder) if not d.is_note]


def manifest_of(folder: Path) -> Row:
    found: Row = json.loads((folder / MANIFEST).read_text())
    return found


def test_it_works(folder: Path) -> None:
    assert faults(folder) == []
    counts = manifest_of(folder)["rows"]
    names = [name.removesuffix(".jsonl") for name in counts if name.endswith(".jsonl")]
    assert names[-8:] == [
        *("calls", "ratings", "consents", "quality"),
        *("wide", "battles", "preferences", "unpaired"),
    ]
    for name in names:
        assert counts[f"{name}.jsonl"] == counts[f"parquet/{name}.parquet"]
        assert counts[f"{name}.jsonl"] > 0 or name == "paradata"


# Calls


def test_a_call_that_failed_is_released_with_its_ending(
    study: Study, model_server: ModelServer
) -> None:
    use_models(study, model_server, "ok", "ok", "ok", "http-500")
    set_protocol(study, on_failure="drop", reply_limit_s=2)
    person = Person(study, PROLIFIC_PID="alice").ready()
    person.start()
    for turn, number in ((0, 3), (1, 2)):
        person.prompt(turn, "What is a good soup?")
        fields: Row = {"turn": turn}
        for position in range(number):
            fields |= mark(f"score_{position}", 30 + position)
        person.post("c/1/rate/", fields)
    person.finish()
    person.feedback()
    calls = released(study, "calls")
    failed = [row for row in calls if row["outcome"] == "error"]
    assert {row["model_name"] for row in failed} == {"test/model-3"} or failed
    assert all(row["utterance_ids"] == [] and not row["is_released"] for row in failed)
    brought = [one for row in calls for one in row["utterance_ids"]]
    assert brought == [row["utterance_id"] for row in released(study, "utterances")]
    sent = calls[0]["messages"]
    assert [message["role"] for message in sent] == ["system", "user"]
    assert sent[-1]["content"] == "What is a good soup?"
    assert [m["role"] for m in calls[-1]["messages"]] == ["system", "user", "assistant", "user"]
    assert {"name": "max_tokens", "value": "64"} in calls[0]["parameters"]
    assert calls[0]["interaction_id"] == "int0"
    assert all(row["prompt_tokens"] for row in calls if row["outcome"] == "ok")


def test_nobodys_unreleased_words_are_in_any_file(tmp_path: Path) -> None:
    study = make_study()
    person = make_person(study)
    converse(person)
    unfinished = converse(person, prompt="WORDS", reply="WORDS", state=Conversation.State.TECHNICAL)
    converse(make_person(study, minute=1, withdrawn_at="2026-03-02T00:00Z"), prompt="WORDS")
    ModelCall.objects.update(text="WORDS", error_message="WORDS")
    unfinished.interactions.filter(turn=1).update(state=Interaction.State.FAILED)
    write_release(study, tmp_path)
    assert files_with(tmp_path, b"WORDS") == []
    calls = rows_of(tmp_path, "calls")
    hidden = [row for row in calls if row["conversation_id"] is None]
    assert (len(calls), len(hidden)) == (12, 6)
    assert all(row["messages"] is None and row["utterance_ids"] == [] for row in hidden)
    assert faults(tmp_path) == []


def test_a_redacted_text_is_so_in_every_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    study = make_study()
    converse(make_person(study), prompt="I am Ada Secret", reply="Hello Secret")
    original = rows.shown_text

    def redacting(text: str) -> str:
        return derived.REDACTED if "Secret" in text else original(text)

    monkeypatch.setattr(rows, "shown_text", redacting)
    write_release(study, tmp_path)
    assert files_with(tmp_path, b"Secret") == []
    assert "[REDACTED]" in (tmp_path / "calls.jsonl").read_text()
    assert rows_of(tmp_path, "preferences") == []
    left_out = manifest_of(tmp_path)["derived"]["left_out"]
    assert left_out == {"preferences": {"redacted text": 7}, "unpaired": {"redacted text": 6}}
    assert faults(tmp_path) == []


def test_a_withheld_statement_is_not_in_a_system_message(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    study = make_study()
    arms = {"plain": "{header}", "personal": "{header} Wish: {system_string}"}
    set_protocol(study, candidates="prompts", system_prompts=arms)
    study.refresh_from_db()
    converse(make_person(study))
    for call in ModelCall.objects.all():
        call.messages[0]["content"] += " Wish: Be kind. \nBe brief."
        call.save()
    assert "Wish: Be kind." in released(study, "calls")[0]["messages"][0]["content"]
    from collection.export import call_rows, survey_rows

    def redacting(*args: Any) -> Row:
        return survey_rows.survey_row(*args) | {"system_string": derived.REDACTED}

    monkeypatch.setattr(call_rows, "survey_row", redacting)
    contents = [row["messages"][0]["content"] for row in released(study, "calls")]
    assert all("kind" not in text and text.endswith("Wish: [REDACTED]") for text in contents)


# Ratings


def test_every_line_has_its_row(folder: Path) -> None:
    lines = rows_of(folder, "ratings")
    survey = [row for row in lines if row["file"] == "survey"]
    own = [(row["user_id"], row["value"]) for row in survey if row["item"] == "other"]
    assert own == [("user2", 100)]
    scores = [row for row in lines if row["file"] == "utterances"]
    utterances = rows_of(folder, "utterances")
    assert [(row["utterance_id"], row["value"]) for row in scores] == [
        (row["utterance_id"], row["score"]) for row in utterances
    ]
    assert scores[0]["input"] == "pointer"
    assert scores[0]["ms_to_first_touch"] == 900
    assert scores[0]["position"] == 3
    attributes = [row for row in lines if row["file"] == "conversations"]
    assert len(attributes) == 13 * 14
    assert {row["item"] for row in attributes if row["is_na"]} == {"fluency"}


def test_a_line_of_the_survey_says_how_it_was_put_there(study: Study) -> None:
    Person(study, PROLIFIC_PID="alice").survey()
    row = released(study, "ratings")[0]
    survey = released(study, "survey")[0]
    assert row["was_touched"] is True
    assert row["column"] == "stated_prefs"
    assert row["value"] == survey["stated_prefs"][row["item"]]
    places = {r["item"]: r["position"] + 1 for r in released(study, "ratings")}
    order = survey["order_stated_prefs"]
    assert places == {item: order[item] for item in places}


# Consents and quality


def test_consents_are_those_that_the_manifest_counts(folder: Path) -> None:
    consents = rows_of(folder, "consents")
    assert [row["user_id"] for row in consents] == [f"user{n}" for n in range(8)]
    assert {(row["version"], row["sha256"]) for row in consents} == {("2026-01", "f" * 64)}


def test_findings_are_released_without_anybodys_words(folder: Path) -> None:
    (row,) = rows_of(folder, "quality")
    assert (row["user_id"], row["check"], row["version"]) == ("user0", "attention", 2)
    assert row["evidence"] == [
        {"name": "asked", "number": 2, "code": None},
        {"name": "failed", "number": 1, "code": None},
    ]
    assert row["places"] == [
        {"question": "age", "conversation_id": None, "turn": None},
        {"question": None, "conversation_id": "c0", "turn": 0},
    ]


def test_evidence_that_is_no_number_stays_out() -> None:
    study = make_study()
    found = {"quote": "my words", "pattern": "f00", "age": 17, "found": "de", "is": True, "n": 2.5}
    make_person(study).quality_runs.create(check_name="x", version=1, value=0, evidence=found)
    (row,) = released(study, "quality")
    assert row["evidence"] == [
        {"name": "found", "number": None, "code": "de"},
        {"name": "n", "number": 2.5, "code": None},
    ]


# Wide and battles


def test_wide_is_what_prisms_pivot_makes(folder: Path) -> None:
    long = pd.read_json(folder / "utterances.jsonl", lines=True)
    index = ["interaction_id", "conversation_id", "turn", "user_prompt", "user_id", "suffix"]
    long["suffix"] = long.groupby("interaction_id").cumcount().map(dict(enumerate("abcd")))
    pivot = long.set_index(index).unstack(level="suffix")
    assert isinstance(pivot, pd.DataFrame)
    pivot.columns = ["_".join(pair) for pair in pivot.columns]
    wide = pd.read_json(folder / "wide.jsonl", lines=True)
    assert list(wide.columns) == list(pivot.reset_index().columns)
    assert len(wide.columns) == 41
    for name in wide.columns:
        expected = pivot.reset_index()[name]
        both = zip(wide[name], expected, strict=True)
        assert all(one == other or (pd.isna(one) and pd.isna(other)) for one, other in both)


def test_battles_are_all_pairs_with_prisms_tie(folder: Path) -> None:
    battles = rows_of(folder, "battles")
    first = battles[:7]
    assert [(row["score_a"], row["score_b"], row["winner"]) for row in first] == [
        (70, 20, "model_a"),
        (70, 30, "model_a"),
        (70, 40, "model_a"),
        (20, 30, "model_b"),
        (20, 40, "model_b"),
        (30, 40, "model_b"),
        (50, 60, "model_b"),
    ]
    assert first[0]["margin"] == 50
    assert (first[0]["model_a"], first[0]["model_b"]) == ("vendor/model-a", "vendor/model-b")
    close = [row for row in battles if abs(row["margin"]) <= 5]
    assert {row["winner"] for row in close} == {"tie"}
    assert len(close) == 4 * 2 + 3


def test_another_tie_rule_is_told(tmp_path: Path) -> None:
    study = make_study()
    converse(make_person(study), scores=((50, 51), (7, 7)))
    rules = Rules(tie_within=0)
    write_release(study, tmp_path, options=Options(rules=rules))
    assert [row["winner"] for row in rows_of(tmp_path, "battles")] == ["model_b", "tie"]
    assert manifest_of(tmp_path)["derived"]["rules"]["tie_within"] == 0
    assert faults(tmp_path) == []
    manifest = manifest_of(tmp_path)
    manifest["derived"]["rules"]["tie_within"] = 5
    (tmp_path / MANIFEST).write_text(json.dumps(manifest))
    assert {rule for _file, _line, rule in faults(tmp_path)} == {"derived"}


# What trl trains on


def test_preferences_are_trls_explicit_conversations(folder: Path) -> None:
    row = rows_of(folder, "preferences")[6]
    assert row["prompt"] == [
        {"role": "user", "content": "What is a good soup? 0"},
        {"role": "assistant", "content": "Lentil. 0"},
        {"role": "user", "content": "What is a good soup? 1"},
    ]
    assert row["chosen"] == [{"role": "assistant", "content": "Lentil. 1"}]
    assert row["rejected"] == [{"role": "assistant", "content": "Lentil. 0"}]
    assert (row["score_chosen"], row["score_rejected"]) == (60, 50)
    # Columns that trl's trainers would take for their own.
    assert not {"margin", "messages", "completion", "label", "tools"} & set(row)
    battles = rows_of(folder, "battles")
    decided = [row["interaction_id"] for row in battles if row["winner"] != "tie"]
    assert [row["interaction_id"] for row in rows_of(folder, "preferences")] == decided


def test_unpaired_ratings_have_a_label_and_the_score(folder: Path) -> None:
    row = rows_of(folder, "unpaired")[0]
    assert row["prompt"] == [{"role": "user", "content": "What is a good soup? 0"}]
    assert row["completion"] == [{"role": "assistant", "content": "Lentil. 0"}]
    assert (row["label"], row["score"]) == (True, 70)
    assert {r["label"] for r in rows_of(folder, "unpaired") if r["score"] == 50} == {False}


def test_nothing_is_learned_from_ties_twins_blanks_or_untouched_sliders(tmp_path: Path) -> None:
    study = make_study()
    converse(make_person(study), scores=((50, 54, 90), (50, 80)))
    converse(make_person(study, minute=1), scores=((1, 99), (1, 99)), reply="")
    Utterance.objects.filter(score=80).update(model_response="Lentil. 0")
    still = {"was_touched": False, "first_value": None, "moves": 0, "ms_to_first_touch": None}
    Utterance.objects.filter(score=90).update(**still, first_by="")
    write_release(study, tmp_path)
    assert rows_of(tmp_path, "preferences") == []
    assert manifest_of(tmp_path)["derived"]["left_out"]["preferences"] == {
        "empty text": 2,
        "same text": 1,
        "tie": 1,
        "untouched slider": 2,
    }
    assert [row["untouched"] for row in rows_of(tmp_path, "battles")][:3] == [0, 1, 1]
    assert faults(tmp_path) == []
    write_release(study, tmp_path, options=Options(rules=Rules(with_untouched=True)))
    assert len(rows_of(tmp_path, "preferences")) == 2
    assert faults(tmp_path) == []


# Tools that read them

DATASETS = """
import sys
from pathlib import Path
from datasets import load_dataset
for path in sorted(Path(sys.argv[1]).rglob("*.*")):
    kind = {".jsonl": "json", ".parquet": "parquet"}.get(path.suffix)
    if kind and path.stat().st_size and path.stem != "paradata":
        found = load_dataset(kind, data_files=str(path), split="train")
        print(path.relative_to(sys.argv[1]), len(found), *found.column_names)
"""


def test_datasets_reads_every_file(folder: Path, tmp_path: Path) -> None:
    offline = {"HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1", "HF_HOME": str(tmp_path / "hf")}
    done = subprocess.run(
        [sys.executable, "-c", DATASETS, str(folder)],
        env=os.environ | offline,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    counts = manifest_of(folder)["rows"]
    found = {line.split()[0]: line.split()[1:] for line in done.stdout.splitlines()}
    assert set(found) == {name for name in counts if "paradata" not in name}
    for name, (number, *columns) in found.items():
        assert int(number) == counts[name]
        order = documents.shipped().tables[Path(name).stem].key_order
        assert tuple(columns) == order


def test_pandas_and_polars_read_every_file(folder: Path) -> None:
    for name, number in manifest_of(folder)["rows"].items():
        path = folder / name
        if path.suffix == ".parquet":
            assert len(pd.read_parquet(path)) == len(pl.read_parquet(path)) == number
        elif number:
            assert len(pd.read_json(path, lines=True)) == number
            assert len(pl.read_ndjson(path, infer_schema_length=None)) == number


# Parquet


def test_parquet_is_typed_by_the_codebook(folder: Path) -> None:
    def types(name: str) -> dict[str, str]:
        schema = pq.read_schema(folder / "parquet" / f"{name}.parquet")
        return {field.name: str(field.type) for field in schema}

    assert types("survey")["generated_datetime"] == "timestamp[ms]"
    assert types("survey")["stated_prefs"].startswith("struct<values: int64")
    assert types("conversations")["conversation_history"].startswith("list<element: struct<turn")
    assert types("wide")["score_d"] == "int64"
    assert types("calls")["latency_ms"] == "int64"
    assert "probability: double" in types("assignments")["pair_probabilities"]
    field = pq.read_schema(folder / "parquet" / "calls.parquet").field("cost_usd")
    assert field.metadata == {b"label": b"Cost (in US dollars)"}


def test_parquet_has_the_same_rows(folder: Path) -> None:
    table = pq.read_table(folder / "parquet" / "preferences.parquet")
    assert table.to_pylist() == rows_of(folder, "preferences")
    (first, *_others) = pq.read_table(folder / "parquet" / "survey.parquet").to_pylist()
    expected = rows_of(folder, "survey")[0]
    assert str(first.pop("generated_datetime")) == expected.pop("generated_datetime")
    assert first == expected


def test_parquet_is_written_in_pieces_and_gives_equal_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    study = make_study()
    make_cast(study)
    monkeypatch.setattr(parquet, "ROWS_AT_ONCE", 50)
    for name in ("one", "two"):
        write_release(study, tmp_path / name, options=BOTH)
    for path in (tmp_path / "one").rglob("*.*"):
        other = tmp_path / "two" / path.relative_to(tmp_path / "one")
        assert path.is_dir() or path.read_bytes() == other.read_bytes()
    assert pq.ParquetFile(tmp_path / "one" / "parquet" / "utterances.parquet").num_row_groups == 2
    monkeypatch.setattr(parquet, "ROWS_AT_ONCE", 20)
    assert faults(tmp_path / "one") == []


def test_parquet_keeps_the_order_of_the_lines(tmp_path: Path) -> None:
    study = make_study()
    converse(make_person(study))
    write_release(study, tmp_path, "github", options=BOTH)
    for name in ("conversations", "utterances", "wide"):
        columns = pq.read_schema(tmp_path / "parquet" / f"{name}.parquet").names
        assert columns == list(rows_of(tmp_path, name)[0])
    assert list(rows_of(tmp_path, "wide")[0])[13:17] == [
        f"included_in_balanced_subset_{letter}" for letter in "abcd"
    ]
    assert faults(tmp_path) == []


def test_parquet_that_says_something_else_is_found(folder: Path) -> None:
    home = folder / "parquet"
    table = pq.read_table(home / "utterances.parquet").to_pandas()
    table.loc[3, "score"] = 99
    table.to_parquet(home / "utterances.parquet")
    (home / "calls.parquet").write_bytes(b"PAR1")
    shutil.copy(home / "battles.parquet", home / "wide.parquet")
    (home / "models.parquet").unlink()
    assert sorted(faults(folder)) == [
        ("parquet/calls.parquet", 0, "parquet"),
        ("parquet/models.parquet", 0, "missing"),
        ("parquet/utterances.parquet", 0, "parquet"),
        ("parquet/wide.parquet", 0, "parquet"),
    ]


# JSON Schemas


def test_every_row_satisfies_its_schema(folder: Path) -> None:
    for name in (n.removesuffix(".jsonl") for n in manifest_of(folder)["rows"] if "/" not in n):
        validator = schema_of(folder, name)
        for row in rows_of(folder, name):
            assert not list(validator.iter_errors(row)), name
            assert list(validator.iter_errors(row | {"prolific_pid": "x"}))
    scored = schema_of(folder, "utterances")
    row = rows_of(folder, "utterances")[0]
    assert list(scored.iter_errors(row | {"score": 101}))
    assert list(scored.iter_errors(row | {"utterance_id": "user1"}))


def schema_of(folder: Path, name: str) -> jsonschema.Draft202012Validator:
    schema = json.loads((folder / "schemas" / f"{name}.schema.json").read_text())
    jsonschema.Draft202012Validator.check_schema(schema)
    return jsonschema.Draft202012Validator(schema)


# What the validator finds: file, line, change, and the rules that tell


def swap(key: str, other: int) -> Callable[[list[Row], int], None]:
    """Another row's value."""

    def change(found: list[Row], line: int) -> None:
        found[line - 1][key] = found[other - 1][key]

    return change


def put(**values: Any) -> Callable[[list[Row], int], None]:
    return lambda found, line: found[line - 1].update(values)


def lose(found: list[Row], line: int) -> None:
    found.pop(line - 1)


def first_message(role: str) -> Callable[[list[Row], int], None]:
    return lambda found, line: found[line - 1]["messages"][0].update(role=role)


FAULTS: dict[str, tuple[str, int, Callable[[list[Row], int], Any], set[str]]] = {
    "a call of somebody else": ("calls", 1, put(user_id="user1"), {"agreement", "tries"}),
    "a call of nobody": ("calls", 1, put(user_id="user99"), {"reference", "tries", "agreement"}),
    "a call of another conversation": (
        "calls",
        1,
        put(conversation_id="c7"),
        {"reference", "agreement", "tries"},
    ),
    "a call of another turn": ("calls", 3, put(turn=1), {"agreement", "messages"}),
    "a call of another type": ("calls", 3, put(conversation_type="values guided"), {"agreement"}),
    "a call out of its sequence": ("calls", 3, put(call_id="call7"), {"sequence", "unique"}),
    "a call of a model that is not listed": ("calls", 1, put(model_name="x/y"), {"reference"}),
    "a call of another model": ("calls", 3, put(model_name="vendor/model-e"), {"agreement"}),
    "a call of another provider": ("calls", 3, put(model_provider="openai"), {"provider"}),
    "a try before its time": ("calls", 3, put(try_number=3), {"tries", "agreement"}),
    "a reply of a call that failed": ("calls", 3, put(outcome="error"), {"outcome", "agreement"}),
    "an ending that is none": ("calls", 3, put(outcome="pending"), {"value"}),
    "an error of a call that went well": ("calls", 3, put(error_class="X"), {"outcome"}),
    "another's latency": ("calls", 3, put(latency_ms=17), {"agreement"}),
    "a reply brought twice": ("calls", 3, swap("utterance_ids", 2), {"unique", "agreement"}),
    "a reply that is none": ("calls", 3, put(utterance_ids=["ut999"]), {"reference"}),
    "not released, with a reply": ("calls", 3, put(is_released=False), {"released"}),
    "another turn's messages": ("calls", 3, swap("messages", 6), {"messages"}),
    "messages of a turn that is hidden": ("calls", 3, put(messages=None), {"messages"}),
    "a message of another role": ("calls", 3, first_message("user"), {"messages"}),
    "a message without text": (
        "calls",
        3,
        lambda found, line: found[line - 1]["messages"][0].pop("content"),
        {"keys"},
    ),
    "a lost call": ("calls", 5, lose, {"sequence", "missing", "manifest"}),
    "a rating of nobody": ("ratings", 1, put(user_id="user99"), {"reference"}),
    "another's rating": ("ratings", 1, put(user_id="user1"), {"unique"}),
    "another value in the survey": ("ratings", 1, put(value=99), {"agreement"}),
    "a value of a line that is none": ("ratings", 1, put(item="other"), {"agreement"}),
    "not applicable, with a value": ("ratings", 1, put(is_na=True), {"is-na"}),
    "two lines in one place": ("ratings", 2, swap("position", 1), {"positions"}),
    "an id too many": ("ratings", 1, put(conversation_id="c0"), {"ids"}),
    "another file": ("ratings", 1, put(file="utterances"), {"ids"}),
    "a lost rating": ("ratings", 50, lose, {"missing", "manifest"}),
    "nobody's consent": ("consents", 2, put(user_id="user99"), {"people"}),
    "another text under a version": ("consents", 2, put(sha256="e" * 64), {"manifest"}),
    "a hash that is none": ("consents", 2, put(sha256="e"), {"value", "manifest"}),
    "another version of a text": ("consents", 2, put(version="2"), {"version", "manifest"}),
    "a lost consent": ("consents", 8, lose, {"missing", "manifest"}),
    "a finding about nobody": ("quality", 1, put(user_id="user99"), {"reference"}),
    "a finding in another's conversation": ("quality", 1, put(user_id="user2"), {"agreement"}),
    "words as evidence": (
        "quality",
        1,
        put(evidence=[{"name": "quote", "number": None, "code": "my words"}]),
        {"evidence"},
    ),
    "no evidence at all in one": (
        "quality",
        1,
        put(evidence=[{"name": "n", "number": None, "code": None}]),
        {"evidence"},
    ),
    "a place that is none": (
        "quality",
        1,
        put(places=[{"question": "shoe", "conversation_id": None, "turn": None}]),
        {"reference"},
    ),
    "another score in wide": ("wide", 1, put(score_a=1), {"derived"}),
    "another order of wide": ("wide", 2, swap("interaction_id", 3), {"derived"}),
    "another winner": ("battles", 1, put(winner="tie"), {"derived"}),
    "another margin": ("battles", 1, put(margin=3), {"derived"}),
    "a lost battle": ("battles", 57, lose, {"missing", "manifest"}),
    "another reply chosen": ("preferences", 1, swap("chosen", 4), {"derived"}),
    "another's prompt": ("preferences", 7, swap("prompt", 1), {"derived"}),
    "another label": ("unpaired", 1, put(label=False), {"derived"}),
    "a completion of nobody": (
        "unpaired",
        1,
        put(completion=[{"role": "user", "content": "I"}]),
        {"value"},
    ),
    "two completions": (
        "unpaired",
        1,
        put(completion=[{"role": "assistant", "content": "I"}] * 2),
        {"range"},
    ),
}


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault(folder: Path, name: str) -> None:
    shutil.rmtree(folder / "parquet")
    manifest = manifest_of(folder)
    manifest["rows"] = {k: v for k, v in manifest["rows"].items() if "/" not in k}
    (folder / MANIFEST).write_text(json.dumps(manifest))
    file, line, change, rules = FAULTS[name]
    found = rows_of(folder, file)
    change(found, line)
    (folder / f"{file}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in found))
    told = [fault for fault in faults(folder) if fault[0] == f"{file}.jsonl"]
    assert {rule for _file, _line, rule in told} >= rules
    assert any(number in (line, 0) for _file, number, _rule in told)


def test_a_broken_source_stops_the_comparison_and_nothing_else(folder: Path) -> None:
    (folder / "ratings.jsonl").write_text("{}\n")
    found = {(d.file, d.rule, d.is_note) for d in validate(folder)}
    assert ("ratings.jsonl", "keys", False) in found
    assert ("battles.jsonl", "derived", True) in found


# Options and the command


def test_a_part_of_a_release(tmp_path: Path) -> None:
    study = make_study()
    converse(make_person(study))
    write_release(study, tmp_path, options=BOTH)
    out = io.StringIO()
    options: Row = {"only": ["survey,preferences", "calls.jsonl"], "format": "parquet"}
    call_command("export", "prism", out=tmp_path, stdout=out, **options)
    assert [line.split(":")[0] for line in out.getvalue().splitlines()] == [
        f"parquet/{name}.parquet" for name in ("survey", "calls", "preferences")
    ]
    left = {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*.*")}
    assert {name for name in left if name.endswith((".jsonl", ".parquet"))} == {
        f"parquet/{name}.parquet" for name in ("survey", "calls", "preferences")
    }


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"only": ["suvery"]}, r"no file 'suvery'\. It has: survey, conversations"),
        ({"tie_within": 99}, r"--tie-within takes 0 to 98, not 99"),
        ({"tie_within": -1}, r"--tie-within takes 0 to 98"),
    ],
)
def test_the_command_says_what_it_cannot_do(tmp_path: Path, options: Row, words: str) -> None:
    make_study()
    with pytest.raises(CommandError, match=words):
        call_command("export", "prism", out=tmp_path / "new", **options)


def test_parquet_without_pyarrow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_study()
    monkeypatch.setattr(parquet, "find_spec", lambda _name: None)
    with pytest.raises(CommandError, match=r"pip install 'refract\[release\]'"):
        call_command("export", "prism", out=tmp_path / "new", format="both")
    assert not (tmp_path / "new").exists()


def test_a_survey_alone(tmp_path: Path) -> None:
    study = load_values_study()
    write_release(study, tmp_path, options=BOTH)
    assert set(files_of(study)) & {"ratings", "consents", "quality"} >= {"consents", "quality"}
    assert not {"calls", *derived.MAKERS} & set(files_of(study))
    assert faults(tmp_path) == []


def test_more_replies_than_prisms_make_more_columns(tmp_path: Path) -> None:
    study = make_study()
    six = PRESETS["prism"].model_dump(mode="json") | {"candidates": "samples", "opening_models": 6}
    Study.objects.update(protocol_json=six)
    study.refresh_from_db()
    write_release(study, tmp_path, options=BOTH)
    names = pq.read_schema(tmp_path / "parquet" / "wide.parquet").names
    assert names[5:11] == [f"utterance_id_{letter}" for letter in "abcdef"]
    assert faults(tmp_path) == []


def test_texts_of_every_kind(tmp_path: Path) -> None:
    study = make_study()
    text = "\u2028\u2029\x85 \U0001f372 \U000e0001 \u202e \x0b " + "é" * 10**6
    converse(make_person(study, answers={"gender": choice("female")}), prompt=text, reply=text)
    write_release(study, tmp_path, options=BOTH)
    for name in ("wide", "battles", "preferences", "unpaired", "calls"):
        assert len((tmp_path / f"{name}.jsonl").read_text().splitlines()) == len(
            rows_of(tmp_path, name)
        )
    assert faults(tmp_path) == []
