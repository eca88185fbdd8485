"""Rows from a log are labelled one at a time, the most doubtful first; each label is an edit that can be undone."""

from __future__ import annotations

import json

import pytest
from support.pages.page_frame import open_page, said, stored_draft
from support.results import result_of
from support.servers.openai_server import OpenAIServer

from dashboard.examples import labelling
from dashboard.state import reading
from dashboard.state.editing import drafts, examples, starting
from engine.dataset.logs import OUTPUT
from engine.errors import DatasetError
from engine.pipeline.importers.attachments import GivenFile
from engine.pipeline.importers.task import import_task
from engine.pipeline.spec import PipelineSpec
from engine.records import Candidate, Outcome, StepState
from engine.runs.spec import ModelChoice, Named
from engine.store.store import Store

pytestmark = pytest.mark.usefixtures("home")


def from_log() -> str:
    def line(n: int) -> str:
        asked = [
            {"role": "system", "content": "Sort it."},
            {"role": "user", "content": f"the {('bill', 'parcel')[n % 2]} {n}"},
        ]
        answer = {"role": "assistant", "content": ("billing", "shipping")[n % 2]}
        thumbs = {3: "down", 5: "up"}.get(n)
        return json.dumps(
            {"messages": asked, "response": {"choices": [{"message": answer}]}, "feedback": thumbs}
        )

    content = "\n".join(line(n) for n in range(30)).encode()
    open_page()
    return starting.start_project("", [GivenFile("calls.jsonl", content)])


def label_page(project: str):
    app = open_page("examples", project=project)
    app.session_state["example_tabs"] = "Label"
    return app.run()


def table_of(project: str):
    return reading.dataset(stored_draft(project).dataset)


def test_a_log_is_labelled_by_keys_in_the_order_of_doubt():
    project = from_log()
    app = label_page(project)
    assert "**29 answers to check**, 0 labelled" in said(app)
    assert "Row 4. Its user gave a thumbs-down." in said(app)
    app.button(key="label_value_0").click().run()
    assert not app.exception
    assert table_of(project).values(OUTPUT)[3] == "billing"
    assert "**28 answers to check**, 1 labelled" in said(app)
    assert not app.toast
    assert "Nothing else has answered it yet." in said(app)
    app.button(key="label_skip").click().run()
    app.button(key="label_accept").click().run()
    assert labelling.labelled_rows(table_of(project)) == {1, 3}
    app.button(key="label_out").click().run()
    assert list(stored_draft(project).excluded) == [2]
    assert [p.step for p in stored_draft(project).problems()] == ["tune"]


def test_rows_where_the_current_prompt_disagrees_come_first():
    project = from_log()
    app = label_page(project)
    app.button(key="label_ask").click().run(timeout=180)
    assert not app.exception
    found = app.session_state[f"label_answers_{project}"]
    assert set(found) == set(range(30)) - {5}
    reasons = [d.reason for d in labelling.queue(project, stored_draft(project), table_of(project))]
    assert reasons[0].startswith("Its user")


def finished_run(project: str, prompts: tuple[str, ...]) -> None:
    """Store a run with a result, and a scored trial of each prompt."""
    draft = stored_draft(project).model_copy(update={"optimizer": Named(name="LabeledFewShot")})
    with Store.open() as store:
        run = store.runs.create(project, draft.to_run("hash").model_dump(mode="json"), "A run")
        for number, text in enumerate(prompts):
            candidate = Candidate({draft.pipeline.steps[0].name: StepState(text)})
            store.trials.add_candidate(run, candidate)
            store.trials.start(run, number, candidate.id, "validation", "full validation", 1)
            store.trials.add_outcomes(run, number, [Outcome(0, 1.0 - number / 4, {"answer": "billing"})])
            store.trials.finish(run, number)
        store.runs.save_result(run, result_of("none of these"))
        store.runs.set_state(run, "finished")


def test_a_blank_label_is_refused():
    project = from_log()
    with pytest.raises(DatasetError, match="needs an answer"):
        labelling.label(project, 0, "  ")


def test_rows_where_the_two_best_prompts_of_the_last_run_disagree_come_first(monkeypatch):
    project = from_log()
    drafts.update(
        project,
        pipeline=PipelineSpec(steps=(import_task("request -> answer: Literal['billing', 'shipping']").step,)),
        mapping={"request": "input", "answer": OUTPUT},
        metric=Named(name="ExactMatch"),
    )
    # Row 7 has no answer yet, and the two prompts answer it differently.
    table = table_of(project)
    examples.change_rows(project, "blank", table, cells={(7, OUTPUT): ""})
    finished_run(project, ("Always say billing.", "Always say shipping."))

    def answered(body: dict[str, object]) -> str:
        text = str(body)
        right = "billing" if "the bill" in text else "shipping"
        return f"[[ ## answer ## ]]\n{'billing' if 'Always say billing' in text and 'parcel 7' in text else right}"

    monkeypatch.setenv("OPENAI_API_KEY", "sk-test")
    with OpenAIServer(answer=answered) as server:
        drafts.update(project, model=ModelChoice(name="openai/test-model", base_url=server.url))
        app = label_page(project)
        assert "**1 row to label, 28 answers to check**, 0 labelled" in said(app)
        (button,) = [b for b in app.button if b.key == "label_ask"]
        assert "(58 calls, price not known)" in button.label
        button.click().run(timeout=180)
    assert not app.exception
    assert app.session_state[f"label_answers_{project}"][7] == ["billing", "shipping"]
    app.button(key="label_skip").click().run()
    assert "Prompts disagree." in said(app)
    assert "the parcel 7" in said(app)
