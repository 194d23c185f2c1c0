"""Instrument and consent files: read, kept once per version, and refused with a reason."""

from pathlib import Path

import pytest

from surveys.enrolment import filled_consent
from surveys.instruments import load
from surveys.instruments.load import InstrumentError
from surveys.models import Instrument, Study

FOLDER = Path(load.__file__).parent
PRISM = FOLDER / "prism.yaml"
CONSENT = FOLDER / "prism-consent.yaml"


def edited(folder: Path, old: str, new: str, source: Path = PRISM) -> Path:
    """A copy of an instrument with one passage changed."""
    text = source.read_text()
    assert old in text
    copy = folder / "study.yaml"
    copy.write_text(text.replace(old, new, 1))
    return copy


def written(folder: Path, text: str) -> Path:
    file = folder / "study.yaml"
    file.write_text(text)
    return file


def line_of(file: Path, passage: str, nth: int = 1) -> int:
    found = [n for n, line in enumerate(file.read_text().splitlines(), 1) if passage in line]
    return found[nth - 1]


def refusal(file: Path) -> str:
    with pytest.raises(InstrumentError) as refused:
        load.read(file)
    return str(refused.value)


@pytest.mark.django_db
def test_it_works() -> None:
    instrument = load.store(PRISM)
    assert (instrument.slug, instrument.title) == ("prism", "The PRISM questionnaire")
    assert Instrument.objects.get().file == load.read(PRISM)


@pytest.mark.django_db
def test_the_same_version_is_kept_once(tmp_path: Path) -> None:
    first = load.store(PRISM)
    assert load.store(PRISM) == first
    assert (
        load.store(edited(tmp_path, "# The PRISM", "# A comment makes no version. PRISM")) == first
    )


@pytest.mark.django_db
def test_another_wording_is_another_version(tmp_path: Path) -> None:
    first = load.store(PRISM)
    second = load.store(edited(tmp_path, "How old are you?", "What is your age?"))
    assert second != first
    assert Instrument.objects.get(pk=first.pk).file == load.read(PRISM)


def test_a_missing_file(tmp_path: Path) -> None:
    assert "No such file" in refusal(tmp_path / "none.yaml")


def test_an_empty_file(tmp_path: Path) -> None:
    assert "empty" in refusal(written(tmp_path, "# nothing yet\n"))


def test_a_file_that_is_no_utf8(tmp_path: Path) -> None:
    file = tmp_path / "study.yaml"
    file.write_bytes("title: Français".encode("latin-1"))
    assert "save the file as UTF-8" in refusal(file)


def test_a_file_that_is_no_mapping(tmp_path: Path) -> None:
    message = refusal(written(tmp_path, "- instrument: prism\n"))
    assert message.startswith("study.yaml: ")
    assert message.endswith("write keys and values here")


def test_broken_yaml_names_the_line(tmp_path: Path) -> None:
    message = refusal(written(tmp_path, 'instrument: prism\ntitle: "unclosed\npages: []\n'))
    assert message.startswith("study.yaml:4: not valid YAML")


def test_a_date_that_is_none(tmp_path: Path) -> None:
    file = edited(tmp_path, "How old are you?", "2026-13-01")
    assert "put dates in quotes" in refusal(file)


def test_a_key_given_twice_names_both_lines(tmp_path: Path) -> None:
    file = edited(tmp_path, "language: en", "language: en\nlanguage: de")
    first = line_of(file, "language: en")
    assert refusal(file) == (
        f"study.yaml:{first + 1}: language: given twice, first in line {first}; remove one"
    )


def test_keys_are_checked_behind_aliases_that_lead_back(tmp_path: Path) -> None:
    file = written(tmp_path, "pages: &pages [*pages, {code: a, code: b}]\n")
    assert "aliases repeat too much" in refusal(file)


def test_aliases_of_aliases_are_not_written_out(tmp_path: Path) -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 12)]
    assert "aliases repeat too much" in refusal(written(tmp_path, "\n".join(lines)))


@pytest.mark.parametrize("text", ["title: [" * 3000, "a: " * 3000, "- " * 30000])
def test_a_file_nested_without_end(tmp_path: Path, text: str) -> None:
    assert "study.yaml" in refusal(written(tmp_path, text))


@pytest.mark.parametrize("character", [r"\0", r"\ud800"])
def test_a_character_that_no_database_stores(tmp_path: Path, character: str) -> None:
    file = edited(tmp_path, "How old are you?", f'"How old{character} are you?"')
    assert "a character that cannot be stored; remove it" in refusal(file)


