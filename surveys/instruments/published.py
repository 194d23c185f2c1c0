"""The JSON Schema of instrument files, which editors complete and check with.

It says what each part may hold. What only the whole file shows, such as a condition on a question
that is asked later, `load` finds.
"""

import json
from pathlib import Path
from typing import Any

from surveys.instruments.parts import IN_LANGUAGES
from surveys.instruments.schema import InstrumentFile

FILE = Path(__file__).parents[2] / "static" / "refract" / "instrument.schema.json"
"""Where it lies, and a test sees to it that it keeps up."""


def json_schema() -> dict[str, Any]:
    schema = InstrumentFile.model_json_schema(by_alias=True)
    schema["$defs"]["Text"] = IN_LANGUAGES
    head = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Refract instrument",
        "description": "What a study asks: pages, questions, options, branches and translations.",
    }
    shortened: dict[str, Any] = _shortened(schema)
    return shortened | head


def as_text() -> str:
    return json.dumps(json_schema(), indent=1, ensure_ascii=False) + "\n"


def _shortened(part: Any) -> Any:
    """With one definition of what a text is, in place of its copy at every key."""
    if isinstance(part, dict):
        inner = {key: _shortened(value) for key, value in part.items()}
        if part is not IN_LANGUAGES and part.get("anyOf") == IN_LANGUAGES["anyOf"]:
            del inner["anyOf"]
            inner["$ref"] = "#/$defs/Text"
        return inner
    return [_shortened(item) for item in part] if isinstance(part, list) else part
