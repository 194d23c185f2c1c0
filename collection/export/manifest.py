"""manifest.json: what a release holds, how it was collected, and what was left out and why.

Nothing in it depends on when the release was written, so that equal data give equal bytes.
"""

import tomllib
from collections import Counter
from collections.abc import Mapping
from typing import Any

from django.conf import settings
from django.db.models import Count, QuerySet

from collection import coding
from collection.export.plan import Plan
from collection.models import Conversation, ImportedRelease, ModelCall, TextReview, Typed, Utterance
from surveys.models import Consent

NAME = "manifest.json"


def build(plan: Plan, rows: dict[str, int], simulated_rows: dict[str, int]) -> dict[str, Any]:
    """rows, simulated_rows: file name -> number of rows."""
    study, selection = plan.study, plan.selection
    if plan.release is not None:
        return of_import(plan, plan.release, rows)
    simulated = sum(user.is_simulated for user in selection.users)
    return {
        "study": study.slug,
        "title": study.title,
        "is_demo": study.is_demo,
        "software": {"name": "Refract", "version": software_version()},
        "key_order": plan.order,
        "rows": rows,
        "simulated": {"people": simulated, "rows": simulated_rows},
        "not_released": {
            "people": sorted_counts(selection.people_left_out),
            "conversations": sorted_counts(selection.conversations_left_out),
            "questions": questions_left_out(plan),
        },
        "self_descriptions": self_descriptions(plan),
        "personal_information": personal_information(plan),
        "calls": calls(plan),
        "replacements": replacements(plan),
        "anchors": anchors(plan),
        "protocol": study.protocol.model_dump(mode="json"),
        **earlier_protocols(plan),
        "instruments": instruments(plan),
        "consent_texts": consent_texts(plan),
    }


FROM_SOURCE = (
    *("is_demo", "simulated", "not_released", "calls", "replacements", "anchors"),
    *("earlier_protocols", "consent_texts"),
)
"""What an import can only repeat, if its own manifest had it."""


def of_import(plan: Plan, release: ImportedRelease, rows: dict[str, int]) -> dict[str, Any]:
    study, source = plan.study, release.manifest
    return {
        "study": study.slug,
        "title": study.title,
        "software": {"name": "Refract", "version": software_version()},
        "key_order": plan.order,
        "rows": rows,
        **{key: source[key] for key in FROM_SOURCE if key in source},
        "protocol": study.protocol.model_dump(mode="json"),
        "instruments": instruments(plan),
        "imported_from": {
            "source": release.source,
            "study": source.get("study"),
            "software": source.get("software"),
            "sha256": release.sha256,
            "files": {name: release.files[name]["sha256"] for name in release.files},
        },
    }


def earlier_protocols(plan: Plan) -> dict[str, Any]:
    """Those that people met before the study's protocol was changed, if it was."""
    found = [protocol.model_dump(mode="json") for protocol in plan.book.earlier]
    return {"earlier_protocols": found} if found else {}


def software_version() -> str:
    project = tomllib.loads((settings.BASE_DIR / "pyproject.toml").read_text(encoding="utf-8"))
    version: str = project["project"]["version"]
    return version


def sorted_counts(counts: Counter[str]) -> dict[str, int]:
    return dict(sorted(counts.items()))


def questions_left_out(plan: Plan) -> list[str]:
    """Questions whose answers the instrument keeps out of releases."""
    files = [version.file for version in plan.book.versions]
    return sorted({q.code for file in files for q in file.questions() if q.release.form == "none"})


def self_descriptions(plan: Plan) -> dict[str, dict[str, Any]]:
    """Question -> how far what people typed about themselves is coded. What is not is null."""
    people = plan.people().order_by()
    typed = Typed.objects.filter(response__participant__in=people.values("pk"))
    found: dict[str, dict[str, Any]] = {}
    for code in coding.questions(plan.study):
        of = typed.filter(description__question=code)
        judged = coding.agreements(plan.study, code)
        found[code] = {
            "people": of.count(),
            "coded": of.exclude(description__category="").count(),
            "strings": of.order_by().values("description").distinct().count(),
            "agreement": [
                {
                    "strings": each.number,
                    "share": round(each.share, 4),
                    "kappa": None if each.kappa is None else round(each.kappa, 4),
                }
                for each in judged
            ],
        }
    return found


