"""The metric page: editors, ten rows tried, a judge checked against a person; real children, the offline model."""

from __future__ import annotations

import pytest
from support.pages.page_frame import open_page, said
from support.servers.openai_server import OpenAIServer

from dashboard.metric.cards import worked_scores
from dashboard.state import reading
from dashboard.state.editing import drafts
from engine.pipeline.templates import SAMPLES
from engine.registry import METRICS
from engine.runs.spec import ModelChoice, Named

pytestmark = pytest.mark.usefixtures("home")


def start(project):
    return open_page("metric", project=project)


def metric(project):
    return reading.draft_of(next(p for p in reading.projects() if p.id == project)).metric


@pytest.mark.parametrize("one", [m for m in METRICS if not m.awaits], ids=lambda m: m.name)
def test_the_scores_on_a_card_are_worked_out(one):
    assert worked_scores(one) == pytest.approx([e.score for e in one.examples], abs=0.005)


def test_ten_rows_are_tried_before_anything_is_spent(project):
    app = start(project)
    app.button(key="try_metric").click().run()
    assert not app.exception
    (table,) = [d.value for d in app.dataframe if "Model says" in d.value.columns]
    assert len(table) == 10
    assert set(table["Score"]) <= {0.0, 100.0}
    assert "The mean score is" in said(app)


def test_a_changed_metric_scores_the_same_answers_again(project):
    app = start(project)
    app.button(key="try_metric").click().run()
    drafts.update(project, metric=Named(name="PythonMetric", options={"code": "0.25"}))
    app.run()
    app.button(key="rescore").click().run()
    assert "The mean score is 25 %" in said(app)


def test_what_is_missing_is_said_on_the_button():
    app = start(drafts.create_project("mine"))
    assert app.button(key="try_metric").disabled


def test_criteria_are_a_line_each_and_the_judge_s_prompt_follows_them(project):
    drafts.update(project, metric=Named(name="Rubric"))
    app = start(project)
    app.button(key="add_idea").click().run()
    lines = metric(project).options["criteria"].splitlines()
    assert lines[:2] == ["The answer is correct.", "The answer is complete."]
    assert len(lines) == 3
    (box,) = [t for t in app.text_area if t.label.startswith("Criteria")]
    assert box.value.splitlines() == lines
    box.set_value(f"\n{lines[1]}\n  The tone is friendly. \n").run()
    assert metric(project).options["criteria"].splitlines() == [lines[1], "The tone is friendly."]
    assert any("1. The answer is complete." in c.value for c in app.code)
    box.set_value(" ").run()
    assert metric(project).options["criteria"].splitlines() == [lines[1], "The tone is friendly."]
    assert "A judge needs one criterion at least." in said(app)


def test_metrics_are_weighed_in_a_form(project):
    drafts.update(project, metric=Named(name="WeightedSum"))
    app = start(project)
    app.number_input(key=f"weight_{project}_ExactMatch").set_value(3.0).run()
    assert metric(project).options["parts"] == "ExactMatch=3, TokenF1=1"
    app.selectbox(key=f"add_part_{project}_2").set_value("Contains").run()
    app.button(key="drop_part_TokenF1").click().run()
    assert metric(project).options["parts"] == "ExactMatch=3, Contains=1"
    assert not app.exception


def test_code_is_tested_and_its_error_names_the_line(project):
    drafts.update(project, metric=Named(name="PythonMetric"))
    app = start(project)
    area = app.text_area(key=f"metric_code_{project}")
    area.set_value("def f(:").run()
    assert "Line 1:" in said(app)
    assert app.button(key="test_code").disabled
    assert metric(project).options.get("code") is None
    area.set_value("wanted = expected\nwanted.nothing\n1.0").run()
    app.button(key="test_code").click().run()
    assert "Line 2:" in said(app)
    area.set_value("answer == expected").run()
    app.button(key="test_code").click().run()
    assert "With the right answers: 100 %" in said(app).replace("**", "")
    assert not app.exception


def test_a_judge_is_checked_against_a_persons_grades(project):
    def served(body):
        text = str(body["messages"])
        if "marks" in text:
            return "[[ ## reasoning ## ]]\nSo.\n\n[[ ## marks ## ]]\n[1]\n\n[[ ## completed ## ]]"
        return "[[ ## queue ## ]]\nbilling\n\n[[ ## completed ## ]]"

    with OpenAIServer(answer=served) as server:
        model = ModelChoice(name="openai/test-model", base_url=server.url)
        rubric = Named(name="Rubric", options={"criteria": "It is right."})
        drafts.update(project, model=model, metric=rubric)
        app = start(project)
        app.button(key="bring_answers").click().run()
        assert not app.exception
        grades = [c for c in app.get("button_group") if str(c.key or "").startswith("mine_")]
        assert len(grades) == 5
        for _ in range(6):
            next(c for c in app.get("button_group") if str(c.key or "").startswith("mine_")).set_value(
                0.0
            ).run()
    draft = reading.draft_of(next(p for p in reading.projects() if p.id == project))
    kept = reading.read_store(lambda store: store.feedback.grades(project, draft.dataset))
    assert set(kept.values()) == {0.0}
    assert len(kept) == 6
    assert "0 of 6 answers get the same grade" in said(app)


def test_a_record_is_advised_field_by_field_and_starts_with_all_of_its_fields():
    invoices = next(one for one in SAMPLES if one.name == "invoices")
    project = drafts.project_from_sample(invoices)
    drafts.update(project, metric=None)
    app = start(project)
    fitting = said(app).split("Fits your answers")[0]
    assert "JSON, field by field" in fitting
    app.button(key="use_JSONMatch").click().run()
    assert not app.exception
    assert metric(project).options == {"every_output": True, "best_match": True}


def test_options_changed_in_another_tab_are_not_undone_by_this_one(project):
    drafts.update(project, metric=Named(name="Contains"))
    one, two = start(project), start(project)
    toggles = [t for t in one.toggle if str(t.key).startswith(f"metric_Contains_{project}")]
    toggles[0].set_value(not toggles[0].value).run()
    changed = metric(project)
    assert changed.options
    two.run()
    two.run()
    assert metric(project) == changed
    (shown,) = [t for t in two.toggle if t.label == toggles[0].label]
    assert shown.value == toggles[0].value
