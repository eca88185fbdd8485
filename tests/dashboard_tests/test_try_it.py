"""The page that tries one input: on a project without runs, and after a run."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from dashboard import data, drafts, trying
from engine.pipeline.spec import FieldSpec
from engine.pipeline.templates import SAMPLES
from engine.runs.trying import Attempt, TriedStep
from engine.runs.worker import work

APP = str(Path(__file__).parents[2] / "dashboard" / "app.py")


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("TUNEBOARD_HOME", str(tmp_path))
    return tmp_path


def start(**params):
    app = AppTest.from_file(APP, default_timeout=30)
    for name, value in params.items():
        app.query_params[name] = value
    app.run()
    for name, value in params.items():
        app.query_params[name] = value
    app.switch_page("app_pages/try_it.py").run()
    assert not app.exception, app.exception
    return app


def said(app):
    found = [*app.markdown, *app.caption, *app.text]
    return "\n".join(str(e.value).replace("\\", "") for e in found)


def test_an_empty_project_says_what_to_do():
    assert "Describe the task first" in said(start(project=drafts.create_project("mine")))


def test_a_task_can_be_tried_before_any_run():
    project = drafts.project_from_sample(SAMPLES[0])
    app = start(project=project)
    assert app.button(key="try_it").disabled
    for name in ("message", "plan", "channel"):
        app.text_area(key=f"try_{project}_{name}").set_value("I was charged twice").run()
    app.button(key="try_it").click().run()
    assert not app.exception
    assert "The exact messages" in [e.label for e in app.expander]
    assert "litellm" not in sys.modules


def test_a_test_row_is_answered_by_both_prompts_and_scored(home):
    from dashboard import launch

    project = drafts.project_from_sample(SAMPLES[0])
    row = next(p for p in data.projects() if p.id == project)
    draft = data.draft_of(row)
    run = launch.create(project, draft.to_run().model_dump(mode="json"), "A run")
    work(home, run)
    app = start(project=project, run=run)
    picker = app.selectbox(key=f"try_row_{run}")
    picker.set_value(picker.options and data.test_outcomes(run)[0][0].row).run()
    assert app.text_area(key=f"try_{run}_message").value
    app.button(key="try_it").click().run()
    assert not app.exception
    assert "The right answer" in said(app)
    assert len([e for e in app.expander if e.label == "The exact messages"]) == 2


@pytest.mark.parametrize(
    ("kind", "value", "shown"),
    [
        ("int", 3, 3),
        ("bool", None, False),
        ("list[str]", ["a"], '["a"]'),
        ("str", None, ""),
        ("float", None, None),
    ],
)
def test_a_rows_value_fits_its_widget(kind, value, shown):
    assert trying.widget_value(FieldSpec(name="x", type=kind), value) == shown


def test_what_a_step_wrote_on_the_way_is_told_apart_from_the_answer():
    attempt = Attempt(
        name="a",
        answer={"team": "x"},
        steps=(TriedStep(path="sort", outputs={"reasoning": "because", "team": "x"}),),
    )
    assert trying.extras(attempt, [FieldSpec(name="team")]) == [("reasoning", "because")]


def test_answers_that_differ_in_an_extra_field_are_the_same():
    outputs = [FieldSpec(name="team")]
    two = [Attempt(name="a", answer={"team": "x", "reasoning": "1"}), Attempt(name="b", answer={"team": "x"})]
    assert trying.same_answer(two, outputs)
