"""What is kept of a program's writes, so that each is done once."""

from django.conf import settings
from django.db import models


class ApiWrite(models.Model):
    """A write that was sent with an Idempotency-Key, and how it was answered: for two days."""

    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="api_writes"
    )
    caller = models.CharField(max_length=40)
    """The token, or the account without one: as `collection.api.throttle` names them."""
    key = models.CharField(max_length=100)
    mark = models.CharField(max_length=64)
    """Of method, address and body: a key is for one of them."""
    status = models.PositiveSmallIntegerField()
    answer = models.JSONField(null=True)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["caller", "key"], name="one_write_per_idempotency_key")
        ]
        indexes = [models.Index(fields=["user", "created_at"])]

    def __str__(self) -> str:
        return f"{self.key}: {self.status}"
