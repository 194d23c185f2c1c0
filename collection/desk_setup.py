"""The guided set-up: from an empty database to a study that is ready, one step at a time."""

from collections.abc import Mapping
from datetime import timedelta
from functools import partial
from typing import Any

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.forms.models import modelform_factory
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from collection import presets, protocol_file, setup_forms
from collection.demo import load_demo_endpoints
from collection.desk_study import StudyDesk
from surveys import access
from surveys.editing import Watched
from surveys.instruments.load import FOLDER, InstrumentError, decoded, read_consent, store
from surveys.models import Study

CHECK = "check"
STEPS: dict[str, tuple[Any, type[Watched]]] = {
    "what": (gettext_lazy("What it is"), setup_forms.WhatForm),
    "protocol": (gettext_lazy("Protocol"), setup_forms.ProtocolForm),
    "questionnaire": (gettext_lazy("Questionnaire"), setup_forms.InstrumentChoiceForm),
    "consent": (gettext_lazy("Consent"), setup_forms.ConsentChoiceForm),
    "models": (gettext_lazy("Models"), setup_forms.ModelsForm),
    "return": (gettext_lazy("The way back"), setup_forms.ReturnForm),
    "money": (gettext_lazy("Money"), setup_forms.MoneyForm),
}
"""In their order; after the last comes the check."""
LAST = (CHECK, gettext_lazy("Check"))
DOUBLE_CLICK = timedelta(minutes=1)


class GuidedSetup(StudyDesk):
    """Mixed into the study's admin."""

    formfield_for_dbfield: Any

    def get_urls(self) -> list[URLPattern]:
        pages = [
            ("set-up/", self.begin, "begin"),
            ("set-up/file/", self.from_file, "from_file"),
            ("<int:pk>/set-up/models/load/", self.load_models, "load_models"),
            ("<int:pk>/set-up/<slug:step>/", self.set_up, "set_up"),
        ]
        own = [
            path(at, self.admin_site.admin_view(view), name=f"surveys_study_{name}")
            for at, view, name in pages
        ]
        return [*own, *super().get_urls()]

    def form_of(self, request: HttpRequest, step: str) -> type[Watched]:
        """With the desk's widgets."""
        callback = partial(self.formfield_for_dbfield, request=request)
        found: Any = modelform_factory(Study, form=STEPS[step][1], formfield_callback=callback)
        return found  # type: ignore[no-any-return]

    def begin(self, request: HttpRequest) -> HttpResponse:
        """The first step, of a study that is not there yet."""
        if not self.has_add_permission(request):
            raise PermissionDenied
        if request.method == "POST" and (known := just_made(request.POST)):
            return to_step(known, "protocol")
        fresh = Study(
            instrument=store(FOLDER / "prism.yaml"),
            consent_document=read_consent(FOLDER / "prism-consent.yaml"),
        )
        form = self.form_of(request, "what")(request.POST or None, instance=fresh)
        if request.method == "POST" and form.is_valid():
            study = form.save()
            access.make_owner(request.user, study)
            self.log_addition(request, study, "Guided set-up")
            return to_step(study, "protocol")
        return self.show_step(request, None, "what", form)

    def set_up(self, request: HttpRequest, pk: int, step: str) -> HttpResponse:
        study = self.find(request, pk, to_change=True)
        if step not in STEPS and step != CHECK:
            raise Http404
        if study.state != Study.State.DRAFT and step != CHECK:
            messages.info(
                request, _("This study is no draft any more: change it here, with a reason.")
            )
            return redirect("admin:surveys_study_change", pk)
        if step == CHECK:
            return self.show_step(request, study, step, None)
        with transaction.atomic():
            form = self.form_of(request, step)(request.POST or None, instance=study)
            if request.method == "POST" and form.is_valid():
                form.save()
                self.log_change(request, study, f"Guided set-up: {step}")
                return to_step(study, after(step))
        return self.show_step(request, study, step, form)

    def show_step(
        self, request: HttpRequest, study: Study | None, step: str, form: Watched | None
    ) -> HttpResponse:
        context: dict[str, Any] = {
            "title": _("Set up a study"),
            "study": study,
            "step": step,
            "steps_of_setup": [*((n, words) for n, (words, _form) in STEPS.items()), LAST],
            "form": form,
        }
        if study and step == "models":
            context["presets"] = [("demo", _("Demo models, without any key")), *presets.titles()]
        if study:
            context["preview"] = previews(study)
        if study and step == CHECK:
            context |= self.state_context(study)
        return self.show(request, "set_up.html", context)

    def load_models(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Add a preset's endpoints to the registry. A second time changes nothing."""
        study = self.find(request, pk, to_change=True)
        if request.method != "POST":
            raise PermissionDenied
        name = request.POST.get("preset", "")
        if name == "demo":
            load_demo_endpoints()
        elif name in presets.names():
            presets.load(presets.named(name).models)
        else:
            raise Http404
        messages.success(request, _("They are in the registry now; choose those you want."))
        return to_step(study, "models")

    def from_file(self, request: HttpRequest) -> HttpResponse:
        """A draft from a study's YAML file."""
        if not self.has_add_permission(request):
            raise PermissionDenied
        form = setup_forms.StudyFileForm(request.POST or None, request.FILES or None)
        problems: list[str] = []
        if request.method == "POST" and form.is_valid():
            upload = form.cleaned_data["file"]
            try:
                file = protocol_file.read(upload.name, decoded(upload.name, upload.read()))
                made = protocol_file.make_draft(upload.name, file, form.cleaned_data["slug"])
            except InstrumentError as error:
                problems = str(error).splitlines()
            else:
                access.make_owner(request.user, made.study)
                self.log_addition(request, made.study, "From a file")
                for note in made.notes:
                    messages.warning(request, note)
                return to_step(made.study, "what")
        context = {"title": _("A study from a file"), "form": form, "problems": problems}
        return self.show(request, "from_file.html", context)


def to_step(study: Study, step: str) -> HttpResponse:
    return redirect("admin:surveys_study_set_up", study.pk, step)


def after(step: str) -> str:
    names = [*STEPS, CHECK]
    return names[names.index(step) + 1]


def just_made(fields: Mapping[str, Any]) -> Study | None:
    """The draft of a first click on the same button."""
    since = timezone.now() - DOUBLE_CLICK
    same = Study.objects.filter(slug=fields.get("slug"), title=fields.get("title"))
    return same.filter(state=Study.State.DRAFT, created_at__gt=since).first()


def previews(study: Study) -> list[tuple[str, str]]:
    """(address, words) of what participants would see now."""
    sha256 = study.instrument.sha256
    return [
        (reverse("admin:surveys_instrument_preview", args=[sha256]), _("Questionnaire")),
        (reverse("information", args=[study.slug]), _("Consent text")),
    ]
