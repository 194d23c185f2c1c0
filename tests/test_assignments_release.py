"""assignments.jsonl: how each released reply came about, under every kind of protocol."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.db import transaction
from pytest_django.plugin import DjangoDbBlocker

from collection.demo import load_values_study
from collection.export.validate import validate
from collection.export.write import Options, files_of, stream, write_release
from collection.models import Conversation, Utterance
from surveys.models import Study
from surveys.protocol import PRESETS
from tests.cast import set_protocol, use_models
from tests.conftest import Run
from tests.export_cast import add_failed_turn, add_left_out, converse, make_person, make_study
from tests.model_server import ModelServer
from tests.walk import Person, mark

pytestmark = pytest.mark.django_db

Row = dict[str, Any]
Change = Callable[[list[Row]], Any]

ASSIGNMENTS, MANIFEST = "assignments.jsonl", "manifest.json"
PRISMS = ("survey", "conversations", "utterances", "models", "assignments", "paradata")
"""The files that this module is about: test_release_files.py has the others."""
SCORES = (20, 90, 40, 60, 10, 30)


def talk(study: Study, name: str = "alice", *, prompt: str = "What is a good soup?") -> Person:
    """Somebody who did the survey and one conversation of two turns, all through the pages."""
    person = Person(study, PROLIFIC_PID=name)
    person.survey()
    person.post("instructions/")
    person.start()
    for turn in (0, 1):
        person.prompt(turn, prompt)
        rate(person, turn)
    person.finish()
    person.feedback()
    assert person.conversation.state == Conversation.State.COMPLETE
    return person


def rate(person: Person, turn: int) -> None:
    fields: Row = {"turn": turn, "layout": "2,1280,800"}
    for position in range(person.replies(turn)):
        fields |= mark(f"score_{position}", SCORES[position])
    person.post(f"c/{person.conversation.number}/rate/", fields)


def released(study: Study, name: str = "assignments") -> list[Row]:
    return [json.loads(text) for text in stream(Study.objects.get(pk=study.pk), name)]


def write(study: Study, folder: Path) -> Path:
    fresh = Study.objects.get(pk=study.pk)
    only = tuple(name for name in files_of(fresh) if name in PRISMS)
    write_release(fresh, folder, options=Options(only=only))
    return folder


def faults(folder: Path) -> list[tuple[str, int, str]]:
    return [(d.file, d.line, d.rule) for d in validate(folder) if not d.is_note]


def rules(folder: Path) -> set[str]:
    return {rule for _file, _line, rule in faults(folder)}


def manifest_of(folder: Path) -> Row:
    found: Row = json.loads((folder / MANIFEST).read_text())
    return found


def say_protocol(folder: Path, **changes: Any) -> None:
    """Let the manifest name PRISM's protocol, with changes."""
    protocol = PRESETS["prism"].model_dump(mode="json") | changes
    (folder / MANIFEST).write_text(json.dumps(manifest_of(folder) | {"protocol": protocol}))


def test_it_works(study: Study, model_server: ModelServer, tmp_path: Path) -> None:
    use_models(study, model_server, *["ok"] * 5)
    talk(study)
    rows, utterances = released(study), released(study, "utterances")
    assert len(rows) == 6
    for row, utterance in zip(rows, utterances, strict=True):
        ids = ("utterance_id", "interaction_id", "conversation_id", "user_id", "turn")
        for key in (*ids, "within_turn_id"):
            assert row[key] == utterance[key]
        assert utterance["model_name"] in row["eligible"]
    first, later = rows[0], rows[4]
    names = list(study.endpoints.order_by("long_name").values_list("long_name", flat=True))
    assert (first["candidates"], first["strategy"], first["attempt"]) == ("models", "uniform", 0)
    assert first["eligible"] == names
    assert first["inclusion_probability"] == pytest.approx(4 / 5)
    assert first["pair_probabilities"] == pytest.approx(dict.fromkeys(("ut1", "ut2", "ut3"), 0.6))
    assert first["layout"] == {"columns": 2, "width": 1280, "height": 800}
    assert [row["draw_position"] for row in rows] == [0, 1, 2, 3, 0, 1]
    assert sorted(row["screen_position"] for row in rows[:4]) == [0, 1, 2, 3]
    for row, utterance in zip(rows, utterances, strict=True):
        assert utterance["score"] == SCORES[row["screen_position"]]
    assert (first["outcome"], first["try_number"], type(first["latency_ms"])) == ("ok", 0, int)
    for key in ("arm", "anchor", "replacement_probability"):
        assert first[key] is None
    for key in ("is_replacement", "was_tied", "self_named", "was_masked", "was_hidden"):
        assert first[key] is False
    assert (later["candidates"], later["strategy"]) == ("samples", "locked")
    assert later["eligible"] == [utterances[4]["model_name"]]
    assert later["inclusion_probability"] == 1
    assert later["pair_probabilities"] == {"ut5": None}
    assert faults(write(study, tmp_path)) == []


