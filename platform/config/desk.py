"""How the researcher's desk (django-unfold) looks and what its sidebar lists."""

from collections.abc import Callable
from typing import Any

from django.http import HttpRequest
from django.templatetags.static import static
from django.urls import reverse_lazy
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

SHADES = (50, 100, 200, 300, 400, 500, 600, 700, 800, 900, 950)
PAPER = "f8f7f4 efede7 dedad1 c6c2b8 9b988f 75736c 56575e 3f4046 2a2b2f 1f2023 171719"
ACCENT = "f3f6fb e9eef6 cfdcee a3c1ec 8fb0e0 7ea3d8 2b4f81 24436e 1d375a 182d4a 14233a"


def palette(colours: str) -> dict[str, str]:
    return {str(shade): f"#{colour}" for shade, colour in zip(SHADES, colours.split(), strict=True)}


def icon(request: HttpRequest) -> str:
    return static("refract/icon.svg")


def may_view(model: str) -> Callable[[HttpRequest], bool]:
    """Whether an entry of the sidebar leads anywhere for whoever looks at it."""

    def permission(request: HttpRequest) -> bool:
        # Models are not loaded while the settings are.
        from django.apps import apps
        from django.contrib import admin

        page = admin.site._registry[apps.get_model(model.replace("_", ".", 1))]
        return page.has_view_permission(request)

    return permission


def group(title: Promise | str, *entries: tuple[Promise | str, str, str]) -> dict[str, Any]:
    """A part of the sidebar; each entry is (title, symbol, app_model)."""
    links = [
        {
            "title": name,
            "icon": symbol,
            "link": reverse_lazy(f"admin:{model}_changelist"),
            "permission": may_view(model),
        }
        for name, symbol, model in entries
    ]
    return {"title": title, "separator": True, "items": links}


UNFOLD = {
    "SITE_TITLE": "Refract desk",
    "SITE_HEADER": "Refract desk",
    "SITE_ICON": icon,
    "SHOW_VIEW_ON_SITE": False,
    "LOGIN": {"form": "surveys.sign_in.SignInForm"},
    "ACCOUNT": {
        "navigation": [
            {"title": _("Two-factor sign-in"), "link": reverse_lazy("two-factor")},
        ]
    },
    "COLORS": {"base": palette(PAPER), "primary": palette(ACCENT)},
    "SIDEBAR": {
        "show_search": False,
        "navigation": [
            group(
                _("Study"),
                (_("Studies"), "science", "surveys_study"),
                (_("Participants"), "group", "surveys_participant"),
                (_("Quotas"), "grid_view", "surveys_quotatable"),
                (_("Conversations"), "forum", "collection_conversation"),
                (_("Model endpoints"), "memory", "collection_modelendpoint"),
                (_("Provider limits"), "speed", "collection_providerlimit"),
            ),
            group(
                _("Recruiting"),
                (_("Recruitments"), "campaign", "surveys_recruitment"),
                (_("Submissions"), "assignment_ind", "surveys_submission"),
                (_("Outbox"), "outbox", "surveys_delivery"),
            ),
            group(
                _("Reports"),
                (_("Problem reports"), "report", "surveys_problemreport"),
                (_("Reported replies"), "flag", "collection_replyreport"),
                (_("Declined"), "do_not_disturb_on", "surveys_decline"),
            ),
            group(
                _("Records"),
                (_("Survey responses"), "checklist", "surveys_response"),
                (_("Replies"), "chat_bubble", "collection_utterance"),
                (_("Open feedback"), "rate_review", "collection_feedback"),
                (_("Model calls"), "call_made", "collection_modelcall"),
                (_("Instruments"), "assignment", "surveys_instrument"),
                (_("Consent texts"), "verified_user", "surveys_consenttext"),
            ),
            group(
                _("Desk"),
                (_("Roles"), "badge", "surveys_membership"),
                (_("API tokens"), "key", "surveys_apitoken"),
                (_("Audit log"), "history", "surveys_auditentry"),
                (_("Withdrawals"), "person_remove", "surveys_withdrawalreceipt"),
                (_("Accounts"), "manage_accounts", "auth_user"),
            ),
        ],
    },
}
