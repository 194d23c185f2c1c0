"""What people typed about themselves, and the categories that researchers give it."""

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from collection.models.endpoints import ModelEndpoint
from surveys.models import Response, Study


class CodingPlan(models.Model):
    """How a study codes what people typed about themselves; a study without one asks no model."""

    class Show(models.TextChoices):
        NEVER = "never", _("to nobody: it is kept for comparison")
        SETTLING = "settling", _("when a disagreement is settled")
        JUDGING = "judging", _("to both researchers as they judge, as PRISM did")

    study = models.OneToOneField(Study, on_delete=models.CASCADE, related_name="coding_plan")
    endpoint = models.ForeignKey(
        ModelEndpoint, null=True, blank=True, on_delete=models.SET_NULL, related_name="+"
    )
    show = models.CharField(max_length=8, choices=Show.choices, default=Show.NEVER)

    def __str__(self) -> str:
        return f"coding of {self.study}"


class Description(models.Model):
    """One string that people typed at one question, with what their recruiter says of them.

    category: a category of the question, or an option's code; empty until it is settled.
    """

    class Way(models.TextChoices):
        AGREED = "agreed", _("both said so")
        TOGETHER = "together", _("settled together")
        THIRD = "third", _("settled by a third")

    study = models.ForeignKey(Study, on_delete=models.CASCADE, related_name="descriptions")
    question = models.CharField(max_length=64)
    mark = models.CharField(max_length=64)
    """sha256 of the two texts; the purge makes it a number."""
    text = models.TextField()
    """As it is released: in small letters, without punctuation."""
    recruiter_said = models.CharField(max_length=200, blank=True)
    round = models.PositiveSmallIntegerField(default=1)
    """Opened again, it is judged anew; earlier judgements stay."""
    category = models.CharField(max_length=100, blank=True)
    way = models.CharField(max_length=8, choices=Way.choices, blank=True)
    settled_by = models.CharField(max_length=150, blank=True)
    settled_at = models.DateTimeField(null=True, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["pk"]
        constraints = [
            models.UniqueConstraint(
                fields=["study", "question", "mark"], name="one_description_per_string"
            ),
            models.CheckConstraint(
                condition=Q(category="", settled_at__isnull=True)
                | (~Q(category="") & Q(settled_at__isnull=False)),
                name="description_settled_with_category",
            ),
        ]

    def __str__(self) -> str:
        return f"description {self.pk} of {self.question}"


class Typed(models.Model):
    """Who typed a description. It goes with the answer."""

    response = models.OneToOneField(Response, on_delete=models.CASCADE, related_name="typed")
    description = models.ForeignKey(Description, on_delete=models.CASCADE, related_name="typed")

    class Meta:
        verbose_name_plural = "typed"

    def __str__(self) -> str:
        return f"{self.response} is {self.description}"


class Judgement(models.Model):
    """What one of two researchers says a description is, without knowing what the other says."""

    description = models.ForeignKey(
        Description, on_delete=models.CASCADE, related_name="judgements"
    )
    round = models.PositiveSmallIntegerField()
    researcher = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+"
    )
    researcher_name = models.CharField(max_length=150)
    """Stays when the account is gone."""
    category = models.CharField(max_length=100)
    suggested = models.CharField(max_length=100, blank=True)
    """What the model's suggestion was, if the researcher saw it."""
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["pk"]
        constraints = [
            models.UniqueConstraint(
                fields=["description", "round", "researcher_name"],
                name="one_judgement_per_researcher",
            )
        ]

    def __str__(self) -> str:
        return f"{self.category} for {self.description}, says {self.researcher_name}"


class Suggestion(models.Model):
    """What a model says a description is. It decides nothing."""

    description = models.OneToOneField(
        Description, on_delete=models.CASCADE, related_name="suggestion"
    )
    model = models.CharField(max_length=200)
    """Its long name: endpoints may go."""
    category = models.CharField(max_length=100, blank=True)
    """Empty while it is asked, and where it named none of the categories."""
    outcome = models.CharField(max_length=10, blank=True)
    """Of the call; empty while it runs."""
    tries = models.PositiveSmallIntegerField(default=0)
    asked_at = models.DateTimeField()
    cost_usd = models.DecimalField(max_digits=12, decimal_places=8, null=True, blank=True)

    def __str__(self) -> str:
        return f"{self.category or 'nothing'} for {self.description}, suggests {self.model}"