def samples(_names: list[str]) -> Row:
    return {"candidates": "samples", "opening_models": 6}


def prompts(_names: list[str]) -> Row:
    arms = {"plain": "{header}", "personal": "{header} Their wish: {system_string}"}
    return {"candidates": "prompts", "system_prompts": arms}


def fixed(names: list[str]) -> Row:
    sets = {"left": names[:3], "right": names[3:]}
    return {"assignment": "fixed", "model_sets": sets, "opening_models": 2}


def weighted(_names: list[str]) -> Row:
    return {"assignment": "weighted"}


@pytest.mark.parametrize(
    ("protocol", "replies", "lie"),
    [
        (samples, 6, {"replies", "models-distinct", "range", "codebook", "protocol", "schema"}),
        (prompts, 2, {"models-distinct", "protocol"}),
        (fixed, 2, {"protocol"}),
        (weighted, 4, {"protocol"}),
    ],
)
def test_other_protocols_are_checked_by_what_they_allow(
    study: Study,
    model_server: ModelServer,
    tmp_path: Path,
    protocol: Callable[[list[str]], Row],
    replies: int,
    lie: set[str],
) -> None:
    names = [endpoint.long_name for endpoint in use_models(study, model_server, *["ok"] * 6)]
    set_protocol(study, **protocol(names))
    talk(study)
    folder = write(study, tmp_path)
    rows = released(study)
    assert len(rows) == replies + 2
    assert faults(folder) == []
    say_protocol(folder)
    assert rules(folder) == lie
    # Without a manifest nothing says that more is allowed.
    (folder / MANIFEST).unlink()
    assert rules(folder) == lie


def test_a_protocol_of_six_replies_says_so_in_its_codebook(study: Study, tmp_path: Path) -> None:
    set_protocol(study, **samples([]))
    codebook = json.loads((write(study, tmp_path) / "codebook.json").read_text())
    for file in ("utterances.jsonl", ASSIGNMENTS):
        column = next(c for c in codebook["files"][file] if c["key"] == "within_turn_id")
        assert column["maximum"] == 5
        assert "up to six" in column["label"]


def test_arms_go_on_with_the_reply_that_was_chosen(study: Study) -> None:
    set_protocol(study, **prompts([]))
    talk(study)
    arms = [row["arm"] for row in released(study)]
    chosen = next(u for u in released(study, "utterances") if u["if_chosen"])
    assert sorted(arms[:2]) == ["personal", "plain"]
    assert arms[2:] == [arms[chosen["within_turn_id"]]] * 2


def test_replies_of_one_call(study: Study, model_server: ModelServer, tmp_path: Path) -> None:
    set_protocol(study, candidates="varied")
    use_models(study, model_server, "echo", "echo")
    talk(study, prompt=json.dumps({"replies": ["One.", "Two.", "Three.", "Four."]}))
    rows = released(study)
    assert [row["draw_position"] for row in rows[:4]] == [0] * 4
    assert {row["inclusion_probability"] for row in rows[:4]} == {0.5}
    assert set(rows[0]["pair_probabilities"].values()) == {None}
    assert faults(write(study, tmp_path)) == []


# Replacements


@pytest.fixture
def failing(
    study: Study, model_server: ModelServer, monkeypatch: pytest.MonkeyPatch
) -> Callable[[int], None]:
    """Lets so many calls of the study's four models fail, whichever are drawn."""
    use_models(study, model_server, *["fails"] * 4)
    monkeypatch.setitem(model_server.behaviours, "fails", "ok")
    return lambda times: model_server.fail_next("fails", times)


