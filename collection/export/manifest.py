"""manifest.json: what a release holds, how it was collected, and what was left out and why.

Nothing in it depends on when the release was written, so that equal data give equal bytes.
"""

import tomllib
from collections import Counter
from typing import Any

from django.conf import settings

from collection.export.codebook import KeyOrder
from collection.export.rows import ASKED
from collection.export.selection import Selection
from surveys.models import Consent, Instrument, Study

NAME = "manifest.json"


def build(
    study: Study,
    selection: Selection,
    rows: dict[str, int],
    simulated_rows: dict[str, int],
    order: KeyOrder,
) -> dict[str, Any]:
    """rows, simulated_rows: file name -> number of rows."""
    simulated = sum(user.is_simulated for user in selection.users)
    return {
        "study": study.slug,
        "title": study.title,
        "is_demo": study.is_demo,
        "software": {"name": "Refract", "version": software_version()},
        "key_order": order,
        "rows": rows,
        "simulated": {"people": simulated, "rows": simulated_rows},
        "not_released": {
            "people": sorted_counts(selection.people_left_out),
            "conversations": sorted_counts(selection.conversations_left_out),
            "questions": questions_left_out(study),
        },
        "protocol": study.protocol.model_dump(mode="json"),
        "instruments": instruments(study),
        "consent_texts": consent_texts(study),
    }


def software_version() -> str:
    project = tomllib.loads((settings.BASE_DIR / "pyproject.toml").read_text(encoding="utf-8"))
    version: str = project["project"]["version"]
    return version


def sorted_counts(counts: Counter[str]) -> dict[str, int]:
    return dict(sorted(counts.items()))


def released_instruments(study: Study) -> list[Instrument]:
    """The versions that the people of the survey file answered."""
    used = study.participants.released().values("instrument")
    return list(Instrument.objects.filter(pk__in=used).order_by("sha256"))


def questions_left_out(study: Study) -> list[str]:
    """Questions of the instrument that the codebook has no column for."""
    codes = {q.code for row in released_instruments(study) for q in row.file.questions()}
    return sorted(codes - set(ASKED))


def instruments(study: Study) -> list[dict[str, str]]:
    return [{"slug": row.slug, "sha256": row.sha256} for row in released_instruments(study)]


def consent_texts(study: Study) -> list[dict[str, Any]]:
    """The versions that the people of the survey file agreed to, and how many did."""
    rows = Consent.objects.filter(participant__in=study.participants.released()).values_list(
        "version", "sha256"
    )
    return [
        {"version": version, "sha256": sha256, "people": people}
        for (version, sha256), people in sorted(Counter(rows).items())
    ]
