"""The census tables that researchers supply, one for each representative sample."""

from django.db import models
from django.utils.translation import gettext_lazy as _

from surveys.models import Study


class CensusTable(models.Model):
    """How the adults of a country are spread over age, ethnicity and gender."""

    class Sample(models.TextChoices):
        US = "us", _("United States (included_in_US_REP)")
        UK = "uk", _("United Kingdom (included_in_UK_REP)")

    class Hispanics(models.TextChoices):
        NONE = "", _("The table has no such group")
        WITHIN = "within", _("Yes: the other groups count them as well")
        APART = "apart", _("No: they are in no other group of the table")

    study = models.ForeignKey(Study, on_delete=models.CASCADE, related_name="census_tables")
    sample = models.CharField(max_length=2, choices=Sample.choices)
    cells = models.JSONField()
    """[age, ethnicity, gender, number or share] of each; ages and ethnicities are those of
    `collection.export.subsets`, and Hispanic."""
    hispanics = models.CharField(max_length=6, choices=Hispanics.choices, blank=True)
    """Whether they are in the other ethnicities too: added to those they would count twice."""
    size = models.PositiveIntegerField(default=300)
    """People that the sample aims at."""
    source = models.CharField(max_length=300)
    area = models.CharField(max_length=200)
    """What the figures cover: England and Wales are not the UK."""
    adults = models.PositiveBigIntegerField(null=True)
    """That the table counts; empty if it has shares."""
    adults_in_country = models.PositiveBigIntegerField(null=True)
    uploaded_by = models.CharField(max_length=150)
    uploaded_at = models.DateTimeField(auto_now=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["study", "sample"], name="one_census_table_per_sample")
        ]

    def __str__(self) -> str:
        return f"census table of {self.study}: {self.sample}"
