"""The live chart in two steps: records -> a small NamedTuple that can be tested -> a Plotly figure as a plain dict.

Colours are names that the browser replaces by the theme's (see `dashboard.components.plot`). No Streamlit here.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from html import escape
from types import MappingProxyType
from typing import NamedTuple

from engine.basics.data import JsonObject
from engine.basics.text import listed, percent
from engine.search.judging.leader import Lead, known_trials, outlines
from engine.store.rows import TrialRow

MOST_DRAWN = 700
"""Points of one series that are drawn; more are thinned out."""


class Point(NamedTuple):
    """A prompt on the chart, or a try of one on training rows: its number, its score in percent, and its text on hover.

    `rows` is on how many rows the score is known, `share` their share of the validation rows.
    """

    number: int
    score: float
    text: str
    candidate: str = ""
    share: float = 1.0
    rows: int = 1


class ScoreChart(NamedTuple):
    """Content of the live chart; every list is in the order of trials.

    `prompts` has a point for each prompt, from its trial on the most validation rows; of those in `failing` rows
    failed: their scores are those of the rows that did not. `running` are prompts that are being scored. `training`
    are tries on training rows alone. `best` are the prompts that were the best so far, one after the other, and `leader` is
    the last of them at its likely score; `chosen` is the prompt that the run chose at its end, where it is another one.
    `origins` is the number of each prompt -> the numbers of those it came from.
    """

    baseline: float | None
    prompts: tuple[Point, ...]
    training: tuple[Point, ...]
    running: tuple[Point, ...]
    best: tuple[Lead, ...]
    failing: tuple[Point, ...] = ()
    origins: Mapping[int, Sequence[int]] = MappingProxyType({})
    leader: Point | None = None
    chosen: Point | None = None


def score_chart(
    trials: Sequence[TrialRow],
    parents: Mapping[str, Sequence[str]] | None = None,
    leads: Sequence[Lead] = (),
    chosen: str = "",
) -> ScoreChart:
    """Return what the live chart shows of a run's trials; `parents` is candidate id -> ids it came from, in the order found.

    The baseline is the starting prompt's score on all validation rows. `leads` are the best prompts so far (see
    `engine.search.judging.leader`), `chosen` is the id of the prompt that the run chose at its end. Test trials are left out: the search
    never sees them.
    """
    shown, parents = [t for t in trials if t.split not in ("test", "teacher")], parents or {}
    numbers = {c: n for n, c in enumerate(dict.fromkeys([*parents, *(t.candidate_id for t in shown)]))}
    known_by = known_trials(shown)
    whole = max((t.rows_total for t in shown if t.split == "validation"), default=0)
    full = [t for t in known_by.values() if t.complete and t.rows_total >= whole and t.failed < t.rows_done]
    least_failed = min((t.failed for t in full), default=0)
    baseline = next((100 * (t.answered_score or 0.0) for t in full if numbers[t.candidate_id] == 0), None)
    training = [
        _point(t, numbers, t.answered_score, parents)
        for t in shown
        if t.split == "train" and t.answered_score is not None
    ]
    prompts: list[Point] = []
    failing: list[Point] = []
    running: list[Point] = []
    at: dict[str, Point] = {}
    latest = {t.candidate_id: t for t in shown if t.split != "train"}
    for candidate, last in latest.items():
        known = known_by.get(candidate)
        before = [at[p].score for p in parents.get(candidate, ()) if p in at]
        guess = max(before, default=round(baseline or 0.0, 1)) / 100
        score = guess if known is None or known.answered_score is None else known.answered_score
        at[candidate] = point = _point(known or last, numbers, score, parents, whole)
        if last.state == "running":
            running.append(point)
        if known is not None:
            lost = known.failed > least_failed or known.answered_score is None
            (failing if lost else prompts).append(point)
    leader = at.get(leads[-1].candidate) if leads else None
    return ScoreChart(
        baseline,
        tuple(prompts),
        tuple(training),
        tuple(running),
        tuple(leads),
        tuple(failing),
        {
            at[c].number: numbers_of
            for c in at
            if (numbers_of := [at[p].number for p in parents.get(c, ()) if p in at and p != c])
        },
        leader and _at_likely_score(leader, leads[-1]),
        at.get(chosen) if leader is None or chosen != leader.candidate else None,
    )


def _at_likely_score(point: Point, lead: Lead) -> Point:
    """Return the leader's point at its likely score, with the doubt about it in its text."""
    score = lead.score
    mean, low, high = (percent(share, 1) for share in score[:3])
    likely = f"<b>Best so far: {mean}</b>, 95 % interval {low} to {high}"
    return point._replace(score=round(100 * score.mean, 1), text=f"{likely}<br>{point.text}")


