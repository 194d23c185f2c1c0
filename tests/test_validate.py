"""The check of release folders: silent on ours, exact about whatever is broken, kind to PRISM's."""

import io
import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command
from django.db import transaction
from pytest_django.plugin import DjangoDbBlocker

from collection.export.tables import MODERATION
from collection.export.validate import Deviation, validate
from collection.export.write import DESCRIPTIONS, Options, write_release
from tests.export_cast import choice, converse, make_cast, make_person, make_study

Row = dict[str, Any]
Change = Callable[[Row], Any]

SURVEY, CONVERSATIONS = "survey.jsonl", "conversations.jsonl"
UTTERANCES, MODELS, METADATA = "utterances.jsonl", "models.jsonl", "metadata.jsonl"
ASSIGNMENTS, MANIFEST = "assignments.jsonl", "manifest.json"
PRISMS = (
    *("survey", "conversations", "utterances", "metadata", "models", "flags", "assignments"),
    "paradata",
)
"""The files that this module is about: see test_release_files.py for the others."""


@pytest.fixture(scope="module")
def template(
    django_db_setup: None,
    django_db_blocker: DjangoDbBlocker,
    tmp_path_factory: pytest.TempPathFactory,
) -> Path:
    """A release of the cast: four people (alice, bob, carla, dana), 13 conversations."""
    folder = tmp_path_factory.mktemp("release")
    with django_db_blocker.unblock(), transaction.atomic():
        study = make_study()
        make_cast(study)
        write_release(study, folder, options=Options(only=PRISMS))
        transaction.set_rollback(True)
    # Moderated, and without what repeats other files and is tested on its own.
    (folder / METADATA).write_text(as_lines(metadata_of(folder)))
    for name in ("flags.jsonl", "subsets.json"):
        (folder / name).unlink()
    manifest = json.loads((folder / "manifest.json").read_text())
    for name in ("flags.jsonl", METADATA):
        del manifest["rows"][name]
    (folder / "manifest.json").write_text(json.dumps(manifest))
    drawn = dict.fromkeys(("included_in_US_REP", "included_in_UK_REP"), False)
    rows = [row | drawn for row in rows_of(folder / SURVEY)]
    (folder / SURVEY).write_text(as_lines(rows))
    return folder


@pytest.fixture
def folder(template: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(template, tmp_path / "release"))


def rows_of(path: Path) -> list[Row]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def as_lines(rows: list[Row]) -> str:
    return "".join(json.dumps(row) + "\n" for row in rows)


def metadata_of(folder: Path) -> list[Row]:
    """One row per text of a release, as detectors would leave it."""
    rows: list[Row] = []

    def add(column: str, row: Row, *ids: str) -> None:
        rows.append(
            {
                "column_id": column,
                **{
                    key: row[key] if key in ids else None
                    for key in ("user_id", "conversation_id", "interaction_id", "utterance_id")
                },
                "pii_flag": False,
                "pii_manual_flag": None,
                "language_flag": "en",
                "en_flag": True,
                "moderation_flag": {
                    "flagged": False,
                    "categories": dict.fromkeys(MODERATION, False),
                    "category_scores": dict.fromkeys(reversed(MODERATION), 0.01),
                },
            }
        )

    for row in rows_of(folder / SURVEY):
        add("system_string", row, "user_id")
        add("self_description", row, "user_id")
    for row in rows_of(folder / CONVERSATIONS):
        add("open_feedback", row, "user_id", "conversation_id")
    for row in rows_of(folder / UTTERANCES):
        ids = ("user_id", "conversation_id", "interaction_id")
        if row["within_turn_id"] == 0:
            add("user_prompt", row, *ids)
        add("model_response", row, *ids, "utterance_id")
    return rows


def change(folder: Path, name: str, line: int, edit: Change) -> None:
    """Edit the row of one line, counted from 1."""
    rows = rows_of(folder / name)
    edit(rows[line - 1])
    (folder / name).write_text(as_lines(rows))


def change_lines(folder: Path, name: str, edit: Callable[[list[bytes]], Any]) -> None:
    """Edit the lines of a file as they stand on disk."""
    lines = (folder / name).read_bytes().splitlines(keepends=True)
    edit(lines)
    (folder / name).write_bytes(b"".join(lines))


def faults(folder: Path) -> list[tuple[str, int, str]]:
    return [(d.file, d.line, d.rule) for d in validate(folder) if not d.is_note]


def notes(folder: Path) -> set[tuple[str, str]]:
    return {(d.file, d.rule) for d in validate(folder) if d.is_note}


def leave_alone(folder: Path) -> None:
    """Take away the files that repeat what is in utterances.jsonl."""
    (folder / METADATA).unlink()
    (folder / ASSIGNMENTS).unlink()
    manifest = json.loads((folder / MANIFEST).read_text())
    del manifest["rows"][ASSIGNMENTS]
    (folder / MANIFEST).write_text(json.dumps(manifest))


