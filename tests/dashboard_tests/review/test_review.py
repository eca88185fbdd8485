"""The box on Home and the review after it: one press from what a user has to a project that can be tuned."""

from __future__ import annotations

import json

import pytest
from support.pages.page_frame import open_page, said, stored_draft
from support.servers.openai_server import OpenAIServer

from dashboard.state import reading
from dashboard.state.editing import drafts, starting
from engine.export.program import program_file, to_text
from engine.pipeline.build import build_program
from engine.pipeline.importers.attachments import GivenFile
from engine.pipeline.importers.task import import_task
from engine.pipeline.spec import PipelineSpec
from engine.runs.spec import ModelChoice

ROWS = "mail,team\n" + "".join(
    f"the {('bill', 'parcel')[i % 2]} number {i},{('billing', 'shipping')[i % 2]}\n" for i in range(40)
)


pytestmark = pytest.mark.usefixtures("home")


def draft_in_box(text):
    app = open_page()
    app.text_area(key="box_text_0").set_value(text)
    app.button(key="box_use").click().run()
    assert not app.exception, app.exception
    return app


def newest():
    return reading.projects()[0].id


def test_rows_pasted_into_the_box_are_ready_to_tune_after_one_look():
    app = draft_in_box(ROWS)
    assert "Is this what you mean?" in said(app)
    assert "Recognised: a table." in said(app)
    assert "to learn from" in said(app)
    assert [p.step for p in stored_draft(newest()).problems()] == ["tune"]
    app.button(key="looks_right").click().run()
    assert "/] Tune" in said(app)


def test_a_sentence_is_drafted_without_a_model_and_says_so():
    app = draft_in_box("Sort customer mails into billing, shipping or other.")
    assert "a description in your own words" in said(app)
    assert "without a model" in said(app)
    assert not [b for b in app.button if b.key == "draft_by_model"]
    assert stored_draft(newest()).pipeline.outputs[0].choices == ("billing", "shipping", "other")
    app.button(key="looks_right").click().run()
    assert "/] Examples" in said(app)


def test_the_columns_roles_and_the_metric_are_changed_in_the_review():
    app = draft_in_box(ROWS)
    (role,) = [g for g in app.get("button_group") if g.key.startswith("role_0_")]
    role.set_value("ignore").run()
    assert "Mark at least one column as Input." in said(app)
    role.set_value("input").run()
    (metric,) = [s for s in app.selectbox if s.key.startswith("review_metric_")]
    metric.set_value("Contains").run()
    assert stored_draft(newest()).metric.name == "Contains"


def test_nothing_and_nonsense_are_explained_in_the_box():
    app = open_page()
    app.button(key="box_use").click().run()
    assert "Paste a text, drop a file" in said(app)
    before = len(reading.projects())
    app.text_area(key="box_text_0").set_value("class A(BaseModel)\n  x: int")
    app.button(key="box_use").click().run()
    assert "not Python that can be read" in said(app)
    assert len(reading.projects()) == before


def test_markup_in_what_is_brought_stays_text():
    app = draft_in_box("Sort <img src=x onerror=alert(1)> ![x](http://e.example/p.png) {{mail}}")
    assert not app.exception
    assert all("](http" not in str(m.value) for m in app.markdown)


def test_documents_with_a_class_become_records():
    files = [GivenFile(f"{i}.txt", f"Bill {i} of 5 euros".encode()) for i in range(4)]
    open_page()
    project = starting.start_project("class Bill(BaseModel):\n    euros: float", files)
    spec = stored_draft(project).pipeline
    assert [f.name for f in spec.outputs] == ["euros"]
    assert spec.steps[0].strategy == "extract"
    other = starting.start_project("Say in a word what this is: {{letter}}", files)
    assert [f.name for f in stored_draft(other).pipeline.inputs] == ["letter"]
    assert stored_draft(other).mapping["letter"] == "document"


def test_an_exported_program_starts_a_project_with_its_tuned_instruction():
    spec = PipelineSpec(steps=(import_task("mail -> team: Literal['a', 'b']").step,))
    tuned = build_program(spec).candidate().with_step("answer", instructions="Tuned words.")
    text = to_text(program_file(spec, tuned))
    open_page()
    project = starting.start_project("", [GivenFile("program.json", text.encode())])
    assert stored_draft(project).pipeline.outputs[0].choices == ("a", "b")
    assert stored_draft(project).pipeline.steps[0].instructions == "Tuned words."


def test_files_that_fail_leave_no_project():
    open_page()
    before = len(reading.projects())
    with pytest.raises(Exception, match="no document"):
        starting.start_project("", [GivenFile("broken.zip", b"PK\3\4nothing")])
    assert len(reading.projects()) == before


def test_a_model_with_a_key_drafts_with_one_priced_call(monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-test")
    answer = {
        "instructions": "Name the team.",
        "goes_in": [{"name": "mail", "description": "The mail"}],
        "comes_out": [
            {"name": "team", "type": "text", "choices": ["billing", "shipping"]},
            {"name": "first"},
        ],
        "think_first": False,
    }
    with OpenAIServer(lambda _request: json.dumps(answer)) as server:
        drafts.add_model(
            ModelChoice(name="openai/gpt-4o-mini", base_url=server.url, key_env="OPENAI_API_KEY")
        )
        app = draft_in_box("Tell me which team shall answer a mail.")
        (button,) = [b for b in app.button if b.key == "draft_by_model"]
        assert "0\\.00034" in button.label
        button.click().run()
        assert len(server.requests) == 1
    spec = stored_draft(newest()).pipeline
    assert spec.steps[0].instructions == "Name the team."
    assert [(f.name, f.choices) for f in spec.outputs] == [("team", ("billing", "shipping"))]


TICKETS = "ticket,label,reply\n" + "".join(
    f"it does not work since {i} days,{('billing', 'shipping', 'login')[i * 7 % 3]},"
    f"{('We paid it back', 'We sent it again', 'We reset it')[i * 7 % 3]} number {i}\n"
    for i in range(60)
)


def test_a_second_answer_column_is_asked_about_and_named_as_a_leak_where_it_becomes_an_input():
    app = draft_in_box(TICKETS)
    question = "Is 'reply' known before 'label'? It reads like an answer, too."
    assert question in said(app).replace("\\", "")
    assert set(stored_draft(newest()).mapping) == {"ticket", "label"}
    assert "alone tells" not in said(app)
    chosen = next(c for c in app.button_group if c.key.startswith("role_2_"))
    chosen.set_value("input").run()
    assert {f.name for f in stored_draft(newest()).pipeline.inputs} == {"ticket", "reply"}
    assert "reply alone tells label in 100 % of the rows" in said(app)
