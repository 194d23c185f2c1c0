"""Replies in Markdown: what is kept, what is made harmless, what is too much."""

import re
from html import unescape
from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collection import markup
from collection.markup import as_html
from collection.templatetags.replies import reply


class Tags(HTMLParser):
    """Every tag and attribute in some HTML."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: set[tuple[str, str]] = set()
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes |= {(tag, name) for name, _value in attrs}


def words(html: str) -> str:
    return unescape(re.sub(r"<[^>]*>", "", html))


def test_it_works() -> None:
    text = (
        "Two **bold** and *soft* words,\nin two lines.\n\n- one\n- two\n\n"
        "3. three\n4. four\n\n| a | b |\n|---|---|\n| c | d |\n\n> said\n\n```py\nif a < b:\n```"
    )
    assert as_html(text) == (
        "<p>Two <strong>bold</strong> and <em>soft</em> words,<br>\nin two lines.</p>\n"
        "<ul>\n<li>one</li>\n<li>two</li>\n</ul>\n"
        '<ol start="3">\n<li>three</li>\n<li>four</li>\n</ol>\n'
        '<table tabindex="0">\n<thead>\n<tr>\n<th>a</th>\n<th>b</th>\n</tr>\n</thead>\n'
        "<tbody>\n<tr>\n<td>c</td>\n<td>d</td>\n</tr>\n</tbody>\n</table>\n"
        "<blockquote>\n<p>said</p>\n</blockquote>\n"
        "<pre><code>if a &lt; b:\n</code></pre>\n"
    )


@pytest.mark.parametrize(
    ("text", "html"),
    [
        ("# Soup\n\n### Peas", "<p><strong>Soup</strong></p>\n<p><strong>Peas</strong></p>\n"),
        ("Soup\n====", "<p><strong>Soup</strong></p>\n"),
        ("[the *soup*](https://a.example 'x')", "<p>the <em>soup</em></p>\n"),
        ("<https://a.example>", "<p>https://a.example</p>\n"),
        ("https://a.example", "<p>https://a.example</p>\n"),
        ("![a *bowl*](https://a.example/b.png)", "<p>a bowl</p>\n"),
        ("[![a bowl](https://a.example/b.png)](https://a.example)", "<p>a bowl</p>\n"),
        ("[x][1]\n\n[1]: https://a.example", "<p>[x][1]</p>\n<p>[1]: https://a.example</p>\n"),
        ("a <b>bold</b> word", "<p>a &lt;b&gt;bold&lt;/b&gt; word</p>\n"),
        (
            "<script>alert(1)</script>",
            "<p>&lt;script&gt;alert(1)&lt;/script&gt;</p>\n",
        ),
        ("<div>\n\nsoup", "<p>&lt;div&gt;</p>\n<p>soup</p>\n"),
        ("`<img src=x onerror=a>`", "<p><code>&lt;img src=x onerror=a&gt;</code></p>\n"),
        ("```<b onclick=a>\nx\n```", "<pre><code>x\n</code></pre>\n"),
        ("&lt;b&gt; &copy;", "<p>&lt;b&gt; ©</p>\n"),
        ("", ""),
    ],
)  # fmt: skip
def test_what_becomes_of(text: str, html: str) -> None:
    assert as_html(text) == html


HARMFUL = [
    "[x](javascript:alert(1))",
    "[x](data:text/html;base64,PHNjcmlwdD4=)",
    "[x](vbscript:x)",
    "![x](https://a.example/pixel.png)",
    "<img src=x onerror=alert(1)>",
    "<iframe src=//a.example></iframe>",
    "<a href=x hx-get=/x hx-trigger=load>x</a>",
    "<style>*{display:none}</style>",
    "<svg/onload=alert(1)>",
    "</div></article><h1>Reply B</h1>",
    "<!-- --><form action=//a.example><input name=score_0>",
    "[x](<javascript:alert(1)>)\n\n[y]: javascript:alert(1)\n\n[y]",
    '| a |\n|:-:|\n| <td style="position:fixed"> |',
    "1. a\n99999999. b",
]


@pytest.mark.parametrize("text", HARMFUL)
def test_nothing_can_be_followed_fetched_or_run(text: str) -> None:
    found = Tags(as_html(text))
    assert found.tags <= markup.TAGS
    assert found.attributes <= {("ol", "start"), ("table", "tabindex")}


@given(st.text(alphabet="ab<>&\"'=/![]()*_`~#>|:-+.1 \n\t\\\u202e", max_size=80))
def test_whatever_is_written_is_harmless_and_one_block(text: str) -> None:
    html = reply(text, "markdown")
    found = Tags(html)
    assert found.tags <= markup.TAGS | {"div"}
    assert found.attributes <= {
        *(("ol", "start"), ("table", "tabindex")),
        *(("div", "class"), ("div", "dir")),
    }
    assert html.count("<div") == html.count("</div>")


TOO_MUCH = {
    "a megabyte": "soup " * 200_000,
    "quotes": ">" * 10_000 + " soup",
    "spaced quotes": "> " * 10_000 + "soup",
    "lists": "\n".join("  " * level + "- soup" for level in range(150)),
    "deep list": "- " * 9_999 + "soup",
}


@pytest.mark.parametrize("name", TOO_MUCH)
def test_too_much_is_shown_as_it_is(name: str) -> None:
    text = TOO_MUCH[name]
    assert words(as_html(text)) == text
    assert Tags(as_html(text)).tags == {"div"}


HEAPS = ["[", "![", "*a ", "**a*_b_", "`", "`a``b```", "<a", "[a](", "[[a]", "~~a~", "\\[", "|a"]


@pytest.mark.parametrize("unit", HEAPS)
def test_heaps_of_marks_come_to_an_end(unit: str) -> None:
    text = (unit * markup.LENGTH_LIMIT)[: markup.LENGTH_LIMIT]
    assert words(as_html(text)).count("a") == text.count("a")


def test_plain_text_is_the_default() -> None:
    assert reply("a **b**\n<i>", "plain") == (
        '<div class="prose plain" dir="auto">a **b**\n&lt;i&gt;</div>'
    )