def item(row: Row, index: int) -> Row:
    found: Row = row["conversation_history"][index]
    return found


def test_it_works(folder: Path) -> None:
    assert faults(folder) == []


# One edited row: what is changed, and every fault that must follow. Line 1 of the survey is
# alice's, 2 bob's (never used a model, declined much), 3 carla's, 4 dana's.

SURVEY_FAULTS: dict[str, tuple[int, Change, list[str]]] = {
    "a key too few": (1, lambda row: row.pop("age"), ["keys"]),
    "a key too many": (1, lambda row: row.update(prolific_pid="x"), ["keys"]),
    "keys in another order": (1, lambda row: row.update(age=row.pop("age")), ["key-order"]),
    "a nested key too few": (1, lambda row: row["location"].pop("birth_region"), ["keys"]),
    "nested keys in another order": (
        1,
        lambda row: row["stated_prefs"].update(values=row["stated_prefs"].pop("values")),
        ["key-order"],
    ),
    "a number as text": (1, lambda row: row.update(timing_duration_s="266"), ["type"]),
    "a truth value as a number": (1, lambda row: row.update(survey_only=0), ["type"]),
    "a number as a truth value": (
        1,
        lambda row: row["lm_usecases"].update(games=True),
        ["type"],
    ),
    "whole seconds as a fraction": (1, lambda row: row.update(timing_duration_s=266.0), ["type"]),
    "a dict as text": (1, lambda row: row.update(religion="none"), ["type"]),
    "an unbounded number": (1, lambda row: row.update(timing_duration_s=10**400), ["type"]),
    "null where it is known": (1, lambda row: row.update(age=None), ["null"]),
    "null in a place": (1, lambda row: row["location"].update(birth_country=None), ["null"]),
    "a label that is no option": (1, lambda row: row.update(age="18-24"), ["value"]),
    "a code instead of a label": (1, lambda row: row.update(gender="male"), ["value"]),
    "another consent": (1, lambda row: row.update(consent="Yes"), ["value"]),
    "a use case of 2": (1, lambda row: row["lm_usecases"].update(games=2), ["value"]),
    "a preference of 101": (1, lambda row: row["stated_prefs"].update(values=101), ["range"]),
    "an id with a leading zero": (
        1,
        lambda row: row.update(user_id="user00"),
        ["id"],
    ),
    "survey_only against the count": (
        2,
        lambda row: row.update(survey_only=False),
        ["survey-only"],
    ),
    "a wrong count of conversations": (
        1,
        lambda row: row.update(num_completed_conversations=5),
        ["conversation-count"],
    ),
    "a frequency that was not asked": (
        2,
        lambda row: row.update(lm_frequency_use="Every day"),
        ["branch"],
    ),
    "a frequency that was asked": (
        1,
        lambda row: row.update(lm_frequency_use=None),
        ["branch"],
    ),
    "a use case that was not asked": (
        2,
        lambda row: row["lm_usecases"].update(games=0),
        ["branch"],
    ),
    "a use case that was asked": (
        1,
        lambda row: row["lm_usecases"].update(games=None),
        ["branch"],
    ),
    "an order that was not shown": (
        2,
        lambda row: row["order_lm_usecases"].update(other=19),
        ["branch"],
    ),
    "two options at one place": (
        1,
        lambda row: row["order_stated_prefs"].update(values=row["order_stated_prefs"]["safety"]),
        ["order"],
    ),
    "one's own not last": (
        1,
        lambda row: row["order_stated_prefs"].update(other=1),
        ["range", "order"],
    ),
    "an own preference without a text": (
        1,
        lambda row: row["stated_prefs"].update(other=50),
        ["other-text"],
    ),
    "an own text without a preference": (
        1,
        lambda row: row["stated_prefs"].update(other_text="is funny"),
        ["other-text"],
    ),
    "a self-description as typed": (
        1,
        lambda row: row["religion"].update(self_described="None!"),
        ["self-described"],
    ),
    "declining left to be coded": (
        2,
        lambda row: row["religion"].update(categorised=None, simplified=None),
        ["null"],
    ),
    "declining coded": (
        2,
        lambda row: row["ethnicity"].update(categorised="White", simplified="White"),
        ["identity"],
    ),
    "a category wrongly simplified": (
        1,
        lambda row: row["religion"].update(categorised="Sikh", simplified="No Affiliation"),
        ["identity"],
    ),
    "a category not simplified": (
        1,
        lambda row: row["religion"].update(categorised="Sikh"),
        ["identity"],
    ),
    "a country of another code": (
        1,
        lambda row: row["location"].update(reside_country="France"),
        ["location"],
    ),
    "a common name": (
        3,
        lambda row: row["location"].update(reside_country="UK"),
        ["location"],
    ),
    "a code of no country": (
        1,
        lambda row: row["location"].update(reside_countryISO="XXX"),
        ["location", "location"],
    ),
    "a region of elsewhere": (
        1,
        lambda row: row["location"].update(birth_subregion="Eastern Asia"),
        ["location"],
    ),
    "half a country not told": (
        2,
        lambda row: row["location"].update(birth_region="Americas"),
        ["location"],
    ),
    "same country against the codes": (
        3,
        lambda row: row["location"].update(same_birth_reside_country="Yes"),
        ["location"],
    ),
    "a special region of elsewhere": (
        3,
        lambda row: row["location"].update(special_region="Northern America"),
        ["location"],
    ),
    "minutes against seconds": (
        1,
        lambda row: row.update(timing_duration_mins=4.44),
        ["timing"],
    ),
    "a time with a zone": (
        1,
        lambda row: row.update(generated_datetime="2026-03-01T09:04:26Z"),
        ["value"],
    ),
    "a day that is none": (
        1,
        lambda row: row.update(generated_datetime="2026-02-30 09:04:26"),
        ["value"],
    ),
    "a locale with a capital": (1, lambda row: row.update(study_locale="US"), ["value"]),
    "a sample with an unknown ethnicity": (
        1,
        lambda row: row.update(included_in_US_REP=True),
        ["sample"],
    ),
    "a sample of another country": (
        1,
        lambda row: row.update(
            included_in_UK_REP=True,
            ethnicity={"self_described": "w", "categorised": "White", "simplified": "White"},
        ),
        ["sample"],
    ),
    "both samples": (
        1,
        lambda row: row.update(
            included_in_US_REP=True,
            included_in_UK_REP=True,
            ethnicity={"self_described": "w", "categorised": "White", "simplified": "White"},
        ),
        ["sample"],
    ),
    "a sample outside the balanced subset": (
        2,
        lambda row: row.update(included_in_US_REP=True),
        ["sample"] * 4,
    ),
    "balanced without conversations": (
        2,
        lambda row: row.update(included_in_balanced_subset=True),
        ["balanced-subset"],
    ),
    "a text that is half a character": (
        1,
        lambda row: row.update(self_description="\ud800"),
        ["utf-8"],
    ),
}


