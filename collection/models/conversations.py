"""What participants did with the models: conversations, replies, scores and feedback.

Field names are the codebook's wherever it has one. What failed is kept too: a ModelCall row
names how every attempt to reach a model ended.
"""

from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from collection.models.endpoints import ModelEndpoint
from surveys.draws import new_seed
from surveys.models import Participant


class Conversation(models.Model):
    """One conversation of a participant, from the type chosen to the feedback sent."""

    class State(models.TextChoices):
        OPEN = "open", _("talking")
        FINISHED = "finished", _("awaiting feedback")
        COMPLETE = "complete", _("complete")
        TECHNICAL = "technical", _("closed: the models did not answer")

    participant = models.ForeignKey(
        Participant, on_delete=models.CASCADE, related_name="conversations"
    )
    number = models.PositiveSmallIntegerField(help_text=_("1 for the participant's first."))
    conversation_type = models.CharField(max_length=50)
    state = models.CharField(max_length=10, choices=State.choices, default=State.OPEN)
    seed = models.BigIntegerField(default=new_seed, editable=False)
    endpoint = models.ForeignKey(
        ModelEndpoint, null=True, blank=True, on_delete=models.PROTECT, verbose_name=_("locked in")
    )
    arm = models.CharField(max_length=64, blank=True)
    """The system prompt of the protocol that was chosen with the model, or its set of models."""
    anchor = models.CharField(max_length=64, blank=True)
    """Code of the opening prompt that the study gave."""
    started_at = models.DateTimeField(help_text=_("The type was chosen."))
    finished_at = models.DateTimeField(null=True, blank=True, help_text=_("Finish was pressed."))
    closed_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["participant", "number"]
        constraints = [
            models.UniqueConstraint(
                fields=["participant", "number"], name="one_conversation_per_number"
            ),
            models.UniqueConstraint(
                fields=["participant"],
                condition=Q(state__in=["open", "finished"]),
                name="one_conversation_under_way",
            ),
        ]

    def __str__(self) -> str:
        return f"conversation {self.number} of {self.participant}"

    @property
    def is_under_way(self) -> bool:
        return self.state in (self.State.OPEN, self.State.FINISHED)


class Interaction(models.Model):
    """One exchange: a prompt and the replies to it. `turn` counts from 0."""

    class State(models.TextChoices):
        PENDING = "pending", _("models are asked")
        FAILED = "failed", _("too few replies")
        SETTLED = "settled", _("replies await rating")
        RATED = "rated", _("rated")

    conversation = models.ForeignKey(
        Conversation, on_delete=models.CASCADE, related_name="interactions"
    )
    turn = models.PositiveSmallIntegerField()
    user_prompt = models.TextField()
    state = models.CharField(max_length=10, choices=State.choices, default=State.PENDING)
    created_at = models.DateTimeField(auto_now_add=True)
    rated_at = models.DateTimeField(null=True, blank=True)
    layout = models.JSONField(default=dict, blank=True)
    """How the replies stood when they were rated: {"columns", "width", "height"}, in CSS pixels.
    Empty where no script ran."""

    class Meta:
        ordering = ["conversation", "turn"]
        constraints = [
            models.UniqueConstraint(
                fields=["conversation", "turn"], name="one_interaction_per_turn"
            )
        ]

    def __str__(self) -> str:
        return f"turn {self.turn} of {self.conversation}"

    @property
    def is_opening(self) -> bool:
        return self.turn == 0


class Attempt(models.Model):
    """One try at getting replies to a prompt: which models were eligible, which were drawn.

    The lease says until when the process that makes the calls owns them; after that, another
    process may take over and call the slots that have no outcome. Who works renews it.
    """

    interaction = models.ForeignKey(Interaction, on_delete=models.CASCADE, related_name="attempts")
    number = models.PositiveSmallIntegerField()
    eligible = models.JSONField(help_text=_("Ids of the endpoints that could be drawn."))
    drawn = models.JSONField(help_text=_("Ids of the endpoints drawn, in draw order."))
    strategy = models.CharField(max_length=20, default="uniform")
    """Of the protocol's assignment; `locked` in a continuing turn."""
    inclusion = models.JSONField(default=dict)
    """Id of each endpoint drawn -> probability that it is, given the eligible ones."""
    pairs = models.JSONField(default=list)
    """[id, id, probability that both are drawn], for each pair drawn."""
    request_id = models.CharField(max_length=64, blank=True)
    """Of the page that asked, to find it in the logs."""
    started_at = models.DateTimeField()
    deadline = models.DateTimeField()
    lease_until = models.DateTimeField(null=True, blank=True)
    settled_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["interaction", "number"]
        constraints = [
            models.UniqueConstraint(fields=["interaction", "number"], name="one_attempt_per_number")
        ]
        indexes = [
            models.Index(
                fields=["lease_until"],
                condition=Q(settled_at__isnull=True),
                name="attempts_under_way",
            )
        ]

    def __str__(self) -> str:
        return f"attempt {self.number} at {self.interaction}"