def personal_information(plan: Plan) -> dict[str, int]:
    """Texts of people in the survey file that detectors flagged or readers marked, how many of
    them were reviewed, and how many have [REDACTED] in them."""
    people = plan.people().order_by()
    rows = TextReview.objects.filter(participant__in=people.values("pk"))
    return {
        "flagged": rows.filter(is_flagged=True).count(),
        "reviewed": rows.filter(is_personal__isnull=False).count(),
        "redacted": rows.filter(is_personal=True).count(),
    }


def calls(plan: Plan) -> dict[str, dict[str, dict[str, int]]]:
    """Model -> type of conversation -> outcome -> number of calls, of everybody in the survey file.

    Conversations that are not released count too: what failed tells of a model as well.
    """
    found: dict[str, dict[str, dict[str, int]]] = {}
    for (model, kind, outcome), number in sorted(counted_calls(plan).items()):
        found.setdefault(model, {}).setdefault(kind, {})[outcome] = number
    return found


COUNTED_BY = (
    *("endpoint__long_name", "attempt__interaction__conversation__conversation_type"),
    "outcome",
)


def counted_calls(plan: Plan) -> Mapping[tuple[str, str, str], int]:
    rows = asked(plan).exclude(outcome=ModelCall.Outcome.PENDING)
    if plan.selection.keeps_ids:
        known = {pk for user in plan.selection.users for pk in user.calls}
        return Counter(
            (model, kind, outcome)
            for pk, model, kind, outcome in rows.values_list("pk", *COUNTED_BY).iterator()
            if pk in known
        )
    counted = rows.values_list(*COUNTED_BY).annotate(Count("pk"))
    return {(model, kind, outcome): number for model, kind, outcome, number in counted}


def asked(plan: Plan) -> QuerySet[ModelCall]:
    return ModelCall.objects.filter(
        attempt__interaction__conversation__participant__in=plan.people()
    ).order_by()


def replacements(plan: Plan) -> dict[str, int]:
    """Models that were asked in the place of others, and replies of theirs that are released."""
    used = {released.pk for _user, released in plan.selection.conversations()}
    tried = asked(plan).filter(is_replacement=True).values_list("attempt", "slot").distinct()
    shown = Utterance.objects.filter(
        interaction__conversation__participant__study=plan.study, call__is_replacement=True
    ).values_list("interaction__conversation", flat=True)
    return {"asked": tried.count(), "released": sum(pk in used for pk in shown)}


def anchors(plan: Plan) -> dict[str, int]:
    """Code of each opening prompt that the study gave -> conversations released with it."""
    used = {released.pk for _user, released in plan.selection.conversations()}
    rows = Conversation.objects.filter(participant__study=plan.study).exclude(anchor="")
    counts = Counter({a.code: 0 for protocol in plan.book.protocols for a in protocol.anchors})
    counts.update(code for pk, code in rows.values_list("pk", "anchor") if pk in used)
    return sorted_counts(counts)


def instruments(plan: Plan) -> list[dict[str, str]]:
    """The versions answered, newest first: whose documents are in instrument.json."""
    return [
        {"slug": version.file.instrument, "sha256": version.sha256}
        for version in plan.book.versions
    ]


def consent_texts(plan: Plan) -> list[dict[str, Any]]:
    """The versions that the people of the survey file agreed to, and how many did."""
    rows = Consent.objects.filter(participant__in=plan.people()).values_list("version", "sha256")
    return [
        {"version": version, "sha256": sha256, "people": people}
        for (version, sha256), people in sorted(Counter(rows).items())
    ]