@pytest.mark.parametrize("name", SURVEY_FAULTS)
def test_a_broken_survey_row(folder: Path, name: str) -> None:
    line, edit, rules = SURVEY_FAULTS[name]
    change(folder, SURVEY, line, edit)
    found = faults(folder)
    expected = [(SURVEY, line, rule) for rule in rules]
    if name == "an id with a leading zero":  # nobody is user0 any more
        assert found[:1] == expected
        assert (CONVERSATIONS, 1, "reference") in found
    else:
        assert found == expected


# Line 1 of the conversations is alice's c0: turns of four and two replies, items 0 to 7.

CONVERSATION_FAULTS: dict[str, tuple[int, Change, list[tuple[str, int, str]]]] = {
    "a key too few": (1, lambda row: row.pop("open_feedback"), [(CONVERSATIONS, 1, "keys")]),
    "no feedback": (
        1,
        lambda row: row.update(open_feedback=None),
        [(CONVERSATIONS, 1, "null")],
    ),
    "an attribute of 0": (
        1,
        lambda row: row["choice_attributes"].update(values=0),
        [(CONVERSATIONS, 1, "range")],
    ),
    "an attribute of PRISM's survey": (
        1,
        lambda row: row["choice_attributes"].update(personalisation=1),
        [(CONVERSATIONS, 1, "keys")],
    ),
    "a history that is no list": (
        1,
        lambda row: row.update(conversation_history={}),
        [(CONVERSATIONS, 1, "type")],
    ),
    "an item that is no object": (
        1,
        lambda row: row["conversation_history"].append("bye"),
        [(CONVERSATIONS, 1, "type")],
    ),
    "an item of another role": (
        1,
        lambda row: item(row, 1).update(role="assistant"),
        [(CONVERSATIONS, 1, "value"), (UTTERANCES, 1, "agreement")][:1],
    ),
    "an item without a score": (
        1,
        lambda row: item(row, 1).update(score=None),
        [(CONVERSATIONS, 1, "null")],
    ),
    "a score as a fraction": (
        1,
        lambda row: item(row, 1).update(score=70.0),
        [(CONVERSATIONS, 1, "type")],
    ),
    "item keys in another order": (
        1,
        lambda row: item(row, 1).update(model_provider=item(row, 1).pop("model_provider")),
        [(CONVERSATIONS, 1, "key-order")],
    ),
    "another opening prompt": (
        1,
        lambda row: row.update(opening_prompt="Hello"),
        [(CONVERSATIONS, 1, "opening-prompt")],
    ),
    "a wrong count of turns": (
        1,
        lambda row: row.update(conversation_turns=3),
        [(CONVERSATIONS, 1, "turns")],
    ),
    "a reply before the user": (
        1,
        lambda row: row["conversation_history"].pop(0),
        [(CONVERSATIONS, 1, "turns")],
    ),
    "a turn left out": (
        1,
        lambda row: [item(row, index).update(turn=2) for index in (5, 6, 7)],
        [(CONVERSATIONS, 1, "turns")],
    ),
    "a reply in another turn": (
        1,
        lambda row: item(row, 6).update(turn=0),
        [(CONVERSATIONS, 1, "turns")],
    ),
    "a reply too few": (
        1,
        lambda row: row["conversation_history"].pop(),
        [
            (CONVERSATIONS, 1, "replies"),
            (CONVERSATIONS, 1, "if-chosen"),
            (UTTERANCES, 6, "utterances"),
        ],
    ),
    "an opening with five replies": (
        1,
        lambda row: row["conversation_history"].insert(
            5, item(row, 4) | {"within_turn_id": 4, "model_name": "vendor/model-e"}
        ),
        [
            (CONVERSATIONS, 1, "range"),
            (CONVERSATIONS, 1, "replies"),
            (CONVERSATIONS, 1, "utterances"),
        ],
    ),
    "two openers of one model": (
        1,
        lambda row: item(row, 3).update(model_name=item(row, 2)["model_name"]),
        [(CONVERSATIONS, 1, "models-distinct"), (UTTERANCES, 3, "agreement")],
    ),
    "replies in another order": (
        1,
        lambda row: row["conversation_history"].insert(3, row["conversation_history"].pop(4)),
        [
            (CONVERSATIONS, 1, "within-turn-id"),
            (UTTERANCES, 4, "utterances"),
        ],
    ),
    "another model in a later turn": (
        1,
        lambda row: item(row, 6).update(model_name="vendor/model-b"),
        [(CONVERSATIONS, 1, "locked-model"), (UTTERANCES, 5, "agreement")],
    ),
    "another provider in a later turn": (
        1,
        lambda row: item(row, 6).update(model_provider="openai"),
        [(CONVERSATIONS, 1, "locked-model"), (UTTERANCES, 5, "agreement")],
    ),
    "nothing chosen": (
        1,
        lambda row: item(row, 7).update(if_chosen=False),
        [(CONVERSATIONS, 1, "if-chosen"), (UTTERANCES, 6, "agreement")],
    ),
    "two different replies chosen": (
        1,
        lambda row: item(row, 6).update(if_chosen=True),
        [(CONVERSATIONS, 1, "if-chosen"), (UTTERANCES, 5, "agreement")],
    ),
    "a worse reply chosen": (
        1,
        lambda row: item(row, 6).update(score=99),
        [(CONVERSATIONS, 1, "if-chosen"), (UTTERANCES, 5, "agreement")],
    ),
    "an empty text": (
        1,
        lambda row: item(row, 1).update(content=""),
        [(CONVERSATIONS, 1, "empty-text"), (UTTERANCES, 1, "agreement")],
    ),
    "a text None": (
        1,
        lambda row: item(row, 1).update(content="None"),
        [(CONVERSATIONS, 1, "empty-text"), (UTTERANCES, 1, "agreement")],
    ),
    "a text with blank ends": (
        1,
        lambda row: item(row, 1).update(content=" Lentil."),
        [(CONVERSATIONS, 1, "text"), (UTTERANCES, 1, "agreement")],
    ),
    "seconds with three decimals": (
        1,
        lambda row: row.update(timing_duration_s=401.075),
        [(CONVERSATIONS, 1, "timing")],
    ),
    "minutes against seconds": (
        1,
        lambda row: row.update(timing_duration_mins=6.69),
        [(CONVERSATIONS, 1, "timing")],
    ),
    "someone who is not in the survey": (
        11,
        lambda row: row.update(user_id="user99"),
        [
            (CONVERSATIONS, 11, "reference"),
            (SURVEY, 4, "conversation-count"),
            (CONVERSATIONS, 12, "balanced-subset"),
            (UTTERANCES, 61, "agreement"),
            (UTTERANCES, 62, "agreement"),
            (UTTERANCES, 63, "agreement"),
        ],
    ),
    "one flag of the balanced subset": (
        13,
        lambda row: row.update(included_in_balanced_subset=False),
        [
            (CONVERSATIONS, 11, "balanced-subset"),
            (UTTERANCES, 67, "agreement"),
            (UTTERANCES, 68, "agreement"),
            (UTTERANCES, 69, "agreement"),
        ],
    ),
    "another type": (
        2,
        lambda row: row.update(conversation_type="guided"),
        [
            (CONVERSATIONS, 2, "value"),
            (CONVERSATIONS, 1, "balanced-subset"),
            *((UTTERANCES, line, "agreement") for line in range(7, 13)),
        ],
    ),
}


