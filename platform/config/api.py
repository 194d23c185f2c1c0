"""How the API describes itself."""

from typing import Any

TAGS = {
    "Account": "Whom the token or session belongs to.",
    "Studies": "Drafts, their settings, and the states that a study goes through.",
    "Progress": "The live page in figures.",
    "Live": "Rows as they are completed, for notebooks.",
    "Quotas": "How many people of which kind.",
    "Participants": "By number; no recruiter's ids, nothing that opens a page.",
    "Submissions": "What checks found and people decided.",
    "Endpoints": "The registry of models, without keys.",
    "Releases": "Built in the background, frozen, numbered, fetched with resume.",
    "Files": "What a release would hold now.",
}

FRAMEWORK = {
    # All else is said once, on `collection.api.base.ApiView`.
    "DEFAULT_SCHEMA_CLASS": "drf_spectacular.openapi.AutoSchema",
}

SPECTACULAR: dict[str, Any] = {
    "TITLE": "Refract",
    "DESCRIPTION": "The researcher's desk for programs.",
    "VERSION": "1",
    "OAS_VERSION": "3.1.0",
    "TAGS": [{"name": name, "description": words} for name, words in TAGS.items()],
    # Without its own hook for enums, which names them by guessing.
    "POSTPROCESSING_HOOKS": ["collection.api.schema.complete"],
    "ENUM_GENERATE_CHOICE_DESCRIPTION": False,
    "SERVE_INCLUDE_SCHEMA": False,
}
