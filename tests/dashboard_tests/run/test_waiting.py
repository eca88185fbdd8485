"""A run that waits for its turn, on the Run page and on Home: what it waits for, and how it is cancelled."""

from __future__ import annotations

import os

import pytest
import streamlit as st
from support.pages.page_frame import html, open_page, said
from support.run_setup import add_data, spec

from dashboard.state.live.snapshot import SnapshotReader, parts
from engine.runs.turn import Turn
from engine.store.queue import SETTING
from engine.store.store import Store


@pytest.fixture
def waiting(welcomed):
    """Yield the project and the id of a run that waits for another one."""
    made = spec(add_data(welcomed)).model_dump(mode="json")
    with Store.open() as store:
        store.settings.set(SETTING, {"runs": 1})
        project = store.projects.create("Shelves", {k: v for k, v in made.items() if k != "dataset_hash"})
        first, run_id = (store.runs.create(project, made, title) for title in ("First", "Second"))
        for one in (first, run_id):
            store.queue.join(one, os.getpid())
        assert store.queue.begin(first, os.getpid()).state == "running"
        turn = Turn(store, run_id)
        turn.look()
    st.cache_data.clear()
    return project, run_id


def test_the_run_page_says_what_a_run_waits_for_and_cancels_it(waiting):
    project, run_id = waiting
    with Store.open() as store:
        assert (
            parts(SnapshotReader(run_id).read(store))["meters"]["words"]
            == "Waiting: it begins as soon as another run ends."
        )
    app = open_page("run", project=project, run=run_id)
    assert "Waiting" in said(app)
    assert not [button.key for button in app.button if button.key in ("pause_run", "stop_run")]
    app.button(key="cancel_run").click().run()
    assert not app.exception
    assert "Cancelled while it waited for its turn." in said(app)
    assert app.button(key="restart_run").label == "Go on with this run"
    with Store.open() as store:
        store.runs.set_state(run_id, "finished")  # in another tab
    app.button(key="restart_run").click().run()
    app.run()  # the message stays until the next attempt
    assert not app.exception
    assert "This run has finished." in said(app)


def test_home_says_what_a_run_waits_for(waiting):
    assert "Waiting: it begins as soon as another run ends." in html(open_page())
