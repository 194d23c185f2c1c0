"""Releases: who and what is in them, every derived value, equal bytes, few queries, downloads."""

import asyncio
import gc
import io
import json
import zipfile
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import AnonymousUser, User
from django.core.management import CommandError, call_command
from django.db import connection
from django.db.models import F
from django.http import Http404, HttpResponse, StreamingHttpResponse
from django.test import AsyncRequestFactory, RequestFactory
from django.test.utils import CaptureQueriesContext

from collection.downloads import download, download_all
from collection.export import documents, loading, metadata_rows, rows, subsets, tables
from collection.export.columns import CodebookError
from collection.export.garbage import SELDOM, seldom_collected
from collection.export.text import in_text_order
from collection.export.validate import validate
from collection.export.write import DESCRIPTIONS, files_of, snapshot, stream, write_release
from collection.models import ModelEndpoint, Utterance
from surveys.instruments.load import FOLDER, keep, parse
from surveys.models import Membership, Participant, Recruitment, Study
from surveys.protocol import PRESETS
from tests import export_cast
from tests.cast import set_protocol
from tests.export_cast import (
    add_failed_turn,
    add_left_out,
    choice,
    converse,
    make_cast,
    make_endpoint,
    make_person,
    make_study,
)

pytestmark = pytest.mark.django_db

Row = dict[str, Any]


@pytest.fixture
def study(db: None) -> Study:
    return make_study()


@pytest.fixture
def cast(study: Study) -> dict[str, Participant]:
    return make_cast(study)


def released(study: Study, name: str) -> list[Row]:
    return [json.loads(text) for text in stream(study, name)]


def survey_row(study: Study, **answers: Any) -> Row:
    """The released row of the only person of a study."""
    make_person(study, answers=answers)
    (row,) = released(study, "survey")
    return row


TEXTS = 4 * 2 + 13 + (6 * 2 + 4 * 3 + 3 * 2) + (6 * 6 + 4 * 6 + 3 * 3)
"""Of the cast: of the survey, feedback, prompts, replies."""


