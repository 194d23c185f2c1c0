"""What checks found in a submission, and what reviewers decided about it."""

from typing import Any, Never

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from surveys.models import Participant


class QualityRun(models.Model):
    """What one check found in one submission; a signal if it has a severity.

    A later finding takes the place of an earlier one, which is kept. `evidence` has numbers, codes
    and places, never a participant's words: see `collection.quality`.
    """

    class Severity(models.TextChoices):
        REJECT = "reject", _("reason to reject")
        RETURN = "return", _("reason to ask for a return")
        INVESTIGATE = "investigate", _("look here")

    participant = models.ForeignKey(
        Participant, on_delete=models.CASCADE, related_name="quality_runs"
    )
    check_name = models.CharField(max_length=64)
    version = models.PositiveSmallIntegerField()
    severity = models.CharField(max_length=11, choices=Severity.choices, blank=True)
    value = models.FloatField(null=True, blank=True)
    """Empty where the check does not apply."""
    evidence = models.JSONField(default=dict, blank=True)
    ran_at = models.DateTimeField(auto_now_add=True)
    is_current = models.BooleanField(default=True)

    class Meta:
        ordering = ["participant", "check_name", "pk"]
        constraints = [
            models.UniqueConstraint(
                fields=["participant", "check_name"],
                condition=Q(is_current=True),
                name="one_current_run_per_check",
            )
        ]
        indexes = [
            models.Index(
                fields=["participant", "severity"],
                condition=Q(is_current=True) & ~Q(severity=""),
                name="signals_raised",
            )
        ]

    def __str__(self) -> str:
        return f"{self.check_name} of {self.participant}"


class ReviewQuerySet(models.QuerySet["Review"]):
    def update(self, **_changes: Any) -> Never:
        raise TypeError("what was decided is never changed: decide anew")

    def bulk_update(self, *_args: Any, **_options: Any) -> Never:
        raise TypeError("what was decided is never changed: decide anew")


class Review(models.Model):
    """One decision about a submission. Rows are added, never changed; the newest counts."""

    class Decision(models.TextChoices):
        APPROVE = "approve", _("approved")
        RETURN = "return", _("asked to return")
        REJECT = "reject", _("rejected")
        UNDECIDED = "undecided", _("undecided")

    participant = models.ForeignKey(Participant, on_delete=models.CASCADE, related_name="reviews")
    decision = models.CharField(max_length=9, choices=Decision.choices)
    wants_second_opinion = models.BooleanField(default=False)
    reason = models.TextField(blank=True)
    reviewer = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+"
    )
    reviewer_name = models.CharField(max_length=150)
    """Stays when the account is gone."""
    signals = models.JSONField(default=list)
    """[check, version, severity] of what was raised at the time."""
    created_at = models.DateTimeField(auto_now_add=True)

    objects = ReviewQuerySet.as_manager()

    class Meta:
        ordering = ["pk"]
        indexes = [models.Index(fields=["participant", "-id"])]

    def __str__(self) -> str:
        return f"{self.decision} by {self.reviewer_name}"

    def save(self, *args: Any, **options: Any) -> None:
        if self.pk is not None:
            raise TypeError("what was decided is never changed: decide anew")
        super().save(*args, **options)
