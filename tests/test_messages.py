"""That whatever participants read can be read in every language of the interface."""

import fnmatch
import gettext
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from babel.messages.catalog import Catalog, Message
from babel.messages.mofile import read_mo
from django.conf import settings
from django.utils.translation import to_locale

from tests.messages import NOT_PARTICIPANTS, SOURCES, catalogues, in_code, read, texts, update
from tests.servers import ROOT

LANGUAGES = [to_locale(code) for code, _name in settings.LANGUAGES if code != "en"]
NAMED = re.compile(r"%\(\w+\)[sd]|\{\w+\}")
EXACT = [
    re.compile(r"(?<!%)%[sd]"),  # filled in by its place
    re.compile(r"%%(?:least|most|n)(?![a-z])"),  # by a script
    re.compile(r"</?\w+>"),
]
PLURALS = {"ar": 6, "zh_Hans": 1}
"""Forms of a plural, where they aren't two."""
MAKE = "run `make messages`, then translate what is empty or fuzzy"


@pytest.fixture(scope="module")
def code() -> Catalog:
    return in_code()


@pytest.fixture(params=LANGUAGES)
def catalog(request: pytest.FixtureRequest) -> Catalog:
    return read(catalogues()[request.param])


def strings(message: Message) -> list[str]:
    return list(message.string or [""]) if message.pluralizable else [str(message.string or "")]


def ids(message: Message) -> list[str]:
    return [message.id] if isinstance(message.id, str) else [*message.id]


def test_every_language_of_the_settings_has_a_catalogue() -> None:
    assert sorted(catalogues()) == sorted(LANGUAGES)


def test_texts_are_found_in_templates_and_in_code(code: Catalog) -> None:
    found = {text for _context, text in texts(code)}
    assert {
        "Pause or leave",  # translate
        "%(done)s done",  # blocktranslate with a plural
        "Your first message",  # _() in an include
        "%%n statements still to rate.",  # in an attribute, for a script
        "Please choose one answer.",  # Python
        "About %d minute left",  # ngettext
        "There is no such page.",  # gettext_lazy
    } <= found


def test_what_only_researchers_read_is_left_out(code: Catalog) -> None:
    names = {name for message in code for name, _line in message.locations}
    assert "templates/base.html" in names
    assert [name for name in names if "admin" in name or "desk" in name] == []


def test_what_is_left_out_exists() -> None:
    """A module that was renamed would come in again unnoticed."""
    paths = [path.relative_to(ROOT).as_posix() for name in SOURCES for path in ROOT.glob(name)]
    assert [known for known in NOT_PARTICIPANTS if not fnmatch.filter(paths, known)] == []


def test_everything_is_translated(code: Catalog, catalog: Catalog) -> None:
    known = texts(catalog)
    wanted = texts(code)
    assert sorted(wanted.keys() - known.keys()) == [], MAKE
    assert sorted(known.keys() - wanted.keys()) == [], MAKE
    empty = [key for key, message in known.items() if not all(strings(message))]
    assert empty == [], MAKE
    assert [key for key, message in known.items() if message.fuzzy] == [], MAKE
    assert [key for key, message in known.items() if ids(message) != ids(wanted[key])] == [], MAKE


def test_plurals_have_all_their_forms(catalog: Catalog) -> None:
    forms = PLURALS.get(str(catalog.locale), 2)
    assert catalog.num_plurals == forms
    plural = [message for message in catalog if message.id and not isinstance(message.id, str)]
    assert plural
    assert [m.id for m in plural if len(strings(m)) != forms] == []


def test_the_six_forms_of_arabic() -> None:
    with catalogues()["ar"].with_suffix(".mo").open("rb") as file:
        arabic = gettext.GNUTranslations(file)
    one, many = "Please choose at least %(n)d answer.", "Please choose at least %(n)d answers."
    message = texts(read(catalogues()["ar"]))["", one]
    chosen = [arabic.ngettext(one, many, n) for n in (0, 1, 2, 7, 11, 100)]
    assert chosen == strings(message)


def wrong_placeholders(message: Message) -> Iterator[str]:
    """Translations that lost a placeholder or a tag, or have one that nobody fills.

    A plural's form may say its number in words, unless the number is filled in by its place.
    """
    wanted = ids(message)[-1]
    named, may_lack = set(NAMED.findall(wanted)), isinstance(message.id, tuple | list)
    for text in strings(message):
        given = set(NAMED.findall(text))
        same = all(sorted(kind.findall(text)) == sorted(kind.findall(wanted)) for kind in EXACT)
        if not (same and given <= named and len(named - given) <= may_lack):
            yield text


def test_placeholders_agree(catalog: Catalog) -> None:
    assert [text for m in catalog if m.id for text in wrong_placeholders(m)] == []


@pytest.mark.parametrize(
    ("text", "translation"),
    [
        ("Reply %(letter)s", "Antwort"),
        ("Reply %(letter)s", "Antwort %(Buchstabe)s"),
        ("Version %s", "Fassung"),
        ("from {low} to {high}", "von {low}"),
        ("%%n seconds so far", "Bisher Sekunden"),
        (("About %d minute left", "About %d minutes left"), ("Noch eine Minute", "%d Minuten")),
        (("%(n)d by %(who)s", "%(n)d by %(who)s"), ("eines", "%(n)d von %(who)s")),
        ("Until <b>%(day)s</b>", "Bis %(day)s"),
    ],
)
def test_a_lost_placeholder_is_found(text: str, translation: str) -> None:
    assert list(wrong_placeholders(Message(text, translation))) != []


def test_what_runs_is_what_was_translated(catalog: Catalog) -> None:
    """Compiled catalogues are kept with the code, so that nobody needs gettext to run it."""
    with catalogues()[str(catalog.locale)].with_suffix(".mo").open("rb") as file:
        compiled = texts(read_mo(file))
    translated = texts(catalog)
    assert compiled.keys() == translated.keys(), "run `make messages`"
    stale = [key for key, m in translated.items() if strings(compiled[key]) != strings(m)]
    assert stale == [], "run `make messages`"


def test_updating_keeps_what_is_up_to_date(code: Catalog, tmp_path: Path) -> None:
    """Nobody's next commit gets stray changes of all the catalogues."""
    kept = catalogues()["de"]
    copy = tmp_path / "de" / "LC_MESSAGES" / "django.po"
    shutil.copytree(kept.parent, copy.parent)
    update(copy, code)
    assert copy.read_text() == kept.read_text()
    assert copy.with_suffix(".mo").read_bytes() == kept.with_suffix(".mo").read_bytes()


def test_a_new_language_begins_with_a_folder(code: Catalog, tmp_path: Path) -> None:
    po = tmp_path / "nl" / "LC_MESSAGES" / "django.po"
    po.parent.parent.mkdir()
    update(po, code)
    catalog = read(po)
    assert texts(catalog).keys() == texts(code).keys()
    assert not any(any(strings(message)) for message in texts(catalog).values())
    assert "DRAFT" in po.read_text()