@pytest.fixture
def replaced(study: Study, failing: Callable[[int], None]) -> Study:
    """Two of four models were drawn, one failed, and one of the two left stood in."""
    set_protocol(study, opening_models=2, on_failure="replace")
    failing(1)
    talk(study)
    return study


def test_a_replacement_has_a_probability_of_its_own(replaced: Study, tmp_path: Path) -> None:
    rows = [row for row in released(replaced) if row["turn"] == 0]
    drawn, stand_in = sorted(rows, key=lambda row: row["is_replacement"])
    assert (drawn["is_replacement"], stand_in["is_replacement"]) == (False, True)
    assert (drawn["inclusion_probability"], drawn["replacement_probability"]) == (1 / 2, None)
    assert stand_in["inclusion_probability"] is None
    assert stand_in["replacement_probability"] == 1 / 2
    assert (drawn["try_number"], stand_in["try_number"]) == (0, 1)
    assert drawn["pair_probabilities"] == {stand_in["utterance_id"]: None}
    folder = write(replaced, tmp_path)
    assert manifest_of(folder)["replacements"] == {"asked": 1, "released": 1}
    assert faults(folder) == []


def test_the_second_replacement_is_one_of_fewer(
    study: Study, failing: Callable[[int], None], tmp_path: Path
) -> None:
    set_protocol(study, opening_models=2, on_failure="replace")
    failing(2)
    talk(study)
    first = [row for row in released(study) if row["turn"] == 0]
    assert all(row["is_replacement"] for row in first)
    assert sorted(row["replacement_probability"] for row in first) == [1 / 2, 1]
    assert faults(write(study, tmp_path)) == []


def test_a_replacement_in_a_fixed_set_is_of_its_arm(
    study: Study, failing: Callable[[int], None], tmp_path: Path
) -> None:
    names = list(study.endpoints.values_list("long_name", flat=True))
    set_protocol(
        study,
        assignment="fixed",
        model_sets={"left": names[:3], "right": names[1:]},
        opening_models=2,
        on_failure="replace",
    )
    failing(1)
    talk(study)
    rows = released(study)
    assert [row["is_replacement"] for row in rows].count(True) >= 1
    assert len({row["arm"] for row in rows} & {"left", "right"}) == 1
    assert {row["replacement_probability"] for row in rows} == {None, 1}
    assert faults(write(study, tmp_path)) == []


def test_a_protocol_that_replaces_nobody(replaced: Study, tmp_path: Path) -> None:
    folder = write(replaced, tmp_path)
    say_protocol(folder, opening_models=2)
    assert rules(folder) == {"protocol"}


# What is shown and what is not


def test_masked_is_said_and_the_models_own_words_are_released(
    study: Study, model_server: ModelServer, tmp_path: Path
) -> None:
    set_protocol(study, self_naming="mask")
    use_models(study, model_server, "echo", "echo")
    words = "As ChatGPT, a model made by OpenAI, I like soup."
    talk(study, prompt=words)
    assert all(text != words for text in Utterance.objects.values_list("shown_text", flat=True))
    assert {row["model_response"] for row in released(study, "utterances")} == {words}
    for row in released(study):
        assert (row["self_named"], row["was_masked"]) == (True, True)
    assert faults(write(study, tmp_path)) == []


def test_flagged_only(study: Study, model_server: ModelServer) -> None:
    use_models(study, model_server, "echo", "echo")
    talk(study, prompt="As ChatGPT, a model made by OpenAI, I like soup.")
    assert {(row["self_named"], row["was_masked"]) for row in released(study)} == {(True, False)}


def test_reported_and_hidden(study: Study) -> None:
    person = Person(study, PROLIFIC_PID="alice")
    person.survey()
    person.post("instructions/")
    person.start()
    person.prompt(0)
    number = person.conversation.number
    person.post(f"c/{number}/report/", {"position": "1", "reason": "rude", "hide": "on"})
    person.post(f"c/{number}/report/", {"position": "2", "reason": "rude"})
    rate(person, 0)
    person.prompt(1)
    rate(person, 1)
    person.finish()
    person.feedback()
    flags = {
        row["screen_position"]: (row["was_reported"], row["was_hidden"])
        for row in released(study)[:4]
    }
    assert flags[0] == (False, False)
    assert flags[1] == (True, True)
    assert flags[2] == (True, False)


