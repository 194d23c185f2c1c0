"""The survey's columns, derived from any instrument; its versions, and what a folder tells."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import connection
from django.test.utils import CaptureQueriesContext
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from collection.export import cells as cells_of
from collection.export.branches import branch_problems
from collection.export.columns import Column, Table
from collection.export.derive import columns_of, survey_columns
from collection.export.recover import NotTold, recovered
from collection.export.shape import row_problems
from collection.export.validate import validate
from collection.export.write import stream, write_release
from surveys.instruments.conditions import Value
from surveys.instruments.load import FOLDER, InstrumentError, keep, parse, read
from surveys.instruments.released import conditional, keys_of
from surveys.instruments.schema import InstrumentFile, Question
from surveys.models import Assignment, Instrument, Order, Participant, Response, Study
from surveys.sheet import Sheet
from tests.export_cast import START, give_consent, make_study
from tests.instruments import documents, said

Row = dict[str, Any]

ALL_TYPES = """
instrument: all-types
title: {en: Everything, es: Todo}
language: en
languages: [en, es]
attribution: Ours.
randomise: true
variants:
  - {code: frame, arms: [{code: gain}, {code: loss}]}
pages:
  - code: start
    title: Start
    anchor: first
    questions:
      - code: gate
        type: single
        text: Gate
        options:
          - {code: "open", label: {en: Open, es: Abierto}}
          - {code: "shut", label: {en: Shut, es: Cerrado}}
      - {code: secret, type: text, text: Secret, release: {form: none}}
  - block: choosing
    randomise: true
    pages:
      - code: choices
        title: Choices
        randomise: true
        questions:
          - code: drink
            type: single
            text: What do you drink?
            label: Drink
            options: [{code: tea, label: Tea}, {code: own, label: Other}]
            self_describe: own
            prefer_not_to_say: true
            randomise: true
          - code: mood
            type: ordinal
            text: Mood
            points: [{code: low, label: Low, released: 1}, {code: high, label: High, released: 2}]
            prefer_not_to_say: true
          - {code: home, type: country, text: Home, release: {column: nation}}
          - code: awake
            type: attention
            text: Choose blue
            options: [{code: red, label: Red}, {code: blue, label: Blue}]
            correct: [blue]
            required: false
      - code: checks
        title: Checks
        show_if: {question: gate, among: ["open"]}
        questions:
          - code: task
            type: comprehension
            text: What will you do?
            explanation: You will talk.
            options: [{code: talk, label: Talk}, {code: sing, label: Sing}]
            correct: [talk]
          - code: uses
            type: multiple
            text: Uses
            options: [{code: work, label: Work}, {code: none_, label: None, exclusive: true}]
            other: {code: other, label: Something else}
            randomise: true
            required: false
  - code: lines
    title: Lines
    anchor: last
    questions:
      - code: values
        type: sliders
        text: Values
        stem: It matters that...
        low: No
        high: Yes
        na: true
        randomise: true
        statements: [{code: kind, label: kind}, {code: fast, label: fast}]
        other: {code: other, label: other}
      - {code: warmth, type: slider, text: Warmth, low: Cold, high: Warm, minimum: -5, maximum: 5}
      - code: agree
        type: likert
        text: Agree
        randomise: true
        statements:
          - {code: cats, label: Cats, anchor: last}
          - {code: dogs, label: Dogs}
          - {code: eels, label: Eels}
        points: [{code: "no", label: Disagree}, {code: "yes", label: Agree}]
      - code: when
        type: matrix
        text: When
        multiple: true
        rows: [{code: mon, label: Monday}]
        columns: [{code: am, label: Morning}, {code: pm, label: Evening}]
      - code: rank
        type: ranking
        text: Rank
        top: 2
        options: [{code: a, label: A}, {code: b, label: B}, {code: c, label: C}]
      - {code: words, type: text, text: Words, prefer_not_to_say: true}
      - {code: age, type: number, text: Age, minimum: 18, maximum: 99}
      - {code: height, type: number, text: Height, decimals: 2, minimum: 0, maximum: 3}
      - {code: born, type: date, text: Born, precision: month, earliest: "1900"}
