"""`manage.py load_endpoints PRESET|FILE`: put models into the registry."""

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from collection import presets
from surveys.instruments.load import InstrumentError


class Command(BaseCommand):
    help = "Add a preset's or a YAML file's model endpoints; what is there stays as it is."

    def add_arguments(self, parser: ArgumentParser) -> None:
        known = ", ".join(presets.names())
        parser.add_argument("source", help=f"a preset ({known}) or the path of a YAML file")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            loaded = presets.load(presets.named(options["source"]).models)
        except InstrumentError as error:
            raise CommandError(str(error)) from error
        for row in loaded.new:
            self.stdout.write(f"added {row}")
        for row in loaded.different:
            self.stdout.write(f"kept {row}, which has other settings here")
        self.stdout.write(f"{len(loaded.new)} added, {len(loaded.known)} as they were")
