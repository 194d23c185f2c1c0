"""A study's pages at the desk besides its settings: states, versions, check, file, copies."""

from typing import Any

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.http import require_POST, require_safe

from collection import protocol_file, readiness, trials
from surveys import access, studies, versions
from surveys.errors import DomainError
from surveys.models import Study, StudyVersion

STEP_NAMES = {
    "open_pilot": gettext_lazy("Open the pilot"),
    "launch": gettext_lazy("Launch"),
    "pause": gettext_lazy("Pause"),
    "resume": gettext_lazy("Go on"),
    "close": gettext_lazy("Close for good"),
}
STATE_WORDS = {
    Study.State.DRAFT: gettext_lazy("Nobody can take part; preview and simulation can."),
    Study.State.PILOT: gettext_lazy(
        "New people can take part. Their data are kept apart and not released."
    ),
    Study.State.LIVE: gettext_lazy("New people can take part."),
    Study.State.PAUSED: gettext_lazy("Nobody new; people under way can finish."),
    Study.State.CLOSED: gettext_lazy("Over: nobody new, ever; people under way can finish."),
}


def state_in_words(study: Study) -> str:
    return f"{study.get_state_display()}: {STATE_WORDS[Study.State(study.state)]}"


class StudyDesk:
    """Mixed into the study's admin."""

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
            ("<int:pk>/step/<slug:step>/", require_POST(self.take_step), "step"),
            ("<int:pk>/check/", self.check_page, "check"),
            ("<int:pk>/versions/", require_safe(self.versions_page), "versions"),
            ("<int:pk>/copy/", require_POST(self.copy), "copy"),
            ("<int:pk>/study.yaml", require_safe(self.file), "file"),
        ]
        urls: list[URLPattern] = super().get_urls()  # type: ignore[misc]
        own = [
            path(at, self.admin_site.admin_view(view), name=f"surveys_study_{name}")
            for at, view, name in pages
        ]
        return [*own, *urls]

    def show(self, request: HttpRequest, template: str, context: dict[str, Any]) -> HttpResponse:
        shared = self.admin_site.each_context(request) | {"opts": self.opts, "media": self.media}
        return TemplateResponse(request, f"admin/surveys/study/{template}", shared | context)

    def find(self, request: HttpRequest, pk: int, *, to_change: bool) -> Study:
        """Raises Http404 or PermissionDenied."""
        study = get_object_or_404(Study, pk=pk)
        may = self.has_change_permission if to_change else self.has_view_permission
        if not may(request, study):
            raise PermissionDenied
        return study

    def take_step(self, request: HttpRequest, pk: int, step: str) -> HttpResponse:
        study = self.find(request, pk, to_change=True)
        if step not in studies.STEPS:
            raise Http404
        before = study.state
        try:
            getattr(studies, step)(study, request.user.get_username())
        except DomainError as error:
            messages.error(request, error.message)
            to = "check" if error.code == "not_ready" else "change"
            return redirect(f"admin:surveys_study_{to}", pk)
        if study.state != before:
            self.log_change(request, study, f"{before} to {study.state}")
        messages.success(request, state_in_words(study))
        return redirect("admin:surveys_study_change", pk)

    def check_page(self, request: HttpRequest, pk: int) -> HttpResponse:
        """What is ready and what is not; a POST sends every model a test prompt first."""
        study = self.find(request, pk, to_change=request.method == "POST")
        if request.method == "POST":
            trials.run(readiness.active(study), request.user.get_username())
            self.log_change(request, study, "Tried all models")
            return redirect(request.path)
        return self.show(
            request,
            "check.html",
            {"title": _("Check of %s") % study, "study": study, **self.state_context(study)},
        )

    def state_context(self, study: Study) -> dict[str, Any]:
        return {
            "findings": readiness.check(study),
            "steps": [(step, STEP_NAMES[step]) for step in studies.steps_from(study.state)],
            "state_words": STATE_WORDS[Study.State(study.state)],
            "models_to_try": len(readiness.active(study)),
        }

    def versions_page(self, request: HttpRequest, pk: int) -> HttpResponse:
        """All versions, and the difference between two: by default the last two."""
        study = self.find(request, pk, to_change=False)
        rows = list(study.versions.select_related("instrument").order_by("-number"))
        old, new = self.two_of(request, rows)
        people = dict(versions.people_of(study))
        context = {
            "title": _("Versions of %s") % study,
            "study": study,
            "rows": [(row, people.get(row.pk, 0)) for row in rows],
            "old": old,
            "new": new,
            "changes": versions.differences(old, new) if old and new else [],
        }
        return self.show(request, "versions.html", context)

    def two_of(
        self, request: HttpRequest, rows: list[StudyVersion]
    ) -> tuple[StudyVersion | None, StudyVersion | None]:
        by_number = {str(row.number): row for row in rows}
        new = by_number.get(request.GET.get("new", ""), rows[0] if rows else None)
        before = str(new.number - 1) if new else ""
        return by_number.get(request.GET.get("old", before)), new

    def copy(self, request: HttpRequest, pk: int) -> HttpResponse:
        study = self.find(request, pk, to_change=False)
        if not self.has_add_permission(request):
            raise PermissionDenied
        # The slug was chosen when the page was drawn: a second click finds the first one's copy.
        slug = request.POST.get("slug", "")[:50] or studies.free_slug(study.slug)
        copy = studies.clone(study, slug)
        if copy.state != Study.State.DRAFT:
            messages.error(request, _("There is a study with this slug; load the page again."))
            return redirect("admin:surveys_study_change", pk)
        access.make_owner(request.user, copy)
        self.log_addition(request, copy, f"Copied from {study.slug}")
        messages.success(request, _("A draft with everything that the other is set to."))
        return redirect("admin:surveys_study_change", copy.pk)

    def file(self, request: HttpRequest, pk: int) -> HttpResponse:
        study = self.find(request, pk, to_change=False)
        return HttpResponse(
            protocol_file.written(study),
            content_type="application/yaml; charset=utf-8",
            headers={"Content-Disposition": f'attachment; filename="{study.slug}-study.yaml"'},
        )
