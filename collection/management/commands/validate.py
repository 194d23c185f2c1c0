"""`manage.py validate DIR`: check a folder of release files, Refract's or PRISM's."""

import sys
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand

from collection.export.validate import validate

NOTES_FROM = 2
"""The verbosity from which notes are printed."""


class Command(BaseCommand):
    help = (
        "Check a folder of release files against the codebook. Prints nothing and exits 0 if all "
        "is well; else prints one line per deviation (file:line: rule: message) and exits 1. "
        "Line 0 means the file as a whole."
    )
    requires_system_checks = ()
    requires_migrations_checks = False

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("folder", type=Path)
        parser.add_argument(
            "--notes",
            action="store_true",
            help="also print the known quirks of PRISM's own release (or -v 2); they exit 0",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        with_notes = options["notes"] or options["verbosity"] >= NOTES_FROM
        is_sound = True
        for deviation in validate(options["folder"]):
            is_sound = is_sound and deviation.is_note
            if with_notes or not deviation.is_note:
                self.stdout.write(str(deviation))
        if not is_sound:
            sys.exit(1)
