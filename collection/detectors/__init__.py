"""Detectors: what looks at every text, and how another one is added.

A detector is a class named in REFRACT_DETECTORS. `collection.detectors.base.Detector` says what it
must have; docs/metadata.md shows one.
"""

from collection.detectors.base import (
    Detector,
    Refused,
    Result,
    Unavailable,
    detector_of,
    detectors_of,
    local_detectors_of,
)

__all__ = [
    "Detector",
    "Refused",
    "Result",
    "Unavailable",
    "detector_of",
    "detectors_of",
    "local_detectors_of",
]
