"""What could tell who somebody in a release is, and what therefore keeps it from being published.

Three things are looked at: who may still withdraw, ids from outside, and small cells, people whom
few others share their age, country and whatever else somebody may know of them.
"""

import json
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import chain
from pathlib import Path
from typing import Any

from django.db.models import Exists, OuterRef, Q
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from collection import personal
from collection.export.plan import FILES
from collection.models import Conversation
from surveys.models import Identity, Invitation, Participant, Study, Submission
from surveys.models.people import ParticipantQuerySet

Row = Mapping[str, Any]


def undecided_pii(study: Study) -> int:
    """Texts that a detector took for personal information and nobody has judged yet."""
    rows = personal.reviews(study).filter(is_flagged=True, is_personal__isnull=True)
    return rows.count()


@dataclass(frozen=True)
class Obstacle:
    """Why a public release cannot be. code: recent, pii or nobody."""

    code: str
    words: str


def obstacles(study: Study, *, leave_out_recent: bool, with_pilot: bool) -> list[Obstacle]:
    """What keeps a study's data from being released in public now."""
    return list(_obstacles(study, leave_out_recent, with_pilot))


def _obstacles(study: Study, leave_out_recent: bool, with_pilot: bool) -> Iterator[Obstacle]:
    people = study.participants.released(with_pilot=with_pilot)
    recent = people.filter(pk__in=may_withdraw(study).values("pk"))
    if not people.exists():
        yield Obstacle("nobody", _("Nobody’s data can be released yet."))
    elif leave_out_recent and not people.exclude(pk__in=recent.values("pk")).exists():
        yield Obstacle("nobody", _("Nobody is left: everybody may still withdraw."))
    if not leave_out_recent and (number := recent.count()):
        yield Obstacle(
            "recent",
            ngettext(
                "%(number)d person may still withdraw, for %(days)d days after they finish. Wait, "
                "or leave them out.",
                "%(number)d people may still withdraw, for %(days)d days after they finish. Wait, "
                "or leave them out.",
                number,
            )
            % {"number": number, "days": study.withdrawal_days},
        )
    if number := undecided_pii(study):
        yield Obstacle(
            "pii",
            ngettext(
                "%d text may hold personal information and waits for somebody’s decision.",
                "%d texts may hold personal information and wait for somebody’s decision.",
                number,
            )
            % number,
        )


def may_withdraw(study: Study, since: datetime | None = None) -> ParticipantQuerySet:
    """People inside the withdrawal window, at a moment or now; simulated ones never are.

    The window opens when somebody finishes. Of who never did, it opens with the last that they
    are known to have done, or an unfinished conversation would keep a release waiting for ever.
    """
    now = since or timezone.now()
    midnight = now.replace(hour=0, minute=0, second=0, microsecond=0)
    edge = midnight - timedelta(days=study.withdrawal_days)
    talked = Conversation.objects.filter(participant=OuterRef("pk"), started_at__gte=edge)
    later = Q(stopped_at__gte=edge) | Q(survey_finished_at__gte=edge) | Exists(talked)
    people = Participant.objects.filter(study=study, is_simulated=False)
    return people.filter(Q(completed_at__gte=edge) | Q(completed_at__isnull=True) & later)


# Ids from outside

WORD = re.compile(r"\w+")
LEAST_LENGTH = 6
"""Shorter ones, and those without a digit or a sign, are ordinary words, which texts may have."""
LONGER_THAN_WORDS = 16
"""Random letters happen to be without a digit now and then."""
TEXTS = {".jsonl", ".json", ".csv", ".tsv", ".md", ".html", ".cff", ".txt", ".yaml", ".yml"}


@dataclass(frozen=True)
class Find:
    """Where an id from outside stands. It is not named here: this is shown and kept."""

    file: str
    line: int


@dataclass(frozen=True)
class Scan:
    looked_for: int
    too_short: int
    """Ids that cannot be told from words or numbers."""
    found: list[Find]


