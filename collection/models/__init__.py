"""The models that are asked, and what participants did with them."""

from collection.models.alerts import Alert
from collection.models.api import ApiWrite
from collection.models.census import CensusTable
from collection.models.coding import CodingPlan, Description, Judgement, Suggestion, Typed
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
from collection.models.imports import (
    IMPORTED_DRAW,
    CarriedRows,
    ImportedConversation,
    ImportedPerson,
    ImportedRelease,
)
from collection.models.personal import TextReview, TextScan
from collection.models.registry import EndpointTest, EndpointVersion
from collection.models.releases import Release, ReleasedPerson, Statement, Tombstone
from collection.models.review import QualityRun, Review

__all__ = [
    "IMPORTED_DRAW",
    "SHOWN",
    "Alert",
    "ApiWrite",
    "Attempt",
    "AttributeRating",
    "CarriedRows",
    "CensusTable",
    "CodingPlan",
    "Conversation",
    "Description",
    "Detection",
    "DetectionRun",
    "EndpointTest",
    "EndpointVersion",
    "Feedback",
    "ImportedConversation",
    "ImportedPerson",
    "ImportedRelease",
    "Interaction",
    "Judgement",
    "ModelCall",
    "ModelEndpoint",
    "Moderator",
    "ProviderLimit",
    "QualityRun",
    "Release",
    "ReleasedPerson",
    "ReplyReport",
    "Reservation",
    "Review",
    "SliderRecord",
    "Statement",
    "Suggestion",
    "TextReview",
    "TextScan",
    "Tombstone",
    "Typed",
    "Utterance",
    "can_be_shown",
]
