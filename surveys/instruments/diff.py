"""What differs between two versions of an instrument, as a person reads it.

Parts are the same if their codes are: a part with a new code is new. Texts are compared word by
word in each language, everything else as a whole.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from difflib import SequenceMatcher
from typing import Any, Literal

from surveys.instruments.conditions import Condition
from surveys.instruments.explain import in_words
from surveys.instruments.languages import in_language, languages_of
from surveys.instruments.schema import (
    BaseQuestion,
    Block,
    InstrumentFile,
    Page,
)

State = Literal["same", "added", "removed", "moved", "changed"]


@dataclass(frozen=True)
class Piece:
    """Words of a text: in both versions (same), only in the new one, or only in the old one."""

    state: Literal["same", "added", "removed"]
    text: str


@dataclass(frozen=True)
class Field:
    """One changed value of a part."""

    name: str
    pieces: tuple[Piece, ...]
    language: str = ""
    """Of a text, if the instrument has several."""


@dataclass(frozen=True)
class Node:
    """A part of an instrument with its own values, and its parts."""

    kind: str
    code: str
    title: str
    fields: Mapping[tuple[str, str], str] = field(default_factory=dict)
    """(name, language) -> value in words."""
    parts: tuple["Node", ...] = ()


@dataclass(frozen=True)
class Difference:
    """What became of a part. `state` is its own: parts of a "same" one may have changed."""

    kind: str
    code: str
    title: str
    state: State
    moved: str = ""
    """How it moved, in words."""
    fields: tuple[Field, ...] = ()
    parts: tuple["Difference", ...] = ()
    """Those that differ, in the new order; what was removed comes last."""

    @property
    def is_empty(self) -> bool:
        return self.state == "same" and not self.parts


def compare(old: Mapping[str, Any], new: Mapping[str, Any]) -> Difference:
    """Of two stored documents, the texts of all languages in them."""
    before, after = tree(old), tree(new)
    return _Comparison(before, after).of(before, after)


def incompatible(old: InstrumentFile, new: InstrumentFile) -> list[str]:
    """Questions whose answers are of another kind in the new version, though their code is kept."""
    kinds = {question.code: _kind(question) for question in old.questions()}
    return [q.code for q in new.questions() if kinds.get(q.code, _kind(q)) != _kind(q)]


def _kind(question: BaseQuestion) -> tuple[object, ...]:
    parts = ("type", "multiple", "precision", "release")
    known = question.model_dump(include=set(parts))
    return (known["type"], known.get("multiple"), known.get("precision"), known["release"]["form"])


# An instrument as nodes


def tree(document: Mapping[str, Any]) -> Node:
    """All that an instrument says."""
    languages = languages_of(document)
    trees = [
        _file(InstrumentFile.model_validate(in_language(document, language)))
        for language in languages
    ]
    return _merged(trees, languages)


def _file(file: InstrumentFile) -> Node:
    dump = file.model_dump(mode="json", by_alias=True, exclude={"entries", "variants"})
    variants = tuple(
        _node("variant", v.model_dump(mode="json"), parts={"arm": "arms"}) for v in file.variants
    )
    entries = tuple(
        _block(entry) if isinstance(entry, Block) else _page(entry) for entry in file.entries
    )
    conversation = dump.pop("conversation")
    talk = (_conversation(conversation),) if conversation else ()
    return replace(_node("instrument", dump), parts=(*variants, *entries, *talk))


def _block(block: Block) -> Node:
    own = block.model_dump(mode="json", by_alias=True, exclude={"pages"})
    node = _node("block", own | {"code": block.code}, block.show_if)
    return replace(node, parts=tuple(map(_page, block.pages)))


def _page(page: Page) -> Node:
    own = page.model_dump(mode="json", by_alias=True, exclude={"questions"})
    return replace(_node("page", own, page.show_if), parts=tuple(map(_question, page.questions)))


PARTS = {
    "option": "options",
    "point": "points",
    "statement": "statements",
    "row": "rows",
    "column": "columns",
    "other option": "other",
    "type of conversation": "types",
}


def _question(question: BaseQuestion) -> Node:
    own = question.model_dump(mode="json", by_alias=True)
    return _node("question", own, question.show_if, PARTS)


def _conversation(texts: Mapping[str, Any]) -> Node:
    scales = {name: texts[name] for name in ("performance", "choice")}
    own = {key: value for key, value in texts.items() if key not in scales}
    nodes = [_node("scale", scale | {"code": name}, parts=PARTS) for name, scale in scales.items()]
    node = _node("conversations", own | {"code": "conversation"}, parts=PARTS)
    return replace(node, parts=(*node.parts, *nodes))


def _node(
    kind: str,
    own: Mapping[str, Any],
    show_if: Condition | None = None,
    parts: Mapping[str, str] | None = None,
) -> Node:
    """parts: kind -> key of the list (or the single part) that holds them."""
    lists = {of: own.get(key) for of, key in (parts or {}).items()}
    nodes = tuple(
        _node(of, part)
        for of, found in lists.items()
        if found
        for part in (found if isinstance(found, list) else [found])
    )
    left = {k: v for k, v in own.items() if k not in ("code", "block", *(parts or {}).values())}
    if show_if is not None:
        left["show_if"] = in_words(show_if)
    title = str(own.get("title") or own.get("text") or own.get("label") or "")
    values = {(name, ""): text for name, value in left.items() for text in _text(value)}
    return Node(kind, str(own.get("code", "")), title, values, nodes)


def _text(value: Any) -> Iterator[str]:
    """The value in words; nothing for what is not there."""
    if value is None or value in ("", [], {}, False):
        return
    if value is True:
        yield "yes"
    elif isinstance(value, Mapping):
        inner = [f"{k}: {text}" for k, v in value.items() for text in _text(v)]
        yield from ["\n".join(inner)] if inner else []
    elif isinstance(value, list):
        yield "\n".join(text for item in value for text in _text(item))
    else:
        yield str(value)


def _merged(trees: Sequence[Node], languages: Sequence[str]) -> Node:
    """One tree of the same tree in several languages; what is alike in all is of none."""
    first = trees[0]
    fields = {
        (name, language if len(set(texts)) > 1 else ""): text
        for name in dict.fromkeys(name for tree in trees for name, _none in tree.fields)
        for texts in [[tree.fields.get((name, ""), "") for tree in trees]]
        for language, text in zip(languages, texts, strict=True)
    }
    parts = tuple(
        _merged(same, languages) for same in zip(*(tree.parts for tree in trees), strict=True)
    )
    return replace(first, fields=fields, parts=parts)


# Two trees


class _Comparison:
    """Remembers where everything stands, so that what changed its page has moved."""

    def __init__(self, old: Node, new: Node) -> None:
        self.old = dict(_placed(old))
        self.new = dict(_placed(new))

    def of(self, old: Node, new: Node) -> Difference:
        fields = tuple(changed_fields(old, new))
        parts = tuple(self._parts(old, new))
        return Difference(
            new.kind, new.code, new.title, "changed" if fields else "same", "", fields, parts
        )

    def _parts(self, old: Node, new: Node) -> Iterator[Difference]:
        before = {(part.kind, part.code): part for part in old.parts}
        after = {(part.kind, part.code): part for part in new.parts}
        kept = [key for key in after if key in before]
        still = set(_longest_run([list(before).index(key) for key in kept]))
        for key, part in after.items():
            if key in before:
                found = self.of(before[key], part)
                if list(before).index(key) not in still:
                    found = _as_moved(found, "to another place in its list")
                if not found.is_empty:
                    yield found
            else:
                yield self._arrived(key, part)
        for key, part in before.items():
            if key not in after and not self._is_elsewhere(key, self.new):
                yield _whole(part, "removed")

    def _arrived(self, key: tuple[str, str], part: Node) -> Difference:
        if not self._is_elsewhere(key, self.old):
            return _whole(part, "added")
        where, before = self.old[key]
        return _as_moved(self.of(before, part), f"from {where}")

    def _is_elsewhere(self, key: tuple[str, str], places: Mapping[Any, Any]) -> bool:
        """Pages and questions have codes of their own; options of two questions are no kin."""
        return key[0] in ("page", "question") and key in places


def _placed(node: Node) -> Iterator[tuple[tuple[str, str], tuple[str, Node]]]:
    for part in node.parts:
        where = f"{node.kind} {node.code}" if node.kind != "instrument" else "the top"
        yield (part.kind, part.code), (where, part)
        yield from _placed(part)


def _as_moved(found: Difference, how: str) -> Difference:
    return replace(found, state="moved", moved=how)


def _whole(part: Node, state: Literal["added", "removed"]) -> Difference:
    parts = tuple(_whole(inner, state) for inner in part.parts)
    fields = tuple(
        Field(name, (Piece(state, text),), language)
        for (name, language), text in part.fields.items()
        if text and text != part.title
    )
    return Difference(part.kind, part.code, part.title, state, "", fields, parts)


def changed_fields(old: Node, new: Node) -> Iterator[Field]:
    before, after = _alike(old, new), _alike(new, old)
    for key in dict.fromkeys((*before, *after)):
        was, now = before.get(key, ""), after.get(key, "")
        if was != now:
            yield Field(key[0], tuple(word_by_word(was, now)), key[1])


def _alike(node: Node, other: Node) -> dict[tuple[str, str], str]:
    """The node's fields; a text alike in all languages is split up where the other's is not."""
    split: dict[str, list[str]] = {}
    for name, language in (*node.fields, *other.fields):
        if language:
            split.setdefault(name, []).append(language)
    values: dict[tuple[str, str], str] = {}
    for (name, language), text in node.fields.items():
        languages = [language] if language else split.get(name, [""])
        values |= {(name, of): text for of in languages}
    return values


def word_by_word(old: str, new: str) -> Iterator[Piece]:
    """Spaces belong to the word before them; Chinese and Japanese are cut into characters."""
    before, after = _tokens(old), _tokens(new)
    matcher = SequenceMatcher(None, before, after, autojunk=False)
    for kind, a, b, c, d in matcher.get_opcodes():
        if kind == "equal":
            yield Piece("same", "".join(after[c:d]))
            continue
        if b > a:
            yield Piece("removed", "".join(before[a:b]))
        if d > c:
            yield Piece("added", "".join(after[c:d]))


def _tokens(text: str) -> list[str]:
    return re.findall(r"[\u3040-\u9fff]|[^\s\u3040-\u9fff]+\s*|\s+", text)


def _longest_run(numbers: Sequence[int]) -> list[int]:
    """The longest rising part of a list: what is not in it has moved."""
    best: list[list[int]] = []
    for number in numbers:
        longest = max((run for run in best if run[-1] < number), key=len, default=[])
        best.append([*longest, number])
    return max(best, key=len, default=[])
