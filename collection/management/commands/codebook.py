"""`manage.py codebook DIR`: describe a folder of release files, column by column."""

from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from collection.export.codebook_document import FORMATS, write_codebook
from surveys.errors import DomainError


class Command(BaseCommand):
    help = (
        "Write the codebook of a release into its folder: codebook.html, codebook.md and, where "
        "Typst is installed, codebook.pdf. Every column with its meaning and its statistics."
    )
    requires_system_checks = ()
    requires_migrations_checks = False

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("folder", type=Path)
        parser.add_argument(
            "--format",
            action="append",
            choices=FORMATS,
            help="only this one; may be given several times",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            written = write_codebook(options["folder"], options["format"])
        except OSError as error:
            raise CommandError(f"Cannot write the codebook: {error}") from error
        except DomainError as error:
            raise CommandError(error.message) from error
        for path in written:
            self.stdout.write(str(path))
