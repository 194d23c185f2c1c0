"""Between-subject variants: who is in which arm."""

from collections import Counter
from collections.abc import Mapping

from django.db import transaction

from surveys.draws import rng
from surveys.instruments.schema import Variant
from surveys.models import Assignment, Participant, Study


def arms_of(participant: Participant) -> dict[str, str]:
    """Variant code -> arm code, as assigned at consent. Empty without variants."""
    if not participant.file.variants:
        return {}
    return {row.variant: row.arm for row in participant.assignments.all()}


@transaction.atomic
def assign(participant: Participant) -> None:
    """Put a person into one of the smallest arms of each variant. A second time changes nothing.

    The study's row is locked, so that two who come at once do not count the same.
    """
    if not participant.file.variants:
        return
    Study.objects.select_for_update(of=("self",)).get(pk=participant.study_id)
    assigned = set(participant.assignments.values_list("variant", flat=True))
    for variant in participant.file.variants:
        if variant.code not in assigned:
            counts = counted(participant, variant)
            Assignment.objects.create(
                participant=participant,
                variant=variant.code,
                arm=drawn(variant, counts, participant.seed),
                counts=counts,
            )


def counted(participant: Participant, variant: Variant) -> dict[str, int]:
    """Arm -> people of this study and instrument version in it, whatever became of them."""
    rows = Assignment.objects.filter(
        participant__study=participant.study_id,
        participant__instrument=participant.instrument_id,
        variant=variant.code,
    ).values_list("arm", flat=True)
    counts = Counter(rows)
    return {arm.code: counts[arm.code] for arm in variant.arms}


def drawn(variant: Variant, counts: Mapping[str, int], seed: int) -> str:
    """One of the arms with the fewest people."""
    fewest = min(counts.values())
    smallest = [arm.code for arm in variant.arms if counts[arm.code] == fewest]
    return rng(seed, "variant", variant.code).choice(smallest)
