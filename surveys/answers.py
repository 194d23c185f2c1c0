"""The survey: which page comes next, and what was answered."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

from django.db import transaction
from django.db.models import Exists, QuerySet
from django.http import QueryDict
from django.utils import timezone
from django.utils.translation import gettext as _

from surveys import drafts, paradata, quotas
from surveys.errors import DomainError, FieldErrors
from surveys.instruments.conditions import Value
from surveys.instruments.schema import Comprehension, Page, Question
from surveys.models import Order, PageVisit, Participant, QuotaClaim, Response
from surveys.prepared import prepared
from surveys.reading import Answer, Stored, read
from surveys.sheet import Sheet
from surveys.variants import arms_of


@dataclass
class Standing:
    """A person's survey as it stands in the database."""

    sheet: Sheet
    responses: dict[str, Stored]
    visits: dict[str, PageVisit]
    """Page code -> visit, of every page that was opened."""

    @property
    def sent(self) -> set[str]:
        return {code for code, visit in self.visits.items() if visit.sent_at}

    @property
    def pending(self) -> Page | None:
        """The first page that was not sent yet, or None at the survey's end."""
        sent = self.sent
        return next((page for page in self.sheet.pages if page.code not in sent), None)


def standing(participant: Participant) -> Standing:
    """Read once per request: whoever changes answers calls `read_again`."""
    known: Standing | None = participant.__dict__.get("_standing")
    return known or read_again(participant)


@prepared
def _stored(participant: int) -> QuerySet[Response, tuple[Any, ...]]:
    """Code, and fields of `Stored`. Every step reads answers twice: as models they cost double."""
    rows = Response.objects.filter(participant=participant)
    return rows.values_list("question", "value", "touches", "attempts", "is_shown")


@prepared
def _visits(participant: int) -> QuerySet[PageVisit]:
    return PageVisit.objects.filter(participant=participant)


def read_again(participant: Participant) -> Standing:
    responses = {code: Stored(*row) for code, *row in _stored(participant.pk)}
    return _stand(participant, responses, _visits(participant.pk))


def standing_of_prefetched(participant: Participant) -> Standing:
    """Without a query, if responses, pages and assignments were prefetched."""
    responses = {
        row.question: Stored(row.value, row.touches, row.attempts, row.is_shown)
        for row in participant.responses.all()
    }
    return _stand(participant, responses, participant.pages.all())


def _stand(
    participant: Participant, responses: dict[str, Stored], visits: Iterable[PageVisit]
) -> Standing:
    values = {code: response.value for code, response in responses.items()}
    sheet = Sheet(participant.file, participant.seed, arms_of(participant), values)
    found = Standing(sheet, responses, {visit.page: visit for visit in visits})
    participant.__dict__["_standing"] = found
    return found


def sheet_of(participant: Participant) -> Sheet:
    return standing(participant).sheet


def pending_page(participant: Participant) -> Page | None:
    """The first page that was not sent yet, or None at the survey's end."""
    return standing(participant).pending


def pages_to_expect(participant: Participant) -> list[Page]:
    """The pages shown, and those that an answer still to come may open: "page 4 of 9"."""
    return sheet_of(participant).expected()


def open_page(participant: Participant, page: Page) -> bool:
    """Note that a page is shown and in which orders its parts stand; whether it is the first time.

    Both notes can be made again.
    """
    state = standing(participant)
    if page.code in state.visits:
        return False
    orders = state.sheet.orders(page)
    if not state.visits:
        orders |= state.sheet.page_orders()
    visit = PageVisit(participant=participant, page=page.code, shown_at=timezone.now())
    drawn = [Order(participant=participant, scope=scope, codes=orders[scope]) for scope in orders]
    with transaction.atomic():
        PageVisit.objects.bulk_create([visit], ignore_conflicts=True)
        Order.objects.bulk_create(drawn, ignore_conflicts=True)
    return True


