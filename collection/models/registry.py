"""What is kept of endpoints themselves: their versions, and how their tests went."""

from django.db import models
from django.utils.translation import gettext_lazy as _

from collection.models.conversations import ModelCall
from collection.models.endpoints import ModelEndpoint


class EndpointVersion(models.Model):
    """What participants met under a model's name, kept when it changes while a study uses it."""

    endpoint = models.ForeignKey(ModelEndpoint, on_delete=models.CASCADE, related_name="versions")
    number = models.PositiveIntegerField()
    document = models.JSONField()
    """ModelEndpoint.as_met"""
    reason = models.TextField()
    author = models.CharField(max_length=150)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["endpoint", "number"]
        constraints = [
            models.UniqueConstraint(
                fields=["endpoint", "number"], name="one_endpoint_version_per_number"
            )
        ]

    def __str__(self) -> str:
        return f"version {self.number} of {self.endpoint}"


class EndpointTest(models.Model):
    """A test prompt that was sent from the desk, and how the call ended."""

    endpoint = models.ForeignKey(ModelEndpoint, on_delete=models.CASCADE, related_name="tests")
    settings_mark = models.CharField(max_length=64)
    """ModelEndpoint.settings_mark at that time: a later edit needs a test of its own."""
    outcome = models.CharField(max_length=10, choices=ModelCall.Outcome.choices)
    text = models.TextField(blank=True)
    error_class = models.CharField(max_length=100, blank=True)
    error_message = models.TextField(blank=True)
    latency_ms = models.PositiveIntegerField()
    cost_usd = models.DecimalField(max_digits=12, decimal_places=8, null=True, blank=True)
    author = models.CharField(max_length=150)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["-pk"]
        verbose_name = _("test of an endpoint")
        indexes = [models.Index(fields=["endpoint", "created_at"])]

    def __str__(self) -> str:
        return f"test of {self.endpoint}: {self.outcome}"

    @property
    def is_good(self) -> bool:
        return self.outcome in (ModelCall.Outcome.OK, ModelCall.Outcome.TRUNCATED)
