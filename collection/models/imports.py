"""Releases that were loaded: whatever of them the study's own rows cannot say.

A study made by an import is read-only (`Study.is_imported`). Its people, conversations and replies
are rows like all others, so that the desk and every export can read them. What stands here keeps
them what they were: their ids, their place in the files, and values that no rule gives again.
"""

from django.db import models
from django.utils.translation import gettext_lazy as _

from collection.models.conversations import Conversation
from surveys.models import Participant, Study

IMPORTED_DRAW = "imported"
"""Strategy of an attempt that nobody made here: it only holds the replies of an import."""


class ImportedRelease(models.Model):
    """One folder of release files, loaded once."""

    class Source(models.TextChoices):
        REFRACT = "refract", _("Refract")
        PRISM = "prism", _("PRISM")

    study = models.OneToOneField(Study, on_delete=models.CASCADE, related_name="release")
    sha256 = models.CharField(max_length=64, unique=True)
    """Of all files that were read: the same folder is loaded once."""
    folder = models.CharField(max_length=200)
    source = models.CharField(max_length=10, choices=Source.choices)
    key_order = models.CharField(max_length=10)
    """Of its conversations; `export --order` gives it again."""
    files = models.JSONField()
    """Name -> {"path", "sha256", "rows"}, in the order of a manifest."""
    manifest = models.JSONField(default=dict)
    """The folder's own; empty if it had none."""
    instruments = models.JSONField()
    """sha256 of each version that people answered, newest first."""
    providers = models.JSONField()
    """model_name -> model_provider of the utterances: an endpoint that was here before may differ.
    """
    repairs = models.JSONField()
    """What `repairs.json` holds: see `collection.importing.repairs`."""
    imported_by = models.CharField(max_length=150)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["-pk"]

    def __str__(self) -> str:
        return f"{self.folder} ({self.sha256[:8]})"


class ImportedPerson(models.Model):
    """A row of survey.jsonl."""

    participant = models.OneToOneField(
        Participant, on_delete=models.CASCADE, related_name="imported"
    )
    number = models.PositiveBigIntegerField(help_text=_("Of the user_id."))
    row = models.JSONField()

    def __str__(self) -> str:
        return f"user{self.number}"


class ImportedConversation(models.Model):
    """A row of conversations.jsonl, as far as the conversation itself does not say it."""

    conversation = models.OneToOneField(
        Conversation, on_delete=models.CASCADE, related_name="imported"
    )
    place = models.PositiveIntegerField(help_text=_("In the file, from 0."))
    number = models.PositiveBigIntegerField(help_text=_("Of the conversation_id."))
    first_interaction = models.PositiveBigIntegerField(help_text=_("Of the first turn."))
    utterances = models.JSONField()
    """Numbers of the utterance_ids, in the order of the history."""
    kept = models.JSONField()
    """Columns that export takes from here: times, the balanced subset, the feedback's blanks."""

    def __str__(self) -> str:
        return f"c{self.number}"


class CarriedRows(models.Model):
    """Rows of a file that is exported as it came, since nothing here could make it again."""

    release = models.ForeignKey(ImportedRelease, on_delete=models.CASCADE, related_name="carried")
    file = models.CharField(max_length=50)
    place = models.PositiveIntegerField()
    lines = models.BinaryField()
    """JSON lines, compressed by zlib."""

    class Meta:
        ordering = ["release", "file", "place"]
        constraints = [
            models.UniqueConstraint(fields=["release", "file", "place"], name="one_part_per_place")
        ]

    def __str__(self) -> str:
        return f"part {self.place} of {self.file}"
