"""Charts in two steps: records -> a small NamedTuple that can be tested -> a Plotly figure as a plain dict.

Colours are names that the browser replaces by the theme's (see `dashboard.components.plot`). No Streamlit here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any, NamedTuple

from engine.store.rows import TrialRow

MOST_DRAWN = 700
"""Points of one series that are drawn; more are thinned out."""

MOST_LINKS = 400
_Path = tuple[list[float | None], list[float | None]]


class Point(NamedTuple):
    """One trial on the chart: its place, its score in percent, and its text on hover.

    `place` counts the trials on validation rows; a trial on training rows alone lies between two of them.
    """

    trial: int
    place: float
    score: float
    text: str
    candidate: str = ""


class Link(NamedTuple):
    """A line from a candidate's parent to it; `pending`: the candidate is being scored right now."""

    parent: Point
    child: Point
    pending: bool


class ScoreChart(NamedTuple):
    """Content of the live chart; every list is in trial order.

    `failing` are trials in which rows failed: their scores are those of the rows that did not. `rejected` are
    candidates that were tried on training rows and never validated. `best` has a point for each time the best
    score rose, and the last one; `leader` is the prompt it is at.
    """

    baseline: float | None
    full: tuple[Point, ...]
    partial: tuple[Point, ...]
    train: tuple[Point, ...]
    running: tuple[Point, ...]
    best: tuple[Point, ...]
    failing: tuple[Point, ...] = ()
    rejected: tuple[Point, ...] = ()
    links: tuple[Link, ...] = ()
    leader: Point | None = None


def score_chart(
    trials: Sequence[TrialRow], parents: Mapping[str, Sequence[str]] | None = None, *, over: bool = False
) -> ScoreChart:
    """Sort a run's trials into the series of the live chart; `parents` is candidate id -> ids it came from.

    The baseline is the latest full validation of the starting candidate; best-so-far follows full validations
    only, because a handful of rows proves little. Neither takes a trial in which more rows failed than in others.
    Once the run is `over`, best-so-far ends at the prompt that was chosen. Test trials are left out: the search
    never sees them.
    """
    shown = [t for t in trials if t.split != "test"]
    whole = max((t.rows_total for t in shown if t.split == "validation"), default=0)
    validated = {t.candidate_id for t in shown if t.split == "validation"}
    parents, places = parents or {}, _places(shown)
    kinds = ("full", "partial", "train", "running", "failing", "rejected")
    series: dict[str, list[Point]] = {kind: [] for kind in kinds}
    at: dict[str, Point] = {}
    sound = _sound_trials(shown, whole)
    start = next((t.candidate_id for t in shown if t.label == "baseline"), None)
    scored = [100 * (t.answered_score or 0.0) for t in shown if t.number in sound and t.candidate_id == start]
    baseline = scored[-1] if scored else None
    for trial in shown:
        if trial.score is None and trial.state != "running":
            continue
        kind = _series(trial, whole)
        if kind == "train" and parents.get(trial.candidate_id) and trial.candidate_id not in validated:
            kind = "rejected"
        if (
            trial.failed
            and trial.number not in sound
            and (kind in ("full", "partial") or trial.answered_score is None)
        ):
            kind = "failing"
        score = _score(trial, at, parents, baseline)
        point = Point(trial.number, places[trial.number], score, _hover(trial), trial.candidate_id)
        series[kind].append(point)
        # A candidate's point is its trial on the most rows: links start there.
        if kind != "train" and not (kind == "running" and trial.candidate_id in at):
            at[trial.candidate_id] = point
    full = series["full"]
    chosen = {t.candidate_id for t in shown if over and t.is_best}
    leader = next(
        (p for p in reversed(full) if p.candidate in chosen), max(full, key=_by_score, default=None)
    )
    return ScoreChart(
        baseline,
        **{kind: tuple(points) for kind, points in series.items()},
        best=_best(full, leader),
        links=_links(at, parents, series["running"]),
        leader=leader,
    )