"""
ALL_TYPES = ALL_TYPES.replace("low: No\n", 'low: "No"\n').replace("high: Yes\n", 'high: "Yes"\n')

ANSWERS: dict[str, Any] = {
    "gate": {"choice": "open", "text": None},
    "secret": {"text": "swordfish"},
    "drink": {"choice": "own", "text": " Mate "},
    "mood": {"choice": "high", "text": None},
    "home": {"choice": "TWN", "text": None},
    "awake": {"choice": "red", "text": None},
    "task": {"choice": "talk", "text": None},
    "uses": {"chosen": ["work", "other"], "other_text": "chess"},
    "values": {"scores": {"kind": 80, "fast": None, "other": 9}, "other_text": "fair"},
    "warmth": {"score": -5},
    "agree": {"rows": {"cats": "yes", "dogs": "no", "eels": "yes"}},
    "when": {"rows": {"mon": ["am", "pm"]}},
    "rank": {"ranked": ["c", "a"]},
    "words": {"text": " Be kind. "},
    "age": {"number": 44},
    "height": {"number": 1.75},
    "born": {"date": "1980-05"},
}
ORDERS = {
    "drink": ["own", "tea"],
    "uses": ["none_", "work", "other"],
    "values": ["fast", "kind", "other"],
    "agree": ["eels", "dogs", "cats"],
    "rank": ["b", "c", "a"],
    "page:choices": ["awake", "home", "mood", "drink"],
    "block:choosing": ["checks", "choices"],
    "pages:": ["start", "choosing", "lines"],
}


def instrument_of(text: str) -> Instrument:
    return keep(parse("drawn.yaml", text))


def study_of(text: str) -> Study:
    return make_study("types", instrument_of(text))


def person_of(
    study: Study, answers: Mapping[str, Any], language: str = "", **fields: Any
) -> Participant:
    fields = {"survey_finished_at": START, "instrument": study.instrument} | fields
    person = Participant.objects.create(
        study=study, consent_shown_at=START, language=language, **fields
    )
    give_consent(person)
    for code, value in answers.items():
        attempts = ["sing", "talk"] if code == "task" else []
        Response.objects.create(
            participant=person,
            question=code,
            value=value,
            attempts=attempts,
            language=language,
        )
    for scope, codes in ORDERS.items():
        Order.objects.create(participant=person, scope=scope, codes=codes)
    for variant in person.file.variants:
        Assignment.objects.create(
            participant=person, variant=variant.code, arm=variant.arms[1].code, counts={}
        )
    return person


def survey_of(study: Study) -> list[Row]:
    return [json.loads(line) for line in stream(study, "survey")]


def faults(folder: Path) -> list[tuple[str, int, str]]:
    return [(d.file, d.line, d.rule) for d in validate(folder) if not d.is_note]


@pytest.fixture
def study(db: None) -> Study:
    return study_of(ALL_TYPES)


def test_it_works(study: Study, tmp_path: Path) -> None:
    person_of(study, ANSWERS, language="es")
    (row,) = survey_of(study)
    answers = list(row.items())[5:-6]
    assert dict(answers) == {
        "language": "es",
        "frame": "loss",
        "gate": "Open",
        "drink": "Other",
        "drink_text": "Mate",
        "mood": 2,
        "mood_status": "answered",
        "nation": "Taiwan, Province of China",
        "nation_iso": "TWN",
        "awake": "Red",
        "awake_passed": False,
        "awake_status": "answered",
        "task": "Talk",
        "task_attempts": 2,
        "uses": {"work": 1, "none_": 0, "other": 1, "other_text": "chess"},
        "uses_status": "answered",
        "values": {"kind": 80, "fast": None, "other": 9, "other_text": "fair"},
        "warmth": -5,
        "agree": {"cats": "Agree", "dogs": "Disagree", "eels": "Agree"},
        "when": {"mon": ["Morning", "Evening"]},
        "rank": {"a": 2, "b": None, "c": 1},
        "words": "Be kind.",
        "words_status": "answered",
        "age": 44,
        "height": 1.75,
        "born": "1980-05",
        "order_drink": {"tea": 2, "own": 1},
        "order_uses": {"work": 2, "none_": 1, "other": 3},
        "order_values": {"kind": 2, "fast": 1, "other": 3},
        "order_agree": {"cats": 3, "dogs": 2, "eels": 1},
        "order_rank": {"a": 3, "b": 1, "c": 2},
        "order_block_choosing": ["checks", "choices"],
        "order_page_choices": ["awake", "home", "mood", "drink"],
        "order_pages": ["start", "choosing", "lines"],
        "study_id": "types",
        "study_locale": "us",
    }
    write_release(study, tmp_path)
    assert faults(tmp_path) == []
    manifest = json.loads((tmp_path / "manifest.json").read_text())
    assert manifest["not_released"]["questions"] == ["secret"]
    assert "swordfish" not in "".join(path.read_text() for path in tmp_path.glob("*.jsonl"))


def test_declined_skipped_and_hidden_answers_differ(study: Study, tmp_path: Path) -> None:
    unseen = {"task": ANSWERS["task"], "uses": ANSWERS["uses"]}  # answered, then made unreachable
    declined = {code: {"declined": True} for code in ("drink", "mood", "words")}
    person_of(
        study,
        ANSWERS
        | unseen
        | declined
        | {
            "gate": {"choice": "shut", "text": None},
            "home": {"choice": "prefer_not_to_say", "text": None},
            "awake": {"skipped": True},
        },
    )
    (row,) = survey_of(study)
    assert (row["drink"], row["drink_text"]) == ("Prefer not to say", None)
    assert (row["mood"], row["mood_status"]) == (None, "prefer not to say")
    assert (row["nation"], row["nation_iso"]) == ("Prefer not to say", "Prefer not to say")
    assert (row["awake"], row["awake_passed"], row["awake_status"]) == (None, None, "skipped")
    assert (row["words"], row["words_status"]) == (None, "prefer not to say")
    assert (row["task"], row["task_attempts"]) == (None, None)
    assert set(row["uses"].values()) == {None}
    assert row["uses_status"] == "not shown"
    assert set(row["order_uses"].values()) == {None}
    assert row["language"] == "en"
    write_release(study, tmp_path)
    assert faults(tmp_path) == []


def test_an_own_option_keeps_its_place_only_if_the_instrument_says_so(study: Study) -> None:
    """`other` always stands last, an anchored statement too; a self-describing option may not."""
    columns = {c.key: {p.key: (p.low, p.high) for p in c.keys} for c in columns_in(ALL_TYPES)}
    assert columns["order_uses"] == {"work": (1, 2), "none_": (1, 2), "other": (3, 3)}
    assert columns["order_agree"] == {"cats": (3, 3), "dogs": (1, 2), "eels": (1, 2)}
    assert columns["order_drink"] == {"tea": (1, 2), "own": (1, 2)}


def columns_in(text: str) -> tuple[Column, ...]:
    return survey_columns(parse("drawn.yaml", text).file)


def test_the_answers_language_is_the_one_most_were_given_in(study: Study) -> None:
    person = person_of(study, ANSWERS, language="es")
    Response.objects.filter(participant=person, question="gate").update(language="en")
    Participant.objects.update(language="en")
    assert survey_of(study)[0]["language"] == "es"


def test_columns_stand_where_the_file_says(db: None) -> None:
    order = "release: {columns: [study_locale, born, order_rank]}\n"
    keys = [column.key for column in columns_in(ALL_TYPES + order)]
    assert keys[:5] == ["study_locale", "born", "order_rank", "language", "frame"]
    assert keys[-1] == "study_id"


def test_names_known_to_the_file_are_those_of_the_columns() -> None:
    file = parse("drawn.yaml", ALL_TYPES).file
    behind = conditional(file)
    for question in file.questions():
        for is_conditional in {question.code in behind, True}:
            columns = columns_of(question, is_conditional=is_conditional)
            assert [c.key for c in columns] == keys_of(question, is_conditional=is_conditional)


BAD_COLUMNS = {
    "a fixed column": ("code: warmth", "code: user_id", r"'user_id' would be of 'user_id'"),
    "a companion": ("code: age", "code: drink_text", r"'drink_text' would be of 'drink_text'"),
    "a variant": ("column: nation", "column: frame", "'frame' would be of 'home' and of 'frame'"),
    "the language": ("code: height", "code: language", "the language answered in"),
    "the typed text": ("code: work", "code: other_text", "where the typed text goes"),
    "a side without a place": ("column: nation", "side: birth", "form place and side"),
    "a place without a column": (
        "column: nation",
        "form: place, side: birth",
        "needs a country and the column",
    ),
    "codes without categories": ("form: none", "form: coded", "form coded needs a single choice"),
    "an unknown order": (
        "attribution: Ours.",
        "attribution: Ours.\nrelease: {columns: [nothing]}",
        "names nothing, which cannot be placed",
    ),
    "a column twice": (
        "attribution: Ours.",
        "attribution: Ours.\nrelease: {columns: [born, born]}",
        "names born twice",
    ),
}


@pytest.mark.parametrize("name", BAD_COLUMNS)
def test_a_file_whose_columns_cannot_be_is_refused(name: str) -> None:
    old, new, message = BAD_COLUMNS[name]
    assert old in ALL_TYPES
    with pytest.raises(InstrumentError, match=message):
        parse("drawn.yaml", ALL_TYPES.replace(old, new))


# Whatever is asked and answered


def normal(question: Question, value: Value) -> Value:
    """An answer without what a release keeps elsewhere or not at all."""
    if value.get("skipped"):
        return {}
    if value.get("declined") or value.get("choice") == "prefer_not_to_say":
        return {"declined": True}
    kept = {key: v for key, v in value.items() if key not in ("other_text",)}
    if "choice" in kept:
        kept.pop("text")
    if "text" in kept:
        kept["text"] = kept["text"].strip()
    return kept


FIXTURES = Path(__file__).parent / "fixtures"


def files() -> st.SearchStrategy[InstrumentFile]:
    """Drawn instruments, and the ones at hand."""
    written = [*sorted(FIXTURES.glob("*.yaml")), FOLDER / "prism.yaml"]
    known = [parse("drawn.yaml", ALL_TYPES).file, *map(read, written)]
    return documents().map(InstrumentFile.model_validate) | st.sampled_from(known)


@settings(max_examples=60, phases=[Phase.explicit, Phase.generate])
@given(data=st.data())
def test_answers_can_be_read_back_from_their_columns(data: st.DataObject) -> None:
    file = data.draw(files())
    values = {q.code: data.draw(said(q)).value for q in file.questions()}
    arms = {v.code: data.draw(st.sampled_from(v.arms)).code for v in file.variants}
    sheet = Sheet(file, data.draw(st.integers(0, 99)), arms, values)
    orders = {scope: codes for page in sheet.pages for scope, codes in sheet.orders(page).items()}
    attempts = {code: ["wrong", "right"] for code in values}
    row = cells_of.cells(cells_of.Said(file, sheet.shown, attempts, orders)) | arms
    columns = {column.key: column for column in survey_columns(file) if column.key in row}
    assert set(columns) == set(row)
    table = Table("survey", tuple(columns[key] for key in row))
    assert list(row_problems(table, json.loads(json.dumps(row)))) == []
    assert list(branch_problems(file, row)) == []
    for question in file.questions():
        try:
            found = recovered(question, row)
        except NotTold:  # not released, not coded yet, or two options of one label
            continue
        shown = sheet.shown.get(question.code)
        assert (found or {}) == (normal(question, shown) if shown else {})


# Several versions

FIRST = """
instrument: short
title: Short
language: en
attribution: Ours.
pages:
  - code: only
    title: Only
    questions:
      - code: mood
        type: single
        text: Mood
        options: [{code: low, label: Low}, {code: high, label: High}]
      - {code: old, type: text, text: Old}
      - code: uses
        type: multiple
        text: Uses
        options: [{code: work, label: Work}, {code: play, label: Play}]
