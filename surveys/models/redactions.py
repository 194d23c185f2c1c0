"""What reviewers marked as personal information in people's own texts."""

from django.db import models

from surveys.models.people import Participant


class Redaction(models.Model):
    """A passage that stands as [REDACTED] wherever the person's texts are shown or released.

    It is the original under lock: see `surveys.veil`. The purge writes the mark into the texts
    themselves and deletes the row; a withdrawal deletes both.
    """

    participant = models.ForeignKey(
        Participant, on_delete=models.CASCADE, related_name="redactions"
    )
    source = models.CharField(max_length=40)
    """The text it was marked in: prompt:7."""
    passage = models.CharField(max_length=500)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["participant", "source", "passage"], name="one_redaction_per_passage"
            )
        ]

    def __str__(self) -> str:
        return f"redaction {self.pk} of {self.participant}"
