"""Where people come from, what is owed for it, and what is still to be told to a recruiter.

What a recruiter calls a person or a submission lives here and in Identity, apart from the answers;
`recruiting.forget` empties it.
"""

import secrets

from django.core.validators import MinValueValidator
from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from surveys.models.people import Participant
from surveys.models.study import Study, new_completion_code


def new_token() -> str:
    return secrets.token_urlsafe(9)


class Recruitment(models.Model):
    """One way into a study: a study at Prolific, a panel, personal links, or an open link."""

    class Kind(models.TextChoices):
        PROLIFIC = "prolific", _("Prolific")
        PANEL = "panel", _("panel")
        INVITATIONS = "invitations", _("personal links")
        OPEN = "open", _("open link")

    class State(models.TextChoices):
        DRAFT = "draft", _("draft")
        CREATED = "created", _("at Prolific, not published")
        LIVE = "live", _("recruiting")
        PAUSED = "paused", _("paused")
        CLOSED = "closed", _("closed")

    study = models.ForeignKey(Study, on_delete=models.PROTECT, related_name="recruitments")
    kind = models.CharField(max_length=12, choices=Kind.choices, default=Kind.PROLIFIC)
    name = models.CharField(max_length=100, help_text=_("For the desk: the country, the panel."))
    token = models.CharField(max_length=20, unique=True, default=new_token, editable=False)
    """Names the recruitment in links, and at Prolific. No secret."""
    table = models.CharField(max_length=20, blank=True, editable=False)
    """Recruitments of one table exclude each other's participants."""
    state = models.CharField(max_length=10, choices=State.choices, default=State.DRAFT)
    locale = models.CharField(
        max_length=50,
        blank=True,
        help_text=_("Released as study_locale, lower case. Empty: that of the study."),
    )
    places = models.PositiveIntegerField(
        null=True,
        blank=True,
        validators=[MinValueValidator(1)],
        help_text=_("Empty: no limit (not with Prolific)."),
    )
    reward = models.PositiveIntegerField(
        default=0, help_text=_("In pence or cents, for finishing everything.")
    )
    currency = models.CharField(max_length=3, default="GBP")
    minutes = models.PositiveSmallIntegerField(
        default=60, validators=[MinValueValidator(1)], help_text=_("How long it is likely to take.")
    )
    title = models.CharField(
        max_length=200, blank=True, help_text=_("Shown to people at Prolific. Empty: the study's.")
    )
    description = models.TextField(
        blank=True, help_text=_("Shown to people at Prolific before they begin.")
    )
    filters = models.JSONField(
        default=list, blank=True, help_text=_("Prolific's filters: [{filter_id, selected_values}].")
    )
    sample = models.CharField(
        max_length=80,
        blank=True,
        help_text=_("balanced (as many women as men), or Prolific's name of a representative one."),
    )
    person_parameter = models.CharField(
        max_length=50,
        blank=True,
        help_text=_("Parameter of a panel's links that names the person."),
    )
    submission_parameter = models.CharField(
        max_length=50,
        blank=True,
        help_text=_("Parameter that names this participation, if the panel has one."),
    )
    return_url = models.URLField(
        max_length=500,
        blank=True,
        help_text=_(
            "Where people go in the end; {code}, {person} and {submission} are filled in. Empty: "
            "the study's."
        ),
    )
    page_script = models.URLField(
        _("script on people's pages"),
        max_length=500,
        blank=True,
        help_text=_(
            "Such as that of Prolific's authenticity check. {person}, {study} and {submission} are "
            "filled in. Only from hosts that this server allows; the consent page tells people."
        ),
    )
    external_id = models.CharField(_("study at Prolific"), max_length=100, blank=True)
    external_status = models.CharField(max_length=40, blank=True, editable=False)
    """In Prolific's words."""
    external_status_at = models.DateTimeField(null=True, blank=True, editable=False)
    read_at = models.DateTimeField(null=True, blank=True, editable=False)
    """When its submissions were last read, all of them."""
    read_due_at = models.DateTimeField(null=True, blank=True, editable=False)
    """Not to be read before; empty: at once."""
    read_error = models.CharField(max_length=500, blank=True, editable=False)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["study", "name", "pk"]
        constraints = [
            models.UniqueConstraint(
                fields=["external_id"],
                condition=~Q(external_id=""),
                name="one_recruitment_per_external_id",
            )
        ]

    def __str__(self) -> str:
        return self.name

    @property
    def internal_name(self) -> str:
        """What the study is called at Prolific among researchers: found again by it."""
        return f"refract {self.study.slug} {self.token}"

    @property
    def is_prolific(self) -> bool:
        return self.kind == self.Kind.PROLIFIC