class ModelCall(models.Model):
    """One call of a model, whatever became of it."""

    class Outcome(models.TextChoices):
        PENDING = "pending", _("pending")
        OK = "ok", _("ok")
        TRUNCATED = "truncated", _("cut by max_tokens")
        FILTERED = "filtered", _("filtered by the provider")
        TIMEOUT = "timeout", _("over the time limit")
        ERROR = "error", _("error")
        EMPTY = "empty", _("empty reply")
        CANCELLED = "cancelled", _("cancelled")

    attempt = models.ForeignKey(Attempt, on_delete=models.CASCADE, related_name="calls")
    slot = models.PositiveSmallIntegerField(help_text=_("Place in draw order."))
    try_number = models.PositiveSmallIntegerField(default=0)
    endpoint = models.ForeignKey(ModelEndpoint, on_delete=models.PROTECT, related_name="calls")
    arm = models.CharField(max_length=64, blank=True)
    """Which of the protocol's system prompts was sent."""
    is_replacement = models.BooleanField(default=False)
    """Stands in for a model drawn that failed; drawn from those that were not."""
    messages = models.JSONField(help_text=_("Exactly as sent."))
    parameters = models.JSONField(help_text=_("Exactly as sent."))
    outcome = models.CharField(max_length=10, choices=Outcome.choices, default=Outcome.PENDING)
    text = models.TextField(blank=True)
    parts = models.JSONField(default=list, blank=True)
    """The replies in `text`, where one call was asked for several."""
    was_repaired = models.BooleanField(default=False)
    """Characters that cannot be stored (NUL, lone surrogates) became U+FFFD."""
    error_class = models.CharField(max_length=100, blank=True)
    error_message = models.TextField(blank=True)
    finish_reason = models.CharField(max_length=50, blank=True)
    latency_ms = models.PositiveIntegerField(null=True, blank=True)
    queued_ms = models.PositiveIntegerField(default=0)
    """Of the latency: waiting for a place among the provider's calls."""
    prompt_tokens = models.PositiveIntegerField(null=True, blank=True)
    completion_tokens = models.PositiveIntegerField(null=True, blank=True)
    cost_usd = models.DecimalField(max_digits=12, decimal_places=8, null=True, blank=True)
    started_at = models.DateTimeField(null=True, blank=True)
    ended_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["attempt", "slot", "try_number"]
        constraints = [
            models.UniqueConstraint(
                fields=["attempt", "slot", "try_number"], name="one_call_per_slot_and_try"
            )
        ]
        indexes = [
            models.Index(fields=["endpoint", "ended_at"]),
            # The live page's last errors, few among very many.
            models.Index(
                fields=["-id"],
                condition=Q(outcome__in=("timeout", "error", "empty")),
                name="calls_that_failed",
            ),
        ]

    def __str__(self) -> str:
        return f"slot {self.slot} of {self.attempt}: {self.outcome}"

    @property
    def is_shown(self) -> bool:
        return can_be_shown(self.outcome, self.text)

    @property
    def replies(self) -> list[str]:
        return self.parts or [self.text]


def can_be_shown(outcome: str, text: str) -> bool:
    return outcome in SHOWN or (outcome == ModelCall.Outcome.FILTERED and bool(text))


SHOWN = (ModelCall.Outcome.OK, ModelCall.Outcome.TRUNCATED)
"""Outcomes that always give a reply; `filtered` does if it has text."""


