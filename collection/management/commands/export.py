"""`manage.py export <study> --out DIR`: write a release of a study, or some of its files."""

from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from collection.export.codebook_document import write_codebook
from collection.export.derived import PRISM_TIE, WIDEST_TIE, Rules
from collection.export.write import JSONL, PARQUET, Options, write_release
from surveys.errors import DomainError
from surveys.models import Study


class Command(BaseCommand):
    help = "Write a study's release: JSON lines, and the files that describe them."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("study", help="the study's slug, as in its links")
        parser.add_argument("--out", required=True, type=Path, help="folder to write into")
        parser.add_argument(
            "--order",
            choices=("codebook", "github"),
            default="codebook",
            help="key order: the codebook's, or that of PRISM's files on GitHub",
        )
        parser.add_argument(
            "--format",
            choices=FORMATS,
            default=JSONL,
            help="JSON lines, Parquet (needs pyarrow), or both",
        )
        parser.add_argument(
            "--only",
            nargs="+",
            default=[],
            metavar="FILE",
            help="these files alone, such as survey, calls or preferences; the folder then holds "
            "no others of a release",
        )
        parser.add_argument(
            "--tie-within",
            type=int,
            default=PRISM_TIE,
            metavar="POINTS",
            help="in battles and preferences, scores no further apart are a tie (PRISM: 5)",
        )
        parser.add_argument(
            "--with-untouched",
            action="store_true",
            help="let preferences and unpaired ratings rest on sliders that nobody touched too",
        )
        parser.add_argument(
            "--with-pilot",
            action="store_true",
            help="also release people who came while the study was a pilot",
        )
        parser.add_argument(
            "--codebook",
            action="store_true",
            help="also describe it: every column with its statistics, as HTML, Markdown and, where "
            "Typst is installed, PDF",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            rows = write_release(
                find(options["study"]),
                options["out"],
                options["order"],
                with_pilot=options["with_pilot"],
                options=chosen(options),
            )
            described = write_codebook(options["out"]) if options["codebook"] else []
        except OSError as error:
            raise CommandError(f"Cannot write the release: {error}") from error
        except DomainError as error:
            raise CommandError(error.message) from error
        for name, number in rows.items():
            self.stdout.write(f"{name}: {number}")
        for path in described:
            self.stdout.write(path.name)


FORMATS = {JSONL: (JSONL,), PARQUET: (PARQUET,), "both": (JSONL, PARQUET)}


def chosen(options: dict[str, Any]) -> Options:
    """Raises CommandError."""
    within = options["tie_within"]
    if not 0 <= within <= WIDEST_TIE:
        raise CommandError(
            f"Scores run from 1 to 100, so --tie-within takes 0 to {WIDEST_TIE}, not {within}."
        )
    names = [name.removesuffix(".jsonl") for given in options["only"] for name in given.split(",")]
    rules = Rules(within, options["with_untouched"])
    return Options(tuple(names), FORMATS[options["format"]], rules)


def find(slug: str) -> Study:
    """Raises CommandError, which names the studies there are."""
    study = Study.objects.filter(slug=slug).first()
    if study is None:
        known = ", ".join(Study.objects.values_list("slug", flat=True)) or "none yet"
        raise CommandError(f"There is no study {slug!r}. Studies: {known}.")
    return study
