"""The registry of models: endpoints from presets and files, and what an edit of one leaves behind.

An edit while a study uses an endpoint makes a version of the endpoint and one of each study.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from django.db import transaction
from django.db.models import Count

from collection.counted import ALL_STUDIES, Counted
from collection.models import IMPORTED_DRAW, EndpointVersion, ModelCall, ModelEndpoint
from surveys import versions
from surveys.models import Study

FIRST = "As it was when its first version was kept."


Calls = tuple[dict[int, int], dict[str, dict[int, int]]]
"""(endpoint -> how often it was drawn for an opening turn, outcome -> endpoint -> calls)"""


def calls_so_far() -> Calls:
    found = CALLS.look(ALL_STUDIES, may_wait=True)
    assert found is not None
    return found.figures


def count_calls(_all: int = ALL_STUDIES) -> Calls:
    calls = ModelCall.objects.exclude(attempt__strategy=IMPORTED_DRAW).order_by()
    opening = calls.filter(attempt__interaction__turn=0, try_number=0)
    draws = dict(opening.values_list("endpoint").annotate(Count("pk")))
    endings: dict[str, dict[int, int]] = {}
    for outcome, endpoint, number in calls.values_list("outcome", "endpoint").annotate(Count("pk")):
        endings.setdefault(outcome, {})[endpoint] = number
    return draws, endings


CALLS = Counted("registry", count_calls)


def tags_in_use() -> list[str]:
    return sorted(
        {tag for tags in ModelEndpoint.objects.values_list("tags", flat=True) for tag in tags}
    )


def studies_met(studies: Iterable[Study]) -> list[Study]:
    """Those whose people may meet their models: all but drafts."""
    return [study for study in studies if study.state != Study.State.DRAFT]


def needs_reason(before: ModelEndpoint, after: Mapping[str, Any], studies: Iterable[Study]) -> bool:
    """Whether an edit changes what people of a study meet. after: field -> new value."""
    old, new = set(before.studies.all()), set(studies)
    if studies_met(old ^ new):
        return True
    changed = any(name in after and after[name] != value for name, value in before.as_met.items())
    switched = "is_active" in after and after["is_active"] != before.is_active
    return bool((changed or switched) and studies_met(old & new))


@transaction.atomic
def before_edit(endpoint_id: int | None) -> list[Study]:
    """Keep how the studies of an endpoint were so far. Returns them."""
    if endpoint_id is None:
        return []
    found = list(Study.objects.filter(endpoints=endpoint_id))
    for study in studies_met(found):
        versions.keep_first(study)
    return found


@transaction.atomic
def after_edit(
    endpoint: ModelEndpoint,
    before: Mapping[str, Any] | None,
    studies: Iterable[Study],
    reason: str,
    author: str,
) -> None:
    """Record what changed, for the endpoint and for each study that uses it or did.

    before: the endpoint's `as_met` before the edit; None for a new one.
    """
    touched = studies_met({*studies, *endpoint.studies.all()})
    if before is not None and touched and before != endpoint.as_met:
        keep_version(endpoint, before, reason, author)
    for study in touched:
        versions.record(study, f"{endpoint}: {reason}", author)


def keep_version(
    endpoint: ModelEndpoint, before: Mapping[str, Any], reason: str, author: str
) -> EndpointVersion:
    row = ModelEndpoint.objects.select_for_update(of=("self",)).get(pk=endpoint.pk)
    last = row.versions.last()
    if last is None:
        last = row.versions.create(number=1, document=before, reason=FIRST, author="")
    return row.versions.create(
        number=last.number + 1, document=row.as_met, reason=reason, author=author
    )
