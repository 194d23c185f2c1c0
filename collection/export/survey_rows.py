"""The rows of survey.jsonl."""

from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

from collection.export import samples, tables
from collection.export.cells import Said, cells, status
from collection.export.loading import answering, answers_of
from collection.export.merge import widened
from collection.export.plan import Plan
from collection.export.selection import ReleasedUser
from surveys.instruments.released import (
    LANGUAGE,
    VERSION,
    companion,
    list_keys,
)
from surveys.instruments.schema import Block, InstrumentFile, pages_of
from surveys.models import Participant
from surveys.sheet import PAGES, Sheet, block_scope, page_scope

Row = dict[str, Any]


def survey_rows(plan: Plan) -> Iterator[Row]:
    draw_samples(plan)
    for user, person in answering(plan.selection.users, "orders"):
        yield plan.book.survey.row(survey_row(plan, user, person), plan.order)


def draw_samples(plan: Plan) -> samples.Report:
    """The subsets of the release. The first call draws them; all say the same."""
    if plan.selection.samples is None:
        plan.selection.samples = samples.draw(plan.study, plan.selection, lambda: facts(plan))
    return plan.selection.samples


def facts(plan: Plan) -> Iterator[tuple[ReleasedUser, Participant, Row]]:
    """What samples are drawn by, as the survey's row has it."""
    for user, person in answering(plan.selection.users, "orders"):
        # Of others nothing is asked, and this is most of the time that a row takes.
        is_asked = person.released_locale in samples.COLUMNS
        yield user, person, cells(said_by(person, sheet_of(person))) if is_asked else {}


def survey_row(plan: Plan, user: ReleasedUser, person: Participant) -> Row:
    """In the columns of all versions of the release."""
    version = plan.book.version(person.instrument.sha256)
    own = plan.book.survey_of(version).row(survey_values(user, person))
    if len(plan.book.versions) == 1:
        return own
    sheet = sheet_of(person)
    row = widened(plan.book.survey.columns, own) | {VERSION: version.sha256}
    for question in sheet.file.questions():
        key = companion(question, "status")
        if key in row and key not in own:
            row[key] = status(sheet.shown.get(question.code))
    return row


def survey_values(user: ReleasedUser, person: Participant) -> Row:
    """In the columns of the person's own version."""
    sheet = sheet_of(person)
    finished_at = person.survey_finished_at
    assert finished_at is not None
    started_at = person.consent_shown_at or person.arrived_at
    seconds = round(max(0.0, (finished_at - started_at).total_seconds()))
    return {
        "user_id": user.id,
        "survey_only": not user.conversations,
        "num_completed_conversations": len(user.conversations),
        "consent": tables.CONSENT,
        "consent_age": tables.CONSENT_AGE,
        **about(person, sheet),
        **cells(said_by(person, sheet)),
        **lists(person, sheet),
        "study_id": person.released_study_id,
        "study_locale": person.released_locale,
        "generated_datetime": as_datetime(finished_at),
        "timing_duration_s": seconds,
        "timing_duration_mins": round(seconds / 60, 2),
        "included_in_US_REP": user.samples.get("us"),
        "included_in_UK_REP": user.samples.get("uk"),
        "included_in_balanced_subset": any(c.is_balanced for c in user.conversations),
    }


def sheet_of(person: Participant) -> Sheet:
    """In the instrument's own language, from what was prefetched."""
    arms = {row.variant: row.arm for row in person.assignments.all()}
    values = {row.question: row.value for row in answers_of(person)}
    return Sheet(person.instrument.file, person.seed, arms, values)


def said_by(person: Participant, sheet: Sheet) -> Said:
    return Said(
        sheet.file,
        sheet.shown,
        attempts={row.question: row.attempts for row in answers_of(person)},
        orders=orders_of(person),
        coded=coded_of(person),
    )


def coded_of(person: Participant) -> dict[str, str]:
    """Question code -> what own words were coded as, where that is settled."""
    return {row.question: row.category for row in answers_of(person) if row.category}


def orders_of(person: Participant) -> dict[str, list[str]]:
    """Scope -> codes as drawn."""
    return {row.scope: row.codes for row in person.orders.all()}


def about(person: Participant, sheet: Sheet) -> Row:
    found: Row = {v.code: sheet.arms.get(v.code) for v in sheet.file.variants}
    if len(sheet.file.languages) > 1:
        found[LANGUAGE] = language(person, sheet)
    return found


def language(person: Participant, sheet: Sheet) -> str:
    """The one that most answers were given in; of several, the last that was chosen."""
    last = person.language or sheet.file.language
    answered = (row.language for row in answers_of(person) if row.question in sheet.shown)
    counts = Counter(code for code in answered if code in sheet.file.languages)
    return max(counts, key=lambda code: (counts[code], code == last, code), default=last)


def lists(person: Participant, sheet: Sheet) -> Row:
    """The drawn orders of questions, pages and blocks; null where none of it was shown."""
    drawn = orders_of(person)
    shown = {page.code for page in sheet.pages}
    listed = {scope: (codes, pages) for scope, codes, pages in scopes(sheet.file)}
    found: Row = {}
    for scope, column in list_keys(sheet.file).items():
        codes, pages = listed[scope]
        found[column] = (drawn.get(scope) or codes) if pages & shown else None
    return found


def scopes(file: InstrumentFile) -> Iterator[tuple[str, list[str], set[str]]]:
    """(scope, codes in the order of the file, the pages it is about) of all that may be drawn."""
    yield PAGES, [entry.code for entry in file.entries], {page.code for page in file.pages}
    for entry in file.entries:
        pages = [page.code for page in pages_of(entry)]
        if isinstance(entry, Block):
            yield block_scope(entry), pages, set(pages)
        for page in pages_of(entry):
            yield page_scope(page), [q.code for q in page.questions], {page.code}


def as_datetime(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime(tables.DATETIME)
