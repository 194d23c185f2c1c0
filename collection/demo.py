"""Studies to try everything with: PRISM with models that need no key, and a survey alone."""

import secrets
from typing import Any

from django.contrib.auth import get_user_model

from collection.llm import demo_endpoints
from collection.models import ModelEndpoint
from surveys.instruments.load import FOLDER, read_consent, store
from surveys.models import Study
from surveys.protocol import PRESETS

SLUG = "prism"
RESEARCHER = "researcher"
SETTINGS: dict[str, Any] = {
    "is_demo": True,
    "state": Study.State.LIVE,
    "locale": "us",
    "contact_name": "The study team",
    "contact_email": "study@example.org",
    "ethics_reference": "DEMO-0000 (a demonstration, not reviewed)",
    "ethics_contact": "ethics@example.org",
    "payment": "",
    "completion_url": "https://app.prolific.com/submissions/complete?cc={code}",
    "return_url": "https://app.prolific.com/submissions/complete?cc=RETURNED",
}


def load_demo_study() -> Study:
    """The study `prism` with the demo endpoints. A second time changes nothing a person set."""
    study, is_new = Study.objects.get_or_create(
        slug=SLUG,
        defaults={
            "title": "PRISM, with demo models",
            "instrument": store(FOLDER / "prism.yaml"),
            "consent_document": read_consent(FOLDER / "prism-consent.yaml"),
            **SETTINGS,
        },
    )
    if is_new:
        study.endpoints.set(load_demo_endpoints())
    return study


def load_values_study() -> Study:
    """The study `values`: a survey alone, in three languages, two of them drafts."""
    study, _is_new = Study.objects.get_or_create(
        slug="values",
        defaults={
            "title": "What matters to you",
            "instrument": store(FOLDER / "values.yaml"),
            "consent_document": read_consent(FOLDER / "values-consent.yaml"),
            "protocol_json": PRESETS["survey"].model_dump(mode="json"),
            "languages": ["es", "ar"],
            **SETTINGS,
        },
    )
    return study


def load_demo_endpoints() -> list[ModelEndpoint]:
    return [
        ModelEndpoint.objects.get_or_create(long_name=fields["long_name"], defaults=fields)[0]
        for fields in demo_endpoints()
    ]


def make_researcher() -> str | None:
    """An account for the desk if there is none yet; its password, which is stored nowhere."""
    users = get_user_model().objects
    if users.filter(is_superuser=True).exists():
        return None
    password = secrets.token_urlsafe(12)
    users.create_superuser(RESEARCHER, password=password)
    return password
