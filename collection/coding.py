"""What people typed about themselves, coded by two researchers who do not see each other's answers.

The unit is a string at one question together with what the recruiter's own field of the same name
says: `ethnicity` in the link of somebody who was recruited. As PRISM did (Kirk et al., 2024,
appendix F), but nothing is coded by a string alone where the recruiter knows more.
"""

import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any

from django.contrib.auth.models import User
from django.db import transaction
from django.db.models import Count, Exists, F, OuterRef, Q, QuerySet
from django.utils import timezone
from django.utils.translation import gettext as _

from collection.export.cells import cleaned
from collection.export.derive import DECLINED, codes_of
from collection.models import CodingPlan, Description, Judgement, Typed
from surveys import veil
from surveys.errors import DomainError
from surveys.instruments.released import column_of, is_coded
from surveys.instruments.schema import Question
from surveys.models import Identity, Instrument, Participant, Response, Study

JUDGES = 2
RECRUITER_LIMIT = 200
AT_ONCE = 200
"""Answers of one transaction."""


# What there is to code


def questions(study: Study) -> dict[str, Question]:
    """Code -> question, of all that is coded in the versions that people answered.

    The newest version has the say on categories.
    """
    used = Instrument.objects.filter(
        Q(pk=study.instrument_id) | Q(pk__in=study.participants.order_by().values("instrument"))
    ).order_by("created_at", "pk")
    found: dict[str, Question] = {}
    for row in used:
        found |= {q.code: q for q in row.file.questions() if is_coded(q)}
    current = study.instrument.file.questions()
    return found | {q.code: q for q in current if is_coded(q)}


def sync_all() -> int:
    """All studies; how many answers were new."""
    return sum(sync(study) for study in Study.objects.select_related("instrument"))


def sync(study: Study) -> int:
    """Make a description of each string that was typed and has none; how many answers that were.

    Twice or at the same time does no more than once. A known string takes the category it has.
    """
    known = questions(study)
    chosen = Q(pk__in=[])
    for code, question in known.items():
        chosen |= Q(question=code, value__choice=getattr(question, "self_describe", None))
    new = Response.objects.filter(
        chosen,
        participant__study=study,
        participant__survey_finished_at__isnull=False,
        participant__withdrawn_at__isnull=True,
        is_shown=True,
        typed__isnull=True,
    )
    keys = list(new.order_by("pk").values_list("pk", flat=True))
    parts = (keys[start : start + AT_ONCE] for start in range(0, len(keys), AT_ONCE))
    return sum(describe(study, known, some) for some in parts)


@transaction.atomic
def describe(study: Study, known: Mapping[str, Question], keys: Sequence[int]) -> int:
    """How many of these answers have a description now, and had none."""
    # Who withdraws waits for us, and what we made then goes with the rest.
    people = Participant.objects.filter(
        withdrawn_at__isnull=True, pk__in=Response.objects.filter(pk__in=keys).values("participant")
    )
    present = set(people.select_for_update().order_by("pk").values_list("pk", flat=True))
    rows = Response.objects.filter(pk__in=keys, participant__in=present, typed__isnull=True)
    links = links_of(present)
    made: dict[int, Description] = {}
    for row in rows:
        text = cleaned(row.value.get("text") or "")
        if text != DECLINED:  # which needs no coding
            said = recruiter_said(links.get(row.participant_id, {}), known[row.question])
            made[row.pk] = Description(
                study=study,
                question=row.question,
                mark=mark_of(text, said),
                text=text,
                recruiter_said=said,
            )
    Description.objects.bulk_create(unlike(made.values()), ignore_conflicts=True)
    same = Description.objects.filter(study=study, mark__in={row.mark for row in made.values()})
    # Locked, so that a withdrawal does not take away what somebody else typed as well.
    known_by = {(row.question, row.mark): row for row in same.select_for_update().order_by("pk")}
    Typed.objects.bulk_create(
        (
            Typed(response_id=pk, description=known_by[row.question, row.mark])
            for pk, row in made.items()
        ),
        ignore_conflicts=True,
    )
    return len(made)


def unlike(rows: Iterable[Description]) -> Iterable[Description]:
    return {(row.question, row.mark): row for row in rows}.values()


def links_of(people: Iterable[int]) -> dict[int, dict[str, Any]]:
    """Participant -> what their recruiter's link carried."""
    rows = Identity.objects.filter(participant__in=people)
    return dict(rows.values_list("participant", "parameters"))