def scan(folder: Path, ids: Iterable[str]) -> Scan:
    """Every text file of a folder, for ids by which somebody outside knows a person."""
    known = {text.strip() for text in ids} - {""}
    wanted = {text for text in known if is_telling(text)}
    by_word: dict[str, list[str]] = {}
    for text in wanted:
        by_word.setdefault(max(WORD.findall(text.casefold()), key=len), []).append(text.casefold())
    found = [
        Find(path.relative_to(folder).as_posix(), number)
        for path in paths_of(folder)
        for number, line in enumerate(lines_of(path), start=1)
        if has_any(line.casefold(), by_word)
    ]
    return Scan(len(wanted), len(known) - len(wanted), found)


def paths_of(folder: Path) -> list[Path]:
    """PRISM's files first, as people know them: what they say, the others repeat."""
    places = {f"{name}.jsonl": place for place, name in enumerate(FILES)}
    found = [path for path in folder.rglob("*") if path.is_file()]
    return sorted(found, key=lambda path: (places.get(path.name, len(places)), path))


def is_telling(text: str) -> bool:
    has_mark = any(c.isdigit() or c == "@" for c in text)
    is_long = len(text) >= LONGER_THAN_WORDS
    return len(text) >= LEAST_LENGTH and (has_mark or is_long) and bool(WORD.search(text))


def has_any(line: str, by_word: Mapping[str, Sequence[str]]) -> bool:
    hits = by_word.keys() & set(WORD.findall(line))
    return any(text in line for word in hits for text in by_word[word])


def lines_of(path: Path) -> Iterator[str]:
    if path.suffix in TEXTS:
        with path.open(encoding="utf-8", errors="replace") as file:
            yield from file
    elif path.suffix == ".parquet":
        import pyarrow.parquet

        with pyarrow.parquet.ParquetFile(path) as table:
            for batch in table.iter_batches(batch_size=1000):
                yield from (
                    json.dumps(row, default=str, ensure_ascii=False) for row in batch.to_pylist()
                )


def external_ids(study: Study) -> set[str]:
    """By which recruiters and invitations know people. What several share tells of nobody."""
    identities = Identity.objects.filter(study=study)
    given = identities.values_list("external_id", "session_id")
    shared = Counter(
        text
        for parameters in identities.values_list("parameters", flat=True)
        for text in {str(value) for value in parameters.values()}
    )
    submissions = Submission.objects.filter(recruitment__study=study)
    invitations = Invitation.objects.filter(recruitment__study=study)
    keys = study.participants.values_list("key", flat=True)
    return {
        *chain.from_iterable(given),
        *(text for text, number in shared.items() if number == 1),
        *chain.from_iterable(submissions.values_list("external_id", "person")),
        *chain.from_iterable(invitations.values_list("label", "address", "token")),
        *keys,
    }


# Small cells

COARSER = {
    "location.birth_country": "location.birth_subregion",
    "location.birth_countryISO": "location.birth_subregion",
    "location.birth_subregion": "location.birth_region",
    "location.reside_country": "location.reside_subregion",
    "location.reside_countryISO": "location.reside_subregion",
    "location.reside_subregion": "location.reside_region",
    "ethnicity.self_described": "ethnicity.categorised",
    "ethnicity.categorised": "ethnicity.simplified",
    "religion.self_described": "religion.categorised",
    "religion.categorised": "religion.simplified",
}
"""A column -> one that the release also has and that says less."""
BAND = re.compile(r"(\d+)\s*[-–]\s*(\d+)")
WIDER = 2
"""So many neighbouring bands become one."""
MOST_SHOWN = 50
GONE = "–"


@dataclass
class Cells:
    """How many people share each combination of values."""

    columns: list[str]
    threshold: int
    people: int
    k: int
    """Size of the smallest cell; 0 without people."""
    cells: int
    small_people: int
    """In cells of fewer than the threshold."""
    smallest: list[tuple[list[str], int]] = field(default_factory=list)
    advice: list[dict[str, Any]] = field(default_factory=list)
    """Steps, each on top of those before: column, what to do, people in small cells after it."""


