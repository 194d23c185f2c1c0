"""A study's detectors and subsets at the desk: how far they are, what they need, what they do."""

from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from django.views.decorators.http import require_POST, require_safe

from collection import census, charts, detecting
from collection.counted import Counted
from collection.desk_review import study_to
from collection.detecting import Coverage
from collection.export.plan import make_plan
from collection.export.samples import Report
from collection.export.survey_rows import draw_samples
from collection.metadata_forms import CensusForm, ModeratorForm
from collection.models import CensusTable, Detection, DetectionRun, Moderator
from surveys import access, audit
from surveys.errors import DomainError
from surveys.models import Study

State = DetectionRun.State


class MetadataPages:
    """Mixed into the study's admin."""

    admin_site: Any
    opts: Any
    media: Any

    def get_urls(self) -> list[URLPattern]:
        pages = [
            ("<int:pk>/metadata/", require_safe(self.metadata_page), "metadata"),
            ("<int:pk>/metadata/run/", require_POST(self.run_detector), "detect"),
            ("<int:pk>/metadata/moderator/", require_POST(self.set_moderator), "moderator"),
            ("<int:pk>/subsets/", require_safe(self.subsets_page), "subsets"),
            ("<int:pk>/subsets/census/", require_POST(self.set_census), "census"),
        ]
        urls: list[URLPattern] = super().get_urls()  # type: ignore[misc]
        own = [
            path(at, self.admin_site.admin_view(view), name=f"surveys_study_{name}")
            for at, view, name in pages
        ]
        return [*own, *urls]

    def metadata_show(
        self, request: HttpRequest, template: str, context: dict[str, Any], status: int = 200
    ) -> HttpResponse:
        shared = self.admin_site.each_context(request) | {"opts": self.opts, "media": self.media}
        place = f"admin/surveys/study/{template}.html"
        return TemplateResponse(request, place, shared | context, status=status)

    # Detectors

    def metadata_page(self, request: HttpRequest, pk: int) -> HttpResponse:
        study = study_to(request, pk, "see")
        return self.metadata_show(request, "metadata", context_of(request, study))

    def run_detector(self, request: HttpRequest, pk: int) -> HttpResponse:
        study = study_to(request, pk, "change")
        name = request.POST.get("detector", "")[:64]
        try:
            if request.POST.get("do") == "stop":
                detecting.stop(study, name)
                audit.write(request.user, "stopped a detector", study, study, detector=name)
                messages.success(request, _("Stopped. It can go on from there."))
            else:
                detecting.ask(study, name, request.user.get_username())
                audit.write(request.user, "ran a detector", study, study, detector=name)
                messages.success(request, _("It runs in the background, from within a minute."))
        except DomainError as error:
            messages.error(request, error.message)
        return redirect("admin:surveys_study_metadata", pk)

    def set_moderator(self, request: HttpRequest, pk: int) -> HttpResponse:
        study = study_to(request, pk, "change")
        row = Moderator.objects.filter(study=study).first() or Moderator(study=study)
        if request.POST.get("do") == "remove":
            Moderator.objects.filter(study=study).delete()
            audit.write(request.user, "changed", study, study, fields=["moderator"])
            messages.success(request, _("No texts are sent any more. What was found stays."))
            return redirect("admin:surveys_study_metadata", pk)
        form = ModeratorForm(request.POST, instance=row)
        if not form.is_valid():
            context = context_of(request, study) | {"form": form}
            return self.metadata_show(request, "metadata", context, status=422)
        values = {name: form.cleaned_data[name] for name in form.cleaned_data}
        Moderator.objects.update_or_create(study=study, defaults=values)
        audit.write(
            request.user, "changed", study, study, fields=["moderator"], model=row.litellm_model
        )
        messages.success(request, _("Stored. Nothing is sent until somebody runs it."))
        return redirect("admin:surveys_study_metadata", pk)

    # Subsets

    def subsets_page(self, request: HttpRequest, pk: int) -> HttpResponse:
        study = study_to(request, pk, "see")
        return self.metadata_show(request, "subsets", subsets_of(request, study, CensusForm()))

    def set_census(self, request: HttpRequest, pk: int) -> HttpResponse:
        study = study_to(request, pk, "change")
        if sample := request.POST.get("remove", ""):
            census.remove(study, sample[:2])
            SUBSETS.forget(study.pk)
            audit.write(request.user, "changed", study, study, fields=["census"])
            messages.success(request, _("Removed. The sample is not drawn any more."))
            return redirect("admin:surveys_study_subsets", pk)
        form = CensusForm(request.POST, request.FILES)
        if not form.is_valid():
            context = subsets_of(request, study, form)
            return self.metadata_show(request, "subsets", context, status=422)
        sample, by = form.cleaned_data["sample"], request.user.get_username()
        census.store(study, sample, form.census, by, **form.facts)
        SUBSETS.forget(study.pk)
        audit.write(request.user, "changed", study, study, fields=["census"], sample=sample)
        messages.success(request, _("Stored. This is what the rules make of it now."))
        return redirect("admin:surveys_study_subsets", pk)


