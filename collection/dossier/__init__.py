"""What goes with the data of a release: what they are, who may do what with them, how to cite them.

Written from the files that are already in the folder, from the study, and from what its researchers
wrote. Nothing depends on when it is written, so that equal data give equal bytes.
"""

import json
from pathlib import Path
from typing import Any

from collection import protocol_file
from collection.dossier import card, changelog, citation, croissant, datapackage, datasheet, terms
from collection.dossier.facts import Facts, gather
from collection.export.plan import Plan
from collection.models import Release, Tombstone
from surveys.models import ConsentText

__all__ = ["Facts", "write"]


def write(release: Release, plan: Plan, folder: Path, rows: dict[str, int]) -> dict[str, Any]:
    """Everything but the checksums; what the release keeps of its counts.

    rows: file -> number of rows.
    """
    facts = gather(release, plan, folder, rows)
    before = changelog.before(release)
    facts.changes = changelog.entry(release, facts, before)
    tombstones = tombstones_of(release)
    texts = {
        "DATASHEET.md": datasheet.text(facts),
        "TERMS.md": terms.text(facts),
        "LICENSE.md": terms.licences(facts),
        "CITATION.cff": citation.text(facts),
        "CHANGELOG.md": changelog.text(release, facts),
        "study.yaml": protocol_file.written(release.study),
        "consent.json": as_json(consents(plan)),
        "tombstones.json": as_json(tombstones),
    }
    for name, text in texts.items():
        (folder / name).write_text(text, encoding="utf-8", newline="\n")
    # These two list the files that there are by now.
    (folder / "datapackage.json").write_text(as_json(datapackage.of(facts)), encoding="utf-8")
    (folder / "README.md").write_text(card.text(facts), encoding="utf-8", newline="\n")
    (folder / "croissant.json").write_text(as_json(croissant.of(facts)), encoding="utf-8")
    return facts.kept()


def as_json(content: Any) -> str:
    return json.dumps(content, ensure_ascii=False, indent=2) + "\n"


def consents(plan: Plan) -> list[dict[str, Any]]:
    """The texts that the people of the release agreed to, word for word."""
    agreed = ConsentText.objects.filter(consent__participant__in=plan.people()).distinct()
    return [
        {"version": row.version, "sha256": row.sha256, "document": row.document}
        for row in agreed.order_by("pk")
    ]


def tombstones_of(release: Release) -> list[dict[str, Any]]:
    """Of this edition and of earlier ones; a public release names only public ones."""
    rows = Tombstone.objects.filter(
        release__study=release.study_id, release__edition__lte=release.edition
    )
    if release.is_public:
        rows = rows.filter(release__is_public=True)
    return [
        {
            "edition": row.release.edition,
            "user_id": row.user_id,
            "conversation_ids": row.conversation_ids,
            "withdrawn_on": row.at.isoformat(),
        }
        for row in rows.select_related("release").order_by("release__edition", "pk")
    ]
