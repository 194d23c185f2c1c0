"""What one release is made from, decided once for all of its files."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice
from typing import TypeVar

from collection.export import further_tables as further
from collection.export.codebook import Codebook, lines_of
from collection.export.columns import KeyOrder
from collection.export.merge import Version
from collection.export.select_imported import select_imported
from collection.export.selection import EVERYBODY, Choice, ReleasedUser, Selection, select
from collection.models import ImportedRelease
from surveys.models import Instrument, Study
from surveys.models.people import ParticipantQuerySet
from surveys.protocol import Protocol

T = TypeVar("T")

FILES = ("survey", "conversations", "utterances", "metadata", "models")
FLAGS = "flags"
ASSIGNMENTS = "assignments"
PARADATA = "paradata"
BESIDE = (further.CALLS, further.RATINGS, further.CONSENTS, further.QUALITY)
BESIDE_SURVEY = (further.RATINGS, further.CONSENTS, further.QUALITY)
"""Without conversations; the first of them only where something is rated on lines."""


@dataclass(frozen=True)
class Plan:
    study: Study
    selection: Selection
    book: Codebook
    order: KeyOrder = "codebook"
    with_pilot: bool = False
    protocols: Mapping[int, Protocol] = field(default_factory=dict)
    """Version of the study -> its protocol."""
    release: ImportedRelease | None = None
    """Of a study that is an import."""
    choice: Choice = EVERYBODY

    def people(self) -> ParticipantQuerySet:
        """Everybody in the survey file."""
        return self.choice.among(self.study.participants.released(with_pilot=self.with_pilot))

    def protocol_of(self, user: ReleasedUser) -> Protocol:
        """The one that this person met."""
        if user.version is None:
            return self.study.protocol
        return self.protocols[user.version]


def make_plan(
    study: Study,
    order: KeyOrder = "codebook",
    *,
    with_pilot: bool = False,
    choice: Choice = EVERYBODY,
) -> Plan:
    """Raises DomainError if the versions of the instrument cannot be released together."""
    if study.is_imported:
        return plan_of_import(study, order)
    answered = released_instruments(study, with_pilot=with_pilot, choice=choice)
    protocols = {row.pk: row.protocol for row in study.versions.only("protocol_json")}
    selection = select(study, with_pilot=with_pilot, choice=choice)
    met = sorted({user.version for user in selection.users if user.version is not None})
    texts = dict.fromkeys(as_text(protocols[version]) for version in met)
    earlier = [text for text in texts if text != as_text(study.protocol)]
    book = Codebook(
        tuple(map(version_of, answered)),
        study.protocol,
        tuple(map(Protocol.model_validate_json, earlier)),
    )
    assert book.survey  # refused before a row is written
    return Plan(study, selection, book, order, with_pilot, protocols, choice=choice)


def plan_of_import(study: Study, order: KeyOrder) -> Plan:
    release = study.release
    earlier = release.manifest.get("earlier_protocols", [])
    book = Codebook(
        tuple(map(version_of, imported_instruments(release))),
        study.protocol,
        tuple(map(Protocol.model_validate, earlier)),
    )
    return Plan(study, select_imported(release), book, order, release=release)


def imported_instruments(release: ImportedRelease) -> list[Instrument]:
    """In the order that they were released in, whenever each was first met here."""
    found = {row.sha256: row for row in Instrument.objects.filter(sha256__in=release.instruments)}
    return [found[sha256] for sha256 in release.instruments]


def as_text(protocol: Protocol) -> str:
    return protocol.model_dump_json()


def files_of(
    study: Study, *, with_pilot: bool = False, choice: Choice = EVERYBODY
) -> tuple[str, ...]:
    """By name, in the order of the manifest. Without conversations nothing is assigned.

    An import has the files that it came with, and those that are made of others' rows alone.
    """
    if study.is_imported:
        return (
            *study.release.files,
            *(name for name in further.DERIVED if name not in study.release.files),
        )
    answered = released_instruments(study, with_pilot=with_pilot, choice=choice)
    talks = any(row.file.conversation for row in answered)
    found = (*FILES, FLAGS, ASSIGNMENTS) if talks else (*FILES, FLAGS)
    if study.protocol.paradata:
        found = (*found, PARADATA)
    if talks:
        return (*found, *BESIDE, *further.DERIVED)
    has_lines = any(lines_of(version_of(row)) for row in answered)
    return (*found, *(BESIDE_SURVEY if has_lines else BESIDE_SURVEY[1:]))


def released_instruments(
    study: Study, *, with_pilot: bool = False, choice: Choice = EVERYBODY
) -> list[Instrument]:
    """The versions that the people of the survey file answered, newest first.

    Of nobody: the one they would.
    """
    if study.is_imported:
        return imported_instruments(study.release)
    people = choice.among(study.participants.released(with_pilot=with_pilot))
    used = people.values("instrument")
    found = Instrument.objects.filter(pk__in=used).order_by("-created_at", "-pk")
    return list(found) or [study.instrument]


def version_of(instrument: Instrument) -> Version:
    return Version(instrument.sha256, instrument.document, instrument.file)


def batches(items: Iterable[T], size: int) -> Iterator[list[T]]:
    rest = iter(items)
    while batch := list(islice(rest, size)):
        yield batch
