"""Places in a study's quota tables: taken once their fields are known, kept, given back.

`claim` alone takes a place, with the rows of its cells locked, so that however many come at once a
cell is never overfilled. Everything here may be done twice without harm. Whoever finds no place is
thanked and leaves, and holds no place in any other table.
"""

import logging
from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db import transaction
from django.db.models import Count, DateTimeField, F, Max, OuterRef, Q, QuerySet, Subquery
from django.db.models.functions import Coalesce, Greatest
from django.utils import timezone

from surveys.instruments import minutes
from surveys.instruments.conditions import Value
from surveys.instruments.schema import Block, Page, pages_of
from surveys.models import (
    Identity,
    Participant,
    QuotaCell,
    QuotaClaim,
    QuotaTable,
    Study,
)
from surveys.quota_fields import LINK, LOCALE, answer_code, fits, is_from_recruiter, plain

log = logging.getLogger("refract.quotas")

State, Why, People = QuotaClaim.State, QuotaClaim.Why, QuotaClaim.People
ScreenReason = Participant.ScreenReason
OF_ITS_STUDY = QuotaTable.objects.filter(study=OuterRef("study"))
"""The tables of a participant's study."""
BATCH = 200
"""Participants locked in one go by the chore: people are answering."""


@dataclass(frozen=True)
class Wish:
    """A table whose fields are known, and the cell that the person fits, if any."""

    table: QuotaTable
    cell: QuotaCell | None

    @property
    def is_refused(self) -> bool:
        return self.cell is None and self.table.others == QuotaTable.Others.SCREEN


def claim(
    participant: Participant,
    answers: Mapping[str, Value],
    asked: Collection[str] | None = None,
    *,
    is_all: bool = False,
) -> None:
    """Take the person's place in every table whose fields are known by now, or screen them out.

    Within a transaction. answers: to the questions shown. asked: questions just answered, so
    that a changed answer changes the place; None: none. is_all: no more answers are to come.
    """
    tables = list(participant.study.quotas.order_by("pk"))
    if not tables or participant.screened_at or participant.stopped_at:
        return
    held = held_by(participant)
    due = [t for t in tables if t.pk not in held or set(t.fields) & set(asked or ())]
    said = told_by(participant, due) | codes_of(answers, due, is_all)
    known = [table for table in due if said.keys() >= set(table.fields)]
    wishes = [Wish(table, cell_for(table, said)) for table in known]
    take(participant, [w for w in wishes if w.table.pk not in held or held[w.table.pk] != w.cell])


def held_by(participant: Participant) -> dict[int, QuotaCell | None]:
    """Table id -> the cell of the place held there."""
    claims = participant.quota_claims.held().select_related("cell")
    return {claim.table_id: claim.cell for claim in claims}


def codes_of(
    answers: Mapping[str, Value], tables: Iterable[QuotaTable], is_all: bool
) -> dict[str, str]:
    """Question -> what was answered, of those that the tables ask about and that are known."""
    names = {name for t in tables for name in t.fields if not is_from_recruiter(name)}
    known = {name: answer_code(answers[name]) for name in names if name in answers}
    return dict.fromkeys(names, "") | known if is_all else known


def told_by(participant: Participant, tables: Iterable[QuotaTable]) -> dict[str, str]:
    """Field -> what the recruiter told of a person; empty where nothing was."""
    names = {name for table in tables for name in table.fields if is_from_recruiter(name)}
    if not names:
        return {}
    row = Identity.objects.filter(participant=participant).values_list("parameters", flat=True)
    given = {f"{LINK}{plain(name)}": str(value) for name, value in (row.first() or {}).items()}
    given[LOCALE] = participant.released_locale
    return {name: plain(given.get(plain(name), "")) for name in names}


def cell_for(table: QuotaTable, said: Mapping[str, str]) -> QuotaCell | None:
    """Cells are apart, so that one at most fits."""
    return next((cell for cell in table.cells.all() if fits(cell.values, said)), None)


