"""Decisions about submissions: made by people, kept for ever, and the newest counts."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from django.contrib.auth.models import User
from django.db import transaction
from django.db.models import (
    Case,
    Count,
    Exists,
    IntegerField,
    OuterRef,
    QuerySet,
    Subquery,
    Sum,
    Value,
    When,
)
from django.db.models.functions import Coalesce
from django.dispatch import Signal
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from collection.checking import checked
from collection.models import Conversation, QualityRun, Review
from collection.quality import title
from collection.submissions import submitted
from surveys.errors import DomainError
from surveys.models import Participant, Study

decided = Signal()
"""`review` was made, within its transaction. For those who pass it on: note it there, and do what
takes time or may fail after the commit. A receiver that raises undoes the decision."""

Decision = Review.Decision
Severity = QualityRun.Severity

REASON_LIMIT = 2000
NEEDS_REASON = (Decision.RETURN, Decision.REJECT)

AWAITING = "awaiting"
SECOND = "second"
STATES = (AWAITING, SECOND, Decision.APPROVE.value, Decision.RETURN.value, Decision.REJECT.value)

WEIGHTS = {Severity.REJECT: 10_000, Severity.RETURN: 100, Severity.INVESTIGATE: 1}
"""For the queue's order: any reason to reject before all reasons to ask for a return."""


# What awaits review


def with_decision(people: QuerySet[Any]) -> QuerySet[Any]:
    """Adds `decision`, by the newest review: one of STATES."""
    newest = Review.objects.filter(participant=OuterRef("pk")).order_by("-pk")
    # One subquery: it is asked for each person as often as it is named.
    said = Case(
        When(wants_second_opinion=True, then=Value(SECOND)),
        When(decision=Decision.UNDECIDED, then=Value(AWAITING)),
        default="decision",
    )
    found = Coalesce(Subquery(newest.values_list(said)[:1]), Value(AWAITING))
    rows: QuerySet[Any] = people.annotate(decision=found)
    return rows


def with_weight(people: QuerySet[Any]) -> QuerySet[Any]:
    """Adds `weight`: 0 without signals, else more for worse and for more."""
    weighed = Case(
        *(When(severity=severity, then=Value(weight)) for severity, weight in WEIGHTS.items()),
        default=Value(0),
        output_field=IntegerField(),
    )
    mine = current_signals().filter(participant=OuterRef("pk")).order_by().values("participant")
    weight = mine.annotate(weight=Sum(weighed)).values("weight")
    sum_of_them = Coalesce(Subquery(weight), Value(0), output_field=IntegerField())
    rows: QuerySet[Any] = people.annotate(weight=sum_of_them)
    return rows


def current_signals() -> QuerySet[QualityRun]:
    return QualityRun.objects.filter(is_current=True).exclude(severity="")


SIGNALLED = Exists(current_signals().filter(participant=OuterRef("pk")))
"""Of a person: whether any check raised one."""


def with_conversations(people: QuerySet[Any]) -> QuerySet[Any]:
    """Adds `conversations_done`, as a subquery: other counts would be multiplied by a join."""
    complete = Conversation.objects.filter(
        participant=OuterRef("pk"), state=Conversation.State.COMPLETE
    )
    number = complete.order_by().values("participant").annotate(n=Count("pk")).values("n")
    rows: QuerySet[Any] = people.annotate(
        conversations_done=Coalesce(Subquery(number), Value(0), output_field=IntegerField())
    )
    return rows


@dataclass(frozen=True)
class Filters:
    """What the queue shows. signal: a check's name, `any` or `none`; state may be `all`."""

    state: str = AWAITING
    signal: str = ""

    def apply(self, people: QuerySet[Any]) -> QuerySet[Any]:
        if self.state != "all":
            people = people.filter(decision=self.state)
        match self.signal:
            case "":
                return people
            case "any":
                return people.filter(SIGNALLED)
            case "none":
                return people.filter(~SIGNALLED)
            case name:
                return people.filter(
                    pk__in=current_signals().filter(check_name=name).values("participant")
                )


def queue(study: Study, filters: Filters) -> QuerySet[Any]:
    """Submissions in the order of review: the worst first, then those who wait longest."""
    people = with_weight(with_decision(submitted(study)))
    return filters.apply(people).order_by("-weight", "completed_at", "pk")


def counts(study: Study) -> dict[str, int]:
    """State -> how many, and `all`; in one query."""
    rows = with_decision(submitted(study)).order_by().values("decision")
    found = {row["decision"]: row["number"] for row in rows.annotate(number=Count("pk"))}
    return {state: found.get(state, 0) for state in STATES} | {"all": sum(found.values())}


def without_signals(study: Study, until: datetime) -> QuerySet[Any]:
    """Who awaits review, was looked at by every check of today, and made none raise a signal."""
    people = with_decision(submitted(study)).filter(decision=AWAITING, completed_at__lte=until)
    return people.filter(~SIGNALLED, pk__in=checked(submitted(study)))


# What PRISM would have done


@dataclass(frozen=True)
class Suggestion:
    decision: str
    reasons: list[str] = field(default_factory=list)

    @property
    def label(self) -> str:
        return {
            Decision.APPROVE.value: _("approve"),
            Decision.RETURN.value: _("ask to return"),
            Decision.REJECT.value: _("reject"),
        }[self.decision]


