"""What programs send: fields that take their own kind alone, and refuse what they don't know.

DRF's own would read 12 as "12" and "yes" as true, and drop a misspelt name without a word.
"""

import math
from collections.abc import Mapping
from typing import Any

from django.utils.translation import gettext as _
from rest_framework import serializers


class Strict(serializers.Serializer):
    """A body, or the part of an address after the question mark."""

    def to_internal_value(self, data: Any) -> Any:
        if isinstance(data, Mapping):
            known = {field.field_name for field in self._writable_fields}
            if unknown := sorted(map(str, set(data) - known)):
                said = _("There is no such field. Known: %s.") % ", ".join(sorted(known))
                raise serializers.ValidationError({name[:60]: [said] for name in unknown})
        return super().to_internal_value(data)


class Text(serializers.CharField):
    def __init__(self, **kwargs: Any) -> None:
        if not kwargs.get("allow_blank"):
            kwargs.setdefault("min_length", 1)
        super().__init__(**kwargs)

    def to_internal_value(self, data: Any) -> str:
        if not isinstance(data, str):
            self.fail("invalid")
        text: str = super().to_internal_value(data)
        return text


class Whole(serializers.IntegerField):
    def to_internal_value(self, data: Any) -> int:
        if not isinstance(data, int) or isinstance(data, bool):
            self.fail("invalid")
        return int(data)


class Number(serializers.FloatField):
    def to_internal_value(self, data: Any) -> float:
        if not isinstance(data, int | float) or isinstance(data, bool) or not math.isfinite(data):
            self.fail("invalid")
        return float(data)


class Truth(serializers.BooleanField):
    def to_internal_value(self, data: Any) -> bool:
        if not isinstance(data, bool):
            self.fail("invalid", input=data)
        return bool(data)


class Address(serializers.URLField):
    def to_internal_value(self, data: Any) -> str:
        if not isinstance(data, str):
            self.fail("invalid")
        text: str = super().to_internal_value(data)
        return text


class Document(serializers.DictField):
    """A JSON object whose own rules are checked elsewhere."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(child=serializers.JSONField(), **kwargs)


def checked(serializer: type[serializers.Serializer], data: Any, **kwargs: Any) -> dict[str, Any]:
    """What was sent, as values. Raises ValidationError."""
    found = serializer(data=data, **kwargs)
    found.is_valid(raise_exception=True)
    values: dict[str, Any] = found.validated_data
    return values
