"""Releases at the desk: ask for one, watch it being built, look at it, publish it, take it back."""

from collections.abc import Callable
from typing import Any

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST, require_safe

from collection import disclosure, hub, releases
from collection.dossier import datasheet
from collection.models import Release, Tombstone
from collection.release_forms import AskForm, StatementForm
from surveys import access, audit
from surveys.errors import DomainError
from surveys.models import Study

EVERY_S = 2
TONES = {
    Release.State.READY: "good",
    Release.State.PUBLISHED: "good",
    Release.State.FAILED: "bad",
    Release.State.WITHDRAWN: "warn",
}


def publish(request: HttpRequest, release: Release) -> str:
    releases.publish(release, request.user)
    return _("Release %s is published: it changes no more.") % release.version


def mend(request: HttpRequest, release: Release) -> str:
    patch = releases.mend(release, str(request.user.get_username()), "the study team asked for it")
    return _("Patch %s will be built from the data as they are now, with the same ids.") % (
        patch.version
    )


def retry(request: HttpRequest, release: Release) -> str:
    releases.retry(release)
    return _("It is tried once more.")


def take_back(request: HttpRequest, release: Release) -> str:
    reason = request.POST.get("reason", "").strip()
    if not reason:
        raise DomainError("reason", _("Please say why: the reason stands beside the release."))
    releases.withdraw(release, request.user, reason)
    return _("Release %s is taken back, and its archive is gone.") % release.version


def push(request: HttpRequest, release: Release) -> str:
    hub.ask(release, request.user)
    return _("It will be pushed to the hub.")


DEEDS: dict[str, Callable[[HttpRequest, Release], str]] = {
    "publish": publish,
    "mend": mend,
    "retry": retry,
    "take-back": take_back,
    "push": push,
}


class ReleasePages:
    """Mixed into the study's admin."""

    admin_site: Any
    opts: Any
    media: Any

    def get_urls(self) -> list[URLPattern]:
        one = "<int:pk>/releases/<int:edition>.<int:patch>/"
        pages = [
            ("<int:pk>/releases/", self.releases_page, "releases"),
            ("<int:pk>/releases/statement/", self.statement_page, "statement"),
            (one, require_safe(self.release_page), "release"),
            (f"{one}<slug:deed>/", require_POST(self.do_with_release), "release_do"),
        ]
        own = [
            path(at, self.admin_site.admin_view(view), name=f"surveys_study_{name}")
            for at, view, name in pages
        ]
        urls: list[URLPattern] = super().get_urls()  # type: ignore[misc]
        return [*own, *urls]

    def releases_page(self, request: HttpRequest, pk: int) -> HttpResponse:
        """All of them; a POST asks for the next."""
        study = study_for(request, pk, "export" if request.method == "POST" else "see")
        form = AskForm(request.POST or None)
        if request.method == "POST" and form.is_valid():
            try:
                release = releases.ask(study, request.user.get_username(), **form.cleaned_data)
            except DomainError as error:
                form.add_error(None, error.message)
            else:
                audit.write(request.user, "asked for", release, study, **form.cleaned_data)
                return redirect(page_of(release))
        statement = releases.statement_of(study)
        context = {
            "title": _("Releases of %s") % study,
            "study": study,
            "form": form,
            "rows": [(row, TONES.get(Release.State(row.state), "")) for row in rows_of(study)],
            "obstacles": disclosure.obstacles(study, leave_out_recent=False, with_pilot=False),
            "unanswered": datasheet.unanswered(statement.answers),
            "may_export": access.may(request.user, "export", study),
            "tombstones": Tombstone.objects.filter(release__study=study).count(),
        }
        status = 422 if form.is_bound else 200
        return self.drawn(request, "releases.html", context, status)

    def statement_page(self, request: HttpRequest, pk: int) -> HttpResponse:
        """What the researchers write for all releases to come."""
        study = study_for(request, pk, "change")
        row = releases.statement_of(study)
        form = StatementForm(request.POST or None, instance=row)
        if request.method == "POST" and form.is_valid():
            form.save()
            audit.write(request.user, "changed", row, study, fields=form.changed_data)
            messages.success(request, _("Stored. Releases that there are keep what they had."))
            return redirect("admin:surveys_study_releases", pk)
        context = {"title": _("Statement of %s") % study, "study": study, "form": form}
        return self.drawn(request, "statement.html", context, 422 if form.is_bound else 200)

    def release_page(self, request: HttpRequest, pk: int, edition: int, patch: int) -> HttpResponse:
        """One release; to htmx only how far it is, or the whole page anew once that is over."""
        study = study_for(request, pk, "see")
        release = find(study, edition, patch)
        shown = {"release": release, "study": study, "every": EVERY_S}
        if request.headers.get("HX-Request") == "true":
            if not release.is_under_way:
                return HttpResponse(headers={"HX-Refresh": "true"})
            return TemplateResponse(request, "admin/surveys/study/_release.html", shown)
        cells = release.disclosure.get("cells")
        if cells:
            audit.write(request.user, "saw", release, study, cells=cells["small_people"])
        context = shown | {
            "title": _("Release %(version)s of %(study)s")
            % {"version": release.version, "study": study},
            "tone": TONES.get(Release.State(release.state), ""),
            "cells": cells,
            "obstacles": list(releases.obstacles_of(release)) if release.is_whole else [],
            "unanswered": datasheet.unanswered(release.statement.get("answers", {})),
            "archive": reverse("release-zip", args=[study.slug, release.version]),
            "may_export": access.may(request.user, "export", study),
            "tombstones": release.root.tombstones.all(),
            "newest": releases.newest(release),
            "hub_obstacle": hub.obstacle(),
            "repository": releases.statement_of(study).hub_repository,
        }
        return self.drawn(request, "release.html", context)

    def do_with_release(
        self, request: HttpRequest, pk: int, edition: int, patch: int, deed: str
    ) -> HttpResponse:
        study = study_for(request, pk, "export")
        if deed not in DEEDS:
            raise Http404(deed)
        release = find(study, edition, patch)
        try:
            messages.success(request, DEEDS[deed](request, release))
        except DomainError as error:
            messages.error(request, error.message)
        else:
            audit.write(request.user, deed, release, study, version=release.version)
        to = releases.newest(release) if deed == "mend" else release
        return redirect(page_of(to))

    def drawn(
        self, request: HttpRequest, template: str, context: dict[str, Any], status: int = 200
    ) -> HttpResponse:
        shared = self.admin_site.each_context(request) | {"opts": self.opts, "media": self.media}
        return TemplateResponse(
            request, f"admin/surveys/study/{template}", shared | context, status=status
        )


def study_for(request: HttpRequest, pk: int, verb: access.Verb) -> Study:
    """Raises PermissionDenied or Http404."""
    if not access.may(request.user, verb, pk):
        raise PermissionDenied
    return get_object_or_404(Study.objects.select_related("instrument"), pk=pk)


def find(study: Study, edition: int, patch: int) -> Release:
    rows = study.releases.select_related("study", "first")
    return get_object_or_404(rows, edition=edition, patch=patch)


def rows_of(study: Study) -> list[Release]:
    return list(study.releases.select_related("study").order_by("-edition", "-patch"))


def page_of(release: Release) -> str:
    return reverse(
        "admin:surveys_study_release", args=[release.study_id, release.edition, release.patch]
    )
