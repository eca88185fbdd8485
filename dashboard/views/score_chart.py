"""The live chart in two steps: records -> a small NamedTuple that can be tested -> a Plotly figure as a plain dict.

Colours are names that the browser replaces by the theme's (see `dashboard.components.plot`). No Streamlit here.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Any, NamedTuple

from engine.store.rows import TrialRow
from engine.text import listed, percent

MOST_DRAWN = 700
"""Points of one series that are drawn; more are thinned out."""

MOST_LINKS = 60
"""Lines between prompts that are always drawn; with more of them only the one under the pointer has its own."""

_Path = tuple[list[float | None], list[float | None]]


class Point(NamedTuple):
    """A prompt on the chart, or a try of one on training rows: its place, its score in percent, and its text on hover.

    `place` counts the prompts that were scored on validation rows; a try on training rows lies between two of them.
    `trial` is the first trial behind the point, by which it is chosen; `rows` is on how many rows the score is known, `share`
    their share of the validation rows.
    """

    trial: int
    place: float
    score: float
    text: str
    candidate: str = ""
    share: float = 1.0
    rows: int = 1


class Link(NamedTuple):
    """A line from a prompt to one that came from it; `pending`: it is being scored right now."""

    parent: Point
    child: Point
    pending: bool


class ScoreChart(NamedTuple):
    """Content of the live chart; every list is in the order of places.

    `prompts` has a point for each prompt, from its trial on the most validation rows; of those in `failing` rows
    failed: their scores are those of the rows that did not. `running` are prompts that are being scored. `training`
    are tries on training rows alone. `best` has a point for each time the best score rose, and the last one; `leader` is
    the prompt it is at.
    """

    baseline: float | None
    prompts: tuple[Point, ...]
    training: tuple[Point, ...]
    running: tuple[Point, ...]
    best: tuple[Point, ...]
    failing: tuple[Point, ...] = ()
    links: tuple[Link, ...] = ()
    leader: Point | None = None


def score_chart(
    trials: Sequence[TrialRow], parents: Mapping[str, Sequence[str]] | None = None, *, over: bool = False
) -> ScoreChart:
    """Return what the live chart shows of a run's trials; `parents` is candidate id -> ids it came from, in the order found.

    The baseline is the latest full validation of the starting candidate. Best-so-far follows full validations; until there
    is one next to the start's, it follows the prompt whose score, less its standard error, is the highest. Neither takes a
    trial in which more rows failed than in others. Once the run is `over`, best-so-far ends at the prompt that was
    chosen. Test trials are left out: the search never sees them.
    """
    shown = [t for t in trials if t.split not in ("test", "teacher")]
    parents, places = parents or {}, _places(shown)
    numbers = {candidate: number for number, candidate in enumerate(parents)}
    whole = max((t.rows_total for t in shown if t.split == "validation"), default=0)
    sound = _sound_trials(shown, whole)
    start = next((t.candidate_id for t in shown if t.label == "baseline"), None)
    scored = [100 * (t.answered_score or 0.0) for t in shown if t.number in sound and t.candidate_id == start]
    baseline = scored[-1] if scored else None
    of_candidate: defaultdict[str, list[TrialRow]] = defaultdict(list)
    for trial in shown:
        if trial.split != "train":
            of_candidate[trial.candidate_id].append(trial)
    training = [
        _point(t, places[t.number], t.answered_score, _origin(t, parents, numbers))
        for t in shown
        if t.split == "train" and t.answered_score is not None
    ]
    prompts: list[Point] = []
    failing: list[Point] = []
    running: list[Point] = []
    at: dict[str, Point] = {}
    for candidate, mine in of_candidate.items():
        known, first = _known_trial(mine, sound), mine[0]
        before = [at[p].score for p in parents.get(candidate, ()) if p in at]
        guess = max(before, default=round(baseline or 0.0, 1)) / 100
        score = guess if known is None or known.answered_score is None else known.answered_score
        shows = known or mine[-1]
        point = _point(shows, places[first.number], score, _origin(shows, parents, numbers), whole)._replace(
            trial=first.number
        )
        at[candidate] = point
        if mine[-1].state == "running":
            running.append(point)
        if known is not None:
            lost = known.failed and known.number not in sound
            (failing if lost or known.answered_score is None else prompts).append(point)
    chosen = {t.candidate_id for t in shown if over and t.is_best}
    last = max((p.place for p in at.values()), default=0.0)
    leader, best = _best(prompts, chosen, last)
    return ScoreChart(
        baseline,
        tuple(prompts),
        tuple(training),
        tuple(running),
        best,
        tuple(failing),
        _links(at, parents, running),
        leader,
    )


def _known_trial(trials: Sequence[TrialRow], sound: set[int]) -> TrialRow | None:
    """Return the trial by which a prompt is known best: without failed rows if there is one, on the most rows, the last."""
    scored = [t for t in trials if t.state != "running" or t.rows_done]
    return max(
        scored,
        key=lambda t: (t.number in sound, not t.failed, t.rows_done - t.failed, t.number),
        default=None,
    )


def _sound_trials(trials: Sequence[TrialRow], whole: int) -> set[int]:
    """Return the finished trials on all rows in which the fewest rows failed, and not all of them."""
    full = [
        t
        for t in trials
        if t.split != "train"
        and t.state != "running"
        and t.complete
        and t.rows_total >= whole
        and t.failed < t.rows_done
    ]
    least = min((t.failed for t in full), default=0)
    return {t.number for t in full if t.failed == least}


def _point(trial: TrialRow, place: float, score: float, origin: str, whole: int = 0) -> Point:
    rows = trial.rows_done - trial.failed
    share = min(1.0, rows / whole) if whole else 1.0
    text = _hover(trial, origin)
    return Point(trial.number, place, round(100 * score, 1), text, trial.candidate_id, share, rows)


def _origin(trial: TrialRow, parents: Mapping[str, Sequence[str]], numbers: Mapping[str, int]) -> str:
    """Return which prompt it is and which ones it came from, as people count them; "" where that is not known."""
    number = numbers.get(trial.candidate_id)
    if number is None:
        return ""
    if number == 0:
        return "The starting prompt"
    known = sorted(numbers[p] for p in parents[trial.candidate_id] if p in numbers)
    origin = listed([str(n) if n else "the start" for n in known])
    return f"Prompt {number}, from {origin}" if origin else f"Prompt {number}"


def _hover(trial: TrialRow, origin: str) -> str:
    kind = {"train": "training", "validation": "validation"}.get(trial.split, trial.split)
    score = percent(trial.answered_score, 1) if trial.answered_score is not None else "no score"
    failed = f", {trial.failed} failed" if trial.failed else ""
    return (
        f"<b>{score}</b> on {trial.rows_done} of {trial.rows_total} {kind} rows{failed}"
        f"<br>{escape(origin or f'Trial {trial.number}')}<br>{escape(trial.label or 'scored')}"
    )


def _places(trials: Sequence[TrialRow]) -> dict[int, float]:
    """Return each trial's place: that of its prompt, 0 (the start), 1, 2 ... by first validation; a try on training rows in between."""
    places: dict[int, float] = {}
    of_candidate: dict[str, int] = {}
    between: list[int] = []
    place = -1
    for trial in [*trials, None]:
        if trial is not None and trial.split == "train":
            between.append(trial.number)
            continue
        if trial is not None and trial.candidate_id in of_candidate:
            places[trial.number] = of_candidate[trial.candidate_id]
            continue
        places |= {n: place + (i + 1) / (len(between) + 1) for i, n in enumerate(between)}
        between = []
        if trial is not None:
            place += 1
            of_candidate[trial.candidate_id] = place
            places[trial.number] = float(place)
    return places