def files_in(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


def test_it_works(study: Study, cast: dict[str, Participant], tmp_path: Path) -> None:
    assert write_release(study, tmp_path / "out") == {
        "survey.jsonl": 4,
        "conversations.jsonl": 13,
        "utterances.jsonl": 6 * 6 + 4 * 6 + 3 * 3,
        "metadata.jsonl": TEXTS,
        "models.jsonl": 5,
        "flags.jsonl": 2 * TEXTS,
        "assignments.jsonl": 6 * 6 + 4 * 6 + 3 * 3,
        "paradata.jsonl": 0,
        "calls.jsonl": 6 * 6 + 4 * 6 + 3 * 3,
        "ratings.jsonl": 4 * 8 + 1 + 6 * 6 + 4 * 6 + 3 * 3 + 13 * 14,
        "consents.jsonl": 4,
        "quality.jsonl": 0,
        "wide.jsonl": 6 * 2 + 4 * 3 + 3 * 2,
        "battles.jsonl": 6 * (6 + 1) + 4 * 3 + 3 * 1,
        "preferences.jsonl": 6 * (6 + 1) + 4 * 1,
        "unpaired.jsonl": 6 * 6 + 4 * 6 + 3 * 3,
    }
    assert [d for d in validate(tmp_path / "out") if not d.is_note] == []
    left = {path.name for path in (tmp_path / "out").iterdir() if path.is_file()}
    assert left == {*(f"{name}.jsonl" for name in files_of(study)), *DESCRIPTIONS}


def test_left_out_people_and_conversations_are_counted_by_reason(
    study: Study, tmp_path: Path
) -> None:
    make_cast(study)
    add_left_out(study)
    write_release(study, tmp_path)
    manifest = json.loads((tmp_path / "manifest.json").read_text())
    assert manifest["rows"]["survey.jsonl"] == 4 + 4
    assert manifest["rows"]["conversations.jsonl"] == 13
    assert manifest["not_released"]["people"] == {
        "declined": 1,
        "no consent": 1,
        "rejected": 1,
        "survey not finished": 1,
        "withdrawn": 1,
    }
    assert manifest["not_released"]["conversations"] == {
        "attributes not all rated": 1,
        "feedback not given": 1,
        "fewer than two complete turns": 1,
        "models did not answer": 1,
        "no open feedback": 1,
        "not finished": 1,
        "participant not released": 1,
    }
    assert [d for d in validate(tmp_path) if not d.is_note] == []


def test_the_manifest_says_how_it_was_collected(study: Study, tmp_path: Path) -> None:
    make_person(study)
    simulated = make_person(study, minute=1, is_simulated=True)
    converse(simulated)
    write_release(study, tmp_path)
    manifest = json.loads((tmp_path / "manifest.json").read_text())
    assert manifest["study"] == "prism"
    assert manifest["software"]["version"][0].isdigit()
    assert manifest["protocol"]["name"] == "prism"
    assert manifest["instruments"] == [{"slug": "prism", "sha256": study.instrument.sha256}]
    assert manifest["consent_texts"] == [{"version": "2026-01", "sha256": "f" * 64, "people": 2}]
    assert manifest["not_released"]["questions"] == []
    assert manifest["simulated"] == {
        "people": 1,
        "rows": {
            "survey.jsonl": 1,
            "conversations.jsonl": 1,
            "utterances.jsonl": 6,
            "metadata.jsonl": 2 + 1 + 2 + 6,
            "models.jsonl": 0,
            "flags.jsonl": 2 * (2 + 1 + 2 + 6),
            "assignments.jsonl": 6,
            "paradata.jsonl": 0,
            "calls.jsonl": 6,
            "ratings.jsonl": 8 + 6 + 14,
            "consents.jsonl": 1,
            "quality.jsonl": 0,
            "wide.jsonl": 2,
            "battles.jsonl": 7,
            "preferences.jsonl": 7,
            "unpaired.jsonl": 6,
        },
    }


def test_equal_data_give_equal_bytes(
    study: Study, cast: dict[str, Participant], tmp_path: Path
) -> None:
    cast["alice"].pages.create(page="primer", shown_at=export_cast.START)
    cast["alice"].quality_runs.create(check_name="phone", version=1, value=360)
    for folder in ("one", "two"):
        write_release(study, tmp_path / folder)
    for name in (*(f"{name}.jsonl" for name in files_of(study)), *DESCRIPTIONS):
        one, two = ((tmp_path / folder / name).read_bytes() for folder in ("one", "two"))
        assert one == two
        assert b"\r" not in one
        assert one.endswith(b"\n")


def test_lines_hold_plain_utf8_and_no_character_that_readers_end_lines_at(
    study: Study, cast: dict[str, Participant]
) -> None:
    lines = list(stream(study, "utterances"))
    assert "Ja – “so”" in lines[-1]
    assert "a\\u2028b" in lines[-1]
    assert "".join(lines).splitlines() == [line.removesuffix("\n") for line in lines]
    assert json.loads(lines[-1])["user_prompt"] == "a\u2028b 1"


def test_keys_stand_in_the_codebooks_order(study: Study, cast: dict[str, Participant]) -> None:
    found = documents.shipped().tables
    for name in files_of(study):
        order = [column.key for column in found[name].columns]
        assert all(list(row) == order for row in released(study, name))
    item = released(study, "conversations")[0]["conversation_history"][1]
    assert " ".join(item) == (
        "turn role content model_provider model_name score if_chosen within_turn_id"
    )
    sizes = {name: len(found[name].columns) for name in files_of(study)}
    assert list(sizes.values())[:6] == [32, 13, 14, 10, 15, 9]
    assert sizes["wide"] == 41


def test_a_row_with_other_keys_than_the_codebooks_is_refused() -> None:
    with pytest.raises(CodebookError, match=r"survey: not as in the codebook: .*user_id"):
        documents.shipped().survey.row({})
    with pytest.raises(CodebookError, match=r"models: .*surprise"):
        tables.MODELS.row({"surprise": 1})


# Who is who


def test_users_are_numbered_by_the_end_of_their_survey(study: Study) -> None:
    make_person(study, minute=5, recruitment_id="later")
    make_person(study, minute=1, recruitment_id="earlier")
    rows = released(study, "survey")
    assert [(row["user_id"], row["study_id"]) for row in rows] == [
        ("user0", "earlier"),
        ("user1", "later"),
    ]


def test_conversations_are_numbered_by_person_and_end(study: Study) -> None:
    later = make_person(study, minute=5)
    earlier = make_person(study, minute=1)
    converse(later, "unguided", minute=10)
    converse(earlier, "values guided", minute=50)
    converse(earlier, "controversy guided", minute=40)
    rows = released(study, "conversations")
    assert [(row["conversation_id"], row["user_id"], row["conversation_type"]) for row in rows] == [
        ("c0", "user0", "controversy guided"),
        ("c1", "user0", "values guided"),
        ("c2", "user1", "unguided"),
    ]


def test_interactions_count_in_the_order_of_conversation_ids_as_text(
    study: Study, cast: dict[str, Participant]
) -> None:
    found = {
        (row["conversation_id"], row["turn"]): row["interaction_id"]
        for row in released(study, "utterances")
    }
    in_order = sorted(found)  # c0, c1, c10, c11, c12, c2 …
    assert [found[place] for place in in_order] == [f"int{n}" for n in range(len(found))]
    assert found["c10", 0] == "int4"
    assert found["c2", 0] == "int10"


def test_utterances_repeat_the_history_in_its_order(
    study: Study, cast: dict[str, Participant]
) -> None:
    conversations = {row["conversation_id"]: row for row in released(study, "conversations")}
    replies = [
        (conversation_id, item)
        for conversation_id, row in conversations.items()
        for item in row["conversation_history"]
        if item["role"] == "model"
    ]
    utterances = released(study, "utterances")
    assert [row["utterance_id"] for row in utterances] == [f"ut{n}" for n in range(len(replies))]
    for row, (conversation_id, item) in zip(utterances, replies, strict=True):
        assert row["conversation_id"] == conversation_id
        assert row["model_response"] == item["content"]
        for key in ("turn", "within_turn_id", "model_name", "score", "if_chosen"):
            assert row[key] == item[key]


def test_nothing_that_identifies_a_person_is_released(study: Study, tmp_path: Path) -> None:
    person = make_person(study)
    converse(person)
    write_release(study, tmp_path)
    everything = "".join(path.read_text() for path in files_in(tmp_path))
    assert person.key not in everything
    assert str(person.seed) not in everything


# The survey's values


def test_survey_times(study: Study) -> None:
    row = survey_row(study)
    assert row["timing_duration_s"] == 266
    assert row["timing_duration_mins"] == 4.43
    assert row["generated_datetime"] == "2026-03-01 09:04:26"
    assert isinstance(row["timing_duration_s"], int)


def test_recruitment(study: Study) -> None:
    Study.objects.update(locale="South Africa")
    row = survey_row(Study.objects.get())
    assert row["study_id"] == "prism"
    assert row["study_locale"] == "south africa"


def test_the_locale_is_the_recruitments(study: Study) -> None:
    by = Recruitment.objects.create(study=study, name="Kenya", locale="Kenya")
    make_person(study, came_by=by)
    (row,) = released(study, "survey")
    assert row["study_locale"] == "kenya"


def test_survey_only(study: Study, cast: dict[str, Participant]) -> None:
    rows = released(study, "survey")
    assert [row["num_completed_conversations"] for row in rows] == [6, 0, 4, 3]
    assert [row["survey_only"] for row in rows] == [False, True, False, False]


@pytest.mark.parametrize("use", ["no", "unsure"])
def test_a_branch_that_was_not_shown_is_null_even_if_answered_before(
    study: Study, use: str
) -> None:
    row = survey_row(study, lm_direct_use=choice(use), lm_indirect_use=choice(use))
    assert row["lm_frequency_use"] is None
    assert len(row["lm_usecases"]) == 20
    assert set(row["lm_usecases"].values()) == {None}
    assert len(row["order_lm_usecases"]) == 19
    assert set(row["order_lm_usecases"].values()) == {None}
    assert None not in row["order_stated_prefs"].values()


def test_use_cases_are_zeros_and_ones(study: Study) -> None:
    row = survey_row(study, lm_usecases={"chosen": ["games", "other"], "other_text": "chess"})
    uses = row["lm_usecases"]
    assert uses.pop("other_text") == "chess"
    assert {key for key, value in uses.items() if value == 1} == {"games", "other"}
    assert all(type(value) is int for value in uses.values())
    assert row["lm_frequency_use"] == "Every day"


def test_orders_are_places_from_one_with_the_persons_own_last(study: Study) -> None:
    row = survey_row(study)
    person = Participant.objects.get()
    drawn = person.orders.get(scope="stated_prefs").codes
    assert row["order_stated_prefs"] == {code: drawn.index(code) + 1 for code in drawn}
    assert row["order_stated_prefs"]["other"] == 9
    assert row["order_lm_usecases"]["other"] == 19


def test_without_a_drawn_order_the_instruments_order_holds(study: Study) -> None:
    make_person(study).orders.all().delete()
    (row,) = released(study, "survey")
    assert row["order_stated_prefs"]["values"] == 1
    assert row["order_stated_prefs"]["creativity"] == 2
    assert row["order_stated_prefs"]["other"] == 9


def test_an_own_preference_counts_only_with_its_text(study: Study) -> None:
    scores = dict.fromkeys(export_cast.PREFERENCES, 80)
    row = survey_row(study, stated_prefs={"scores": scores, "other_text": None})
    assert row["stated_prefs"]["other"] is None
    assert row["stated_prefs"]["other_text"] is None
    assert row["stated_prefs"]["values"] == 80


def test_an_own_preference_with_its_text(study: Study) -> None:
    scores = dict.fromkeys(export_cast.PREFERENCES, 80)
    row = survey_row(study, stated_prefs={"scores": scores, "other_text": "is funny"})
    assert row["stated_prefs"]["other"] == 80
    assert row["stated_prefs"]["other_text"] == "is funny"


@pytest.mark.parametrize(
    ("chosen", "gender"),
    [
        ("male", "Male"),
        ("non_binary", "Non-binary / third gender"),
        ("prefer_not_to_say", "Prefer not to say"),
        ("self_describe", None),
    ],
)
def test_gender_is_null_until_what_was_typed_is_coded(
    study: Study, chosen: str, gender: str | None
) -> None:
    assert survey_row(study, gender=choice(chosen, "Agender"))["gender"] == gender


@pytest.mark.parametrize("name", ["religion", "ethnicity"])
def test_what_was_typed_is_cleaned_and_not_categorised(study: Study, name: str) -> None:
    row = survey_row(study, **{name: choice("self_describe", ' White; "British", no? ')})
    assert row[name] == {
        "self_described": "white british no",
        "categorised": None,
        "simplified": None,
    }


@pytest.mark.parametrize("name", ["religion", "ethnicity"])
def test_declining_is_known_without_coding(study: Study, name: str) -> None:
    row = survey_row(study, **{name: choice("prefer_not_to_say")})
    assert row[name] == {
        "self_described": "prefer not to say",
        "categorised": "Prefer not to say",
        "simplified": "Prefer not to say",
    }


def test_location(study: Study) -> None:
    row = survey_row(study, birth_country=choice("TWN"), reside_country=choice("GBR"))
    assert row["location"] == {
        "birth_country": "Taiwan, Province of China",
        "birth_countryISO": "TWN",
        "birth_region": "Asia",
        "birth_subregion": "Eastern Asia",
        "reside_country": "United Kingdom",
        "reside_region": "Europe",
        "reside_subregion": "Northern Europe",
        "reside_countryISO": "GBR",
        "same_birth_reside_country": "No",
        "special_region": "Asia",
    }


def test_a_country_not_told(study: Study) -> None:
    location = survey_row(study, birth_country=choice("prefer_not_to_say"))["location"]
    for key in ("birth_country", "birth_countryISO", "birth_region", "birth_subregion"):
        assert location[key] == "Prefer not to say"
    assert location["same_birth_reside_country"] == "Prefer not to say"
    assert location["special_region"] == "Prefer not to say"
    assert location["reside_countryISO"] == "CAN"


def test_texts_are_stripped(study: Study) -> None:
    assert survey_row(study)["self_description"] == "Be kind. \nBe brief."


# Conversations


def test_conversation_times_leave_out_the_feedback(study: Study) -> None:
    converse(make_person(study), minute=60)
    (row,) = released(study, "conversations")
    assert row["timing_duration_s"] == 401.07
    assert row["timing_duration_mins"] == 6.68
    assert row["generated_datetime"] == "2026-03-01 10:00:00"


def test_attributes_are_null_where_they_did_not_apply(study: Study) -> None:
    converse(make_person(study))
    (row,) = released(study, "conversations")
    assert tuple(row["performance_attributes"]) == export_cast.ATTRIBUTES
    assert row["choice_attributes"]["values"] == 1
    assert row["choice_attributes"]["fluency"] is None
    assert row["open_feedback"] == "Too long."


@pytest.mark.parametrize("text", ["", "  ", "None"])
def test_empty_texts(study: Study, text: str) -> None:
    conversation = converse(make_person(study))
    Utterance.objects.filter(interaction__turn=0).update(model_response=text)
    conversation.interactions.filter(turn=0).update(user_prompt=text)
    (row,) = released(study, "conversations")
    assert row["opening_prompt"] == "EMPTY STRING"
    assert {item["content"] for item in row["conversation_history"][:5]} == {"EMPTY STRING"}
    assert released(study, "utterances")[0]["user_prompt"] == "EMPTY STRING"


def test_a_message_that_no_model_answered_is_not_released(study: Study, tmp_path: Path) -> None:
    add_failed_turn(converse(make_person(study)), turn=2)
    (row,) = released(study, "conversations")
    assert row["conversation_turns"] == 2
    assert "Is anyone there?" not in json.dumps(row)


def test_one_reply_is_chosen_in_each_turn(study: Study, cast: dict[str, Participant]) -> None:
    chosen: dict[str, int] = {}
    for row in released(study, "utterances"):
        key = row["interaction_id"]
        chosen[key] = chosen.get(key, 0) + row["if_chosen"]
    assert set(chosen.values()) == {1}


# The balanced subset


def test_the_balanced_subset_has_equally_many_of_each_type(
    study: Study, cast: dict[str, Participant]
) -> None:
    flagged = [
        (row["user_id"], row["conversation_type"])
        for row in released(study, "conversations")
        if row["included_in_balanced_subset"]
    ]
    for user, number in (("user0", 2), ("user2", 1), ("user3", 1)):
        assert [flagged.count((user, kind)) for kind in export_cast.TYPES] == [number] * 3
    rows = released(study, "survey")
    assert [row["included_in_balanced_subset"] for row in rows] == [True, False, True, True]
    assert not any(row["included_in_US_REP"] or row["included_in_UK_REP"] for row in rows)


def test_without_all_types_nobody_is_in_the_balanced_subset(study: Study) -> None:
    person = make_person(study)
    converse(person, "unguided")
    converse(person, "values guided")
    assert released(study, "survey")[0]["included_in_balanced_subset"] is False


def test_more_people_change_nobodys_flags(study: Study) -> None:
    person = make_person(study, minute=5)
    for kind in (*export_cast.TYPES, "unguided", "unguided", "unguided"):
        converse(person, kind)

    def flags(user: str) -> list[bool]:
        found = released(study, "conversations")
        return [row["included_in_balanced_subset"] for row in found if row["user_id"] == user]

    alone = flags("user0")
    for kind in export_cast.TYPES:
        converse(make_person(study, minute=1), kind)
    assert alone.count(True) == 3
    assert flags("user3") == alone


def test_the_balanced_draw_depends_on_the_seed() -> None:
    conversations = {"unguided": range(50), "values guided": [90], "controversy guided": [91]}
    assert {90, 91} < subsets.balanced(1, conversations)
    assert len({frozenset(subsets.balanced(seed, conversations)) for seed in range(20)}) > 5
    assert subsets.balanced(1, {"unguided": [1, 2]}) == set()


# Models


def test_models_are_those_attached_and_those_that_answered_or_could_have(study: Study) -> None:
    study.endpoints.remove(make_endpoint("e"))
    converse(make_person(study), scores=((70, 20), (50, 60)))
    study.endpoints.remove(make_endpoint("a"), make_endpoint("d"))
    make_endpoint("x")
    found = {row["long_name"]: row for row in released(study, "models")}
    assert list(found) == [f"vendor/model-{letter}" for letter in "abcd"]
    assert found["vendor/model-a"]["params_tested"] == "Yes"


def test_a_models_parameters_are_text_and_its_switches_numbers(study: Study) -> None:
    ModelEndpoint.objects.filter(long_name="vendor/model-b").update(is_active=False)
    first, second, *_rest = released(study, "models")
    assert first["selected_params"] == {
        "temperature": "1.0",
        "max_tokens": "256",
        "stop": '["\\n"]',
        "is_llama": 1,
    }
    assert first["default_params"] == {"temperature": "0.7", "max_tokens": "None", "is_llama": 0}
    assert (first["endpoint_live"], first["status"]) == ("Yes", "Deployed Successfully")
    assert (second["endpoint_live"], second["status"]) == ("No", "Switched off")
    assert second["params_tested"] == "No"
    assert first["model_provider"] == "HuggingFace-API"


def test_the_utterances_provider_is_the_code(study: Study) -> None:
    converse(make_person(study))
    assert released(study, "utterances")[0]["model_provider"] == "huggingface_api"


# Other instruments


def test_another_instrument_has_columns_of_its_own(study: Study, tmp_path: Path) -> None:
    text = (FOLDER / "prism.yaml").read_text(encoding="utf-8")
    changed = text.replace("- code: age\n", "- code: shoe_size\n").replace("    - age\n", "")
    study.instrument = keep(parse("changed.yaml", changed))
    study.save()
    row = survey_row(study)
    assert "age" not in row
    assert row["shoe_size"] == "18-24 years old"
    keys = list(row)
    assert keys[keys.index("shoe_size") - 1] == "order_stated_prefs"
    write_release(study, tmp_path)
    assert [d for d in validate(tmp_path) if not d.is_note] == []


# Size and consistency


def queries(study: Study, name: str) -> int:
    with CaptureQueriesContext(
        connection,
    ) as captured:
        list(stream(study, name))
    return len(captured)


def test_queries_do_not_grow_with_people(study: Study) -> None:
    # One that quotes what people typed, so that calls.jsonl reads their answers too.
    arms = {"plain": "{header}", "personal": "{header} Wish: {system_string}"}
    set_protocol(study, candidates="prompts", system_prompts=arms)
    study.refresh_from_db()
    converse(make_person(study))
    few = {name: queries(study, name) for name in files_of(study)}
    for minute in range(1, 8):
        person = make_person(study, minute=minute)
        for kind in export_cast.TYPES:
            converse(person, kind)
    assert {name: queries(study, name) for name in files_of(study)} == few


def test_batches_join_without_a_seam(
    study: Study, cast: dict[str, Participant], monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = {name: list(stream(study, name)) for name in files_of(study)}
    monkeypatch.setattr(loading, "PEOPLE_AT_ONCE", 1)
    monkeypatch.setattr(loading, "CONVERSATIONS_AT_ONCE", 2)
    monkeypatch.setattr(metadata_rows, "PEOPLE_AT_ONCE", 1)
    monkeypatch.setattr(metadata_rows, "CONVERSATIONS_AT_ONCE", 2)
    monkeypatch.setattr(metadata_rows, "FEEDBACK_AT_ONCE", 1)
    assert {name: list(stream(study, name)) for name in files_of(study)} == whole


@pytest.mark.django_db(transaction=True)
def test_a_snapshot_ends_and_leaves_the_connection_as_it_was() -> None:
    study = make_study("apart")
    with snapshot():
        assert list(stream(study, "survey")) == []
    make_person(study)
    with pytest.raises(Study.DoesNotExist), snapshot():
        Study.objects.get(slug="nowhere")
    assert len(released(study, "survey")) == 1


# The command


def test_the_command_writes_and_counts(
    study: Study, cast: dict[str, Participant], tmp_path: Path
) -> None:
    out = io.StringIO()
    call_command("export", "prism", out=tmp_path / "new" / "release", stdout=out)
    assert "survey.jsonl: 4\nconversations.jsonl: 13\n" in out.getvalue()
    assert (tmp_path / "new" / "release" / "manifest.json").exists()


def test_the_command_replaces_an_earlier_release(study: Study, tmp_path: Path) -> None:
    (tmp_path / "survey.jsonl").write_text("old")
    (tmp_path / "notes.txt").write_text("mine")
    (tmp_path / "paradata.jsonl").write_text("of an earlier protocol")
    Study.objects.update(protocol_json=PRESETS["prism-2023"].model_dump(mode="json"))
    call_command("export", "prism", out=tmp_path, stdout=io.StringIO())
    assert (tmp_path / "survey.jsonl").read_text() == ""
    assert not (tmp_path / "paradata.jsonl").exists()
    assert (tmp_path / "notes.txt").read_text() == "mine"


def test_the_command_writes_the_order_of_prisms_github_files(
    study: Study, cast: dict[str, Participant], tmp_path: Path
) -> None:
    call_command("export", "prism", out=tmp_path, order="github", stdout=io.StringIO())
    first = json.loads((tmp_path / "conversations.jsonl").read_text().splitlines()[0])
    assert list(first)[:4] == [
        "conversation_id",
        "user_id",
        "included_in_balanced_subset",
        "generated_datetime",
    ]
    assert [d for d in validate(tmp_path) if not d.is_note] == []


def test_the_command_names_the_studies_there_are(study: Study, tmp_path: Path) -> None:
    with pytest.raises(CommandError, match=r"no study 'prsim'\. Studies: prism"):
        call_command("export", "prsim", out=tmp_path)


def test_the_command_refuses_a_file_as_its_folder(study: Study, tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("")
    with pytest.raises(CommandError, match="Cannot write"):
        call_command("export", "prism", out=tmp_path / "taken")


def test_a_release_that_fails_leaves_the_earlier_one(
    study: Study, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_person(study)
    write_release(study, tmp_path)
    before = {path.name: path.read_bytes() for path in files_in(tmp_path)}
    make_person(study, minute=1)

    def fail(*_args: object) -> Iterator[Row]:
        raise RuntimeError("half-way")
        yield {}

    monkeypatch.setitem(rows.MAKERS, "models", fail)
    with pytest.raises(RuntimeError, match="half-way"):
        write_release(study, tmp_path)
    assert {path.name: path.read_bytes() for path in files_in(tmp_path)} == before


# Downloads


def staff() -> User:
    user = User.objects.create_user("desk", is_staff=True)
    for study in Study.objects.all():
        Membership.objects.create(user=user, study=study, role="researcher")
    return user


def get(view: Any, user: Any, *args: str, factory: Any = None) -> Any:
    request = (factory or RequestFactory()).get("/")
    request.user = user
    return view(request, *args)


def content(response: StreamingHttpResponse) -> bytes:
    return b"".join(response.streaming_content)  # type: ignore[arg-type]


def test_staff_download_a_file(study: Study, cast: dict[str, Participant]) -> None:
    response = get(download, staff(), "prism", "survey")
    assert response["Content-Type"] == "application/x-ndjson"
    assert response["Content-Disposition"] == 'attachment; filename="prism-survey.jsonl"'
    body = content(response)
    assert int(response["Content-Length"]) == len(body)
    assert body.decode() == "".join(stream(study, "survey"))


def test_staff_download_everything(
    study: Study, cast: dict[str, Participant], tmp_path: Path
) -> None:
    user = staff()
    body = content(get(download_all, user, "prism"))
    write_release(study, tmp_path)
    with zipfile.ZipFile(io.BytesIO(body)) as archive:
        assert set(archive.namelist()) == {
            f"prism/{path.relative_to(tmp_path)}" for path in files_in(tmp_path)
        }
        for path in files_in(tmp_path):
            assert archive.read(f"prism/{path.relative_to(tmp_path)}") == path.read_bytes()
    assert content(get(download_all, user, "prism")) == body


def test_an_asynchronous_server_gets_an_asynchronous_stream(
    study: Study, cast: dict[str, Participant]
) -> None:
    response = get(download, staff(), "prism", "models", factory=AsyncRequestFactory())

    async def read() -> bytes:
        return b"".join([piece async for piece in response])

    assert asyncio.run(read()).decode() == "".join(stream(study, "models"))


@pytest.mark.parametrize(
    "user",
    [AnonymousUser(), User(username="eve"), User(username="left", is_staff=True, is_active=False)],
    ids=["anonymous", "not staff", "inactive"],
)
def test_nobody_else_downloads(study: Study, user: Any) -> None:
    for response in (get(download, user, "prism", "survey"), get(download_all, user, "prism")):
        assert isinstance(response, HttpResponse)
        assert response.status_code == 302
        assert "/admin/login/" in response["Location"]


def test_downloads_of_unknown_names_are_not_found(study: Study) -> None:
    user = staff()
    for view, args in (
        (download, ("prism", "identity")),
        (download, ("nothing", "survey")),
        (download_all, ("nothing",)),
    ):
        with pytest.raises(Http404):
            get(view, user, *args)


def test_downloading_changes_nothing_so_only_get_is_allowed(study: Study) -> None:
    request = RequestFactory().post("/")
    request.user = staff()
    assert download(request, "prism", "survey").status_code == 405


def test_a_release_is_of_its_own_study(study: Study) -> None:
    other = make_study("other")
    converse(make_person(other, minute=1))
    make_person(study)
    assert len(released(study, "survey")) == 1
    assert released(study, "conversations") == []
    assert len(released(other, "utterances")) == 6


def test_a_clock_set_back_makes_no_negative_time(study: Study) -> None:
    make_person(study)
    Participant.objects.update(consent_shown_at=F("survey_finished_at") + timedelta(seconds=9))
    assert released(study, "survey")[0]["timing_duration_s"] == 0


def test_python_looks_for_garbage_as_before_once_a_release_is_written() -> None:
    gc.unfreeze()  # what an earlier test's server has left
    before = gc.get_threshold()
    with seldom_collected():
        assert gc.get_threshold() == SELDOM
        with seldom_collected():  # a second export
            assert gc.get_threshold() == SELDOM
        assert gc.get_freeze_count()
    assert (gc.get_threshold(), gc.get_freeze_count()) == (before, 0)


@pytest.mark.parametrize("number", [0, 1, 9, 10, 11, 100, 101, 1234])
def test_numbers_in_the_order_of_texts(number: int) -> None:
    assert list(in_text_order(number)) == sorted(range(number), key=str)
