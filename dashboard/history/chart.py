"""The chart of runs: score on the test rows by what a run took. Records -> points that can be tested -> a figure as a plain dict."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import NamedTuple

from dashboard.services import JsonObject, RunRow, in_percent, percent, price

COLOURS = ("$accent", "$blue", "$warn", "$good", "$muted")
SYMBOLS = ("circle", "diamond", "square", "triangle-up", "cross")
"""Each project has its own colour and symbol, so that the chart can also be read without colours."""


class RunPoint(NamedTuple):
    """A tested run: its id, its project's name, what it took, both scores in percent, and its text on hover."""

    run: str
    project: str
    took: float
    before: float
    after: float
    text: str


def run_points(
    runs: Sequence[RunRow], projects: Mapping[str, str], titles: Mapping[str, str]
) -> tuple[list[RunPoint], str]:
    """Return a point for each tested run, and what they took: money where any run cost something, else calls."""
    tested = [(run, run.result.shown.verdict) for run in runs if run.result]
    paid = any(run.cost for run, _ in tested)
    points = []
    for run, verdict in tested:
        if verdict.kind == "not_tested" or (paid and run.cost is None):
            continue
        project = projects.get(run.project_id, "a deleted project")
        before, after = in_percent(verdict.baseline), in_percent(verdict.best)
        took = run.cost or 0.0 if paid else float(run.calls)
        text = (
            f"<b>{percent(verdict.baseline, 0)} → {percent(verdict.best, 0)}</b><br>{escape(titles[run.id])}"
            f"<br>{escape(project)}<br>{price(run.cost)}, {run.calls:,} calls"
        )
        points.append(RunPoint(run.id, project, took, before, after, text))
    return points, "US dollars" if paid else "Calls"


def runs_figure(points: Sequence[RunPoint], unit: str) -> JsonObject:
    """Draw runs: a mark at the best prompt's score, and a line to it from the start's."""
    rises = [(p.took, p.took, None) for p in points], [(p.before, p.after, None) for p in points]
    rise = {
        "type": "scatter",
        "uid": "rises",
        "mode": "lines",
        "x": [x for three in rises[0] for x in three],
        "y": [y for three in rises[1] for y in three],
        "line": {"color": "$muted", "width": 1.2},
        "opacity": 0.6,
        "hoverinfo": "skip",
        "showlegend": False,
    }
    projects = list(dict.fromkeys(p.project for p in points))
    return {
        "traces": [rise, *(_marks(points, project, at) for at, project in enumerate(projects))],
        "layout": {
            "xaxis": {"title": {"text": f"{unit} that the run took"}, "rangemode": "tozero"},
            "yaxis": {"title": {"text": "Score on the test rows (%)"}, "range": [-2, 103], "dtick": 20},
        },
    }


def _marks(points: Sequence[RunPoint], project: str, at: int) -> JsonObject:
    some = [p for p in points if p.project == project]
    return {
        "type": "scatter",
        "uid": project,
        "mode": "markers",
        "name": escape(project),
        "x": [p.took for p in some],
        "y": [p.after for p in some],
        "text": [p.text for p in some],
        "customdata": [p.run for p in some],
        "hovertemplate": "%{text}<extra></extra>",
        "marker": {"size": 12, "color": COLOURS[at % len(COLOURS)], "symbol": SYMBOLS[at % len(SYMBOLS)]},
        "cliponaxis": False,
    }