@pytest.mark.parametrize("name", CONVERSATION_FAULTS)
def test_a_broken_conversation(folder: Path, name: str) -> None:
    line, edit, expected = CONVERSATION_FAULTS[name]
    leave_alone(folder)
    change(folder, CONVERSATIONS, line, edit)
    assert faults(folder) == expected


UTTERANCE_FAULTS: dict[str, tuple[int, Change, list[tuple[str, int, str]]]] = {
    "a score of 101": (
        2,
        lambda row: row.update(score=101),
        [(UTTERANCES, 2, "range"), (UTTERANCES, 2, "agreement")],
    ),
    "another score": (2, lambda row: row.update(score=99), [(UTTERANCES, 2, "agreement")]),
    "another text": (
        2,
        lambda row: row.update(model_response="Pea."),
        [(UTTERANCES, 2, "agreement")],
    ),
    "another prompt": (
        2,
        lambda row: row.update(user_prompt="Why?"),
        [(UTTERANCES, 2, "agreement")],
    ),
    "another person": (
        2,
        lambda row: row.update(user_id="user1"),
        [(UTTERANCES, 2, "agreement")],
    ),
    "a position as text": (
        2,
        lambda row: row.update(within_turn_id="1"),
        [(UTTERANCES, 2, "type"), (CONVERSATIONS, 1, "utterances")],
    ),
    "a reply twice": (
        2,
        lambda row: row.update(within_turn_id=0),
        [(UTTERANCES, 2, "utterances"), (CONVERSATIONS, 1, "utterances")],
    ),
    "an unknown conversation": (
        2,
        lambda row: row.update(conversation_id="c99"),
        [
            (UTTERANCES, 2, "reference"),
            (UTTERANCES, 2, "interaction"),
            (CONVERSATIONS, 1, "utterances"),
        ],
    ),
    "an unknown model": (
        2,
        lambda row: row.update(model_name="gpt-9"),
        [(UTTERANCES, 2, "reference"), (UTTERANCES, 2, "agreement")],
    ),
    "a model of two providers": (
        7,
        lambda row: row.update(model_provider="openai"),
        [(UTTERANCES, 7, "provider"), (UTTERANCES, 7, "agreement")],
    ),
    "an id given twice": (
        2,
        lambda row: row.update(utterance_id="ut0"),
        [(UTTERANCES, 2, "unique"), (UTTERANCES, 3, "sequence")],
    ),
    "an id out of sequence": (
        69,
        lambda row: row.update(utterance_id="ut70"),
        [(UTTERANCES, 69, "sequence")],
    ),
    "an interaction of another turn": (
        2,
        lambda row: row.update(interaction_id="int1"),
        [(UTTERANCES, 2, "interaction")],
    ),
    "an interaction out of range": (
        61,
        lambda row: row.update(interaction_id="int999"),
        [
            (UTTERANCES, 62, "interaction-rank"),
            (UTTERANCES, 61, "interaction-rank"),
        ],
    ),
}