def small_cells(rows: Sequence[Row], columns: Sequence[str], threshold: int) -> Cells:
    """rows: of survey.jsonl; columns: paths in it."""
    table = [[value_at(row, column) for column in columns] for row in rows]
    counts = Counter(map(tuple, table))
    small = sorted(
        ((list(cell), number) for cell, number in counts.items() if number < threshold),
        key=lambda pair: (pair[1], pair[0]),
    )
    found = Cells(
        columns=list(columns),
        threshold=threshold,
        people=len(rows),
        k=min(counts.values(), default=0),
        cells=len(counts),
        small_people=sum(number for _cell, number in small),
        smallest=small[:MOST_SHOWN],
    )
    found.advice = list(advice(rows, list(columns), threshold, found.small_people))
    return found


def value_at(row: Row, path: str) -> str:
    value: Any = row
    for key in path.split("."):
        value = value.get(key) if isinstance(value, Mapping) else None
    return GONE if value is None else str(value)


Way = tuple[str, str, Callable[[Row], str]]
"""(column, what to do with it in words, the value that a row then has)"""


def advice(
    rows: Sequence[Row], columns: list[str], threshold: int, small: int
) -> Iterator[dict[str, Any]]:
    """The step that helps most, then the next, until nobody is in a small cell or none helps."""
    taken = {column: at_path(column) for column in columns}
    at = {column: column for column in columns}
    while small:
        tried = [
            (in_small_cells(rows, {**taken, column: way}, threshold), place, column, to, words, way)
            for column in columns
            if at[column]
            for place, (to, words, way) in enumerate(ways(rows, at[column]))
        ]
        helping = [step for step in tried if step[0] < small]
        # A column is left out only where nothing that keeps part of it helps.
        gentle = [step for step in helping if step[3]] or helping
        if not gentle:
            return
        best = min(gentle, key=lambda step: step[:3])
        small, _place, column, to, words, way = best
        taken[column], at[column] = way, to
        yield {"column": column, "words": words, "small_people": small}


def in_small_cells(
    rows: Sequence[Row], taken: Mapping[str, Callable[[Row], str]], threshold: int
) -> int:
    counts = Counter(tuple(way(row) for way in taken.values()) for row in rows)
    return sum(number for number in counts.values() if number < threshold)


def ways(rows: Sequence[Row], column: str) -> list[Way]:
    """(what the column then is, words, value); the last leaves it out, and then it is nothing."""
    found: list[Way] = []
    if coarser := COARSER.get(column):
        words = _("use %(coarser)s in place of %(column)s")
        found.append((coarser, words % {"coarser": coarser, "column": column}, at_path(coarser)))
    values = sorted({value_at(row, column) for row in rows} - {GONE})
    if bands := wider_bands(values):
        named = ", ".join(dict.fromkeys(bands.values()))
        words = _("make wider bands of %(column)s: %(bands)s")
        said = words % {"column": column, "bands": named}
        found.append((f"{column} in bands", said, banded(column, bands)))
    found.append(("", _("leave %s out") % column, lambda _row: ""))
    return found


def at_path(path: str) -> Callable[[Row], str]:
    return lambda row: value_at(row, path)


def banded(column: str, bands: Mapping[str, str]) -> Callable[[Row], str]:
    def value(row: Row) -> str:
        found = value_at(row, column)
        return bands.get(found, found)

    return value


def wider_bands(values: Sequence[str]) -> dict[str, str]:
    """ "18-24 years old" -> "18-34", two bands in one; numbers become bands of ten."""
    spans = [(int(m[1]), int(m[2]), v) for v in values if (m := BAND.search(v))]
    if len(spans) > WIDER:
        spans.sort()
        groups = [spans[at : at + WIDER] for at in range(0, len(spans), WIDER)]
        return {v: f"{group[0][0]}-{group[-1][1]}" for group in groups for _l, _h, v in group}
    numbers = [value for value in values if value.lstrip("-").isdigit()]
    if numbers and len(numbers) == len(values) and len(numbers) > WIDER:
        return {v: f"{int(v) // 10 * 10}-{int(v) // 10 * 10 + 9}" for v in numbers}
    return {}
