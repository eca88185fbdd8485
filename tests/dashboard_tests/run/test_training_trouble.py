"""What cannot be trained is one sentence on the page: before the start where it is known, else on the run and its results."""

from __future__ import annotations

import pytest
from support.pages.page_frame import open_page, open_tune, said, stored_draft
from support.run_setup import PIPELINE, add_data, add_run, csv_bytes, server_model
from support.servers.openai_server import OpenAIServer

from dashboard.state.editing import drafts
from engine.lm.local.sources import missing_extra
from engine.pipeline.spec import FieldSpec
from engine.pipeline.templates import SAMPLES
from engine.runs.spec import Named
from engine.runs.worker import work
from engine.store.store import Store

pytestmark = pytest.mark.usefixtures("welcomed")


@pytest.mark.parametrize(
    ("leaking", "why"),
    [
        (True, "The input 'hint' holds the answer 'shelf' in"),
        (False, "No answer of the teacher passed the metric"),
    ],
)
def test_why_no_model_was_trained_is_on_the_run_page_and_the_results(home, leaking, why):
    step = PIPELINE.steps[0]
    step = step.model_copy(update={"inputs": (*step.inputs, FieldSpec(name="hint"))})
    head, *lines = csv_bytes().decode().splitlines()
    rows = [f"{line},{line.rpartition(',')[2] if leaking else 'none'}" for line in lines]
    with OpenAIServer("No idea.") as server:
        run = add_run(
            home,
            pipeline=PIPELINE.model_copy(update={"steps": (step,)}),
            dataset=add_data(home, "\n".join([f"{head},hint", *rows]).encode()),
            mapping={"text": "text", "shelf": "shelf", "hint": "hint"},
            teacher_model=server_model(server.url),
            optimizer=Named(name="BootstrapFinetune", options={"trainer": "file", "base_model": "any"}),
        )
        assert work(home, run) == 0
    with Store.open() as store:
        project = store.runs.get(run).project_id
    for page in ("run", "results"):
        shown = said(open_page(page, project=project, run=run)).replace("\\", "")
        assert why in shown, page


def test_a_base_model_that_is_not_there_is_said_in_the_recipe_with_the_near_ones(home):
    (home / "bases" / "qwen-small").mkdir(parents=True)
    (home / "bases" / "qwen-small" / "config.json").write_text("{}")
    project = drafts.project_from_sample(SAMPLES[0])
    app = open_tune(project, "small model")
    app.text_input(key=f"small_base_{project}_local").set_value(str(home / "bases" / "qwen-smal")).run()
    app.button(key="use_small_model").click().run()
    shown = said(app).replace("\\", "")
    assert "there is no folder" in shown
    assert f"Near names on this machine: {home / 'bases' / 'qwen-small'}." in shown
    assert stored_draft(project).optimizer.name != "BootstrapFinetune"


def test_a_missing_extra_is_said_before_the_start(home):
    project = drafts.project_from_sample(SAMPLES[0])
    app = open_tune(project, "small model")
    app.text_input(key=f"small_base_{project}_local").set_value("Qwen/Qwen3-0.6B").run()
    app.button(key="use_small_model").click().run()
    start = app.button(key="start_run")
    assert start.disabled == bool(missing_extra())
    assert ("pip install 'tuneboard[weights]'" in said(app).replace("\\", "")) == bool(missing_extra())
