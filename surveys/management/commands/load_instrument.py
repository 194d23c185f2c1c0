"""`manage.py load_instrument FILE`: store a version of an instrument, and say what is in it."""

import sys
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand

from surveys.instruments import published
from surveys.instruments.load import InstrumentError, Parsed, keep, read_file
from surveys.instruments.review import review
from surveys.models import Instrument


class Command(BaseCommand):
    help = (
        "Store an instrument file as a version that never changes, and print what the static "
        "check finds in it. A file that cannot be used is refused with one line per problem "
        "(file:line: key: what to do), and exits 1."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        what = parser.add_mutually_exclusive_group(required=True)
        what.add_argument("file", type=Path, nargs="?")
        what.add_argument(
            "--schema", action="store_true", help="print the JSON Schema of instrument files"
        )
        parser.add_argument("--check", action="store_true", help="store nothing")

    def handle(self, *args: Any, **options: Any) -> None:
        if options["schema"]:
            self.stdout.write(published.as_text(), ending="")
            return
        try:
            parsed = read_file(options["file"])
        except InstrumentError as error:
            self.stderr.write(str(error))
            sys.exit(1)
        self.describe(parsed)
        if not options["check"]:
            self.store(parsed)

    def describe(self, parsed: Parsed) -> None:
        found = review(parsed.document, parsed.file)
        self.stdout.write(f"{parsed.file.title} ({parsed.file.instrument})")
        self.stdout.write(f"sha256 {parsed.sha256}")
        self.stdout.write(found.size)
        for finding in found.findings:
            self.stdout.write(str(finding))

    def store(self, parsed: Parsed) -> None:
        is_known = Instrument.objects.filter(sha256=parsed.sha256).exists()
        keep(parsed)
        self.stdout.write("This version is stored already." if is_known else "Stored.")