@pytest.mark.parametrize("name", UTTERANCE_FAULTS)
def test_a_broken_utterance(folder: Path, name: str) -> None:
    line, edit, expected = UTTERANCE_FAULTS[name]
    leave_alone(folder)
    change(folder, UTTERANCES, line, edit)
    assert faults(folder) == expected


def test_interactions_numbered_as_numbers_instead_of_text(folder: Path) -> None:
    leave_alone(folder)
    rows = rows_of(folder / UTTERANCES)
    places = sorted({(int(row["conversation_id"][1:]), row["turn"]) for row in rows})
    for row in rows:
        place = int(row["conversation_id"][1:]), row["turn"]
        row["interaction_id"] = f"int{places.index(place)}"
    (folder / UTTERANCES).write_text(as_lines(rows))
    assert {rule for _file, _line, rule in faults(folder)} == {"interaction-rank"}


MODEL_FAULTS: dict[str, tuple[Change, list[tuple[str, int, str]]]] = {
    "a number as a number": (
        lambda row: row["selected_params"].update(temperature=1.0),
        [(MODELS, 2, "type")],
    ),
    "a listed value": (
        lambda row: row["selected_params"].update(stop=["x"]),
        [(MODELS, 2, "type")],
    ),
    "Commercial spelled right": (
        lambda row: row.update(model_provider_type="Commercial"),
        [(MODELS, 2, "value")],
    ),
    "a model twice": (
        lambda row: row.update(long_name="vendor/model-e"),
        [(MODELS, 5, "unique")],
    ),
    "a key too few": (lambda row: row.pop("header"), [(MODELS, 2, "keys")]),
}


@pytest.mark.parametrize("name", MODEL_FAULTS)
def test_a_broken_model(folder: Path, name: str) -> None:
    edit, expected = MODEL_FAULTS[name]
    change(folder, MODELS, 2, edit)
    assert [fault for fault in faults(folder) if fault[0] == MODELS] == expected


# Line 9 of the metadata is the first conversation's feedback, 22 the first prompt, 23 its reply.

