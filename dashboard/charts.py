"""Charts in two steps: records -> a small NamedTuple that can be tested -> a Plotly figure as a plain dict.

Colours are names that the browser replaces by the theme's (see `dashboard.components.plot`). No Streamlit here.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from engine.store.rows import TrialRow


class Point(NamedTuple):
    """One trial on the chart: score in percent."""

    trial: int
    score: float
    text: str


class ScoreChart(NamedTuple):
    """What the live chart shows; every list is in trial order."""

    baseline: float | None
    full: tuple[Point, ...]
    partial: tuple[Point, ...]
    train: tuple[Point, ...]
    running: tuple[Point, ...]
    best: tuple[Point, ...]


def score_chart(trials: Sequence[TrialRow]) -> ScoreChart:
    """Sort a run's trials into the series of the live chart.

    The baseline is the first full validation of the starting candidate; best-so-far follows full
    validations only, because a handful of rows proves little. Test trials are left out: the search
    never sees them.
    """
    shown = [t for t in trials if t.split != "test"]
    whole = max((t.rows_total for t in shown if t.split == "validation"), default=0)
    series: dict[str, list[Point]] = {"full": [], "partial": [], "train": [], "running": []}
    best: list[Point] = []
    baseline = next((100 * t.score for t in shown if t.label == "baseline" and t.score is not None), None)
    for trial in shown:
        if trial.score is None and trial.state != "running":
            continue
        kind = _series(trial, whole)
        point = Point(trial.number, round(100 * (trial.score or 0.0), 1), _hover(trial))
        series[kind].append(point)
        if kind == "full":
            best.append(Point(trial.number, max(point.score, best[-1].score if best else point.score), ""))
    return ScoreChart(
        baseline, *(tuple(series[k]) for k in ("full", "partial", "train", "running")), tuple(best)
    )


def _series(trial: TrialRow, whole: int) -> str:
    if trial.state == "running":
        return "running"
    if trial.split == "train":
        return "train"
    return "full" if trial.rows_total >= whole else "partial"


def _hover(trial: TrialRow) -> str:
    where = {"train": "training", "validation": "validation"}.get(trial.split, trial.split)
    score = "no score yet" if trial.score is None else f"{100 * trial.score:.1f} %"
    return (
        f"Trial {trial.number}: <b>{score}</b><br>{trial.label or 'scored'}"
        f"<br>{trial.rows_done} of {trial.rows_total} {where} rows"
    )


def score_figure(chart: ScoreChart) -> dict[str, Any]:
    """Draw a `ScoreChart`: the baseline dashed, best-so-far stepped, a dot per trial."""
    dots = (
        ("All validation rows", chart.full, {"color": "$accent", "size": 11}),
        (
            "Some validation rows",
            chart.partial,
            {"color": "$background", "size": 9, "line": {"color": "$accent", "width": 1.6}},
        ),
        ("Training rows", chart.train, {"color": "$muted", "size": 7, "symbol": "square", "opacity": 0.75}),
        (
            "In progress",
            chart.running,
            {"color": "$warn", "size": 12, "symbol": "diamond-open", "line": {"width": 2}},
        ),
    )
    last = max((p.trial for series in chart[1:5] for p in series), default=1)
    traces: list[dict[str, Any]] = []
    if chart.baseline is not None:
        traces.append(
            _line("Baseline", [0, last + 1], [chart.baseline] * 2, {"dash": "dash", "color": "$muted"})
        )
    if chart.best:
        x = [*(p.trial for p in chart.best), last + 0.5]
        y = [*(p.score for p in chart.best), chart.best[-1].score]
        traces.append(_line("Best so far", x, y, {"shape": "hv", "color": "$good", "width": 2.4}))
    traces += [_dots(name, points, marker) for name, points, marker in dots if points]
    scores = [p.score for series in chart[1:5] for p in series] + (
        [chart.baseline] if chart.baseline is not None else []
    )
    low = max(0.0, min(scores, default=0.0) - 8)
    return {
        "traces": traces,
        "layout": {
            "xaxis": {
                "title": {"text": "Trial"},
                "range": [-0.2, last + 1],
                "dtick": _tick(last),
                "rangemode": "nonnegative",
            },
            "yaxis": {"title": {"text": "Rows scored right (%)"}, "range": [low, 103], "ticksuffix": " %"},
        },
    }


def _tick(last: int) -> int:
    """Return a whole step that leaves about a dozen ticks."""
    return next((step for step in (1, 2, 5, 10, 20, 50, 100, 200, 500) if last / step <= 12), 1000)


def _line(name: str, x: list[float], y: list[float], line: dict[str, Any]) -> dict[str, Any]:
    return {
        "type": "scatter",
        "mode": "lines",
        "name": name,
        "x": x,
        "y": y,
        "line": line,
        "hoverinfo": "skip",
    }


def _dots(name: str, points: Sequence[Point], marker: dict[str, Any]) -> dict[str, Any]:
    return {
        "type": "scatter",
        "mode": "markers",
        "name": name,
        "x": [p.trial for p in points],
        "y": [p.score for p in points],
        "text": [p.text for p in points],
        "customdata": [p.trial for p in points],
        "hovertemplate": "%{text}<extra></extra>",
        "marker": marker,
        "cliponaxis": False,
    }