def _best(prompts: Sequence[Point], chosen: set[str], last: float) -> tuple[Point | None, tuple[Point, ...]]:
    """Return the leading prompt, and the points at which the best score rose with the end of that line, at the leader."""
    full = [p for p in prompts if p.share >= 1]
    pool = full if len(full) > 1 else list(prompts)
    rising: list[Point] = []
    for point in pool:
        if not rising or _surely(point) > _surely(rising[-1]):
            rising.append(point)
    if not rising:
        return None, ()
    leader = next((p for p in reversed(prompts) if p.candidate in chosen), rising[-1])
    line = [p._replace(text="") for p in rising]
    if leader is not rising[-1] or line[-1].place < last:
        line.append(leader._replace(text="", place=last))
    return leader, tuple(line)


def _surely(point: Point) -> float:
    """Return a score in percent that can be relied on: on some of the rows one standard error lower, and drawn to the middle."""
    if point.share >= 1:
        return point.score
    p = (point.score / 100 * point.rows + 1) / (point.rows + 2)
    return 100 * (p - math.sqrt((1 - point.share) * p * (1 - p) / max(1, point.rows)))


def _links(
    at: Mapping[str, Point], parents: Mapping[str, Sequence[str]], running: Iterable[Point]
) -> tuple[Link, ...]:
    pending = {p.candidate for p in running}
    return tuple(
        Link(at[parent], point, candidate in pending)
        for candidate, point in at.items()
        for parent in parents.get(candidate, ())
        if parent in at and parent != candidate
    )


