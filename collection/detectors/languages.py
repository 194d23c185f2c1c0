"""Which language a text is in, by py3langid."""

from collections.abc import Sequence

from django.utils.translation import gettext_lazy as _

from collection import language
from collection.detectors.outcomes import Result
from surveys.models import Study


class Languages:
    """Of any text with a letter: of others it would be a guess. Short texts are told badly, which
    the probability says."""

    name = "language"
    title = _("Language")
    version = language.DETECTOR
    is_local = True
    at_once = 500

    def __init__(self, study: Study) -> None:
        pass

    def detect(self, texts: Sequence[str]) -> list[Result]:
        return [self.judge(text) for text in texts]

    def judge(self, text: str) -> Result:
        if not any(map(str.isalpha, text)):
            return None
        code, probability = language.detect(text)
        return {"language": code, "probability": round(probability, 3)}
