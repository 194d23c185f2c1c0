"""Quota tables as researchers write them: read from a CSV, checked as a whole, stored, changed.

The first line names the fields (`surveys.quota_fields`) and, last, `target` (people) or `share`
(of a total, as a census has it). Several values of one field stand beside each other with a |
between them; an empty field or a * takes everyone.
"""

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation
from itertools import combinations
from typing import Any

from django.db import transaction
from django.db.models import F, Sum
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from surveys.errors import DomainError
from surveys.instruments.schema import InstrumentFile
from surveys.models import QuotaCell, QuotaClaim, QuotaTable, Study, fingerprint
from surveys.quota_fields import QuotaField, field_of, same_people

TARGET, SHARE = "target", "share"
MOST_LINES = 1000
MOST_LETTERS = 300_000
MOST_PLACES = 1_000_000
MOST_PROBLEMS = 20
"""Beyond these a researcher corrects first and sends again."""
SHARES_MISS = Decimal("0.005")
"""Published shares are rounded: 33.3 three times is a whole."""


class TableError(ValueError):
    """A table that cannot be used: what is wrong, one line each; nothing of it was stored."""

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = list(problems)


@dataclass(frozen=True)
class Row:
    """A line of the table. amount: a target or a share; line: of the text, from 1."""

    line: int
    values: dict[str, list[str]]
    amount: Decimal


@dataclass
class Draft:
    """A table that was read: its fields, its rows, and the target of each row."""

    fields: list[str]
    rows: list[Row]
    targets: list[int]


@dataclass
class _Reading:
    """What is known while a table is read."""

    columns: list[QuotaField | None] = field(default_factory=list)
    """By their place; the last is None: the target or the share."""
    amount: str = TARGET
    rows: list[Row] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    def says(self, line: int, column: int, what: str) -> None:
        self.problems.append(
            _("Line %(line)d, column %(column)d: %(what)s")
            % {"line": line, "column": column, "what": what}
        )


def read(text: str, file: InstrumentFile, total: int | None) -> Draft:
    """A table from the text of a CSV. total: what the targets must add up to, if it is known.

    Raises TableError with every problem, each with its line and column.
    """
    reading = _Reading()
    lines = _lines(text)
    line, names = next(lines, (1, []))
    _read_head(reading, line, names, file)
    _stop_at_problems(reading)
    for line, texts in lines:
        _read_line(reading, line, texts)
    if not reading.rows and not reading.problems:
        reading.problems.append(_("Below the names of the columns there is no line."))
    _stop_at_problems(reading)
    _check_apart(reading)
    targets = _targets(reading, total)
    _stop_at_problems(reading)
    names = [column.name for column in reading.columns if column]
    return Draft(names, reading.rows, targets)


def _stop_at_problems(reading: _Reading) -> None:
    if reading.problems:
        raise TableError(reading.problems[:MOST_PROBLEMS])


def _lines(text: str) -> Any:
    """(line number, texts) of every line that is not empty. Raises TableError."""
    if len(text) > MOST_LETTERS:
        raise TableError([_("The table is longer than %d characters.") % MOST_LETTERS])
    if "\0" in text:
        raise TableError([_("This is no text: expected a CSV file, saved as UTF-8.")])
    text = text.removeprefix("\ufeff")
    head = text.lstrip().split("\n", 1)[0]
    delimiter = max((",", ";", "\t"), key=head.count)
    rows = csv.reader(io.StringIO(text), delimiter=delimiter, strict=True)
    try:
        for row in rows:
            texts = [cell.strip() for cell in row]
            if any(texts):
                yield rows.line_num, texts
    except csv.Error as error:
        raise TableError(
            [_("Line %(line)d: %(what)s") % {"line": rows.line_num, "what": error}]
        ) from error


def _read_head(reading: _Reading, line: int, names: list[str], file: InstrumentFile) -> None:
    if not names:
        reading.problems.append(
            _("The table is empty: expected a first line such as gender,target")
        )
        return
    *fields, last = names
    if last.casefold() not in (TARGET, SHARE):
        reading.says(
            line,
            len(names),
            _("“%s” stands here; expected target or share in the last column") % last,
        )
    reading.amount = last.casefold()
    if not fields:
        reading.says(line, 1, _("expected at least one field before it"))
    for place, name in enumerate(fields, start=1):
        try:
            reading.columns.append(field_of(name, file))
        except DomainError as error:
            reading.says(line, place, f"“{name}”: {error.message}")
        if name in fields[: place - 1]:
            reading.says(line, place, _("“%s” stands here twice") % name)
    reading.columns.append(None)


