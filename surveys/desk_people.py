"""People at the desk: who has which role in a study, and the tokens of their programs."""

from datetime import timedelta
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.contrib.admin import display
from django.contrib.auth.models import User
from django.core.exceptions import ValidationError
from django.db.models import Q, QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.http import require_POST
from unfold.widgets import (
    UnfoldAdminCheckboxSelectMultipleWidget,
    UnfoldAdminIntegerFieldWidget,
    UnfoldAdminTextInputWidget,
)

from surveys import access, tokens
from surveys.desk import DeskAdmin, tag, when
from surveys.models import ApiToken, Membership, Study

DAYS = 90
DAYS_LIMIT = 366

SCOPES = {
    "see": gettext_lazy("studies, their settings and figures"),
    "read": gettext_lazy("what participants wrote and did"),
    "change": gettext_lazy("change settings, quotas and models"),
    "recruit": gettext_lazy("recruit, pay and write to people"),
    "review": gettext_lazy("decide on submissions"),
    "export": gettext_lazy("take releases away"),
}


class MembershipForm(forms.ModelForm):  # type: ignore[type-arg]
    """A role. The account is typed: who else works on this server is nobody's business."""

    username = forms.CharField(
        label=gettext_lazy("Account"),
        widget=UnfoldAdminTextInputWidget,
        help_text=gettext_lazy("The name with which the person signs in, exactly."),
    )

    class Meta:
        model = Membership
        fields = ("study", "role")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if self.instance.pk and "username" in self.fields:
            self.fields["username"].initial = self.instance.user.get_username()
            self.fields["username"].disabled = True
        if self.instance.pk and "study" in self.fields:
            self.fields["study"].disabled = True

    def clean_username(self) -> str:
        name: str = self.cleaned_data["username"]
        user = User.objects.filter(username=name, is_active=True).first()
        if user is None:
            raise ValidationError(
                _("There is no account with this name. An administrator can make one.")
            )
        self.instance.user = user
        return name

    def clean(self) -> dict[str, Any]:
        cleaned: dict[str, Any] = super().clean() or {}
        user, study, role = (
            getattr(self.instance, "user", None),
            cleaned.get("study") or getattr(self.instance, "study", None),
            cleaned.get("role"),
        )
        if self.instance.pk:
            if role != Membership.Role.OWNER and access.is_last_owner(self.instance):
                raise ValidationError(LAST_OWNER)
        elif user and study and Membership.objects.filter(user=user, study=study).exists():
            raise ValidationError(_("This account has a role in the study already; change that."))
        return cleaned


LAST_OWNER = gettext_lazy("A study keeps at least one owner. Make somebody else an owner first.")


