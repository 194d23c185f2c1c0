"""What stands in a page's fields before it is sent, so that leaving loses nothing.

A draft is never an answer: nothing reads it but the page it belongs to, and nothing releases it.
It goes when its page is sent and when the person stops, is thanked and leaves, withdraws or
finishes. Of those who just stay away it goes `Study.withdrawal_days` after it was last saved, as
the consent text says.
"""

from datetime import datetime, timedelta

from django.db import transaction
from django.db.models import QuerySet
from django.http import QueryDict

from surveys.enrolment import storable
from surveys.models import Draft, Participant, Study
from surveys.paradata import FIELD as PARADATA
from surveys.prepared import prepared, prepared_delete

FIELD_LIMIT = 1000  # a long set of lines sends three fields for each
LENGTH_LIMIT = 20_000
SKIPPED = ("csrfmiddlewaretoken", "page", PARADATA)
BATCH = 1000
"""Drafts deleted in one go: SQLite writes one thing at a time, and people are answering."""


def save(participant: Participant, page: str, data: QueryDict) -> None:
    """Keep the fields of a page: name -> list of values. The latest save wins.

    A page that only says how it was used leaves its draft as it is.
    """
    fields = {
        name: [storable(value[:LENGTH_LIMIT]) for value in data.getlist(name)]
        for name in list(data)[:FIELD_LIMIT]
        if name not in SKIPPED and "\x00" not in name
    }
    if not fields:
        return
    with transaction.atomic():
        Draft.objects.update_or_create(
            participant=participant, page=storable(page[:100]), defaults={"fields": fields}
        )


@prepared
def _kept(participant: int, page: str) -> QuerySet[Draft]:
    return Draft.objects.filter(participant=participant, page=page).order_by()


def load(participant: Participant, page: str) -> QueryDict | None:
    """The fields as a form would send them, or None."""
    found = _kept(participant.pk, page)
    if not found:
        return None
    data = QueryDict(mutable=True)
    for name, values in found[0].fields.items():
        data.setlist(name, values)
    return data


@prepared_delete
def _dropped(participant: int, page: str) -> QuerySet[Draft]:
    return Draft.objects.filter(participant=participant, page=page)


def drop(participant: Participant, page: str) -> None:
    _dropped(participant.pk, page)


def expire(now: datetime) -> int:
    """Delete what was last saved before the window of its study, or belongs to somebody who
    withdrew; how many drafts that were.

    Several processes may do it at once.
    """
    # An autosave may land in the moment of a withdrawal.
    deleted, _by_model = Draft.objects.filter(participant__withdrawn_at__isnull=False).delete()
    for study, days in Study.objects.values_list("pk", "withdrawal_days"):
        old = Draft.objects.filter(
            participant__study=study, saved_at__lt=now - timedelta(days=days)
        ).order_by()
        while batch := list(old.values_list("pk", flat=True)[:BATCH]):
            # Asked again: one of them may have been saved meanwhile.
            gone, _by_model = old.filter(pk__in=batch).delete()
            deleted += gone
            if not gone:
                break
    return deleted
