"""How many people of which kind a study wants: tables of cells, and the places that people hold."""

from django.core.validators import MinValueValidator
from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from surveys.models.people import Participant
from surveys.models.study import Study


class QuotaTable(models.Model):
    """Cells that share out a study's places, such as country × gender × age band.

    A person needs a place in each of a study's tables.
    """

    class Others(models.TextChoices):
        ADMIT = "admit", _("take part without a place")
        SCREEN = "screen", _("are thanked and leave")

    study = models.ForeignKey(Study, on_delete=models.CASCADE, related_name="quotas")
    name = models.CharField(max_length=100)
    fields = models.JSONField()
    """What the cells are made of, in the order of the table's columns: `surveys.quota_fields`."""
    others = models.CharField(
        _("people who fit no cell"), max_length=10, choices=Others.choices, default=Others.ADMIT
    )
    timeout_hours = models.PositiveSmallIntegerField(
        _("hours until a place is given away"),
        default=24,
        validators=[MinValueValidator(1)],
        help_text=_("After so long without a sign of life; who comes back takes a place again."),
    )
    payment = models.CharField(
        _("payment of those who find no place"),
        max_length=100,
        blank=True,
        help_text=_("As the page should say it, for example £0.15. Empty: they are not paid."),
    )
    completion_code = models.CharField(
        _("completion code of those who find no place"),
        max_length=20,
        blank=True,
        help_text=_("Takes the place of {code} in the study's completion link."),
    )
    version = models.PositiveIntegerField(default=1)
    """Counts changes, so that two researchers at once don't undo each other's."""
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["study", "pk"]
        constraints = [
            models.UniqueConstraint(fields=["study", "name"], name="one_quota_table_per_name")
        ]

    def __str__(self) -> str:
        return self.name


class QuotaCell(models.Model):
    """One kind of people, and how many of them are wanted."""

    table = models.ForeignKey(QuotaTable, on_delete=models.CASCADE, related_name="cells")
    position = models.PositiveSmallIntegerField()
    values = models.JSONField()
    """Field -> what fits, one of a list; an empty list takes all."""
    key = models.CharField(max_length=64)
    """Fingerprint of `values`: a table that is uploaded again finds its cells by it."""
    target = models.PositiveIntegerField()

    class Meta:
        ordering = ["table", "position"]
        constraints = [
            models.UniqueConstraint(fields=["table", "key"], name="one_cell_per_kind_of_people")
        ]

    def __str__(self) -> str:
        return " × ".join(" | ".join(texts) or "*" for texts in self.values.values())


class QuotaClaimQuerySet(models.QuerySet["QuotaClaim"]):
    def held(self) -> "QuotaClaimQuerySet":
        return self.filter(state__in=HELD)


class QuotaClaim(models.Model):
    """A person's place in a table, from the moment it was taken to whatever became of it."""

    class State(models.TextChoices):
        CLAIMED = "claimed", _("in progress")
        CONFIRMED = "confirmed", _("filled")
        RELEASED = "released", _("released")

    class Why(models.TextChoices):
        """Of what was released; the first two never held a place."""

        FULL = "full", _("no place was left")
        OUTSIDE = "outside", _("fits no cell")
        ELSEWHERE = "elsewhere", _("no place in another table")
        CHECK = "check", _("comprehension check not passed")
        TIMEOUT = "timeout", _("stayed away")
        STOPPED = "stopped", _("stopped")
        RETURNED = "returned", _("returned the submission")
        REJECTED = "rejected", _("rejected")

    class People(models.TextChoices):
        """Each kind has all the places for itself."""

        LIVE = "live", _("participants")
        PILOT = "pilot", _("pilot")
        SIMULATED = "simulated", _("simulated")

    participant = models.ForeignKey(
        Participant, on_delete=models.CASCADE, related_name="quota_claims"
    )
    table = models.ForeignKey(QuotaTable, on_delete=models.CASCADE, related_name="claims")
    cell = models.ForeignKey(
        QuotaCell, null=True, blank=True, on_delete=models.RESTRICT, related_name="claims"
    )
    """Empty for people who fit none and take part all the same."""
    people = models.CharField(max_length=10, choices=People.choices)
    state = models.CharField(max_length=10, choices=State.choices)
    why = models.CharField(max_length=10, choices=Why.choices, blank=True)
    claimed_at = models.DateTimeField(null=True, blank=True)
    confirmed_at = models.DateTimeField(null=True, blank=True)
    released_at = models.DateTimeField(null=True, blank=True)

    objects = QuotaClaimQuerySet.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["participant", "table"], name="one_place_per_person_and_table"
            ),
            models.CheckConstraint(
                condition=(Q(state="released") & ~Q(why="")) | (~Q(state="released") & Q(why="")),
                name="released_for_a_reason",
            ),
        ]
        indexes = [
            models.Index(fields=["table", "people", "cell", "state"], name="places_of_a_cell"),
            models.Index(
                fields=["claimed_at"], condition=Q(state="claimed"), name="places_in_progress"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.participant} in {self.table}: {self.state}"

    @property
    def is_held(self) -> bool:
        return self.state in HELD


HELD = (QuotaClaim.State.CLAIMED, QuotaClaim.State.CONFIRMED)
"""States that take a place away from others."""
