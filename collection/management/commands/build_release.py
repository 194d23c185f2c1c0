"""`manage.py build_release ID`: build a release that waits. The server starts it by itself."""

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand

from collection import building


class Command(BaseCommand):
    help = (
        "Build a release that was asked for at the desk. It says there what became of it; nothing "
        "happens if another process has it."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("release", type=int, help="its number in the database")

    def handle(self, *args: Any, **options: Any) -> None:
        if not building.run(options["release"]):
            self.stdout.write("It does not wait to be built.")
