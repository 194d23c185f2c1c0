"""Load the demo studies, make a researcher's account, and say where to go."""

from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from collection import demo
from surveys.models import Study

PARTICIPANT = "PROLIFIC_PID=demo-person-1&STUDY_ID=demo-study&SESSION_ID=demo-session-1"


class Command(BaseCommand):
    help = "Load the demo studies and print the links to them."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--base-url", default="http://127.0.0.1:8000")
        parser.add_argument(
            "--if-empty", action="store_true", help="Do nothing where there is a study already."
        )

    def handle(self, *args: Any, base_url: str, if_empty: bool, **options: Any) -> None:
        if if_empty and Study.objects.exists():
            return
        study = demo.load_demo_study()
        values = demo.load_values_study()
        password = demo.make_researcher()
        self.stdout.write(f"\n  Participant   {base_url}/s/{study.slug}/?{PARTICIPANT}")
        self.stdout.write(f"  Open link     {base_url}/s/{study.slug}/")
        self.stdout.write(f"  Survey alone  {base_url}/s/{values.slug}/?lang=es (or en, ar)")
        self.stdout.write(f"  Desk          {base_url}/admin/")
        if password:
            self.stdout.write(f"                user {demo.RESEARCHER}, password {password}")
            self.stdout.write("                (shown this once; manage.py changepassword)")
        self.stdout.write("")
