"""What the desk asks and refuses before a study's settings are stored."""

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import pydantic
from django import forms
from django.core.exceptions import ValidationError
from django.forms.fields import InvalidJSONInput
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from unfold.widgets import (
    UnfoldAdminCheckboxSelectMultipleWidget,
    UnfoldAdminTextareaWidget,
    UnfoldAdminTextInputWidget,
)

from surveys import page_scripts
from surveys.decisions import LEAST_REASON, MOST_BONUS, REJECTIONS
from surveys.editing import Watched
from surveys.instruments.diff import incompatible
from surveys.instruments.languages import in_language, languages_of
from surveys.instruments.load import (
    FOLDER,
    LENGTH_LIMIT,
    REMEDIES,
    ConsentFile,
    InstrumentError,
    Parsed,
    decoded,
    parse,
    read_consent,
)
from surveys.languages import INTERFACE, Language
from surveys.models import (
    ConsentText,
    Instrument,
    Participant,
    Response,
    Study,
    prism_protocol,
)
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


def checked_texts(document: Any) -> Any:
    """A consent document as it is, all its languages checked. Raises ValidationError."""
    problems: dict[str, None] = {}
    for language in languages_of(document):
        try:
            checked(ConsentFile, in_language(document, language))
        except ValidationError as error:
            problems |= dict.fromkeys(error.messages)
    if problems:
        raise ValidationError(list(problems))
    return document