def _read_line(reading: _Reading, line: int, texts: list[str]) -> None:
    if len(reading.rows) >= MOST_LINES:
        raise TableError([_("The table has more than %d lines.") % MOST_LINES])
    if len(texts) != len(reading.columns):
        reading.problems.append(
            _("Line %(line)d: %(found)d columns; expected %(expected)d, as in the first line")
            % {"line": line, "found": len(texts), "expected": len(reading.columns)}
        )
        return
    before = len(reading.problems)
    values = {
        column.name: _read_values(reading, line, place, column, text)
        for place, (column, text) in enumerate(zip(reading.columns, texts, strict=True), start=1)
        if column
    }
    amount = _read_amount(reading, line, len(texts), texts[-1])
    if len(reading.problems) == before:
        reading.rows.append(Row(line, values, amount))


def _read_values(
    reading: _Reading, line: int, place: int, column: QuotaField, text: str
) -> list[str]:
    found: dict[str, None] = {}
    for part in map(str.strip, text.split("|")):
        if part in ("", "*"):
            continue
        try:
            found[column.read(part)] = None
        except DomainError as error:
            reading.says(line, place, f"{column.name} “{part}”: {error.message}")
    return [] if "*" in text.split("|") else sorted(found)


def _read_amount(reading: _Reading, line: int, place: int, text: str) -> Decimal:
    is_share = reading.amount == SHARE
    try:
        amount = Decimal(text.removesuffix("%").strip() if is_share else text)
    except InvalidOperation:
        amount = Decimal(-1)
    if is_share:
        if amount.is_finite() and amount >= 0:
            return amount
        expected = _("expected a share such as 0.125 or 12.5")
    else:
        if amount.is_finite() and 0 <= amount <= MOST_PLACES and amount == int(amount):
            return amount
        expected = _("expected a whole number of people")
    reading.says(line, place, f"“{text}”: {expected}")
    return Decimal(0)


def _check_apart(reading: _Reading) -> None:
    """Everybody fits one line at most."""
    for one, other in combinations(reading.rows, 2):
        if same_people(one.values, other.values):
            reading.problems.append(
                _(
                    "Line %(one)d and line %(other)d take the same people; "
                    "expected lines that nobody fits twice"
                )
                % {"one": one.line, "other": other.line}
            )
            if len(reading.problems) == MOST_PROBLEMS:
                return


def _targets(reading: _Reading, total: int | None) -> list[int]:
    amounts = [row.amount for row in reading.rows]
    if reading.amount == SHARE:
        return _targets_from_shares(reading, amounts, total)
    targets = [int(amount) for amount in amounts]
    if total is not None and sum(targets) != total:
        reading.problems.append(
            _("The targets add up to %(sum)d; expected %(total)d")
            % {"sum": sum(targets), "total": total}
        )
    return targets


def _targets_from_shares(
    reading: _Reading, shares: Sequence[Decimal], total: int | None
) -> list[int]:
    if total is None:
        reading.problems.append(_("Shares need a total: how many people are wanted in all?"))
        return []
    whole = sum(shares, Decimal(0))
    # Of one, or of a hundred.
    of = Decimal(100) if whole > 2 else Decimal(1)
    if abs(whole / of - 1) > SHARES_MISS:
        reading.problems.append(
            _("The shares add up to %(sum)s; expected 1 or 100") % {"sum": f"{whole.normalize():f}"}
        )
        return []
    return shared_out(total, shares)


def shared_out(total: int, shares: Sequence[Decimal]) -> list[int]:
    """Whole numbers near shares × total that add up to the total (largest remainder).

    Equal remainders go to the earlier line.
    """
    whole = sum(shares, Decimal(0))
    exact = [share * total / whole for share in shares]
    parts = [int(amount) for amount in exact]
    by_remainder = sorted(range(len(exact)), key=lambda place: parts[place] - exact[place])
    for place in by_remainder[: total - sum(parts)]:
        parts[place] += 1
    return parts


def as_csv(table: QuotaTable) -> str:
    """The table as `read` takes it."""
    out = io.StringIO()
    rows = csv.writer(out, lineterminator="\n")
    rows.writerow([*table.fields, TARGET])
    for cell in table.cells.all():
        rows.writerow([*(" | ".join(cell.values[n]) or "*" for n in table.fields), cell.target])
    return out.getvalue()


# Storing


