"""The report's pictures as inline SVG text: made by code, drawn by any browser, with no script.

Colours are classes that the report's style sheet fills in, so light, dark and print come from there.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape
from typing import NamedTuple

WIDTH, HEIGHT = 960.0, 300.0
LEFT, RIGHT, TOP, BOTTOM = 52.0, 16.0, 14.0, 40.0


class Dot(NamedTuple):
    """One evaluation on the chart: its score (0 to 1), whether on all validation rows, and what it was."""

    score: float
    whole: bool
    text: str
    best: bool = False


def score_svg(dots: Sequence[Dot], baseline: float | None) -> str:
    """Return the chart of a search: the baseline dashed, the best so far stepped, a dot for each prompt scored.

    >>> "<script" in score_svg([Dot(0.5, True, "<script>")], 0.4)
    False
    """
    scores = [d.score for d in dots] + ([baseline] if baseline is not None else [])
    low = max(0.0, min(scores, default=0.0) - 0.08)
    step = 0.2 if low < 0.6 else 0.1
    low = math.floor(low / step + 1e-9) * step
    parts = [_grid(low, step)]
    if baseline is not None:
        y = _y(baseline, low)
        parts.append(f'<line class="base" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>')
        parts.append(
            f'<text class="note" x="{WIDTH - RIGHT}" y="{y - 6:.1f}" text-anchor="end">baseline {100 * baseline:.1f} %</text>'
        )
    parts.append(_steps(dots, low))
    for at, dot in enumerate(dots):
        x, y = _x(at, len(dots)), _y(dot.score, low)
        kind = "best" if dot.best else "whole" if dot.whole else "part"
        size = 7 if dot.best else 5 if dot.whole else 4
        parts.append(
            f'<circle class="{kind}" cx="{x:.1f}" cy="{y:.1f}" r="{size}"><title>{escape(dot.text)}</title></circle>'
        )
    parts.append(
        f'<text class="axis" x="{(LEFT + WIDTH - RIGHT) / 2}" y="{HEIGHT - 4}" text-anchor="middle">'
        "Prompts scored on validation rows, in order</text>"
    )
    words = f"Scores of {len(dots)} prompts in the order tried"
    return (
        f'<svg viewBox="0 0 {WIDTH:.0f} {HEIGHT:.0f}" role="img" aria-label="{words}">{"".join(parts)}</svg>'
    )


def interval_svg(low: float, high: float, difference: float) -> str:
    """Return a picture of the gain and its 95 % interval against no change. All run from -1 to 1.

    >>> interval_svg(0.1, 0.3, 0.2).startswith("<svg")
    True
    """
    width, middle, height = 960.0, 28.0, 66.0
    edge = max(0.1, abs(low), abs(high)) * 1.15

    def x(value: float) -> float:
        return 40 + (width - 80) * (value + edge) / (2 * edge)

    kind = "good" if low > 0 else "bad" if high < 0 else "even"
    marks = "".join(
        f'<text class="axis" x="{x(v):.1f}" y="{height - 6}" text-anchor="{anchor}">{words}</text>'
        for v, words, anchor in (
            (0.0, "no change", "middle"),
            (-edge, "worse", "start"),
            (edge, "better", "end"),
        )
    )
    words = f"Gain {100 * difference:+.0f} points, interval {100 * low:+.0f} to {100 * high:+.0f}"
    return (
        f'<svg viewBox="0 0 {width:.0f} {height:.0f}" role="img" aria-label="{words}">'
        f'<line class="grid" x1="40" x2="{width - 40}" y1="{middle}" y2="{middle}"/>'
        f'<line class="zero" x1="{x(0):.1f}" x2="{x(0):.1f}" y1="6" y2="{middle + 14}"/>'
        f'<line class="span {kind}" x1="{x(low):.1f}" x2="{x(high):.1f}" y1="{middle}" y2="{middle}"/>'
        f'<circle class="dot {kind}" cx="{x(difference):.1f}" cy="{middle}" r="8"/>'
        f'<text class="note" x="{x(low):.1f}" y="{middle - 12}" text-anchor="middle">{100 * low:+.0f}</text>'
        f'<text class="note" x="{x(high):.1f}" y="{middle - 12}" text-anchor="middle">{100 * high:+.0f}</text>'
        f"{marks}</svg>"
    )


def _grid(low: float, step: float) -> str:
    lines = []
    for number in range(round((1 - low) / step) + 1):
        value = low + number * step
        y = _y(value, low)
        lines.append(f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>')
        lines.append(
            f'<text class="axis" x="{LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{100 * value:.0f} %</text>'
        )
    return "".join(lines)


def _steps(dots: Sequence[Dot], low: float) -> str:
    """Return the line of the best so far, over evaluations on all validation rows."""
    best: float | None = None
    path = ""
    for at, dot in enumerate(dots):
        if not dot.whole or (best is not None and dot.score <= best):
            continue
        x, y = _x(at, len(dots)), _y(dot.score, low)
        path += f"M{x:.1f},{y:.1f}" if best is None else f"H{x:.1f}V{y:.1f}"
        best = dot.score
    return f'<path class="sofar" d="{path}H{WIDTH - RIGHT}"/>' if path else ""


def _x(at: int, count: int) -> float:
    return LEFT + (WIDTH - LEFT - RIGHT) * (at + 0.5) / max(count, 1)


def _y(score: float, low: float) -> float:
    return TOP + (HEIGHT - TOP - BOTTOM) * (1 - (score - low) / max(1e-9, 1 - low))
