"""`manage.py load_instrument`, and the JSON Schema that editors check instrument files with."""

import json
from io import StringIO
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from django.core.management import CommandError, call_command
from django.test import Client

from surveys.instruments import published
from surveys.instruments.load import FOLDER, read_file
from surveys.models import Instrument
from tests.drafts import draft, page, single, text

PRISM = FOLDER / "prism.yaml"
JOB = single("job", "yes", "no")


def run(*arguments: Any) -> str:
    out = StringIO()
    call_command("load_instrument", *map(str, arguments), stdout=out)
    return out.getvalue()


def refused(*arguments: Any) -> str:
    error = StringIO()
    with pytest.raises(SystemExit) as exit_:
        call_command("load_instrument", *map(str, arguments), stderr=error)
    assert exit_.value.code == 1
    return error.getvalue()


@pytest.fixture
def file(tmp_path: Path) -> Path:
    hidden = page("two", JOB | {"code": "more"}, show_if={"question": "job", "declined": True})
    path = tmp_path / "draft.yaml"
    path.write_text(text(page("one", JOB), hidden))
    return path


@pytest.mark.django_db
def test_it_works() -> None:
    lines = run(PRISM).splitlines()
    row = Instrument.objects.get()
    assert row.sha256 == read_file(PRISM).sha256
    assert lines[:2] == ["The PRISM questionnaire (prism)", f"sha256 {row.sha256}"]
    assert lines[2].startswith("9 pages, 18 questions, about ")
    assert lines[-1] == "Stored."


@pytest.mark.django_db
def test_a_version_is_stored_once(file: Path) -> None:
    run(file)
    assert run(file).splitlines()[-1] == "This version is stored already."
    file.write_text("# a comment makes no new version\n" + file.read_text())
    run(file)
    assert Instrument.objects.count() == 1
    file.write_text(file.read_text().replace("Draft", "Another draft"))
    assert run(file).splitlines()[-1] == "Stored."
    assert Instrument.objects.count() == 2


@pytest.mark.django_db
def test_findings_are_printed_and_check_stores_nothing(file: Path) -> None:
    lines = run(file, "--check").splitlines()
    assert lines[3:] == ["error: page two: nobody can reach it: job is declined can never be true"]
    assert Instrument.objects.count() == 0


@pytest.mark.django_db
def test_a_file_that_cannot_be_used_is_refused_line_by_line(file: Path) -> None:
    file.write_text(file.read_text().replace("type: single", "type: singel"))
    lines = refused(file).splitlines()
    assert all(line.startswith("draft.yaml:") for line in lines)
    assert "correct the type" in lines[0]
    assert "check the path" in refused(file.parent / "nowhere.yaml")
    assert Instrument.objects.count() == 0


def test_a_file_is_needed() -> None:
    with pytest.raises(CommandError, match="file"):
        call_command("load_instrument")


# The JSON Schema


def problems(document: Any) -> list[str]:
    validator = jsonschema.Draft202012Validator(published.json_schema())
    return [error.json_path for error in validator.iter_errors(document)]


def test_the_published_schema_keeps_up() -> None:
    """If not: manage.py load_instrument --schema > static/refract/instrument.schema.json"""
    assert run("--schema") == published.FILE.read_text()


def test_the_schema_is_one_and_says_what_keys_mean() -> None:
    schema = published.json_schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    assert "exclusive" in schema["$defs"]["Option"]["properties"]
    described = schema["$defs"]["Single"]["properties"]["prefer_not_to_say"]["description"]
    assert described == 'Offers "Prefer not to say" beside the answers.'


def test_the_schema_can_be_fetched(client: Client) -> None:
    response: Any = client.get("/instrument.schema.json")
    assert response["Content-Type"] == "application/schema+json"
    assert json.loads(response.content) == published.json_schema()


INSTRUMENTS = sorted(set(FOLDER.glob("*.yaml")) - set(FOLDER.glob("*-consent.yaml")))


@pytest.mark.parametrize("path", INSTRUMENTS, ids=lambda path: path.name)
def test_instruments_that_ship_name_the_schema_and_fit_it(path: Path) -> None:
    document = yaml.safe_load(path.read_text())
    head, named = path.read_text().splitlines()[0].split("$schema=")
    assert head == "# yaml-language-server: "
    assert (path.parent / named).resolve() == published.FILE
    assert problems(document) == []


def test_texts_may_be_given_per_language() -> None:
    spanish = {"en": "Work", "es": "Trabajo"}
    labelled = [{"code": "yes", "label": spanish}, {"code": "no", "label": "No"}]
    asked = page("one", JOB | {"text": spanish, "options": labelled}, title=spanish)
    assert problems(draft(asked, title=spanish, languages=["en", "es"])) == []


@pytest.mark.parametrize(
    ("question", "path"),
    [
        (JOB | {"txt": "x"}, "$.pages[0]"),
        (JOB | {"type": "singel"}, "$.pages[0]"),
        (JOB | {"text": 3}, "$.pages[0]"),
        ({key: value for key, value in JOB.items() if key != "text"}, "$.pages[0]"),
    ],
)
def test_what_load_refuses_the_schema_marks(question: Any, path: str) -> None:
    assert problems(draft(page("one", question))) == [path]