"""
SECOND = (
    FIRST.replace("label: High}", "label: Very high}, {code: mid, label: Middle}")
    .replace("- {code: old, type: text, text: Old}", "- {code: new, type: number, text: New}")
    .replace("{code: play, label: Play}", "{code: rest, label: Rest}")
    .replace("text: Uses", "text: Uses\n        required: false")
)
MOOD = {"choice": "high", "text": None}


def two_versions(first: str, second: str) -> Study:
    study = study_of(first)
    older = {"mood": MOOD, "old": {"text": "Yes"}, "uses": {"chosen": ["play"], "other_text": None}}
    person_of(study, older)
    study.instrument = instrument_of(second)
    study.save()
    newer = {"mood": MOOD, "new": {"number": 4}, "uses": {"skipped": True}}
    person_of(study, newer)
    return study


@pytest.mark.django_db
def test_versions_are_merged_by_column(tmp_path: Path) -> None:
    study = two_versions(FIRST, SECOND)
    older, newer = survey_of(study)
    first, second = Instrument.objects.order_by("created_at").values_list("sha256", flat=True)
    keys = list(older)[5:-6]
    assert " ".join(keys) == "instrument mood new uses uses_status study_id study_locale old"
    assert list(newer) == list(older)
    assert [older[key] for key in keys[:5]] == [
        *(first, "High", None, {"work": 0, "rest": None, "play": 1}, "answered"),
    ]
    assert [newer[key] for key in keys[:5]] == [
        *(second, "Very high", 4, {"work": None, "rest": None, "play": None}, "skipped"),
    ]
    assert (older["old"], newer["old"]) == ("Yes", None)
    write_release(study, tmp_path)
    assert faults(tmp_path) == []
    shown = json.loads((tmp_path / "codebook.json").read_text())["files"]["survey.jsonl"]
    mood = next(column for column in shown if column["key"] == "mood")
    assert mood["allowed"] == ["Low", "Very high", "Middle", "High"]
    listed = json.loads((tmp_path / "manifest.json").read_text())["instruments"]
    assert [row["sha256"] for row in listed] == [second, first]
    assert len(json.loads((tmp_path / "instrument.json").read_text())) == 2


@pytest.mark.django_db
def test_a_version_with_an_answer_to_the_others_question_is_a_fault(tmp_path: Path) -> None:
    write_release(two_versions(FIRST, SECOND), tmp_path)
    rows = [json.loads(line) for line in (tmp_path / "survey.jsonl").read_text().splitlines()]
    rows[0]["new"] = 3
    (tmp_path / "survey.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert faults(tmp_path) == [("survey.jsonl", 1, "version")]


@pytest.mark.django_db
def test_a_question_of_another_kind_is_refused(tmp_path: Path) -> None:
    study = two_versions(FIRST, FIRST.replace("type: text", "type: slider, low: L, high: H"))
    older, newer = (str(row.sha256)[:8] for row in Instrument.objects.order_by("created_at"))
    with pytest.raises(CommandError, match=rf"'old'.* short {newer} .* short {older}"):
        call_command("export", study.slug, out=tmp_path)
    assert not any(tmp_path.iterdir())


# The folder describes itself


@pytest.fixture
def folder(study: Study, tmp_path: Path) -> Path:
    person_of(study, ANSWERS)
    person_of(study, ANSWERS | {"gate": {"choice": "shut", "text": None}})
    write_release(study, tmp_path)
    return tmp_path


def test_the_documents_are_those_that_the_manifest_names(folder: Path, study: Study) -> None:
    document = json.loads((folder / "instrument.json").read_text())
    assert document == study.instrument.document
    document["title"] = "Something else"
    (folder / "instrument.json").write_text(json.dumps(document))
    assert faults(folder) == [("instrument.json", 0, "hash")]


def test_a_codebook_that_says_something_else(folder: Path) -> None:
    content = json.loads((folder / "codebook.json").read_text())
    assert [column["key"] for column in content["files"]["survey.jsonl"]][5] == "language"
    content["files"]["survey.jsonl"][7]["allowed"] = ["Open"]
    (folder / "codebook.json").write_text(json.dumps(content))
    assert faults(folder) == [("codebook.json", 0, "codebook")]


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"pages": 1}', "[" * 100_000])
def test_an_instrument_that_is_none(folder: Path, text: str) -> None:
    (folder / "instrument.json").write_text(text)
    assert faults(folder) == [("instrument.json", 0, "instrument")]


def test_without_its_instrument_a_folder_is_held_against_prisms(folder: Path) -> None:
    (folder / "instrument.json").unlink()
    assert ("survey.jsonl", 1, "keys") in faults(folder)


def test_checking_asks_nothing_of_the_database(folder: Path) -> None:
    with CaptureQueriesContext(connection) as captured:
        assert faults(folder) == []
    assert len(captured) == 0


ROW_FAULTS: dict[str, tuple[int, dict[str, Any], str]] = {
    "an unknown label": (1, {"gate": "Ajar"}, "value"),
    "a label of another language": (1, {"gate": "Abierto"}, "value"),
    "an unknown arm": (1, {"frame": "neither"}, "value"),
    "a number beyond its bounds": (1, {"age": 17}, "range"),
    "a whole number as a fraction": (1, {"age": 17.5}, "type"),
    "a date of another precision": (1, {"born": "1980-05-01"}, "value"),
    "a date that is none": (1, {"born": "1980-13"}, "value"),
    "a date too early": (1, {"born": "1899-12"}, "range"),
    "an answer not asked for": (2, {"task": "Talk"}, "branch"),
    "an answer asked for": (1, {"task": None}, "branch"),
    "a status not to be": (1, {"uses_status": "not shown"}, "status"),
    "a status against its answer": (1, {"words_status": "prefer not to say"}, "status"),
    "a status without its answer": (1, {"words": None}, "status"),
    "an order too short": (1, {"order_pages": ["start", "lines"]}, "range"),
    "an order with a page twice": (1, {"order_pages": ["start", "start", "lines"]}, "value"),
    "an order of other things": (1, {"order_pages": ["start", "end", "lines"]}, "value"),
    "a list of lists": (1, {"order_pages": [["start"]]}, "type"),
    "a place twice": (1, {"rank": {"a": 1, "b": None, "c": 1}}, "ranking"),
    "a country of another code": (1, {"nation_iso": "FRA"}, "country"),
    "half a country": (1, {"nation_iso": "Prefer not to say"}, "country"),
    "a cell of another scale": (1, {"when": {"mon": ["Noon"]}}, "value"),
    "an anchored statement elsewhere": (
        1,
        {"order_agree": {"cats": 1, "dogs": 2, "eels": 3}},
        "range",
    ),
}


@pytest.mark.parametrize("name", ROW_FAULTS)
def test_a_broken_row(folder: Path, name: str) -> None:
    line, changes, rule = ROW_FAULTS[name]
    rows = [json.loads(text) for text in (folder / "survey.jsonl").read_text().splitlines()]
    rows[line - 1] |= changes
    (folder / "survey.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    found = faults(folder)
    assert found[0] == ("survey.jsonl", line, rule)
    assert {place[:2] for place in found} == {("survey.jsonl", line)}


def test_a_studys_survey_may_be_all_there_is(folder: Path) -> None:
    for name in ("conversations", "utterances"):
        assert (folder / f"{name}.jsonl").read_text() == ""
    (row, _other) = (json.loads(x) for x in (folder / "survey.jsonl").read_text().splitlines())
    assert row["survey_only"] is True


def test_people_who_did_not_pass_are_not_released_and_counted(study: Study, tmp_path: Path) -> None:
    person_of(study, {}, screened_at=START, survey_finished_at=None)
    write_release(study, tmp_path)
    manifest = json.loads((tmp_path / "manifest.json").read_text())
    assert manifest["rows"]["survey.jsonl"] == 0
    assert manifest["not_released"]["people"] == {"comprehension check not passed": 1}
    assert faults(tmp_path) == []


# How pages were used

LOAD = {
    "visible_ms": 900,
    "focus_losses": 1,
    "viewport_width": 360,
    "viewport_height": 640,
    "input": "touch",
    "nth": 0,
    "questions": {
        code: {"visible_ms": 400, "changes": 2, "pastes": 1, "pasted_share": 0.5}
        for code in ("gate", "secret")
    },
}


def visit(person: Participant, page: str, *loads: Row) -> None:
    noted = {f"{n:016x}": load for n, load in enumerate(loads)}
    person.pages.create(page=page, shown_at=START, paradata=noted)


def test_paradata_are_of_pages_shown_and_questions_released(study: Study, tmp_path: Path) -> None:
    person = person_of(study, ANSWERS | {"gate": {"choice": "shut", "text": None}})
    visit(person, "lines")
    visit(person, "checks", LOAD)
    visit(person, "start", LOAD)
    visit(person_of(study, {}, survey_finished_at=None), "start", LOAD)
    write_release(study, tmp_path)
    rows = [json.loads(line) for line in (tmp_path / "paradata.jsonl").read_text().splitlines()]
    assert rows == [
        {
            "user_id": "user0",
            "page": "start",
            "visible_ms": 900,
            "focus_losses": 1,
            "viewport_width": 360,
            "viewport_height": 640,
            "input": "touch",
            "loads": 1,
            "questions": {
                "gate": {"visible_ms": 400, "changes": 2, "pastes": 1, "pasted_share": 0.5}
            },
        },
        {
            "user_id": "user0",
            "page": "lines",
            "visible_ms": None,
            "focus_losses": None,
            "viewport_width": None,
            "viewport_height": None,
            "input": None,
            "loads": 0,
            "questions": {},
        },
    ]
    assert faults(tmp_path) == []


PARADATA_FAULTS: dict[str, tuple[Row, str]] = {
    "an unknown page": ({"page": "end"}, "value"),
    "an unknown person": ({"user_id": "user9"}, "reference"),
    "time run backwards": ({"visible_ms": -1}, "range"),
    "a question never released": ({"questions": {"secret": {}}}, "keys"),
    "a question without its facts": ({"questions": {"gate": {}}}, "keys"),
    "a question that is none": ({"questions": {"gate": 1}}, "type"),
}


@pytest.mark.parametrize("name", PARADATA_FAULTS)
def test_broken_paradata(study: Study, tmp_path: Path, name: str) -> None:
    changes, rule = PARADATA_FAULTS[name]
    visit(person_of(study, ANSWERS), "start", LOAD)
    write_release(study, tmp_path)
    row = json.loads((tmp_path / "paradata.jsonl").read_text()) | changes
    (tmp_path / "paradata.jsonl").write_text(json.dumps(row) + "\n")
    assert faults(tmp_path) == [("paradata.jsonl", 1, rule)]


def test_a_page_has_its_paradata_once(study: Study, tmp_path: Path) -> None:
    visit(person_of(study, ANSWERS), "start", LOAD)
    write_release(study, tmp_path)
    path = tmp_path / "paradata.jsonl"
    path.write_text(path.read_text() * 2)
    assert ("paradata.jsonl", 2, "unique") in faults(tmp_path)


def test_without_leave_nothing_of_pages_is_released(study: Study, tmp_path: Path) -> None:
    study.protocol_json = study.protocol_json | {"paradata": False}
    study.save()
    visit(person_of(Study.objects.get(), ANSWERS), "start", LOAD)
    write_release(Study.objects.get(), tmp_path)
    assert not (tmp_path / "paradata.jsonl").exists()
    assert "paradata.jsonl" not in (tmp_path / "codebook.json").read_text()
    assert faults(tmp_path) == []


def test_queries_do_not_grow_with_people(study: Study) -> None:
    def queries() -> list[int]:
        counts = []
        for name in ("survey", "paradata"):
            with CaptureQueriesContext(connection) as captured:
                list(stream(study, name))
            counts.append(len(captured))
        return counts

    visit(person_of(study, ANSWERS), "start", LOAD)
    few = queries()
    for _n in range(5):
        visit(person_of(study, ANSWERS), "start", LOAD)
    assert queries() == few
