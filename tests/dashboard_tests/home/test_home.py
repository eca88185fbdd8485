"""The home page: a guided first run, the gallery by kind, what projects came to, every word explained."""

from __future__ import annotations

import ast
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest
from streamlit.testing.v1 import AppTest
from support.pages.page_frame import open_page, said
from support.pages.page_frame import open_page as start
from support.results import result_of, verdict_of

from dashboard.components.glossary import TERMS, explain
from dashboard.components.wizard import KINDS, grouped, kinds_of
from dashboard.state import reading
from dashboard.state.editing import drafts
from dashboard.state.history import best_scores
from engine.pipeline.templates import SAMPLES
from engine.records import Usage
from engine.store.rows import RunRow
from engine.store.store import Store

ROOT = Path(__file__).parents[3]


pytestmark = pytest.mark.usefixtures("home")


def with_samples():
    """Home with the samples unfolded."""
    app = start()
    app.session_state["samples"] = True
    return app.run()


def test_a_fresh_home_plays_a_finished_run_next_to_the_box_and_leads_to_that_sample():
    app = start()
    assert "Route support tickets: a finished run" in said(app)
    assert [b.key for b in app.button if b.proto.type == "primary"] == ["box_use"]
    assert app.button(key="show")
    projects = [p.id for p in reading.projects()]
    app.button(key="first_run").click().run()
    assert not app.exception
    assert "/] Tune" in said(app)
    assert [p.id for p in reading.projects()] == projects


def test_a_user_with_projects_sees_them_first_and_the_finished_run_folded():
    start()
    drafts.create_project("Tickets")
    app = start()
    assert "a finished run" not in said(app)
    app.session_state["demo"] = True
    app.run()
    assert "a finished run" in said(app)
    drawn = [str(e.value) for e in app.markdown]
    assert drawn.index("##### Projects") < drawn.index("**New project**")


def test_the_samples_are_listed_by_job():
    app = with_samples()
    started = [b.key for b in app.button if str(b.key).startswith("start_")]
    assert started == [f"start_{s.name}" for some in grouped(SAMPLES).values() for s in some]


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda s: s.name)
def test_every_sample_is_ready_to_run_and_its_pages_open(sample):
    start()
    project = drafts.project_from_sample(sample)
    found = reading.draft_of(next(p for p in reading.projects() if p.id == project))
    assert not found.problems()
    for page in ("task", "examples"):
        app = AppTest.from_file(str(ROOT / "dashboard" / "app.py"), default_timeout=180)
        app.query_params["project"] = project
        app.run()
        app.query_params["project"] = project
        app.switch_page(f"{page}/page.py").run()
        assert not app.exception, (sample.name, page, app.exception)


def test_every_kind_of_sample_has_a_name():
    assert set(grouped(SAMPLES)) <= set(KINDS)
    assert sum(len(some) for some in grouped(SAMPLES).values()) == len(SAMPLES)
    assert all(kinds_of(s.pipeline) for s in SAMPLES)


def facts(app, part):
    """The facts of the first row of projects that holds a text, as HTML."""
    rows = [str(e.proto.body) for e in app.get("html")]
    return next(row for row in rows if "tb-facts" in row and part in row)


def test_a_project_shows_what_it_came_to_what_it_cost_and_how_it_rose():
    start()
    project = reading.projects()[0].id
    with Store.open() as store:
        for baseline, best in ((0.2, 0.5), (0.2, 0.7)):
            run_id = store.runs.create(project, {}, "a run")
            store.runs.save_result(run_id, result_of(verdict=verdict_of("better", baseline, best)))
            store.runs.set_meters(run_id, Usage(10, 0, 100, 100, 0.25), 1.0)
            store.runs.set_state(run_id, "finished")
    row = facts(start(), "20 %")
    assert "<b>20 % → 70 %</b>" in row
    assert "✓ Better" in row
    assert "$0.50" in row
    assert 'alt="The best score by run: 20 %, 50 %, 70 %"' in row
    bar = said(open_page("task", project=project))
    assert "2 runs · $0.50 spent" in bar


def test_scores_of_other_measures_and_of_prompts_that_are_not_surely_better_are_not_shown_together():
    def run(metric, kind, best):
        row = SimpleNamespace(spec={"metric": metric}, result=result_of(verdict=verdict_of(kind, best=best)))
        return cast("RunRow", row)

    newest_first = [run("F1", "too_close", 0.9), run("F1", "better", 0.4), run("ExactMatch", "better", 0.8)]
    assert best_scores(newest_first) == [0.2, 0.4, 0.4]
    assert best_scores([]) == []


def test_many_projects_can_be_searched():
    for name in ("Tickets", "Reviews", "Mails", "Maths", "Notes", "Shelves", "Shop", "Plants", "Tools"):
        drafts.create_project(name)
    app = start()
    app.text_input(key="project_find").set_value("she").run()
    wanted = next(p.id for p in reading.projects() if p.name == "Shelves")
    assert [m.key for m in app.get("menu_button")] == [f"menu_{wanted}"]


def test_the_words_used_here_can_be_found():
    app = start()
    app.session_state["glossary"] = True
    app.run()
    app.text_input(key="glossary_find").set_value("hold-out").run()
    assert any("final test" in str(t.value) for t in app.dataframe)
    app.text_input(key="glossary_find").set_value("![x](http://e.example)").run()
    assert "There is no such word here" in said(app)
    assert not app.exception


def test_every_word_that_a_page_explains_is_in_the_list():
    asked = set()
    for path in (ROOT / "dashboard").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            called = isinstance(node, ast.Call) and getattr(node.func, "id", "") == "explain"
            if called and node.args and isinstance(node.args[0], ast.Constant):
                asked.add(node.args[0].value)
    assert len(asked) > 10
    for word in asked:
        assert explain(word).endswith(".")
    names = [t.name for t in TERMS]
    assert len(names) == len(set(names))
    assert all(t.sentence.endswith(".") and t.name != t.sentence for t in TERMS)


def test_many_projects_and_runs_are_shown_at_once():
    start()
    with Store.open() as store:
        for i in range(60):
            project = store.projects.create(f"Project {i}", {})
            store.runs.create(project, {}, f"Run {i}")
    app = start()
    assert "<span>Waiting</span>" in facts(app, "Waiting")
    assert "older project" in said(app)