@dataclass
class Outcome:
    """What became of a page's form, before it is stored."""

    answers: dict[str, Answer] = field(default_factory=dict)
    errors: dict[str, str] = field(default_factory=dict)
    attempts: dict[str, list[str]] = field(default_factory=dict)
    """Comprehension checks: all options chosen so far."""
    is_screened: bool = False


@prepared
def _lock(participant: int) -> QuerySet[Participant, dict[str, Any]]:
    rows = Participant.objects.filter(pk=participant).select_for_update()
    known: QuerySet[Participant, dict[str, Any]] = rows.values(
        *("survey_finished_at", "screened_at", "stopped_at"),
        _has_quotas=Exists(quotas.OF_ITS_STUDY),
    )
    return known


@contextmanager
def locked(participant: Participant) -> Iterator[Standing]:
    """Where the person stands, while no other tab of theirs can change it."""
    with transaction.atomic():
        (row,) = _lock(participant.pk)
        for name, value in row.items():
            setattr(participant, name, value)
        yield read_again(participant)


def record(participant: Participant, page: Page, data: QueryDict) -> dict[str, str]:
    """Store all answers of a page, or none and return what is wrong: field -> message.

    To be called in `locked`. Sending a page again replaces its answers; the last page ends the
    survey for good. The attempts at a comprehension check count even if the page is refused.
    """
    state = standing(participant)
    if error := belonging_error(participant, state.sheet, page, data):
        return {"": error}
    outcome = judged(state, page, data, participant.protocol.untouched_counts)
    if not outcome.errors:
        _store(participant, page, outcome, data)
        return {}
    visit = state.visits.get(page.code)
    if visit and paradata.take(participant, visit, data):
        visit.save(update_fields=["paradata"])
    if codes := outcome.attempts:
        _store_answers(participant, outcome, {code: outcome.answers[code] for code in codes})
    return outcome.errors


def belonging_error(
    participant: Participant, sheet: Sheet, page: Page, data: QueryDict
) -> str | None:
    """What is wrong with a form that is not of this person's page as it is now."""
    version = data.get("instrument")
    if version is not None and version != participant.instrument.sha256:
        return _("This page is of another version of the survey. Please send it once more.")
    shown = {question.code for question in sheet.step(page).questions}
    hidden = {question.code for question in sheet.file.questions()} - shown
    if any(is_of(name, hidden) and not is_of(name, shown) for name in data):
        return _(
            "One of these questions does not apply to you any more, because an earlier answer "
            "has changed. Please look over this page and send it again."
        )
    return None


def is_of(name: str, codes: Iterable[str]) -> bool:
    """Whether a form's field belongs to one of the questions."""
    return any(name == code or name.startswith(f"{code}_") for code in codes)


def judged(state: Standing, page: Page, data: QueryDict, untouched: bool) -> Outcome:
    """Nothing is stored. untouched: whether a line that was never touched counts."""
    outcome = Outcome()
    questions = state.sheet.step(page).questions
    for question in questions:
        try:
            outcome.answers[question.code] = read(question, data, untouched)
        except FieldErrors as error:
            outcome.errors |= error.errors
        except DomainError as error:
            outcome.errors[question.code] = error.message
    if not outcome.errors:
        for question in questions:
            if isinstance(question, Comprehension):
                _judge_attempt(outcome, question, state.responses.get(question.code), data)
    return outcome


def _judge_attempt(
    outcome: Outcome, question: Comprehension, before: Stored | None, data: QueryDict
) -> None:
    """Count an attempt once, however often its form is sent; once passed, it stays passed."""
    attempts = list(before.attempts) if before else []
    choice = outcome.answers[question.code].value.get("choice")
    is_passed = bool(attempts) and attempts[-1] in question.correct
    if is_passed:
        outcome.answers[question.code].value["choice"] = attempts[-1]
    elif data.get(f"{question.code}_attempt", str(len(attempts) + 1)) == str(len(attempts) + 1):
        attempts.append(choice or "")
    outcome.attempts[question.code] = attempts
    if attempts[-1] in question.correct:
        return
    if len(attempts) >= question.attempts:
        outcome.is_screened = True
    else:
        outcome.errors[question.code] = question.explanation