@admin.register(Membership)
class MembershipAdmin(DeskAdmin):
    """Roles. Owners see and change those of their studies."""

    form = MembershipForm
    study_path = "study"
    verbs = {"view": "people", "add": "people", "change": "people", "delete": "people"}
    list_display = ["user", "role", "study", "since"]
    since = when("created_at", gettext_lazy("since"))
    list_filter = ["study", "role"]
    list_select_related = ["user", "study"]
    search_fields = ["user__username"]
    fields = ["study", "username", "role"]

    def formfield_for_foreignkey(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        if db_field.name == "study":
            kwargs["queryset"] = access.studies(request.user, "people")
        return super().formfield_for_foreignkey(db_field, request, **kwargs)

    def get_form(self, request: HttpRequest, obj: Any = None, **kwargs: Any) -> Any:
        form = super().get_form(request, obj, **kwargs)
        if field := form.base_fields.get("study"):
            for sign in ("can_add_related", "can_change_related", "can_view_related"):
                setattr(field.widget, sign, False)
        return form

    def get_actions(self, request: HttpRequest) -> dict[str, Any]:
        """One by one: the last owner must stay."""
        actions: dict[str, Any] = super().get_actions(request)
        actions.pop("delete_selected", None)
        return actions

    def delete_view(self, request: HttpRequest, object_id: str, extra_context: Any = None) -> Any:
        row = self.get_object(request, object_id)
        if row is not None and request.method == "POST" and access.is_last_owner(row):
            messages.error(request, LAST_OWNER)
            return redirect("admin:surveys_membership_change", row.pk)
        return super().delete_view(request, object_id, extra_context)

    def note(self, request: HttpRequest, verb: str, row: Any, **details: Any) -> None:
        super().note(request, verb, row, account=row.user.get_username(), role=row.role, **details)


class TokenForm(forms.ModelForm):  # type: ignore[type-arg]
    """A token to be made."""

    scopes = forms.MultipleChoiceField(
        label=gettext_lazy("May"),
        choices=list(SCOPES.items()),
        widget=UnfoldAdminCheckboxSelectMultipleWidget,
        help_text=gettext_lazy("Within what your own role in the study allows."),
    )
    days = forms.IntegerField(
        label=gettext_lazy("Days until it expires"),
        min_value=1,
        max_value=DAYS_LIMIT,
        initial=DAYS,
        widget=UnfoldAdminIntegerFieldWidget,
    )

    class Meta:
        model = ApiToken
        fields = ("name", "study")


@admin.register(ApiToken)
class ApiTokenAdmin(DeskAdmin):
    """Tokens: everybody's own; administrators see all."""

    form = TokenForm
    list_display = ["name", "start", "user", "study", "may_do", "state", "used", "expires"]
    expires = when("expires_at", gettext_lazy("expires"))
    used = when("last_used_at", gettext_lazy("last used"))
    list_filter = ["study"]
    list_select_related = ["user", "study"]
    search_fields = ["name", "prefix"]
    list_after_template = "admin/surveys/apitoken/revoke_form.html"
    fields = ["name", "study", "scopes", "days"]

    def own(self, request: HttpRequest, rows: QuerySet[Any]) -> QuerySet[Any]:
        if access.is_everywhere(request.user):
            return rows
        theirs = Q(study__in=access.study_keys(request.user, "people"))
        return rows.filter(Q(user=request.user.pk) | theirs)

    def study_of(self, row: Any) -> int | None:
        return row.study_id  # type: ignore[no-any-return]

    def has_module_permission(self, request: HttpRequest) -> bool:
        return self.has_view_permission(request)

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return access.is_everywhere(request.user) or bool(access.roles(request.user))

    def has_add_permission(self, request: HttpRequest) -> bool:
        return self.has_view_permission(request)

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def formfield_for_foreignkey(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        if db_field.name == "study" and not access.is_everywhere(request.user):
            kwargs["queryset"] = Study.objects.filter(pk__in=access.roles(request.user))
        return super().formfield_for_foreignkey(db_field, request, **kwargs)

    def get_fields(self, request: HttpRequest, obj: Any = None) -> list[str]:
        if obj is None:
            return self.fields
        return ["name", "start", "user", "study", "may_do", "state", "used", "expires"]

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> list[str]:
        return self.get_fields(request, obj) if obj else []

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view(require_POST(self.revoke))
        urls: list[URLPattern] = super().get_urls()
        return [path("<int:pk>/revoke/", view, name="surveys_apitoken_revoke"), *urls]

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        data = form.cleaned_data
        expires_at = timezone.now() + timedelta(days=data["days"])
        made, secret = tokens.issue(
            request.user, data["name"], data["scopes"], data["study"], expires_at
        )
        obj.pk, obj.prefix, obj.user = made.pk, made.prefix, made.user
        obj._state.adding = False
        obj.secret = secret

    def response_add(self, request: HttpRequest, obj: Any, post_url_continue: Any = None) -> Any:
        """The one page that shows the secret. It is in no redirect, message or log."""
        context = self.admin_site.each_context(request) | {
            "opts": self.opts,
            "title": _("Your new token"),
            "token": obj,
            "secret": obj.secret,
            "media": self.media,
        }
        response = TemplateResponse(request, "admin/surveys/apitoken/secret.html", context)
        response["Cache-Control"] = "no-store"
        return response

    def revoke(self, request: HttpRequest, pk: int) -> HttpResponse:
        token = get_object_or_404(self.own_rows(request), pk=pk)
        if tokens.revoke(token):
            self.note(request, "revoked", token)
        messages.success(request, _("%s opens nothing any more.") % token)
        return redirect("admin:surveys_apitoken_changelist")

    @display(description=gettext_lazy("begins with"))
    def start(self, row: ApiToken) -> str:
        return f"{row.prefix}…"

    @display(description=gettext_lazy("may"))
    def may_do(self, row: ApiToken) -> str:
        return ", ".join(row.scopes)

    @display(description=gettext_lazy("state"))
    def state(self, row: ApiToken) -> SafeString:
        if row.revoked_at:
            return tag(_("revoked"), "bad")
        if not row.is_live(timezone.now()):
            return tag(_("expired"), "warn")
        return format_html(
            '<button class="desk-button" form="try-form" formaction="{}">{}</button>',
            reverse("admin:surveys_apitoken_revoke", args=[row.pk]),
            _("Revoke"),
        )
