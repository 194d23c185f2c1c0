"""The desk, first part: what surveys alone knows.

Answers are evidence: they can be read here and nowhere changed. Identity is not registered, so
that what identifies people is never shown.
"""

from typing import Any

from django.contrib import admin, messages
from django.contrib.admin import display
from django.contrib.auth.admin import GroupAdmin, UserAdmin
from django.contrib.auth.models import Group, User
from django.db.models import Count, QuerySet, Sum
from django.http import HttpRequest
from django.template.defaultfilters import truncatechars
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _
from django_otp.plugins.otp_static.models import StaticDevice
from django_otp.plugins.otp_totp.models import TOTPDevice
from unfold.forms import AdminPasswordChangeForm, UserChangeForm, UserCreationForm

from surveys import access, desk_audit, desk_people, desk_withdrawals, two_factor
from surveys.desk import LINE, DeskAdmin, ReadOnlyAdmin, Veiled, link_to, tag, when
from surveys.desk_quotas import QuotaDesk
from surveys.models import (
    ConsentText,
    Decline,
    Instrument,
    ProblemReport,
    QuotaTable,
    Response,
)
from surveys.readout import response_in_words
from surveys.workshop import Workshop, checked, outline, translations, versions

__all__ = [
    "LINE",
    "DeskAdmin",
    "InstrumentAdmin",
    "ReadOnlyAdmin",
    "desk_audit",
    "desk_people",
    "desk_withdrawals",
    "link_to",
    "tag",
    "when",
]


class InstrumentAdmin(Workshop, ReadOnlyAdmin):
    """Versions can be added; none is ever changed. `collection.admin` says what is released.

    They belong to no study: whoever has a part in one may look, and use them in their own.
    """

    list_display = ["title", "slug", "version", "studies", "created"]
    ordering = ["slug", "-created_at"]
    search_fields = ["title", "slug", "sha256"]
    created = when("created_at", _("loaded"))

    def get_queryset(self, request: HttpRequest) -> QuerySet[Instrument]:
        rows: QuerySet[Instrument] = super().get_queryset(request)
        return rows.defer("document").annotate(studies=Count("study"))

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        is_member = access.may_anywhere(request.user, "see")
        return is_member or super().has_view_permission(request, obj)

    def has_module_permission(self, request: HttpRequest) -> bool:
        return self.has_view_permission(request)

    def has_add_permission(self, request: HttpRequest) -> bool:
        has_perm = request.user.has_perm("surveys.add_instrument")
        return has_perm or access.may_anywhere(request.user, "change")

    def page_context(self, row: Instrument) -> dict[str, Any]:
        texts = row.file.conversation
        others = sorted(versions().exclude(pk=row.pk), key=lambda other: other.slug != row.slug)
        return {
            "scales": [texts.performance, texts.choice] if texts else [],
            "review": checked(row),
            "translations": translations(row),
            "earlier": versions().filter(slug=row.slug, created_at__lt=row.created_at).last(),
            "others": others,
            "outline": list(outline(row.file)),
        }

    @display(description=_("version"), ordering="sha256")
    def version(self, row: Instrument) -> str:
        return row.sha256[:8]

    @display(description=_("studies"), ordering="studies")
    def studies(self, row: Any) -> int:
        return int(row.studies)


@admin.register(ConsentText)
class ConsentTextAdmin(ReadOnlyAdmin):
    study_path = "study"
    verbs = {**ReadOnlyAdmin.verbs, "view": "see"}
    list_display = ["version", "hash", "study", "consents", "created"]
    list_filter = ["study"]
    created = when("created_at", _("first agreed to"))
    list_select_related = ["study"]
    ordering = ["-created_at"]

    def get_queryset(self, request: HttpRequest) -> QuerySet[ConsentText]:
        rows: QuerySet[ConsentText] = super().get_queryset(request)
        return rows.annotate(consents=Count("consent"))

    @display(description=_("hash"), ordering="sha256")
    def hash(self, row: ConsentText) -> str:
        return row.sha256[:8]

    @display(description=_("consents"), ordering="consents")
    def consents(self, row: Any) -> int:
        return int(row.consents)


@admin.register(Decline)
class DeclineAdmin(ReadOnlyAdmin):
    """One row per person who declined; their number is what there is to see."""

    study_path = "study"
    verbs = {**ReadOnlyAdmin.verbs, "view": "see"}
    list_display = ["date", "study", "source"]
    list_filter = ["study", "source", "date"]
    list_select_related = ["study"]


