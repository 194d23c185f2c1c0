"""An example of each body and each answer, by the name of the operation. A test checks them all
against the schema."""

from typing import Any

from surveys.protocol import PRESETS

HASH = "9f2b7c1e" * 8

STUDY: dict[str, Any] = {
    "slug": "values-2026",
    "title": "Values and replies",
    "state": "draft",
    "steps": ["open_pilot", "launch"],
    "is_demo": False,
    "created_at": "2026-03-01T09:00:00Z",
    "version": None,
    "mark": "0f3a5c7e9b1d2468",
    "locale": "us",
    "contact_name": "Ada",
    "contact_email": "ada@example.org",
    "ethics_reference": "REC-1",
    "ethics_contact": "rec@example.org",
    "payment": "£9.00",
    "platform_name": "Prolific",
    "completion_url": "https://recruiter.example/done?cc={code}",
    "return_url": "https://recruiter.example/return",
    "withdrawal_days": 14,
    "purge_identities_on": "2026-09-01",
    "budget_usd": 900.0,
    "expected_people": 100,
    "languages": [],
    "instrument": {"slug": "prism", "title": "PRISM", "sha256": HASH},
    "consent": {"version": "2026-01", "sha256": HASH},
    "protocol": PRESETS["prism"].model_dump(mode="json"),
    "endpoints": ["vendor/model-a", "vendor/model-b"],
}

QUOTA: dict[str, Any] = {
    "id": 3,
    "name": "Gender",
    "fields": ["gender"],
    "others": "admit",
    "timeout_hours": 24,
    "payment": "£0.15",
    "version": 1,
    "people": "live",
    "cells": [
        {
            "values": {"gender": ["female"]},
            "target": 50,
            "filled": 21,
            "in_progress": 4,
            "left": 25,
            "turned_away": 0,
        }
    ],
    "outside": 0,
}

QUOTA_SENT = {
    "name": "Gender",
    "csv": "gender,target\nfemale,50\nmale,50\n",
    "total": 100,
    "others": "admit",
}

ENDPOINT: dict[str, Any] = {
    "id": 7,
    "long_name": "vendor/model-a",
    "short_name": "model-a",
    "longcode": "MA",
    "model_family": "Vendor",
    "model_provider": "OpenAI",
    "provider_code": "openai",
    "model_provider_type": "Commerical",
    "model_type": "Chat",
    "link": "https://vendor.example/model-a",
    "header": "You are a conversational assistant.",
    "default_params": {},
    "parameters": {"temperature": 1.0, "max_tokens": 256},
    "litellm_model": "openai/model-a",
    "is_active": True,
    "weight": 1.0,
    "tags": ["current"],
    "note": "",
    "is_demo": False,
    "resting_until": None,
    "input_price": 0.15,
    "output_price": 0.6,
    "studies": ["values-2026"],
}

HISTORY = {
    "days": [{"day": "2026-03-01", "calls": 120, "failed": 1, "latency_ms": 1840.5}],
    "median_ms": 1700,
    "p95_ms": 4100,
    "shown": 88,
    "won": 31,
    "spent_usd": 1.92,
}

PARTICIPANT: dict[str, Any] = {
    "id": 12,
    "stage": "conversations",
    "language": "",
    "locale": "us",
    "version": 2,
    "is_recruited": True,
    "is_pilot": False,
    "is_simulated": False,
    "screen_reason": "",
    "conversations_done": 3,
    "arrived_at": "2026-03-01T09:00:00Z",
    "consent_shown_at": "2026-03-01T09:01:10Z",
    "survey_finished_at": "2026-03-01T09:12:45Z",
    "instructed_at": "2026-03-01T09:13:30Z",
    "completed_at": None,
    "screened_at": None,
    "stopped_at": None,
    "withdrawn_at": None,
    "rejected_at": None,
}

CONVERSATION = {
    "number": 1,
    "conversation_type": "unguided",
    "state": "complete",
    "turns": 4,
    "started_at": "2026-03-01T09:13:40Z",
    "finished_at": "2026-03-01T09:20:02Z",
}

