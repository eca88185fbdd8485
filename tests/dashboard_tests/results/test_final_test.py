"""The price of stopping on the Run page, and a final test that is finished from the Results page and from the Run page."""

from __future__ import annotations

import os

import pytest
from support.pages.page_frame import open_page, said
from support.run_setup import add_data, answer, held_run, let_end, served, spec, wait_for, wait_for_looks
from support.servers.openai_server import OpenAIServer

from dashboard.state.live.snapshot import SnapshotReader, parts
from engine.search.budget import Budget
from engine.search.result import FinalTestCost
from engine.store.rows import TESTING
from engine.store.store import Store


@pytest.fixture(autouse=True)
def key(monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-test")


def keys(app):
    return {button.key for button in app.button}


@pytest.fixture
def searching(welcomed):
    """A run that searches, in this process, and its project."""
    made = spec(add_data(welcomed)).model_dump(mode="json")
    with Store.open() as store:
        project = store.projects.create("Shelves", {k: v for k, v in made.items() if k != "dataset_hash"})
        run_id = store.runs.create(project, made, "First")
        store.queue.join(run_id, os.getpid())
        store.queue.begin(run_id, os.getpid())
        store.runs.set_phase(run_id, "Searching")
        store.runs.set_test_cost(run_id, FinalTestCost(386, 0.06, 33.0))
    return project, run_id


def test_the_stop_button_says_what_stopping_costs_and_offers_to_stop_without_the_test(searching):
    project, run_id = searching
    app = open_page("run", project=project, run=run_id)
    assert "The final test: 386 calls, about $0.06, 33 s." in said(app)
    app.button(key="stop_untested").click().run()
    assert not app.exception
    with Store.open() as store:
        assert store.runs.get(run_id).stop_requested
        assert store.runs.get(run_id).stop_untested


def test_stop_and_test_leaves_the_choice_to_stop_without_it(searching):
    project, run_id = searching
    app = open_page("run", project=project, run=run_id)
    app.button(key="stop_run").click().run()
    with Store.open() as store:
        run = store.runs.get(run_id)
        assert (run.stop_requested, run.stop_untested) == (True, False)
        store.runs.set_phase(run_id, TESTING)
        store.runs.set_test_cost(run_id, FinalTestCost(90))
    app.run()
    assert "What is left of the final test: 90 calls, price not known." in said(app)
    assert {"stop_run", "stop_untested"} & keys(app) == {"stop_untested"}


def test_a_new_price_draws_the_page_again(searching):
    _, run_id = searching
    with Store.open() as store:
        before = parts(SnapshotReader(run_id).read(store))["stage"]
        store.runs.set_test_cost(run_id, FinalTestCost(400, 0.06, 33.0))
        assert parts(SnapshotReader(run_id).read(store))["stage"] != before


@pytest.mark.parametrize("page", ["results", "run"])
def test_a_run_that_was_not_tested_says_so_and_its_test_is_finished_by_a_press(welcomed, page):
    with OpenAIServer(answer) as server, Store.open() as store:
        run_id, process = held_run(welcomed, server, 70)
        store.runs.request_stop(run_id, untested=True)
        wait_for_looks(welcomed, run_id)
        assert let_end(server, process) == 0
        run = store.runs.get(run_id)
        words = f"{run.result.final_test.calls} calls, price not known"
        app = open_page(page, project=run.project_id, run=run_id)
        assert "Not tested yet: prompt " in said(app)
        assert "urely better than" not in said(app)
        press = app.button(key="finish_test")
        assert words in press.label
        for other in ("history", "home", "export", "try_it"):
            open_page(other, project=run.project_id, run=run_id)
        before = served(server)
        press.click().run()
        assert not app.exception
        wait_for(lambda: store.runs.get(run_id).is_over and not store.requests.open(run_id))
        assert served(server) - before == run.result.final_test.calls
        app = open_page(page, project=run.project_id, run=run_id)
        assert "finish_test" not in keys(app)
        assert "Not tested yet" not in said(app)


def test_rows_that_a_limit_left_out_are_said_on_top(welcomed):
    with OpenAIServer(answer) as server, Store.open() as store:
        run_id, process = held_run(welcomed, server, 0, budget=Budget(calls=45))
        let_end(server, process)
        run = store.runs.get(run_id)
        left = run.result.final_test
        app = open_page("results", project=run.project_id, run=run_id)
        assert f"{left.scored} of {left.rows} test rows were scored: The" in said(app)
        assert f"Finish the test ({left.calls} calls" in app.button(key="finish_test").label
