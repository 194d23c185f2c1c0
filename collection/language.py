"""Which language a text is in. The one door to the detector, so that another can take its place."""

import threading
from functools import cache
from typing import Any

DETECTOR = "py3langid 0.4"

_loading = threading.Lock()


def detect(text: str) -> tuple[str, float]:
    """(ISO 639 code, probability). Unreliable below some 40 characters: ask for longer texts."""
    with _loading:
        identifier = _identifier()
    code, probability = identifier.classify(text)
    return str(code), float(probability)


@cache
def _identifier() -> Any:
    # Loading takes 0.3 s and 50 MB: whoever never asks does not pay.
    from py3langid.langid import MODEL_FILE, LanguageIdentifier

    return LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)