METADATA_FAULTS: dict[str, tuple[int, Change, list[str]]] = {
    "English or not": (1, lambda row: row.update(en_flag=False), ["en-flag"]),
    "a language without its flag": (1, lambda row: row.update(language_flag=None), ["en-flag"]),
    "a review of what was not flagged": (
        1,
        lambda row: row.update(pii_manual_flag=False),
        ["pii-manual"],
    ),
    "a review of a model's text": (
        23,
        lambda row: row.update(pii_flag=True, pii_manual_flag=False),
        ["pii-manual"],
    ),
    "an id too many": (9, lambda row: row.update(interaction_id="int0"), ["ids"]),
    "an id too few": (22, lambda row: row.update(interaction_id=None), ["ids"]),
    "an unknown person": (1, lambda row: row.update(user_id="user9"), ["reference"]),
    "another's conversation": (9, lambda row: row.update(user_id="user1"), ["reference"]),
    "an unknown conversation": (9, lambda row: row.update(conversation_id="c77"), ["reference"]),
    "another's interaction": (22, lambda row: row.update(interaction_id="int9"), ["reference"]),
    "another's utterance": (23, lambda row: row.update(utterance_id="ut40"), ["reference"]),
    "a category too few": (
        1,
        lambda row: row["moderation_flag"]["categories"].pop("violence"),
        ["keys"],
    ),
    "a score above 1": (
        1,
        lambda row: row["moderation_flag"]["category_scores"].update(hate=1.5),
        ["range"],
    ),
}


@pytest.mark.parametrize("name", METADATA_FAULTS)
def test_broken_metadata(folder: Path, name: str) -> None:
    line, edit, rules = METADATA_FAULTS[name]
    change(folder, METADATA, line, edit)
    found = faults(folder)
    assert [fault for fault in found if fault[1] == line] == [
        (METADATA, line, rule) for rule in rules
    ]
    assert {file for file, _line, _rule in found} == {METADATA}


def test_detectors_that_did_not_run_leave_nulls(folder: Path) -> None:
    change(
        folder,
        METADATA,
        1,
        lambda row: row.update(
            pii_flag=None, language_flag=None, en_flag=None, moderation_flag=None
        ),
    )
    assert faults(folder) == []


@pytest.mark.parametrize("line", [1, 9, 22, 23])
def test_a_text_without_metadata(folder: Path, line: int) -> None:
    change_lines(folder, METADATA, lambda lines: lines.pop(line - 1))
    assert faults(folder) == [(METADATA, 0, "missing")]


def test_a_text_with_metadata_twice(folder: Path) -> None:
    change_lines(folder, METADATA, lambda lines: lines.append(lines[8]))
    assert faults(folder) == [(METADATA, 121, "unique")]


# Files and lines

LINE_FAULTS: dict[str, tuple[Callable[[list[bytes]], Any], str]] = {
    "cut off": (lambda lines: lines.append(lines[0][:200]), "json"),
    "cut within a character": (lambda lines: lines.append('{"a": "ü'.encode()[:-1]), "utf-8"),
    "Latin-1": (lambda lines: lines.append('{"a": "ü"}\n'.encode("latin-1")), "utf-8"),
    "an empty line": (lambda lines: lines.append(b"\n"), "json"),
    "a list": (lambda lines: lines.append(b"[1, 2]\n"), "json"),
    "a number": (lambda lines: lines.append(b"12\n"), "json"),
    "nested without end": (lambda lines: lines.append(b"[" * 100_000 + b"\n"), "json"),
    "digits without end": (lambda lines: lines.append(b'{"a": ' + b"9" * 5000 + b"}\n"), "json"),
    "no keys": (lambda lines: lines.append(b"{}\n"), "keys"),
    "ids of other types": (
        lambda lines: lines.append(
            b'{"user_id": [], "conversation_id": {}, "interaction_id": 1, "utterance_id": [],'
            b' "long_name": {}, "conversation_history": [null], "column_id": []}\n'
        ),
        "keys",
    ),
}


@pytest.mark.parametrize("file", [SURVEY, CONVERSATIONS, UTTERANCES, MODELS, METADATA, ASSIGNMENTS])
@pytest.mark.parametrize("name", LINE_FAULTS)
def test_a_line_that_is_no_row(folder: Path, name: str, file: str) -> None:
    edit, rule = LINE_FAULTS[name]
    (folder / "manifest.json").unlink()
    change_lines(folder, file, edit)
    last = len((folder / file).read_bytes().splitlines())
    assert (file, last, rule) in faults(folder)


def test_a_key_given_twice(folder: Path) -> None:
    change_lines(
        folder,
        SURVEY,
        lambda lines: lines.__setitem__(
            1, lines[1].replace(b'{"user_id"', b'{"age": "", "age"', 1)
        ),
    )
    assert (SURVEY, 2, "duplicate-key") in faults(folder)


@pytest.mark.parametrize("token", [b"NaN", b"Infinity", b"-Infinity"])
def test_a_bare_token_that_is_no_json(folder: Path, token: bytes) -> None:
    change_lines(
        folder,
        CONVERSATIONS,
        lambda lines: lines.__setitem__(
            0,
            lines[0].replace(b'"timing_duration_mins": 6.68', b'"timing_duration_mins": ' + token),
        ),
    )
    assert faults(folder) == [(CONVERSATIONS, 1, "nan")]


