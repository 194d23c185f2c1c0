"""Releases of a study: numbered, frozen, and what each holds; and who has gone from them since."""

from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from surveys.draws import new_seed
from surveys.models import Participant, Study


class Statement(models.Model):
    """What a study's researchers write for its releases, beside what Refract knows.

    A release keeps its own copy, as it was when the release was asked for.
    """

    study = models.OneToOneField(Study, on_delete=models.CASCADE, related_name="statement")
    answers = models.JSONField(default=dict)
    """Code of a section of the data statement -> text."""
    authors = models.TextField(blank=True)
    """One a line: Family, Given."""
    doi = models.CharField(max_length=200, blank=True)
    human_licence = models.CharField(max_length=100, default="CC-BY-4.0")
    model_licence = models.CharField(max_length=100, default="CC-BY-NC-4.0")
    report_to = models.CharField(max_length=300, blank=True)
    """Whom to tell of a problem; empty: the study's contact."""
    quasi_identifiers = models.JSONField(default=list)
    """Paths of columns of survey.jsonl: age, location.reside_country."""
    smallest_cell = models.PositiveSmallIntegerField(
        default=5, validators=[MinValueValidator(2), MaxValueValidator(1000)]
    )
    hub_repository = models.CharField(max_length=200, blank=True)
    """owner/name at the Hugging Face hub."""

    def __str__(self) -> str:
        return f"statement of {self.study}"


class Release(models.Model):
    """One release of a study, edition.patch. Its settings never change once it was asked for.

    A patch mends an edition and keeps its ids: what left it leaves gaps.
    """

    class State(models.TextChoices):
        QUEUED = "queued", _("queued")
        BUILDING = "building", _("being built")
        READY = "ready", _("ready")
        FAILED = "failed", _("failed")
        PUBLISHED = "published", _("published")
        SUPERSEDED = "superseded", _("superseded")
        WITHDRAWN = "withdrawn", _("withdrawn")

    study = models.ForeignKey(Study, on_delete=models.PROTECT, related_name="releases")
    edition = models.PositiveIntegerField()
    patch = models.PositiveIntegerField(default=0)
    first = models.ForeignKey(
        "self", null=True, on_delete=models.PROTECT, related_name="patches", editable=False
    )
    """Of a patch: the edition's x.0, on which its people and their numbers hang."""
    seed = models.BigIntegerField(default=new_seed)
    """Secret: the order in which the edition numbers people. Patches have their edition's."""

    is_public = models.BooleanField(default=False)
    leave_out_recent = models.BooleanField(default=False)
    """Whether people who may still withdraw stay out."""
    with_pilot = models.BooleanField(default=False)
    order = models.CharField(max_length=10, default="codebook")
    statement = models.JSONField(default=dict)
    """A copy of the study's `Statement`."""
    asked_by = models.CharField(max_length=150)
    """Kept by name: an account may go, what it did stays."""
    why = models.CharField(max_length=200, blank=True)
    """Of a patch: what it mends, in words; never who."""

    state = models.CharField(max_length=10, choices=State.choices, default=State.QUEUED)
    reason = models.CharField(max_length=500, blank=True)
    """In words, why it failed or was withdrawn."""
    step = models.CharField(max_length=100, blank=True)
    progress = models.PositiveSmallIntegerField(default=0)
    """Per cent."""
    tries = models.PositiveSmallIntegerField(default=0)
    builder = models.CharField(max_length=40, blank=True)
    """Token of the process that builds it."""
    heard_at = models.DateTimeField(null=True, blank=True)
    """When that process last gave a sign of life."""

    counts = models.JSONField(default=dict)
    """File -> number of rows, and what else is counted: see `collection.building`."""
    disclosure = models.JSONField(default=dict)
    """Small cells and what the scan for ids saw; never part of the release."""
    size = models.PositiveBigIntegerField(null=True, blank=True)
    sha256 = models.CharField(max_length=64, blank=True)
    file_name = models.CharField(max_length=200, blank=True)
    """In RELEASES_DIR; empty where there is no archive, or none any more."""
    created_at = models.DateTimeField(auto_now_add=True)
    built_at = models.DateTimeField(null=True, blank=True)
    published_at = models.DateTimeField(null=True, blank=True)

    push_to = models.CharField(max_length=200, blank=True)
    """owner/name at the hub where it is to go, or went."""
    push_state = models.CharField(max_length=10, blank=True)
    """waiting, pushing, done or failed."""
    push_reason = models.CharField(max_length=500, blank=True)
    push_heard_at = models.DateTimeField(null=True, blank=True)
    pushed_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["study", "-edition", "-patch"]
        constraints = [
            models.UniqueConstraint(
                fields=["study", "edition", "patch"], name="one_release_per_number"
            ),
            models.CheckConstraint(
                condition=Q(patch=0) ^ Q(first__isnull=False), name="patches_have_an_edition"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.study.slug} {self.version}"

    @property
    def version(self) -> str:
        return f"{self.edition}.{self.patch}"

    @property
    def root(self) -> "Release":
        return self.first or self

    @property
    def name(self) -> str:
        """Of its folder and its archive."""
        return f"{self.study.slug}-{self.version}"

    @property
    def path(self) -> Path:
        """Of its archive. Raises FileNotFoundError if there is none."""
        if not self.file_name:
            raise FileNotFoundError(f"release {self.version} has no archive")
        return Path(settings.RELEASES_DIR) / self.file_name

    @property
    def is_under_way(self) -> bool:
        return self.state in (self.State.QUEUED, self.State.BUILDING)

    @property
    def is_whole(self) -> bool:
        """Whether there is something to download."""
        return self.state in (self.State.READY, self.State.PUBLISHED) and bool(self.file_name)

    def option(self, name: str) -> Any:
        """Of its own copy of the statement."""
        return self.statement.get(name)


class ReleasedPerson(models.Model):
    """Which numbers an edition gave to a person, their conversations and the calls for them.

    A secret: it ties released ids to participants. It goes when the person withdraws.
    """

    release = models.ForeignKey(Release, on_delete=models.CASCADE, related_name="people")
    """The edition's first."""
    participant = models.ForeignKey(
        Participant, on_delete=models.CASCADE, related_name="released_as"
    )
    number = models.PositiveIntegerField()
    conversations = models.JSONField(default=list)
    """[key, number of its c…, of its first int…, of its first ut…] of each."""
    calls = models.JSONField(default=list)
    """[key, number of its call…] of each, in the order of the file."""

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["release", "participant"], name="one_number_per_person_and_edition"
            )
        ]

    def __str__(self) -> str:
        return f"user{self.number}"


class Tombstone(models.Model):
    """That a released id is gone: whoever holds an earlier copy is asked to delete its rows."""

    release = models.ForeignKey(Release, on_delete=models.CASCADE, related_name="tombstones")
    """The edition's first."""
    user_id = models.CharField(max_length=30)
    conversation_ids = models.JSONField(default=list)
    at = models.DateField(auto_now_add=True)

    class Meta:
        ordering = ["release", "pk"]
        constraints = [
            models.UniqueConstraint(
                fields=["release", "user_id"], name="one_tombstone_per_released_id"
            )
        ]

    def __str__(self) -> str:
        return self.user_id
