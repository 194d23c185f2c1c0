"""The desk, first part: what all its pages share, and what surveys alone knows.

Answers are evidence: they can be read here and nowhere changed. Identity is not registered, so
that what identifies people is never shown.
"""

from collections.abc import Callable
from typing import Any

from django.contrib import admin
from django.contrib.admin import display
from django.contrib.auth.admin import GroupAdmin, UserAdmin
from django.contrib.auth.models import Group, User
from django.db.models import Count, QuerySet, URLField
from django.http import HttpRequest, HttpResponse
from django.template.defaultfilters import truncatechars
from django.urls import reverse
from django.utils.formats import date_format
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.timezone import localtime
from django.utils.translation import gettext_lazy as _
from unfold.admin import ModelAdmin
from unfold.forms import AdminPasswordChangeForm, UserChangeForm, UserCreationForm

from surveys.models import (
    ConsentText,
    Decline,
    Instrument,
    ProblemReport,
    Response,
)
from surveys.readout import response_in_words
from surveys.workshop import Workshop, checked, outline, translations, versions

LINE = 90
"""Characters of a text in a list."""


def tag(text: Any, kind: str = "") -> SafeString:
    """A word in a box. kind: good, warn or bad, or none of them."""
    return format_html('<span class="desk-tag {}">{}</span>', kind, text)


def when(field: str, description: Any) -> Callable[[Any, Any], SafeString | None]:
    """A list column with a time to the minute."""

    @display(description=description, ordering=field)
    def column(_admin: Any, row: Any) -> SafeString | None:
        at = getattr(row, field)
        return at and format_html("<time>{}</time>", date_format(localtime(at), "Y-m-d H:i"))

    return column


def link_to(row: Any, text: Any = None) -> SafeString:
    """A link to a row's page at the desk."""
    url = reverse(f"admin:{row._meta.app_label}_{row._meta.model_name}_change", args=[row.pk])
    return format_html('<a class="desk-link" href="{}">{}</a>', url, text or row)


class DeskAdmin(ModelAdmin):  # type: ignore[misc]
    """A page of the desk, with its look; its template gets what `page_context` returns."""

    list_per_page = 50
    compressed_fields = True
    warn_unsaved_form = True
    formfield_overrides: Any = {URLField: {"assume_scheme": "https"}}

    class Media:
        css = {"all": ["refract/desk.css"]}

    def page_context(self, row: Any) -> dict[str, Any]:
        return {}

    def render_change_form(
        self, request: HttpRequest, context: dict[str, Any], *args: Any, **kwargs: Any
    ) -> HttpResponse:
        if context["original"] is not None:
            context |= self.page_context(context["original"])
        response: HttpResponse = super().render_change_form(request, context, *args, **kwargs)
        return response


class ReadOnlyAdmin(DeskAdmin):
    """Looking only."""

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


class InstrumentAdmin(Workshop, ReadOnlyAdmin):
    """Versions can be added; none is ever changed. `collection.admin` says what is released."""

    list_display = ["title", "slug", "version", "studies", "created"]
    ordering = ["slug", "-created_at"]
    search_fields = ["title", "slug", "sha256"]
    created = when("created_at", _("loaded"))

    def get_queryset(self, request: HttpRequest) -> QuerySet[Instrument]:
        rows: QuerySet[Instrument] = super().get_queryset(request)
        return rows.defer("document").annotate(studies=Count("study"))

    def has_add_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("surveys.add_instrument")

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

    list_display = ["date", "study", "source"]
    list_filter = ["study", "source", "date"]
    list_select_related = ["study"]


@admin.register(Response)
class ResponseAdmin(ReadOnlyAdmin):
    """All answers to one question side by side."""

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
class ProblemReportAdmin(ReadOnlyAdmin):
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


admin.site.unregister(User)
admin.site.unregister(Group)


@admin.register(User)
class ResearcherAdmin(UserAdmin, DeskAdmin):  # type: ignore[type-arg]
    """Accounts of the desk."""

    form = UserChangeForm
    add_form = UserCreationForm
    change_password_form = AdminPasswordChangeForm


@admin.register(Group)
class RoleAdmin(GroupAdmin, DeskAdmin):
    """What accounts may do, together."""


# At the end: it needs what is above.
from surveys import desk_recruiting as desk_recruiting  # noqa: E402
