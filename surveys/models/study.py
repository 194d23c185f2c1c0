"""What a study is made of: instrument, protocol, consent text and settings."""

import hashlib
import json
import secrets
from decimal import Decimal
from functools import cached_property
from typing import Any

from django.core.exceptions import ValidationError
from django.core.validators import MinValueValidator
from django.db import models
from django.urls import reverse
from django.utils.translation import gettext_lazy as _

from surveys.instruments.languages import in_language
from surveys.instruments.schema import InstrumentFile
from surveys.protocol import PRESETS, Protocol


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

    class State(models.TextChoices):
        DRAFT = "draft", _("draft")
        PILOT = "pilot", _("pilot")
        LIVE = "live", _("live")
        PAUSED = "paused", _("paused")
        CLOSED = "closed", _("closed")

    slug = models.SlugField(unique=True, help_text=_("Part of every participant link."))
    title = models.CharField(max_length=200)
    instrument = models.ForeignKey(Instrument, on_delete=models.PROTECT)
    protocol_json = models.JSONField(
        _("protocol"), default=prism_protocol, validators=[check_protocol]
    )
    consent_document = models.JSONField(help_text=_("Version, sections and margin notes."))
    languages = models.JSONField(default=list, blank=True)
    """Codes offered beside the instrument's own language."""
    state = models.CharField(
        max_length=10,
        choices=State.choices,
        default=State.DRAFT,
        help_text=_("New people can take part in a pilot and in a live study."),
    )
    budget_usd = models.DecimalField(
        _("budget"),
        max_digits=12,
        decimal_places=2,
        null=True,
        blank=True,
        validators=[MinValueValidator(Decimal(0))],
        help_text=_("US dollars for model calls. Near it, new people are asked to come later."),
    )
    expected_people = models.PositiveIntegerField(
        null=True,
        blank=True,
        help_text=_("How many are to finish; the check before launch compares it to the budget."),
    )
    is_demo = models.BooleanField(default=False)
    is_imported = models.BooleanField(default=False, editable=False)
    """A release that was loaded: it can be looked at and exported, and nothing of it changes."""

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
    purge_identities_on = models.DateField(
        _("purge ids on"),
        null=True,
        blank=True,
        help_text=_(
            "From this day recruiters' ids and whatever else their links carried are gone."
        ),
    )
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["slug"]
        verbose_name_plural = "studies"

    def __str__(self) -> str:
        return self.title

    def get_absolute_url(self) -> str:
        return reverse("arrive", args=[self.slug])

    @property
    def is_open(self) -> bool:
        """Whether new people can take part."""
        return self.state in OPEN_STATES and not self.is_imported

    @cached_property
    def protocol(self) -> Protocol:
        return Protocol.model_validate(self.protocol_json)

    @property
    def completion_link(self) -> str:
        return self.completion_url.replace("{code}", self.completion_code)


OPEN_STATES = (Study.State.PILOT, Study.State.LIVE)
"""In which new people can take part."""


def fingerprint(document: Any) -> str:
    """sha256 of a document, independent of key order and spacing."""
    text = json.dumps(document, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()
