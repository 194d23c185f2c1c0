"""The manual: every key of the format is in it, and every example in it works."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from collection.importing import repairs
from surveys.instruments.load import Parsed, parse
from surveys.instruments.published import json_schema
from surveys.instruments.review import review
from tests.servers import ROOT

REFERENCE = ROOT / "docs" / "instruments.md"
README = ROOT / "README.md"
CONTRIBUTING = ROOT / "CONTRIBUTING.md"
CHANGELOG = ROOT / "CHANGELOG.md"
BLOCK = re.compile(r"^```yaml\n(.*?)^```", re.MULTILINE | re.DOTALL)
SKELETON: dict[str, Any] = {
    "instrument": "example",
    "title": "Example",
    "language": "en",
    "attribution": "The manual.",
    "pages": [{"code": "only", "title": "Only", "text": ["Nothing to answer."]}],
}


def blocks(path: Path) -> list[str]:
    return BLOCK.findall(path.read_text())


def examples() -> Iterator[Any]:
    for path in (README, REFERENCE):
        for number, block in enumerate(blocks(path), start=1):
            yield pytest.param(block, id=f"{path.name}-{number}")


def whole(example: Any) -> dict[str, Any]:
    """An example as an instrument: a whole one, questions, or some keys of one."""
    if isinstance(example, list):
        return SKELETON | {"pages": [{"code": "only", "title": "Only", "questions": example}]}
    return SKELETON | (example or {})


def parsed_example(block: str) -> Parsed:
    return parse("example", yaml.safe_dump(whole(yaml.safe_load(block)), allow_unicode=True))


def keys() -> set[str]:
    definitions = [json_schema(), *json_schema()["$defs"].values()]
    return {key for part in definitions for key in part.get("properties", {})}


def types() -> set[str]:
    definitions = json_schema()["$defs"].values()
    found = [
        part["properties"].get("type", {}).get("const")
        for part in definitions
        if "properties" in part
    ]
    return {name for name in found if name}


@pytest.mark.parametrize("block", list(examples()))
def test_every_example_is_sound(block: str) -> None:
    parsed = parsed_example(block)
    found = review(parsed.document, parsed.file)
    assert not found.having("error")
    assert not found.having("warning")


def test_every_key_of_the_format_is_explained() -> None:
    text = REFERENCE.read_text()
    written = set(re.findall(r"`([a-z_]+)`", text))
    shown = set(re.findall(r"([a-z_]+): ", "".join(blocks(REFERENCE))))
    assert keys() - written - shown == set()


def test_every_type_of_question_has_an_example() -> None:
    asked = {
        question.type
        for block in blocks(REFERENCE)
        for question in parsed_example(block).file.questions()
    }
    assert asked == types()


def test_every_link_within_leads_somewhere() -> None:
    for path in (README, REFERENCE, CONTRIBUTING, CHANGELOG):
        text = path.read_text()
        anchors = {
            re.sub(r"[^a-z0-9 -]", "", heading.lower()).replace(" ", "-")
            for heading in re.findall(r"^#+ (.*)$", text, re.MULTILINE)
        }
        for link in re.findall(r"\]\(([^)]+)\)", text):
            if link.startswith("#"):
                assert link[1:] in anchors, link
            elif "://" not in link:
                assert (path.parent / link.partition("#")[0]).exists(), link


def test_every_key_shows_a_description_in_editors() -> None:
    schema = json_schema()
    parts = {"file": schema, **schema["$defs"]}
    bare = [
        f"{name}.{key}"
        for name, part in parts.items()
        for key, value in part.get("properties", {}).items()
        if not value.get("description")
    ]
    assert bare == []


def test_every_target_of_make_is_mentioned() -> None:
    targets = re.findall(r"^([a-z-]+):.*## ", (ROOT / "Makefile").read_text(), re.MULTILINE)
    text = README.read_text() + CONTRIBUTING.read_text()
    targets.remove("help")  # is what `make` alone does
    assert [name for name in targets if not re.search(rf"make {name}(?![a-z-])", text)] == []


def test_every_setting_of_the_environment_is_mentioned() -> None:
    code = (ROOT / "platform" / "config" / "settings.py").read_text()
    settings = set(re.findall(r"\"(REFRACT_[A-Z_]+|[A-Z]+_URL)\"", code))
    text = "".join(path.read_text() for path in (README, CONTRIBUTING, REFERENCE))
    assert {"REFRACT_DATA", "DATABASE_URL", "REFRACT_KEY_"} <= settings
    assert [name for name in sorted(settings) if not re.search(name, text)] == []


def test_the_readmes_survey_is_reached_in_full() -> None:
    """What a newcomer pastes first has nothing to be mended."""
    (block,) = blocks(README)
    parsed = parse("my.yaml", block)
    assert review(parsed.document, parsed.file).findings == ()


def test_every_repair_of_an_import_is_documented() -> None:
    rows = (ROOT / "docs" / "importing.md").read_text()
    for rule, words in repairs.RULES.items():
        assert f"| `{rule}` | {words} |" in rows
