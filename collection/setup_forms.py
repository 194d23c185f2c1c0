"""The steps of the guided set-up, each a form of its own over the same draft."""

from pathlib import Path
from typing import Any

from django import forms
from django.conf import settings
from django.core.exceptions import ValidationError
from django.db.models import Q, URLField
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from unfold.widgets import UnfoldAdminCheckboxSelectMultipleWidget, UnfoldAdminRadioSelectWidget

from collection.models import ModelEndpoint
from surveys.editing import Watched
from surveys.instruments.load import FOLDER, read_consent, read_file, store
from surveys.models import Instrument, Study, fingerprint
from surveys.protocol import PRESETS

KEEP = "keep"
DESCRIPTIONS = {
    "prism": gettext_lazy("PRISM, mended: four models at first, two conversations of each type"),
    "prism-2023": gettext_lazy("PRISM as people met it in 2023, its faults included"),
    "quick-pilot": gettext_lazy("One conversation, quick pilot: to see whether all works"),
    "personalisation": gettext_lazy(
        "Personalisation experiment: one model with and without the person's own system prompt"
    ),
    "survey": gettext_lazy("A survey alone, without conversations"),
}
CONSENTS = {
    "prism-consent": gettext_lazy("A survey and conversations, as PRISM's"),
    "survey-consent": gettext_lazy("A survey alone"),
}


class WhatForm(Watched):
    class Meta:
        model = Study
        fields = (
            *("title", "slug", "locale", "contact_name", "contact_email"),
            *("ethics_reference", "ethics_contact", "payment", "withdrawal_days"),
        )


class ProtocolForm(Watched):
    watched = ("protocol_json",)
    preset = forms.ChoiceField(
        label=gettext_lazy("Protocol"),
        widget=UnfoldAdminRadioSelectWidget,
        help_text=gettext_lazy("Every choice in it can be changed later, in the study's settings."),
    )

    class Meta:
        model = Study
        fields = ()

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        now = next((n for n, p in PRESETS.items() if p == self.instance.protocol), KEEP)
        own = [(KEEP, _("Keep its own: %s") % self.instance.protocol.name)] if now == KEEP else []
        presets = list(DESCRIPTIONS.items())
        self.fields["preset"].choices = [*own, *presets]  # type: ignore[attr-defined]
        self.fields["preset"].initial = now

    def save(self, commit: bool = True) -> Any:
        if (chosen := self.cleaned_data["preset"]) != KEEP:
            self.instance.protocol_json = PRESETS[chosen].model_dump(mode="json")
            self.instance.save(update_fields=["protocol_json"])
        return self.instance


def shipped() -> dict[str, Path]:
    """sha256 -> file of each instrument that comes with Refract."""
    paths = (path for path in sorted(FOLDER.glob("*.yaml")) if not path.stem.endswith("consent"))
    return {read_file(path).sha256: path for path in paths}


class InstrumentChoiceForm(Watched):
    watched = ("instrument",)
    version = forms.ChoiceField(
        label=gettext_lazy("Questionnaire"),
        widget=UnfoldAdminRadioSelectWidget,
        help_text=gettext_lazy("Your own can be added under Instruments, as a YAML file."),
    )

    class Meta:
        model = Study
        fields = ()

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        stored = Instrument.objects.defer("document").order_by("-created_at")
        choices = {row.sha256: str(row) for row in stored}
        self.shipped = shipped()
        for sha256, path in self.shipped.items():
            choices.setdefault(sha256, _("%s, comes with Refract") % read_file(path).file.title)
        self.fields["version"].choices = list(choices.items())  # type: ignore[attr-defined]
        self.fields["version"].initial = self.instance.instrument.sha256

    def save(self, commit: bool = True) -> Any:
        sha256 = self.cleaned_data["version"]
        row = Instrument.objects.filter(sha256=sha256).first() or store(self.shipped[sha256])
        self.instance.instrument = row
        self.instance.save(update_fields=["instrument"])
        return self.instance


class ConsentChoiceForm(Watched):
    watched = ("consent_document",)
    text = forms.ChoiceField(
        label=gettext_lazy("Consent text"),
        widget=UnfoldAdminRadioSelectWidget,
        help_text=gettext_lazy(
            "What you wrote in the first step is filled in. Read it as participants will; its "
            "words can be changed in the study's settings."
        ),
    )

    class Meta:
        model = Study
        fields = ()

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        now = fingerprint(self.instance.consent_document)
        same = (n for n in CONSENTS if fingerprint(read_consent(FOLDER / f"{n}.yaml")) == now)
        chosen = next(same, KEEP)
        own = [(KEEP, _("Keep the study's own"))] if chosen == KEEP else []
        self.fields["text"].choices = [*own, *CONSENTS.items()]  # type: ignore[attr-defined]
        self.fields["text"].initial = chosen

    def save(self, commit: bool = True) -> Any:
        if (chosen := self.cleaned_data["text"]) != KEEP:
            self.instance.consent_document = read_consent(FOLDER / f"{chosen}.yaml")
            self.instance.save(update_fields=["consent_document"])
        return self.instance


class EndpointsField(forms.ModelMultipleChoiceField):  # type: ignore[type-arg]
    def label_from_instance(self, obj: Any) -> str:
        """With what keeps a model from being drawn."""
        lacking = []
        if not obj.is_active:
            lacking.append(_("switched off"))
        if obj.key_name and obj.key_name not in settings.MODEL_KEYS:
            lacking.append(_("the key %s is not set on this server") % obj.key_name)
        return f"{obj} ({', '.join(lacking)})" if lacking else str(obj)


class ModelsForm(Watched):
    endpoints = EndpointsField(
        ModelEndpoint.objects.none(),
        required=False,
        label=gettext_lazy("Models"),
        widget=UnfoldAdminCheckboxSelectMultipleWidget,
        help_text=gettext_lazy(
            "Those that are switched on, and the study's own. They are drawn as the protocol says."
        ),
    )

    class Meta:
        model = Study
        fields = ()

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        own = Q(pk__in=self.instance.endpoints.values("pk"))
        known = ModelEndpoint.objects.filter(Q(is_active=True) | own)
        self.fields["endpoints"].queryset = known  # type: ignore[attr-defined]
        self.fields["endpoints"].initial = self.instance.endpoints.all()

    def save(self, commit: bool = True) -> Any:
        self.instance.endpoints.set(self.cleaned_data["endpoints"])
        return self.instance


def https_field(field: Any, **kwargs: Any) -> Any:
    """Without a scheme, an address is one of https, as at the rest of the desk."""
    if isinstance(field, URLField):
        kwargs["assume_scheme"] = "https"
    return field.formfield(**kwargs)


class ReturnForm(Watched):
    class Meta:
        model = Study
        fields = ("platform_name", "completion_code", "completion_url", "return_url")
        formfield_callback = https_field


class MoneyForm(Watched):
    class Meta:
        model = Study
        fields = ("expected_people", "budget_usd")


class StudyFileForm(forms.Form):
    """A study's design as a YAML file."""

    slug = forms.SlugField(label=gettext_lazy("Slug of the new study"))
    file = forms.FileField(label=gettext_lazy("A YAML file"))

    def clean_slug(self) -> str:
        slug: str = self.cleaned_data["slug"]
        if Study.objects.filter(slug=slug).exists():
            raise ValidationError(_("There is a study with this slug already; choose another."))
        return slug
