"""The PRISM instrument says, word for word, what PRISM's own files say."""

import csv
import json
from pathlib import Path
from typing import Any, TypeVar

import pytest

from surveys.instruments import load
from surveys.instruments.schema import (
    OTHER,
    PREFER_NOT_TO_SAY,
    SELF_DESCRIBE,
    AttributeScale,
    Country,
    FreeText,
    InstrumentFile,
    Multiple,
    Single,
    Sliders,
)
from surveys.sheet import Sheet

FOLDER = Path(load.__file__).parent
PRISM = Path(__file__).parent / "fixtures" / "prism"
CODEBOOK: dict[str, Any] = json.loads((PRISM / "codebook.json").read_text())
MAPPING: dict[str, dict[str, str]] = json.loads(
    (PRISM / "survey_question_mapping.json").read_text()
)
ATTRIBUTES = [
    "values",
    "creativity",
    "fluency",
    "factuality",
    "diversity",
    "safety",
    "helpfulness",
]

Q = TypeVar("Q")


def rows(name: str) -> dict[str, dict[str, str]]:
    with (PRISM / name).open(newline="") as file:
        return {row["header"]: row for row in csv.DictReader(file)}


def keys_of(variable: str) -> list[str]:
    """The keys of a dict variable, in PRISM's order."""
    prefix = f"{variable}:"
    return [key.removeprefix(prefix) for key in MAPPING if key.startswith(prefix)]


def asked(variable: str) -> str:
    question = MAPPING[variable]["full_question"]
    return question.removesuffix(" - Selected Choice").strip()


def question(file: InstrumentFile, code: str, kind: type[Q]) -> Q:
    found = next(q for q in file.questions() if q.code == code)
    assert isinstance(found, kind)
    return found


@pytest.fixture(scope="module")
def prism() -> InstrumentFile:
    return load.read(FOLDER / "prism.yaml")


def test_it_works(prism: InstrumentFile) -> None:
    asked_on = {page.code: [q.code for q in page.questions] for page in prism.pages}
    assert asked_on == {
        "primer": [],
        "familiarity": ["lm_familiarity", "lm_indirect_use", "lm_direct_use"],
        "frequency": ["lm_frequency_use"],
        "use_cases": ["lm_usecases"],
        "self_description": ["self_description"],
        "stated_prefs": ["stated_prefs"],
        "system_string": ["system_string"],
        "about_you": ["age", "gender", "employment_status", "marital_status", "education"],
        "where_from": [
            "reside_country",
            "birth_country",
            "ethnicity",
            "religion",
            "english_proficiency",
        ],
    }
    assert list(asked_on) == [page.code for page in prism.pages]
    assert len(prism.pages) == 9
    assert "CC-BY-4.0" in prism.attribution


@pytest.mark.parametrize(
    "code",
    [
        "lm_familiarity",
        "lm_indirect_use",
        "lm_direct_use",
        "lm_frequency_use",
        "self_description",
        "system_string",
        "age",
        "gender",
        "employment_status",
        "marital_status",
        "education",
        "birth_country",
        "ethnicity",
        "religion",
        "english_proficiency",
    ],
)
def test_questions_are_worded_as_they_were_asked(prism: InstrumentFile, code: str) -> None:
    assert next(q.text for q in prism.questions() if q.code == code) == asked(code)


def test_residence_is_asked_in_words_the_mapping_lacks(prism: InstrumentFile) -> None:
    residence = question(prism, "reside_country", Country)
    assert residence.text == CODEBOOK["reside_country"]


def test_every_question_has_the_codebooks_label(prism: InstrumentFile) -> None:
    assert {q.code: q.label for q in prism.questions()} == CODEBOOK["labels"]


@pytest.mark.parametrize("code", CODEBOOK["values"])
def test_options_are_the_codebooks_values(prism: InstrumentFile, code: str) -> None:
    options = question(prism, code, Single).options
    assert [option.released_value for option in options] == CODEBOOK["values"][code]


def test_demographics_can_be_kept_to_oneself(prism: InstrumentFile) -> None:
    demographics = [q for page in prism.pages[-2:] for q in page.questions]
    assert len(demographics) == 10
    for asked_of_you in demographics:
        if isinstance(asked_of_you, Single):
            assert asked_of_you.options[-1].code == PREFER_NOT_TO_SAY
        else:
            assert isinstance(asked_of_you, Country)


@pytest.mark.parametrize("code", ["gender", "ethnicity", "religion"])
def test_identities_can_be_described_in_ones_own_words(prism: InstrumentFile, code: str) -> None:
    assert question(prism, code, Single).self_describe == SELF_DESCRIBE