def _point(
    trial: TrialRow,
    numbers: Mapping[str, int],
    score: float,
    parents: Mapping[str, Sequence[str]],
    whole: int = 0,
) -> Point:
    candidate, rows = trial.candidate_id, trial.rows_done - trial.failed
    share = min(1.0, rows / whole) if whole else 1.0
    text = _hover(trial, _origin(candidate, parents, numbers), max(whole, trial.rows_total))
    return Point(numbers[candidate], round(100 * score, 1), text, candidate, share, rows)


def _origin(candidate: str, parents: Mapping[str, Sequence[str]], numbers: Mapping[str, int]) -> str:
    """Return which prompt it is and which ones it came from, by their numbers."""
    number = numbers[candidate]
    if number == 0:
        return "The starting prompt"
    known = sorted(numbers[p] for p in parents.get(candidate, ()) if p in numbers)
    origin = listed([str(n) if n else "the start" for n in known])
    return f"Prompt {number}, from {origin}" if origin else f"Prompt {number}"


def _hover(trial: TrialRow, origin: str, whole: int) -> str:
    kind = {"train": "training", "validation": "validation"}.get(trial.split, trial.split)
    score = percent(trial.answered_score, 1) if trial.answered_score is not None else "no score"
    failed = f", {trial.failed} failed" if trial.failed else ""
    return (
        f"<b>{score}</b> on {trial.rows_done} of {whole} {kind} rows{failed}"
        f"<br>{escape(origin)}<br>{escape(trial.label or 'scored')}"
    )


