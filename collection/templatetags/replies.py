"""How replies are shown, everywhere."""

from django import template
from django.utils.html import format_html
from django.utils.safestring import SafeString

from collection.markup import as_html

register = template.Library()


@register.filter
def reply(text: str, markup: str) -> SafeString:
    """A block of its own, whose letters cannot turn what stands around it.

    markup: the protocol's, `plain` (with its line breaks) or `markdown`.
    """
    if markup == "markdown":
        return format_html('<div class="prose rich" dir="auto">{}</div>', as_html(text))
    return format_html('<div class="prose plain" dir="auto">{}</div>', text)
