"""How people come in, agree, stop and finish."""

from collections.abc import Mapping
from datetime import date, timedelta
from typing import Any

from django.core.signing import BadSignature, Signer
from django.db import IntegrityError, transaction
from django.dispatch import Signal
from django.utils import timezone
from django.utils.translation import gettext as _

from surveys import variants
from surveys.errors import DomainError
from surveys.instruments.languages import in_language
from surveys.models import (
    Consent,
    ConsentText,
    Decline,
    Identity,
    Participant,
    Study,
    fingerprint,
)

arriving = Signal()
"""Somebody new comes to `study`. A receiver may raise DomainError: then they don't come in."""
consenting = Signal()
"""`participant` is about to consent, within the transaction. A receiver may raise DomainError."""

RECRUITER_IDS = ("PROLIFIC_PID", "participant_label")
"""Parameters that name a person, first match wins."""
SIMULATED = "SIMULATED"
ID_LIMIT = 200
PARAMETERS_LIMIT = 30


def arrive(study: Study, parameters: Mapping[str, str], known: Participant | None) -> Participant:
    """The participant behind an arrival: found by the recruiter's id or the browser, or new.

    Raises DomainError if the study takes nobody new.
    """
    parameters = {storable(name): storable(value) for name, value in parameters.items()}
    external_id = next((parameters[n] for n in RECRUITER_IDS if parameters.get(n)), "")[:ID_LIMIT]
    found = find(study, external_id) if external_id else known
    if found:
        return found
    simulated = is_simulated(study, parameters)
    if not (study.is_open or (simulated and study.state == Study.State.DRAFT)):
        raise DomainError("closed", _("This study is not taking new participants at the moment."))
    if simulated and study.participants.real().exists():
        raise DomainError("real_people", _("This study has real participants."))
    arriving.send(Study, study=study)
    try:
        return enrol(study, external_id, parameters, simulated)
    except IntegrityError:  # the same link was opened twice in the same moment
        return Participant.objects.get(identity__study=study, identity__external_id=external_id)


def storable(text: str) -> str:
    """A link's text without NUL, which Postgres refuses."""
    return text.replace("\x00", "")


def find(study: Study, external_id: str) -> Participant | None:
    people = Participant.objects.select_related("study", "instrument", "version")
    return (
        people.defer("instrument__document", "version__consent_document")
        .filter(identity__study=study, identity__external_id=external_id)
        .first()
    )


@transaction.atomic
def enrol(
    study: Study, external_id: str, parameters: Mapping[str, str], simulated: bool
) -> Participant:
    version = study.versions.last()
    participant = Participant.objects.create(
        study=study,
        instrument=version.instrument if version else study.instrument,
        version=version,
        recruitment_id=parameters.get("STUDY_ID", "")[:100],
        is_recruited=bool(external_id),
        is_simulated=simulated,
        is_pilot=study.state == Study.State.PILOT,
    )
    kept = {
        name[:100]: value[:500]
        for name, value in list(parameters.items())[:PARAMETERS_LIMIT]
        if name not in ("STUDY_ID", "SESSION_ID", SIMULATED) and value[:ID_LIMIT] != external_id
    }
    if external_id or kept or parameters.get("SESSION_ID"):
        Identity.objects.create(
            participant=participant,
            study=study,
            external_id=external_id,
            session_id=parameters.get("SESSION_ID", "")[:ID_LIMIT],
            parameters=kept,
        )
    return participant


def simulation_token(study: Study) -> str:
    """What the SIMULATED parameter must carry: only someone with the server's key can make it."""
    return Signer(salt=SIMULATED).sign(study.slug)


def is_simulated(study: Study, parameters: Mapping[str, str]) -> bool:
    if SIMULATED not in parameters:
        return False
    try:
        return Signer(salt=SIMULATED).unsign(parameters[SIMULATED]) == study.slug
    except BadSignature as error:
        raise DomainError("forged", _("This link is not complete.")) from error


