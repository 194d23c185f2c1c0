"""Who takes part, what they agreed to, and what they told us.

What identifies a person lives in Identity alone, apart from the answers.
"""

import hashlib
import json
import secrets
from decimal import Decimal
from functools import cached_property
from typing import Any

from django.core.exceptions import ValidationError
from django.core.validators import MinValueValidator
from django.db import models
from django.db.models import Q
from django.urls import reverse
from django.utils.translation import gettext_lazy as _

from surveys.draws import new_seed
from surveys.instruments.languages import in_language
from surveys.instruments.schema import InstrumentFile
from surveys.protocol import PRESETS, Protocol


def new_key() -> str:
    return secrets.token_urlsafe(18)


def new_completion_code() -> str:
    """Eight letters and digits that nobody can misread."""
    return "".join(secrets.choice("ACDEFGHJKLMNPQRTUVWXY34679") for _i in range(8))


def prism_protocol() -> dict[str, Any]:
    return PRESETS["prism"].model_dump(mode="json")


def check_protocol(value: Any) -> None:
    try:
        Protocol.model_validate(value)
    except ValueError as error:
        raise ValidationError(str(error)) from error


class Instrument(models.Model):
    """One immutable version of an instrument file."""

    slug = models.SlugField()
    sha256 = models.CharField(max_length=64, unique=True)
    title = models.CharField(max_length=200)
    document = models.JSONField()
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["slug", "created_at"]

    def __str__(self) -> str:
        return f"{self.title} ({self.sha256[:8]})"

    @property
    def file(self) -> InstrumentFile:
        """In its own language."""
        return self.in_language("")

    def in_language(self, language: str) -> InstrumentFile:
        """With the texts of a language, or of its own where it lacks them.

        Parsed once per process: versions are immutable and parsing costs more than a page.
        """
        key = (self.sha256, language)
        if key not in _parsed:
            document = in_language(self.document, language)
            _parsed[key] = InstrumentFile.model_validate(document)
        return _parsed[key]


_parsed: dict[tuple[str, str], InstrumentFile] = {}
"""Instrument files by hash and language."""


class TranslationReview(models.Model):
    """That a named person read an instrument version's texts in a language and stands by them."""

    instrument = models.ForeignKey(Instrument, on_delete=models.CASCADE, related_name="reviews")
    language = models.CharField(max_length=16)
    reviewer = models.CharField(max_length=200)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["instrument", "language"], name="one_review_per_language"
            )
        ]

    def __str__(self) -> str:
        return f"{self.language}, reviewed by {self.reviewer}"


class Study(models.Model):
    """Protocol, instrument, consent text and the settings that fill it."""

    slug = models.SlugField(unique=True, help_text=_("Part of every participant link."))
    title = models.CharField(max_length=200)
    instrument = models.ForeignKey(Instrument, on_delete=models.PROTECT)
    protocol_json = models.JSONField(
        _("protocol"), default=prism_protocol, validators=[check_protocol]
    )
    consent_document = models.JSONField(help_text=_("Version, sections and margin notes."))
    languages = models.JSONField(default=list, blank=True)
    """Codes offered beside the instrument's own language."""
    is_open = models.BooleanField(default=True, help_text=_("New people can take part."))
    budget_usd = models.DecimalField(
        _("budget"),
        max_digits=12,
        decimal_places=2,
        null=True,
        blank=True,
        validators=[MinValueValidator(Decimal(0))],
        help_text=_("US dollars for model calls. Near it, new people are asked to come later."),
    )
    is_demo = models.BooleanField(default=False)

    locale = models.CharField(
        max_length=50, help_text=_("Released as study_locale, lower case: us, uk, south africa.")
    )
    contact_name = models.CharField(max_length=200)
    contact_email = models.EmailField()
    ethics_reference = models.CharField(max_length=200)
    ethics_contact = models.EmailField()
    payment = models.CharField(max_length=200, blank=True, help_text=_("Shown before consent."))
    platform_name = models.CharField(max_length=50, default="Prolific")
    completion_code = models.CharField(max_length=20, default=new_completion_code)
    completion_url = models.URLField(blank=True, help_text=_("{code} becomes the code."))
    return_url = models.URLField(blank=True, help_text=_("For those who decline or stop."))
    withdrawal_days = models.PositiveSmallIntegerField(default=14)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["slug"]
        verbose_name_plural = "studies"

    def __str__(self) -> str:
        return self.title

    def get_absolute_url(self) -> str:
        return reverse("arrive", args=[self.slug])

    @cached_property
    def protocol(self) -> Protocol:
        return Protocol.model_validate(self.protocol_json)

    @property
    def completion_link(self) -> str:
        return self.completion_url.replace("{code}", self.completion_code)


