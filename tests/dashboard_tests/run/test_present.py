"""The presenter's view of a run, and the demonstration that opens in it."""

from __future__ import annotations

import pytest
from support.pages.page_frame import open_page, said, stored_draft
from support.run_setup import wait_for

from dashboard.home import welcome
from dashboard.state import launching, reading
from dashboard.state.editing import drafts
from engine.pipeline.templates import SAMPLES
from engine.runs.spec import Named
from engine.runs.worker import work

pytestmark = pytest.mark.usefixtures("home")


def finished_run(home):
    project = drafts.project_from_sample(SAMPLES[0])
    spec = stored_draft(project).model_copy(update={"optimizer": Named(name="LabeledFewShot")})
    run = launching.create(project, spec.to_run(reading.datasets()[0].hash).model_dump(mode="json"), "Shown")
    assert work(home, run) == 0
    return project, run


def test_an_audience_sees_the_result_and_nothing_to_press(home):
    project, run = finished_run(home)
    app = open_page("run", project=project, run=run, present="1")
    assert [b.label for b in app.button] == ["Replay", "Leave"]
    assert [s.value for s in app.subheader] == ["Shown"]
    assert not app.title
    assert "Read the customer's message" in said(app)
    app.button(key="present_leave").click().run()
    assert not app.exception
    assert app.title


def test_every_run_offers_the_view_on_its_page_and_with_its_result(home):
    project, run = finished_run(home)
    for page in ("run", "results"):
        app = open_page(page, project=project, run=run)
        app.button(key="present_run").click().run()
        assert not app.exception
        assert [b.label for b in app.button] == ["Replay", "Leave"]
        assert app.query_params["present"] in ("1", ["1"])


def test_the_demonstration_keeps_its_project(home):
    project, first = welcome.start_show({})
    launching.stop(first)
    again, second = welcome.start_show({})
    launching.stop(second)
    assert project == again
    assert first != second
    assert reading.run_spec(reading.run(first)).model == welcome.SHOW_MODEL
    for run in (first, second):
        wait_for(lambda run=run: reading.run(run).is_over)