@admin.register(Response)
class ResponseAdmin(Veiled, ReadOnlyAdmin):
    """All answers to one question side by side."""

    study_path = "participant__study"
    veiled = ("value",)
    page_has_words = list_has_words = True
    list_display = ["question", "answer", "participant_link", "answered"]
    answered = when("answered_at", _("answered"))
    list_filter = ["question", "participant__study", "participant__is_simulated"]
    ordering = ["-pk"]

    def get_queryset(self, request: HttpRequest) -> QuerySet[Response]:
        # Prefetched, not joined: all rows then share one parsed instrument.
        rows: QuerySet[Response] = super().get_queryset(request)
        return rows.prefetch_related("participant__instrument")

    @display(description=_("answer"))
    def answer(self, row: Response) -> str:
        return truncatechars(response_in_words(row.participant.instrument.file, row), LINE)

    @display(description=_("participant"), ordering="participant")
    def participant_link(self, row: Response) -> SafeString:
        return link_to(row.participant)


@admin.register(ProblemReport)
class ProblemReportAdmin(Veiled, ReadOnlyAdmin):
    study_path = "participant__study"
    veiled = ("text",)
    page_has_words = list_has_words = True
    list_display = ["created", "words", "page", "participant_link", "study"]
    created = when("created_at", _("written"))
    list_filter = ["participant__study", "participant__is_simulated"]
    list_select_related = ["participant__study"]
    search_fields = ["text", "page"]
    fields = ["participant", "created_at", "page", "text"]

    @display(description=_("report"))
    def words(self, row: ProblemReport) -> str:
        return truncatechars(row.text, LINE)

    @display(description=_("participant"), ordering="participant")
    def participant_link(self, row: ProblemReport) -> SafeString:
        return link_to(row.participant)

    @display(description=_("study"), ordering="participant__study")
    def study(self, row: ProblemReport) -> str:
        return str(row.participant.study)


@admin.register(QuotaTable)
class QuotaTableAdmin(QuotaDesk, DeskAdmin):
    """How many people of which kind; the page of a study's tables is linked from the study's."""

    study_path = "study"

    list_display = ["name", "study", "made_of", "places"]
    list_filter = ["study"]
    list_select_related = ["study"]
    search_fields = ["name"]

    def get_queryset(self, request: HttpRequest) -> QuerySet[QuotaTable]:
        rows: QuerySet[QuotaTable] = super().get_queryset(request)
        return rows.annotate(places=Sum("cells__target"))

    @display(description=_("fields"))
    def made_of(self, row: QuotaTable) -> str:
        return " × ".join(row.fields)

    @display(description=_("places"), ordering="places")
    def places(self, row: Any) -> int:
        return int(row.places or 0)


# Their pages would show everybody's secrets; `two_factor` has each account's own.
admin.site.unregister(TOTPDevice)
admin.site.unregister(StaticDevice)
admin.site.unregister(User)
admin.site.unregister(Group)


class ForAdministrators(DeskAdmin):
    """Whoever can change accounts can become anybody: superusers alone."""

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return access.is_everywhere(request.user)

    def has_add_permission(self, request: HttpRequest) -> bool:
        return access.is_everywhere(request.user)

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return access.is_everywhere(request.user)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return access.is_everywhere(request.user)

    def has_module_permission(self, request: HttpRequest) -> bool:
        return access.is_everywhere(request.user)


@admin.register(User)
class ResearcherAdmin(UserAdmin, ForAdministrators):  # type: ignore[misc,type-arg]
    """Accounts of the desk."""

    actions = ["forget_two_factor"]

    @admin.action(description=_("Switch two-factor sign-in off (for a lost phone)"))
    def forget_two_factor(self, request: HttpRequest, queryset: QuerySet[User]) -> None:
        for user in queryset:
            if two_factor.switch_off(user):
                self.note(request, "changed", user, note="two-factor sign-in off")
        messages.success(request, _("Done. They sign in with the password alone for now."))

    form = UserChangeForm
    add_form = UserCreationForm
    change_password_form = AdminPasswordChangeForm


@admin.register(Group)
class RoleAdmin(GroupAdmin, ForAdministrators):  # type: ignore[misc]
    """What accounts may do, together."""


# At the end: it needs what is above.
from surveys import desk_recruiting as desk_recruiting  # noqa: E402
