"""How a survey page was used, noted by its script where the study's protocol allows it.

A side note: it is never an error, and no answer is refused for it. What is not a record as
`static/refract/paradata.js` makes it counts as none. `PageVisit.paradata`, by load of the page:

{load: {"visible_ms", "focus_losses", "viewport_width", "viewport_height", "input", "nth",
        "questions": {code: {"visible_ms", "changes", "pastes", "pasted_share"}}}}

What each of them means is said in the script. A record covers its load so far, so a later one
takes the place of an earlier one. nth: which load it was, from 0; documents keep no order.
"""

import json
from collections.abc import Collection
from typing import Annotated, Any, Literal

from django.db import transaction
from django.http import QueryDict
from pydantic import BaseModel, ConfigDict, Field

from surveys.models import PageVisit, Participant

FIELD = "paradata"
LOADS = 50
"""Per page. Whoever loads it more often than that is not noted any further."""
LENGTH_LIMIT = 50_000
MS_LIMIT = 2_000_000_000
"""23 days."""
COUNT_LIMIT = 1_000_000

Ms = Annotated[int, Field(ge=0, le=MS_LIMIT)]
Count = Annotated[int, Field(ge=0, le=COUNT_LIMIT)]


class Note(BaseModel):
    """What was noted at one question."""

    model_config = ConfigDict(frozen=True, strict=True)

    visible_ms: Ms = 0
    changes: Count = 0
    pastes: Count = 0
    pasted_share: Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)] | None = None


class Record(BaseModel):
    """One load of a page so far."""

    model_config = ConfigDict(frozen=True, strict=True)

    load: Annotated[str, Field(pattern=r"^[0-9a-f]{16}$")]
    visible_ms: Ms
    focus_losses: Count
    viewport_width: Count
    viewport_height: Count
    input: Literal["touch", "mouse", "keyboard"] | None
    questions: dict[str, Note]


def read(raw: str | None) -> Record | None:
    if not raw or len(raw) > LENGTH_LIMIT:
        return None
    try:
        return Record.model_validate_json(raw)
    except ValueError:  # not JSON, not a record, or not even text (lone surrogates)
        return None


def keep(visit: PageVisit, record: Record, questions: Collection[str]) -> bool:
    """Take a record into the visit, without saving; whether that changed it.

    questions: codes of the page; what claims to be of another is left out.
    """
    known = visit.paradata.get(record.load)
    if known is None and len(visit.paradata) >= LOADS:
        return False
    if known and known["visible_ms"] > record.visible_ms:
        return False  # a draft that was overtaken on its way
    row = record.model_dump(exclude={"load"})
    row["nth"] = known["nth"] if known else len(visit.paradata)
    row["questions"] = {code: note for code, note in row["questions"].items() if code in questions}
    if row == known:
        return False
    visit.paradata = visit.paradata | {record.load: row}
    return True


def take(participant: Participant, visit: PageVisit, data: QueryDict) -> bool:
    """Take what a page's form brings into the visit, without saving; whether that changed it."""
    if not participant.protocol.paradata:
        return False
    page = participant.file.page(visit.page)
    record = read(data.get(FIELD))
    return bool(page and record and keep(visit, record, {q.code for q in page.questions}))


def note(participant: Participant, page: str, data: QueryDict) -> None:
    """Keep what a draft of a survey page brings."""
    if FIELD not in data or not participant.protocol.paradata:
        return
    with transaction.atomic():
        # A page that is sent locks the person and then the visit: nothing more is locked here.
        visit = participant.pages.select_for_update().filter(page=page).first()
        if visit and take(participant, visit, data):
            visit.save(update_fields=["paradata"])


def summary(visit: PageVisit) -> dict[str, Any]:
    """All loads together.

    Times and counts are sums. The window and the kind of input are those of the load that was
    visible longest. The pasted share is the last load's: the text goes from load to load, and
    so does what is known of it.
    """
    loads = sorted(visit.paradata.values(), key=lambda load: load["nth"])
    longest: dict[str, Any] = max(loads, key=lambda load: load["visible_ms"], default={})
    questions: dict[str, dict[str, Any]] = {}
    for load in loads:
        for code, found in load["questions"].items():
            known = questions.setdefault(code, Note().model_dump())
            for name in ("visible_ms", "changes", "pastes"):
                known[name] += found[name]
            known["pasted_share"] = found["pasted_share"]
    return {
        "visible_ms": sum(load["visible_ms"] for load in loads),
        "focus_losses": sum(load["focus_losses"] for load in loads),
        "viewport_width": longest.get("viewport_width"),
        "viewport_height": longest.get("viewport_height"),
        "input": longest.get("input"),
        "loads": len(loads),
        "questions": questions,
    }


def for_script(visit: PageVisit | None, questions: Collection[str]) -> str:
    """What the page's script must know, as JSON: the questions, and which texts were pasted."""
    found = summary(visit)["questions"] if visit and visit.paradata else {}
    pasted = {code: known["pasted_share"] for code, known in found.items() if known["pasted_share"]}
    return json.dumps({"questions": list(questions), "pasted": pasted})