def test_line_ends_of_windows_are_said_once(folder: Path) -> None:
    text = (folder / SURVEY).read_bytes()
    (folder / SURVEY).write_bytes(text.replace(b"\n", b"\r\n"))
    assert faults(folder) == [(SURVEY, 1, "line-end")]


def test_a_byte_order_mark(folder: Path) -> None:
    (folder / SURVEY).write_bytes(b"\xef\xbb\xbf" + (folder / SURVEY).read_bytes())
    assert faults(folder) == [(SURVEY, 1, "utf-8")]


def test_the_last_line_end_may_lack(folder: Path) -> None:
    for name in (SURVEY, CONVERSATIONS, UTTERANCES, MODELS):
        (folder / name).write_bytes((folder / name).read_bytes().removesuffix(b"\n"))
    assert faults(folder) == []


@pytest.mark.parametrize("name", [SURVEY, CONVERSATIONS, UTTERANCES])
def test_a_missing_file(folder: Path, name: str) -> None:
    (folder / name).unlink()
    assert (name, 0, "missing") in faults(folder)


def test_a_missing_folder(tmp_path: Path) -> None:
    assert [d.rule for d in validate(tmp_path / "nowhere")] == ["missing"]


def test_a_file_instead_of_a_folder(folder: Path) -> None:
    assert [d.rule for d in validate(folder / SURVEY)] == ["missing"]


def test_an_empty_folder(tmp_path: Path) -> None:
    assert [fault[2] for fault in faults(tmp_path)] == ["missing"] * 3


@pytest.mark.parametrize(
    ("name", "line"),
    [(SURVEY, 2), (CONVERSATIONS, 13), (UTTERANCES, 30), (MODELS, 5), (ASSIGNMENTS, 30)],
)
def test_a_lost_line(folder: Path, name: str, line: int) -> None:
    """The manifest tells; the other files tell too, unless nothing refers to the line."""
    change_lines(folder, name, lambda lines: lines.pop(line - 1))
    assert (name, 0, "manifest") in faults(folder)


def test_rows_in_another_order(folder: Path) -> None:
    (folder / METADATA).unlink()
    change_lines(folder, UTTERANCES, lambda lines: lines.insert(0, lines.pop(1)))
    assert faults(folder)[:2] == [(UTTERANCES, 1, "sequence"), (UTTERANCES, 2, "sequence")]
    assert (UTTERANCES, 2, "utterances") in faults(folder)


def test_a_person_twice(folder: Path) -> None:
    change_lines(folder, SURVEY, lambda lines: lines.insert(1, lines[0]))
    assert faults(folder) == [(SURVEY, 2, "unique"), (SURVEY, 0, "manifest")]


def test_a_lost_reply(folder: Path) -> None:
    leave_alone(folder)
    (folder / MANIFEST).unlink()
    change_lines(folder, UTTERANCES, lambda lines: lines.pop())
    assert faults(folder) == [(CONVERSATIONS, 13, "utterances")]


@pytest.mark.parametrize("text", ["", "[]", '{"rows": {"survey.jsonl": "many"}}', '{"rows": 1}'])
def test_a_broken_manifest(folder: Path, text: str) -> None:
    (folder / "manifest.json").write_text(text)
    assert faults(folder) == [("manifest.json", 0, "manifest")]


def test_a_file_that_the_manifest_names(folder: Path) -> None:
    (folder / MODELS).unlink()
    assert faults(folder) == [(MODELS, 0, "missing")]


# Ours, in other shapes


@pytest.mark.django_db
def test_prisms_github_order_is_accepted(tmp_path: Path) -> None:
    study = make_study()
    make_cast(study)
    write_release(study, tmp_path, "github")
    assert faults(tmp_path) == []
    assert (CONVERSATIONS, "key-order") in notes(tmp_path)


@pytest.mark.django_db
def test_a_release_of_nobody(tmp_path: Path) -> None:
    write_release(make_study(), tmp_path)
    assert faults(tmp_path) == []


@pytest.mark.django_db
def test_coded_identities_and_samples_are_accepted(tmp_path: Path) -> None:
    study = make_study()
    person = make_person(study)
    for kind in ("unguided", "values guided", "controversy guided"):
        converse(person, kind)
    write_release(study, tmp_path)
    change(
        tmp_path,
        SURVEY,
        1,
        lambda row: row.update(
            included_in_US_REP=True,
            ethnicity={
                "self_described": "first nations",
                "categorised": "Indigenous / First Peoples",
                "simplified": "Other",
            },
            included_in_UK_REP=False,
        ),
    )
    (tmp_path / "subsets.json").unlink()  # which knows of no sample
    assert faults(tmp_path) == []


# PRISM's own release, by hand