@transaction.atomic
def store(
    study: Study,
    draft: Draft | None,
    settings: Mapping[str, Any],
    table: QuotaTable | None = None,
    version: int | None = None,
) -> QuotaTable:
    """A new table, or other settings and cells for one that was seen in this version.

    settings: fields of QuotaTable. The same sent twice is stored once. Raises DomainError if
    somebody changed it meanwhile, or if people hold places that would be gone.
    """
    Study.objects.select_for_update(of=("self",)).only("pk").get(pk=study.pk)
    named = study.quotas.filter(name=settings["name"]).first()
    if named and is_same(named, draft, settings):
        return named
    if named and named != table:
        raise DomainError("name", _("This study has a table of this name; choose another."))
    if table is None:
        assert draft is not None, "a new table has cells"
        table = QuotaTable.objects.create(study=study, fields=draft.fields, **settings)
    else:
        table = locked(table, version)
        change(table, draft, settings)
    if draft:
        replace_cells(table, draft)
    return table


def is_same(table: QuotaTable, draft: Draft | None, settings: Mapping[str, Any]) -> bool:
    if any(getattr(table, name) != value for name, value in settings.items()):
        return False
    if draft is None:
        return True
    wanted = {fingerprint(r.values): t for r, t in zip(draft.rows, draft.targets, strict=True)}
    return dict(table.cells.values_list("key", "target")) == wanted


def change(table: QuotaTable, draft: Draft | None, settings: Mapping[str, Any]) -> None:
    for name, value in settings.items():
        setattr(table, name, value)
    if draft:
        check_fields(table, draft)
        table.fields = draft.fields
    table.version += 1
    table.save(update_fields=[*settings, "fields", "version"])


def locked(table: QuotaTable, version: int | None) -> QuotaTable:
    """Raises DomainError unless it is in the version that the researcher has seen."""
    row = QuotaTable.objects.select_for_update(of=("self",)).get(pk=table.pk)
    if row.version != version:
        raise DomainError(
            "changed",
            _(
                "Somebody else has changed this table since you opened it. Nothing of yours was "
                "stored; below is how it stands now."
            ),
        )
    return row


def check_fields(table: QuotaTable, draft: Draft) -> None:
    if draft.fields != table.fields and table.claims.exists():
        raise DomainError(
            "fields",
            _(
                "People hold places in this table by %(fields)s; expected the same columns. For "
                "others, add a table of its own."
            )
            % {"fields": ", ".join(table.fields)},
        )


def replace_cells(table: QuotaTable, draft: Draft) -> None:
    """Cells that the table had before keep their places, with the new target."""
    cells = [
        QuotaCell(
            table=table,
            position=position,
            values=row.values,
            key=fingerprint(row.values),
            target=target,
        )
        for position, (row, target) in enumerate(zip(draft.rows, draft.targets, strict=True))
    ]
    gone = table.cells.exclude(key__in=[cell.key for cell in cells])
    held = QuotaClaim.objects.held().filter(cell__in=gone).count()
    if held:
        raise DomainError(
            "held",
            ngettext(
                "%d person holds a place that the new table does not have. Leave its line in, "
                "with a target of 0 if nobody else should come.",
                "%d people hold places that the new table does not have. Leave their lines in, "
                "with a target of 0 if nobody else should come.",
                held,
            )
            % held,
        )
    QuotaClaim.objects.filter(cell__in=gone).update(cell=None)
    gone.delete()
    QuotaCell.objects.bulk_create(
        cells,
        update_conflicts=True,
        unique_fields=["table", "key"],
        update_fields=["position", "values", "target"],
    )


@transaction.atomic
def set_targets(table: QuotaTable, targets: Mapping[int, int], version: int | None) -> None:
    """Other numbers for the same cells, by id. Fewer than there are people in it close a cell."""
    cells = table.cells.select_for_update(of=("self",)).order_by("pk")
    changed = [cell for cell in cells if targets.get(cell.pk, cell.target) != cell.target]
    if not changed:
        return
    locked(table, version)
    for cell in changed:
        cell.target = targets[cell.pk]
    QuotaCell.objects.bulk_update(changed, ["target"])
    QuotaTable.objects.filter(pk=table.pk).update(version=F("version") + 1)


def problems(study: Study) -> list[str]:
    """What does not add up between a study's tables and its questionnaire, in words."""
    found: list[str] = []
    tables = list(study.quotas.annotate(places=Sum("cells__target")))
    sums = {table.places or 0 for table in tables}
    if len(sums) > 1:
        found.append(
            _("The tables want different numbers of people: %s.")
            % ", ".join(f"{table.name} {table.places or 0}" for table in tables)
        )
    texts = study.instrument.file.conversation
    known = {kind.code for kind in texts.types} if texts else set()
    found += [
        _("conversations_in_all: the questionnaire has no type “%s”.") % code
        for code in study.protocol.conversations_in_all
        if code not in known
    ]
    for table in tables:
        for name in table.fields:
            try:
                field_of(name, study.instrument.file)
            except DomainError as error:
                found.append(f"{table.name}, {name}: {error.message}")
    return found