SUBMISSION: dict[str, Any] = {
    "participant": 12,
    "completed_at": "2026-03-01T10:02:00Z",
    "is_pilot": False,
    "is_simulated": False,
    "state": "awaiting",
    "seen": 0,
    "conversations_done": 6,
    "conversations_wanted": 6,
    "signals": [
        {
            "check_name": "one_word_prompts",
            "version": 1,
            "severity": "investigate",
            "title": "One-word messages",
            "words": "2 of 14 messages have one word.",
        }
    ],
    "suggestion": {
        "decision": "approve",
        "reasons": ["No reason to reject or to ask for a return."],
    },
}

DECISION = {
    "id": 31,
    "decision": "approve",
    "wants_second_opinion": False,
    "reason": "",
    "reviewer": "ada",
    "created_at": "2026-03-02T08:30:00Z",
}

PROGRESS: dict[str, Any] = {
    "at": "2026-03-01T11:00:00Z",
    "state": "live",
    "here": 9,
    "declined": 2,
    "funnel": [
        {"name": "Arrived", "people": 80, "kept_percent": None},
        {"name": "Consented", "people": 74, "kept_percent": 93},
    ],
    "places": [{"name": "Conversations", "here": 6, "left": 3}],
    "stuck": [{"participant": 12, "where": "Survey", "since": "2026-03-01T10:20:00Z"}],
    "hours": [{"hour": "2026-03-01T10:00:00Z", "arrivals": 14, "completions": 8}],
    "money": {"budget": 900.0, "spent": 41.2, "reserved": 6.3, "next_person": 0.71},
    "errors": [
        {
            "at": "2026-03-01T10:41:00Z",
            "model": "vendor/model-a",
            "words": "over the time limit",
        }
    ],
    "alerts": [],
    "types": [{"type": "unguided", "complete": 60, "under_way": 2, "technical": 0}],
    "models": [
        {
            "name": "vendor/model-a",
            "state": "",
            "calls": 240,
            "failed": 1,
            "median_s": 1.7,
            "p95_s": 4.1,
            "spent_usd": 12.4,
        }
    ],
    "scores": [3, 5, 9, 12, 20, 31, 44, 60, 52, 40],
    "days": [{"day": "2026-03-01", "completions": 41}],
    "times": [{"stage": "In all", "quartile_s": 2700, "median_s": 3300, "third_quartile_s": 4020}],
}

RELEASE: dict[str, Any] = {
    "version": "1.0",
    "state": "ready",
    "reason": "",
    "step": "",
    "progress": 100,
    "is_public": True,
    "leave_out_recent": True,
    "with_pilot": False,
    "counts": {"rows": {"survey.jsonl": 100, "conversations.jsonl": 540}},
    "size": 4810234,
    "sha256": HASH,
    "is_whole": True,
    "asked_by": "ada",
    "created_at": "2026-04-01T09:00:00Z",
    "built_at": "2026-04-01T09:00:41Z",
    "published_at": None,
}

LIVE = (
    '{"cursor": "1772356365000000-0-12", "kind": "survey", "participant": 12, "is_pilot": false, '
    '"is_simulated": false, "row": {"user_id": "user12", "lm_familiarity": "Very familiar"}}\n'
    '{"cursor": "1772356560000000-1-301", "kind": "utterances", "participant": 12, "is_pilot": '
    'false, "is_simulated": false, "row": {"utterance_id": "ut301", "user_id": "user12"}}\n'
)

SENT: dict[str, Any] = {
    "studies_create": {
        "slug": "values-2026",
        "title": "Values and replies",
        "preset": "prism",
        "locale": "us",
        "contact_name": "Ada",
        "contact_email": "ada@example.org",
        "budget_usd": 900,
        "expected_people": 100,
    },
    "studies_change": {"expected_people": 200, "budget_usd": 1800, "mark": STUDY["mark"]},
    "studies_step": {"step": "pause"},
    "quotas_create": QUOTA_SENT,
    "quotas_change": {
        **QUOTA_SENT,
        "csv": "gender,target\nfemale,60\nmale,40\n",
        "version": 1,
    },
    "submissions_decide": {"decision": "approve", "seen": 0},
    "releases_build": {"is_public": True, "leave_out_recent": True},
    "releases_publish": {},
}

