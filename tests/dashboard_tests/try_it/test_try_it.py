"""The page that tries one input: on a project without runs, and after a run."""

from __future__ import annotations

import sys

import pytest
from support.pages.page_frame import open_page, said
from support.servers.openai_server import OpenAIServer

from dashboard.state import playground, reading
from dashboard.state.editing import drafts
from engine.pipeline.spec import FieldSpec, PipelineSpec, StepSpec
from engine.pipeline.templates import SAMPLES
from engine.records import TraceStep
from engine.runs.child.playground import PlaygroundAnswer
from engine.runs.results import report
from engine.runs.spec import ModelChoice
from engine.runs.worker import work

pytestmark = pytest.mark.usefixtures("home")


def start(**params):
    return open_page("try_it", **params)


def test_an_empty_project_says_what_to_do():
    assert "Describe the task first" in said(start(project=drafts.create_project("mine")))


def test_a_task_can_be_tried_before_any_run():
    project = drafts.project_from_sample(SAMPLES[0])
    app = start(project=project)
    app.button(key="try_it").click().run()
    assert "Fill in 'message' first." in said(app)
    for name in ("message", "plan", "channel"):
        app.text_area(key=f"try_{project}_{name}").set_value("I was charged twice").run()
    app.button(key="try_it").click().run()
    assert not app.exception
    assert "The exact messages" in [e.label for e in app.expander]
    assert "litellm" not in sys.modules


def test_a_test_row_is_answered_by_both_prompts_and_scored(home):
    from dashboard.state import launching

    project = drafts.project_from_sample(SAMPLES[0])
    row = next(p for p in reading.projects() if p.id == project)
    draft = reading.draft_of(row)
    run = launching.create(project, draft.to_run().model_dump(mode="json"), "A run")
    work(home, run)
    app = start(project=project, run=run)
    picker = app.selectbox(key=f"try_row_{run}")
    assert app.text_area(key=f"try_{run}_message").value, "the first look needs no typing"
    picker.set_value(picker.options and reading.read_store(report.tested, reading.run(run))[0][0].row).run()
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
        ("list[str]", ["a"], ["a"]),
        ("list[int]", [1, 2], "[1, 2]"),
        ("Image", None, None),
        ("str", None, ""),
        ("float", None, None),
    ],
)
def test_a_rows_value_fits_its_widget(kind, value, shown):
    assert playground.widget_value(FieldSpec(name="x", type=kind), value) == shown


def a_project(*steps):
    project = drafts.create_project("mine")
    drafts.update(project, pipeline=PipelineSpec(steps=steps))
    return project


def step(*inputs, **more):
    return StepSpec(
        name="answer",
        inputs=tuple(FieldSpec(name=n, type=t) for n, t in inputs),
        outputs=(FieldSpec(name="reply"),),
        **more,
    )


def test_typed_inputs_have_their_widgets_and_a_picture_is_uploaded():
    project = a_project(step(("photo", "Image"), ("tags", "list[str]"), ("many", "int"), ("sure", "bool")))
    served = []

    def answer(body):
        served.append(body)
        return "[[ ## reply ## ]]\na cat\n\n[[ ## completed ## ]]"

    with OpenAIServer(answer=answer) as server:
        drafts.update(project, model=ModelChoice(name="openai/test-model", base_url=server.url))
        app = start(project=project)
        app.button(key="try_it").click().run()
        assert not served
        app.file_uploader(key=f"try_{project}_photo").upload("cat.gif", b"GIF89a", "image/gif")
        app.session_state[f"try_{project}_tags"] = ["pet", "<b>x</b>"]
        app.number_input(key=f"try_{project}_many").set_value(3)
        app.run()
        app.button(key="try_it").click().run()
        assert not app.exception
        assert "a cat" in said(app)
        assert "data:image/gif;base64," in str(served[0]["messages"])
        assert "<b>x</b>" in str(served[0]["messages"])


def test_a_task_with_a_history_is_talked_with():
    project = a_project(step(("history", "History"), ("question", "str")))
    served = []

    def answer(body):
        served.append(str(body["messages"]))
        return f"[[ ## reply ## ]]\nanswer {len(served)}\n\n[[ ## completed ## ]]"

    with OpenAIServer(answer=answer) as server:
        drafts.update(project, model=ModelChoice(name="openai/test-model", base_url=server.url))
        app = start(project=project)
        app.chat_input[0].set_value("Who wrote it?").run()
        app.chat_input[0].set_value("And when?").run()
        assert not app.exception
        assert "answer 1" in said(app)
        assert "answer 2" in said(app)
        assert "Who wrote it?" in served[1]
        assert "answer 1" in served[1]
        app.button(key="chat_restart").click().run()
        assert "answer 1" not in said(app)


def test_what_cannot_be_asked_is_said_and_the_page_goes_on():
    project = a_project(step(("question", "str")))
    with OpenAIServer(answer="nothing that can be read") as server:
        drafts.update(project, model=ModelChoice(name="openai/test-model", base_url=server.url))
        server.fail_with(401, {"error": {"message": "No such key."}})
        app = start(project=project)
        app.text_area(key=f"try_{project}_question").set_value("Why?").run()
        app.button(key="try_it").click().run()
        assert not app.exception
        assert "No such key" in said(app)


def test_what_a_step_wrote_on_the_way_is_told_apart_from_the_answer():
    attempt = PlaygroundAnswer(
        name="a",
        answer={"team": "x"},
        steps=(TraceStep(path="sort", inputs={}, outputs={"reasoning": "because", "team": "x"}),),
    )
    assert playground.extras(attempt, [FieldSpec(name="team")]) == [("reasoning", "because")]


def test_answers_that_differ_in_an_extra_field_are_the_same():
    outputs = [FieldSpec(name="team")]
    two = [
        PlaygroundAnswer(name="a", answer={"team": "x", "reasoning": "1"}),
        PlaygroundAnswer(name="b", answer={"team": "x"}),
    ]
    assert playground.same_answer(two, outputs)
