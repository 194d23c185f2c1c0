"""The check against every way to break a cell or a row that the codebook knows of.

What no rule can find is named here, with why: another person's age is an age.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.db import transaction
from pytest_django.plugin import DjangoDbBlocker

from collection.export import check_documents
from collection.export.check_metadata import IDS
from collection.export.validate import validate
from collection.export.write import write_release
from surveys.models import Consent, PageVisit
from tests.export_cast import START, choice, converse, make_person, make_study
from tests.mutations import found, mutations
from tests.test_validate import MANIFEST, METADATA, as_lines, metadata_of

pytestmark = pytest.mark.django_db

Row = dict[str, Any]


@pytest.fixture(scope="module")
def folder(
    django_db_setup: None,
    django_db_blocker: DjangoDbBlocker,
    tmp_path_factory: pytest.TempPathFactory,
) -> Path:
    """Few people and many differences: each mutation checks all of it anew."""
    folder = tmp_path_factory.mktemp("release")
    with django_db_blocker.unblock(), transaction.atomic():
        study = make_study()
        alice = make_person(study, recruitment_id="65a000000000000000000001")
        for kind in ("unguided", "values guided", "controversy guided"):
            converse(alice, kind, scores=((70, 20, 30), (50, 60)))
        make_person(study, minute=1, use="unsure", answers=UNTOLD)
        carla = make_person(study, minute=2, answers=TOLD)
        converse(carla, scores=((5, 1), (49, 50)), prompt="Why?", reply="So.")
        for number, person in enumerate((alice, carla)):
            noted = LOAD | {"visible_ms": 900 + number, "loads": 1 + number}
            PageVisit.objects.create(
                participant=person, page=CODE, shown_at=START, paradata={"a": noted}
            )
            person.quality_runs.create(
                check_name="attention",
                version=1,
                value=number,
                severity="investigate",
                evidence={"failed": number, "places": [{"question": "age"}]},
            )
        Consent.objects.filter(participant=carla).update(given_at=START)
        write_release(study, folder)
        transaction.set_rollback(True)
    moderate(folder)
    return folder


def moderate(folder: Path) -> None:
    """As if all three detectors had gone over the texts."""
    texts = metadata_of(folder)
    (folder / METADATA).write_text(as_lines(texts))
    flags = [flag for text in texts for flag in flags_of(text)]
    (folder / "flags.jsonl").write_text(as_lines(flags))
    manifest = json.loads((folder / MANIFEST).read_text())
    manifest["rows"]["flags.jsonl"] = len(flags)
    (folder / MANIFEST).write_text(json.dumps(manifest))


def flags_of(text: Row) -> Iterator[Row]:
    """Of a row of metadata.jsonl: what each detector said."""
    results = {
        "language": {"language": text["language_flag"], "score": 0.9},
        "moderation": text["moderation_flag"],
        "pii": {"found": [[0, 1, "EMAIL"]] if text["pii_flag"] else []},
    }
    for name, result in results.items():
        yield {
            **{key: text[key] for key in ("column_id", *IDS)},
            "detector": name,
            "version": "1",
            "detected_datetime": "2026-03-02 09:00:00",
            "result": result,
        }


CODE = "familiarity"
NOTE = {"visible_ms": 500, "changes": 1, "pastes": 1, "pasted_share": 0.5}
LOAD: dict[str, Any] = {
    "nth": 0,
    "focus_losses": 2,
    "viewport_width": 360,
    "viewport_height": 640,
    "input": "touch",
    "questions": {"lm_familiarity": NOTE},
}
DECLINE = choice("prefer_not_to_say")
UNTOLD = {
    "gender": choice("self_describe", "Agender"),
    "birth_country": DECLINE,
    "religion": DECLINE,
    "ethnicity": DECLINE,
    "age": DECLINE,
}
TOLD = {
    "birth_country": choice("MEX"),
    "reside_country": choice("GBR"),
    "gender": choice("female"),
    "age": choice("age_25_34"),
    "lm_usecases": {"chosen": ["games", "other"], "other_text": "chess"},
}

NOBODY_CAN_TELL = {
    "other": {
        # Somebody else's answer is an answer.
        *(f"survey.{key}" for key in ("age", "gender", "religion", "ethnicity", "location")),
        *(f"survey.lm_{key}" for key in ("direct_use", "indirect_use")),
        *(f"survey.lm_usecases.{key}" for key in ("games", "other", "research")),
        *("survey.order_stated_prefs", "survey.study_id"),
        # A time is a time, and a duration a duration.
        *("survey.generated_datetime", "conversations.generated_datetime", "paradata.visible_ms"),
        *("consents.given_datetime", "ratings.ms_to_first_touch"),
        # A line may have been put anywhere first, and touched where no script ran.
        *("ratings.first_value", "ratings.was_touched"),
        # What a check measured stands nowhere else.
        *("quality.value", "quality.evidence", "quality.evidence.number"),
        # Nothing refers to these, and two models may share them.
        *("models.short_name", "models.longcode", "models.params_tested"),
    },
    "null": {
        # A script that did not run, words that await their coding.
        *("paradata.input", "paradata.viewport_width", "paradata.viewport_height"),
        *("paradata.questions.*.pasted_share", "survey.gender"),
        *(f"ratings.{key}" for key in ("first_value", "input", "ms_to_first_touch")),
        # "Other" may be ticked without a word.
        "survey.lm_usecases.other_text",
        # Found while the file was written; a check to which this was nothing unusual.
        *("flags.detected_datetime", "quality.severity"),
    },
    # PRISM's codebook gives the first two no order; the others' rows say what they are about.
    "moved": {"metadata.row", "models.row", "flags.row", "ratings.row"},
}


def test_it_works(folder: Path, tmp_path: Path) -> None:
    assert [d for d in validate(folder) if not d.is_note] == []
    book, _problems = check_documents.codebook_of(folder)
    assert book is not None
    files = {
        name: [json.loads(line) for line in (folder / f"{name}.jsonl").read_text().splitlines()]
        for name in book.tables
    }
    missed = {
        (mutation.kind, f"{mutation.file}.{mutation.cell}")
        for mutation in mutations(book, files)
        if all(
            deviation.is_note and deviation.rule != "nan"
            for deviation in found(mutation, folder, book, tmp_path)
        )
    }
    expected = {(kind, cell) for kind, cells in NOBODY_CAN_TELL.items() for cell in cells}
    assert missed == expected
