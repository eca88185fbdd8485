"""Rows of the database that are damaged: every page that lists them is drawn, and shows them as damaged."""

from __future__ import annotations

import sqlite3
from contextlib import closing

import pytest
from support.pages.page_frame import open_page, said
from support.run_setup import add_data, spec

from engine.records import Candidate, StepState, Usage
from engine.runs.spec import ProjectDraft
from engine.store.store import FILE_NAME, Store

pytestmark = pytest.mark.usefixtures("welcomed")

DAMAGES = (
    "UPDATE runs SET spec = '{\"data' WHERE id = ?1",
    "UPDATE runs SET spec = CAST(x'7bff00' AS TEXT) WHERE id = ?1",
    "UPDATE runs SET result = '[1]', tags = '{}' WHERE id = ?1",
    "UPDATE runs SET result = '{\"verdict\": 5}' WHERE id = ?1",
    'UPDATE runs SET result = \'{"verdict": {"kind": "better", "baseline": 1e400, "best": 1e400}}\' WHERE id = ?1',
    'UPDATE runs SET estimate = \'{"calls": 5}\', spec = \'{"model": 5, "optimizer": []}\' WHERE id = ?1',
    "UPDATE runs SET cost = 9e999, calls = 9223372036854775807, seconds = 'x' WHERE id = ?1",
    "UPDATE runs SET created_at = 1e300, title = x'ff' WHERE id = ?1",
    "UPDATE runs SET state = 'gone' WHERE id = ?1",
    "UPDATE trials SET score = 9e999, calls = 'x' WHERE run_id = ?1",
    "UPDATE candidates SET content = '{' WHERE run_id = ?1",
    "UPDATE projects SET draft = '{' WHERE id = (SELECT project_id FROM runs WHERE id = ?1)",
    "UPDATE projects SET updated_at = 1e300 WHERE id = (SELECT project_id FROM runs WHERE id = ?1)",
)


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_row_takes_no_page(home, damage):
    with Store.open() as store:
        whole = spec(add_data(home)).model_dump(mode="json")
        projects = [store.projects.create(name, ProjectDraft().model_dump(mode="json")) for name in "AB"]
        runs = [store.runs.create(project, whole, f"Run {project}") for project in projects]
        for run in runs:
            candidate = Candidate({"s": StepState("Sort.")}, reason="The start.")
            store.trials.add_candidate(run, candidate)
            store.trials.start(run, 1, candidate.id, "validation", "baseline", 1)
            store.trials.finish(run, 1, score=0.5)
            store.spend.add_of_run(run, Usage(1), Usage(1))
            store.runs.set_state(run, "stopped")
    with closing(sqlite3.connect(home / FILE_NAME)) as file:
        file.execute(damage, (runs[0],))
        file.commit()
    shown = {name: open_page(name) for name in ("home", "history", "settings")}
    shown["results"] = open_page("results", project=projects[1], run=runs[1])
    for name, app in shown.items():
        assert not app.exception, name
        assert not app.error, name
    damaged = open_page("results", project=projects[0], run=runs[0])
    assert not damaged.exception
    if damage.startswith("UPDATE runs") and "1e400" not in damage:
        (row,) = [
            row
            for row in shown["history"].dataframe[0].value.to_dict("records")
            if "damaged" in row["Marks and note"]
        ]
        assert row["State"] == ["Failed"]
    if damage.startswith("UPDATE projects"):
        assert "is damaged, or was saved by another version" in said(shown["home"])
