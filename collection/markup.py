"""A reply in Markdown as safe HTML, where a study's protocol chooses that over plain text.

Nothing in it can be followed, fetched or run: links keep their words only, pictures their
description, and raw HTML is shown as it was written. Headings become bold lines, so that the page
keeps its own outline.
"""

from collections.abc import Sequence
from functools import lru_cache

import nh3
from django.utils.html import escape, format_html
from django.utils.safestring import SafeString, mark_safe
from markdown_it import MarkdownIt
from markdown_it.renderer import RendererHTML
from markdown_it.token import Token
from markdown_it.utils import EnvType, OptionsDict

LENGTH_LIMIT = 40_000
"""Characters, ten times what models write; a longer reply is shown as plain text. The worst that
fits (only "![") takes the parser a second."""
NESTING_LIMIT = 20
"""Levels, of which the parser drops all beyond: such a reply is shown as plain text, whole."""

TAGS = {
    *("p", "br", "hr", "strong", "em", "s", "code", "pre", "blockquote", "ul", "ol", "li"),
    *("table", "thead", "tbody", "tr", "th", "td"),
}
ATTRIBUTES = {"ol": {"start"}, "table": {"tabindex"}}


class Renderer(RendererHTML):
    """Markdown's tokens as HTML, without headings, addresses and pictures."""

    def heading_open(self, *_args: object) -> str:
        return "<p><strong>"

    def heading_close(self, *_args: object) -> str:
        return "</strong></p>\n"

    def link_open(self, *_args: object) -> str:
        return ""

    link_close = link_open

    def table_open(self, *_args: object) -> str:
        return '<table tabindex="0">\n'  # a wide one is scrolled, also by keyboard

    def image(self, tokens: Sequence[Token], idx: int, options: OptionsDict, env: EnvType) -> str:
        return escape(self.renderInlineAsText(tokens[idx].children, options, env))

    def fence(self, tokens: Sequence[Token], idx: int, *_args: object) -> str:
        return f"<pre><code>{escape(tokens[idx].content)}</code></pre>\n"


MARKDOWN = MarkdownIt(
    "commonmark",
    {"html": False, "breaks": True, "maxNesting": NESTING_LIMIT},
    renderer_cls=Renderer,
).enable(["table", "strikethrough"])
MARKDOWN.disable("reference")  # "[1]: …" would vanish


@lru_cache(maxsize=512)
def as_html(text: str) -> SafeString:
    """The reply as HTML blocks; as one plain block if it is too long or too deep to be parsed."""
    if len(text) > LENGTH_LIMIT:
        return plain(text)
    tokens = MARKDOWN.parse(text)
    if max((depth(token) for token in tokens), default=0) >= NESTING_LIMIT - 1:
        return plain(text)
    html = MARKDOWN.renderer.render(tokens, MARKDOWN.options, {})
    return mark_safe(  # noqa: S308 - sanitised
        nh3.clean(html, tags=TAGS, attributes=ATTRIBUTES, url_schemes=set(), link_rel=None)
    )


def depth(token: Token) -> int:
    inner = max((child.level for child in token.children or ()), default=0)
    return max(token.level, inner)


def plain(text: str) -> SafeString:
    return format_html('<div class="plain">{}</div>', text)