class ParticipantQuerySet(models.QuerySet["Participant"]):
    def consented(self) -> "ParticipantQuerySet":
        return self.filter(consent__isnull=False)

    def real(self) -> "ParticipantQuerySet":
        """People who consented and are not simulated: simulated ones must not join them."""
        return self.consented().filter(is_simulated=False)

    def finished_survey(self) -> "ParticipantQuerySet":
        return self.consented().filter(survey_finished_at__isnull=False)

    def released(self) -> "ParticipantQuerySet":
        """Rows of survey.jsonl: finished every survey page, and neither withdrawn nor rejected."""
        return self.finished_survey().filter(withdrawn_at__isnull=True, rejected_at__isnull=True)


class Participant(models.Model):
    """A person in a study, released as user_id. Nothing here says who they are."""

    study = models.ForeignKey(Study, on_delete=models.PROTECT, related_name="participants")
    instrument = models.ForeignKey(Instrument, on_delete=models.PROTECT)
    key = models.CharField(max_length=40, unique=True, default=new_key, editable=False)
    """The secret of the personal link."""
    seed = models.BigIntegerField(default=new_seed, editable=False)
    recruitment_id = models.CharField(
        _("study_id"), max_length=100, blank=True, help_text=_("STUDY_ID of the recruiter.")
    )
    is_recruited = models.BooleanField(default=False)
    """Came with a recruiter's id, so the quota of conversations per type binds."""
    is_simulated = models.BooleanField(default=False, editable=False)
    language = models.CharField(max_length=16, blank=True)
    """Empty until one is chosen: then the instrument's own is used."""

    arrived_at = models.DateTimeField(auto_now_add=True)
    consent_shown_at = models.DateTimeField(null=True, blank=True)
    survey_finished_at = models.DateTimeField(null=True, blank=True)
    instructed_at = models.DateTimeField(null=True, blank=True)
    completed_at = models.DateTimeField(null=True, blank=True)
    screened_at = models.DateTimeField(null=True, blank=True)
    """Left after the last wrong answer to a comprehension check."""
    stopped_at = models.DateTimeField(null=True, blank=True)
    withdrawn_at = models.DateTimeField(null=True, blank=True)
    rejected_at = models.DateTimeField(null=True, blank=True)

    objects = ParticipantQuerySet.as_manager()

    class Meta:
        ordering = ["pk"]
        indexes = [models.Index(fields=["study", "survey_finished_at"])]

    def __str__(self) -> str:
        return f"participant {self.pk}"

    @property
    def file(self) -> InstrumentFile:
        """The instrument this person began with, whatever the study uses by now."""
        return self.instrument.in_language(self.language)

    @property
    def protocol(self) -> Protocol:
        return self.study.protocol

    @property
    def released_study_id(self) -> str:
        """The codebook's study_id; `study_id` itself is Django's name for the key of `study`."""
        return self.recruitment_id or self.study.slug


class Identity(models.Model):
    """What identifies a person to their recruiter: apart from the answers, never released."""

    participant = models.OneToOneField(Participant, on_delete=models.CASCADE)
    study = models.ForeignKey(Study, on_delete=models.CASCADE)
    external_id = models.CharField(max_length=200)
    """PROLIFIC_PID or participant_label."""
    session_id = models.CharField(max_length=200, blank=True)
    parameters = models.JSONField(default=dict)
    """Everything else that the link carried."""

    class Meta:
        verbose_name_plural = "identities"
        constraints = [
            models.UniqueConstraint(
                fields=["study", "external_id"],
                condition=~Q(external_id=""),
                name="one_participant_per_external_id",
            )
        ]

    def __str__(self) -> str:
        return f"identity of {self.participant}"


class ConsentText(models.Model):
    """A consent text exactly as people saw it, with the study's settings filled in."""

    study = models.ForeignKey(Study, on_delete=models.CASCADE)
    version = models.CharField(max_length=50)
    sha256 = models.CharField(max_length=64)
    document = models.JSONField()
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["study", "sha256"], name="one_row_per_consent_text")
        ]

    def __str__(self) -> str:
        return f"{self.version} ({self.sha256[:8]})"


