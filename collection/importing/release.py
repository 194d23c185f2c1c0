"""Loading a whole folder into a study of its own, or nothing of it."""

import json
from collections.abc import Iterator, Mapping
from itertools import zip_longest
from pathlib import Path
from typing import Any

from django.core.exceptions import ValidationError
from django.core.validators import validate_slug
from django.db import DataError, IntegrityError, transaction
from django.utils.text import slugify

from collection.export.imported import CARRIED, packed
from collection.export.lines import show
from collection.export.makers import MAKERS
from collection.export.plan import batches, make_plan
from collection.importing import people, talks
from collection.importing.folder import Folder
from collection.importing.repairs import Repairs
from collection.models import CarriedRows, ImportedRelease, ModelEndpoint
from surveys import audit, studies
from surveys.errors import DomainError
from surveys.instruments.load import Parsed, keep
from surveys.models import ConsentText, Study, fingerprint
from surveys.protocol import PRESETS

Row = dict[str, Any]
LINES_AT_ONCE = 2000
UNKNOWN = "Not part of the release that was loaded."
CONSENT: Row = {
    "version": "as released",
    "title": "Consent",
    "lede": UNKNOWN,
    "sections": [{"heading": "Consent", "paragraphs": [UNKNOWN]}],
    "certificate": {"legend": "Age", "label": "I certify that I am 18 years of age or over"},
    "consent": {"legend": "Consent", "label": "Yes, I consent to take part"},
}
"""The words that people agreed to do not leave with a release; only their hash does."""


def load(
    path: Path, *, slug: str = "", title: str = "", by: str = audit.SERVER
) -> tuple[ImportedRelease, bool]:
    """(the release in a folder, whether it was loaded only now)

    Raises Broken with what `validate` says of a folder that is no release; DomainError if the
    slug is taken or what would be exported is not what was read. Then nothing was loaded.
    """
    folder = Folder(path)
    folder.check()
    if known := loaded(folder):
        return known, False
    refuse_slug(slug)
    try:
        with transaction.atomic():
            release = load_all(folder, slug or free_slug(folder), title, by)
            compare(folder, release)
    except IntegrityError:  # another process has loaded the same folder meanwhile
        if known := loaded(folder):
            return known, False
        raise
    except DataError as error:
        reason = str(error).strip().splitlines()[0]
        raise DomainError(
            "too_long", f"The database cannot hold a value of it: {reason}"
        ) from error
    return release, True


def loaded(folder: Folder) -> ImportedRelease | None:
    return ImportedRelease.objects.filter(sha256=folder.sha256).first()


def refuse_slug(slug: str) -> None:
    if not slug:
        return
    try:
        validate_slug(slug)
    except ValidationError as error:
        raise DomainError("slug", " ".join(error.messages)) from error
    if len(slug) > 50:
        raise DomainError("slug", "A slug has 50 characters at most.")
    if Study.objects.filter(slug=slug).exists():
        raise DomainError("slug", f"There is a study {slug!r} already: choose another --study.")


def free_slug(folder: Folder) -> str:
    name = str(folder.manifest.get("study") or "") or folder.path.resolve().name
    return studies.free_slug(slugify(name)[:44] or "import")


def load_all(folder: Folder, slug: str, title: str, by: str) -> ImportedRelease:
    repairs = Repairs()
    # The oldest first, so that a database which sorts them by time has them as they were.
    instruments = [
        keep(Parsed(dict(version.document), version.file))
        for version in reversed(folder.book.versions)
    ]
    study = Study.objects.create(**study_values(folder, slug, title), instrument=instruments[-1])
    text = ConsentText.objects.create(
        study=study, version=CONSENT["version"], sha256=fingerprint(CONSENT), document=CONSENT
    )
    providers = providers_of(folder)
    endpoints = keep_endpoints(folder, study, providers)
    release = ImportedRelease(
        study=study,
        sha256=folder.sha256,
        folder=folder.path.resolve().name[:200],
        source=source_of(folder),
        key_order=folder.key_order,
        manifest=folder.manifest,
        instruments=[version.sha256 for version in folder.book.versions],
        providers=providers,
        imported_by=by[:150],
        files={},
        repairs={},
    )
    release.save()
    simulated = is_simulated(folder)
    keys = people.load(folder, study, text, repairs, is_simulated=simulated)
    talks.load(folder, study, keys, endpoints, repairs)
    for name in folder.files:
        if name in CARRIED:
            carry(folder, release, name, repairs)
    release.files = dict(described_files(folder))
    release.repairs = repairs.document(folder.notes)
    release.save(update_fields=["files", "repairs"])
    audit.write(by, "imported", study, study, folder=release.folder, sha256=release.sha256)
    return release


