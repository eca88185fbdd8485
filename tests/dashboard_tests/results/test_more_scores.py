"""Rows that a compared prompt lacks are scored from the results page, with the price before and the progress meanwhile."""

from __future__ import annotations

import sqlite3
import time
from contextlib import closing
from dataclasses import replace

import pytest
from streamlit.testing.v1 import AppTest
from support.pages.page_frame import APP, html, said, stored_draft
from support.run_setup import wait_for

from dashboard.state import candidates, launching, reading
from dashboard.state.editing import drafts
from engine.basics.text import percent
from engine.pipeline.templates import SAMPLES
from engine.records import PartCredit
from engine.runs.results.more_scores import ScoreRequest, ask_score
from engine.runs.results.prompt_parts import PartEffect, prompt_parts, score_without
from engine.runs.spec import Named
from engine.runs.worker import work
from engine.store.store import FILE_NAME, Store


def open_page(project, run, tab="", **params):
    app = AppTest.from_file(APP, default_timeout=180)
    given = {"project": project, "run": run, **params}
    app.query_params.update(given)
    app.run()
    app.query_params.update(given)
    if tab == "With a red pen":
        app.session_state["prompt_view"] = tab
    elif tab:
        app.session_state["results_tab"] = tab
    app.switch_page("results/page.py").run()
    assert not app.exception, app.exception
    return app


@pytest.fixture
def finished(home):
    """A project and its run with prompts that were never tested."""
    project = drafts.project_from_sample(SAMPLES[0])
    options = {"num_candidate_programs": 3, "max_bootstrapped_demos": 2, "max_labeled_demos": 2}
    optimizer = Named(name="BootstrapFewShotWithRandomSearch", options=options)
    spec = stored_draft(project).model_copy(update={"optimizer": optimizer})
    run = launching.create(project, spec.to_run(reading.datasets()[0].hash).model_dump(mode="json"), "A run")
    assert work(home, run) == 0
    return project, run


def untested(run_id):
    run = reading.run(run_id)
    return next(c for c in candidates.index(run) if c.tested is None and c.id != run.taken)


def compare_with(run_id, *ids):
    start = candidates.index(reading.run(run_id))[0].id
    return ",".join(f"{run_id}.{i}" for i in (start, *ids))


def over(home, run_id):
    def look():
        with Store.open(home, read_only=True) as store:
            return store.runs.get(run_id).is_over and not store.requests.open(run_id)

    return wait_for(look)


def button(app, words):
    return next(b for b in app.button if words in b.label)


def test_missing_test_rows_are_scored_on_request(finished, home):
    project, run = finished
    prompt = untested(run)
    app = open_page(project, run, "Rows", compare=compare_with(run, prompt.id))
    press = button(app, "missing test row")
    assert "(free)" in press.label
    before = reading.run(run).result
    press.click().run()
    assert not app.exception
    over(home, run)
    app = open_page(project, run, "Rows", compare=compare_with(run, prompt.id))
    assert not [b for b in app.button if "missing test" in b.label]
    assert reading.run(run).result == before
    app = open_page(project, run, "Prompts", compare=compare_with(run, prompt.id))
    assert "looked at after the choice" in said(app)


def test_a_read_only_look_offers_nothing(finished, monkeypatch):
    project, run = finished
    monkeypatch.setenv("TUNEBOARD_READ_ONLY", "1")
    app = open_page(project, run, "Rows", compare=compare_with(run, untested(run).id))
    assert not [b for b in app.button if "missing" in b.label]


def test_what_was_not_done_says_why(finished, home):
    project, run = finished
    with Store.open(home) as store:
        number = store.requests.add(run, "score", {"split": "test"})
        store.requests.answer(run, number, "Not done: you stopped it.")
    assert "you stopped it" in said(open_page(project, run))


def test_a_version_without_an_example_is_a_prompt_of_the_run(finished, home):
    project, run = finished
    whole = candidates.whole(reading.run(run))
    shows = [c for c in candidates.everything(reading.run(run)) if c.candidate.steps["route"].demos]
    one = next(c for c in shows if "validation" in whole.get(c.id, {}))
    compare = compare_with(run, one.id)
    app = open_page(project, run, "With a red pen", compare=compare)
    press = button(app, "Score this version")
    assert press.disabled
    app.checkbox[0].uncheck().run()
    app.toggle(key="parts_test").set_value(True).run()
    press = button(app, "Score this version")
    assert " rows, free)" in press.label
    press.click().run()
    assert not app.exception
    over(home, run)
    made = candidates.everything(reading.run(run))[-1]
    assert made.candidate.parents == (one.id,)
    assert made.candidate.reason.startswith(f"Like prompt {one.number}, without the example")
    assert len(made.candidate.steps["route"].demos) == len(one.candidate.steps["route"].demos) - 1
    assert made.score is not None
    assert made.tested is not None
    app = open_page(project, run, "With a red pen", compare=compare)
    assert "· measured" in said(app)
    app = open_page(project, run, "Prompts", compare=compare_with(run, made.id))
    assert "You made it" in said(app)
    assert app.button(key=f"take_{made.id}")


def test_a_part_that_is_struck_out_makes_the_score_an_estimate(finished, home):
    project, run = finished
    result = reading.run(run).result
    best = reading.prompt(reading.run(run), result.best_candidate)
    part = prompt_parts(best)[0]
    rows = len(
        reading.outcomes(reading.run(run), candidates.whole(reading.run(run))[best.id]["validation"].number)
    )
    with Store.open(home) as store:
        credit = PartCredit(part.step, part.kind, part.text, 4, 1, 5)
        store.runs.save_result(run, replace(result, credits=(credit,)))
    app = open_page(project, run, "With a red pen")
    assert ":green[✓ fixes 4], :red[✗ breaks 1] · estimated" in said(app)
    assert "an estimate, without" not in html(app)
    app.checkbox[0].uncheck().run()
    likely = percent(score_without(result.best.test, [PartEffect(4, 1)], rows))
    assert f"≈ {likely}</b><span>an estimate, without 1 part<" in html(app)
    assert f"about **{likely}**" in said(app).replace("\\", "")
    app.segmented_control(key="prompt_view").set_value("As you paste it").run()
    assert "an estimate, without" not in html(app), "a pen that is put away strikes nothing out"


def test_scoring_whose_process_was_killed_goes_on_by_a_press(finished, home):
    project, run = finished
    prompt = untested(run)
    with Store.open(home) as store:
        candidate = store.trials.candidate(run, prompt.id)
        ask_score(store, run, ScoreRequest(candidate=candidate.as_dict(), split="test"))
        before = store.runs.get(run).result
    with closing(sqlite3.connect(home / FILE_NAME)) as other, other:
        silent = (time.monotonic() - 3600, run)
        other.execute(
            "UPDATE runs SET state = 'running', pid = 999999, heartbeat_at = ? WHERE id = ?", silent
        )
    app = open_page(project, run, "Rows", compare=compare_with(run, prompt.id))
    assert "nothing that was paid for is lost" in said(app)
    app.button(key=f"scoring_on_{run}").click().run()
    assert not app.exception
    over(home, run)
    assert reading.run(run).result == before
    assert next(c for c in candidates.index(reading.run(run)) if c.id == prompt.id).tested is not None
