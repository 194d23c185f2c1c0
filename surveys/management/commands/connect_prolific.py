"""`manage.py connect_prolific WORKSPACE`: have Prolific tell us its news as they happen."""

import sys
from argparse import ArgumentParser
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand
from django.urls import reverse

from surveys.inbox import EVENT_TYPES
from surveys.prolific import Prolific, ProlificError


class Command(BaseCommand):
    help = (
        "Subscribe this site to Prolific's webhooks of a workspace. Run again, it adds only what "
        "is missing. Needs REFRACT_PROLIFIC_TOKEN, and REFRACT_URL or --url with https."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("workspace", help="the workspace's id, from its address at Prolific")
        parser.add_argument("--url", default=settings.PUBLIC_URL, help="https://your.host")
        parser.add_argument(
            "--new-secret",
            action="store_true",
            help="make a new signing secret and print it; the one before stops working",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        if not options["url"].startswith("https://"):
            self.stderr.write("Prolific calls https only: set REFRACT_URL, or give --url.")
            sys.exit(1)
        try:
            with Prolific() as prolific:
                self.connect(prolific, options["workspace"], options["url"], options["new_secret"])
        except ProlificError as error:
            self.stderr.write(error.message)
            sys.exit(1)

    def connect(self, prolific: Prolific, workspace: str, url: str, new_secret: bool) -> None:
        target = url.rstrip("/") + reverse("prolific-webhook")
        if new_secret:
            secret = prolific.new_webhook_secret(workspace)
            self.stdout.write(f"Set REFRACT_PROLIFIC_WEBHOOK_SECRET={secret} and restart.")
        elif not settings.PROLIFIC_WEBHOOK_SECRET:
            self.stderr.write("There is no REFRACT_PROLIFIC_WEBHOOK_SECRET: add --new-secret once.")
            sys.exit(1)
        known = {
            row.get("event_type")
            for row in prolific.subscriptions(workspace)
            if row.get("target_url") == target and row.get("is_enabled")
        }
        for event_type in EVENT_TYPES:
            if event_type not in known:
                prolific.subscribe(workspace, event_type, target)
                self.stdout.write(f"Subscribed to {event_type}.")
        self.stdout.write(f"Prolific tells its news to {target}.")