def take(participant: Participant, wishes: list[Wish]) -> None:
    """All places at once, or none of them. Within a transaction."""
    if not wishes or not is_taking_part(participant):
        return
    people = kind_of(participant)
    cells = [wish.cell.pk for wish in wishes if wish.cell]
    # In the order of their ids, so that two who want the same two cells cannot block each other.
    locked = QuotaCell.objects.select_for_update(of=("self",)).filter(pk__in=cells).order_by("pk")
    targets = {cell.pk: cell.target for cell in locked}
    # Counted after the lock: who had it before has committed.
    taken = places_taken(cells, people, besides=participant)
    for wish in wishes:
        if wish.is_refused:
            screen_out(participant, wish, Why.OUTSIDE)
            return
        if wish.cell and taken[wish.cell.pk] >= targets.get(wish.cell.pk, 0):
            screen_out(participant, wish, Why.FULL)
            return
    now = timezone.now()
    keep(
        QuotaClaim(
            participant=participant,
            table=wish.table,
            cell=wish.cell,
            people=people,
            state=State.CLAIMED,
            claimed_at=now,
        )
        for wish in wishes
    )


def same_kind(participant: Participant) -> list[Q]:
    """Conditions on rows of participants' who share a quota with this one."""
    return [
        Q(
            participant__is_simulated=participant.is_simulated,
            participant__is_pilot=participant.is_pilot,
        )
    ]


def is_taking_part(participant: Participant) -> bool:
    """As it is now, with the person's row locked: always before those of cells."""
    row = Participant.objects.select_for_update().filter(pk=participant.pk)
    return row.values_list("stopped_at", "screened_at").first() == (None, None)


def kind_of(participant: Participant) -> str:
    if participant.is_simulated:
        return People.SIMULATED
    return People.PILOT if participant.is_pilot else People.LIVE


def places_taken(cells: Collection[int], people: str, besides: Participant) -> Counter[int]:
    rows = QuotaClaim.objects.held().filter(cell__in=cells, people=people)
    counted = rows.exclude(participant=besides).values_list("cell").annotate(Count("pk"))
    return Counter(dict(counted.order_by()))


def keep(claims: Iterable[QuotaClaim]) -> None:
    QuotaClaim.objects.bulk_create(
        claims,
        update_conflicts=True,
        unique_fields=["participant", "table"],
        update_fields=["cell", "people", "state", "why", "claimed_at", "released_at"],
    )


def screen_out(participant: Participant, wish: Wish, why: str) -> None:
    """The person is thanked and leaves; places that they held elsewhere are others' again."""
    now = timezone.now()
    release(participant, Why.ELSEWHERE)
    refused = QuotaClaim(
        participant=participant,
        table=wish.table,
        cell=wish.cell,
        people=kind_of(participant),
        state=State.RELEASED,
        why=why,
        released_at=now,
    )
    keep([refused])
    has_come_back = participant.lapsed_at is not None
    participant.screened_at, participant.lapsed_at = now, None
    participant.screen_reason = ScreenReason.LAPSED if has_come_back else ScreenReason.QUOTA
    participant.save(update_fields=["screened_at", "lapsed_at", "screen_reason"])
    participant.drafts.all().delete()  # nobody comes back for them


def release(participant: Participant, why: str) -> None:
    """Give a person's places back, whatever state they are in. A second time changes nothing."""
    participant.quota_claims.held().update(
        state=State.RELEASED, why=why, released_at=timezone.now()
    )


def forget(participant: Participant) -> None:
    """Of who withdraws nothing stays, the kind of people that they were among included."""
    participant.quota_claims.all().delete()


def confirm(participant: Participant) -> None:
    """The person has finished: their places are theirs for good.

    Even one that was given away a moment ago: what they gave is there, and is counted.
    """
    lapsed = Q(state=State.RELEASED, why__in=AWAY)
    participant.quota_claims.filter(Q(state=State.CLAIMED) | lapsed).update(
        state=State.CONFIRMED, why="", confirmed_at=timezone.now(), released_at=None
    )


# Staying away and coming back

AWAY = (Why.TIMEOUT, Why.RETURNED)
"""Ways to lose a place that one may find again by coming back."""


@transaction.atomic
def go_away(person: int, why: str) -> None:
    """The recruiter has given somebody's submission up: so is a place that they hold unconfirmed.

    person: a participant's key. A second time changes nothing.
    """
    Participant.objects.select_for_update(of=("self",)).filter(pk=person).first()
    claims = QuotaClaim.objects.filter(participant=person, state=State.CLAIMED)
    now = timezone.now()
    if claims.update(state=State.RELEASED, why=why, released_at=now):
        Participant.objects.filter(pk=person).update(lapsed_at=now)


