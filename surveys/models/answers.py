"""What participants told us, in which order they were asked, and what they left unsent."""

from django.db import models

from surveys.models.people import Participant


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
