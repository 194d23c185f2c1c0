"""Small instruments to try the desk with, written as a researcher would."""

from typing import Any

import yaml

from surveys.instruments.load import Parsed, parse


def single(code: str, *options: str, **other: Any) -> dict[str, Any]:
    labelled = [{"code": option, "label": option.title()} for option in options]
    return {"code": code, "type": "single", "text": f"{code}?", "options": labelled} | other


def page(code: str, *questions: dict[str, Any], **other: Any) -> dict[str, Any]:
    return {"code": code, "title": code.title(), "questions": list(questions)} | other


def draft(*pages: dict[str, Any], **other: Any) -> dict[str, Any]:
    head = {"instrument": "draft", "title": "Draft", "language": "en", "attribution": "Us"}
    return head | {"pages": list(pages)} | other


def parsed(*pages: dict[str, Any], **other: Any) -> Parsed:
    return parse("draft.yaml", text(*pages, **other))


def text(*pages: dict[str, Any], **other: Any) -> str:
    return yaml.safe_dump(draft(*pages, **other), sort_keys=False, allow_unicode=True)
