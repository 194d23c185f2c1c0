"""Which of people's texts were put before a reviewer, and what the reviewer said."""

from django.conf import settings
from django.db import models
from django.db.models import Q

from collection.models.conversations import Feedback, Interaction
from surveys.models import Participant, Response, Study


class TextScan(models.Model):
    """How far a study's texts have been looked through, and by which detectors."""

    study = models.OneToOneField(Study, on_delete=models.CASCADE, related_name="text_scan")
    until = models.DateTimeField(null=True, blank=True)
    detectors = models.CharField(max_length=200, blank=True)

    def __str__(self) -> str:
        return f"texts of {self.study} until {self.until}"


class TextReview(models.Model):
    """One text of a person that detectors flagged, or that a reviewer marked without them.

    It goes with its text. The passages themselves are the person's redactions.
    """

    participant = models.ForeignKey(
        Participant, on_delete=models.CASCADE, related_name="text_reviews"
    )
    response = models.OneToOneField(
        Response, null=True, on_delete=models.CASCADE, related_name="text_review"
    )
    interaction = models.OneToOneField(
        Interaction, null=True, on_delete=models.CASCADE, related_name="text_review"
    )
    feedback = models.OneToOneField(
        Feedback, null=True, on_delete=models.CASCADE, related_name="text_review"
    )
    mark = models.CharField(max_length=64)
    """sha256 of the text that was looked at: of another, nothing is known."""
    found = models.JSONField(default=list)
    """[detector, start, end] of each finding; empty if nothing was flagged."""
    is_flagged = models.BooleanField(default=False)
    is_personal = models.BooleanField(null=True)
    """The reviewer's answer."""
    reviewer = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+"
    )
    reviewer_name = models.CharField(max_length=150, blank=True)
    reviewed_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["pk"]
        constraints = [
            models.CheckConstraint(
                condition=(
                    Q(response__isnull=False, interaction__isnull=True, feedback__isnull=True)
                    | Q(response__isnull=True, interaction__isnull=False, feedback__isnull=True)
                    | Q(response__isnull=True, interaction__isnull=True, feedback__isnull=False)
                ),
                name="text_review_of_one_text",
            )
        ]

    def __str__(self) -> str:
        return f"review of a text of {self.participant}"
