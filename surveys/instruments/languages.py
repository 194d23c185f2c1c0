"""Texts in several languages: mappings such as {en: Yes, es: Sí} in place of a text.

A document is resolved to one language before it is read, so that nothing else knows of them.
"""

from collections.abc import Iterator, Mapping
from typing import Any


def in_language(document: Any, language: str) -> Any:
    """The document with one text for each mapping: the language's, else the document's own."""
    return _resolved(document, language, source_of(document), frozenset(languages_of(document)))


def languages_of(document: Any) -> tuple[str, ...]:
    """All languages of a document, its own first."""
    source = source_of(document)
    listed = document.get("languages", ()) if isinstance(document, Mapping) else ()
    known = [code for code in listed if isinstance(code, str)] if _is_list(listed) else []
    return (source, *(code for code in dict.fromkeys(known) if code != source))


def source_of(document: Any) -> str:
    language = document.get("language", "en") if isinstance(document, Mapping) else "en"
    return language if isinstance(language, str) else "en"


def missing(document: Any) -> Iterator[tuple[str, str]]:
    """(place, language) of every text that lacks a language which the document says it has."""
    languages = languages_of(document)
    if len(languages) > 1:
        yield from _missing(document, "", languages)


def is_texts(part: Any, languages: frozenset[str]) -> bool:
    return isinstance(part, Mapping) and bool(part) and part.keys() <= languages


def _resolved(part: Any, language: str, source: str, languages: frozenset[str]) -> Any:
    if is_texts(part, languages):
        return part.get(language) or part.get(source)
    if isinstance(part, Mapping):
        return {k: _resolved(value, language, source, languages) for k, value in part.items()}
    if _is_list(part):
        return [_resolved(item, language, source, languages) for item in part]
    return part


TEXTS = frozenset(
    {
        *("title", "text", "hint", "label", "stem", "low", "high", "unit", "explanation"),
        *("other_text", "lede", "term", "heading", "paragraphs", "legend"),
        *("choose_type", "remember", "opening", "inspiration_heading", "inspiration"),
        *("placeholder", "rate", "continuing", "feedback_heading", "feedback"),
    }
)
"""Keys whose value people read."""
NOT_SHOWN = frozenset({"release", "arms", "variants"})
"""Keys of parts that only the codebook has."""


def _missing(part: Any, place: str, languages: tuple[str, ...]) -> Iterator[tuple[str, str]]:
    if is_texts(part, frozenset(languages)):
        yield from ((place, code) for code in languages if not part.get(code))
    elif isinstance(part, Mapping):
        is_question = "type" in part
        for key, value in part.items():
            if key in NOT_SHOWN or (is_question and key == "label"):
                continue
            inner = f"{place}.{key}" if place else str(key)
            if key in TEXTS and isinstance(value, str) and value:
                yield from ((inner, code) for code in languages[1:])
            elif key in TEXTS and _is_list(value):
                for n, item in enumerate(value):
                    if isinstance(item, str):
                        yield from ((f"{inner}[{n}]", code) for code in languages[1:])
                    else:
                        yield from _missing(item, f"{inner}[{n}]", languages)
            else:
                yield from _missing(value, inner, languages)
    elif _is_list(part):
        for n, item in enumerate(part):
            yield from _missing(item, f"{place}[{n}]", languages)


def _is_list(part: Any) -> bool:
    return isinstance(part, list | tuple)