class SliderRecord(models.Model):
    """What is recorded of one measuring line."""

    was_touched = models.BooleanField(default=False)
    first_value = models.PositiveSmallIntegerField(null=True, blank=True)
    first_by = models.CharField(max_length=10, blank=True)
    """pointer, keyboard, or empty where no script ran."""
    moves = models.PositiveIntegerField(default=0)
    ms_to_first_touch = models.PositiveIntegerField(null=True, blank=True)

    class Meta:
        abstract = True


class Utterance(SliderRecord):
    """A reply that was shown: one row of utterances.jsonl."""

    interaction = models.ForeignKey(
        Interaction, on_delete=models.CASCADE, related_name="utterances"
    )
    call = models.ForeignKey(ModelCall, on_delete=models.CASCADE, related_name="utterances")
    endpoint = models.ForeignKey(ModelEndpoint, on_delete=models.PROTECT, related_name="utterances")
    within_turn_id = models.PositiveSmallIntegerField(help_text=_("Draw order, not position."))
    position = models.PositiveSmallIntegerField(help_text=_("Place on the screen, 0 is Reply A."))
    model_response = models.TextField()
    self_named = models.JSONField(default=list, blank=True)
    """[start, end] of each place where the reply says which model it is."""
    shown_text = models.TextField(blank=True)
    """What the participant read, where that is not `model_response`: the same, masked."""
    score = models.PositiveSmallIntegerField(null=True, blank=True)
    if_chosen = models.BooleanField(default=False)
    was_tied = models.BooleanField(default=False, help_text=_("Shared the highest score."))
    hidden_at = models.DateTimeField(
        null=True, blank=True, help_text=_("Reported, and hidden at the participant's wish.")
    )

    class Meta:
        ordering = ["interaction", "within_turn_id"]
        constraints = [
            models.UniqueConstraint(
                fields=["interaction", "within_turn_id"], name="one_utterance_per_within_turn_id"
            ),
            models.UniqueConstraint(
                fields=["interaction", "position"], name="one_utterance_per_position"
            ),
            models.UniqueConstraint(
                fields=["interaction"], condition=Q(if_chosen=True), name="one_chosen_per_turn"
            ),
            models.CheckConstraint(
                condition=Q(score__isnull=True) | Q(score__range=(1, 100)), name="score_1_to_100"
            ),
        ]

    def __str__(self) -> str:
        return f"reply {self.within_turn_id} in {self.interaction}"

    @property
    def text_shown(self) -> str:
        return self.shown_text or self.model_response

    @property
    def letter(self) -> str:
        return chr(ord("A") + self.position)


class AttributeRating(SliderRecord):
    """How the opening's chosen reply did on one attribute, or why it was chosen."""

    class Kind(models.TextChoices):
        PERFORMANCE = "performance", _("performance")
        CHOICE = "choice", _("choice")

    conversation = models.ForeignKey(
        Conversation, on_delete=models.CASCADE, related_name="attributes"
    )
    kind = models.CharField(max_length=11, choices=Kind.choices)
    attribute = models.CharField(max_length=20)
    position = models.PositiveSmallIntegerField()
    value = models.PositiveSmallIntegerField(null=True, blank=True, help_text=_("Empty: N/A."))

    class Meta:
        ordering = ["conversation", "kind", "position"]
        constraints = [
            models.UniqueConstraint(
                fields=["conversation", "kind", "attribute"], name="one_rating_per_attribute"
            ),
            models.CheckConstraint(
                condition=Q(value__isnull=True) | Q(value__range=(1, 100)), name="value_1_to_100"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.kind} {self.attribute} of {self.conversation}"


class Feedback(models.Model):
    """The open feedback on a whole conversation."""

    conversation = models.OneToOneField(Conversation, on_delete=models.CASCADE)
    open_feedback = models.TextField()
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        verbose_name_plural = "feedback"

    def __str__(self) -> str:
        return f"feedback on {self.conversation}"


class ReplyReport(models.Model):
    """A participant reported a reply."""

    utterance = models.OneToOneField(Utterance, on_delete=models.CASCADE, related_name="report")
    reason = models.TextField(blank=True)
    created_at = models.DateTimeField(auto_now_add=True)

    def __str__(self) -> str:
        return f"report of {self.utterance}"
