"""What every detector has, and which of them a study has."""

from collections.abc import Sequence
from typing import Protocol

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.utils.functional import Promise
from django.utils.module_loading import import_string

from collection.detectors.moderation import MODERATION, Moderation
from collection.detectors.outcomes import Refused, Result, Unavailable
from collection.models import Moderator
from surveys.models import Study

__all__ = ["Detector", "Refused", "Result", "Unavailable"]


class Detector(Protocol):
    """Looks at texts and says what it found in each.

    Made once for each study that is gone through, as `Class(study)`: making one must be cheap, and
    what is heavy is loaded by the first `detect`.
    """

    name: str
    """Of the results. `pii` (with a list `found`) and `language` (with `language`, an ISO code)
    fill those columns of metadata.jsonl; all others are in flags.jsonl alone."""
    version: str
    """Of everything that decides what is found: with another one, all texts are done anew."""
    is_local: bool
    """Asks nobody: such a detector runs before each export, on the texts that lack it."""
    at_once: int
    """Texts per call of `detect`."""

    @property
    def title(self) -> str | Promise:
        """For researchers."""

    def __init__(self, study: Study) -> None: ...

    def detect(self, texts: Sequence[str]) -> Sequence[Result]:
        """What was found in each text, in their order; see `Result`.

        Raises Unavailable if it can do none of them now, and Refused if it never will: then they
        are tried one by one.
        """


def local_detectors_of(study: Study) -> list[Detector]:
    """Those that the settings name. Raises ImproperlyConfigured."""
    found: dict[str, Detector] = {}
    for path in settings.DETECTORS:
        try:
            detector: Detector = import_string(path)(study)
        except ImportError as error:
            raise ImproperlyConfigured(f"REFRACT_DETECTORS: {path}: {error}") from error
        if detector.name in found or detector.name == MODERATION:
            raise ImproperlyConfigured(f"REFRACT_DETECTORS: two detectors are {detector.name!r}")
        found[detector.name] = detector
    return list(found.values())


def detectors_of(study: Study) -> list[Detector]:
    """All that may run in a study: moderation if it has somebody to ask."""
    moderator = Moderator.objects.filter(study=study).first()
    return [*local_detectors_of(study), *([Moderation(moderator)] if moderator else [])]


def detector_of(study: Study, name: str) -> Detector | None:
    return next((one for one in detectors_of(study) if one.name == name), None)