def thinned(points: Sequence[Point]) -> list[Point]:
    """Return few enough points to draw: of each stretch the lowest, the highest and the last. Figures use them all."""
    if len(points) <= MOST_DRAWN:
        return list(points)
    size = -(-3 * len(points) // MOST_DRAWN)
    chosen: dict[Point, None] = {}
    for start in range(0, len(points), size):
        stretch = points[start : start + size]
        lowest, highest = (end(stretch, key=lambda p: p.score) for end in (min, max))
        chosen |= dict.fromkeys((lowest, highest, stretch[-1]))
    return sorted(chosen)


def score_figure(chart: ScoreChart) -> dict[str, object]:
    """Draw a `ScoreChart`: the start dashed, best-so-far stepped in its interval, a dot a prompt, and tries on training rows below.

    A dot grows and darkens with the rows it is known on. What is being scored has a ring. `lineage` has for each dot the
    numbers it came from: the browser draws the line through them while the dot is chosen or pointed at.
    """
    drawn = [*thinned(chart.prompts), *thinned(chart.failing), *chart.running]
    last = max((p.number for p in (*drawn, *chart.training)), default=0)
    ends = [-0.6, last + 0.6]
    line, outline = outlines(chart.best, last + 0.4)
    start = [chart.baseline] * 2 if chart.baseline is not None else []
    traces = [
        {**_steps("95 % interval", outline, {"width": 0}), **BAND},
        _line("Start", ends if start else [], start, {"dash": "dash", "color": "$muted"}),
        _steps("Best so far", line, {"color": "$good", "width": 2.4}),
        _dots("Prompts", thinned(chart.prompts), {"color": "$accent"}),
        _dots("With failed rows", thinned(chart.failing), {"color": "$bad", "symbol": "x"}),
        {**_dots("Being scored", chart.running, RING), "showlegend": False},
        {**_dots("Best prompt", [chart.leader] if chart.leader else [], LEADER), "showlegend": False},
        _dots("Chosen at the end", [chart.chosen] if chart.chosen else [], CHOSEN),
        # Below the chart: few rows each, so their height is only a hint.
        {**_dots("Tries on training rows", thinned(chart.training), TRY), "yaxis": "y2"},
    ]
    axis = {"title": {"text": "Practice score (%)"}, "range": [-2, 103], "dtick": 20, "ticksuffix": " %"}
    strip = {"visible": False, "range": [-15, 115], "domain": [0, 0.1], "fixedrange": True}
    return {
        "traces": [t for t in traces if t["x"]],
        "lineage": _lineage(chart.origins, {p.number for p in drawn}),
        "layout": {
            "xaxis": {
                "title": {"text": "Number of the prompt (0 is the start)"},
                "range": ends,
                "dtick": _tick(last),
                "anchor": "y2" if chart.training else "y",
            },
            "yaxis": {**axis, "domain": [0.14, 1]} if chart.training else axis,
            **({"yaxis2": strip} if chart.training else {}),
        },
    }


def _lineage(origins: Mapping[int, Sequence[int]], drawn: set[int]) -> dict[str, list[int]]:
    """Return the numbers of the prompts each prompt that is drawn came from, by number."""
    known = (
        (number, [n for n in found if n in drawn]) for number, found in origins.items() if number in drawn
    )
    return {str(number): found for number, found in known if found}


def _tick(last: int) -> int:
    """Return a whole step that leaves about a dozen ticks."""
    return next((step for step in (1, 2, 5, 10, 20, 50, 100, 200, 500) if last / step <= 12), 1000)


def _line(name: str, x: Sequence[object], y: Sequence[object], line: dict[str, object]) -> JsonObject:
    return {
        "type": "scatter",
        "uid": name,
        "mode": "lines",
        "name": name,
        "x": list(x),
        "y": list(y),
        "line": line,
        "hoverinfo": "skip",
    }


def _steps(name: str, corners: Sequence[tuple[float, float]], line: dict[str, object]) -> JsonObject:
    scores = [round(100 * score, 1) for _, score in corners]
    return {**_line(name, [place for place, _ in corners], scores, line), "legendgroup": "best"}


def _dots(name: str, points: Sequence[Point], marker: dict[str, object]) -> JsonObject:
    sizes = [round(7 + 6 * math.sqrt(p.share), 1) for p in points]
    shades = [round(0.35 + 0.65 * p.share, 2) for p in points]
    return {
        "type": "scatter",
        # Which series is which must hold while series come and go: what was hidden in the legend stays hidden.
        "uid": name,
        "mode": "markers",
        "name": name,
        "x": [p.number for p in points],
        "y": [p.score for p in points],
        "text": [p.text for p in points],
        "customdata": [p.number for p in points],
        "hovertemplate": "%{text}<extra></extra>",
        "marker": {"size": sizes, "opacity": shades, **marker},
        "cliponaxis": False,
    }


BAND = {"fill": "toself", "fillcolor": "$good", "opacity": 0.14, "showlegend": False}
RING = {"color": "rgba(0,0,0,0)", "size": 18, "opacity": 0.9, "line": {"color": "$warn", "width": 2}}
LEADER = {
    "color": "$good",
    "size": 19,
    "opacity": 1,
    "symbol": "star",
    "line": {"color": "$background", "width": 1.5},
}
TRY = {"color": "$muted", "size": 6, "symbol": "square", "opacity": 0.7}
CHOSEN = {
    "color": "rgba(0,0,0,0)",
    "size": 13,
    "opacity": 1,
    "symbol": "diamond",
    "line": {"color": "$text", "width": 2},
}
