"""The models that are asked, and what participants did with them."""

from collection.models.alerts import Alert
from collection.models.census import CensusTable
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
from collection.models.detections import Detection, DetectionRun, Moderator
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
    "Attempt",
    "AttributeRating",
    "CensusTable",
    "Conversation",
    "Detection",
    "DetectionRun",
    "EndpointTest",
    "EndpointVersion",
    "Feedback",
    "Interaction",
    "ModelCall",
    "ModelEndpoint",
    "Moderator",
    "ProviderLimit",
    "QualityRun",
    "ReplyReport",
    "Reservation",
    "Review",
    "SliderRecord",
    "Utterance",
    "can_be_shown",
]
