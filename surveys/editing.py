"""Two people at one row: an edit that was begun on an older state is not stored over a newer one.

The page carries a mark of every field as it was shown. What somebody else has changed since is
named with who did it; their values are taken over where the second person changed nothing, and
what the second person wrote stays in the form.
"""

import hashlib
import json
from collections.abc import Iterable
from datetime import datetime
from decimal import Decimal
from typing import Any

from django import forms
from django.contrib.admin.models import LogEntry
from django.contrib.contenttypes.models import ContentType
from django.core.exceptions import ValidationError
from django.db import models
from django.forms.models import model_to_dict
from django.utils import timezone
from django.utils.text import get_text_list
from django.utils.translation import gettext as _


def marks(row: models.Model, names: Iterable[str]) -> dict[str, str]:
    """Field -> a short mark of its value."""
    return {name: mark(value) for name, value in model_to_dict(row, fields=list(names)).items()}


def mark(value: Any) -> str:
    if isinstance(value, list | models.QuerySet) and all(
        isinstance(part, models.Model) for part in value
    ):
        value = sorted(part.pk for part in value)
    if isinstance(value, Decimal):
        value = value.normalize()  # 5 as it was typed, 5.00 as it is stored
    text = json.dumps(value, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:12]


class Watched(forms.ModelForm):  # type: ignore[type-arg]
    """A form of a row that others may be editing. Its page shows the field `opened`."""

    watched: tuple[str, ...] = ()
    """Fields of the row that the form changes without having them as such."""

    opened = forms.CharField(required=False, widget=forms.HiddenInput)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if self.instance.pk and self.fields:
            self.fields["opened"].initial = self.opened_now(self.instance)

    def save(self, commit: bool = True) -> Any:
        """Stores the fields that were changed, so that a state or a step of others' stays."""
        if not (commit and self.instance.pk):
            return super().save(commit)
        self.instance.save(update_fields=self.changed_columns)
        self._save_m2m()  # type: ignore[attr-defined]
        return self.instance

    @property
    def changed_columns(self) -> list[str]:
        columns = {field.name for field in self.instance._meta.concrete_fields}
        return [name for name in self.changed_data if name in columns]

    @property
    def stored_names(self) -> list[str]:
        own = [name for name in self._meta.fields or () if name in self.fields]
        return [*(name for name in own if name != "opened"), *self.watched]

    def opened_now(self, row: models.Model) -> str:
        seen = {"at": timezone.now().isoformat(), "marks": marks(row, self.stored_names)}
        return json.dumps(seen)

    def clean(self) -> dict[str, Any]:
        cleaned: dict[str, Any] = super().clean() or self.cleaned_data
        if self.instance.pk and cleaned.get("opened"):
            self.refuse_if_outdated(cleaned["opened"])
        return cleaned

    def refuse_if_outdated(self, opened: str) -> None:
        """Raises ValidationError if others have changed the row. Locks it, within a transaction."""
        try:
            seen = json.loads(opened)
            at, before = datetime.fromisoformat(seen["at"]), dict(seen["marks"])
        except (ValueError, KeyError, TypeError) as error:
            raise ValidationError(
                _("This page was not sent whole. Please load it again.")
            ) from error
        rows = type(self.instance)._default_manager.select_for_update(of=("self",))
        row = rows.get(pk=self.instance.pk)
        now = marks(row, self.stored_names)
        changed = [name for name in now if name in before and now[name] != before[name]]
        if not changed:
            return
        both = [
            name
            for name in changed
            if name in self.fields and mark(self.sent(name)) not in (before[name], now[name])
        ]
        self.take_over(row, [name for name in changed if name not in both])
        raise ValidationError(self.told(row, at, changed, both))

    def sent(self, name: str) -> Any:
        """As `model_to_dict` would have it."""
        value = self.cleaned_data.get(name, self.data.get(self.add_prefix(name)))
        return value.pk if isinstance(value, models.Model) else value

    def take_over(self, row: models.Model, names: list[str]) -> None:
        """Show others' values in the fields that this person left as they were."""
        fresh = type(self)(instance=row)
        self.data = self.data.copy()  # type: ignore[attr-defined]
        for name in [*(name for name in names if name in self.fields), "opened"]:
            value = fresh[name].value()
            shown = self.fields[name].prepare_value(value)
            key = self.add_prefix(name)
            if isinstance(shown, list):
                self.data.setlist(key, [str(part) for part in shown])  # type: ignore[attr-defined]
            elif isinstance(shown, bool):
                self.data[key] = "on" if shown else ""  # type: ignore[index]
            else:
                self.data[key] = "" if shown is None else str(shown)  # type: ignore[index]

    def told(
        self, row: models.Model, at: datetime, changed: list[str], both: list[str]
    ) -> list[str]:
        fields = get_text_list([self.label_of(name) for name in changed], _("and"))
        said = [
            _(
                "%(who)s changed %(fields)s after you had opened this page, so nothing was stored. "
                "What you wrote is still here, beside their changes: look at both and save again."
            )
            % {"who": who_changed(row, at), "fields": fields}
        ]
        stored = model_to_dict(row, fields=both)
        said += [
            _("%(field)s now has, by them: %(value)s")
            % {"field": self.label_of(name), "value": in_short(stored[name])}
            for name in both
        ]
        return said

    def label_of(self, name: str) -> str:
        if name in self.fields and self.fields[name].label:
            return str(self.fields[name].label)
        return str(self.instance._meta.get_field(name).verbose_name)


def who_changed(row: models.Model, since: datetime) -> str:
    """The names of those who changed a row at the desk, with the time of each last change."""
    content_type = ContentType.objects.get_for_model(row)
    entries = LogEntry.objects.filter(
        content_type=content_type, object_id=str(row.pk), action_time__gte=since
    ).select_related("user")
    latest = {entry.user.get_username(): entry.action_time for entry in reversed(entries)}
    named = [f"{name} ({at:%H:%M} UTC)" for name, at in latest.items()]
    return get_text_list(named, _("and")) if named else _("Somebody")


def in_short(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value, default=str, ensure_ascii=False)
    return text if len(text) <= 300 else text[:300] + " …"
