"""The rows of paradata.jsonl, of studies whose protocol notes how pages were used."""

from collections.abc import Iterator
from typing import Any

from collection.export.loading import answering
from collection.export.plan import Plan
from collection.export.survey_rows import sheet_of
from surveys.models import PageVisit
from surveys.paradata import summary
from surveys.sheet import Step

Row = dict[str, Any]


def paradata_rows(plan: Plan) -> Iterator[Row]:
    """One row for each page that a person's answers lead to, in the order of the file."""
    for user, person in answering(plan.selection.users, "pages"):
        sheet = sheet_of(person)
        visits = {visit.page: visit for visit in person.pages.all()}
        steps = {step.page.code: step for step in sheet.steps if step.is_shown}
        for page in sheet.file.pages:
            if page.code in steps and page.code in visits:
                noted = page_values(steps[page.code], visits[page.code])
                values = {"user_id": user.id, "page": page.code, **noted}
                yield plan.book.paradata.row(values, plan.order)


def page_values(step: Step, visit: PageVisit) -> Row:
    """What was noted; null where nothing was, as without scripts."""
    found = summary(visit)
    if not found["loads"]:
        found |= {"visible_ms": None, "focus_losses": None}
    released = {q.code for q in step.questions if q.release.form != "none"}
    found["questions"] = {
        code: facts for code, facts in found["questions"].items() if code in released
    }
    return found