class Outcome(models.TextChoices):
    """How a participation can end, as far as the recruiter is told."""

    COMPLETE = "complete", _("complete")
    NO_CONSENT = "no_consent", _("no consent")
    SCREENED_OUT = "screened_out", _("screened out")
    FAILED_CHECKS = "failed_checks", _("failed checks")
    PARTIAL = "partial", _("stopped part-way")
    TECHNICAL = "technical", _("technical problem")


class Stage(models.TextChoices):
    """How far somebody had come who stopped."""

    CONSENTED = "consented", _("after consent")
    SURVEY = "survey", _("after the survey")
    CONVERSATIONS = "conversations", _("after a conversation")


class CompletionCode(models.Model):
    """The code for one way to end, and what is paid for it."""

    recruitment = models.ForeignKey(Recruitment, on_delete=models.CASCADE, related_name="codes")
    outcome = models.CharField(max_length=15, choices=Outcome.choices)
    stage = models.CharField(
        max_length=15,
        choices=Stage.choices,
        blank=True,
        help_text=_("Only for those who stopped part-way."),
    )
    code = models.CharField(max_length=20, default=new_completion_code)
    pay = models.PositiveIntegerField(default=0, help_text=_("In pence or cents; 0: nothing."))

    class Meta:
        ordering = ["pk"]
        constraints = [
            models.UniqueConstraint(
                fields=["recruitment", "outcome", "stage"], name="one_code_per_outcome"
            ),
            models.UniqueConstraint(fields=["recruitment", "code"], name="each_code_once"),
            models.CheckConstraint(
                condition=Q(outcome="partial") ^ Q(stage=""), name="stages_are_of_stopping"
            ),
        ]

    def __str__(self) -> str:
        outcome = str(self.get_outcome_display())
        return f"{outcome}, {self.get_stage_display()}" if self.stage else outcome


class Submission(models.Model):
    """One participation as a recruiter counts and pays it; a person may have several."""

    class Status(models.TextChoices):
        ARRIVED = "arrived", _("here, not heard of from the recruiter")
        RESERVED = "reserved", _("reserved")
        ACTIVE = "active", _("taking part")
        TIMED_OUT = "timed_out", _("timed out")
        AWAITING_REVIEW = "awaiting_review", _("awaiting review")
        APPROVED = "approved", _("approved")
        PARTIALLY_APPROVED = "partially_approved", _("approved in part")
        SCREENED_OUT = "screened_out", _("screened out")
        RETURNED = "returned", _("returned")
        REJECTED = "rejected", _("rejected")
        OTHER = "other", _("in a state we do not know")

    recruitment = models.ForeignKey(
        Recruitment, on_delete=models.PROTECT, related_name="submissions"
    )
    participant = models.ForeignKey(
        Participant, null=True, on_delete=models.SET_NULL, related_name="submissions"
    )
    external_id = models.CharField(max_length=100, blank=True)
    """SESSION_ID, or what a panel sends. Empty: the recruiter has none, or it was forgotten."""
    person = models.CharField(max_length=200, blank=True)
    """PROLIFIC_PID, or what a panel sends."""
    status = models.CharField(max_length=20, choices=Status.choices, default=Status.ARRIVED)
    status_at = models.DateTimeField(null=True, blank=True)
    """Of the news that set the status; older news never does."""
    outcome = models.CharField(max_length=15, choices=Outcome.choices, blank=True)
    """How it ended on our side."""
    stage = models.CharField(max_length=15, choices=Stage.choices, blank=True)
    code = models.CharField(max_length=50, blank=True)
    """The completion code that was entered at the recruiter."""
    started_at = models.DateTimeField(null=True, blank=True)
    completed_at = models.DateTimeField(null=True, blank=True)
    return_requested_at = models.DateTimeField(null=True, blank=True)
    bonus_paid = models.PositiveIntegerField(default=0)
    """In pence or cents, as the recruiter counts."""
    created_at = models.DateTimeField(auto_now_add=True)

    class Decision(models.TextChoices):
        APPROVE = "approve", _("approve")
        RETURN = "return", _("ask to return")
        REJECT = "reject", _("reject")

    decision = models.CharField(max_length=10, choices=Decision.choices, blank=True)
    decided_by = models.CharField(max_length=150, blank=True)
    decided_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["-pk"]
        constraints = [
            models.UniqueConstraint(
                fields=["recruitment", "external_id"],
                condition=~Q(external_id=""),
                name="one_submission_per_external_id",
            )
        ]
        indexes = [models.Index(fields=["recruitment", "status"])]

    def __str__(self) -> str:
        return f"submission {self.pk}"