def study_values(folder: Folder, slug: str, title: str) -> Row:
    source = folder.manifest
    protocol = source.get("protocol") or PRESETS["prism-2023"].model_dump(mode="json")
    locales = {row["study_locale"] for row in folder.rows("survey")}
    return {
        "slug": slug,
        "title": (title or str(source.get("title") or "") or folder.path.resolve().name)[:200],
        "state": Study.State.CLOSED,
        "is_imported": True,
        "is_demo": source.get("is_demo") is True,
        "protocol_json": protocol,
        "consent_document": CONSENT,
        "locale": (locales.pop() if len(locales) == 1 else "various")[:50],
        "contact_name": UNKNOWN,
        "ethics_reference": UNKNOWN,
        "platform_name": "",
    }


def source_of(folder: Folder) -> str:
    is_ours = bool(folder.manifest)
    return ImportedRelease.Source.REFRACT if is_ours else ImportedRelease.Source.PRISM


def is_simulated(folder: Folder) -> bool:
    """A manifest counts simulated people and names none: all of them, or nobody can tell who."""
    simulated = folder.manifest.get("simulated")
    people = simulated.get("people") if isinstance(simulated, dict) else 0
    return bool(people) and people == folder.manifest["rows"].get("survey.jsonl")


def described_files(folder: Folder) -> Iterator[tuple[str, Row]]:
    for name, path in folder.files.items():
        with path.open("rb") as file:
            rows = sum(1 for _line in file)
        at = path.relative_to(folder.path).as_posix()
        yield name, {"path": at, "sha256": folder.hashes[name], "rows": rows}


# Models


def providers_of(folder: Folder) -> dict[str, str]:
    """model_name -> model_provider; the check has seen that each has one."""
    rows = folder.rows("utterances")
    return {row["model_name"]: row["model_provider"] for row in rows}


def keep_endpoints(folder: Folder, study: Study, providers: Mapping[str, str]) -> dict[str, int]:
    """model_name -> key. Models that are registered already stay as they are."""
    rows = {row["long_name"]: row for row in folder.rows("models")} if has_models(folder) else {}
    names = [*rows, *(name for name in providers if name not in rows)]
    refuse_long(rows, providers)
    keys: dict[str, int] = {}
    for name in names:
        endpoint, _created = ModelEndpoint.objects.get_or_create(
            long_name=name, defaults=retired(name, rows.get(name, {}), providers.get(name, ""))
        )
        keys[name] = endpoint.pk
    study.endpoints.set(keys.values())
    return keys


def has_models(folder: Folder) -> bool:
    return "models" in folder.files


def retired(name: str, row: Row, provider: str) -> Row:
    """Can be looked at, but not drawn: nobody knows here where it would be called."""
    return {
        "short_name": row.get("short_name", name),
        "longcode": row.get("longcode", ""),
        "model_family": row.get("model_family", ""),
        "model_provider": row.get("model_provider", provider),
        "provider_code": provider,
        "model_provider_type": row.get("model_provider_type", ""),
        "model_type": row.get("model_type", ""),
        "default_params": row.get("default_params", {}),
        "parameters": row.get("selected_params", {}),
        "header": row.get("header", ""),
        "link": row.get("link", ""),
        "is_active": False,
        "tags": ["retired", "imported"],
        "note": "Of a release that was loaded.",
    }


def refuse_long(rows: Mapping[str, Row], providers: Mapping[str, str]) -> None:
    """SQLite would take them, and Postgres would not say which."""
    values = [(name, name, "long_name") for name in {*rows, *providers}]
    values += [(name, provider, "provider_code") for name, provider in providers.items()]
    for name, row in rows.items():
        values += [(name, row[key], key) for key in retired(name, row, "") if key in row]
    for name, value, key in values:
        most = getattr(ModelEndpoint._meta.get_field(key), "max_length", None)
        if most and len(value) > most:
            raise DomainError(
                "too_long",
                f"models.jsonl: {key} of {show(name)} has {len(value)} characters; {most} fit.",
            )


# Files that are exported as they came


def carry(folder: Folder, release: ImportedRelease, name: str, repairs: Repairs) -> None:
    rows = folder.rows(name, repairs)
    for place, batch in enumerate(batches(rows, LINES_AT_ONCE)):
        lines = packed([json.dumps(row) for row in batch])
        CarriedRows.objects.create(release=release, file=name, place=place, lines=lines)


# Whether what would be exported is what was read


def compare(folder: Folder, release: ImportedRelease) -> None:
    """Raises DomainError at the first cell that differs, repairs apart."""
    plan = make_plan(release.study)
    for name in folder.files:
        both = zip_longest(folder.rows(name), MAKERS[name](plan))
        for number, (read, made) in enumerate(both, start=1):
            if read != made:
                raise DomainError("differs", difference(name, number, read, made))


def difference(name: str, number: int, read: Row | None, made: Row | None) -> str:
    place = f"{name}.jsonl:{number}"
    if read is None or made is None:
        return f"{place}: there would be {'more' if read is None else 'fewer'} rows in an export"
    key = next(key for key in {**read, **made} if read.get(key, ...) != made.get(key, ...))
    return (
        f"{place}: {key}: this release has {show(read.get(key))}, and an export of what would be "
        f"loaded {show(made.get(key))}. Please report this; nothing was loaded."
    )
