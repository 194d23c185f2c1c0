"""Small pictures of distributions: as inline SVG, and as a line of blocks where there is only text.

They take their colour from the text around them, on screen and on paper.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil, floor

from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from collection.export.counting import Bins

MOST_BARS = 26
"""Scores from 1 to 100 make 25 bars of four."""
TAIL = 0.995
"""The share of values that is drawn to scale where the rest lies far out."""
INK = "#2b4f81"
"""Where no style sheet reaches into the picture."""
BLOCKS = "▁▂▃▄▅▆▇█"


@dataclass(frozen=True)
class Bars:
    """Counts from `low` on, in steps of `step`; tail: whether the last has all that lies beyond."""

    low: float
    step: float
    counts: tuple[int, ...]
    tail: bool = False

    @property
    def high(self) -> float:
        """Where the bars end that are drawn to scale."""
        return self.low + self.step * (len(self.counts) - self.tail)


def bars(bins: Bins, ends: tuple[float, float] | None = None) -> Bars:
    """ends: bounds of the values, if they have both; else the picture ends with the data."""
    first, last = min(bins.counts), max(bins.counts)
    beyond = 0
    if ends is not None:
        bottom, top = (floor(end / bins.width) for end in ends)
        if bins.width < 1:  # the upper end is a value of the last bin, none of its own
            top -= 1
        first = min(first, bottom)
        last = top if last <= top + 1 else last
    else:
        end = _quantile(bins, TAIL)
        if last - first > 2 * (end - first) and end > first:
            beyond = sum(n for place, n in bins.counts.items() if place > end)
            last = end
    group = ceil((last - first + 1) / MOST_BARS)
    counts = [0] * ceil((last - first + 1) / group)
    for place, number in bins.counts.items():
        if place <= last or not beyond:
            counts[min((place - first) // group, len(counts) - 1)] += number
    found = (*counts, beyond) if beyond else tuple(counts)
    return Bars(first * bins.width, group * bins.width, found, tail=bool(beyond))


def _quantile(bins: Bins, share: float) -> int:
    left = share * sum(bins.counts.values())
    for place in sorted(bins.counts):
        left -= bins.counts[place]
        if left <= 0:
            return place
    return max(bins.counts)


def histogram(drawn: Bars, label: str, width: int = 240, height: int = 48) -> SafeString:
    """label: what is said in place of the picture."""
    top = max(drawn.counts)
    step = width / len(drawn.counts)
    gap = min(1.0, step / 5)
    columns = (
        (
            _n(place * step + gap / 2),
            _n(height - 1 - (height - 2) * number / top),
            _n(step - gap),
            _n((height - 2) * number / top),
            ".4" if drawn.tail and place == len(drawn.counts) - 1 else "1",
        )
        for place, number in enumerate(drawn.counts)
        if number
    )
    return format_html(
        '<svg class="hist" color="{}" viewBox="0 0 {} {}" width="{}" height="{}" role="img" '
        'aria-label="{}">'
        '<path d="M0 {}H{}" stroke="currentColor" stroke-opacity=".35"/>{}</svg>',
        *(INK, width, height, width, height, label, _n(height - 0.5), width),
        format_html_join(
            "",
            '<rect x="{}" y="{}" width="{}" height="{}" fill="currentColor" fill-opacity="{}"/>',
            columns,
        ),
    )


def share(part: float) -> SafeString:
    """A bar for one of several values. part: of one."""
    return format_html(
        '<svg class="share" color="{}" viewBox="0 0 100 8" width="100" height="8" '
        'aria-hidden="true">'
        '<rect width="100" height="8" fill="currentColor" fill-opacity=".12"/>'
        '<rect width="{}" height="8" fill="currentColor"/></svg>',
        INK,
        _n(100 * min(max(part, 0), 1)),
    )


def blocks(counts: Sequence[int]) -> str:
    """A line of text: ▁▃█▂. Nothing at all leaves a gap."""
    top = max(counts, default=0)
    return "".join(
        BLOCKS[min(len(BLOCKS) - 1, number * len(BLOCKS) // (top + 1))] if number else " "
        for number in counts
    )


def _n(number: float) -> str:
    return f"{number:.1f}".removesuffix(".0")