def recruiter_said(link: Mapping[str, Any], question: Question) -> str:
    """The recruiter's own field of the question's name; empty if there is none."""
    for name, value in link.items():
        if name.casefold() == column_of(question).casefold() and isinstance(value, str):
            return value.strip()[:RECRUITER_LIMIT]
    return ""


def covered(text: str, passages: veil.Passages) -> str:
    """A description without the passages, which lose their capitals and punctuation with it."""
    return veil.covered(text, [*passages, *filter(None, map(cleaned, passages))])


def mark_of(text: str, said: str) -> str:
    return sha256(json.dumps([text, said]).encode()).hexdigest()


def forget(participant: Participant, **_signal: Any) -> None:
    """What nobody typed any more goes with the last who did: a receiver of `withdrawn`."""
    alone = Description.objects.filter(study=participant.study_id).exclude(
        Exists(Typed.objects.filter(description=OuterRef("pk")))
    )
    keys = list(alone.select_for_update().values_list("pk", flat=True))
    # Once more under the lock: somebody else may have typed the same meanwhile.
    alone.filter(pk__in=keys).delete()


# Judging


def this_round(rows: QuerySet[Any] | None = None) -> QuerySet[Judgement]:
    found = Judgement.objects.filter(round=F("description__round"))
    return found if rows is None else found.filter(description__in=rows)


def open_rows(study: Study, question: str) -> QuerySet[Any]:
    """Not settled, with `judged`: how many have judged it in this round."""
    now = Q(judgements__round=F("round"))
    rows = Description.objects.filter(study=study, question=question, category="")
    # Joined to those who typed it, judgements would be multiplied: so by a subquery.
    typed = Typed.objects.filter(description=OuterRef("pk"))
    return rows.filter(Exists(typed)).annotate(judged=Count("judgements", filter=now))


def to_judge(study: Study, question: str, name: str) -> QuerySet[Description]:
    """What awaits this researcher: what a colleague has judged already comes first."""
    mine = this_round().filter(researcher_name=name).values("description")
    rows = open_rows(study, question).filter(judged__lt=JUDGES).exclude(pk__in=mine)
    return rows.order_by("-judged", "pk")


def to_settle(study: Study, question: str) -> QuerySet[Description]:
    """Two have judged it, and differ."""
    return open_rows(study, question).filter(judged__gte=JUDGES).order_by("pk")


@transaction.atomic
def judge(
    description: Description, category: str, researcher: User, allowed: Iterable[str]
) -> Description:
    """Keep what a researcher says; settled if two say the same.

    One's own judgement can be changed until a colleague has given theirs. Raises DomainError.
    """
    row = locked(description)
    check_category(category, allowed)
    name = researcher.get_username()
    given = {j.researcher_name: j for j in row.judgements.filter(round=row.round)}
    mine = given.get(name)
    if mine is not None and mine.category == category:
        return row
    if row.category or len(given) >= JUDGES:
        raise DomainError(
            "judged",
            _("Two colleagues have judged this meanwhile. Here is the next one.")
            if mine is None
            else _("Your colleague has judged this too, so your answer stands as it was."),
        )
    if mine is None:
        suggested = suggestion_for(row, CodingPlan.Show.JUDGING)
        row.judgements.create(
            round=row.round,
            researcher=researcher,
            researcher_name=name,
            category=category,
            suggested=suggested,
        )
    else:
        Judgement.objects.filter(pk=mine.pk).update(category=category)
    said = [*row.judgements.filter(round=row.round).values_list("category", flat=True)]
    if len(said) == JUDGES and len(set(said)) == 1:
        keep(row, category, Description.Way.AGREED, "")
    return row


def locked(description: Description) -> Description:
    row = Description.objects.select_for_update().filter(pk=description.pk).first()
    if row is None:
        raise DomainError("gone", _("Whoever typed this has withdrawn. Here is the next one."))
    return row


def check_category(category: str, allowed: Iterable[str]) -> None:
    if category not in allowed:
        raise DomainError("category", _("Please choose one of the categories."))


@transaction.atomic
def settle(
    description: Description,
    category: str,
    researcher: User,
    allowed: Iterable[str],
    *,
    together: bool = False,
) -> Description:
    """Settle a disagreement: a third researcher does, or one of the two for both.

    together: the two have talked, and agree on this. Raises DomainError.
    """
    row = locked(description)
    check_category(category, allowed)
    if row.category == category and row.settled_by:
        return row
    if row.category:
        raise DomainError("settled", _("This has been settled meanwhile."))
    names = set(row.judgements.filter(round=row.round).values_list("researcher_name", flat=True))
    if len(names) < JUDGES:
        raise DomainError("early", _("Two researchers judge it first."))
    is_judge = researcher.get_username() in names
    if is_judge and not together:
        raise DomainError(
            "own",
            _(
                "You are one of the two: talk to your colleague and tick that you agree, or leave "
                "it to somebody else."
            ),
        )
    way = Description.Way.TOGETHER if is_judge else Description.Way.THIRD
    keep(row, category, way, researcher.get_username())
    return row


