"""Personal links: people in by CSV, their links out, and to whom they went kept apart."""

import csv
import io

from django.db import transaction
from django.utils.translation import gettext as _

from surveys.errors import DomainError
from surveys.models import Invitation, Recruitment, new_key
from surveys.recruiting import link_of
from surveys.recruitment_table import Problem, TableErrors, cells_of

COLUMNS = ("label", "e-mail")
MOST = 20_000


@transaction.atomic
def invite(recruitment: Recruitment, data: bytes) -> list[Invitation]:
    """Of a CSV with the columns label and e-mail (one is enough). Known people are kept once."""
    if recruitment.kind != Recruitment.Kind.INVITATIONS:
        raise DomainError("not_invited", _("%s has no personal links.") % recruitment)
    made = []
    for label, address in people_in(data):
        row, _is_new = Invitation.objects.get_or_create(
            recruitment=recruitment, label=label, address=address, defaults={"token": new_key()}
        )
        made.append(row)
    return made


def people_in(data: bytes) -> list[tuple[str, str]]:
    """(label, address) of each line. Raises TableErrors."""
    rows = cells_of(data, needed=(), allowed=COLUMNS, most=MOST)
    problems, found = [], []
    for row in rows:
        label, address = row.cells.get("label", ""), row.cells.get("e-mail", "")
        if "e-mail" in row.cells and address and not is_address(address):
            words = _("“%s” is no e-mail address.") % address
            problems.append(Problem(row.line, "e-mail", words))
        if len(label) > 200:
            problems.append(Problem(row.line, "label", _("A label has 200 characters at most.")))
        found.append((label, address))
    if problems:
        raise TableErrors(problems)
    return found


def is_address(text: str) -> bool:
    name, _at, host = text.rpartition("@")
    return bool(name) and "." in host and len(text) <= 254 and not any(c.isspace() for c in text)


def links_csv(recruitment: Recruitment, base_url: str) -> str:
    """label, e-mail, link: to send with a mail program."""
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow(["label", "e-mail", "link"])
    for row in recruitment.invitations.order_by("pk"):
        link = link_of(recruitment, base_url, row)
        writer.writerow([guarded(row.label), guarded(row.address), link])
    return out.getvalue()


def guarded(cell: str) -> str:
    """A spreadsheet must not take it for a formula."""
    return f"'{cell}" if cell.startswith(("=", "+", "-", "@", "\t", "\r")) else cell