@transaction.atomic
def come_back(participant: Participant) -> None:
    """Take the places again that were given away meanwhile; screened out if one is full by now."""
    row = Participant.objects.select_for_update(of=("self",)).get(pk=participant.pk)
    participant.lapsed_at, participant.screened_at = row.lapsed_at, row.screened_at
    if row.lapsed_at is None:
        return
    lapsed = participant.quota_claims.filter(state=State.RELEASED, why__in=AWAY)
    is_over = row.completed_at or row.stopped_at or row.screened_at
    if not is_over:
        claims = lapsed.select_related("table", "cell").order_by("pk")
        take(participant, [Wish(claim.table, claim.cell) for claim in claims])
    if participant.lapsed_at:
        participant.lapsed_at = None
        participant.save(update_fields=["lapsed_at"])


def lapse() -> int:
    """Give away the places of people who stay away, and of those who are gone; how many people.

    Several processes may do it at once.
    """
    return tidy() + sum(lapse_in(table) for table in QuotaTable.objects.all())


GONE = {
    "rejected_at": Why.REJECTED,
    "screened_at": Why.CHECK,
    "stopped_at": Why.STOPPED,
}
"""Ways out, whoever took them: should one have left a place behind, it is given back."""


def tidy() -> int:
    left = 0
    for end, why in GONE.items():
        gone = Participant.objects.filter(**{f"{end}__isnull": False})
        held = QuotaClaim.objects.held().filter(participant__in=gone)
        left += held.update(state=State.RELEASED, why=why, released_at=timezone.now())
    return left


def lapse_in(table: QuotaTable) -> int:
    before = timezone.now() - timedelta(hours=table.timeout_hours)
    silent = table.claims.filter(state=State.CLAIMED, claimed_at__lt=before)
    ids = list(silent.values_list("participant", flat=True))
    return sum(
        lapse_batch(table, ids[place : place + BATCH], before)
        for place in range(0, len(ids), BATCH)
    )


@transaction.atomic
def lapse_batch(table: QuotaTable, ids: list[int], before: datetime) -> int:
    """Their rows are locked before it is asked who was here last when: nobody who comes back in
    this moment loses what they then take."""
    under_way = Participant.objects.filter(pk__in=ids, completed_at__isnull=True)
    rows = under_way.select_for_update().order_by("pk").values_list("pk", flat=True)
    away = list(seen_before(Participant.objects.filter(pk__in=list(rows)), before))
    claims = table.claims.filter(participant__in=away, state=State.CLAIMED)
    now = timezone.now()
    claims.update(state=State.RELEASED, why=Why.TIMEOUT, released_at=now)
    Participant.objects.filter(pk__in=away).update(lapsed_at=now)
    return len(away)


SIGNS_OF_LIFE = (
    *("pages__shown_at", "pages__sent_at", "drafts__saved_at", "quota_claims__claimed_at"),
    *("conversations__started_at", "conversations__finished_at"),
    *("conversations__interactions__created_at", "conversations__interactions__rated_at"),
)
"""When somebody did what: paths from a participant, through both apps."""


def seen_before(people: QuerySet[Participant], at: datetime) -> QuerySet[Participant, int]:
    """Ids of people of whom nothing was seen or heard since."""
    signs = [
        Coalesce(latest(sign), F("arrived_at"), output_field=DateTimeField())
        for sign in SIGNS_OF_LIFE
    ]
    return people.annotate(seen=Greatest(*signs)).filter(seen__lt=at).values_list("pk", flat=True)


def latest(sign: str) -> Subquery:
    """A subquery each: joined, their rows would multiply."""
    rows = Participant.objects.filter(pk=OuterRef("pk")).order_by().values("pk")
    return Subquery(rows.annotate(latest=Max(sign)).values("latest"))


# What the desk asks


@dataclass(frozen=True)
class CellStand:
    """A cell as it stands. reserved: places taken, of people in progress and of who finished."""

    cell: QuotaCell | None
    target: int
    filled: int
    in_progress: int
    turned_away: int

    @property
    def reserved(self) -> int:
        return self.filled + self.in_progress

    @property
    def left(self) -> int:
        return max(0, self.target - self.reserved)

    @property
    def share(self) -> float:
        """Of the target that is taken; 1 where nobody is wanted."""
        return self.reserved / self.target if self.target else 1.0

    @property
    def level(self) -> str:
        """How full, as a word for colours."""
        if self.reserved > self.target:
            return "over"
        if self.filled >= self.target:
            return "filled"
        if not self.left:
            return "full"
        return "some" if self.reserved else "none"