def keep(row: Description, category: str, way: str, by: str) -> None:
    row.category, row.way, row.settled_by, row.settled_at = category, way, by, timezone.now()
    row.save(update_fields=["category", "way", "settled_by", "settled_at"])


@transaction.atomic
def open_again(description: Description) -> Description:
    """Two researchers judge it anew; what was said before is kept, and counts no more."""
    row = locked(description)
    if not row.category:
        return row
    row.round += 1
    row.category, row.way, row.settled_by, row.settled_at = "", "", "", None
    row.save(update_fields=["round", "category", "way", "settled_by", "settled_at"])
    return row


def suggestion_for(row: Description, moment: CodingPlan.Show) -> str:
    """The model's suggestion, if the study wants it seen at this moment; else nothing."""
    plan = CodingPlan.objects.filter(study=row.study_id).first()
    if plan is None or not is_shown(plan, moment):
        return ""
    found = getattr(row, "suggestion", None)
    return found.category if found else ""


def is_shown(plan: CodingPlan, moment: CodingPlan.Show) -> bool:
    """Who sees it as they judge sees it as they settle too."""
    return plan.show == moment or plan.show == CodingPlan.Show.JUDGING


# Agreement


@dataclass(frozen=True)
class Agreement:
    """Of two researchers over the strings that both judged; kappa: None where chance alone would
    agree on all of them."""

    names: tuple[str, str]
    number: int
    agreed: int
    kappa: float | None

    @property
    def share(self) -> float:
        return self.agreed / self.number


def kappa(pairs: Sequence[tuple[str, str]]) -> float | None:
    """Cohen's, of what the first and the second said of the same things (Cohen, 1960)."""
    n = len(pairs)
    if not n:
        return None
    observed = sum(one == other for one, other in pairs) / n
    first, second = Counter(one for one, _o in pairs), Counter(other for _o, other in pairs)
    expected = sum(first[code] * second[code] for code in first) / n**2
    return None if expected == 1 else (observed - expected) / (1 - expected)


def agreements(study: Study, question: str) -> list[Agreement]:
    """Of every two researchers who judged the same strings, those with the most first."""
    said: dict[int, list[tuple[str, str]]] = defaultdict(list)
    rows = this_round().filter(description__study=study, description__question=question)
    for pk, name, category in rows.values_list("description", "researcher_name", "category"):
        said[pk].append((name, category))
    pairs: dict[tuple[str, str], list[tuple[str, str]]] = defaultdict(list)
    for judged in said.values():
        if len(judged) == JUDGES:
            (one, first), (other, second) = sorted(judged)
            pairs[one, other].append((first, second))
    found = [
        Agreement(names, len(of), sum(a == b for a, b in of), kappa(of))
        for names, of in pairs.items()
    ]
    return sorted(found, key=lambda each: (-each.number, each.names))


@dataclass(frozen=True)
class Standing:
    """Where the coding of a question is. Strings, but for `people`."""

    question: str
    people: int = 0
    people_coded: int = 0
    strings: int = 0
    settled: int = 0
    differing: int = 0
    agreements: list[Agreement] = field(default_factory=list)

    @property
    def number(self) -> int:
        """Strings that two have judged."""
        return sum(each.number for each in self.agreements)

    @property
    def share(self) -> float | None:
        """Of them, on how many the two agreed."""
        agreed = sum(each.agreed for each in self.agreements)
        return agreed / self.number if self.number else None

    @property
    def kappa(self) -> float | None:
        """Of the two researchers, if the same two judged all of them."""
        return self.agreements[0].kappa if len(self.agreements) == 1 else None


def standing(study: Study, question: str) -> Standing:
    people = Typed.objects.filter(description__study=study, description__question=question)
    is_settled = ~Q(description__category="")
    return Standing(
        question,
        **people.aggregate(
            people=Count("pk"),
            people_coded=Count("pk", filter=is_settled),
            strings=Count("description", distinct=True),
            settled=Count("description", distinct=True, filter=is_settled),
        ),
        differing=to_settle(study, question).count(),
        agreements=agreements(study, question),
    )


def choices(question: Question) -> dict[str, str]:
    """Code -> label of all that a string may be coded as."""
    return codes_of(question)
