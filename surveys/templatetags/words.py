"""What the scripts say, at the end of every page."""

from functools import cache

from django import template
from django.template.loader import render_to_string
from django.utils.safestring import SafeString
from django.utils.translation import get_language

register = template.Library()


@register.simple_tag
def words() -> SafeString:
    return _words(get_language())


@cache
def _words(language: str | None) -> SafeString:
    """Kept in the process: with Redis, the cache of templates would be asked for every page."""
    return render_to_string("partials/_words.html")
