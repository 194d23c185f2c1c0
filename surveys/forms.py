"""What the desk asks and refuses before a study's settings are stored."""

import json
from typing import Any

import pydantic
from django import forms
from django.core.exceptions import ValidationError
from django.forms.fields import InvalidJSONInput
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from unfold.widgets import UnfoldAdminTextareaWidget

from surveys.instruments.load import FOLDER, REMEDIES, ConsentFile, read_consent
from surveys.models import ConsentText, prism_protocol
from surveys.protocol import Protocol


class DocumentField(forms.JSONField):
    """JSON as a person edits it: indented, and refused with line and column."""

    def __init__(self, *, rows: int, **kwargs: Any) -> None:
        attrs = {"rows": rows, "class": "desk-code", "spellcheck": "false"}
        super().__init__(widget=UnfoldAdminTextareaWidget(attrs=attrs), **kwargs)

    def bound_data(self, data: Any, initial: Any) -> Any:
        # As it was typed: read and written again, it may hold what no page can.
        return InvalidJSONInput(data) if isinstance(data, str) else data

    def prepare_value(self, value: Any) -> Any:
        if value is None or isinstance(value, InvalidJSONInput):
            return value
        return json.dumps(value, indent=2, ensure_ascii=False)

    def to_python(self, value: Any) -> Any:
        if isinstance(value, str) and value.strip():
            check_json(value)
        return super().to_python(value)


def check_json(text: str) -> None:
    """Raises ValidationError if the text is no JSON, or JSON that Postgres can't store."""
    try:
        stored = json.dumps(json.loads(text), ensure_ascii=False, allow_nan=False)
        stored.encode()
    except json.JSONDecodeError as error:
        raise ValidationError(
            _("Not valid JSON in line %(line)d, column %(column)d: %(what)s")
            % {"line": error.lineno, "column": error.colno, "what": error.msg}
        ) from error
    except (ValueError, RecursionError) as error:
        raise ValidationError(_("This has a number or a text that cannot be stored.")) from error
    if "\\u0000" in stored:
        raise ValidationError(_("This has a character that cannot be stored (NUL)."))


def checked(model: type[pydantic.BaseModel], value: Any) -> Any:
    """The document with its defaults filled in. Raises ValidationError, one line per problem."""
    try:
        return model.model_validate(value).model_dump(mode="json")
    except pydantic.ValidationError as error:
        raise ValidationError([_problem(details) for details in error.errors()]) from error


def _problem(details: Any) -> str:
    place = "".join(f"[{at}]" if isinstance(at, int) else f".{at}" for at in details["loc"])
    message = details["msg"].removeprefix("Value error, ")
    remedy = REMEDIES.get(details["type"])
    return ": ".join(filter(None, [place.lstrip("."), message])) + (f"; {remedy}" if remedy else "")


class StudyForm(forms.ModelForm):  # type: ignore[type-arg]
    """A study's settings; both documents are checked as a whole."""

    protocol_json = DocumentField(
        rows=20,
        label=gettext_lazy("Protocol"),
        initial=prism_protocol,
        help_text=gettext_lazy("A change also holds for those who are taking part now."),
    )
    consent_document = DocumentField(
        rows=30,
        label=gettext_lazy("Consent document"),
        initial=lambda: read_consent(FOLDER / "prism-consent.yaml"),
        help_text=gettext_lazy(
            "Version, sections and margin notes. {contact_name} and the other settings above "
            "are filled in. Give every change a version of its own."
        ),
    )

    def clean_protocol_json(self) -> Any:
        return checked(Protocol, self.cleaned_data["protocol_json"])

    def clean_consent_document(self) -> Any:
        document = checked(ConsentFile, self.cleaned_data["consent_document"])
        version = document["version"]
        agreed = ConsentText.objects.filter(study=self.instance.pk, version=version)
        if document != self.instance.consent_document and agreed.exists():
            raise ValidationError(
                _("People have consented to version %s. Give this text a version of its own.")
                % version
            )
        return document