@pytest.mark.parametrize(
    ("indirect", "direct", "shown"),
    [
        ("yes", "no", True),
        ("unsure", "yes", True),
        ("yes", "yes", True),
        ("no", "unsure", False),
        ("no", "no", False),
    ],
)
def test_use_is_asked_of_those_who_used_one(
    prism: InstrumentFile, indirect: str, direct: str, shown: bool
) -> None:
    choices = {"lm_indirect_use": indirect, "lm_direct_use": direct}
    for code, choice in choices.items():
        assert choice in {option.code for option in question(prism, code, Single).options}
    values = {code: {"choice": choice, "text": None} for code, choice in choices.items()}
    hidden = [step.page.code for step in Sheet(prism, 1, {}, values).steps if not step.is_shown]
    assert hidden == ([] if shown else ["frequency", "use_cases"])


def test_use_cases_are_prisms(prism: InstrumentFile) -> None:
    use_cases = question(prism, "lm_usecases", Multiple)
    mapping = rows("header_usecases_mapping.csv")
    assert len(use_cases.options) == 18
    assert [item.code for item in use_cases.items] == keys_of("lm_usecases")[:-1]
    for option in use_cases.options:
        assert f"**{option.label}**: {option.hint}" == mapping[option.code]["survey_text"]
    opener = mapping["shared_opener"]["survey_text"]
    assert use_cases.text == opener.removesuffix(" - Selected Choice - ")
    assert use_cases.other is not None
    assert f"**{use_cases.other.label}**" == mapping[OTHER]["survey_text"]
    assert f"{use_cases.other_text} - Text" == mapping["other_text"]["survey_text"]
    assert use_cases.randomise


def test_stated_preferences_are_prisms(prism: InstrumentFile) -> None:
    prefs = question(prism, "stated_prefs", Sliders)
    mapping = rows("header_prefs_mapping.csv")
    assert len(prefs.statements) == 8
    assert [item.code for item in prefs.items] == keys_of("stated_prefs")[:-1]
    for item in prefs.items:
        full = MAPPING[f"stated_prefs:{item.code}"]["full_question"]
        assert f"{prefs.text} \n\n{prefs.stem} - {item.label}" == full
    for item in prefs.statements:
        assert item.label == mapping[item.code]["survey_text"]
    assert f"{prefs.low} - {prefs.high}" == mapping["slider_values"]["survey_text"].strip()
    assert (prefs.minimum, prefs.maximum) == (0, 100)
    assert prefs.randomise


def test_free_texts_ask_for_two_to_five_sentences(prism: InstrumentFile) -> None:
    for code in ("self_description", "system_string"):
        assert question(prism, code, FreeText).sentences == (2, 5)


def test_the_primer_is_appendix_i_and_one_request(prism: InstrumentFile) -> None:
    *primer, request = prism.pages[0].text
    assert primer == CODEBOOK["primer"]
    assert "without the help of a language model" in request


def test_conversation_instructions_are_the_codebooks(prism: InstrumentFile) -> None:
    texts = prism.task.model_dump()
    assert {name: texts[name] for name in CODEBOOK["conversation"]} == CODEBOOK["conversation"]


def test_conversation_types_are_prisms_in_its_order(prism: InstrumentFile) -> None:
    types = prism.task.types
    assert [type_.code for type_ in types] == list(CODEBOOK["types"])
    for type_ in types:
        assert f"{type_.label}. {type_.text}" == CODEBOOK["types"][type_.code]


@pytest.mark.parametrize("name", ["performance", "choice"])
def test_attributes_are_prisms_in_its_order(prism: InstrumentFile, name: str) -> None:
    scale: AttributeScale = getattr(prism.conversation, name)
    mapping = rows("header_prefs_mapping.csv")
    column = f"conversations_{name}_factors"
    assert [statement.code for statement in scale.statements] == ATTRIBUTES
    for statement in scale.statements:
        assert statement.label == mapping[statement.code][column]
    assert f"{scale.low} - {scale.high}" == mapping["slider_values"][column].strip()
    assert f"{scale.heading} {scale.text}" == CODEBOOK[name]["question"]
    assert scale.stem == CODEBOOK[name]["stem"]
    assert mapping["shared_opener"][column] == f"<b>{scale.stem.removesuffix('...')}</b>"


def test_certificate_and_consent_are_prisms() -> None:
    consent = load.read_consent(FOLDER / "prism-consent.yaml")
    assert consent["certificate"] == {
        "legend": asked("consent_age"),
        "label": CODEBOOK["consent_age"],
    }
    assert consent["consent"] == {"legend": asked("consent"), "label": CODEBOOK["consent"]}