class StudyForm(Watched):
    """A study's settings; both documents are checked as a whole."""

    languages = forms.MultipleChoiceField(
        required=False,
        widget=UnfoldAdminCheckboxSelectMultipleWidget,
        label=gettext_lazy("Further languages"),
        help_text=gettext_lazy(
            "Offered beside the questionnaire's own. Each needs the questionnaire, the consent "
            "document, the pages around them, and a named reviewer of the translation."
        ),
    )
    protocol_json = DocumentField(
        rows=20,
        label=gettext_lazy("Protocol"),
        initial=prism_protocol,
        help_text=gettext_lazy("For people who come from now on; others finish on theirs."),
    )
    consent_document = DocumentField(
        rows=30,
        label=gettext_lazy("Consent document"),
        initial=lambda: read_consent(FOLDER / "prism-consent.yaml"),
        help_text=gettext_lazy(
            "Version, sections and margin notes. {contact_name} and the other settings above "
            "are filled in. In place of a text there may be one for each language: "
            '{"en": "Yes", "es": "Sí"}, all of them listed under languages. Give every change a '
            "version of its own."
        ),
    )

    reason = forms.CharField(
        required=False,
        widget=UnfoldAdminTextInputWidget,
        label=gettext_lazy("Reason for the change"),
        help_text=gettext_lazy(
            "Once people can take part, a change of questionnaire, protocol, consent or languages "
            "makes a new version and needs a reason."
        ),
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if "languages" in self.fields:
            self.fields["languages"].choices = self.known_languages()  # type: ignore[attr-defined]
        if "instrument" in self.fields:
            # Versions are added on a page of their own, and never changed.
            widget: Any = self.fields["instrument"].widget
            widget.can_add_related = widget.can_change_related = False
            self.fields["instrument"].help_text = _(
                "The version that newcomers get. People who have begun finish on theirs."
            )

    def known_languages(self) -> list[tuple[str, str]]:
        """Those of the interface and, so that a refusal can name it, of the study as it is."""
        codes = dict.fromkeys([*INTERFACE, *(self.instance.languages or [])])
        return [(code, f"{Language(code).name} ({code})") for code in codes]

    def clean_protocol_json(self) -> Any:
        return checked(Protocol, self.cleaned_data["protocol_json"])

    def clean_consent_document(self) -> Any:
        document = checked_texts(self.cleaned_data["consent_document"])
        version = in_language(document, "")["version"]
        agreed = ConsentText.objects.filter(study=self.instance.pk, version=version)
        if document != self.instance.consent_document and agreed.exists():
            raise ValidationError(
                _("People have consented to version %s. Give this text a version of its own.")
                % version
            )
        return document

    def clean_instrument(self) -> Instrument:
        """Refused if people's answers to a question would be of two kinds in one column."""
        new: Instrument = self.cleaned_data["instrument"]
        people = Participant.objects.filter(study=self.instance.pk).exclude(instrument=new.pk)
        began = Instrument.objects.filter(pk__in=people.values("instrument"))
        for old in began if self.instance.pk else []:
            changed = incompatible(old.file, new.file)
            answered = Response.objects.filter(
                participant__in=people.filter(instrument=old.pk), question__in=changed
            )
            codes = sorted(set(answered.values_list("question", flat=True)))
            if codes:
                raise ValidationError(
                    _(
                        "In this version another kind of answer belongs to %(codes)s, and people "
                        "of this study have answered it in version %(version)s. Give the new "
                        "question a code of its own, or begin a new study."
                    )
                    % {"codes": ", ".join(codes), "version": old.sha256[:8]}
                )
        return new

    def clean(self) -> dict[str, Any]:
        cleaned: dict[str, Any] = super().clean() or self.cleaned_data
        instrument, consent = cleaned.get("instrument"), cleaned.get("consent_document")
        if instrument and consent:
            own = languages_of(instrument.document)[0]
            cleaned["languages"] = [c for c in cleaned.get("languages", []) if c != own]
            if self.instance.is_open and not self.instance.is_demo:
                for obstacle in obstacles(cleaned["languages"], instrument, consent):
                    self.add_error("languages", obstacle)
        if self.makes_version(cleaned) and not cleaned.get("reason", "").strip():
            self.add_error("reason", _("Please say why: people may be taking part in this study."))
        return cleaned

    def makes_version(self, cleaned: dict[str, Any]) -> bool:
        if not self.instance.pk or self.instance.state == Study.State.DRAFT:
            return False
        parts = ("instrument", "protocol_json", "consent_document", "languages")
        return any(n in cleaned and cleaned[n] != getattr(self.instance, n) for n in parts)


def obstacles(languages: Iterable[str], instrument: Instrument, consent: Any) -> list[str]:
    """Why a study cannot be open in some of its languages, in kind words."""
    reviewed = set(instrument.reviews.values_list("language", flat=True))
    found = []
    for code in languages:
        name = Language(code).name
        if code not in languages_of(instrument.document):
            found.append(_("The questionnaire has no texts in %s.") % name)
        elif code not in reviewed:
            found.append(
                _("Nobody has reviewed the questionnaire in %s yet: name who did on its page.")
                % name
            )
        if code not in languages_of(consent):
            found.append(_("The consent document has no texts in %s.") % name)
        if code not in INTERFACE:
            found.append(_("The pages around the questionnaire do not speak %s.") % name)
    if found:
        found.append(
            _("Leave these languages out for now, or keep the study closed until they are ready.")
        )
    return found


@dataclass(frozen=True)
class Problem:
    """One line of an InstrumentError. line: of the text, from 1; excerpt: what stands there."""

    words: str
    line: int | None
    excerpt: str


class InstrumentForm(forms.Form):
    """An instrument as a file or as text. What was sent stays in `text`, refused or not."""

    file = forms.FileField(required=False, allow_empty_file=True, label=gettext_lazy("A YAML file"))

    def __init__(self, *args: Any, text: str = "", **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.text = self.data.get("text", "").replace("\r\n", "\n") if self.is_bound else text
        self.parsed: Parsed | None = None
        self.problems: list[Problem] = []

    def clean(self) -> dict[str, Any]:
        cleaned: dict[str, Any] = super().clean() or self.cleaned_data
        try:
            name = self._take(cleaned.get("file"))
            if not self.text.strip():
                raise InstrumentError(_("Choose a file, or paste the text of one."))
            self.parsed = parse(name, self.text)
        except InstrumentError as error:
            self.problems = [self._problem(line) for line in str(error).splitlines()]
        return cleaned

    def _take(self, file: Any) -> str:
        """Put the file's text into `text`. Returns the name for messages."""
        if file is None:
            return "text"
        if file.size > 4 * LENGTH_LIMIT:
            raise InstrumentError(
                _("%(name)s: longer than %(limit)d characters; shorten it")
                % {"name": file.name, "limit": LENGTH_LIMIT}
            )
        self.text = decoded(file.name, file.read()).replace("\r\n", "\n")
        return str(file.name)

    def _problem(self, words: str) -> Problem:
        lines = self.text.split("\n")
        found = re.match(r"[^:\n]*:(\d+):", words)
        line = int(found[1]) if found else None
        excerpt = lines[line - 1].strip() if line and line <= len(lines) else ""
        return Problem(words, line, excerpt)


# Recruiting


class TableForm(forms.Form):
    """A table of countries, as a file or as its text."""

    nonce = forms.CharField(max_length=20, widget=forms.HiddenInput)
    file = forms.FileField(required=False)
    text = forms.CharField(required=False, strip=False)
    currency = forms.ChoiceField(choices=[("GBP", "GBP"), ("USD", "USD")])
    description = forms.CharField(required=False, max_length=5000)

    data_given = b""

    def clean(self) -> dict[str, Any]:
        found: dict[str, Any] = super().clean() or {}
        if file := found.get("file"):
            self.data_given = file.read()
        else:
            self.data_given = found.get("text", "").encode("utf-8", "replace")
        if not self.data_given.strip():
            raise ValidationError(_("Please choose a file, or paste the table."))
        return found


class RecruitmentForm(forms.ModelForm):  # type: ignore[type-arg]
    """The admin says which fields it has."""

    def clean_page_script(self) -> str:
        url: str = self.cleaned_data["page_script"]
        if not url:
            return url
        host = page_scripts.host_of(url)
        if not url.startswith("https://"):
            raise ValidationError(_("The address of a script begins with https://."))
        if not page_scripts.is_listed(host):
            raise ValidationError(
                _(
                    "Scripts of %(host)s are not allowed on people's pages. Whoever runs this "
                    "server allows them with REFRACT_SCRIPT_HOSTS."
                ),
                params={"host": host},
            )
        return url


class PlacesForm(forms.Form):
    places = forms.IntegerField(min_value=1, max_value=100_000)


class PeopleForm(forms.Form):
    file = forms.FileField()


class WordsForm(forms.Form):
    text = forms.CharField(max_length=5000, widget=forms.Textarea, label=gettext_lazy("Words"))


class RejectionForm(forms.Form):
    category = forms.ChoiceField(
        choices=list(REJECTIONS.items()), label=gettext_lazy("Prolific's category")
    )
    text = forms.CharField(
        min_length=LEAST_REASON,
        max_length=5000,
        widget=forms.Textarea,
        label=gettext_lazy("Why, in words that the person reads (100 characters at least)"),
        error_messages={
            "min_length": gettext_lazy(
                "Prolific asks for %(limit_value)d characters; these are %(show_value)d."
            )
        },
    )


class AmountForm(forms.Form):
    amount = forms.DecimalField(
        min_value=Decimal("0.01"),
        max_value=Decimal(MOST_BONUS) / 100,
        decimal_places=2,
        label=gettext_lazy("Amount for each, such as 1.50"),
    )

    def clean(self) -> dict[str, Any]:
        found: dict[str, Any] = super().clean() or {}
        if "amount" in found:
            found["minor"] = int(found["amount"] * 100)
        return found