def suggest(signals: Iterable[QualityRun], done: int, wanted: int) -> Suggestion:
    """PRISM's rule: only reasons to reject or to ask for a return count, and the conversations."""
    rows = list(signals)
    rejects = [title(r.check_name) for r in rows if r.severity == Severity.REJECT]
    returns = [title(r.check_name) for r in rows if r.severity == Severity.RETURN]
    short = done < wanted
    if rejects:
        return Suggestion(Decision.REJECT, rejects + returns)
    if returns:
        return Suggestion(Decision.RETURN, returns)
    if short:
        return Suggestion(Decision.REJECT, [fewer(done, wanted)])
    return Suggestion(Decision.APPROVE, [_("No reason to reject or to ask for a return.")])


def fewer(done: int, wanted: int) -> str:
    return ngettext(
        "%(done)d conversation of %(wanted)d, and nothing that would ask for a return.",
        "%(done)d conversations of %(wanted)d, and nothing that would ask for a return.",
        done,
    ) % {"done": done, "wanted": wanted}


# Deciding


def newest(participant: Participant) -> Review | None:
    return participant.reviews.order_by("-pk").first()


@transaction.atomic
def decide(
    participant: Participant,
    decision: str,
    reviewer: User,
    reason: str = "",
    *,
    seen: int | None = None,
    second_opinion: bool = False,
) -> Review:
    """Keep a decision, and let it count: a rejection keeps the person out of releases.

    seen: key of the newest review that the reviewer knew, 0 for none; None does not ask.
    The same decision again changes nothing. Raises DomainError.
    """
    row = Participant.objects.select_for_update().get(pk=participant.pk)
    before = newest(row)
    if before and is_again(before, decision, reviewer, reason, second_opinion):
        return before
    check(row, before, decision, reviewer, reason, seen, second_opinion)
    return record([row], decision, reviewer, reason, second_opinion)[0]


def is_again(
    before: Review, decision: str, reviewer: User, reason: str, second_opinion: bool
) -> bool:
    said = (before.decision, before.reviewer_id, before.reason, before.wants_second_opinion)
    return said == (decision, reviewer.pk, reason.strip(), second_opinion)


def check(
    row: Participant,
    before: Review | None,
    decision: str,
    reviewer: User,
    reason: str,
    seen: int | None,
    second_opinion: bool,
) -> None:
    if row.withdrawn_at:
        raise DomainError("withdrawn", _("This person has withdrawn: nothing is left to review."))
    if decision not in Decision.values:
        raise DomainError("decision", _("Please choose one of the decisions."))
    if len(reason) > REASON_LIMIT:
        raise DomainError("too_long", _("Please keep the reason to %d characters.") % REASON_LIMIT)
    if (decision in NEEDS_REASON or second_opinion) and not reason.strip():
        raise DomainError("reason", _("Please say why: the participant, or a colleague, will ask."))
    if seen is not None and before and before.pk != seen:
        raise DomainError("changed", changed(before))
    if before and before.wants_second_opinion and before.reviewer_id == reviewer.pk:
        is_taken_back = decision == Decision.UNDECIDED and not second_opinion
        if not is_taken_back:
            raise DomainError(
                "own_second_opinion",
                _("You asked for a second opinion: somebody else decides, or you take it back."),
            )


def changed(before: Review) -> str:
    return _("%(name)s has reviewed this meanwhile: %(decision)s. Please look again.") % {
        "name": before.reviewer_name,
        "decision": before.get_decision_display(),
    }


def record(
    people: Sequence[Participant],
    decision: str,
    reviewer: User,
    reason: str = "",
    second_opinion: bool = False,
) -> list[Review]:
    """For people whose rows are locked."""
    keys = [row.pk for row in people]
    raised: dict[int, list[list[object]]] = {}
    for run in current_signals().filter(participant__in=keys).order_by("check_name"):
        found = [run.check_name, run.version, run.severity]
        raised.setdefault(run.participant_id, []).append(found)
    reviews = Review.objects.bulk_create(
        Review(
            participant=row,
            decision=decision,
            wants_second_opinion=second_opinion,
            reason=reason.strip(),
            reviewer=reviewer,
            reviewer_name=reviewer.get_username(),
            signals=raised.get(row.pk, []),
        )
        for row in people
    )
    mark(keys, decision)
    for review in reviews:
        decided.send(Review, review=review)
    return reviews


def mark(keys: Sequence[int], decision: str) -> None:
    """Undecided changes nothing: who was rejected stays out until somebody decides otherwise."""
    rows = Participant.objects.filter(pk__in=keys)
    if decision == Decision.REJECT:
        rows.filter(rejected_at__isnull=True).update(rejected_at=timezone.now())
    elif decision in (Decision.APPROVE, Decision.RETURN):
        rows.filter(rejected_at__isnull=False).update(rejected_at=None)


@transaction.atomic
def approve_without_signals(study: Study, reviewer: User, until: datetime) -> int:
    """Approve all who await review and made no check raise a signal; how many.

    until: who came later was not on the page when the button was pressed.
    """
    keys = list(without_signals(study, until).values_list("pk", flat=True))
    rows = Participant.objects.select_for_update().filter(pk__in=keys, withdrawn_at__isnull=True)
    locked = list(rows.order_by("pk").prefetch_related("submissions__recruitment"))
    # Somebody else may have decided before the locks were ours.
    still = set(without_signals(study, until).values_list("pk", flat=True))
    return len(record([row for row in locked if row.pk in still], Decision.APPROVE, reviewer))
