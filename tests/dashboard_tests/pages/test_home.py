"""The home page: a guided first run, the gallery by kind, hints that can be put away, every word explained."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest
from page_frame import open_page as start
from page_frame import said
from streamlit.testing.v1 import AppTest

from dashboard.state import drafts, reading
from dashboard.views.glossary import TERMS, explain
from dashboard.views.wizard import KINDS, grouped, kinds_of, next_hint, steps
from engine.pipeline.templates import SAMPLES
from engine.runs.spec import ProjectDraft, sample_draft
from engine.store.store import Store

ROOT = Path(__file__).parents[3]


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("TUNEBOARD_HOME", str(tmp_path))
    return tmp_path


def test_a_fresh_home_leads_to_a_first_run_and_shows_every_sample():
    app = start()
    assert "Your first result in three minutes" in said(app)
    for sample in SAMPLES:
        assert app.button(key=f"start_{sample.name}")
    app.button(key="first_run").click().run()
    assert not app.exception
    assert "How should it be improved?" in said(app)


@pytest.mark.parametrize("kind", list(grouped(SAMPLES)))
def test_the_gallery_shows_one_kind(kind):
    app = start()
    app.button_group(key="sample_kind").set_value(kind).run()
    shown = {b.key for b in app.button if b.key and b.key.startswith("start_")}
    assert shown == {f"start_{s.name}" for s in grouped(SAMPLES)[kind]}


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
        app.switch_page(f"app_pages/{page}/page.py").run()
        assert not app.exception, (sample.name, page, app.exception)


def test_every_kind_of_sample_has_a_name():
    assert set(grouped(SAMPLES)) <= set(KINDS)
    assert sum(len(some) for some in grouped(SAMPLES).values()) == len(SAMPLES)
    assert all(kinds_of(s.pipeline) for s in SAMPLES)


def test_the_hint_of_a_run_that_failed_is_to_go_on_with_it():
    ready = sample_draft(SAMPLES[0], "x")
    with Store.open() as store:
        run_id = store.runs.create(store.projects.create("p", {}), {}, "a run", None)
        store.runs.claim(run_id, 1)
        assert "watch the run" in next_hint(steps(ready, [store.runs.get(run_id)])).sentence
        store.runs.set_state(run_id, "failed", "The server is away.")
        assert "let it go on" in next_hint(steps(ready, [store.runs.get(run_id)])).sentence


def test_hints_name_the_first_open_step_and_are_put_away_for_good():
    assert next_hint(steps(ProjectDraft(), [])).name == "task"
    ready = sample_draft(SAMPLES[0], "x")
    assert next_hint(steps(ready, [])).name == "tune"
    start()
    project = reading.projects()[0].id
    app = AppTest.from_file(str(ROOT / "dashboard" / "app.py"), default_timeout=180)
    app.query_params["project"] = project
    app.run()
    app.switch_page("app_pages/task/page.py").run()
    assert "press Start tuning" in said(app)
    app.button(key="hints_off").click().run()
    assert "press Start tuning" not in said(app)
    again = start()
    again.button(key="hints_on").click().run()
    assert reading.setting("coach_off") is False


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
    assert "Running now" in said(app)
    assert "older project" in said(app)
