"""Load the demo studies, make a researcher's account, and say where to go."""

from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from collection import demo

PARTICIPANT = "PROLIFIC_PID=demo-person-1&STUDY_ID=demo-study&SESSION_ID=demo-session-1"


class Command(BaseCommand):
    help = "Load the demo studies and print the links to them."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--base-url", default="http://127.0.0.1:8000")

    def handle(self, *args: Any, base_url: str, **options: Any) -> None:
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
