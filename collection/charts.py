"""Small pictures as inline SVG. They stretch with their box and take their colours from the page;
whoever cannot see them hears the label."""

from collections.abc import Sequence

from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

GRID = SafeString('<path class="grid" d="M0 0H100M0 50H100M0 100H100"/>')


def bar(percent: float) -> SafeString:
    """One share of a row, of a hundred."""
    return format_html(
        '<svg class="share" viewBox="0 0 100 1" preserveAspectRatio="none" aria-hidden="true">'
        '<rect width="{}" height="1"/></svg>',
        f"{min(max(percent, 0), 100):.1f}",
    )


def bars(values: Sequence[float], ends: Sequence[str], label: str) -> SafeString:
    """A column for each value; `ends` stand below, from the first to the last."""
    top = ceiling(values)
    width = 100 / max(len(values), 1)
    columns = (
        (
            f"{place * width + width * 0.1:.2f}",
            f"{100 - 100 * value / top:.1f}",
            f"{width * 0.8:.2f}",
            f"{100 * value / top:.1f}",
        )
        for place, value in enumerate(values)
        if value
    )
    drawn = format_html_join("", '<rect x="{}" y="{}" width="{}" height="{}"/>', columns)
    return plot(drawn, top, ends, label)


def line(values: Sequence[float], ends: Sequence[str], label: str) -> SafeString:
    top = ceiling(values)
    step = 100 / max(len(values) - 1, 1)
    points = " ".join(
        f"{place * step:.2f},{100 - 100 * value / top:.1f}" for place, value in enumerate(values)
    )
    return plot(format_html('<polyline class="trace" points="{}"/>', points), top, ends, label)


def plot(drawn: SafeString, top: int, ends: Sequence[str], label: str) -> SafeString:
    return format_html(
        '<div class="plot"><div class="y" aria-hidden="true"><span>{}</span><span>0</span></div>'
        '<svg viewBox="0 0 100 100" preserveAspectRatio="none" role="img" aria-label="{}">{}{}'
        '</svg><div class="x" aria-hidden="true">{}</div></div>',
        top,
        label,
        GRID,
        drawn,
        format_html_join("", "<span>{}</span>", ((end,) for end in ends)),
    )


def ceiling(values: Sequence[float]) -> int:
    """The next of 2, 4, 10, 20, 40, 100 …: half of it is whole too."""
    most, top = max([*values, 0]), 2
    while top < most:
        top = top * 5 // 2 if str(top)[0] == "4" else top * 2
    return top
