"""What the desk asks and refuses before a model endpoint is stored."""

from typing import Any

from django import forms
from django.conf import settings
from django.core.exceptions import ValidationError
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from unfold.widgets import UnfoldAdminSelectWidget, UnfoldAdminTextInputWidget

from collection import registry
from collection.export.tables import MODELS
from collection.llm import addresses
from collection.llm.client import OURS
from collection.models import ModelEndpoint
from surveys.editing import Watched
from surveys.forms import DocumentField

TAG_LIMIT = 50


class EndpointForm(Watched):
    """A model endpoint. Keys are chosen by name; their values are never seen here."""

    key_name = forms.ChoiceField(
        label=gettext_lazy("Key"),
        required=False,
        widget=UnfoldAdminSelectWidget,
        help_text=gettext_lazy("The server's environment sets it as REFRACT_KEY_NAME."),
    )
    tags = forms.CharField(
        required=False,
        widget=UnfoldAdminTextInputWidget,
        label=gettext_lazy("Tags"),
        help_text=gettext_lazy("Words to find it by, with commas between them: current, pilot."),
    )
    reason = forms.CharField(
        required=False,
        widget=UnfoldAdminTextInputWidget,
        label=gettext_lazy("Reason for the change"),
        help_text=gettext_lazy(
            "Needed where people of a study may meet the model: its studies get a new version."
        ),
    )
    parameters = DocumentField(
        rows=6,
        required=False,
        initial=dict,
        help_text=gettext_lazy('Sent with every call: {"temperature": 1.0, "max_tokens": 256}.'),
    )
    default_params = DocumentField(
        rows=6,
        label=gettext_lazy("Default parameters"),
        required=False,
        initial=dict,
        help_text=gettext_lazy("The provider's own, where known; released in models.jsonl."),
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        field = self.fields.get("key_name")
        if isinstance(field, forms.ChoiceField):  # absent from the pages that only show
            field.choices = key_choices(self.instance.key_name)

        for name, column in MODELS.by_key.items():
            if name in self.fields and not self.fields[name].help_text:
                self.fields[name].help_text = _("%s. Released in models.jsonl.") % column.label
        if "tags" in self.fields:
            self.initial["tags"] = ", ".join(self.instance.tags)

    def clean_tags(self) -> list[str]:
        words = (" ".join(word.split()) for word in self.cleaned_data["tags"].split(","))
        found = list(dict.fromkeys(word for word in words if word))
        if long := [word for word in found if len(word) > TAG_LIMIT]:
            raise ValidationError(
                _("%(tag)s is longer than %(limit)d characters; put commas between tags.")
                % {"tag": long[0], "limit": TAG_LIMIT}
            )
        return found

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean()
        if self.instance.pk and not cleaned.get("reason", "").strip():
            before = ModelEndpoint.objects.get(pk=self.instance.pk)
            if registry.needs_reason(before, cleaned, cleaned.get("studies", ())):
                self.add_error(
                    "reason", _("Please say why: people may be taking part in its studies.")
                )
        return cleaned

    def clean_parameters(self) -> dict[str, Any]:
        parameters = an_object(self.cleaned_data["parameters"])
        if forbidden := sorted(OURS & set(parameters)):
            raise ValidationError(
                _("Refract sends %s itself; please leave it out.") % ", ".join(forbidden)
            )
        return parameters

    def clean_api_base(self) -> str:
        url: str = self.cleaned_data["api_base"]
        if url:
            try:
                addresses.check(url)
            except addresses.AddressRefused as error:
                raise ValidationError(str(error)) from error
        return url

    def clean_default_params(self) -> dict[str, Any]:
        return an_object(self.cleaned_data["default_params"])


def an_object(value: Any) -> dict[str, Any]:
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise ValidationError(_('Write names and values in braces: {"temperature": 1.0}.'))
    return value


def key_choices(stored: str) -> list[tuple[str, str]]:
    """The names of the keys that are set, and the stored one even if it is not."""
    known = [(name, name) for name in sorted(settings.MODEL_KEYS)]
    if stored and stored not in settings.MODEL_KEYS:
        known.append((stored, _("%s (not set on this server)") % stored))
    return [("", _("No key")), *known]