def test_a_number_that_is_none(tmp_path: Path) -> None:
    file = edited(tmp_path, "minimum: 0", "minimum: .nan")
    assert ".nan is no number to count with" in refusal(file)


def test_two_options_of_one_code(tmp_path: Path) -> None:
    file = edited(tmp_path, "{code: retired, label: Retired}", "{code: student, label: Retired}")
    message = refusal(file)
    line = line_of(file, "label: Retired}")
    assert message == (
        f"study.yaml:{line}: student: code: option codes must differ; given twice: student"
    )


def test_two_questions_of_one_code(tmp_path: Path) -> None:
    file = edited(tmp_path, "- code: lm_direct_use\n", "- code: lm_indirect_use\n")
    assert "question codes must differ; given twice: lm_indirect_use" in refusal(file)


def test_a_condition_on_a_question_not_asked_before(tmp_path: Path) -> None:
    file = edited(tmp_path, "{question: lm_direct_use,", "{question: age,")
    line = line_of(file, "- code: frequency") + 2
    assert refusal(file) == (
        f"study.yaml:{line}: frequency: show_if: show_if needs 'age', not asked before; "
        "move it to an earlier page"
    )


def test_a_misspelt_key_names_line_and_path(tmp_path: Path) -> None:
    file = edited(tmp_path, "randomise: true", "randomize: true")
    line = line_of(file, "randomize: true")
    assert refusal(file).startswith(
        f"study.yaml:{line}: pages[3].questions[0].randomize: Extra inputs are not permitted"
    )


def test_a_missing_key_names_its_place(tmp_path: Path) -> None:
    file = edited(tmp_path, "  high: Perfect\n", "")
    message = refusal(file)
    assert message.startswith(f"study.yaml:{line_of(file, 'choose_type')}: conversation.high: ")
    assert message.endswith("add this key")


def test_an_unquoted_yes_is_explained(tmp_path: Path) -> None:
    file = edited(tmp_path, 'label: "Yes"}', "label: Yes}")
    message = refusal(file)
    line = line_of(file, "label: Yes}")
    assert f"study.yaml:{line}: pages[1].questions[1].options[0].label: " in message
    assert "in quotes" in message


def test_the_type_called_text_is_not_taken_for_the_key(tmp_path: Path) -> None:
    file = edited(tmp_path, "sentences: [2, 5]", "sentences: [two, 5]")
    line = line_of(file, "sentences: [two, 5]")
    assert f"study.yaml:{line}: pages[4].questions[0].sentences[0]: " in refusal(file)


def test_an_unknown_type_lists_the_known(tmp_path: Path) -> None:
    message = refusal(edited(tmp_path, "type: country", "type: land"))
    assert "pages[8].questions[0]: " in message
    assert "'country'" in message


def test_every_problem_has_a_line_of_its_own(tmp_path: Path) -> None:
    file = edited(tmp_path, "title: About you", "titel: About you")
    assert [line.split(": ")[1] for line in refusal(file).splitlines()] == [
        "pages[7].title",
        "pages[7].titel",
    ]


def test_consent_is_filled_without_a_gap() -> None:
    study = Study(
        consent_document=load.read_consent(CONSENT),
        contact_name="Alice",
        contact_email="alice@example.org",
        ethics_reference="REC-2026-014",
        ethics_contact="ethics@example.org",
        payment="£9.00",
        platform_name="Prolific",
        withdrawal_days=30,
    )
    filled = filled_consent(study)
    assert "{" not in " ".join(texts(filled))
    assert {"term": "Payment", "text": "£9.00"} in filled["facts"]
    assert "for 30 days after" in str(filled["facts"])
    for setting in ("Alice", "alice@example.org", "REC-2026-014", "ethics@example.org"):
        assert setting in str(filled["sections"])


def texts(part: object) -> list[str]:
    if isinstance(part, str):
        return [part]
    parts = part.values() if isinstance(part, dict) else part if isinstance(part, list) else ()
    return [text for inner in parts for text in texts(inner)]


def test_a_consent_text_with_an_unknown_placeholder(tmp_path: Path) -> None:
    file = edited(tmp_path, '"{payment}"', '"{pay}"', CONSENT)
    with pytest.raises(InstrumentError) as refused:
        load.read_consent(file)
    line = line_of(file, '"{pay}"')
    assert str(refused.value).startswith(
        f"study.yaml:{line}: facts[1].text: unknown placeholder pay; known are contact_name"
    )


def test_a_consent_text_without_its_statement(tmp_path: Path) -> None:
    file = edited(tmp_path, "\nconsent:\n", "\nagreement:\n", CONSENT)
    with pytest.raises(InstrumentError, match="consent: Field required; add this key"):
        load.read_consent(file)
