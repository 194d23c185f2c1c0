"""What the desk asks and refuses before texts go to a moderator, or a census is stored."""

from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator, MinValueValidator
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from collection import census
from collection.census import MOST_LETTERS, Census, CensusError
from collection.forms import key_choices
from collection.llm import addresses
from collection.models import CensusTable, Moderator

FACTS = ("hispanics", "source", "area", "adults_in_country", "size")


class ModeratorForm(forms.ModelForm):  # type: ignore[type-arg]
    api_base = forms.URLField(
        required=False,
        assume_scheme="https",
        widget=forms.TextInput,
        label=gettext_lazy("Base URL"),
        help_text=gettext_lazy("Empty: where the provider has it."),
    )
    key_name = forms.ChoiceField(
        label=gettext_lazy("Key"),
        required=False,
        help_text=gettext_lazy("The server's environment sets it as REFRACT_KEY_NAME."),
    )
    texts_per_call = forms.IntegerField(
        label=gettext_lazy("Texts per call"),
        initial=16,
        validators=[MinValueValidator(1), MaxValueValidator(100)],
    )
    calls_per_minute = forms.IntegerField(
        label=gettext_lazy("Calls per minute"),
        initial=120,
        validators=[MinValueValidator(1), MaxValueValidator(10_000)],
    )

    class Meta:
        model = Moderator
        fields = ("litellm_model", "api_base", "key_name", "texts_per_call", "calls_per_minute")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        field = self.fields["key_name"]
        assert isinstance(field, forms.ChoiceField)
        field.choices = key_choices(self.instance.key_name)

    def clean_litellm_model(self) -> str:
        model: str = self.cleaned_data["litellm_model"].replace("\0", "").strip()
        if "/" not in model:
            raise ValidationError(
                _("Begin with the provider, as in openai/omni-moderation-latest.")
            )
        return model

    def clean_api_base(self) -> str:
        url: str = self.cleaned_data["api_base"]
        if url:
            try:
                addresses.check(url)
            except addresses.AddressRefused as error:
                raise ValidationError(str(error)) from error
        return url


class CensusForm(forms.ModelForm):  # type: ignore[type-arg]
    """A census table as a file. `census` has what was read; `problems` what was wrong with it."""

    file = forms.FileField(allow_empty_file=True, label=gettext_lazy("A CSV file"))
    hispanics = forms.ChoiceField(
        required=False,
        choices=CensusTable.Hispanics.choices,
        label=gettext_lazy("If it has a group of Hispanics: do the other groups count them too?"),
    )
    source = forms.CharField(
        max_length=300,
        label=gettext_lazy("Where it is from"),
        help_text=gettext_lazy("Office, table and year; it is released."),
    )
    area = forms.CharField(
        max_length=200,
        label=gettext_lazy("Area that it covers"),
        help_text=gettext_lazy("As exactly as it is: England and Wales, not UK."),
    )
    adults_in_country = forms.IntegerField(
        required=False,
        validators=[MinValueValidator(1), MaxValueValidator(10**10)],
        label=gettext_lazy("Adults in the whole country"),
        help_text=gettext_lazy("To say how many the table leaves out, where it has numbers."),
    )
    size = forms.IntegerField(
        initial=300,
        validators=[MinValueValidator(1), MaxValueValidator(1_000_000)],
        label=gettext_lazy("People in the sample"),
        help_text=gettext_lazy("PRISM's aimed at 300."),
    )

    class Meta:
        model = CensusTable
        fields = ("sample", *FACTS)

    field_order = ("sample", "file", *FACTS)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.census = Census()
        self.problems: list[str] = []

    @property
    def facts(self) -> dict[str, Any]:
        return {name: self.cleaned_data[name] for name in FACTS}

    def clean_source(self) -> str:
        return str(self.cleaned_data["source"]).replace("\0", "")

    def clean_area(self) -> str:
        return str(self.cleaned_data["area"]).replace("\0", "")

    def clean(self) -> dict[str, Any]:
        cleaned: dict[str, Any] = super().clean() or self.cleaned_data
        file = cleaned.get("file")
        if file is not None and "hispanics" in cleaned:
            try:
                self.census = census.read(text_of(file), cleaned["hispanics"])
            except CensusError as error:
                self.problems = error.problems
                raise ValidationError(
                    _("The table was not stored: it needs another look.")
                ) from error
        return cleaned

    def validate_unique(self) -> None:
        """A table takes the place of an earlier one of its sample."""


def text_of(file: Any) -> str:
    """Raises CensusError."""
    if file.size > 4 * MOST_LETTERS:
        raise CensusError([_("The table is longer than %d characters.") % MOST_LETTERS])
    try:
        return str(file.read().decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        raise CensusError([_("This is no text: expected a CSV file, saved as UTF-8.")]) from error