def test_cut_and_filtered_replies_are_shown_and_say_so(
    study: Study, model_server: ModelServer
) -> None:
    use_models(study, model_server, "length", "filtered", "filtered-empty", "empty")
    talk(study)
    assert sorted(row["outcome"] for row in released(study) if row["turn"] == 0) == [
        "filtered",
        "truncated",
    ]


def test_ties(study: Study) -> None:
    other = make_study("other")
    converse(make_person(other), scores=((50, 70, 70, 20), (8, 8)))
    assert [row["was_tied"] for row in released(other)] == [False, True, True, False, True, True]


def test_what_did_not_happen_is_not_released(tmp_path: Path) -> None:
    study = make_study("other")
    add_left_out(study)
    add_failed_turn(converse(make_person(study, minute=50)), turn=2)
    technical = Conversation.objects.filter(state=Conversation.State.TECHNICAL)
    assert technical.get().interactions.get(turn=0).utterances.exists()
    rows = released(study)
    assert len(rows) == len(released(study, "utterances")) == 6
    assert {row["user_id"] for row in rows} == {"user4"}
    assert {row["turn"] for row in rows} == {0, 1}
    assert faults(write(study, tmp_path)) == []


def test_a_turn_that_happened_at_the_second_attempt(
    study: Study, model_server: ModelServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    use_models(study, model_server, *["fails"] * 5)
    monkeypatch.setitem(model_server.behaviours, "fails", "ok")
    model_server.fail_next("fails", 4)
    person = Person(study, PROLIFIC_PID="alice")
    person.survey()
    person.post("instructions/")
    person.start()
    person.prompt(0)
    person.post(f"c/{person.conversation.number}/again/", {"attempt": "0", "prompt": "Soup?"})
    rate(person, 0)
    person.prompt(1)
    rate(person, 1)
    person.finish()
    person.feedback()
    rows = released(study)
    assert [row["attempt"] for row in rows] == [1, 1, 1, 1, 0, 0]
    folder = write(study, tmp_path)
    assert faults(folder) == []
    counts = manifest_of(folder)["calls"].values()
    assert sum(of_type["unguided"].get("error", 0) for of_type in counts) == 4
    assert sum(of_type["unguided"]["ok"] for of_type in counts if "ok" in of_type["unguided"]) == 6


def test_a_survey_alone_has_no_such_file(tmp_path: Path) -> None:
    study = load_values_study()
    (tmp_path / ASSIGNMENTS).write_text("of an earlier instrument")
    folder = write(study, tmp_path)
    assert "assignments" not in files_of(study)
    assert not (folder / ASSIGNMENTS).exists()
    assert faults(folder) == []


# Anchors


ANCHORS = [{"code": "soup", "text": " Is soup a meal? "}, {"code": "tea", "text": "Is tea a soup?"}]


@pytest.fixture
def anchored(study: Study, tmp_path: Path) -> Path:
    """The release of a conversation that opened with the only anchor."""
    set_protocol(study, anchors=ANCHORS[:1])
    talk(study)
    return write(study, tmp_path)


def test_an_anchor_is_said_by_its_code(anchored: Path) -> None:
    rows = rows_of(anchored)
    assert [row["anchor"] for row in rows] == ["soup"] * len(rows)
    assert manifest_of(anchored)["anchors"] == {"soup": 1}
    assert faults(anchored) == []


@pytest.mark.parametrize(
    ("anchors", "rule"),
    [([], "protocol"), ([{"code": "soup", "text": "Is tea a soup?"}], "anchor")],
)
def test_an_anchor_that_the_protocol_does_not_have(
    anchored: Path, anchors: list[Row], rule: str
) -> None:
    say_protocol(anchored, anchors=anchors)
    assert rules(anchored) == {rule}


def test_an_anchor_of_another_conversation(anchored: Path) -> None:
    say_protocol(anchored, anchors=ANCHORS)
    change(anchored, lambda rows: rows[0].update(anchor="tea"))
    assert faults(anchored) == [(ASSIGNMENTS, 1, "turn")]
    change(anchored, lambda rows: [row.update(anchor="tea") for row in rows[:4]])
    assert faults(anchored) == [(ASSIGNMENTS, 1, "anchor"), (ASSIGNMENTS, 5, "anchor")]


# Broken files: alice's c0 has lines 1 to 4 for its first turn and 5 and 6 for its second.


@pytest.fixture(scope="module")
def template(
    django_db_setup: None,
    django_db_blocker: DjangoDbBlocker,
    tmp_path_factory: pytest.TempPathFactory,
) -> Path:
    """A release of two conversations, of two turns each."""
    folder = tmp_path_factory.mktemp("release")
    with django_db_blocker.unblock(), transaction.atomic():
        study = make_study()
        person = make_person(study)
        converse(person)
        converse(person, "values guided")
        write(study, folder)
        transaction.set_rollback(True)
    return folder


@pytest.fixture
def folder(template: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(template, tmp_path / "release"))


def rows_of(folder: Path) -> list[Row]:
    return [json.loads(line) for line in (folder / ASSIGNMENTS).read_text().splitlines()]


def change(folder: Path, edit: Change) -> None:
    rows = rows_of(folder)
    edit(rows)
    (folder / ASSIGNMENTS).write_text("".join(json.dumps(row) + "\n" for row in rows))


def in_all(lines: range, **values: Any) -> Change:
    return lambda rows: [rows[line - 1].update(values) for line in lines]


def pair(one: int, other: int, value: Any) -> Change:
    """The probability of two utterances, in both rows."""

    def edit(rows: list[Row]) -> None:
        rows[one]["pair_probabilities"][f"ut{other}"] = value
        rows[other]["pair_probabilities"][f"ut{one}"] = value

    return edit


OPENING, LATER = range(1, 5), range(5, 7)
E = "vendor/model-e"

MUTATIONS: dict[str, tuple[Change, list[tuple[int, str]]]] = {
    "a key too many": (lambda rows: rows[0].update(prolific_pid="x"), [(1, "keys")]),
    "a key too few": (lambda rows: rows[0].pop("arm"), [(1, "keys")]),
    "no outcome that is shown": (in_all(range(1, 2), outcome="timeout"), [(1, "value")]),
    "a latency below 0": (in_all(range(1, 2), latency_ms=-1), [(1, "range")]),
    "a layout without its width": (
        in_all(OPENING, layout={"columns": 1, "height": 2}),
        [(line, "keys") for line in OPENING],
    ),
    "a lost row": (lambda rows: rows.pop(), [(0, "missing"), (0, "manifest")]),
    "a row twice": (
        lambda rows: rows.insert(1, rows[0]),
        [(2, "unique"), (0, "manifest")],
    ),
    "a row too many": (
        lambda rows: rows.append(rows[0] | {"utterance_id": "ut12"}),
        [(13, "reference"), (0, "manifest")],
    ),
    "rows in another order": (
        lambda rows: rows.insert(0, rows.pop(1)),
        [(1, "sequence"), (2, "sequence"), (3, "sequence")],
    ),
    "another interaction": (in_all(range(1, 2), interaction_id="int1"), [(1, "agreement")]),
    "another conversation": (in_all(range(1, 2), conversation_id="c1"), [(1, "agreement")]),
    "another person": (in_all(range(1, 2), user_id="user1"), [(1, "agreement")]),
    "another turn": (in_all(range(1, 2), turn=1), [(1, "agreement")]),
    "another within_turn_id": (in_all(range(1, 2), within_turn_id=1), [(1, "agreement")]),
    "a probability of 0": (
        in_all(OPENING, inclusion_probability=0),
        [*((line, "probability") for line in OPENING), *[(1, "pairs")] * 6, (1, "uniform")],
    ),
    "a probability above 1": (
        in_all(range(1, 2), inclusion_probability=1.2),
        [(1, "range"), *[(1, "pairs")] * 3, (1, "uniform")],
    ),
    "a probability left out": (
        in_all(range(1, 2), inclusion_probability=None),
        [(1, "replacement"), *[(1, "pairs")] * 3],
    ),
    "a probability as text": (in_all(range(1, 2), inclusion_probability="0.8"), [(1, "type")]),
    "another probability": (in_all(range(1, 2), inclusion_probability=0.7), [(1, "uniform")]),
    "a replacement that none is": (
        in_all(range(1, 2), is_replacement=True),
        [(1, "replacement"), (1, "protocol")],
    ),
    "two probabilities": (in_all(range(1, 2), replacement_probability=0.5), [(1, "replacement")]),
    "not eligible": (
        in_all(OPENING, eligible=[f"vendor/model-{letter}" for letter in "bcde"]),
        [(1, "eligible"), (1, "uniform")],
    ),
    "an unknown model that was eligible": (
        lambda rows: [rows[line]["eligible"].append("x") for line in range(4)],
        [*((line, "reference") for line in OPENING), (1, "uniform")],
    ),
    "eligible out of order": (
        lambda rows: [rows[line]["eligible"].reverse() for line in range(4)],
        [(line, "eligible") for line in OPENING],
    ),
    "eligible differs within a turn": (
        lambda rows: rows[1]["eligible"].pop(),
        [(1, "turn")],
    ),
    "a pair more probable than one of them": (pair(0, 1, 0.81), [(1, "pairs"), (1, "uniform")]),
    "a pair less probable than both must be": (pair(0, 1, 0.59), [(1, "pairs"), (1, "uniform")]),
    "a pair not as in a uniform draw": (pair(0, 1, 0.65), [(1, "uniform")]),
    "a pair in one row only": (
        lambda rows: rows[0]["pair_probabilities"].update(ut1=0.7),
        [(1, "pairs"), (1, "uniform")],
    ),
    "a pair of two models without a probability": (pair(0, 1, None), [(1, "pairs")]),
    "a pair of one model": (pair(4, 5, 1), [(5, "pairs")]),
    "a pair left out": (lambda rows: rows[0]["pair_probabilities"].pop("ut1"), [(1, "pairs")]),
    "a pair with another turn": (
        lambda rows: rows[0]["pair_probabilities"].update(ut9=0.6),
        [(1, "pairs")],
    ),
    "a pair with nobody": (
        lambda rows: rows[0]["pair_probabilities"].update(x=0.6),
        [(1, "id"), (1, "pairs")],
    ),
    "a pair as text": (
        lambda rows: rows[0]["pair_probabilities"].update(ut1="0.6"),
        [(1, "type")],
    ),
    "a pair that is not a number": (
        lambda rows: rows[0]["pair_probabilities"].update(ut1=float("nan")),
        [(1, "nan")],
    ),
    "two replies in one place": (in_all(range(1, 3), screen_position=3), [(1, "positions")]),
    "a place beyond": (in_all(range(1, 2), screen_position=4), [(1, "range"), (1, "positions")]),
    "draws in another order": (in_all(range(1, 2), draw_position=2), [(1, "positions")]),
    "one draw twice": (in_all(LATER, draw_position=0), [(5, "positions")]),
    "a tie that none was": (in_all(range(1, 2), was_tied=True), [(1, "tie")]),
    "masked without reason": (in_all(range(1, 2), was_masked=True), [(1, "flags")]),
    "hidden without report": (in_all(range(1, 2), was_hidden=True), [(1, "flags")]),
    "another strategy": (in_all(OPENING, strategy="stratified"), [(1, "protocol")]),
    "other candidates": (
        in_all(OPENING, candidates="prompts"),
        [(1, "protocol"), (1, "candidates"), (1, "arm")],
    ),
    "an opening that was locked": (in_all(OPENING, strategy="locked"), [(1, "protocol")]),
    "a later turn that was drawn": (in_all(LATER, strategy="uniform"), [(5, "locked")]),
    "a later turn by chance": (
        in_all(LATER, inclusion_probability=0.5),
        [(5, "locked")],
    ),
    "a later turn with a choice": (
        lambda rows: [rows[line]["eligible"].append(E) for line in (4, 5)],
        [(5, "locked")],
    ),
    "an arm": (
        in_all(OPENING, arm="personal"),
        [*((line, "protocol") for line in OPENING), (5, "arm")],
    ),
    "an anchor": (
        in_all(range(1, 7), anchor="soup"),
        [(line, "protocol") for line in range(1, 7)],
    ),
    "layouts within a turn": (
        in_all(range(1, 2), layout={"columns": 1, "width": 2, "height": 3}),
        [(1, "turn")],
    ),
}


def test_the_release_to_be_broken_is_sound(folder: Path) -> None:
    assert faults(folder) == []
    assert len(rows_of(folder)) == 12


@pytest.mark.parametrize("name", MUTATIONS)
def test_a_broken_row(folder: Path, name: str) -> None:
    edit, expected = MUTATIONS[name]
    change(folder, edit)
    found = faults(folder)
    assert {file for file, _line, _rule in found} == {ASSIGNMENTS}
    assert sorted((line, rule) for _file, line, rule in found) == sorted(expected)


def test_a_manifest_that_lies(study: Study, tmp_path: Path) -> None:
    """It says that the replies are of different models; they are not."""
    set_protocol(study, **samples([]))
    talk(study)
    folder = write(study, tmp_path)
    say_protocol(folder, opening_models=6)
    assert rules(folder) == {"models-distinct", "protocol"}


def test_a_manifest_that_says_samples_of_what_are_several_models(folder: Path) -> None:
    say_protocol(folder, candidates="samples")
    assert rules(folder) == {"protocol"}
    change(folder, in_all(OPENING, candidates="samples"))
    assert (ASSIGNMENTS, 1, "candidates") in faults(folder)


def test_more_replies_than_the_protocol_allows(study: Study, tmp_path: Path) -> None:
    set_protocol(study, **samples([]))
    talk(study)
    folder = write(study, tmp_path)
    say_protocol(folder, candidates="samples", opening_models=5)
    assert rules(folder) == {"replies", "range", "codebook", "schema"}


def test_a_protocol_that_is_none(folder: Path) -> None:
    manifest = manifest_of(folder)
    (folder / MANIFEST).write_text(json.dumps(manifest | {"protocol": {"name": 1}}))
    assert faults(folder) == [(MANIFEST, 0, "protocol")]


# Simulated people


STUDIES = """
from surveys.models import Study
from surveys.protocol import PRESETS
study = Study.objects.get(slug="prism")
endpoints = list(study.endpoints.exclude(short_name="demo-slow"))
names = sorted(endpoint.long_name for endpoint in endpoints)
texts = ("Is soup a meal?", "  What do we owe <our> neighbours?\\n\\nSay why. ")
for slug, changes in {
    "samples": {"candidates": "samples", "opening_models": 6},
    "prompts": {
        "candidates": "prompts",
        "system_prompts": {"plain": "{header}", "personal": "{header} {system_string}"},
    },
    "anchored": {
        "assignment": "fixed",
        "model_sets": {"left": names[:5], "right": names[4:]},
        "anchors": [{"code": f"a{n}", "text": text} for n, text in enumerate(texts)],
        "on_failure": "replace",
        "self_naming": "mask",
    },
    "even": {"assignment": "stratified", "opening_models": 8, "min_opening_replies": 4},
}.items():
    study.pk, study.slug, study._state.adding = None, slug, True
    changes["conversations_per_type"] = 1
    study.protocol_json = PRESETS["prism"].model_dump(mode="json") | changes
    study.save()
    study.endpoints.set(endpoints)
"""


def test_simulated_people_meet_every_protocol(run_embedded: Run, tmp_path: Path) -> None:
    refract = run_embedded(env={"REFRACT_DEMO_LATENCY": "0"})
    refract.manage("shell", "-c", STUDIES)
    for slug in ("samples", "prompts", "anchored", "even"):
        four = ("simulate", slug, "--participants", "4", "--seed", "5")
        printed = refract.manage(*four, "--base-url", refract.url)
        assert " 0 failed; " in printed
        folder = tmp_path / slug
        refract.manage("export", slug, "--out", str(folder))
        assert refract.manage("validate", str(folder)) == ""
        rows = rows_of(folder)
        assert len(rows) > 20
        assert {row["layout"]["columns"] for row in rows} <= {1, 2}
    anchors = manifest_of(tmp_path / "anchored")["anchors"]
    assert anchors.keys() == {"a0", "a1"} and all(anchors.values())
    assert any(row["screen_position"] == 7 for row in rows_of(tmp_path / "even"))
