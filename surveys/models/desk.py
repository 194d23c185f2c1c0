"""People at the desk: who may do what in which study, their tokens, and what they did."""

from datetime import datetime
from typing import Any

from django.conf import settings
from django.db import models
from django.utils.translation import gettext_lazy as _

from surveys.models.study import Study


class Membership(models.Model):
    """What an account is in a study. `surveys.access` says what that lets it do."""

    class Role(models.TextChoices):
        OWNER = "owner", _("owner")
        RESEARCHER = "researcher", _("researcher")
        REVIEWER = "reviewer", _("reviewer")
        READ_ONLY = "read_only", _("read-only")
        API_CLIENT = "api_client", _("API client")

    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="memberships"
    )
    study = models.ForeignKey(Study, on_delete=models.CASCADE, related_name="memberships")
    role = models.CharField(max_length=10, choices=Role.choices, default=Role.READ_ONLY)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        verbose_name = _("role")
        ordering = ["study", "user"]
        constraints = [
            models.UniqueConstraint(fields=["user", "study"], name="one_role_per_user_and_study")
        ]

    def __str__(self) -> str:
        return f"{self.user}, {self.get_role_display()} of {self.study}"


class ApiToken(models.Model):
    """A secret by which a program acts for an account, within its scopes. Kept as a hash alone."""

    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="api_tokens"
    )
    name = models.CharField(max_length=100, help_text=_("What it is for: nightly backup."))
    prefix = models.CharField(max_length=12, editable=False)
    """The secret's first characters, to tell tokens apart."""
    sha256 = models.CharField(max_length=64, unique=True, editable=False)
    scopes = models.JSONField(default=list)
    """Verbs of `surveys.access`."""
    study = models.ForeignKey(
        Study,
        null=True,
        blank=True,
        on_delete=models.CASCADE,
        related_name="api_tokens",
        help_text=_("Empty: all studies of the account."),
    )
    created_at = models.DateTimeField(auto_now_add=True)
    expires_at = models.DateTimeField()
    last_used_at = models.DateTimeField(null=True, blank=True, editable=False)
    revoked_at = models.DateTimeField(null=True, blank=True, editable=False)

    class Meta:
        verbose_name = _("API token")
        ordering = ["-created_at"]

    def __str__(self) -> str:
        return f"{self.name} ({self.prefix}…)"

    def is_live(self, now: datetime) -> bool:
        return self.revoked_at is None and self.expires_at > now


class AppendOnly(Exception):
    """What was noted is neither changed nor deleted."""


class AuditQuerySet(models.QuerySet["AuditEntry"]):
    def update(self, **kwargs: Any) -> int:
        raise AppendOnly

    def delete(self) -> tuple[int, dict[str, int]]:
        raise AppendOnly


class AuditEntry(models.Model):
    """Who saw, changed, exported or decided what. Written by `surveys.audit` alone.

    A trigger refuses UPDATE and DELETE in the database too. SQLite drops it whenever a migration
    rebuilds the table: such a migration must create it anew. Nothing here is a real foreign key,
    so that accounts and studies can go while what they did stays.
    """

    at = models.DateTimeField(auto_now_add=True, db_index=True)
    actor = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        null=True,
        on_delete=models.DO_NOTHING,
        db_constraint=False,
        related_name="+",
    )
    actor_name = models.CharField(max_length=150)
    """As it was then; who has no account is named in words."""
    verb = models.CharField(max_length=20)
    object_type = models.CharField(max_length=60)
    """app.model"""
    object_id = models.CharField(max_length=64, blank=True)
    study = models.ForeignKey(
        Study, null=True, on_delete=models.DO_NOTHING, db_constraint=False, related_name="+"
    )
    details = models.JSONField(default=dict)
    """Names of fields, numbers and codes: never a participant's word."""

    objects = AuditQuerySet.as_manager()

    class Meta:
        verbose_name = _("entry of the audit log")
        verbose_name_plural = _("entries of the audit log")
        ordering = ["-pk"]
        indexes = [models.Index(fields=["study", "at"]), models.Index(fields=["verb", "at"])]

    def __str__(self) -> str:
        return f"{self.actor_name} {self.verb} {self.object_type} {self.object_id}".rstrip()

    def save(self, *args: Any, **kwargs: Any) -> None:
        if not self._state.adding:
            raise AppendOnly
        super().save(*args, **kwargs)

    def delete(self, *_args: Any, **_kwargs: Any) -> tuple[int, dict[str, int]]:
        raise AppendOnly


class WithdrawalReceipt(models.Model):
    """That somebody's data were erased. It says nothing about the person.

    The code comes from the personal link's secret, so the person alone can find it again.
    """

    class By(models.TextChoices):
        PARTICIPANT = "participant", _("the participant")
        RESEARCHER = "researcher", _("the study team, at the participant’s request")

    study = models.ForeignKey(Study, on_delete=models.CASCADE, related_name="withdrawals")
    code = models.CharField(max_length=20, unique=True)
    by = models.CharField(max_length=11, choices=By.choices)
    at = models.DateTimeField(auto_now_add=True)
    counts = models.JSONField(default=dict)
    """Kind of row -> how many were erased."""

    class Meta:
        ordering = ["-at"]

    def __str__(self) -> str:
        return self.code
