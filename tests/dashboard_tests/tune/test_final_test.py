"""The card that says before a start what the final test can show, and what benchmarks say of the plans."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
from support.pages.page_frame import open_tune, said
from support.pages.page_frame import stored_draft as draft
from support.results import result_of, verdict_of

from dashboard.state.editing import drafts
from dashboard.state.editing.examples import split_of
from dashboard.tune.plans import ONE_STEP, SEVERAL_STEPS, plans_of
from engine.search.judging.verdict import WORSE_ROWS, smallest_gain
from engine.store.store import Store

pytestmark = pytest.mark.usefixtures("home")


def points(rows, worse=WORSE_ROWS):
    return round(100 * smallest_gain(rows, worse))


def rows_slider(app):
    return next(s for s in app.slider if s.label == "Test rows")


def links(app):
    return {link.proto.label: link.proto for link in app.get("page_link")}


def test_the_gain_that_shows_is_the_engines_for_the_rows_of_the_test(project):
    app = open_tune(project)
    rows = len(split_of(draft(project)).test)
    assert f"With **{rows} test rows** a gain of **{points(rows)} points** or more will show" in said(app)
    assert f"; with {2 * rows} rows, of {points(2 * rows)}." in said(app)
    assert "5 % of the test rows get worse" in said(app)
    rows_slider(app).set_value(200).run()
    assert f"; with 200 rows, of {points(200)}." in said(app)
    total, share = sum(split_of(draft(project)).sizes), draft(project).split.test
    link = links(app)[f"Label {math.ceil(200 / share) - total} more rows"]
    assert "example_tabs=Add" in link.page or "example_tabs=Add" in link.query_string


def test_the_rows_of_the_last_test_that_got_worse_are_counted_on(project):
    with Store.open() as store:
        run = store.runs.create(project, draft(project).to_run().model_dump(mode="json"), "First")
        store.runs.save_result(run, result_of(verdict=verdict_of(rows=74, won=40, lost=4)))
    app = open_tune(project)
    rows = len(split_of(draft(project)).test)
    assert "4 of 74 did in the last run" in said(app)
    assert f"a gain of **{points(rows, 5 / 76)} points**" in said(app)
    assert "not left" not in said(app)
    with Store.open() as store:
        store.runs.save_result(run, result_of(verdict=verdict_of(baseline=0.9, best=0.95, rows=74, lost=4)))
    assert "The start scored 90 % in the last test: so large a gain is not left." in said(open_tune(project))


def test_more_rows_for_the_test_are_taken_from_those_that_there_are_and_the_plan_stays(project):
    app = open_tune(project)
    before = split_of(draft(project)).sizes
    assert not [b for b in app.button if b.key == "set_test_rows"]
    rows_slider(app).set_value(110).run()
    app.button(key="set_test_rows").click().run()
    after = split_of(draft(project)).sizes
    assert after[2] == pytest.approx(110, abs=2)
    assert sum(after) == sum(before)
    assert after[0] / after[1] == pytest.approx(before[0] / before[1], rel=0.1)
    assert [p.name for p in plans_of(draft(project)) if p.chosen(draft(project))] == ["Balanced"]
    assert rows_slider(app).value == after[2]
    assert not app.button(key="start_run").disabled
    rows_slider(app).set_value(200).run()
    assert not [b for b in app.button if b.key == "set_test_rows"], "too many for a search to learn from"


def test_without_rows_nothing_is_promised(project):
    drafts.update(project, dataset=None, mapping={})
    assert "test rows" not in said(open_tune(project))


def test_what_is_likely_is_what_the_benchmarks_measured():
    guide = (Path(__file__).parents[2] / "benchmarks" / "README.md").read_text()
    lines = guide[guide.index("| World | Start | Ceiling | 60 ") :].split("\n\n")[0].splitlines()[2:]
    one_step, several = [], []
    for cells in ([c.strip() for c in line.strip("|").split("|")] for line in lines):
        start, scores = float(cells[1]), [float(c.split()[0]) for c in cells[3:10]]
        quick, balanced, thorough = scores[2], scores[4], scores[6]
        if cells[0] == "nothing":
            continue  # nothing can be gained there
        most = max(scores) - start
        figures = ((quick - start) / most, (balanced - start) / most, thorough - balanced)
        (several if cells[0].split()[0] in ("two_step", "three_steps", "kept_chain") else one_step).append(
            figures
        )
    assert (len(one_step), sum(quick >= 0.9 for quick, _, _ in one_step)) == (16, 12)
    assert min(quick for quick, _, _ in one_step) >= 0.5
    assert "in 12 of 16 benchmark tasks, half or more in the others" in ONE_STEP["Quick"]
    assert min(balanced for _, balanced, _ in one_step) >= 0.95
    assert "Nearly all of the gain in all 16" in ONE_STEP["Balanced"]
    assert max(more for _, _, more in one_step) <= 2
    assert "At most 2 points more" in ONE_STEP["Thorough"]
    assert {round(quick, 1) for quick, _, _ in several} == {0.3, 0.7, 0.8}
    assert "30 to 80 % of the gain in three" in SEVERAL_STEPS["Quick"]
    assert min(balanced for _, balanced, _ in several) >= 0.885
    assert "Nine tenths of the gain, or all" in SEVERAL_STEPS["Balanced"]
    assert max(more for _, _, more in several) == pytest.approx(4.0)
    assert "Up to 4 points more" in SEVERAL_STEPS["Thorough"]