class Consent(models.Model):
    """That a person certified their age and consented, and to which text."""

    participant = models.OneToOneField(Participant, on_delete=models.CASCADE)
    text = models.ForeignKey(ConsentText, on_delete=models.PROTECT)
    version = models.CharField(max_length=50)
    sha256 = models.CharField(max_length=64)
    given_at = models.DateTimeField(auto_now_add=True)

    def __str__(self) -> str:
        return f"consent of {self.participant} to {self.version}"


class Decline(models.Model):
    """That someone declined: a date and where they came from, and nothing about them."""

    study = models.ForeignKey(Study, on_delete=models.CASCADE)
    date = models.DateField()
    source = models.CharField(max_length=100)

    class Meta:
        ordering = ["-date"]

    def __str__(self) -> str:
        return f"declined on {self.date}, from {self.source}"


class Response(models.Model):
    """The answer to one survey question. `surveys.reading` says which shapes `value` has."""

    participant = models.ForeignKey(Participant, on_delete=models.CASCADE, related_name="responses")
    question = models.CharField(max_length=64)
    value = models.JSONField()
    touches = models.JSONField(default=dict, blank=True)
    """Lines only: item ("" for a single line) -> {"first", "first_by", "moves", "ms"}."""
    attempts = models.JSONField(default=list, blank=True)
    """Comprehension checks only: the options chosen, one per attempt."""
    is_shown = models.BooleanField(default=True)
    """False where later answers led past the question: kept, and released as not shown."""
    language = models.CharField(max_length=16, blank=True)
    answered_at = models.DateTimeField(auto_now=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["participant", "question"], name="one_response_per_question"
            )
        ]

    def __str__(self) -> str:
        return f"{self.question} of {self.participant}"


class Order(models.Model):
    """The order in which something was shown, drawn from the participant's seed.

    scope: a question's code for its options, statements or rows; page:CODE for a page's
    questions; block:CODE for a block's pages; pages: for all. The stream of the draw is
    `rng(participant.seed, "order", scope)`.
    """

    participant = models.ForeignKey(Participant, on_delete=models.CASCADE, related_name="orders")
    scope = models.CharField(max_length=80)
    codes = models.JSONField()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["participant", "scope"], name="one_order_per_scope")
        ]

    def __str__(self) -> str:
        return f"order of {self.scope} for {self.participant}"


class Assignment(models.Model):
    """The arm of a between-subject variant that a participant is in.

    The stream of the draw is `rng(participant.seed, "variant", variant)`.
    """

    participant = models.ForeignKey(
        Participant, on_delete=models.CASCADE, related_name="assignments"
    )
    variant = models.CharField(max_length=64)
    arm = models.CharField(max_length=64)
    counts = models.JSONField()
    """Arm -> how many were in it before: one of the smallest was drawn."""

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["participant", "variant"], name="one_arm_per_variant")
        ]

    def __str__(self) -> str:
        return f"{self.variant}: {self.arm}"


class PageVisit(models.Model):
    """When a survey page was first shown and last sent."""

    participant = models.ForeignKey(Participant, on_delete=models.CASCADE, related_name="pages")
    page = models.CharField(max_length=64)
    shown_at = models.DateTimeField()
    sent_at = models.DateTimeField(null=True, blank=True)
    paradata = models.JSONField(default=dict, blank=True)
    """Load of the page -> what its script noted: see `surveys.paradata`."""

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["participant", "page"], name="one_visit_per_page")
        ]

    def __str__(self) -> str:
        return f"{self.page} of {self.participant}"


class Draft(models.Model):
    """What stands in a page's fields but was not sent yet. Never released."""

    participant = models.ForeignKey(Participant, on_delete=models.CASCADE, related_name="drafts")
    page = models.CharField(max_length=100)
    fields = models.JSONField()
    saved_at = models.DateTimeField(auto_now=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["participant", "page"], name="one_draft_per_page")
        ]

    def __str__(self) -> str:
        return f"draft of {self.page} by {self.participant}"


class ProblemReport(models.Model):
    """What a participant told us with "Report a problem"."""

    participant = models.ForeignKey(Participant, on_delete=models.CASCADE, related_name="problems")
    page = models.CharField(max_length=200)
    text = models.TextField()
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["-created_at"]

    def __str__(self) -> str:
        return f"problem of {self.participant}"


def fingerprint(document: Any) -> str:
    """sha256 of a document, independent of key order and spacing."""
    text = json.dumps(document, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()
