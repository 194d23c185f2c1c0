"""What researchers were told needs their attention."""

from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from surveys.models import Study


class Alert(models.Model):
    """Something that needs attention, told once and kept until it has been over for a while."""

    class Kind(models.TextChoices):
        STALLED = "stalled", _("Study stalled")
        RESTING = "resting", _("Model resting")
        BUDGET = "budget", _("Budget")
        ERRORS = "errors", _("Errors")

    study = models.ForeignKey(Study, on_delete=models.CASCADE, related_name="alerts")
    kind = models.CharField(max_length=10, choices=Kind.choices)
    subject = models.CharField(max_length=100, blank=True)
    """The endpoint's long name, where it is about one."""
    words = models.TextField()
    began_at = models.DateTimeField()
    seen_at = models.DateTimeField()
    """When it was last so."""
    over_at = models.DateTimeField(null=True, blank=True)
    mailed_at = models.DateTimeField(null=True, blank=True)
    posted_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["-began_at"]
        constraints = [
            models.UniqueConstraint(
                fields=["study", "kind", "subject"],
                condition=Q(over_at__isnull=True),
                name="one_alert_until_it_is_over",
            )
        ]

    def __str__(self) -> str:
        return f"{self.kind} of {self.study}"
