"""What is different from the release before: computed, never typed."""

from collections.abc import Iterator

from django.db.models import Q, QuerySet

from collection.dossier.facts import Facts
from collection.models import Release, ReleasedPerson

WHOLE = ("ready", "published", "superseded")


def line_of(release: Release) -> QuerySet[Release]:
    """Releases before this one; before a public one only public ones, for it will name them."""
    earlier = Release.objects.filter(
        Q(edition__lt=release.edition) | Q(edition=release.edition, patch__lt=release.patch),
        study=release.study_id,
        state__in=WHOLE,
    )
    if release.is_public:
        earlier = earlier.filter(is_public=True)
    return earlier.order_by("-edition", "-patch")


def before(release: Release) -> Release | None:
    return line_of(release).first()


def text(release: Release, facts: Facts) -> str:
    parts = ["# Changes", *written(release.version, facts.date, facts.changes)]
    for row in line_of(release):
        parts += written(row.version, row.created_at.date().isoformat(), row.counts["changes"])
    return "\n".join(parts) + "\n"


def written(version: str, date: str, changes: list[str]) -> list[str]:
    return ["", f"## {version} ({date})", "", *(f"- {change}" for change in changes)]


def entry(release: Release, facts: Facts, earlier: Release | None) -> list[str]:
    if earlier is None:
        return [f"The first release: {rows_in_words(facts.rows)}."]
    return list(differences(release, facts, earlier))


def rows_in_words(rows: dict[str, int]) -> str:
    return ", ".join(f"{name} {number:,}" for name, number in rows.items())


def differences(release: Release, facts: Facts, earlier: Release) -> Iterator[str]:
    now, then = facts.kept(), earlier.counts
    if release.patch:
        yield f"Mends {earlier.version}: {release.why}. Ids are unchanged, with gaps."
    else:
        yield f"A new edition: ids have nothing to do with those of {earlier.version}."
    yield from people(release, facts, earlier)
    for name in sorted({*now["rows"], *then["rows"]}):
        new, old = now["rows"].get(name), then["rows"].get(name)
        if old is None:
            yield f"`{name}` is new, with {new:,} rows."
        elif new is None:
            yield f"`{name}` is gone."
        elif new != old:
            yield f"`{name}`: {old:,} rows became {new:,}."
    columns_then = then.get("columns", {})
    for name in sorted(now["columns"].keys() & columns_then.keys()):
        yield from columns(name, now["columns"][name], columns_then[name])
    words = {
        "software": "Made by another version of Refract.",
        "protocol": "The study's protocol changed.",
        "instruments": "Other versions of the questionnaire were answered.",
        "consents": "Other versions of the consent text were agreed to.",
    }
    # What the Refract of then did not note down is not compared.
    yield from (said for key, said in words.items() if key in then and now[key] != then[key])


def people(release: Release, facts: Facts, earlier: Release) -> Iterator[str]:
    """Within an edition the numbers say it; between two, whom they have in common."""
    if earlier.edition == release.edition:
        gone = earlier.counts["people"] - facts.people
        if gone:
            yield f"{gone} {'person is' if gone == 1 else 'people are'} no longer in it."
        return
    known = ReleasedPerson.objects.filter(release=earlier.root)
    new = facts.people - known.filter(participant__in=facts.keys).count()
    gone = earlier.counts["people"] - (facts.people - new)
    yield f"{new} people are new, {gone} are no longer in it."


def columns(name: str, now: list[str], then: list[str]) -> Iterator[str]:
    if new := [key for key in now if key not in then]:
        yield f"`{name}` has new columns: {', '.join(new)}."
    if gone := [key for key in then if key not in now]:
        yield f"`{name}` no longer has the columns {', '.join(gone)}."
