"""Versions of a study: one for each change that people who come later meet, with who and why.

A draft has none: nobody met it. Whoever has begun finishes on the version that they began with.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from django.db import transaction
from django.db.models import Count
from django.utils.translation import gettext as _

from surveys.errors import DomainError
from surveys.models import Study, StudyVersion

PARTS = ("protocol_json", "consent_document", "languages", "endpoints_json")
"""… and the instrument: what a version holds."""
FIRST = "As the study was when its first version was kept."
FOUND = "Changed outside the desk, and found at an edit of something else."


@dataclass(frozen=True)
class Change:
    """One place where two versions differ. before, after: None where there is nothing."""

    place: str
    before: Any
    after: Any


def snapshot(study: Study) -> dict[str, Any]:
    """What people who come now would meet."""
    return {
        "instrument": study.instrument,
        "protocol_json": study.protocol_json,
        "consent_document": study.consent_document,
        "languages": study.languages,
        "endpoints_json": {e.long_name: e.as_met for e in study.endpoints.filter(is_active=True)},
    }


@transaction.atomic
def record(study: Study, reason: str, author: str) -> StudyVersion | None:
    """Keep what has changed since the last version as a new one.

    None if the study is a draft or nothing has changed. Raises DomainError without a reason.
    """
    study = Study.objects.select_for_update(of=("self",)).get(pk=study.pk)
    if study.state == Study.State.DRAFT:
        return None
    now, last = snapshot(study), study.versions.last()
    if last is not None and now == parts_of(last):
        return None
    if not reason.strip():
        raise DomainError("reason", _("Please say why: people may be taking part in this study."))
    return append(study, now, reason, author)


@transaction.atomic
def keep_first(study: Study) -> None:
    """Before a change: keep what a study without versions has been so far, for those in it."""
    study = Study.objects.select_for_update(of=("self",)).get(pk=study.pk)
    if study.state == Study.State.DRAFT or study.versions.exists():
        return
    first = append(study, snapshot(study), FIRST, "")
    study.participants.filter(version=None, instrument=study.instrument_id).update(version=first)


def append(study: Study, parts: Mapping[str, Any], reason: str, author: str) -> StudyVersion:
    last = study.versions.last()
    number = last.number + 1 if last else 1
    return study.versions.create(number=number, reason=reason.strip(), author=author, **parts)


def parts_of(version: StudyVersion) -> dict[str, Any]:
    return {"instrument": version.instrument} | {name: getattr(version, name) for name in PARTS}


def differences(old: StudyVersion, new: StudyVersion) -> list[Change]:
    """All places where two versions differ, part by part."""
    before, after = (
        {
            "instrument": {"sha256": version.instrument.sha256},
            "protocol": version.protocol_json,
            "consent": version.consent_document,
            "languages": {"further": version.languages},
            "models": version.endpoints_json,
        }
        for version in (old, new)
    )
    return [change for part in before for change in walk(part, before[part], after[part])]


def walk(place: str, old: Any, new: Any) -> Iterator[Change]:
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        for key in dict.fromkeys([*old, *new]):
            yield from walk(f"{place}.{key}", old.get(key), new.get(key))
    elif has_parts(old) and has_parts(new) and len(old) == len(new):
        for index, (a, b) in enumerate(zip(old, new, strict=True)):
            yield from walk(f"{place}[{index}]", a, b)
    elif old != new:
        yield Change(place, old, new)


def has_parts(value: Any) -> bool:
    """Whether it is a list of more than words, whose entries are worth telling apart."""
    return isinstance(value, list | tuple) and any(isinstance(part, dict | list) for part in value)


def people_of(study: Study) -> Iterator[tuple[int, int]]:
    """(version id, how many people came in it)"""
    rows = study.participants.exclude(version=None).order_by().values_list("version")
    yield from rows.annotate(Count("pk"))
