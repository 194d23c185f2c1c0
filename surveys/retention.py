"""What is kept for how long, and the day on which what identifies people goes."""

from collections.abc import Iterator
from datetime import date
from typing import Any

from django.db import transaction
from django.dispatch import Signal
from django.utils import timezone
from django.utils.formats import date_format
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from surveys import audit
from surveys.models import Identity, Study

purging = Signal()
"""The ids of `study` are due. A receiver erases those that it keeps, and returns
(kind of row, how many)."""


def purge_due(today: date | None = None) -> int:
    """Erase the ids of every study whose day has come; how many rows that were.

    Several processes may do it at once, and what arrives after the day goes at the next time.
    """
    day = today or timezone.now().date()
    due = Study.objects.filter(purge_identities_on__lte=day)
    return sum(map(purge, due))


@transaction.atomic
def purge(study: Study) -> int:
    counts: dict[str, int] = {}
    gone, by_model = Identity.objects.filter(study=study).delete()
    counts["identity"] = by_model.get(Identity._meta.label, gone)
    answers: list[tuple[Any, Any]] = purging.send(Study, study=study)
    for _receiver, (kind, number) in answers:
        if number:
            counts[kind] = counts.get(kind, 0) + number
    total = sum(counts.values())
    if total:
        audit.write(audit.SERVER, "purged", study, study, counts=counts)
    return total


def in_words(study: Study, today: date | None = None) -> list[str]:
    """What the study's page says, one sentence each."""
    return list(sentences(study, today or timezone.now().date()))


def sentences(study: Study, today: date) -> Iterator[str]:
    kept = Identity.objects.filter(study=study).count()
    yield (
        ngettext(
            "%d participant’s ids from recruiters and links are kept.",
            "%d participants’ ids from recruiters and links are kept.",
            kept,
        )
        % kept
    )
    day = study.purge_identities_on
    if day is None:
        yield _("No day is set on which they go: they stay until somebody sets one.")
    elif day > today:
        left = (day - today).days
        yield ngettext(
            "They go on %(day)s, in %(days)d day.", "They go on %(day)s, in %(days)d days.", left
        ) % {"day": date_format(day, "j F Y"), "days": left}
    else:
        yield _("They were due to go on %s, and whatever arrives since goes within the hour.") % (
            date_format(day, "j F Y")
        )
        if study.is_open:
            yield _(
                "The study still takes people: who comes back by a recruiter’s link after that "
                "is not known again. Choose a later day or close the study."
            )
    yield (
        ngettext(
            "People can withdraw until %d day after they finish; then what they wrote is erased.",
            "People can withdraw until %d days after they finish; then what they wrote is erased.",
            study.withdrawal_days,
        )
        % study.withdrawal_days
    )
    yield (
        ngettext(
            "Half-typed answers go after %d day.",
            "Half-typed answers go after %d days.",
            study.withdrawal_days,
        )
        % study.withdrawal_days
    )
    yield _("Answers and conversations stay, without anything that says whose they are.")
