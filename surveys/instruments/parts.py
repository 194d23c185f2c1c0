"""What all parts of an instrument file are made of."""

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, WithJsonSchema

Code = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_-]*$", max_length=64)]

IN_LANGUAGES: dict[str, Any] = {
    "anyOf": [
        {"type": "string"},
        {
            "type": "object",
            "description": "The text in each of the file's languages: {en: ..., es: ...}",
            "additionalProperties": {"type": "string"},
        },
    ]
}

Text = Annotated[str, Field(min_length=1), WithJsonSchema(IN_LANGUAGES)]
"""Shown to people: one text, or one per language, of which a person's own is taken."""
Words = Annotated[str, WithJsonSchema(IN_LANGUAGES)]
"""The same, but may be left out."""


class Part(BaseModel):
    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        use_attribute_docstrings=True,
        populate_by_name=False,
        defer_build=True,
    )


class Unsound(ValueError):
    """What only the whole file shows to be wrong. code, key: of the part to be mended."""

    def __init__(self, message: str, code: str, key: str = "code") -> None:
        super().__init__(message)
        self.code = code
        self.key = key


def distinct(what: str, codes: list[str]) -> None:
    """Raises Unsound if a code is given twice."""
    twice = sorted({code for code in codes if codes.count(code) > 1})
    if twice:
        raise Unsound(f"{what} codes must differ; given twice: {', '.join(twice)}", twice[0])
