"""Who takes part and what they agreed to.

What identifies a person lives in Identity alone, apart from the answers.
"""

import secrets

from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from surveys.draws import new_seed
from surveys.instruments.schema import InstrumentFile
from surveys.models.study import Instrument, Study
from surveys.models.versions import StudyVersion
from surveys.protocol import Protocol


def new_key() -> str:
    return secrets.token_urlsafe(18)


class ParticipantQuerySet(models.QuerySet["Participant"]):
    def consented(self) -> "ParticipantQuerySet":
        return self.filter(consent__isnull=False)

    def real(self) -> "ParticipantQuerySet":
        """People who consented and are not simulated: simulated ones must not join them."""
        return self.consented().filter(is_simulated=False)

    def finished_survey(self) -> "ParticipantQuerySet":
        return self.consented().filter(survey_finished_at__isnull=False)

    def released(self, *, with_pilot: bool = False) -> "ParticipantQuerySet":
        """Rows of survey.jsonl: finished every survey page, and neither withdrawn nor rejected.

        A pilot's people stay out unless they are asked for. Who came back to find their place in a
        quota taken has finished the survey, and has no row.
        """
        found = self.finished_survey().filter(
            withdrawn_at__isnull=True, rejected_at__isnull=True, screened_at__isnull=True
        )
        return found if with_pilot else found.filter(is_pilot=False)


class Participant(models.Model):
    """A person in a study, released as user_id. Nothing here says who they are."""

    class ScreenReason(models.TextChoices):
        CHECK = "check", _("comprehension check not passed")
        QUOTA = "quota", _("no place left in a quota")
        LAPSED = "lapsed", _("place in a quota given away while they were gone")

    study = models.ForeignKey(Study, on_delete=models.PROTECT, related_name="participants")
    instrument = models.ForeignKey(Instrument, on_delete=models.PROTECT)
    version = models.ForeignKey(
        StudyVersion, on_delete=models.PROTECT, null=True, blank=True, related_name="participants"
    )
    """Of the study, as it was when the person came; empty while a study has none."""
    key = models.CharField(max_length=40, unique=True, default=new_key, editable=False)
    """The secret of the personal link."""
    seed = models.BigIntegerField(default=new_seed, editable=False)
    recruitment_id = models.CharField(
        _("study_id"), max_length=100, blank=True, help_text=_("STUDY_ID of the recruiter.")
    )
    came_by = models.ForeignKey(
        "surveys.Recruitment",
        null=True,
        blank=True,
        on_delete=models.PROTECT,
        related_name="people",
        verbose_name=_("came by"),
    )
    """The recruitment of the first arrival; later ones are submissions."""
    is_recruited = models.BooleanField(default=False)
    """Came with a recruiter's id, so the quota of conversations per type binds."""
    is_simulated = models.BooleanField(default=False, editable=False)
    is_pilot = models.BooleanField(default=False, editable=False)
    """Came while the study was a pilot: kept apart, and not released unless asked for."""
    language = models.CharField(max_length=16, blank=True)
    """Empty until one is chosen: then the instrument's own is used."""

    arrived_at = models.DateTimeField(auto_now_add=True)
    consent_shown_at = models.DateTimeField(null=True, blank=True)
    survey_finished_at = models.DateTimeField(null=True, blank=True)
    instructed_at = models.DateTimeField(null=True, blank=True)
    completed_at = models.DateTimeField(null=True, blank=True)
    screened_at = models.DateTimeField(null=True, blank=True)
    """Thanked and let go before the end: see `screen_reason`."""
    screen_reason = models.CharField(max_length=10, choices=ScreenReason.choices, blank=True)
    lapsed_at = models.DateTimeField(null=True, blank=True)
    """Their place in a quota was given away while they stayed away; until they come back."""
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
    def terms(self) -> StudyVersion | Study:
        """Protocol, consent document and languages that this person began with."""
        return self.version or self.study

    @property
    def protocol(self) -> Protocol:
        return self.terms.protocol

    @property
    def released_locale(self) -> str:
        """The codebook's study_locale: the recruitment's, else the study's."""
        locale = self.came_by.locale if self.came_by else ""
        return (locale or self.study.locale).lower()

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
