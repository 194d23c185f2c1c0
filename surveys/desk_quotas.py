"""Quotas at the desk: a study's tables as they fill, uploading one, changing one."""

from dataclasses import dataclass
from typing import Any

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.translation import gettext as _
from django.views.decorators.http import require_safe

from surveys import access, quota_fields, quota_tables, quotas
from surveys.errors import DomainError
from surveys.instruments.schema import InstrumentFile
from surveys.models import QuotaClaim, QuotaTable, Study
from surveys.quota_forms import TARGET, QuotaForm, targets_of
from surveys.quotas import CellStand, TableStand


@dataclass(frozen=True)
class Line:
    """A cell as the page shows it. names: what it takes of each field, in labels."""

    names: list[str]
    stand: CellStand

    @property
    def heat(self) -> str:
        """0 to 1: how much of the target is taken, for a shade."""
        return f"{min(1.0, self.stand.share):.2f}"


@dataclass(frozen=True)
class Grid:
    """Two fields as rows and columns."""

    columns: list[str]
    rows: list[tuple[str, list[Line | None]]]


@dataclass(frozen=True)
class ShownTable:
    stand: TableStand
    lines: list[Line]

    @property
    def table(self) -> QuotaTable:
        return self.stand.table

    @property
    def grid(self) -> Grid | None:
        """None unless there are two fields that cross."""
        if len(self.table.fields) != 2:
            return None
        by_names = {(line.names[0], line.names[1]): line for line in self.lines}
        rows = list(dict.fromkeys(row for row, _column in by_names))
        columns = list(dict.fromkeys(column for _row, column in by_names))
        if len(by_names) * 2 <= len(rows) * len(columns):
            return None  # more holes than cells
        return Grid(columns, [(row, [by_names.get((row, c)) for c in columns]) for row in rows])


def shown_tables(study: Study, people: str) -> list[ShownTable]:
    file = study.instrument.file
    return [ShownTable(stand, lines(stand, file)) for stand in quotas.stand(study, people)]


def lines(stand: TableStand, file: InstrumentFile) -> list[Line]:
    return [
        Line(list(quota_fields.in_words(file, ordered(stand.table, cell.cell.values))), cell)
        for cell in stand.cells
        if cell.cell
    ]


def ordered(table: QuotaTable, values: dict[str, list[str]]) -> dict[str, list[str]]:
    """A database may keep the keys of JSON in an order of its own."""
    return {name: values[name] for name in table.fields}


def type_lines(study: Study, people: str) -> list[Line]:
    texts = study.instrument.file.conversation
    labels = {kind.code: kind.label for kind in texts.types} if texts else {}
    stands = quotas.stand_of_types(study, people)
    return [Line([labels.get(code, code)], stand) for code, stand in stands.items()]