def _sound_trials(trials: Sequence[TrialRow], whole: int) -> set[int]:
    """Return the finished trials on all rows in which the fewest rows failed, and not all of them."""
    full = [t for t in trials if _series(t, whole) == "full" and t.failed < t.rows_done]
    least = min((t.failed for t in full), default=0)
    return {t.number for t in full if t.failed == least}


def _score(
    trial: TrialRow, at: Mapping[str, Point], parents: Mapping[str, Sequence[str]], baseline: float | None
) -> float:
    """Return the score of a trial's rows in percent, without those that failed; its parent's where there is no other."""
    if trial.answered_score is not None:
        return round(100 * trial.answered_score, 1)
    known = [at[p].score for p in parents.get(trial.candidate_id, ()) if p in at]
    return max(known, default=round(baseline or 0.0, 1))


def _by_score(point: Point) -> float:
    return point.score


def _best(full: Sequence[Point], leader: Point | None) -> tuple[Point, ...]:
    """Return the points at which the best score rose, and the end of the line, which is at the leader's score."""
    rising: list[Point] = []
    for point in full:
        if not rising or point.score > rising[-1].score:
            rising.append(point._replace(text=""))
    if leader is not None and (rising[-1].trial, rising[-1].score) != (full[-1].trial, leader.score):
        rising.append(full[-1]._replace(score=leader.score, text=""))
    return tuple(rising)


def _links(
    at: Mapping[str, Point], parents: Mapping[str, Sequence[str]], running: Sequence[Point]
) -> tuple[Link, ...]:
    pending = {p.trial for p in running}
    return tuple(
        Link(at[parent], point, point.trial in pending)
        for candidate, point in at.items()
        for parent in parents.get(candidate, ())
        if parent in at and at[parent].trial != point.trial
    )


def _places(trials: Sequence[TrialRow]) -> dict[int, float]:
    """Return each trial's place: 1, 2, 3 ... for validation trials, the others evenly in between."""
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
    return "full" if trial.complete and trial.rows_total >= whole else "partial"


def _hover(trial: TrialRow) -> str:
    where = {"train": "training", "validation": "validation"}.get(trial.split, trial.split)
    score = f"{100 * trial.answered_score:.1f} %" if trial.answered_score is not None else "no score"
    failed = f", {trial.failed} failed" if trial.failed else ""
    return (
        f"Trial {trial.number}: <b>{score}</b><br>{escape(trial.label or 'scored')}"
        f"<br>{trial.rows_done} of {trial.rows_total} {where} rows{failed}"
    )


