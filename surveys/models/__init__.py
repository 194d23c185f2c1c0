"""Studies, people, and what people told us."""

from surveys.models.answers import (
    Assignment,
    Draft,
    Order,
    PageVisit,
    ProblemReport,
    Response,
)
from surveys.models.desk import (
    ApiToken,
    AppendOnly,
    AuditEntry,
    Membership,
    WithdrawalReceipt,
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
    "ApiToken",
    "AppendOnly",
    "Assignment",
    "AuditEntry",
    "Consent",
    "ConsentText",
    "Decline",
    "Draft",
    "Identity",
    "Instrument",
    "Membership",
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
    "WithdrawalReceipt",
    "check_protocol",
    "fingerprint",
    "new_completion_code",
    "new_key",
    "prism_protocol",
]
