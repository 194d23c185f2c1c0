"""What detectors found in the texts of a study, and how far each of them has come."""

from django.db import models
from django.utils.translation import gettext_lazy as _

from surveys.models import Participant, Study


class Detection(models.Model):
    """What one detector found in one text. It goes with the participant's data.

    `result` has codes, numbers and places in the text, never its words; null: there was nothing to
    judge, as in a text without a letter. Where no row is, the detector did not run.
    """

    class Kind(models.TextChoices):
        ANSWER = "answer", _("survey answers")
        FEEDBACK = "feedback", _("feedback")
        PROMPT = "prompt", _("prompts")
        REPLY = "reply", _("replies")

    participant = models.ForeignKey(
        Participant, on_delete=models.CASCADE, related_name="detections"
    )
    kind = models.CharField(max_length=8, choices=Kind.choices)
    row = models.BigIntegerField()
    """Key of the Response, Feedback, Interaction or Utterance."""
    detector = models.CharField(max_length=64)
    version = models.CharField(max_length=200)
    digest = models.CharField(max_length=16)
    """Of the text: one that was changed since is detected anew."""
    result = models.JSONField(null=True)
    found_at = models.DateTimeField()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["kind", "row", "detector"], name="one_detection_per_text"
            )
        ]
        indexes = [models.Index(fields=["participant", "detector", "version"])]

    def __str__(self) -> str:
        return f"{self.detector} of {self.kind} {self.row}"


class DetectionRun(models.Model):
    """That a detector was asked to go through a study's texts, and where it stands.

    `kind` and `row` are of the text it did last: whoever goes on begins after it.
    """

    class State(models.TextChoices):
        ASKED = "asked", _("under way")
        DONE = "done", _("done")
        STOPPED = "stopped", _("stopped")

    study = models.ForeignKey(Study, on_delete=models.CASCADE, related_name="detection_runs")
    detector = models.CharField(max_length=64)
    state = models.CharField(max_length=7, choices=State.choices, default=State.ASKED)
    asked_at = models.DateTimeField()
    asked_by = models.CharField(max_length=150)
    kind = models.CharField(max_length=8, blank=True)
    row = models.BigIntegerField(default=0)
    skipped = models.PositiveIntegerField(default=0)
    """Texts that the detector refused; the next run tries them again."""
    failures = models.PositiveSmallIntegerField(default=0)
    """In a row."""
    words = models.TextField(blank=True)
    """What went wrong last, for researchers."""
    next_try_at = models.DateTimeField()
    lease_until = models.DateTimeField(null=True, blank=True)
    """Until when the process that works on it owns it."""
    ended_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["study", "detector"], name="one_run_per_study_and_detector"
            )
        ]

    def __str__(self) -> str:
        return f"{self.detector} in {self.study}: {self.state}"


class Moderator(models.Model):
    """The moderation endpoint that a study sends its texts to. Without one, nothing is sent."""

    study = models.OneToOneField(Study, on_delete=models.CASCADE, related_name="moderator")
    litellm_model = models.CharField(
        _("model"),
        max_length=200,
        help_text=_("As litellm names it: openai/omni-moderation-latest."),
    )
    api_base = models.URLField(
        _("base URL"), blank=True, help_text=_("Empty: where the provider has it.")
    )
    key_name = models.CharField(
        _("key"),
        max_length=50,
        blank=True,
        help_text=_("NAME of a key set as REFRACT_KEY_NAME."),
    )
    texts_per_call = models.PositiveSmallIntegerField(_("texts per call"), default=16)
    calls_per_minute = models.PositiveSmallIntegerField(_("calls per minute"), default=120)

    def __str__(self) -> str:
        return self.litellm_model
