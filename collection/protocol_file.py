"""A study's design as one YAML file, for a paper's appendix and for another server.

It has the protocol in full, the versions of questionnaire and consent by name and hash, and the
models by their released names with what they were sent. It has no people, addresses or keys.
"""

from dataclasses import dataclass
from itertools import chain
from typing import Any, Literal

import yaml
from django.db import transaction
from django.utils.translation import gettext as _
from pydantic import Field

from collection import presets
from collection.models import ModelEndpoint
from collection.presets import EndpointFacts
from surveys.instruments.languages import in_language
from surveys.instruments.load import (
    FOLDER,
    InstrumentError,
    parse_as,
    read_consent,
    read_file,
    store,
)
from surveys.instruments.parts import Part
from surveys.models import Instrument, Study, StudyVersion, fingerprint
from surveys.protocol import Protocol


class Named(Part):
    name: str
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")


class StudyFile(Part):
    refract: Literal[1]
    """Version of this form of file."""
    title: str = Field(min_length=1, max_length=200)
    protocol: Protocol
    instrument: Named
    consent: Named
    further_languages: tuple[str, ...] = ()
    endpoints: tuple[EndpointFacts, ...] = ()


@dataclass(frozen=True)
class Imported:
    study: Study
    notes: list[str]
    """What the researcher has to look at."""


def written(study: Study) -> str:
    """The YAML file of a study as it is now."""
    consent = study.consent_document
    document = {
        "refract": 1,
        "title": study.title,
        "protocol": study.protocol.model_dump(mode="json"),
        "instrument": {"name": study.instrument.slug, "sha256": study.instrument.sha256},
        "consent": {"name": in_language(consent, "")["version"], "sha256": fingerprint(consent)},
        "further_languages": list(study.languages),
        "endpoints": [presets.facts_of(row) for row in study.endpoints.filter(is_active=True)],
    }
    text: str = yaml.safe_dump(document, sort_keys=False, allow_unicode=True, width=100)
    return text


def read(name: str, text: str) -> StudyFile:
    """Raises InstrumentError, one line per problem: file, line, key, what is wrong, what to do."""
    return parse_as(name, text, StudyFile)


@transaction.atomic
def make_draft(name: str, file: StudyFile, slug: str) -> Imported:
    """A new draft of this design. Raises InstrumentError: then nothing is kept of it."""
    instrument = find_instrument(file.instrument.sha256)
    problems = [] if instrument else [no_instrument(name, file)]
    problems += clashes(name, file)
    if instrument is None or problems:
        raise InstrumentError("\n".join(problems))
    consent, notes = consent_for(file, instrument)
    study = Study.objects.create(
        slug=slug,
        title=file.title,
        instrument=instrument,
        protocol_json=file.protocol.model_dump(mode="json"),
        consent_document=consent,
        languages=list(file.further_languages),
    )
    loaded = presets.load(file.endpoints)
    ModelEndpoint.objects.filter(pk__in=[row.pk for row in loaded.new]).update(is_active=False)
    study.endpoints.set([*loaded.new, *loaded.known])
    if loaded.new:
        notes.append(
            _("New here and switched off until you have given them keys and tried them: %s.")
            % ", ".join(map(str, loaded.new))
        )
    return Imported(study, notes)


def find_instrument(sha256: str) -> Instrument | None:
    """A stored version, or one that ships with Refract, which is then stored."""
    row = Instrument.objects.filter(sha256=sha256).first()
    if row is not None:
        return row
    shipped = (path for path in sorted(FOLDER.glob("*.yaml")) if "consent" not in path.stem)
    found = next((path for path in shipped if read_file(path).sha256 == sha256), None)
    return store(found) if found else None


def no_instrument(name: str, file: StudyFile) -> str:
    return _(
        "%(file)s: instrument.sha256: this server has no such version of %(name)s; add its file "
        "under Instruments first"
    ) % {"file": name, "name": file.instrument.name}


def clashes(name: str, file: StudyFile) -> list[str]:
    """Endpoints that are here under the same name with other settings."""
    here = ModelEndpoint.objects.in_bulk(field_name="long_name")
    said = _(
        "%(file)s: endpoints[%(index)d].%(field)s: %(model)s is here with another value; give the "
        "model in the file a long_name of its own, or change the one that is here"
    )
    return [
        said % {"file": name, "index": index, "field": field, "model": facts.long_name}
        for index, facts in enumerate(file.endpoints)
        if (old := here.get(facts.long_name))
        for field in presets.differs(old, facts.as_row())
    ]


def consent_for(file: StudyFile, instrument: Instrument) -> tuple[Any, list[str]]:
    """The consent document with the file's hash, or one to begin with and a note about it."""
    known = chain(
        Study.objects.values_list("consent_document", flat=True),
        StudyVersion.objects.values_list("consent_document", flat=True),
        map(read_consent, sorted(FOLDER.glob("*-consent.yaml"))),
    )
    found = next((doc for doc in known if fingerprint(doc) == file.consent.sha256), None)
    if found is not None:
        return found, []
    talks = instrument.file.conversation is not None
    note = _(
        "This server does not have the consent text %s: a text to begin with is in its place, "
        "read it and write your own."
    )
    own = read_consent(FOLDER / ("prism-consent.yaml" if talks else "survey-consent.yaml"))
    return own, [note % file.consent.name]
