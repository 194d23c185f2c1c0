"""The audit log at the desk: read, filtered, and taken away as CSV or JSON lines."""

import csv
import io
import json
import tempfile
from collections.abc import Iterator
from typing import Any

from django.contrib import admin
from django.contrib.admin import display
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, StreamingHttpResponse
from django.urls import URLPattern, path, reverse
from django.utils.translation import gettext_lazy as _

from surveys import access, audit
from surveys.desk import ReadOnlyAdmin, when
from surveys.models import AuditEntry
from surveys.sending import streamed

COLUMNS = ["at", "actor", "verb", "object_type", "object_id", "study", "details"]
TYPES = {"csv": "text/csv; charset=utf-8", "jsonl": "application/x-ndjson"}


@admin.register(AuditEntry)
class AuditEntryAdmin(ReadOnlyAdmin):
    """Who did what. Sign-ins and what belongs to no study are for administrators alone."""

    study_path = "study"
    verbs = {**ReadOnlyAdmin.verbs, "view": "audit"}
    list_display = ["moment", "actor_name", "verb", "object_type", "object_id", "study", "more"]
    list_display_links = ["moment"]
    moment = when("at", _("at"))
    list_filter = ["verb", "study", "object_type", "actor_name", "at"]
    list_select_related = ["study"]
    search_fields = ["actor_name", "=object_id", "verb"]
    search_help_text = _("Account, verb, or the number of a row")
    ordering = ["-pk"]
    show_full_result_count = False
    list_before_template = "admin/surveys/auditentry/exports.html"

    @display(description=_("details"))
    def more(self, row: AuditEntry) -> str:
        return json.dumps(row.details, ensure_ascii=False) if row.details else ""

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view(self.export)
        urls: list[URLPattern] = super().get_urls()
        return [path("export/<str:form>/", view, name="surveys_auditentry_export"), *urls]

    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> Any:
        filters = request.GET.urlencode()
        exports = [
            (form, reverse("admin:surveys_auditentry_export", args=[form]) + f"?{filters}")
            for form in TYPES
        ]
        return super().changelist_view(request, {**(extra_context or {}), "exports": exports})

    def export(self, request: HttpRequest, form: str) -> StreamingHttpResponse:
        """What the list shows with the same filters, in its order of time."""
        if form not in TYPES:
            raise Http404(form)
        if not access.may_anywhere(request.user, "audit"):
            raise PermissionDenied
        rows = self.get_changelist_instance(request).get_queryset(request)
        # Noted first: the export has its own line, and so it says that it was made.
        audit.write(request.user, "exported", AuditEntry, form=form)
        file = tempfile.TemporaryFile()  # noqa: SIM115 -- closed when it has been sent
        for line in lines(rows.order_by("pk"), form):
            file.write(line.encode())
        return streamed(request, file, f"audit-log.{form}", TYPES[form])


def lines(rows: QuerySet[AuditEntry], form: str) -> Iterator[str]:
    found = map(as_row, rows.select_related("study").iterator())
    if form == "jsonl":
        yield from (json.dumps(row, ensure_ascii=False) + "\n" for row in found)
        return
    yield csv_line(COLUMNS)
    for row in found:
        details = json.dumps(row["details"], ensure_ascii=False)
        yield csv_line([harmless(str(value)) for value in {**row, "details": details}.values()])


def as_row(entry: AuditEntry) -> dict[str, Any]:
    study = entry.study if entry.study_id else None
    values = (
        *(entry.at.isoformat(), entry.actor_name, entry.verb, entry.object_type),
        *(entry.object_id, study.slug if study else "", entry.details),
    )
    return dict(zip(COLUMNS, values, strict=True))


def csv_line(values: list[str]) -> str:
    out = io.StringIO()
    csv.writer(out).writerow(values)
    return out.getvalue()


def harmless(value: str) -> str:
    """A cell that no spreadsheet takes for a formula: names of accounts are their owners' words."""
    return f"'{value}" if value.startswith(("=", "+", "-", "@", "\t", "\r")) else value
