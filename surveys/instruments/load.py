"""Reading instrument and consent files, and keeping every version of an instrument once.

A file that cannot be used is refused as a whole, with one line per problem: file, line, key, what
is wrong and what to do.
"""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, TypeVar

import yaml
from pydantic import AfterValidator, BaseModel, Field, ValidationError
from pydantic_core import ErrorDetails

from surveys.instruments.languages import in_language, languages_of
from surveys.instruments.parts import Part, Text, Unsound
from surveys.instruments.schema import InstrumentFile
from surveys.models import Instrument, fingerprint

M = TypeVar("M", bound=BaseModel)

LENGTH_LIMIT = 1_000_000
PARTS_LIMIT = 100_000

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
    "union_tag_not_found": "add type: single, multiple, text or another kind of question",
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
    language: str = "en"
    languages: tuple[str, ...] = ()


@dataclass(frozen=True)
class Parsed:
    """A sound instrument. document: as it is stored, texts of all languages in it."""

    document: dict[str, Any]
    file: InstrumentFile
    """In its own language."""

    @property
    def sha256(self) -> str:
        """Of what the file says, so comments and spacing make no new version."""
        return fingerprint(self.document)


def read(path: Path) -> InstrumentFile:
    """The instrument in a YAML file, in its own language. Raises InstrumentError."""
    return read_file(path).file


def read_file(path: Path) -> Parsed:
    """The same with its document, in all languages."""
    return parse(path.name, _text(path))


def read_consent(path: Path) -> dict[str, Any]:
    """The consent document in a YAML file, its placeholders unfilled. Raises InstrumentError."""
    document, _file = _parse(path.name, _text(path), ConsentFile)
    return document


def parse(name: str, text: str) -> Parsed:
    """The instrument in a text; `name` begins each line of the message of an InstrumentError."""
    document, file = _parse(name, text, InstrumentFile)
    return Parsed(document, file)


def parse_as(name: str, text: str, model: type[M]) -> M:
    """What another kind of file says. Raises InstrumentError, each line with file, line and key."""
    if not text.strip():
        raise InstrumentError(f"{name}: the file is empty; choose another")
    return _parse(name, text, model)[1]


def store(path: Path) -> Instrument:
    """The row of this very version of an instrument, made if it is new. Raises InstrumentError."""
    return keep(read_file(path))


def keep(parsed: Parsed) -> Instrument:
    """The row of this version, made if it is new."""
    instrument, _created = Instrument.objects.get_or_create(
        sha256=parsed.sha256,
        defaults={
            "slug": parsed.file.instrument,
            "title": parsed.file.title,
            "document": parsed.document,
        },
    )
    return instrument


def _parse(name: str, text: str, model: type[M]) -> tuple[dict[str, Any], M]:
    if len(text) > LENGTH_LIMIT:
        raise InstrumentError(f"{name}: longer than {LENGTH_LIMIT:,} characters; shorten it")
    try:
        root = yaml.compose(text, Loader=yaml.SafeLoader)
        if root is None:
            raise InstrumentError(f"{name}: the file is empty; write an instrument into it")
        if _parts(root, {}) > PARTS_LIMIT:
            raise InstrumentError(f"{name}: aliases repeat too much; write it out, or shorten it")
        document = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise InstrumentError(_yaml_problem(name, error)) from error
    except RecursionError as error:
        raise InstrumentError(f"{name}: nested too deeply; write it flatter") from error
    except ValueError as error:  # a date that is none, such as 2026-13-01
        if isinstance(error, InstrumentError):
            raise
        raise InstrumentError(f"{name}: {error}; put dates in quotes") from error
    if problems := [*_keys_given_twice(name, root), *_unstorable(name, root)]:
        raise InstrumentError("\n".join(problems))
    return _validated(name, root, document, model)


def _validated(
    name: str, root: yaml.Node, document: Any, model: type[M]
) -> tuple[dict[str, Any], M]:
    """Check every language; return the document and the model in its own language."""
    problems: dict[str, None] = {}
    files: list[M] = []
    for language in languages_of(document):
        try:
            files.append(model.model_validate(in_language(document, language)))
        except ValidationError as error:
            problems |= dict.fromkeys(_problem(name, root, d) for d in error.errors())
    if problems:
        raise InstrumentError("\n".join(problems))
    return json.loads(json.dumps(document, ensure_ascii=False, default=str)), files[0]


