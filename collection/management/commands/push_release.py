"""`manage.py push_release ID`: push a release to the hub. The server starts it by itself."""

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand

from collection import hub


class Command(BaseCommand):
    help = (
        "Push a published release to the Hugging Face hub, if that was asked for at the desk, "
        "where it says what became of it."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("release", type=int, help="its number in the database")

    def handle(self, *args: Any, **options: Any) -> None:
        if not hub.run(options["release"]):
            self.stdout.write("It does not wait to be pushed.")