@pytest.fixture
def prism(tmp_path: Path, db: None) -> Path:
    """A folder with PRISM's quirks: places, orders, resting values, twins, NaN, seven of one."""
    study = make_study()
    person = make_person(
        study,
        answers={"birth_country": choice("TUR"), "religion": choice("prefer_not_to_say")},
    )
    kinds = ("unguided", "values guided", "controversy guided", "unguided", "values guided")
    for kind in (*kinds, "controversy guided", "unguided"):
        converse(person, kind, scores=((70, 20), (50, 50)))
    data = tmp_path / "prism-alignment" / "data"
    write_release(study, data, "github", options=Options(only=PRISMS))
    for name in (*DESCRIPTIONS, METADATA, "flags.jsonl"):
        (data / name).unlink()

    def no_nulls(row: Row) -> None:
        row["stated_prefs"]["other"] = 50
        row["location"]["birth_country"] = "Turkey"
        row["ethnicity"].update(categorised="Mixed", simplified="Mixed")

    def twin(row: Row) -> None:
        item(row, 4).update(if_chosen=True, content="Lentil. 1")
        item(row, 5).update(if_chosen=True, content="Lentil. 1")

    change(data, SURVEY, 1, no_nulls)
    change(data, CONVERSATIONS, 1, twin)
    for line in (3, 4):
        change(
            data,
            UTTERANCES,
            line,
            lambda row: row.update(if_chosen=True, model_response="Lentil. 1"),
        )
    (data / "metadata").mkdir()
    text = as_lines(metadata_of(data)).replace('"pii_manual_flag": null', '"pii_manual_flag": NaN')
    (data / "metadata" / METADATA).write_text(text)
    shutil.move(data / MODELS, data / "metadata" / MODELS)
    return data.parent


def test_prisms_quirks_are_notes(prism: Path) -> None:
    assert faults(prism) == []
    assert notes(prism) == {
        (f"data/{SURVEY}", "other-text"),
        (f"data/{SURVEY}", "country-name"),
        (f"data/{SURVEY}", "conversation-count"),
        (f"data/{CONVERSATIONS}", "key-order"),
        (f"data/{CONVERSATIONS}", "if-chosen"),
        (f"data/{UTTERANCES}", "key-order"),
        (f"data/{UTTERANCES}", "provider-spelling"),
        (f"data/metadata/{METADATA}", "nan"),
    }


def test_prisms_data_folder_alone(prism: Path) -> None:
    assert faults(prism / "data") == []


def test_models_and_metadata_may_lack(prism: Path) -> None:
    shutil.rmtree(prism / "data" / "metadata")
    assert faults(prism) == []
    assert {(MODELS, "missing"), (METADATA, "missing")} < notes(prism)


def test_twins_in_the_opening_are_a_fault(prism: Path) -> None:
    change(
        prism / "data",
        CONVERSATIONS,
        2,
        lambda row: [
            item(row, index).update(if_chosen=True, content="Same.", score=70) for index in (1, 2)
        ],
    )
    assert (f"data/{CONVERSATIONS}", 2, "if-chosen") in faults(prism)


# The command


def run(folder: Path, **options: Any) -> tuple[int, list[str]]:
    """(exit code, printed lines)"""
    out = io.StringIO()
    try:
        call_command("validate", folder, stdout=out, **options)
    except SystemExit as end:
        return int(str(end.code)), out.getvalue().splitlines()
    return 0, out.getvalue().splitlines()


def test_the_command_is_silent_when_all_is_well(folder: Path) -> None:
    assert run(folder) == (0, [])


def test_the_command_prints_one_line_per_deviation(folder: Path) -> None:
    change(folder, SURVEY, 3, lambda row: row.update(timing_duration_mins=1.0))
    leave_alone(folder)
    change(folder, UTTERANCES, 2, lambda row: row.update(score=99, model_name="a\nb\ud800"))
    code, lines = run(folder)
    assert code == 1
    assert len(lines) == 4
    assert lines[0] == "survey.jsonl:3: timing: timing_duration_mins is 1.0, not 266 s / 60"
    assert lines[-1].startswith("utterances.jsonl:2: agreement: model_name, score differs")


def test_the_command_prints_notes_on_request(prism: Path) -> None:
    assert run(prism) == (0, [])
    code, lines = run(prism, notes=True)
    assert code == 0
    assert len(lines) == 8
    assert all(": note: " in line for line in lines)
    assert run(prism, verbosity=2) == (0, lines)


def test_a_deviation_is_one_printable_line() -> None:
    text = str(Deviation("a.jsonl", 3, "unique", "c1\nb.jsonl:4: \ud800\u2028 twice"))
    assert len(text.splitlines()) == 1
    assert text.encode()


def test_deviations_come_as_they_are_found(folder: Path) -> None:
    change(folder, SURVEY, 1, lambda row: row.update(age="old"))
    found: Iterator[Deviation] = validate(folder)
    assert next(found).rule == "value"
