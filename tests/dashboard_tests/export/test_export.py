"""The Export page: what can be taken away, the proof, the versions with their way back."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from support.pages.page_frame import open_page, said
from support.run_setup import add_data, spec

from dashboard.state import reading
from engine.export.program import read_program, to_text
from engine.export.weights import LARGEST
from engine.lm.tuned import TunedModel, model_folder, save_tuned
from engine.runs.results.exports import keep_version
from engine.runs.results.report import right_rows
from engine.runs.spec import Named, ProjectDraft
from engine.runs.worker import work
from engine.store.store import Store

pytestmark = pytest.mark.usefixtures("welcomed")


def finished(home, project=None):
    run = spec(add_data(home), optimizer=Named(name="LabeledFewShot"))
    with Store.open() as store:
        project = project or store.projects.create("Shelves", ProjectDraft().model_dump(mode="json"))
        run_id = store.runs.create(project, run.model_dump(mode="json"), "A run")
    assert work(home, run_id) == 0
    return run_id, project


def start(tab="For people", **params):
    app = open_page("export", **params)
    app.session_state["export_tab"] = tab
    return app.run()


def opened(*folded, **params):
    app = start("For developers", **params)
    for key in folded:
        app.session_state[key] = True
    return app.run()


def test_without_a_run_it_says_what_to_do(home):
    with Store.open() as store:
        store.projects.create("Empty", ProjectDraft().model_dump(mode="json"))
    assert "Nothing to export yet" in said(start())


def test_a_finished_run_shows_its_proof_and_every_form(home):
    run_id, project = finished(home)
    at_first_page = start(project=project, run=run_id)
    at_first = said(at_first_page)
    assert "Proven to score the same" in at_first
    assert "every row as before" in at_first
    assert "Download replay.html" in {b.label for b in at_first_page.get("download_button")}
    assert "Markdown page" not in at_first  # what few need is made when it is asked for
    shown = said(opened("export_prompt", project=project, run=run_id))
    assert "runs on its own" in shown
    assert "tuneboard serve program.json" in shown
    assert "A folder to build a container from" in shown
    assert "Python script with Tuneboard" in shown
    assert "Markdown page" in shown
    assert "Say on which" in shown
    assert (
        f"prompt's {len(reading.read_store(right_rows, reading.run(run_id)))} right answers as JSON Lines"
        in shown
    )


def test_a_program_is_taken_with_its_model_only_where_one_was_trained(home):
    run_id, project = finished(home)
    app = opened(project=project, run=run_id)
    button = app.button(key="download_weights")
    assert button.disabled
    assert "This run trained no model" in button.help
    assert "This run trained no model" in said(app)  # a phone has no hover
    with Store.open() as store:
        result = store.runs.get(run_id).result
        store.runs.save_result(run_id, replace(result, tuned_models=("tuned/small-1",)))
    assert (
        "Take the best one on the Results page"
        in opened(project=project, run=run_id).button(key="download_weights").help
    )


def test_weights_too_large_for_a_zip_come_with_the_command_that_writes_them(home):
    run_id, project = finished(home)
    save_tuned(TunedModel(name="big", trainer="local", base_model="Qwen/big", finished=True))
    with (model_folder("big") / "model.safetensors").open("wb") as file:
        file.truncate(LARGEST)  # a hole: it takes no room on the disk
    path = Path(reading.run(run_id).result.export_path)
    program = read_program(path)
    tuned = program.candidate.with_step(next(iter(program.candidate.steps)), weights="tuned/big")
    path.write_text(to_text(program.model_copy(update={"candidate": tuned})))
    app = opened(project=project, run=run_id)
    for form in ("weights", "container"):
        assert app.button(key=f"download_{form}").disabled
        assert any(
            f"tuneboard export {run_id} --format {form} --output FOLDER" in c.value.replace("\\", "")
            for c in app.caption
        )


def test_a_version_is_kept_used_and_put_back(home):
    run_id, project = finished(home)
    with Store.open() as store:
        keep_version(store, run_id, store.runs.get(run_id).result.seed_candidate, "the first")
    app = opened(project=project, run=run_id)
    assert not app.button(key="keep_version").disabled
    app.text_input(key=f"version_note_{run_id}").set_value("**better**").run()
    app.button(key="keep_version").click().run()
    app.button(key="version_use_2").click().run()
    assert [(v.number, v.in_use, v.note) for v in reading.versions(project)] == [
        (2, True, "**better**"),
        (1, False, "the first"),
    ]
    assert app.button(key="keep_version").disabled
    app.button(key="version_use_1").click().run()
    assert [v.number for v in reading.versions(project) if v.in_use] == [1]
    app.button(key="version_off_1").click().run()
    assert not any(v.in_use for v in reading.versions(project))
    assert not app.exception