SHOWN: dict[str, Any] = {
    "account": {
        "account": "ada",
        "token": {
            "name": "notebook",
            "prefix": "refract_Zt4k",
            "scopes": ["see", "read", "export"],
            "expires_at": "2026-12-31T00:00:00Z",
        },
        "may_begin_studies": False,
        "studies": [{"slug": "values-2026", "may": ["see", "read", "export"]}],
    },
    "studies_list": STUDY,
    "studies_create": {"study": STUDY, "notes": []},
    "studies_read": STUDY,
    "studies_change": STUDY | {"expected_people": 200, "budget_usd": 1800.0},
    "studies_step": STUDY | {"state": "paused", "steps": ["resume", "close"], "version": 2},
    "studies_check": {
        "is_ready": False,
        "findings": [
            {
                "level": "stop",
                "words": "No model is switched on.",
                "remedy": "Choose some under Models.",
            }
        ],
    },
    "studies_versions": {
        "number": 1,
        "reason": "The study was launched.",
        "author": "ada",
        "created_at": "2026-03-01T08:00:00Z",
        "instrument": HASH,
        "people": 80,
    },
    "studies_design": {
        "refract": 1,
        "title": "Values and replies",
        "protocol": {"name": "prism"},
        "instrument": {"name": "prism", "sha256": HASH},
        "consent": {"name": "2026-01", "sha256": HASH},
        "further_languages": [],
        "endpoints": [],
    },
    "progress": PROGRESS,
    "quotas_list": QUOTA,
    "quotas_create": QUOTA,
    "quotas_read": QUOTA,
    "quotas_change": QUOTA | {"version": 2},
    "endpoints_list": ENDPOINT,
    "endpoints_read": ENDPOINT | {"history": HISTORY},
    "participants_list": PARTICIPANT,
    "participants_read": PARTICIPANT
    | {
        "conversations": [CONVERSATION],
        "places": [{"table": "Gender", "state": "claimed", "why": ""}],
    },
    "submissions_list": SUBMISSION,
    "submissions_read": SUBMISSION | {"decisions": []},
    "submissions_decide": DECISION,
    "live": LIVE,
    "releases_list": RELEASE,
    "releases_build": RELEASE
    | {"state": "queued", "progress": 0, "size": None, "is_whole": False, "built_at": None},
    "releases_read": RELEASE,
    "releases_publish": RELEASE | {"state": "published", "published_at": "2026-04-02T10:00:00Z"},
    "files_list": {"files": ["survey", "conversations", "utterances", "models", "assignments"]},
    "files_read": '{"user_id": "user0", "survey_only": false, "num_completed_conversations": 6}\n',
}

ERRORS: dict[str, Any] = {
    "400": {
        "code": "invalid",
        "message": "limit: Ensure this value is less than or equal to 200.",
        "fields": {"limit": ["Ensure this value is less than or equal to 200."]},
    },
    "401": {
        "code": "token",
        "message": "This token opens nothing: it is mistyped, over or revoked.",
        "fields": {},
    },
    "403": {
        "code": "not_allowed",
        "message": "This token does not have the scope “export”.",
        "fields": {},
    },
    "404": {
        "code": "not_found",
        "message": "There is no such study, or you have no part in it.",
        "fields": {},
    },
    "409": {
        "code": "changed",
        "message": "Somebody has changed this study since you read it. Read it again.",
        "fields": {},
    },
    "413": {
        "code": "too_large",
        "message": "This is longer than a request may be. Please send less.",
        "fields": {},
    },
    "415": {
        "code": "media_type",
        "message": 'Unsupported media type "text/plain" in request.',
        "fields": {},
    },
    "429": {
        "code": "too_many",
        "message": "These are more than 600 requests in a minute. Try again in 12 s.",
        "fields": {},
    },
}
