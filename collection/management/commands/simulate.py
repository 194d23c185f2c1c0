"""Let simulated people take part in a study, through its real pages.

The truth file says what their ratings follow, so that an analysis can be tried on a release of
which the answer is known. It is JSON with these keys:

- study, seed: of this simulation;
- score, noise_sd: how a utility becomes a score; the noise is normal and drawn for every reply;
- quality: long_name of a model (model_name in a release) -> its worth to everyone alike;
- utilities: label of a person -> long_name -> that person's utility, noise apart;
- participants: per person their label, `user_id` in a release written now (null: not released;
  people who come later get later numbers, so it changes only if somebody withdraws or is
  rejected), `participant` (the row's id), course, habits, is_recruited, language, and leniency,
  which is part of each of their utilities.
"""

import asyncio
import json
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from collection.simulation import crowd, server
from collection.simulation.crowd import FAILED, Result
from collection.simulation.people import Person
from collection.simulation.walk import Ending, Site
from surveys.models import Decline, Study

SURE = "REFRACT_DATA=some/new/folder make demo"


class Command(BaseCommand):
    help = "Let simulated people take part in a study, through its real pages."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("study", help="slug of the study")
        parser.add_argument("--participants", type=whole, default=20, metavar="N")
        parser.add_argument("--seed", type=int, default=1, help="the same people every time")
        parser.add_argument(
            "--base-url", default="", help="a server on this data; default: one of its own"
        )
        parser.add_argument(
            "--entry",
            action="append",
            default=[],
            metavar="URL",
            help="where recruited people come in, instead of the study's link: a recruiter's page "
            "that sends them on; the completion link is followed back to it. Of several, each "
            "person takes one",
        )
        parser.add_argument("--truth", type=Path, help="write what the ratings follow to this file")
        parser.add_argument("--concurrency", type=whole, default=8, metavar="K")

    def handle(self, *args: Any, **options: Any) -> None:
        study = fit_study(options["study"])
        seed, participants, truth = options["seed"], options["participants"], options["truth"]
        if truth:
            make_room(truth)
        self.warn_of_costs(study)
        coming = crowd.coming(study, seed, participants)
        if len(coming) < participants:
            self.stdout.write(f"{participants - len(coming)} of these people were here before.")
        declines = Decline.objects.filter(study=study).count()
        results = self.walk(coming, study, options)
        if truth:
            known = crowd.truth(study, seed, participants)
            truth.write_text(json.dumps(known, indent=1, ensure_ascii=False) + "\n", "utf-8")
        self.summarise(results, Decline.objects.filter(study=study).count() - declines)

    def walk(self, coming: list[Person], study: Study, options: dict[str, Any]) -> list[Result]:
        if not coming:
            return []
        tell = self.progress(len(coming))
        with address(options["base_url"]) as url:
            site = Site(url, options["entry"])
            return asyncio.run(crowd.walk_all(coming, study, site, options["concurrency"], tell))

    def warn_of_costs(self, study: Study) -> None:
        real = study.endpoints.filter(is_active=True, is_demo=False).count()
        if real:
            self.stderr.write(f"{real} models of this study are no demo models; calls may cost.")

    def progress(self, total: int) -> Callable[[Result], None]:
        done = 0

        def tell(result: Result) -> None:
            nonlocal done
            done += 1
            self.stdout.write(f"{done} of {total} done: {result.person.label} {result.ending}")
            self.stdout.flush()

        return tell

    def summarise(self, results: list[Result], declines: int) -> None:
        endings = Counter(result.ending for result in results)
        usual = [ending for ending in Ending if ending != Ending.SCREENED or endings[ending]]
        counts = [f"{endings[ending]} {ending}" for ending in (*usual, FAILED)]
        conversations = sum(result.conversations for result in results)
        self.stdout.write(f"{', '.join(counts)}; {conversations} conversations complete.")
        problems = [
            f"{result.person.label}: {problem}" for result in results for problem in result.problems
        ]
        if declines != endings[Ending.DECLINED]:
            problems.append(f"{endings[Ending.DECLINED]} people declined; stored are {declines}")
        for problem in problems:
            self.stderr.write(problem)
        if problems:
            raise CommandError(f"{len(problems)} times something was met that nobody should meet.")


def fit_study(slug: str) -> Study:
    """The study, if simulated people may come. Raises CommandError."""
    study = Study.objects.filter(slug=slug).first()
    if study is None:
        known = ", ".join(Study.objects.values_list("slug", flat=True)) or "none yet"
        raise CommandError(f"There is no study {slug!r}. Known: {known}.")
    if study.is_imported:
        raise CommandError(
            f"The study {slug!r} is a release that was imported; nobody joins it, not even "
            "simulated people. Clone it at the desk and simulate in the copy."
        )
    if study.participants.real().exists():
        raise CommandError(
            f"The study {slug!r} has real participants, and simulated ones must not mix with "
            f"them. Use a fresh data folder ({SURE}) or another study."
        )
    if not study.is_open and study.state != Study.State.DRAFT:
        raise CommandError(
            f"The study {slug!r} is {study.state} and takes nobody: go on with it at the desk."
        )
    talks = study.instrument.file.conversation is not None
    if talks and not study.endpoints.filter(is_active=True).exists():
        raise CommandError(f"The study {slug!r} has no active model endpoint to talk with.")
    return study


@contextmanager
def address(base_url: str) -> Iterator[str]:
    """The address of the server that was named, or of one of our own while it is needed."""
    if base_url:
        if not server.answers(base_url):
            raise CommandError(f"Nothing answers at {base_url}.")
        yield base_url
        return
    try:
        with server.running() as url:
            yield url
    except server.ServerError as error:
        raise CommandError(f"The server did not start:\n{error}") from error


def whole(raw: str) -> int:
    number = int(raw)
    if number < 1:
        raise ValueError(raw)
    return number


def make_room(file: Path) -> None:
    """Find out now, not after the walk, whether the file can be written."""
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch()
    except OSError as error:
        raise CommandError(f"The truth can't be written to {file}: {error.strerror}.") from error