@dataclass(frozen=True)
class TableStand:
    """A table as it stands; outside: people who fit no cell."""

    table: QuotaTable
    cells: list[CellStand]
    outside: CellStand

    @property
    def total(self) -> CellStand:
        return CellStand(
            None,
            sum(c.target for c in self.cells),
            sum(c.filled for c in self.cells),
            sum(c.in_progress for c in self.cells),
            sum(c.turned_away for c in self.cells),
        )


def stand(study: Study, people: str) -> list[TableStand]:
    """Three queries, however many cells there are."""
    rows = QuotaClaim.objects.filter(table__study=study, people=people).order_by()
    counts: Counter[tuple[int, int | None, str]] = Counter()
    for table, cell, state, why, number in rows.values_list(
        "table", "cell", "state", "why"
    ).annotate(number=Count("pk")):
        counts[table, cell, why if why in (Why.FULL, Why.OUTSIDE) else state] += number
    return [
        TableStand(
            table,
            [cell_stand(counts, table, cell) for cell in table.cells.all()],
            cell_stand(counts, table, None),
        )
        for table in study.quotas.prefetch_related("cells")
    ]


def stand_of_types(study: Study, people: str) -> dict[str, CellStand]:
    """Conversation type -> how many the study wants and has. No query if the protocol says none."""
    targets = study.protocol.conversations_in_all
    if not targets:
        return {}
    rows = study.participants.filter(
        is_simulated=people == People.SIMULATED, rejected_at=None, screened_at=None
    ).order_by()
    kinds = rows.filter(conversations__conversation_type__in=targets).values_list(
        "conversations__conversation_type"
    )
    under_way = Q(conversations__state__in=("open", "finished"), stopped_at=None)
    counted = kinds.annotate(
        filled=Count("pk", filter=Q(conversations__state="complete")),
        going=Count("pk", filter=under_way),
    )
    numbers = {code: (filled, going) for code, filled, going in counted}
    return {
        code: CellStand(None, target, *numbers.get(code, (0, 0)), turned_away=0)
        for code, target in targets.items()
    }


def cell_stand(
    counts: Counter[tuple[int, int | None, str]], table: QuotaTable, cell: QuotaCell | None
) -> CellStand:
    def number(state: str) -> int:
        return counts[table.pk, cell.pk if cell else None, state]

    return CellStand(
        cell,
        cell.target if cell else 0,
        number(State.CONFIRMED),
        number(State.CLAIMED),
        number(Why.FULL) + number(Why.OUTSIDE),
    )


def kinds_of_people(study: Study) -> list[str]:
    """Who has come so far, the latest first; the study's own people if nobody has."""
    rows = QuotaClaim.objects.filter(table__study=study).order_by().values("people")
    found = rows.annotate(last=Max("pk")).order_by("-last").values_list("people", flat=True)
    usual = People.PILOT if study.state == Study.State.PILOT else People.LIVE
    return list(dict.fromkeys([*found, usual]))


def minutes_until_known(study: Study) -> float:
    """How far into the survey, at most, somebody can be turned away; 0 where it is at consent.

    Counts all pages that may come before the last answer that a table needs, in any drawn order.
    """
    names = {name for table in study.quotas.all() for name in table.fields}
    file = study.instrument.file
    seconds, until = 0.0, 0.0
    for entry in file.entries:
        is_drawn = isinstance(entry, Block) and entry.randomise
        for page in pages_of(entry):
            seconds += minutes.whole_page_s(page)
            if asks(page, names) and not is_drawn:
                until = seconds
        if is_drawn and any(asks(page, names) for page in pages_of(entry)):
            until = seconds
    return (seconds if file.randomise and until else until) / 60


def asks(page: Page, names: Collection[str]) -> bool:
    return any(question.code in names for question in page.questions)


def as_context(participant: Participant) -> dict[str, Any]:
    """What the page of somebody without a place says: why, of which pay, and where it leads."""
    refused = participant.quota_claims.filter(why__in=(Why.FULL, Why.OUTSIDE))
    claim = refused.select_related("table").order_by("-released_at").first()
    study = participant.study
    code = claim.table.completion_code if claim else ""
    return {
        "is_outside": claim is not None and claim.why == Why.OUTSIDE,
        "pay": claim.table.payment if claim else "",
        "code": code,
        "link": study.completion_url.replace("{code}", code) if code else "",
    }
