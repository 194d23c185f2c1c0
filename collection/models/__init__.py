"""The models that are asked, and what participants did with them."""

from collection.models.alerts import Alert
from collection.models.api import ApiWrite
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
from collection.models.registry import EndpointTest, EndpointVersion
from collection.models.review import QualityRun, Review

__all__ = [
    "SHOWN",
    "Alert",
    "ApiWrite",
    "Attempt",
    "AttributeRating",
    "Conversation",
    "EndpointTest",
    "EndpointVersion",
    "Feedback",
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
