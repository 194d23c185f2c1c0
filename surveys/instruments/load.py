"""Reading instrument and consent files, and keeping every version of an instrument once.

A file that cannot be used is refused as a whole, with one line per problem: file, line, key, what
is wrong and what to do.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, TypeVar

import yaml
from pydantic import AfterValidator, BaseModel, Field, ValidationError
from pydantic_core import ErrorDetails

from surveys.instruments.schema import InstrumentFile, Part, Text
from surveys.models import Instrument, fingerprint

M = TypeVar("M", bound=BaseModel)

FOLDER = Path(__file__).parent
"""Where the instruments that ship with Refract lie."""

PLACEHOLDERS = (
    "contact_name",
    "contact_email",
    "ethics_reference",
    "ethics_contact",
    "payment",
    "platform_name",
    "withdrawal_days",
)
"""What a consent text may ask of its study: {contact_name} and so on."""

REMEDIES = {
    "missing": "add this key",
    "extra_forbidden": "remove this key, or correct its spelling",
    "string_pattern_mismatch": "begin with a small letter; then small letters, digits, _ and -",
    "string_too_short": "write a text",
    "string_too_long": "shorten it",
    "string_type": "write a text; in quotes if YAML reads it as yes, no, a number or a date",
    "too_short": "add more entries",
    "tuple_type": 'write a list, each entry after "- "',
    "model_type": "write keys and values here",
    "union_tag_not_found": "add type: single, country, multiple, sliders or text",
    "union_tag_invalid": "correct the type",
}
"""What to do about pydantic's kinds of error, where its message does not say it already."""


class InstrumentError(ValueError):
    """A file that cannot be used; the message names every problem, one per line."""


def _known_placeholders(text: str) -> str:
    unknown = set(re.findall(r"\{(.*?)\}", text)) - set(PLACEHOLDERS)
    if unknown:
        raise ValueError(
            f"unknown placeholder {', '.join(sorted(unknown))}; known are {', '.join(PLACEHOLDERS)}"
        )
    return text


Filled = Annotated[Text, AfterValidator(_known_placeholders)]


class Fact(Part):
    """A line of the margin; left out by whoever shows it if nothing remains of `text`."""

    term: Filled
    text: Filled


class Section(Part):
    heading: Filled
    paragraphs: tuple[Filled, ...] = Field(min_length=1)


class Statement(Part):
    """Something to tick. `label` is released word for word (codebook: consent, consent_age)."""

    legend: Text
    label: Text


class ConsentFile(Part):
    """What people read before they take part. Plain text with the study's placeholders."""

    version: Annotated[str, Field(min_length=1, max_length=50)]
    title: Filled
    lede: Filled
    facts: tuple[Fact, ...] = ()
    sections: tuple[Section, ...] = Field(min_length=1)
    certificate: Statement
    consent: Statement


def read(path: Path) -> InstrumentFile:
    """The instrument in a YAML file. Raises InstrumentError."""
    return _read(path, InstrumentFile)


def read_consent(path: Path) -> dict[str, Any]:
    """The consent document in a YAML file, its placeholders unfilled. Raises InstrumentError."""
    return _read(path, ConsentFile).model_dump(mode="json")


def store(path: Path) -> Instrument:
    """The row of this very version of an instrument, made if it is new. Raises InstrumentError.

    The version is the hash of what the file says, so comments and spacing make no new one.
    """
    file = read(path)
    document = file.model_dump(mode="json", exclude_unset=True)
    instrument, _created = Instrument.objects.get_or_create(
        sha256=fingerprint(document),
        defaults={"slug": file.instrument, "title": file.title, "document": document},
    )
    return instrument


def _read(path: Path, model: type[M]) -> M:
    text = _text(path)
    try:
        root = yaml.compose(text, Loader=yaml.SafeLoader)
        document = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise InstrumentError(_yaml_problem(path, error)) from error
    except ValueError as error:  # a date that is none, such as 2026-13-01
        raise InstrumentError(f"{path.name}: {error}; put dates in quotes") from error
    if root is None:
        raise InstrumentError(f"{path.name}: the file is empty; write an instrument into it")
    if twice := list(_keys_given_twice(path, root)):
        raise InstrumentError("\n".join(twice))
    try:
        return model.model_validate(document)
    except ValidationError as error:
        problems = [_problem(path, root, details) for details in error.errors()]
        raise InstrumentError("\n".join(problems)) from error


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        reason = error.strerror or str(error)
        raise InstrumentError(f"{path}: {reason}; check the path of the file") from error
    except UnicodeDecodeError as error:
        raise InstrumentError(f"{path.name}: not UTF-8; save the file as UTF-8") from error


def _yaml_problem(path: Path, error: yaml.YAMLError) -> str:
    mark = getattr(error, "problem_mark", None)
    where = f"{path.name}:{mark.line + 1}" if mark else path.name
    what = getattr(error, "problem", None) or str(error)
    return f"{where}: not valid YAML: {what}; check colons, quotes and indentation around here"


def _keys_given_twice(path: Path, root: yaml.Node) -> Iterator[str]:
    """YAML's loaders keep the last of two equal keys and say nothing."""
    for mapping in _mappings(root, set()):
        first: dict[str, int] = {}
        for key, _value in mapping.value:
            line = key.start_mark.line + 1
            if key.value in first:
                yield (
                    f"{path.name}:{line}: {key.value}: given twice, first in line "
                    f"{first[key.value]}; remove one"
                )
            else:
                first[key.value] = line


def _mappings(node: yaml.Node, seen: set[int]) -> Iterator[yaml.MappingNode]:
    if id(node) in seen:  # an alias leads back to its anchor, and may even lie within it
        return
    seen.add(id(node))
    if isinstance(node, yaml.MappingNode):
        yield node
        for _key, value in node.value:
            yield from _mappings(value, seen)
    elif isinstance(node, yaml.SequenceNode):
        for value in node.value:
            yield from _mappings(value, seen)


def _problem(path: Path, root: yaml.Node, details: ErrorDetails) -> str:
    line, key = _place(root, details)
    message = details["msg"].removeprefix("Value error, ")
    remedy = REMEDIES.get(details["type"])
    # What is wrong with the whole file has no line; the message names the codes.
    where = f"{path.name}:{line}: {key}" if key else path.name
    return f"{where}: {message}" + (f"; {remedy}" if remedy else "")


def _place(root: yaml.Node, details: ErrorDetails) -> tuple[int, str]:
    """Line and key path (pages[2].questions[0].text) of what pydantic complains about."""
    node, key, is_entered = root, "", True
    for step in details["loc"]:
        # Pydantic's path names a question's type after its index, which is no key of the file,
        # though `text` is both a type and a key.
        if is_entered and step == _type(node):
            is_entered = False
            continue
        child = _child(node, step)
        is_entered = child is not None
        key += f"[{step}]" if isinstance(step, int) else f".{step}"
        node = child or node
    return node.start_mark.line + 1, key.removeprefix(".")


def _type(node: yaml.Node) -> str | None:
    child = _child(node, "type")
    return child.value if isinstance(child, yaml.ScalarNode) else None


def _child(node: yaml.Node, step: int | str) -> yaml.Node | None:
    if isinstance(node, yaml.MappingNode):
        return next((value for key, value in node.value if key.value == step), None)
    if isinstance(node, yaml.SequenceNode) and isinstance(step, int) and step < len(node.value):
        child: yaml.Node = node.value[step]
        return child
    return None
