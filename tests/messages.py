"""The texts that participants read, as the code has them, and the catalogues that translate them.

`python -m tests.messages` brings every catalogue up to date with the code and compiles it. A new
language begins with a folder in templates/locale.
"""

import re
from collections.abc import Iterator
from fnmatch import fnmatch
from io import BytesIO
from pathlib import Path

from babel.messages.catalog import Catalog, Message
from babel.messages.extract import extract
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po, write_po
from django.utils.translation.template import templatize

from tests.servers import ROOT

LOCALE = ROOT / "templates" / "locale"
SOURCES = ("templates/**/*.html", "surveys/**/*.py", "collection/**/*.py", "platform/**/*.py")
NOT_PARTICIPANTS = (
    "*/admin/*",
    "*/admin.py",
    "*/desk_*.py",
    "*/forms.py",
    "*/management/*",
    "*/metadata_forms.py",
    "*/models/*.py",  # help texts
    "*/quota_fields.py",
    "*/quota_forms.py",
    "*/quota_tables.py",
    "*/readout.py",
    "*/release_forms.py",
    "*/standing.py",
    "*/transcript.py",
    "*/workshop.py",
    "collection/alerts.py",
    "collection/api/*",
    "collection/building.py",
    "collection/census.py",
    "collection/coding.py",
    "collection/detecting.py",
    "collection/detectors/*",
    "collection/disclosure.py",
    "collection/downloads.py",
    "collection/hub.py",
    "collection/personal.py",
    "collection/presets.py",
    "collection/protocol_file.py",
    "collection/quality.py",
    "collection/readiness.py",
    "collection/releases.py",
    "collection/reviewing.py",
    "collection/setup_forms.py",
    "collection/trials.py",
    "collection/watching.py",
    "platform/config/desk.py",
    "surveys/decisions.py",
    "surveys/editing.py",
    "surveys/inbox.py",
    "surveys/instruments/diff.py",
    "surveys/instruments/explain.py",
    "surveys/instruments/minutes.py",
    "surveys/instruments/possible.py",
    "surveys/instruments/reach.py",
    "surveys/instruments/review.py",
    "surveys/invitations.py",
    "surveys/preview.py",
    "surveys/recruiting.py",
    "surveys/recruitment_table.py",
    "surveys/requests.py",
    "surveys/retention.py",
    "surveys/sign_in.py",
    "surveys/studies.py",
    "surveys/two_factor.py",
    "surveys/versions.py",
    "templates/surveys/home.html",  # belongs to no study, so nobody has chosen a language
)
"""What only researchers read: the desk is English."""
KEYWORDS: dict[str, tuple[int | tuple[int, str], ...] | None] = {
    "_": None,
    "gettext": None,
    "gettext_lazy": None,
    "ngettext": (1, 2),
    "ngettext_lazy": (1, 2),
    "npgettext": ((1, "c"), 2, 3),
    "pgettext": ((1, "c"), 2),
    "pgettext_lazy": ((1, "c"), 2),
}
HEADER = """\
# What participants read in Refract, translated.
#
# DRAFT, awaiting review: no study should be launched in this language before a named person who
# speaks it has read these texts and stands by them."""


def sources() -> Iterator[Path]:
    for pattern in SOURCES:
        for path in sorted(ROOT.glob(pattern)):
            name = path.relative_to(ROOT).as_posix()
            if not any(fnmatch(name, known) for known in NOT_PARTICIPANTS):
                yield path


def as_python(path: Path) -> str:
    """A template as the calls of gettext that it stands for."""
    text = path.read_text()
    if path.suffix == ".py":
        return text
    # What is left of the HTML is blanked out; its indentation would be an error in Python.
    return re.sub(r"^[ \t]+", "", templatize(text), flags=re.MULTILINE)


def in_code() -> Catalog:
    """Every text of the code, untranslated."""
    catalog = Catalog(charset="utf-8")
    for path in sources():
        name = path.relative_to(ROOT).as_posix()
        lines = BytesIO(as_python(path).encode())
        found = extract("python", lines, KEYWORDS, ("Translators",))
        for _line, text, comments, context in found:
            catalog.add(text, locations=[(name, 0)], auto_comments=comments, context=context)
    return catalog


def catalogues() -> dict[str, Path]:
    """Folder of a language -> its catalogue."""
    return {folder.name: folder / "LC_MESSAGES" / "django.po" for folder in LOCALE.iterdir()}


def read(po: Path) -> Catalog:
    with po.open("rb") as file:
        return read_po(file, locale=po.parts[-3])


def texts(catalog: Catalog) -> dict[tuple[str, str], Message]:
    """(context, text or its singular) -> message, without the header."""
    return {
        (
            message.context or "",
            message.id if isinstance(message.id, str) else message.id[0],
        ): message
        for message in catalog
        if message.id
    }


def update(po: Path, template: Catalog) -> None:
    """New texts come in untranslated, changed ones marked fuzzy, unused ones leave."""
    po.parent.mkdir(exist_ok=True)
    catalog = read(po) if po.exists() else Catalog(po.parts[-3], header_comment=HEADER)
    catalog.update(template, update_creation_date=False)
    with po.open("wb") as file:
        write_po(file, catalog, width=99, ignore_obsolete=True, include_lineno=False)
    with po.with_suffix(".mo").open("wb") as file:
        write_mo(file, catalog)


if __name__ == "__main__":
    everything = in_code()
    for po in catalogues().values():
        update(po, everything)
