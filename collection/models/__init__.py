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
from collection.models.registry import EndpointTest, EndpointVersion
from collection.models.releases import Release, ReleasedPerson, Statement, Tombstone
from collection.models.review import QualityRun, Review

__all__ = [
    "SHOWN",
    "Alert",
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
    "Release",
    "ReleasedPerson",
    "ReplyReport",
    "Reservation",
    "Review",
    "SliderRecord",
    "Statement",
    "Tombstone",
    "Utterance",
    "can_be_shown",
]
