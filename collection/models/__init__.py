"""The models that are asked, and what participants did with them."""

from collection.models.alerts import Alert
from collection.models.conversations import (
    SHOWN,
    Attempt,
    AttributeRating,
    Conversation,
    Feedback,
    Interaction,
    ModelCall,
    ReplyReport,
    SliderRecord,
    Utterance,
    can_be_shown,
)
from collection.models.endpoints import (
    ModelEndpoint,
    ProviderLimit,
    Reservation,
)
from collection.models.imports import (
    IMPORTED_DRAW,
    CarriedRows,
    ImportedConversation,
    ImportedPerson,
    ImportedRelease,
)
from collection.models.registry import EndpointTest, EndpointVersion
from collection.models.review import QualityRun, Review

__all__ = [
    "IMPORTED_DRAW",
    "SHOWN",
    "Alert",
    "Attempt",
    "AttributeRating",
    "CarriedRows",
    "Conversation",
    "EndpointTest",
    "EndpointVersion",
    "Feedback",
    "ImportedConversation",
    "ImportedPerson",
    "ImportedRelease",
    "Interaction",
    "ModelCall",
    "ModelEndpoint",
    "ProviderLimit",
    "QualityRun",
    "ReplyReport",
    "Reservation",
    "Review",
    "SliderRecord",
    "Utterance",
    "can_be_shown",
]
