"""How people come in, agree, stop and finish."""

from collections import Counter
from collections.abc import Mapping
from datetime import date, timedelta
from typing import Any

from django.core.signing import BadSignature, Signer
from django.db import IntegrityError, transaction
from django.dispatch import Signal
from django.utils import timezone
from django.utils.crypto import salted_hmac
from django.utils.translation import gettext as _

from surveys import audit, quotas, submissions, variants
from surveys.errors import DomainError
from surveys.instruments.languages import in_language
from surveys.models import (
    Consent,
    ConsentText,
    Decline,
    Identity,
    Outcome,
    Participant,
    QuotaClaim,
    Study,
    WithdrawalReceipt,
    fingerprint,
)
from surveys.submissions import Arrival

arriving = Signal()
"""Somebody new comes to `study`. A receiver may raise DomainError: then they don't come in."""
consenting = Signal()
"""`participant` is about to consent, within the transaction. A receiver may raise DomainError."""
withdrawn = Signal()
"""`participant` has withdrawn, with `receipt`, within the transaction: their rows are gone by now.
Who holds a place, a release or anything else of theirs gives it up. Sent once for each person."""

SIMULATED = "SIMULATED"
CODE_LETTERS = "ACDEFGHJKLMNPQRTUVWXY34679"
"""That nobody can misread."""
ID_LIMIT = 200
PARAMETERS_LIMIT = 30


def arrive(study: Study, parameters: Mapping[str, str], known: Participant | None) -> Participant:
    """The participant behind an arrival: found by the recruiter's id or the browser, or new.

    Raises DomainError if the study takes nobody new.
    """
    parameters = {storable(name): storable(value) for name, value in parameters.items()}
    arrival = submissions.read(study, parameters)
    found = find(study, arrival.key) if arrival.key else known
    if found:
        submissions.keep(arrival, found)
        return found
    simulated = is_simulated(study, parameters)
    if not (study.is_open or (simulated and study.state == Study.State.DRAFT)):
        raise DomainError("closed", _("This study is not taking new participants at the moment."))
    if simulated and study.participants.real().exists():
        raise DomainError("real_people", _("This study has real participants."))
    arriving.send(Study, study=study)
    try:
        return enrol(study, arrival.key, parameters, simulated, arrival)
    except IntegrityError:  # the same link was opened twice in the same moment
        return Participant.objects.get(identity__study=study, identity__external_id=arrival.key)


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
    study: Study,
    external_id: str,
    parameters: Mapping[str, str],
    simulated: bool,
    arrival: Arrival = submissions.FROM_NOWHERE,
) -> Participant:
    submissions.take_place(arrival.recruitment)
    version = study.versions.last()
    participant = Participant.objects.create(
        study=study,
        instrument=version.instrument if version else study.instrument,
        version=version,
        came_by=arrival.recruitment,
        recruitment_id=parameters.get("STUDY_ID", "")[:100],
        is_recruited=bool(external_id),
        is_simulated=simulated,
        is_pilot=study.state == Study.State.PILOT,
    )
    kept = {
        name[:100]: value[:500]
        for name, value in list(parameters.items())[:PARAMETERS_LIMIT]
        if name not in (*submissions.OWN, *arrival.names, SIMULATED)
    }
    if external_id or kept or parameters.get("SESSION_ID"):
        Identity.objects.create(
            participant=participant,
            study=study,
            external_id=external_id,
            session_id=parameters.get("SESSION_ID", "")[:ID_LIMIT],
            parameters=kept,
        )
    submissions.keep(arrival, participant)
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
    quotas.claim(participant, {})


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
    submissions.forget(row)
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
        quotas.release(participant, QuotaClaim.Why.STOPPED)


ERASED = (
    "responses",
    "orders",
    "assignments",
    "pages",
    "drafts",
    "problems",
    "conversations",
    "quality_runs",
    "redactions",
    "detections",
)
"""What hangs on a participant and goes with a withdrawal, with all that hangs on that in turn."""


@transaction.atomic
def withdraw(
    participant: Participant, by: Any = audit.PARTICIPANT, reason: str = ""
) -> WithdrawalReceipt | None:
    """Erase everything the person told us and did; the row stays, so that it is counted.

    by: the account that does it on their behalf, with the code of a reason. A second time, or in a
    second tab, changes nothing. Returns the receipt, or None if they withdrew before there were
    any.
    """
    code = receipt_code(participant)
    row = Participant.objects.select_for_update(of=("self",)).get(pk=participant.pk)
    if row.withdrawn_at is None:
        counts = erase(row)
        is_own = by == audit.PARTICIPANT
        receipt: WithdrawalReceipt | None = WithdrawalReceipt.objects.create(
            study_id=row.study_id,
            code=code,
            by=WithdrawalReceipt.By.PARTICIPANT if is_own else WithdrawalReceipt.By.RESEARCHER,
            counts=counts,
        )
        noted = {"receipt": code, "counts": counts} | ({"reason": reason} if reason else {})
        audit.write(by, "withdrew", row, row.study_id, **noted)
        withdrawn.send(Participant, participant=row, receipt=receipt)
    else:
        receipt = WithdrawalReceipt.objects.filter(code=code).first()
    participant.withdrawn_at, participant.stopped_at = row.withdrawn_at, row.stopped_at
    return receipt


def erase(row: Participant) -> dict[str, int]:
    """Delete what a withdrawal deletes; model -> how many rows."""
    counts: Counter[str] = Counter()
    for related in ERASED:
        counts.update(getattr(row, related).all().delete()[1])
    counts.update(Identity.objects.filter(participant=row).delete()[1])
    quotas.forget(row)
    row.submissions.update(person="")  # its number stays: it may have to be paid
    row.withdrawn_at = timezone.now()
    row.stopped_at = row.stopped_at or row.withdrawn_at
    row.save(update_fields=["withdrawn_at", "stopped_at"])
    return {label.partition(".")[2].lower(): number for label, number in counts.items() if number}


def receipt_code(participant: Participant) -> str:
    """Of a person's withdrawal: the same each time, and only their link's secret leads to it."""
    digest = salted_hmac("surveys.withdrawal", participant.key, algorithm="sha256").digest()
    letters = "".join(CODE_LETTERS[byte % len(CODE_LETTERS)] for byte in digest[:12])
    return "-".join((letters[:4], letters[4:8], letters[8:]))


@transaction.atomic
def complete(participant: Participant) -> None:
    if participant.completed_at is None:
        participant.completed_at = timezone.now()
        participant.save(update_fields=["completed_at"])
        submissions.note_outcome(participant, Outcome.COMPLETE)
        participant.drafts.all().delete()
        quotas.confirm(participant)


def withdrawable_until(participant: Participant) -> date:
    """The last day on which a finished person may withdraw."""
    finished = participant.completed_at or timezone.now()
    return (finished + timedelta(days=participant.study.withdrawal_days)).date()
