"""The people of a release, with what they answered as far as their rows tell it."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

from django.db.models import F, OuterRef, Subquery

from collection.export.merge import Version
from collection.export.plan import batches
from collection.export.recover import NotTold, coded_as, recovered
from collection.export.tables import DATETIME
from collection.importing.folder import Folder, number_of
from collection.importing.repairs import Repairs
from collection.models import ImportedPerson
from surveys.instruments.conditions import Value
from surveys.instruments.released import (
    LANGUAGE,
    OTHER_TEXT,
    VERSION,
    column_of,
    companion,
    has_own_text,
    order_of,
)
from surveys.instruments.schema import InstrumentFile, Multiple, Question, Single, Sliders
from surveys.models import (
    Assignment,
    Consent,
    ConsentText,
    Instrument,
    Order,
    Participant,
    Response,
    Study,
)

Row = dict[str, Any]
PEOPLE_AT_ONCE = 200


def load(
    folder: Folder, study: Study, text: ConsentText, repairs: Repairs, *, is_simulated: bool
) -> dict[str, int]:
    """All people; user_id -> key of the participant."""
    instruments = {
        version.sha256: Instrument.objects.get(sha256=version.sha256)
        for version in folder.book.versions
    }
    keys: dict[str, int] = {}
    rows = folder.rows("survey", repairs)
    for batch in batches(rows, PEOPLE_AT_ONCE):
        versions = [version_of(folder, row) for row in batch]
        people = Participant.objects.bulk_create(
            participant(row, study, instruments[version.sha256], is_simulated=is_simulated)
            for row, version in zip(batch, versions, strict=True)
        )
        keys |= {row["user_id"]: one.pk for row, one in zip(batch, people, strict=True)}
        ImportedPerson.objects.bulk_create(
            ImportedPerson(participant=one, number=number_of("user", row["user_id"]), row=row)
            for row, one in zip(batch, people, strict=True)
        )
        Consent.objects.bulk_create(
            Consent(participant=one, text=text, version=text.version, sha256=text.sha256)
            for one in people
        )
        add_answers(batch, versions, people)
    set_times(study)
    return keys


def version_of(folder: Folder, row: Row) -> Version:
    book = folder.book
    return book.version(row[VERSION]) if len(book.versions) > 1 else book.versions[0]


def participant(
    row: Row, study: Study, instrument: Instrument, *, is_simulated: bool
) -> Participant:
    finished_at = moment(row["generated_datetime"])
    return Participant(
        study=study,
        instrument=instrument,
        is_simulated=is_simulated,
        recruitment_id=row["study_id"][:100],
        language=str(row.get(LANGUAGE) or "")[:16],
        consent_shown_at=earlier(finished_at, row["timing_duration_s"]),
        survey_finished_at=finished_at,
        completed_at=None if row["survey_only"] else finished_at,
    )


def set_times(study: Study) -> None:
    """Of columns that Django fills with the time of the import."""
    study.participants.update(arrived_at=F("consent_shown_at"))
    shown_at = Participant.objects.filter(pk=OuterRef("participant")).values("consent_shown_at")
    Consent.objects.filter(participant__study=study).update(given_at=Subquery(shown_at[:1]))


def moment(text: str) -> datetime:
    """Releases have no zone; their times are UTC."""
    return datetime.strptime(text, DATETIME).replace(tzinfo=UTC)


def earlier(end: datetime, seconds: float) -> datetime:
    try:
        return end - timedelta(seconds=seconds)
    except OverflowError:  # no duration of a person's, but a number that the codebook allows
        return end


# Answers


def add_answers(rows: list[Row], versions: list[Version], people: list[Participant]) -> None:
    together = list(zip(rows, versions, people, strict=True))
    Response.objects.bulk_create(
        Response(participant=one, question=code, value=value, language=one.language)
        for row, version, one in together
        for code, value in answers(version.file, row)
    )
    Order.objects.bulk_create(
        Order(participant=one, scope=code, codes=codes)
        for row, version, one in together
        for code, codes in orders(version.file, row)
    )
    Assignment.objects.bulk_create(
        Assignment(participant=one, variant=variant.code, arm=row[variant.code], counts={})
        for row, version, one in together
        for variant in version.file.variants
        if row[variant.code] is not None
    )


def answers(file: InstrumentFile, row: Row) -> Iterator[tuple[str, Value]]:
    for question in file.questions():
        if question.release.form == "none":
            continue
        value = answer(question, row)
        if value is not None:
            yield question.code, value


def answer(question: Question, row: Row) -> Value | None:
    """As people gave it; of an identity, their own words as they were released."""
    try:
        value = recovered(question, row)
    except NotTold:
        return own_words(question, row)
    if value is None or "declined" in value:
        return value
    if isinstance(question, Multiple | Sliders):
        cells = row[column_of(question)]
        return {**value, OTHER_TEXT: cells.get(OTHER_TEXT)}
    if "choice" in value:
        typed = row[companion(question, "text")] if has_own_text(question) else None
        return {**value, "text": typed}
    return value


def own_words(question: Question, row: Row) -> Value | None:
    """Of an identity, or what was made of them."""
    if not isinstance(question, Single):
        return None
    if question.release.form == "coded":
        described = row[column_of(question)]["self_described"]
        return {"choice": question.self_describe, "text": described} if described else None
    try:
        value = coded_as(question, row)
    except NotTold:
        return None
    return value and {**value, "text": None}


def orders(file: InstrumentFile, row: Row) -> Iterator[tuple[str, list[str]]]:
    for question in file.questions():
        if question.release.form == "none" or not question.is_shuffled:
            continue
        places = row[order_of(question)]
        if None not in places.values():
            yield question.code, sorted(places, key=places.__getitem__)
