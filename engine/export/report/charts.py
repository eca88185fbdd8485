"""Geometry of the report's two charts; the template draws it as SVG, in colours of the style sheet.

It knows scores and places on a canvas, and no markup.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

WIDTH, HEIGHT = 960, 300
LEFT, RIGHT, TOP, BOTTOM = 52, 16, 14, 40
INTERVAL_HEIGHT = 66
SIZES = {"best": 7, "whole": 5, "part": 4}
"""Kind of a dot -> its radius."""


class Dot(NamedTuple):
    """One evaluation on the chart: its score (0 to 1), whether on all validation rows, and what it was."""

    score: float
    whole: bool
    text: str
    best: bool = False

    @property
    def kind(self) -> str:
        """The class of its look."""
        return "best" if self.best else "whole" if self.whole else "part"


class Mark(NamedTuple):
    """Something at a place of a chart: a line of the grid with its label, or a dot with what it says."""

    x: float
    y: float
    text: str
    kind: str = ""


class ScoreChart(NamedTuple):
    """A search: the grid, the baseline, the path of the best so far, a dot for each prompt scored."""

    grid: tuple[Mark, ...]
    baseline: Mark | None
    path: str
    dots: tuple[Mark, ...]


class IntervalChart(NamedTuple):
    """A gain with its interval against no change: the look, the places of both ends, of the gain and of the labels."""

    kind: str
    low: Mark
    high: Mark
    gain: Mark
    zero: float
    words: str


def score_chart(dots: Sequence[Dot], baseline: float | None) -> ScoreChart:
    """Return the chart of a search.

    >>> score_chart([Dot(0.5, True, "first"), Dot(0.7, True, "second")], 0.4).path
    'M275.0,167.8H721.0V106.3H944'
    """
    scores = [dot.score for dot in dots] + ([baseline] if baseline is not None else [])
    low = max(0.0, min(scores, default=0.0) - 0.08)
    step = 0.2 if low < 0.6 else 0.1
    low = math.floor(low / step + 1e-9) * step

    def y(score: float) -> float:
        return TOP + (HEIGHT - TOP - BOTTOM) * (1 - (score - low) / max(1e-9, 1 - low))

    values = [low + number * step for number in range(round((1 - low) / step) + 1)]
    places = [LEFT + (WIDTH - LEFT - RIGHT) * (at + 0.5) / len(dots) for at in range(len(dots))]
    path, best = "", -1.0
    for x, dot in zip(places, dots, strict=True):
        if dot.whole and dot.score > best:
            path += f"H{x:.1f}V{y(dot.score):.1f}" if path else f"M{x:.1f},{y(dot.score):.1f}"
            best = dot.score
    return ScoreChart(
        tuple(Mark(LEFT, y(value), f"{100 * value:.0f} %") for value in values),
        None if baseline is None else Mark(LEFT, y(baseline), f"{100 * baseline:.1f} %"),
        f"{path}H{WIDTH - RIGHT}" if path else "",
        tuple(Mark(x, y(dot.score), dot.text, dot.kind) for x, dot in zip(places, dots, strict=True)),
    )


def interval_chart(low: float, high: float, difference: float) -> IntervalChart:
    """Return the picture of a gain and its 95 % interval. All run from -1 to 1.

    >>> interval_chart(0.1, 0.3, 0.2).kind
    'good'
    """
    edge = max(0.1, abs(low), abs(high)) * 1.15

    def mark(value: float) -> Mark:
        return Mark(40 + (WIDTH - 80) * (value + edge) / (2 * edge), 28, f"{100 * value:+.0f}")

    kind = "good" if low > 0 else "bad" if high < 0 else "even"
    words = f"Gain {100 * difference:+.0f} points, interval {100 * low:+.0f} to {100 * high:+.0f}"
    return IntervalChart(kind, mark(low), mark(high), mark(difference), mark(0.0).x, words)