def consent_of(participant: Participant) -> dict[str, Any]:
    """What this person reads before they take part."""
    document = participant.terms.consent_document
    return filled_consent(participant.study, participant.language, document)


def filled_consent(
    study: Study, language: str = "", document: dict[str, Any] | None = None
) -> dict[str, Any]:
    """The consent document in a language, with the study's settings in place of placeholders."""
    if unread := study.get_deferred_fields():
        study.refresh_from_db(fields=unread)
    values = {
        "contact_name": study.contact_name,
        "contact_email": study.contact_email,
        "ethics_reference": study.ethics_reference,
        "ethics_contact": study.ethics_contact,
        "payment": study.payment,
        "platform_name": study.platform_name,
        "withdrawal_days": study.withdrawal_days,
    }
    chosen = in_language(document or study.consent_document, language)
    filled: dict[str, Any] = _filled(chosen, values)
    filled["facts"] = [fact for fact in filled.get("facts", ()) if fact["text"].strip()]
    return filled


def _filled(part: Any, values: Mapping[str, Any]) -> Any:
    if isinstance(part, str):
        for name, value in values.items():
            part = part.replace("{" + name + "}", str(value))
        return part
    if isinstance(part, list):
        return [_filled(item, values) for item in part]
    if isinstance(part, dict):
        return {key: _filled(item, values) for key, item in part.items()}
    return part


def show_consent(participant: Participant) -> None:
    """Note when the first consent page was shown: the survey's time runs from here."""
    if participant.consent_shown_at is None:
        participant.consent_shown_at = timezone.now()
        participant.save(update_fields=["consent_shown_at"])


@transaction.atomic
def consent(participant: Participant) -> None:
    """Keep that the person consented, and to which text. A second time changes nothing."""
    consenting.send(Participant, participant=participant)
    document = consent_of(participant)
    sha256 = fingerprint(document)
    text, _created = ConsentText.objects.get_or_create(
        study=participant.study,
        sha256=sha256,
        defaults={"version": document["version"], "document": document},
    )
    Consent.objects.get_or_create(
        participant=participant,
        defaults={"text": text, "version": text.version, "sha256": sha256},
    )
    variants.assign(participant)


@transaction.atomic
def decline(participant: Participant) -> None:
    """Forget who arrived; keep that somebody declined, when, and from where.

    A second time changes nothing.
    """
    row = Participant.objects.select_for_update().filter(pk=participant.pk).first()
    if row is None:
        return
    Decline.objects.create(
        study=row.study,
        date=timezone.now().date(),
        source=row.recruitment_id or "open link",
    )
    row.delete()


@transaction.atomic
def stop(participant: Participant) -> None:
    """The person leaves for good. What they sent so far stays unless they withdraw it.

    What they had not sent goes at once: nobody comes back for it.
    """
    if participant.stopped_at is None and participant.completed_at is None:
        participant.stopped_at = timezone.now()
        participant.save(update_fields=["stopped_at"])
        participant.drafts.all().delete()


@transaction.atomic
def withdraw(participant: Participant) -> None:
    """Delete everything the person told us and did; the row stays, so that it is counted."""
    if participant.withdrawn_at is not None:
        return
    now = timezone.now()
    for related in (
        "responses",
        "orders",
        "assignments",
        "pages",
        "drafts",
        "problems",
        "conversations",
    ):
        getattr(participant, related).all().delete()
    Identity.objects.filter(participant=participant).delete()
    participant.withdrawn_at = now
    participant.stopped_at = participant.stopped_at or now
    participant.save(update_fields=["withdrawn_at", "stopped_at"])


@transaction.atomic
def complete(participant: Participant) -> None:
    if participant.completed_at is None:
        participant.completed_at = timezone.now()
        participant.save(update_fields=["completed_at"])
        participant.drafts.all().delete()


def withdrawable_until(participant: Participant) -> date:
    """The last day on which a finished person may withdraw."""
    finished = participant.completed_at or timezone.now()
    return (finished + timedelta(days=participant.study.withdrawal_days)).date()