def _store(participant: Participant, page: Page, outcome: Outcome, data: QueryDict) -> None:
    _store_answers(participant, outcome, outcome.answers)
    state = standing(participant)
    _store_visit(participant, state, page, data)
    drafts.drop(participant, draft_page(page))
    mark_unreachable(participant, state)
    if outcome.is_screened:
        screen_out(participant)
        return
    is_last = state.pending is None
    if participant.__dict__.get("_has_quotas"):  # asked along in `locked`: a query less
        quotas.claim(participant, state.sheet.shown, outcome.answers, is_all=is_last)
    if is_last and not participant.screened_at:
        finish(participant)


def screen_out(participant: Participant) -> None:
    """After the last wrong answer to a comprehension check."""
    participant.screened_at = timezone.now()
    participant.screen_reason = Participant.ScreenReason.CHECK
    participant.save(update_fields=["screened_at", "screen_reason"])
    participant.drafts.all().delete()  # nobody comes back for them
    quotas.release(participant, QuotaClaim.Why.CHECK)


def _store_visit(participant: Participant, state: Standing, page: Page, data: QueryDict) -> None:
    now = timezone.now()
    visit = PageVisit(participant=participant, page=page.code, shown_at=now, sent_at=now)
    if known := state.visits.get(page.code):
        visit.paradata = known.paradata
    is_noted = paradata.take(participant, visit, data)
    PageVisit.objects.bulk_create(
        [visit],
        update_conflicts=True,
        unique_fields=["participant", "page"],
        # What another tab saved meanwhile may be lost, until its next save: records are whole.
        update_fields=["sent_at", "paradata"] if is_noted else ["sent_at"],
    )
    state.visits[page.code] = visit


def finish(participant: Participant) -> None:
    """The survey ends; without conversations, so does the study."""
    participant.survey_finished_at = timezone.now()
    fields = ["survey_finished_at"]
    if participant.file.conversation is None:
        participant.completed_at = participant.survey_finished_at
        fields.append("completed_at")
        participant.drafts.all().delete()
        quotas.confirm(participant)
    participant.save(update_fields=fields)


def _store_answers(participant: Participant, outcome: Outcome, answers: dict[str, Answer]) -> None:
    """Store answers and take them into the standing, which is then as the database has it."""
    rows = [
        Response(
            participant=participant,
            question=code,
            value=answer.value,
            touches=answer.touches,
            attempts=outcome.attempts.get(code, []),
            language=participant.language or participant.file.language,
        )
        for code, answer in answers.items()
    ]
    Response.objects.bulk_create(
        rows,
        update_conflicts=True,
        unique_fields=["participant", "question"],
        update_fields=["value", "touches", "attempts", "language", "is_shown", "answered_at"],
    )
    state = standing(participant)
    state.responses |= {row.question: Stored(row.value, row.touches, row.attempts) for row in rows}
    values = {code: response.value for code, response in state.responses.items()}
    state.sheet = replace(state.sheet, values=values)


def mark_unreachable(participant: Participant, state: Standing) -> None:
    """Keep beside each answer whether the others still lead to its question."""
    shown = state.sheet.shown
    for code, stored in state.responses.items():
        if stored.is_shown != (code in shown):
            stored.is_shown = not stored.is_shown
            Response.objects.filter(participant=participant, question=code).update(
                is_shown=stored.is_shown
            )


def shown_values(participant: Participant) -> dict[str, Value]:
    """Question code -> answer, of the questions that were shown in the end."""
    return sheet_of(participant).shown


def draft_page(page: Page) -> str:
    return f"survey/{page.code}"


def questions_on(participant: Participant, page: Page) -> tuple[Question, ...]:
    """The questions of a page that are shown, in the person's order."""
    return sheet_of(participant).step(page).questions
