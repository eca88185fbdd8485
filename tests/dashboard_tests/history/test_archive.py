"""Putting runs away on the History page, and bringing them back."""

from __future__ import annotations

import pytest
from support.pages.page_frame import open_page, said
from support.run_setup import add_run

from engine.runs.results.archive import archives, put_away
from engine.store.store import Store

pytestmark = pytest.mark.usefixtures("welcomed")


def test_runs_that_were_put_away_are_listed_and_brought_back(home):
    run = add_run(home)
    with Store.open(home) as store:
        store.runs.set_state(run, "stopped")
        put_away(store, [run])
    app = open_page("history")
    app.session_state["archived_runs"] = True
    app.run()
    assert "1 run" in said(app)
    (button,) = [b for b in app.button if str(b.key).startswith("bring_back_")]
    button.click().run()
    assert not app.exception
    with Store.open(home) as store:
        assert [row.id for row in store.runs.all()] == [run]
    assert archives() == []


def test_a_selected_run_can_be_put_away_unless_it_goes_on(home):
    run = add_run(home)
    app = open_page("history")
    app.session_state["history_table"] = {"selection": {"rows": [0], "columns": [], "cells": []}}
    app.run()
    (button,) = [b for b in app.button if b.key == "put_away"]
    assert button.disabled
    with Store.open(home) as store:
        store.runs.set_state(run, "stopped")
    app.run()
    (button,) = [b for b in app.button if b.key == "put_away"]
    button.click().run()
    assert any(b.key == "put_away_sure_yes" for b in app.button)