def _parts(node: yaml.Node, counted: dict[int, int]) -> int:
    """How many parts the document has once its aliases are written out."""
    if id(node) not in counted:
        counted[id(node)] = PARTS_LIMIT + 1  # found again below itself, it would never end
        total = 1
        if isinstance(node, yaml.MappingNode):
            total += sum(_parts(k, counted) + _parts(v, counted) for k, v in node.value)
        elif isinstance(node, yaml.SequenceNode):
            total += sum(_parts(item, counted) for item in node.value)
        counted[id(node)] = total
    return counted[id(node)]


def _unstorable(name: str, root: yaml.Node) -> Iterator[str]:
    for node in _scalars(root, set()):
        where = f"{name}:{node.start_mark.line + 1}"
        if any(char == "\x00" or "\ud800" <= char <= "\udfff" for char in node.value):
            yield f"{where}: a character that cannot be stored; remove it"
        elif node.tag.endswith(":float") and node.value.lower().lstrip("+-") in (".inf", ".nan"):
            yield f"{where}: {node.value} is no number to count with; write a number"


def _scalars(node: yaml.Node, seen: set[int]) -> Iterator[yaml.ScalarNode]:
    if id(node) in seen:
        return
    seen.add(id(node))
    if isinstance(node, yaml.ScalarNode):
        yield node
    elif isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            yield from _scalars(key, seen)
            yield from _scalars(value, seen)
    elif isinstance(node, yaml.SequenceNode):
        for item in node.value:
            yield from _scalars(item, seen)


def _text(path: Path) -> str:
    try:
        return decoded(path.name, path.read_bytes())
    except OSError as error:
        reason = error.strerror or str(error)
        raise InstrumentError(f"{path}: {reason}; check the path of the file") from error


def decoded(name: str, data: bytes) -> str:
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InstrumentError(f"{name}: not UTF-8; save the file as UTF-8") from error


def _yaml_problem(name: str, error: yaml.YAMLError) -> str:
    mark = getattr(error, "problem_mark", None)
    where = f"{name}:{mark.line + 1}" if mark else name
    what = getattr(error, "problem", None) or str(error)
    return (
        f"{where}: not valid YAML: {what}; check colons, quotes and indentation around here, "
        "and put texts between braces in quotes"
    )


def _keys_given_twice(name: str, root: yaml.Node) -> Iterator[str]:
    """YAML's loaders keep the last of two equal keys and say nothing."""
    for mapping in _mappings(root, set()):
        first: dict[str, int] = {}
        for key, _value in mapping.value:
            line = key.start_mark.line + 1
            if key.value in first:
                yield (
                    f"{name}:{line}: {key.value}: given twice, first in line "
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


def _problem(name: str, root: yaml.Node, details: ErrorDetails) -> str:
    node, key = _place(root, details)
    line = node.start_mark.line + 1
    error = details.get("ctx", {}).get("error")
    if isinstance(error, Unsound):
        line, key = _part(node, error)
    message = details["msg"].removeprefix("Value error, ")
    remedy = REMEDIES.get(details["type"])
    where = f"{name}:{line}: {key}" if key else name
    return f"{where}: {message}" + (f"; {remedy}" if remedy else "")


def _part(root: yaml.Node, error: Unsound) -> tuple[int, str]:
    """Line and key of the part that an error names by its code; of several, the last."""
    line = root.start_mark.line + 1
    for mapping in _mappings(root, set()):
        keys = {key.value: (key, value) for key, value in mapping.value}
        own = keys.get("block") or keys.get("code")
        if own and own[1].value == error.code:
            key, _value = keys.get(error.key, own)
            line = key.start_mark.line + 1
    return line, f"{error.code}: {error.key}"


def _place(root: yaml.Node, details: ErrorDetails) -> tuple[yaml.Node, str]:
    """Node and key path (pages[2].questions[0].text) of what pydantic complains about."""
    node, key, is_entered = root, "", False
    for step in details["loc"]:
        # Pydantic's path names a question's type, or page or block, after its index, which is no
        # key of the file, though `text` is both a type and a key.
        if is_entered and step in (_type(node), "page", "block"):
            is_entered = False
            continue
        child = _child(node, step)
        is_entered = child is not None and isinstance(step, int)
        key += f"[{step}]" if isinstance(step, int) else f".{step}"
        node = child or node
    return node, key.removeprefix(".")


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
