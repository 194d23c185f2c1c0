"""What the desk asks and refuses before a quota table is stored."""

from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator, MinValueValidator
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from surveys import quota_tables
from surveys.models import QuotaTable, Study
from surveys.quota_tables import MOST_LETTERS, MOST_PLACES, Draft, TableError

SETTINGS = ("name", "others", "timeout_hours", "payment", "completion_code")
TARGET = "target_"
"""Begins the names of the fields for targets; the cell's id follows."""


class QuotaForm(forms.ModelForm):  # type: ignore[type-arg]
    """A table's settings, and its cells as a file or as text. What was sent stays in `text`."""

    file = forms.FileField(required=False, allow_empty_file=True, label=gettext_lazy("A CSV file"))
    total = forms.IntegerField(
        required=False,
        validators=[MinValueValidator(0), MaxValueValidator(MOST_PLACES)],
        label=gettext_lazy("People wanted in all"),
        help_text=gettext_lazy(
            "Needed with shares, which are shared out to add up to it; targets are checked by it."
        ),
    )
    version = forms.IntegerField(required=False, widget=forms.HiddenInput)

    field_order = [*SETTINGS, "total", "file"]

    class Meta:
        model = QuotaTable
        fields = SETTINGS

    def __init__(self, *args: Any, study: Study, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.study = study
        known = quota_tables.as_csv(self.instance) if self.instance.pk else ""
        self.text = self.data.get("text", "").replace("\r\n", "\n") if self.is_bound else known
        self.is_changed = self.text != known
        self.draft: Draft | None = None
        self.problems: list[str] = []

    @property
    def settings(self) -> dict[str, Any]:
        return {name: self.cleaned_data[name] for name in SETTINGS}

    def clean_name(self) -> str:
        return without_nul(self.cleaned_data["name"])

    def clean_payment(self) -> str:
        return without_nul(self.cleaned_data["payment"])

    def clean_completion_code(self) -> str:
        return without_nul(self.cleaned_data["completion_code"])

    def clean(self) -> dict[str, Any]:
        cleaned: dict[str, Any] = super().clean() or self.cleaned_data
        try:
            self._take(cleaned.get("file"))
            if self.is_changed or not self.instance.pk or cleaned.get("total") is not None:
                file = self.study.instrument.file
                self.draft = quota_tables.read(self.text, file, cleaned.get("total"))
        except TableError as error:
            self.problems = error.problems
            raise ValidationError(_("The table was not stored: it needs another look.")) from error
        return cleaned

    def _take(self, file: Any) -> None:
        """Put the file's text into `text`."""
        if file is None:
            return
        if file.size > 4 * MOST_LETTERS:
            raise TableError([_("The table is longer than %d characters.") % MOST_LETTERS])
        try:
            self.text = file.read().decode("utf-8-sig").replace("\r\n", "\n")
        except UnicodeDecodeError as error:
            raise TableError(
                [_("This is no text: expected a CSV file, saved as UTF-8.")]
            ) from error
        self.is_changed = True

    def validate_unique(self) -> None:
        """Names are compared in `quota_tables.store`: the same sent twice is stored once."""


def without_nul(text: str) -> str:
    return text.replace("\0", "")


def targets_of(table: QuotaTable, data: Any) -> tuple[dict[int, int], list[str]]:
    """Cell id -> the target that was typed, and what is wrong with others."""
    targets: dict[int, int] = {}
    problems: list[str] = []
    for cell in table.cells.all():
        typed = str(data.get(f"{TARGET}{cell.pk}", cell.target)).strip()
        if typed.isascii() and typed.isdigit() and int(typed[:9]) <= MOST_PLACES:
            targets[cell.pk] = int(typed[:9])
        else:
            problems.append(
                _("%(cell)s: “%(typed)s”; expected a whole number of people")
                % {"cell": cell, "typed": typed[:40]}
            )
    return targets, problems
