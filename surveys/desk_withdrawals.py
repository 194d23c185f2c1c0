"""Withdrawals at the desk: the receipts, and erasing on a participant's behalf."""

from typing import Any

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import TextChoices
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from unfold.widgets import UnfoldAdminIntegerFieldWidget, UnfoldAdminSelectWidget

from surveys import access, enrolment
from surveys.desk import ReadOnlyAdmin, when
from surveys.models import Participant, WithdrawalReceipt


class Reason(TextChoices):
    """Codes, since a free text would be where a person's words or name end up for good."""

    ASKED_BY_MAIL = "asked_by_mail", gettext_lazy("The participant asked by e-mail")
    ASKED_RECRUITER = "asked_recruiter", gettext_lazy("The participant asked through the recruiter")
    ASKED_OTHERWISE = "asked_otherwise", gettext_lazy("The participant asked in another way")
    NO_CONSENT = "no_consent", gettext_lazy("The consent turned out not to be valid")
    ETHICS = "ethics", gettext_lazy("The ethics committee decided so")


class WithdrawForm(forms.Form):
    reason = forms.ChoiceField(
        label=gettext_lazy("Reason"),
        choices=[("", "–"), *Reason.choices],
        widget=UnfoldAdminSelectWidget,
        help_text=gettext_lazy("It is kept in the audit log. The request itself stays with you."),
    )
    number = forms.IntegerField(
        label=gettext_lazy("Number of the participant, to be sure"),
        widget=UnfoldAdminIntegerFieldWidget,
        error_messages={"required": gettext_lazy("Please type the participant’s number.")},
    )

    def __init__(self, *args: Any, participant: Participant, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.participant = participant

    def clean_number(self) -> int:
        number: int = self.cleaned_data["number"]
        if number != self.participant.pk:
            raise forms.ValidationError(
                _("This is the page of participant %d.") % self.participant.pk
            )
        return number


class Withdrawals:
    """Mixed into the admin of participants: /withdraw/ of each."""

    admin_site: Any
    opts: Any
    media: Any
    own_rows: Any

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view(self.withdraw)
        urls: list[URLPattern] = super().get_urls()  # type: ignore[misc]
        return [path("<int:pk>/withdraw/", view, name="surveys_participant_withdraw"), *urls]

    def render_change_form(
        self, request: HttpRequest, context: dict[str, Any], *args: Any, **kwargs: Any
    ) -> HttpResponse:
        row = context["original"]
        may = row is not None and access.may(request.user, "withdraw", row.study_id)
        context["may_withdraw"] = may and row.withdrawn_at is None
        response: HttpResponse = super().render_change_form(  # type: ignore[misc]
            request, context, *args, **kwargs
        )
        return response

    def withdraw(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Asks for a reason and the number, then erases; no window binds the study team."""
        row: Participant = get_object_or_404(self.own_rows(request), pk=pk)
        if not access.may(request.user, "withdraw", row.study_id):
            raise PermissionDenied
        form = WithdrawForm(request.POST or None, participant=row)
        if request.method == "POST" and form.is_valid():
            receipt = enrolment.withdraw(row, request.user, form.cleaned_data["reason"])
            messages.success(
                request,
                _("Erased. The receipt is %s; please pass it on to the participant.") % receipt.code
                if receipt
                else _("This participant had withdrawn already."),
            )
            return redirect("admin:surveys_participant_change", row.pk)
        context = self.admin_site.each_context(request) | {
            "opts": self.opts,
            "title": _("Withdraw %s") % row,
            "participant": row,
            "form": form,
            "media": self.media,
        }
        return TemplateResponse(
            request,
            "admin/surveys/participant/withdraw.html",
            context,
            status=422 if form.is_bound else 200,
        )


@admin.register(WithdrawalReceipt)
class WithdrawalReceiptAdmin(ReadOnlyAdmin):
    """That data were erased, when and by whom. Whose they were is not known here."""

    study_path = "study"
    verbs = {**ReadOnlyAdmin.verbs, "view": "see"}
    list_display = ["code", "erased", "by", "study"]
    erased = when("at", gettext_lazy("erased"))
    list_filter = ["study", "by", "at"]
    list_select_related = ["study"]
    search_fields = ["code"]
    ordering = ["-at"]
