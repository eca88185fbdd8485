"""Charts in two steps: records -> a small NamedTuple that can be tested -> a Plotly figure as a plain dict.

Colours are names that the browser replaces by the theme's (see `dashboard.components.plot`). No Streamlit here.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from engine.store.rows import TrialRow


class Point(NamedTuple):
    """One trial on the chart: where it stands, and its score in percent.

    `place` counts the trials on validation rows; a trial on training rows, which only collects solved
    examples, stands between two of them.
    """

    trial: int
    place: float
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
    places = _places(shown)
    series: dict[str, list[Point]] = {"full": [], "partial": [], "train": [], "running": []}
    best: list[Point] = []
    baseline = next((100 * t.score for t in shown if t.label == "baseline" and t.score is not None), None)
    for trial in shown:
        if trial.score is None and trial.state != "running":
            continue
        kind = _series(trial, whole)
        point = Point(trial.number, places[trial.number], round(100 * (trial.score or 0.0), 1), _hover(trial))
        series[kind].append(point)
        if kind == "full":
            best.append(
                point._replace(score=max(point.score, best[-1].score if best else point.score), text="")
            )
    kept = {name: tuple(points) for name, points in series.items()}
    return ScoreChart(
        baseline, kept["full"], kept["partial"], kept["train"], kept["running"], best=tuple(best)
    )


def _places(trials: Sequence[TrialRow]) -> dict[int, float]:
    """Return where each trial stands: 1, 2, 3 ... for validation trials, the others evenly in between."""
    places: dict[int, float] = {}
    between: list[int] = []
    place = 0
    for trial in [*trials, None]:
        if trial is not None and trial.split == "train":
            between.append(trial.number)
            continue
        places |= {n: place + (i + 1) / (len(between) + 1) for i, n in enumerate(between)}
        between = []
        if trial is not None:
            place += 1
            places[trial.number] = float(place)
    return places


def _series(trial: TrialRow, whole: int) -> str:
    if trial.split == "train":
        return "train"
    if trial.state == "running":
        return "running"
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
    hollow = {"color": "$background", "size": 9, "line": {"color": "$accent", "width": 1.6}}
    dots = (
        ("All rows", chart.full, {"color": "$accent", "size": 11}),
        ("Some rows", chart.partial, hollow),
        (
            "In progress",
            chart.running,
            {"color": "$warn", "size": 12, "symbol": "diamond-open", "line": {"width": 2}},
        ),
        (
            "Collecting examples",
            chart.train,
            {"color": "$muted", "size": 6, "symbol": "square", "opacity": 0.75},
        ),
    )
    shown = [p for series in (chart.full, chart.partial, chart.running) for p in series]
    last = max((p.place for p in shown), default=1.0)
    traces: list[dict[str, Any]] = []
    if chart.baseline is not None:
        traces.append(
            _line("Baseline", [0, last + 1], [chart.baseline] * 2, {"dash": "dash", "color": "$muted"})
        )
    if chart.best:
        x = [*(p.place for p in chart.best), last + 0.5]
        y = [*(p.score for p in chart.best), chart.best[-1].score]
        traces.append(_line("Best so far", x, y, {"shape": "hv", "color": "$good", "width": 2.4}))
    traces += [_dots(name, points, marker) for name, points, marker in dots if points]
    scores = [p.score for p in shown] + ([chart.baseline] if chart.baseline is not None else [])
    low = max(-2.0, min(scores, default=0.0) - 8)
    return {
        "traces": traces,
        "layout": {
            "xaxis": {
                "title": {"text": "Prompts scored on validation rows, in order"},
                "range": [0, last + 1],
                "dtick": _tick(last),
            },
            "yaxis": {"title": {"text": "Score (%)"}, "range": [low, 103], "ticksuffix": " %"},
        },
    }


def _tick(last: float) -> int:
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
        # Scores on a row or two say little, so these wait in the legend until they are asked for.
        "visible": "legendonly" if name == "Collecting examples" else True,
        "x": [p.place for p in points],
        "y": [p.score for p in points],
        "text": [p.text for p in points],
        "customdata": [p.trial for p in points],
        "hovertemplate": "%{text}<extra></extra>",
        "marker": marker,
        "cliponaxis": False,
    }
