"""All the people of a simulation: who comes, how it went for each, and the truth behind it."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import httpx
from channels.db import database_sync_to_async
from django.urls import reverse

from collection.export.selection import select
from collection.models import ModelEndpoint
from collection.simulation import checks, people
from collection.simulation.people import Course, Person
from collection.simulation.walk import Ending, Site, Stuck, Walk
from surveys.models import Participant, Study

FAILED = "failed"


@dataclass
class Result:
    """How one person's part went. ending: an Ending, or `failed`."""

    person: Person
    ending: str
    participant_id: int | None = None
    conversations: int = 0
    problems: list[str] = field(default_factory=list)


Tell = Callable[[Result], None]


def coming(study: Study, seed: int, participants: int) -> list[Person]:
    """The people of a seed who have not been here yet, or can come back.

    Who stopped or vanished stays away. Of those who declined nothing is kept, so they are counted.
    """
    crowd = people_of(seed, participants)
    decliners = [person for person in crowd if person.card.course == Course.DECLINES]
    gone = set(decliners[: checks.declines(study, seed)])
    return [person for person in crowd if person not in gone and is_coming(study, person)]


def people_of(seed: int, participants: int) -> list[Person]:
    return [Person(seed, number) for number in range(1, participants + 1)]


def is_coming(study: Study, person: Person) -> bool:
    row = checks.find(study, person)
    if row is None or person.card.course == Course.DECLINES:
        return True
    is_over = row.completed_at is not None or row.screened_at is not None
    return person.card.course == Course.FINISHES and not is_over


async def walk_all(
    crowd: Sequence[Person], study: Study, site: Site, concurrency: int, tell: Tell
) -> list[Result]:
    """Let everyone take part, at most `concurrency` at a time; `tell` hears of each at the end."""
    places = asyncio.Semaphore(concurrency)
    languages = await database_sync_to_async(checks.languages_offered)(study)

    async def take_part(person: Person) -> Result:
        async with places:
            result = await walk(person, study, site, languages)
        tell(result)
        return result

    return await asyncio.gather(*(take_part(person) for person in crowd))


async def walk(person: Person, study: Study, site: Site, languages: Sequence[str]) -> Result:
    """One person's part, compared afterwards with what was stored."""
    known = await database_sync_to_async(checks.find)(study, person)
    walk = Walk(person, study, site, languages)
    result = Result(person, FAILED)
    try:
        result.ending = await walk.go(arrival(study, known, person, site))
    except Stuck as stuck:
        result.problems.append(str(stuck))
    except httpx.HTTPError as error:
        result.problems.append(f"{walk.latest_url}: {type(error).__name__} {error}")
    if walk.participant_id is None or result.ending == Ending.DECLINED:
        return result
    result.participant_id = walk.participant_id
    await database_sync_to_async(compare)(result, walk, is_all=known is None)
    return result


def arrival(study: Study, known: Participant | None, person: Person, site: Site) -> str:
    """Where they come in: who came before on an open link has a personal link to come back with."""
    if person.card.is_recruited and site.entries:
        return person.draw("entry").choice(site.entries)
    if known and not person.card.is_recruited:
        return reverse("personal-link", args=[study.slug, known.key])
    return reverse("arrive", args=[study.slug])


def compare(result: Result, walk: Walk, *, is_all: bool) -> None:
    assert walk.participant_id is not None
    result.conversations = checks.completed_conversations(walk.participant_id)
    result.problems += checks.differences(walk.participant_id, walk.sent, is_all=is_all)


def truth(study: Study, seed: int, participants: int) -> dict[str, Any]:
    """What the ratings of a seed's people follow: see the command `simulate` for its form."""
    crowd = people_of(seed, participants)
    released = {user.pk: user.id for user in select(study).users}
    models = ModelEndpoint.objects.filter(studies=study).order_by("long_name")
    names = list(models.values_list("long_name", flat=True))
    return {
        "study": study.slug,
        "seed": seed,
        "score": "round(1 + 99 / (1 + exp(-(utility + noise))))",
        "noise_sd": people.NOISE_SD,
        "quality": {name: people.quality(seed, name) for name in names},
        "utilities": {
            person.label: {name: person.utility(name) for name in names} for person in crowd
        },
        "participants": [about(study, person, released) for person in crowd],
    }


def about(study: Study, person: Person, released: Mapping[int, str]) -> dict[str, Any]:
    row = checks.find(study, person)
    return {
        "label": person.label,
        "user_id": released.get(row.pk) if row else None,
        "participant": row.pk if row else None,
        "course": person.card.course.value,
        "habits": sorted(habit.value for habit in person.card.habits),
        "is_recruited": person.card.is_recruited,
        "language": row.language or row.file.language if row else None,
        "leniency": person.leniency,
    }
