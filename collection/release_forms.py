"""What the desk asks before a release is made, and what researchers write for all of them."""

from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from unfold.widgets import (
    UnfoldAdminIntegerFieldWidget,
    UnfoldAdminSelectWidget,
    UnfoldAdminTextareaWidget,
    UnfoldAdminTextInputWidget,
)

from collection.dossier import datasheet, terms
from collection.dossier.facts import closed_columns
from collection.export.codebook import Codebook
from collection.export.columns import Column
from collection.export.plan import version_of
from collection.models import Statement
from surveys.editing import Watched
from surveys.models import Study

ANSWER = "answer_"
"""Begins the names of the fields for sections; the section's code follows."""
ANSWER_LIMIT = 20_000


class AskForm(forms.Form):
    """The options of a release."""

    is_public = forms.BooleanField(
        required=False,
        label=gettext_lazy("It is to be published"),
        help_text=gettext_lazy(
            "It then passes the checks against disclosure. Without this it stays in the team."
        ),
    )
    leave_out_recent = forms.BooleanField(
        required=False, label=gettext_lazy("Leave out people who may still withdraw")
    )
    with_pilot = forms.BooleanField(
        required=False, label=gettext_lazy("With the people of the pilot")
    )
    order = forms.ChoiceField(
        required=False,
        label=gettext_lazy("Order of keys"),
        choices=[
            ("codebook", gettext_lazy("as in the codebook")),
            ("github", gettext_lazy("as in PRISM's files on GitHub")),
        ],
    )

    def clean_order(self) -> str:
        return self.cleaned_data["order"] or "codebook"


class StatementForm(Watched):
    """The researchers' own words; sections that Refract can fill have them beneath its own."""

    watched = ("answers", "quasi_identifiers")
    columns = forms.MultipleChoiceField(
        required=False,
        label=gettext_lazy("What somebody may know of a person (quasi-identifiers)"),
        widget=forms.CheckboxSelectMultiple,
        help_text=gettext_lazy(
            "Each release is searched for people whom too few others share all of these with."
        ),
    )

    class Meta:
        model = Statement
        fields = (
            *("authors", "doi", "human_licence", "model_licence", "report_to"),
            *("smallest_cell", "hub_repository"),
        )
        labels = {
            "authors": gettext_lazy("Authors"),
            "doi": gettext_lazy("DOI"),
            "human_licence": gettext_lazy("Licence of what people wrote"),
            "model_licence": gettext_lazy("Licence of what models wrote"),
            "report_to": gettext_lazy("Whom to tell of a problem"),
            "smallest_cell": gettext_lazy("Fewest people who should have the same"),
            "hub_repository": gettext_lazy("Repository at the Hugging Face hub"),
        }
        help_texts = {
            "authors": gettext_lazy(
                "One a line: Family, Given. A line without a comma is a group."
            ),
            "doi": gettext_lazy("Of the data, if they have one."),
            "report_to": gettext_lazy("Empty: the study's contact."),
            "hub_repository": gettext_lazy("owner/name, for a dataset. Empty: it is not pushed."),
        }
        widgets = {
            "authors": UnfoldAdminTextareaWidget(attrs={"rows": 3}),
            "doi": UnfoldAdminTextInputWidget,
            "human_licence": UnfoldAdminSelectWidget(choices=[(x, x) for x in terms.LICENCES]),
            "model_licence": UnfoldAdminSelectWidget(choices=[(x, x) for x in terms.LICENCES]),
            "report_to": UnfoldAdminTextInputWidget,
            "smallest_cell": UnfoldAdminIntegerFieldWidget,
            "hub_repository": UnfoldAdminTextInputWidget,
        }

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for section in datasheet.SECTIONS:
            self.fields[ANSWER + section.code] = forms.CharField(
                required=False,
                max_length=ANSWER_LIMIT,
                label=_(section.title),
                help_text=_(section.wanted),
                initial=self.instance.answers.get(section.code, ""),
                widget=UnfoldAdminTextareaWidget(attrs={"rows": 4}),
            )
        chosen = self.instance.quasi_identifiers
        known = list(columns_to_choose(self.instance.study))
        field = self.fields["columns"]
        assert isinstance(field, forms.MultipleChoiceField)
        field.choices = [(path, path) for path in dict.fromkeys([*known, *chosen])]
        field.initial = chosen

    def clean_hub_repository(self) -> str:
        name: str = self.cleaned_data["hub_repository"].strip().strip("/")
        owner, slash, rest = name.partition("/")
        is_name = all(
            part.replace("-", "").replace("_", "").replace(".", "").isalnum()
            for part in (owner, rest)
        )
        if name and not (slash and is_name):
            raise ValidationError(_("Expected owner/name, as in the address at the hub."))
        return name

    def save(self, commit: bool = True) -> Any:
        answers = {
            section.code: self.cleaned_data[ANSWER + section.code].strip()
            for section in datasheet.SECTIONS
        }
        self.instance.answers = {code: text for code, text in answers.items() if text}
        self.instance.quasi_identifiers = self.cleaned_data["columns"]
        return super().save(commit)

    @property
    def changed_columns(self) -> list[str]:
        return [*super().changed_columns, *self.watched]


def columns_to_choose(study: Study) -> list[str]:
    """Closed answers of the survey, and numbers."""
    columns = Codebook((version_of(study.instrument),), study.protocol).survey.columns
    numbers = [column.key for column in columns if is_asked_number(column)]
    return [*closed_columns(columns), *numbers]


def is_asked_number(column: Column) -> bool:
    return column.kind in ("int", "float") and column.category == "direct"