class QuotaDesk:
    """The pages of quota tables; mixed into their admin."""

    admin_site: Any
    opts: Any
    media: Any
    has_add_permission: Any
    has_change_permission: Any
    has_view_permission: Any
    log_addition: Any
    log_change: Any

    def get_urls(self) -> list[URLPattern]:
        pages = [
            ("study/<int:pk>/", require_safe(self.study_page), "study"),
            ("study/<int:pk>/live/", require_safe(self.live), "live"),
            ("study/<int:pk>/add/", self.upload, "upload"),
            ("<int:pk>/csv/", require_safe(self.as_file), "csv"),
            ("<int:pk>/targets/", self.targets, "targets"),
        ]
        urls: list[URLPattern] = super().get_urls()  # type: ignore[misc]
        own = [
            path(at, self.admin_site.admin_view(view), name=f"surveys_quotatable_{name}")
            for at, view, name in pages
        ]
        return [*own, *urls]

    def show(
        self, request: HttpRequest, template: str, context: dict[str, Any], status: int = 200
    ) -> HttpResponse:
        shared = self.admin_site.each_context(request) | {"opts": self.opts, "media": self.media}
        place = f"admin/surveys/quotatable/{template}"
        return TemplateResponse(request, place, shared | context, status=status)

    def study_to_show(self, request: HttpRequest, pk: int) -> Study:
        if not self.has_view_permission(request):
            raise PermissionDenied
        studies = access.studies(request.user, "read").select_related("instrument")
        return get_object_or_404(studies, pk=pk)

    # Watching

    def study_page(self, request: HttpRequest, pk: int) -> HttpResponse:
        study = self.study_to_show(request, pk)
        context = self.live_context(request, study) | {
            "title": _("Quotas of %s") % study,
            "problems": quota_tables.problems(study),
            "may_add": access.may(request.user, "change", study),
        }
        return self.show(request, "study.html", context)

    def live(self, request: HttpRequest, pk: int) -> HttpResponse:
        """What the page asks for every few seconds."""
        study = self.study_to_show(request, pk)
        context = self.live_context(request, study)
        return TemplateResponse(request, "admin/surveys/quotatable/_live.html", context)

    def live_context(self, request: HttpRequest, study: Study) -> dict[str, Any]:
        kinds = quotas.kinds_of_people(study)
        wanted = request.GET.get("people", "")
        people = wanted if wanted in kinds else kinds[0]
        return {
            "study": study,
            "tables": shown_tables(study, people),
            "people": people,
            "types": type_lines(study, people),
            "kinds": [(kind, QuotaClaim.People(kind).label) for kind in kinds],
            "may_change": access.may(request.user, "change", study),
        }

    # Uploading and changing

    def add_view(
        self, request: HttpRequest, form_url: str = "", extra_context: Any = None
    ) -> HttpResponse:
        if not self.has_add_permission(request):
            raise PermissionDenied
        messages.info(request, _("Choose the study; its page leads to its quotas."))
        return redirect("admin:surveys_study_changelist")

    def upload(self, request: HttpRequest, pk: int) -> HttpResponse:
        study = self.study_to_show(request, pk)
        if not access.may(request.user, "change", study):
            raise PermissionDenied
        title = _("New quota table of %s") % study
        if request.method != "POST":
            context = {"title": title, "study": study, "form": QuotaForm(study=study)}
            return self.show(request, "form.html", context)
        form = QuotaForm(request.POST, request.FILES, study=study)
        return self.stored(request, form, None, {"title": title, "study": study})

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: Any = None
    ) -> HttpResponse:
        table = self.table_to_show(request, object_id)
        if request.method != "POST":
            return self.show(request, "form.html", self.change_context(table))
        if not self.has_change_permission(request, table):
            raise PermissionDenied
        form = QuotaForm(request.POST, request.FILES, instance=table, study=table.study)
        return self.stored(request, form, table, self.change_context(table))

    def table_to_show(self, request: HttpRequest, pk: Any) -> QuotaTable:
        if not self.has_view_permission(request):
            raise PermissionDenied
        everybody = QuotaTable.objects.select_related("study__instrument").prefetch_related("cells")
        rows = access.scoped(everybody, request.user, "read", "study")
        return get_object_or_404(rows, pk=pk if str(pk).isdecimal() else 0)

    def change_context(self, table: QuotaTable) -> dict[str, Any]:
        fresh = QuotaTable.objects.select_related("study__instrument").get(pk=table.pk)
        initial = {"version": fresh.version}
        return {
            "title": _("Quota table %s") % fresh.name,
            "study": fresh.study,
            "table": fresh,
            "form": QuotaForm(instance=fresh, initial=initial, study=fresh.study),
            "cells": [
                (
                    cell,
                    f"{TARGET}{cell.pk}",
                    list(
                        quota_fields.in_words(
                            fresh.study.instrument.file, ordered(fresh, cell.values)
                        )
                    ),
                )
                for cell in fresh.cells.all()
            ],
        }

    def stored(
        self,
        request: HttpRequest,
        form: QuotaForm,
        table: QuotaTable | None,
        context: dict[str, Any],
    ) -> HttpResponse:
        if not form.is_valid():
            return self.show(request, "form.html", context | {"form": form}, status=422)
        try:
            version = form.cleaned_data["version"]
            row = quota_tables.store(form.study, form.draft, form.settings, table, version)
        except DomainError as error:
            form.add_error("name" if error.code == "name" else None, error.message)
            if error.code == "changed":  # nothing of theirs, and the numbers as they are now
                assert table is not None
                messages.error(request, error.message)
                return redirect("admin:surveys_quotatable_change", table.pk)
            return self.show(request, "form.html", context | {"form": form}, status=422)
        if table:
            self.log_change(request, row, "Changed")
        else:
            self.log_addition(request, row, "Uploaded")
        messages.success(request, _("Stored."))
        return redirect("admin:surveys_quotatable_study", row.study_id)

    def targets(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Other numbers for the same cells."""
        table = self.table_to_show(request, pk)
        if request.method != "POST":
            return redirect("admin:surveys_quotatable_change", pk)
        if not self.has_change_permission(request, table):
            raise PermissionDenied
        targets, problems = targets_of(table, request.POST)
        version = request.POST.get("version", "")
        try:
            if not problems:
                quota_tables.set_targets(table, targets, int(version) if version.isdigit() else 0)
        except DomainError as error:
            problems = [error.message]
        if problems:
            for problem in problems[: quota_tables.MOST_PROBLEMS]:
                messages.error(request, problem)
            return redirect("admin:surveys_quotatable_change", pk)
        self.log_change(request, table, "Targets changed")
        messages.success(request, _("Stored."))
        return redirect("admin:surveys_quotatable_study", table.study_id)

    def as_file(self, request: HttpRequest, pk: int) -> HttpResponse:
        table = self.table_to_show(request, pk)
        response = HttpResponse(quota_tables.as_csv(table), content_type="text/csv; charset=utf-8")
        response["Content-Disposition"] = f'attachment; filename="quota-{table.pk}.csv"'
        return response

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """A table that people have met stays: it says why some of them are not in the data."""
        if obj is not None and obj.claims.exists():
            return False
        return bool(super().has_delete_permission(request, obj))  # type: ignore[misc]

    def get_actions(self, request: HttpRequest) -> dict[str, Any]:
        return {}  # deleting many at once would not ask who has met them

    def response_delete(self, request: HttpRequest, obj_display: str, obj_id: int) -> HttpResponse:
        messages.success(request, _("Deleted."))
        return redirect(reverse("admin:surveys_quotatable_changelist"))