def thinned(points: Sequence[Point]) -> list[Point]:
    """Return few enough points to draw: of each stretch the lowest, the highest and the last. Figures use them all."""
    if len(points) <= MOST_DRAWN:
        return list(points)
    size = -(-3 * len(points) // MOST_DRAWN)
    kept: dict[int, Point] = {}
    for start in range(0, len(points), size):
        stretch = points[start : start + size]
        ends = (min(stretch, key=lambda p: p.score), max(stretch, key=lambda p: p.score), stretch[-1])
        kept |= {p.trial: p for p in ends}
    return sorted(kept.values())


def score_figure(chart: ScoreChart) -> dict[str, object]:
    """Draw a `ScoreChart`: the start dashed, best-so-far stepped, a dot a prompt, and a strip of tries on training rows below.

    A dot grows and darkens with the rows it is known on. What is being scored has a ring. `lineage` has for each dot the
    line to all that it came from, which the browser draws when the pointer is on it.
    """
    drawn = [*thinned(chart.prompts), *thinned(chart.failing), *chart.running]
    last = max((p.place for p in (*drawn, *chart.training)), default=0.0)
    ends = [-0.6, last + 0.6]
    best = [*chart.best, chart.best[-1]._replace(place=last + 0.4)] if chart.best else []
    settled, pending = _joined(chart)
    start = [chart.baseline] * 2 if chart.baseline is not None else []
    traces = [
        {
            **_line("Came from", *settled, {"color": "$muted", "width": 1.1}),
            "opacity": 0.4,
            "showlegend": False,
        },
        {
            **_line("Being tried", *pending, {"color": "$warn", "width": 1.4, "dash": "dot"}),
            "showlegend": False,
        },
        _line("Start", ends if start else [], start, {"dash": "dash", "color": "$muted"}),
        _line(
            "Best so far",
            [p.place for p in best],
            [p.score for p in best],
            {"shape": "hv", "color": "$good", "width": 2.4},
        ),
        _dots("Prompts", thinned(chart.prompts), {"color": "$accent"}),
        _dots("With failed rows", thinned(chart.failing), {"color": "$bad", "symbol": "x"}),
        {**_dots("Being scored", chart.running, RING), "showlegend": False},
        {**_dots("Best prompt", [chart.leader] if chart.leader else [], LEADER), "showlegend": False},
        _strip(thinned(chart.training)),
    ]
    scores = [p.score for p in drawn] + start
    low = max(-2.0, min(scores, default=0.0) - 8)
    axis = {"title": {"text": "Practice score (%)"}, "range": [low, 103], "ticksuffix": " %"}
    strip = {"visible": False, "range": [-15, 115], "domain": [0, 0.1], "fixedrange": True}
    return {
        "traces": [t for t in traces if t["x"]],
        "lineage": _lineage(chart.links, {p.trial for p in drawn}),
        "layout": {
            "xaxis": {
                "title": {"text": "Prompts, in the order they were scored"},
                "range": ends,
                "dtick": _tick(last),
                "anchor": "y2" if chart.training else "y",
            },
            "yaxis": {**axis, "domain": [0.14, 1]} if chart.training else axis,
            **({"yaxis2": strip} if chart.training else {}),
        },
    }


def _strip(points: Sequence[Point]) -> dict[str, Any]:
    """Return the tries on training rows, below the chart: few rows each, so their height is only a hint."""
    marker = {"color": "$muted", "size": 6, "symbol": "square", "opacity": 0.7}
    return {**_dots("Tries on training rows", points, marker), "yaxis": "y2"}


def _lineage(links: Iterable[Link], drawn: set[int]) -> dict[str, list[int]]:
    """Return the trials of the points each point that is drawn came from, by trial."""
    found: defaultdict[str, list[int]] = defaultdict(list)
    for link in links:
        if {link.child.trial, link.parent.trial} <= drawn:
            found[str(link.child.trial)].append(link.parent.trial)
    return dict(found)


def _joined(chart: ScoreChart) -> tuple[_Path, _Path]:
    """Return the lines between parents and children as two broken paths: settled (none where they are too many) and pending."""
    settled = [link for link in chart.links if not link.pending]
    paths: list[_Path] = []
    for links in (
        settled if len(settled) <= MOST_LINKS else [],
        [link for link in chart.links if link.pending],
    ):
        xs: list[float | None] = []
        ys: list[float | None] = []
        for link in links[-MOST_LINKS:]:
            xs += [link.parent.place, link.child.place, None]
            ys += [link.parent.score, link.child.score, None]
        paths.append((xs, ys))
    return paths[0], paths[1]


def _tick(last: float) -> int:
    """Return a whole step that leaves about a dozen ticks."""
    return next((step for step in (1, 2, 5, 10, 20, 50, 100, 200, 500) if last / step <= 12), 1000)


def _line(name: str, x: Sequence[object], y: Sequence[object], line: dict[str, object]) -> dict[str, Any]:
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


def _dots(name: str, points: Sequence[Point], marker: dict[str, object]) -> dict[str, Any]:
    sizes = [round(7 + 6 * math.sqrt(p.share), 1) for p in points]
    shades = [round(0.35 + 0.65 * p.share, 2) for p in points]
    return {
        "type": "scatter",
        # Which series is which must hold while series come and go: what was hidden in the legend stays hidden.
        "uid": name,
        "mode": "markers",
        "name": name,
        "x": [p.place for p in points],
        "y": [p.score for p in points],
        "text": [p.text for p in points],
        "customdata": [p.trial for p in points],
        "hovertemplate": "%{text}<extra></extra>",
        "marker": {"size": sizes, "opacity": shades, **marker},
        "cliponaxis": False,
    }


RING = {"color": "rgba(0,0,0,0)", "size": 18, "opacity": 0.9, "line": {"color": "$warn", "width": 2}}
LEADER = {
    "color": "$good",
    "size": 19,
    "opacity": 1,
    "symbol": "star",
    "line": {"color": "$background", "width": 1.5},
}
