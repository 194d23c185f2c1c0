"""What stands in a page's fields before it is sent, so that leaving loses nothing.

A draft is never an answer: nothing reads it but the page it belongs to.
"""

from django.db import transaction
from django.http import QueryDict

from surveys.enrolment import storable
from surveys.models import Draft, Participant

FIELD_LIMIT = 200
LENGTH_LIMIT = 20_000
SKIPPED = ("csrfmiddlewaretoken", "page")


def save(participant: Participant, page: str, data: QueryDict) -> None:
    """Keep the fields of a page: name -> list of values. The latest save wins."""
    fields = {
        name: [storable(value[:LENGTH_LIMIT]) for value in data.getlist(name)]
        for name in list(data)[:FIELD_LIMIT]
        if name not in SKIPPED and "\x00" not in name
    }
    with transaction.atomic():
        Draft.objects.update_or_create(
            participant=participant, page=storable(page[:100]), defaults={"fields": fields}
        )


def load(participant: Participant, page: str) -> QueryDict | None:
    """The fields as a form would send them, or None."""
    draft = participant.drafts.filter(page=page).first()
    if draft is None:
        return None
    data = QueryDict(mutable=True)
    for name, values in draft.fields.items():
        data.setlist(name, values)
    return data


def drop(participant: Participant, page: str) -> None:
    participant.drafts.filter(page=page).delete()
