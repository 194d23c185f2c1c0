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
from surveys.models.quotas import HELD, QuotaCell, QuotaClaim, QuotaTable
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

__all__ = [
    "HELD",
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
    "QuotaCell",
    "QuotaClaim",
    "QuotaTable",
    "Response",
    "Study",
    "TranslationReview",
    "check_protocol",
    "fingerprint",
    "new_completion_code",
    "new_key",
    "prism_protocol",
]
