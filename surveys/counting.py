"""Numbers that a list shows beside its rows."""

from typing import Any

from django.db.models import Count, IntegerField, OuterRef, QuerySet, Subquery, Value
from django.db.models.functions import Coalesce


def how_many(rows: QuerySet[Any], of: str = "study") -> Coalesce:
    """The number of rows of each that a list has, by their field `of`.

    A subquery: several joins would multiply rows, and one alone is counted for all rows before the
    fifty of a page are chosen.
    """
    counted = rows.filter(**{of: OuterRef("pk")}).order_by().values(of)
    number = counted.annotate(number=Count("pk")).values("number")
    return Coalesce(Subquery(number), Value(0), output_field=IntegerField())
