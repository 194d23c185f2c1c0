"""PDF by Typst: an optional extra, for nothing else needs it."""

import json
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

from surveys.errors import DomainError

TEMPLATE = Path(__file__).with_name("codebook.typ")


def is_possible() -> bool:
    try:
        check()
    except DomainError:
        return False
    return True


def check() -> None:
    """Raises DomainError, which says what to install."""
    _typst()


def made(data: dict[str, Any]) -> bytes:
    """The codebook from what TEMPLATE reads; dataclasses among the data count as dicts.

    Equal data give equal bytes on one machine: no date stands in the file. Letters that Typst's own
    fonts lack (Arabic, Chinese, …) are set in one of the machine's, or as boxes where none has
    them. Raises DomainError as `check`.
    """
    typst = _typst()
    with tempfile.TemporaryDirectory() as nothing:
        made: bytes = typst.compile(
            TEMPLATE.read_bytes(),
            root=nothing,  # all that the template could read
            sys_inputs={"data": as_json(data)},
            font_paths=_fonts(),
        )
    return made


def as_json(data: dict[str, Any]) -> str:
    """Half a surrogate pair is no text in JSON's UTF-8: a question mark stands for it."""
    text = json.dumps(data, ensure_ascii=False, default=vars)
    return text.encode("utf-8", "replace").decode()


@cache
def _fonts() -> Any:
    """Looking through the machine's takes most of a second where there are hundreds."""
    return _typst().Fonts()


def _typst() -> Any:
    try:
        import typst
    except ImportError as error:
        raise DomainError(
            "pdf",
            "A PDF needs Typst, which is not installed: pip install 'refract[pdf]'. "
            "codebook.html prints well from a browser too.",
        ) from error
    return typst
