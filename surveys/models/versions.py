"""What a study was made of, version by version, and which states it went through."""

from functools import cached_property

from django.db import models

from surveys.models.study import Instrument, Study
from surveys.protocol import Protocol


class StudyVersion(models.Model):
    """All that people of one version meet. Never changed: a change makes the next one.

    Has a study's own names for its parts, so that either can say what a participant meets.
    """

    study = models.ForeignKey(Study, on_delete=models.CASCADE, related_name="versions")
    number = models.PositiveIntegerField()
    protocol_json = models.JSONField()
    instrument = models.ForeignKey(Instrument, on_delete=models.PROTECT)
    consent_document = models.JSONField()
    languages = models.JSONField(default=list)
    endpoints_json = models.JSONField(default=dict)
    """Released name of each active endpoint -> what of it participants meet."""
    reason = models.TextField()
    author = models.CharField(max_length=150)
    """Kept by name: an account may go, what it did stays."""
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["study", "number"]
        constraints = [
            models.UniqueConstraint(fields=["study", "number"], name="one_version_per_number")
        ]

    def __str__(self) -> str:
        return f"version {self.number}"

    @cached_property
    def protocol(self) -> Protocol:
        return Protocol.model_validate(self.protocol_json)


class StateChange(models.Model):
    """That a study went from one state to another, when, and who did it."""

    study = models.ForeignKey(Study, on_delete=models.CASCADE, related_name="state_changes")
    before = models.CharField(max_length=10, choices=Study.State.choices)
    after = models.CharField(max_length=10, choices=Study.State.choices)
    author = models.CharField(max_length=150)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["pk"]

    def __str__(self) -> str:
        return f"{self.before} to {self.after}"