SETTLED = (
    Submission.Status.APPROVED,
    Submission.Status.PARTIALLY_APPROVED,
    Submission.Status.SCREENED_OUT,
    Submission.Status.RETURNED,
    Submission.Status.REJECTED,
)
"""Nothing is left to decide."""


class Delivery(models.Model):
    """Something a recruiter has to be told: kept until they have heard it, and told once."""

    class Kind(models.TextChoices):
        CREATE = "create", _("create the study")
        PUBLISH = "publish", _("publish")
        PLACES = "places", _("raise places")
        PAUSE = "pause", _("pause")
        RESUME = "resume", _("go on")
        STOP = "stop", _("stop for good")
        APPROVE = "approve", _("approve")
        REJECT = "reject", _("reject")
        RETURN = "return", _("ask to return")
        BONUS = "bonus", _("pay a bonus")
        MESSAGE = "message", _("send a message")

    class State(models.TextChoices):
        DUE = "due", _("to be sent")
        SENDING = "sending", _("being sent")
        UNSURE = "unsure", _("sent, no answer: to be looked up")
        DONE = "done", _("done")
        REFUSED = "refused", _("refused")
        UNCLEAR = "unclear", _("a person has to look")
        CANCELLED = "cancelled", _("cancelled")

    recruitment = models.ForeignKey(
        Recruitment, on_delete=models.PROTECT, related_name="deliveries"
    )
    submission = models.ForeignKey(
        Submission, null=True, blank=True, on_delete=models.PROTECT, related_name="deliveries"
    )
    kind = models.CharField(max_length=10, choices=Kind.choices)
    key = models.CharField(max_length=120, unique=True)
    """Asking twice for the same thing finds the same delivery."""
    payload = models.JSONField(default=dict)
    state = models.CharField(max_length=10, choices=State.choices, default=State.DUE)
    tries = models.PositiveSmallIntegerField(default=0)
    next_try_at = models.DateTimeField()
    """While it is being sent: when somebody else may take it over."""
    last_error = models.CharField(max_length=1000, blank=True)
    result = models.JSONField(default=dict, blank=True)
    asked_by = models.CharField(max_length=150, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)
    done_at = models.DateTimeField(null=True, blank=True)

    was_sent = False
    """Of the try under way: it may have happened already."""

    class Meta:
        ordering = ["-pk"]
        verbose_name_plural = "deliveries"
        indexes = [models.Index(fields=["state", "next_try_at"])]

    def __str__(self) -> str:
        return f"{self.get_kind_display()}: {self.recruitment}"


class WebhookEvent(models.Model):
    """A recruiter's news, kept once whatever how often it comes."""

    class State(models.TextChoices):
        APPLIED = "applied", _("taken over")
        OLDER = "older", _("older than what was known")
        WAITING = "waiting", _("of a submission not met yet")
        IGNORED = "ignored", _("not ours")

    event_id = models.CharField(max_length=200, unique=True)
    event_type = models.CharField(max_length=60)
    resource_id = models.CharField(max_length=100)
    status = models.CharField(max_length=40, blank=True)
    happened_at = models.DateTimeField()
    state = models.CharField(max_length=10, choices=State.choices)
    received_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["-pk"]
        indexes = [models.Index(fields=["state"])]

    def __str__(self) -> str:
        return f"{self.event_type} at {self.happened_at}"


class Invitation(models.Model):
    """A personal link. To whom it goes stands here alone, and can be forgotten."""

    recruitment = models.ForeignKey(
        Recruitment, on_delete=models.CASCADE, related_name="invitations"
    )
    label = models.CharField(max_length=200, blank=True)
    address = models.CharField(max_length=254, blank=True)
    token = models.CharField(max_length=40, unique=True)
    participant = models.ForeignKey(
        Participant, null=True, on_delete=models.SET_NULL, related_name="invitations"
    )
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["pk"]
        constraints = [
            models.UniqueConstraint(
                fields=["recruitment", "label", "address"],
                condition=~Q(label="", address=""),
                name="one_invitation_per_person",
            )
        ]

    def __str__(self) -> str:
        return f"invitation {self.pk}"
