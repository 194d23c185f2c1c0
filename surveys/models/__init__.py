"""Studies, people, and what people told us."""

from surveys.models.answers import (
    Assignment,
    Draft,
    Order,
    PageVisit,
    ProblemReport,
    Response,
)
from surveys.models.people import (
    Consent,
    ConsentText,
    Decline,
    Identity,
    Participant,
    ParticipantQuerySet,
    new_key,
)
from surveys.models.study import (
    OPEN_STATES,
    Instrument,
    Study,
    TranslationReview,
    check_protocol,
    fingerprint,
    new_completion_code,
    prism_protocol,
)
from surveys.models.versions import StateChange, StudyVersion

__all__ = [
    "OPEN_STATES",
    "Assignment",
    "Consent",
    "ConsentText",
    "Decline",
    "Draft",
    "Identity",
    "Instrument",
    "Order",
    "PageVisit",
    "Participant",
    "ParticipantQuerySet",
    "ProblemReport",
    "Response",
    "StateChange",
    "Study",
    "StudyVersion",
    "TranslationReview",
    "check_protocol",
    "fingerprint",
    "new_completion_code",
    "new_key",
    "prism_protocol",
]
