"""The rows of consents.jsonl and quality.jsonl: what is kept of people beside their answers."""

import math
from collections.abc import Iterator, Mapping
from typing import Any

from django.db.models import Prefetch

from collection.export.further_tables import CONSENTS_TABLE, QUALITY_TABLE
from collection.export.loading import people
from collection.export.manifest import questions_left_out
from collection.export.plan import Plan
from collection.export.survey_rows import as_datetime
from collection.models import Conversation, QualityRun

Row = dict[str, Any]

CODES = ("language", "found", "detector")
"""Evidence that is text and yet nobody's words: any other text stays out, whatever a check says."""
WITHHELD = ("age",)
"""Evidence that is somebody's answer."""

CURRENT = QualityRun.objects.filter(is_current=True, value__isnull=False).order_by("check_name")


def consent_rows(plan: Plan) -> Iterator[Row]:
    for user, person in people(plan.selection.users, "consent"):
        values = {
            "user_id": user.id,
            "version": person.consent.version,
            "sha256": person.consent.sha256,
            "given_datetime": as_datetime(person.consent.given_at),
        }
        yield CONSENTS_TABLE.row(values, plan.order)


def quality_rows(plan: Plan) -> Iterator[Row]:
    """What each check last found, where it applies; by person and name of the check."""
    ids = conversation_ids(plan)
    left_out = set(questions_left_out(plan))
    for user, person in people(plan.selection.users, Prefetch("quality_runs", CURRENT)):
        for run in person.quality_runs.all():
            values = {
                "user_id": user.id,
                "check": run.check_name,
                "version": run.version,
                "severity": run.severity or None,
                "value": run.value,
                "evidence": evidence(run.evidence),
                "places": list(places(run.evidence, ids.get(user.pk, {}), left_out)),
            }
            yield QUALITY_TABLE.row(values, plan.order)


def conversation_ids(plan: Plan) -> dict[int, dict[int, str]]:
    """Participant -> number of each released conversation -> its id."""
    rows = Conversation.objects.filter(participant__study=plan.study).values_list("pk", "number")
    numbers = dict(rows.order_by())
    return {
        user.pk: {numbers[released.pk]: released.id for released in user.conversations}
        for user in plan.selection.users
    }


def evidence(found: Mapping[str, Any]) -> list[Row]:
    rows = []
    for name, value in sorted(found.items()):
        if isinstance(value, bool) or name in WITHHELD:
            continue
        if isinstance(value, int | float) and math.isfinite(value):
            rows.append({"name": name, "number": value, "code": None})
        elif isinstance(value, str) and name in CODES:
            rows.append({"name": name, "number": None, "code": value})
    return rows


def places(found: Mapping[str, Any], ids: Mapping[int, str], left_out: set[str]) -> Iterator[Row]:
    """Those that are released. ids: number of a conversation -> its id."""
    for place in found.get("places", []):
        question, conversation = place.get("question"), ids.get(place.get("conversation"))
        if (question and question not in left_out) or conversation:
            yield {
                "question": question,
                "conversation_id": conversation,
                "turn": place.get("turn"),
            }
