"""Runs in the history: named by what tells them apart, grouped by data, drawn by what they brought and took."""

from __future__ import annotations

import json
from dataclasses import replace

from dashboard.history.chart import run_points, runs_figure
from dashboard.state import history, reading

PROJECTS = {"p": "Tickets", "q": "<b>Shelves</b>"}


def varied(run, at, project="p", cost=None, data="d1", **changes):
    spec = {**run.spec, "dataset_hash": data, **changes}
    title = f"Tickets: {spec['optimizer']['name']}"
    return replace(run, id=f"r{at}", title=title, project_id=project, created_at=at, spec=spec, cost=cost)


def test_a_run_is_named_by_what_tells_it_from_its_projects_others(tuned):
    run = reading.run(tuned.run)
    way, other = {"name": "GEPA", "options": {}}, {"name": "openai/gpt-5-mini"}
    runs = [
        varied(run, 1, optimizer=way, budget={"calls": 1500}, model=other),
        varied(run, 2, optimizer=way, budget={"calls": 500}),
        varied(run, 3, "q", optimizer=way, budget={"calls": 500}),
    ]
    assert history.run_names(runs) == {
        "r1": "GEPA, 1,500 calls, gpt-5-mini",
        "r2": "GEPA, 500 calls, offline",
        "r3": "GEPA",
    }
    named = [replace(runs[0], title="For the board"), runs[1]]
    assert history.run_names(named)["r1"] == "For the board, 1,500 calls, gpt-5-mini"
    assert history.run_names([]) == {}


def test_runs_are_grouped_by_project_and_data_the_newest_first(tuned):
    run = reading.run(tuned.run)
    runs = [
        varied(run, 1),
        varied(run, 2, "q"),
        varied(run, 3, data="d2"),
        varied(run, 4, "q"),
        varied(run, 5),
        varied(run, 6, data="d2"),
    ]
    assert [r.id for r in history.grouped_runs(runs)] == ["r6", "r3", "r5", "r1", "r4", "r2"]


def test_a_tested_run_is_a_point_at_what_it_took_and_its_name_is_text(tuned):
    run = reading.run(tuned.run)
    verdict = run.result.shown.verdict
    runs = [varied(run, 1), varied(run, 2, "q"), replace(varied(run, 3), result=None)]
    points, unit = run_points(runs, PROJECTS, history.run_names(runs))
    assert [(p.run, p.took) for p in points] == [("r1", run.calls), ("r2", run.calls)]
    assert unit == "Calls"
    assert abs(points[0].after - 100 * verdict.best) < 0.1
    assert "<b>Shelves" not in points[1].text
    figure = runs_figure(points, unit)
    json.dumps(figure)
    marks = [t for t in figure["traces"] if t["mode"] == "markers"]
    assert [(t["name"], t["customdata"]) for t in marks] == [
        ("Tickets", ["r1"]),
        ("&lt;b&gt;Shelves&lt;/b&gt;", ["r2"]),
    ]
    assert len({(t["marker"]["color"], t["marker"]["symbol"]) for t in marks}) == 2
    paid, unit = run_points([varied(run, 1, cost=0.5), varied(run, 2)], PROJECTS, {"r1": "a", "r2": "b"})
    assert ([p.took for p in paid], unit) == ([0.5], "US dollars")
