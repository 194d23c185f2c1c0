"""`manage.py import_release DIR`: load a release, Refract's or PRISM's, into a study of its own."""

from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from collection.importing import release
from collection.importing.folder import Broken
from collection.models import ImportedRelease
from surveys.errors import DomainError

FAULTS_SHOWN = 50


class Command(BaseCommand):
    help = (
        "Load a folder of release files, Refract's or PRISM's own, into a study of its own that "
        "can be looked at and exported but not changed. The same folder is loaded once. A folder "
        "that `validate` finds faults in is refused, and nothing of it is loaded."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("folder", type=Path)
        parser.add_argument("--study", default="", metavar="SLUG", help="of the study to be made")
        parser.add_argument("--name", default="", help="title of the study to be made")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            found, is_new = release.load(
                options["folder"], slug=options["study"], title=options["name"]
            )
        except Broken as error:
            for fault in error.faults[:FAULTS_SHOWN]:
                self.stdout.write(str(fault))
            raise CommandError(error.message) from error
        except DomainError as error:
            raise CommandError(f"{error.message} Nothing was loaded.") from error
        except OSError as error:
            raise CommandError(f"Cannot read the folder: {error}. Nothing was loaded.") from error
        self.tell(found, is_new=is_new)

    def tell(self, found: ImportedRelease, *, is_new: bool) -> None:
        slug = found.study.slug
        if not is_new:
            self.stdout.write(f"This release was loaded before: it is the study {slug!r}.")
            return
        for name, file in found.files.items():
            self.stdout.write(f"{name}.jsonl: {file['rows']}")
        for repair in found.repairs["repairs"]:
            place = f"{repair['file']}, {repair['column']}, {repair['cells']} cells"
            self.stdout.write(f"repaired: {place}: {repair['what']}")
        order = "" if found.key_order == "codebook" else f" --order {found.key_order}"
        self.stdout.write(
            f"The study is {slug!r}; `export {slug} --out DIR{order}` gives the files again."
        )