def is_part(request: HttpRequest) -> bool:
    """Asked for by a page that has no figures yet: this may wait for them."""
    return request.headers.get("HX-Request") == "true"


def context_of(request: HttpRequest, study: Study) -> dict[str, Any]:
    moderator = Moderator.objects.filter(study=study).first()
    kept = detecting.COUNTS.look(study.pk, may_wait=is_part(request))
    return {
        "kept": kept,
        "figures_at": reverse("admin:surveys_study_metadata", args=[study.pk]),
        "title": _("Metadata of %s") % study,
        "study": study,
        "lines": [line_of(one) for one in detecting.coverage(study, kept.figures)] if kept else [],
        "moderator": moderator,
        "form": ModeratorForm(instance=moderator),
        "may_change": access.may(request.user, "change", study),
    }


def line_of(one: Coverage) -> dict[str, Any]:
    return {
        "detector": one.detector,
        "numbers": [(kind.label, *one.by_kind[kind.value]) for kind in Detection.Kind],
        "seen": one.seen,
        "all": one.all,
        "bar": charts.bar(100 * one.seen / one.all if one.all else 100),
        "run": one.run,
        "state": state_of(one),
        "words": words_of(one),
        "is_under_way": one.run is not None and one.run.state == State.ASKED,
        "can_go_on": one.run is not None and one.run.state == State.STOPPED,
    }


def state_of(one: Coverage) -> tuple[Any, str]:
    """(a word or two, good, warn, bad or nothing)"""
    if one.run and one.run.state == State.ASKED:
        return (_("tried again soon"), "warn") if one.run.failures else (_("under way"), "")
    if one.is_complete:
        return _("complete"), "good"
    if one.run and one.run.state == State.STOPPED:
        return _("stopped"), "bad"
    return (_("runs before each export"), "") if one.detector.is_local else (_("not run"), "warn")


def words_of(one: Coverage) -> list[str]:
    """What went wrong, in sentences."""
    run, found = one.run, []
    if run is None:
        return []
    if run.skipped:
        said = ngettext(
            "%d text was refused and has no flag; a new run sends it again.",
            "%d texts were refused and have no flag; a new run sends them again.",
            run.skipped,
        )
        found.append(said % run.skipped)
    if run.failures and run.state == State.ASKED:
        said = ngettext("It failed %d time in a row.", "It failed %d times in a row.", run.failures)
        found.append(said % run.failures)
    if run.words:
        found.append(run.words)
    return found


def draw(study: Study) -> tuple[Report, str]:
    """(what the subsets are now, why they can't be drawn)"""
    try:
        return draw_samples(make_plan(study)), ""
    except DomainError as error:  # versions of the instrument that cannot be released together
        return {"balanced": None, "samples": []}, error.message


SUBSETS = Counted("subsets", lambda pk: draw(Study.objects.get(pk=pk)))


def subsets_of(request: HttpRequest, study: Study, form: CensusForm) -> dict[str, Any]:
    tables = {table.sample: table for table in CensusTable.objects.filter(study=study)}
    kept = SUBSETS.look(study.pk, may_wait=is_part(request))
    report, problem = kept.figures if kept else ({"balanced": None, "samples": []}, "")
    return {
        "kept": kept,
        "figures_at": reverse("admin:surveys_study_subsets", args=[study.pk]),
        "title": _("Subsets of %s") % study,
        "study": study,
        "form": form,
        "balanced": report["balanced"],
        "samples": [(sample, tables.get(sample["sample"])) for sample in report["samples"]],
        "problem": problem,
        "may_change": access.may(request.user, "change", study),
    }