def thinned(points: Sequence[Point], most: int = MOST_DRAWN) -> list[Point]:
    """Return few enough points to draw: of each stretch the lowest, the highest and the last. Figures use them all."""
    if len(points) <= most:
        return list(points)
    size = -(-3 * len(points) // most)
    kept: dict[int, Point] = {}
    for start in range(0, len(points), size):
        stretch = points[start : start + size]
        ends = (min(stretch, key=lambda p: p.score), max(stretch, key=lambda p: p.score), stretch[-1])
        kept |= {p.trial: p for p in ends}
    return sorted(kept.values())


def score_figure(chart: ScoreChart, *, over: bool = False) -> dict[str, object]:
    """Draw a `ScoreChart`: the baseline dashed, best-so-far stepped, a dot per trial joined to where it came from.

    What is pending is a ghost: hollow, with a dotted line. Very many trials are thinned out for drawing. While the
    run goes on every series has its place in the legend, so that nothing jumps; once it is `over`, only those there are.
    """
    drawn = (chart.full, chart.partial, chart.running, chart.failing, chart.rejected)
    shown = [p for series in drawn for p in series]
    last = max((p.place for p in shown), default=1.0)
    ends = [0, last + 1]
    best = [*chart.best, chart.best[-1]._replace(place=last + 0.5)] if chart.best else []
    settled, pending = _joined(chart)
    traces = [
        {**_line("Came from", *settled, {"color": "$muted", "width": 1.1}, legend=False), "opacity": 0.45},
        _line("Being tried", *pending, {"color": "$warn", "width": 1.4, "dash": "dot"}, legend=False),
        _line(
            "Baseline",
            ends if chart.baseline is not None else [],
            [chart.baseline] * 2 if chart.baseline is not None else [],
            {"dash": "dash", "color": "$muted"},
        ),
        _line(
            "Best on all rows",
            [p.place for p in best],
            [p.score for p in best],
            {"shape": "hv", "color": "$good", "width": 2.4},
        ),
        *(_dots(name, thinned(getattr(chart, kind)), marker) for name, kind, marker in DOTS),
        _dots("Best prompt", [chart.leader] if chart.leader else [], LEADER),
    ]
    if over:
        traces = [t for t in traces if t["x"] != _NOTHING]
    scores = [p.score for p in shown] + ([chart.baseline] if chart.baseline is not None else [])
    low = max(-2.0, min(scores, default=0.0) - 8)
    return {
        "traces": traces,
        "layout": {
            "xaxis": {
                "title": {"text": "Prompts scored on validation rows, in order"},
                "range": ends,
                "dtick": _tick(last),
            },
            "yaxis": {"title": {"text": "Practice score (%)"}, "range": [low, 103], "ticksuffix": " %"},
        },
    }


def _joined(chart: ScoreChart) -> tuple[_Path, _Path]:
    """Return the lines between parents and children as two broken paths: settled and pending."""
    drawn = {
        p.trial for kind in ("full", "partial", "failing", "rejected") for p in thinned(getattr(chart, kind))
    }
    paths: tuple[_Path, _Path] = (([], []), ([], []))
    for link in chart.links[-MOST_LINKS:]:
        if link.pending or {link.parent.trial, link.child.trial} <= drawn:
            xs, ys = paths[link.pending]
            xs += [link.parent.place, link.child.place, None]
            ys += [link.parent.score, link.child.score, None]
    return paths


def _tick(last: float) -> int:
    """Return a whole step that leaves about a dozen ticks."""
    return next((step for step in (1, 2, 5, 10, 20, 50, 100, 200, 500) if last / step <= 12), 1000)


def _line(
    name: str, x: Sequence[object], y: Sequence[object], line: dict[str, object], *, legend: bool = True
) -> dict[str, object]:
    return {
        "type": "scatter",
        "uid": name,
        "mode": "lines",
        "name": name,
        "x": list(x) or _NOTHING,
        "y": list(y) or _NOTHING,
        "line": line,
        "hoverinfo": "skip",
        "showlegend": legend,
    }


def _dots(name: str, points: Sequence[Point], marker: dict[str, object]) -> dict[str, Any]:
    return {
        "type": "scatter",
        # Which series is which must hold while series come and go: what was hidden in the legend stays hidden.
        "uid": name,
        "mode": "markers",
        "name": name,
        # Scores on a row or two say little, so these wait in the legend until they are asked for.
        "visible": "legendonly" if name == "Solving examples" else True,
        "x": [p.place for p in points] or _NOTHING,
        "y": [p.score for p in points] or _NOTHING,
        "text": [p.text for p in points],
        "customdata": [p.trial for p in points],
        "hovertemplate": "%{text}<extra></extra>",
        "marker": marker,
        "cliponaxis": False,
    }


_NOTHING: list[float | None] = [None]
_HOLLOW = {"color": "$background", "size": 9, "line": {"color": "$accent", "width": 1.6}}
LEADER = {"color": "$good", "size": 19, "symbol": "star", "line": {"color": "$background", "width": 1.5}}
DOTS: tuple[tuple[str, str, dict[str, Any]], ...] = (
    (
        "Training rows only",
        "rejected",
        {**_HOLLOW, "size": 7, "line": {"color": "$muted", "width": 1.4}},
    ),
    ("Some rows", "partial", _HOLLOW),
    ("With failed rows", "failing", {"color": "$bad", "size": 10, "symbol": "x"}),
    ("All rows", "full", {"color": "$accent", "size": 11}),
    (
        "In progress",
        "running",
        {"color": "$background", "size": 13, "line": {"color": "$warn", "width": 2.2}, "opacity": 0.85},
    ),
    ("Solving examples", "train", {"color": "$muted", "size": 6, "symbol": "square", "opacity": 0.75}),
)
