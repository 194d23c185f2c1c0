"""The models that can be drawn, what they cost, and what is set aside for them."""

from datetime import datetime
from decimal import Decimal
from typing import Any

from django.core.validators import MinValueValidator
from django.db import models
from django.utils.translation import gettext_lazy as _

from collection.llm import ModelSpec
from surveys.models import Participant, Study, fingerprint


class ModelEndpoint(models.Model):
    """One model as it is called: where, with which parameters and which system header.

    `long_name` is the released model_name; the fields of models.jsonl follow it.
    """

    class ProviderType(models.TextChoices):
        # "Commerical" is how PRISM's files spell it, and analysts' code expects it (D26).
        COMMERCIAL = "Commerical", _("Commercial")
        OPEN = "Open Access", _("Open access")

    class ModelType(models.TextChoices):
        CHAT = "Chat", _("Chat")
        INSTRUCT = "Instruct", _("Instruct")

    long_name = models.CharField(max_length=100, unique=True)
    short_name = models.CharField(max_length=100)
    longcode = models.CharField(max_length=10)
    model_family = models.CharField(max_length=50)
    model_provider = models.CharField(max_length=50, help_text=_("As in models.jsonl: OpenAI."))
    provider_code = models.CharField(
        max_length=50, help_text=_("As in utterances.jsonl: openai, huggingface_api.")
    )
    model_provider_type = models.CharField(max_length=20, choices=ProviderType.choices)
    model_type = models.CharField(max_length=10, choices=ModelType.choices)
    link = models.CharField(max_length=300, blank=True)
    header = models.TextField(help_text=_("The system message of every turn."))
    default_params = models.JSONField(default=dict, blank=True)
    parameters = models.JSONField(
        default=dict,
        blank=True,
        help_text=_('Sent with every call: {"temperature": 1.0, "max_tokens": 256}.'),
    )

    litellm_model = models.CharField(max_length=200, help_text=_("For example openai/gpt-4o."))
    api_base = models.URLField(blank=True)
    key_name = models.CharField(
        max_length=50, blank=True, help_text=_("NAME of a key set as REFRACT_KEY_NAME.")
    )
    is_active = models.BooleanField(default=True, help_text=_("May be drawn."))
    weight = models.FloatField(
        default=1.0,
        validators=[MinValueValidator(0.001)],
        help_text=_("Chance of being drawn beside others, where the protocol weighs models."),
    )
    input_price = models.DecimalField(
        max_digits=12,
        decimal_places=6,
        null=True,
        blank=True,
        validators=[MinValueValidator(Decimal(0))],
        help_text=_("US dollars per million tokens sent; empty: as in litellm's table."),
    )
    output_price = models.DecimalField(
        max_digits=12,
        decimal_places=6,
        null=True,
        blank=True,
        validators=[MinValueValidator(Decimal(0))],
        help_text=_("US dollars per million tokens received; empty: as in litellm's table."),
    )
    budget_usd = models.DecimalField(
        _("budget"),
        max_digits=12,
        decimal_places=2,
        null=True,
        blank=True,
        validators=[MinValueValidator(Decimal(0))],
        help_text=_("US dollars in all studies; when they are used up it is no longer drawn."),
    )
    tags = models.JSONField(
        default=list, blank=True, help_text=_("Words to find it by, with commas: prism, retired.")
    )
    note = models.CharField(
        max_length=300, blank=True, help_text=_("For researchers: when it was retired, and so on.")
    )
    resting_until = models.DateTimeField(null=True, blank=True, editable=False)
    """After repeated failures: not drawn until then."""
    rest_reason = models.CharField(max_length=300, blank=True, editable=False)
    is_demo = models.BooleanField(default=False, editable=False)
    studies = models.ManyToManyField(Study, related_name="endpoints", blank=True)

    class Meta:
        ordering = ["long_name"]

    def __str__(self) -> str:
        return self.long_name

    @property
    def spec(self) -> ModelSpec:
        """What a call needs to know; the provider's limit where the query brought it along."""
        return ModelSpec(
            litellm_model=self.litellm_model,
            api_base=self.api_base,
            key_name=self.key_name,
            parameters=self.parameters,
            provider=self.provider_code,
            max_concurrent=getattr(self, "provider_limit", None),
            input_price=self.input_price,
            output_price=self.output_price,
        )

    @property
    def as_met(self) -> dict[str, Any]:
        """What decides what participants meet under this name."""
        return {name: getattr(self, name) for name in MET}

    @property
    def settings_mark(self) -> str:
        """Of all that a call depends on; a test prompt holds as long as it stays."""
        return fingerprint(self.as_met | {"key_name": self.key_name})

    def is_resting(self, now: datetime) -> bool:
        return self.resting_until is not None and self.resting_until > now


MET = ("litellm_model", "api_base", "header", "parameters", "model_type", "weight")
"""Fields of an endpoint that participants of a version keep."""


class ProviderLimit(models.Model):
    """How many calls a provider may have at once from each web process."""

    provider_code = models.CharField(max_length=50, unique=True)
    max_concurrent = models.PositiveSmallIntegerField(
        validators=[MinValueValidator(1)],
        help_text=_("From each web process; further calls wait, within the limit of their turn."),
    )

    class Meta:
        ordering = ["provider_code"]

    def __str__(self) -> str:
        return f"{self.provider_code}: {self.max_concurrent}"


class Reservation(models.Model):
    """What a person's conversations are expected to cost, set aside from the study's budget.

    Closed when no more calls are expected; a person who comes back later is served all the same.
    """

    participant = models.OneToOneField(
        Participant, on_delete=models.CASCADE, related_name="reservation"
    )
    study = models.ForeignKey(Study, on_delete=models.CASCADE, related_name="reservations")
    amount_usd = models.DecimalField(max_digits=12, decimal_places=6)
    spent_usd = models.DecimalField(max_digits=14, decimal_places=8, default=Decimal(0))
    created_at = models.DateTimeField(auto_now_add=True)
    closed_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        indexes = [models.Index(fields=["study", "closed_at"])]

    def __str__(self) -> str:
        return f"{self.amount_usd} USD for {self.participant}"
