"""Every page of the set-up, over an empty store, the sample project and an unseen file; real store, real files."""

from __future__ import annotations

import sys

import pytest
from support.pages.page_frame import open_page as start
from support.pages.page_frame import open_tune, said
from support.pages.page_frame import stored_draft as draft
from support.run_setup import wait_for

from dashboard.state import reading
from dashboard.state.editing import drafts
from engine.pipeline.templates import SAMPLES
from engine.runs.spec import ModelChoice, Named
from engine.store.store import Store

PAGES = ("home", "task", "examples", "metric", "tune", "settings")
ROWS = "message,team\n" + "\n".join(
    f"{'the bill' if i % 2 else 'the parcel'} number {i} is wrong,{'billing' if i % 2 else 'shipping'}"
    for i in range(60)
)


pytestmark = pytest.mark.usefixtures("home")


def sample():
    start()
    return reading.projects()[0].id


@pytest.mark.parametrize("page", PAGES)
def test_a_page_over_an_empty_store(page):
    with Store.open() as store:
        store.settings.set("welcomed", True)
    app = start(page)
    if page not in ("home", "settings"):
        assert "There is no project yet" in said(app)


@pytest.mark.parametrize("page", PAGES)
def test_a_page_over_the_sample_project(page):
    start(page, project=sample())
    assert "litellm" not in sys.modules


def test_a_fresh_install_opens_with_a_ready_project():
    app = start()
    assert [p.name for p in reading.projects()] == ["Route support tickets"]
    assert not draft(reading.projects()[0].id).problems()
    assert any(b.label == "Run this sample yourself" for b in app.button)
    start()
    assert len(reading.projects()) == 1


def test_a_deleted_sample_stays_deleted():
    drafts.delete_project(sample())
    start()
    assert reading.projects() == []


def test_an_empty_project_says_what_to_do_on_each_page():
    project = drafts.create_project("mine")
    for page, words in (
        ("task", "Describe the task first"),
        ("examples", "Add examples first"),
        ("tune", "Describe the task first"),
    ):
        assert words in said(start(page, project=project)), page
    app = start("tune", project=project)
    assert app.button(key="start_run").disabled


def test_the_metric_page_of_an_empty_project_leads_no_further_and_says_what_comes_first():
    project = drafts.create_project("mine")
    app = start("metric", project=project)
    assert app.button(key="next_step").disabled
    assert "First finish Task: Describe the task first" in said(app)
    project = drafts.project_from_sample(SAMPLES[0])
    drafts.update(project, metric=None)
    app = start("metric", project=project)
    assert app.button(key="next_step").disabled
    assert "Choose how an answer is scored." in said(app)
    app.button(key="use_ExactMatch").click().run()
    assert not app.button(key="next_step").disabled


def test_a_field_is_added_edited_and_kept_over_a_refresh():
    project = drafts.create_project("mine")
    app = start("task", project=project)
    app.button(key="add_inputs").click().run()
    app.button(key="add_outputs").click().run()
    key = f"inputs_0_0_{project}"
    app.text_input(key=f"name_{key}").set_value("message").run()
    app.text_input(key=f"description_{key}").set_value("What they wrote").run()
    out = f"outputs_0_0_{project}"
    app.text_input(key=f"name_{out}").set_value("team").run()
    app.selectbox(key=f"type_{out}").set_value("One of a list").run()
    app.multiselect(key=f"choices_{out}_0").set_value(["billing", "shipping"]).run()
    app.text_area(key=f"instruction_{project}").set_value("Choose the team.").run()
    assert not app.exception
    step = draft(project).pipeline.steps[0]
    assert (step.inputs[0].name, step.inputs[0].description) == ("message", "What they wrote")
    assert step.outputs[0].name == "team"
    assert step.instructions == "Choose the team."
    again = start("task", project=project)
    assert again.text_input(key=f"name_{key}").value == "message"
    assert any("What they wrote" in c.value for c in again.code)


def test_the_prompt_beside_the_form_is_the_real_one():
    app = start("task", project=sample())
    assert any("[[ ## queue ## ]]" in c.value for c in app.code)


@pytest.mark.parametrize("name", ["bad name!", "", "class", "1st"])
def test_a_bad_field_name_is_one_sentence_and_nothing_is_lost(name):
    project = sample()
    app = start("task", project=project)
    app.text_input(key=f"name_inputs_0_0_{project}").set_value(name).run()
    assert not app.exception
    assert app.button(key="next_step").disabled
    assert draft(project).pipeline.inputs[0].name == name
    app.text_input(key=f"name_inputs_0_0_{project}").set_value("message").run()
    assert not app.button(key="next_step").disabled
    assert draft(project).mapping["message"] == "message"


def test_two_fields_of_one_name_are_refused_in_words():
    project = sample()
    app = start("task", project=project)
    app.text_input(key=f"name_inputs_1_0_{project}").set_value("message").run()
    assert not app.exception
    assert app.button(key="next_step").disabled


def test_fields_are_moved_and_removed():
    project = sample()
    app = start("task", project=project)
    app.button(key=f"up_inputs_1_0_{project}").click().run()
    assert [f.name for f in draft(project).pipeline.inputs] == ["plan", "message", "channel"]
    assert app.text_input(key=f"name_inputs_0_1_{project}").value == "plan"
    app.button(key=f"remove_inputs_2_1_{project}").click().run()
    assert [f.name for f in draft(project).pipeline.inputs] == ["plan", "message"]
    assert not app.exception


def test_a_step_may_use_tools_or_be_judged():
    project = sample()
    app = start("task", project=project)
    app.button_group(key=f"strategy_{project}").set_value("react").run()
    assert draft(project).pipeline.steps[0].options.tools == ("calculator", "python")
    app.multiselect(key=f"tools_{project}").set_value(["python"]).run()
    assert draft(project).pipeline.steps[0].options.tools == ("python",)
    app.button_group(key=f"strategy_{project}").set_value("best_of_n").run()
    app.text_area(key=f"criteria_{project}").set_value("It is polite.").run()
    step = draft(project).pipeline.steps[0]
    assert (step.strategy, step.options.criteria) == ("best_of_n", "It is polite.")
    assert not app.exception


def bring(app, project, name, content):
    """Put a file into the box of the Examples page and use it."""
    app.file_uploader[0].upload(name, content, "text/csv").run()
    app.button(key=f"source_{project}_use").click().run()
    assert not app.exception, app.exception


def test_an_unseen_file_becomes_a_task():
    project = drafts.create_project("mine")
    app = start("examples", project=project)
    bring(app, project, "mail.csv", ROWS.encode())
    assert "Is this what you mean?" in said(app)
    app = start("examples", project=project)
    found = draft(project)
    assert found.mapping == {"message": "message", "team": "team"}
    assert found.pipeline.outputs[0].choices == ("billing", "shipping")
    assert "24 rows" in said(app)  # 40 percent of 60 to learn from


def test_a_pasted_table_is_taken():
    project = drafts.create_project("mine")
    app = start("examples", project=project)
    app.button(key=f"source_{project}_use").click().run()
    assert "Paste rows, or drop files" in said(app)
    app.text_area(key=f"source_{project}_text_0").set_value(ROWS.replace(",", "\t"))
    app.button(key=f"source_{project}_use").click().run()
    assert not app.exception
    assert draft(project).dataset


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("empty.csv", b"", "is empty"),
        ("only.csv", b"message,team\n", "rows"),
        ("page.csv", b"<!doctype html><html></html>", "web page"),
        ("bad.json", b"{nope", ""),
        ("noise.xlsx", b"\x00\x01\x02" * 50, ""),
    ],
)
def test_a_bad_file_is_one_sentence_and_the_page_goes_on(name, content, words):
    project = drafts.create_project("mine")
    app = start("examples", project=project)
    bring(app, project, name, content)
    problem = app.session_state[f"source_{project}_problem"]
    assert problem
    assert words in problem
    assert draft(project).dataset is None


def test_rows_that_cannot_be_used_are_listed_by_number():
    project = drafts.create_project("mine")
    app = start("examples", project=project)
    rows = ROWS.replace("the bill number 3 is wrong,billing", "a,b,c,d")
    bring(app, project, "mail.csv", rows.encode())
    app = start("examples", project=project)
    table = next(t.value for t in app.dataframe if "What is wrong" in t.value)
    assert list(table["Rows"]) == ["5"]


def test_a_missing_column_and_too_few_rows_are_sentences():
    project = sample()
    drafts.update(project, mapping={**draft(project).mapping, "queue": "nowhere"})
    assert not start("examples", project=project).exception
    assert not start("tune", project=project).exception
    table = b"message,plan,channel,queue\na,b,c,billing\nd,e,f,security\n"
    app = start("examples", project=project)
    bring(app, project, "two.csv", table)
    assert "rows" in said(app)
    tune = start("tune", project=project)
    assert tune.button(key="start_run").disabled


def test_the_split_is_changed_and_kept():
    project = sample()
    app = start("examples", project=project)
    app.slider(key=f"split_{project}").set_value((50, 80)).run()
    app.number_input(key=f"seed_{project}").set_value(7).run()
    shares = draft(project).split
    assert (shares.train, shares.validation, shares.test, shares.seed) == (0.5, 0.3, 0.2, 7)
    assert "124 rows" in said(app)


def test_outside_text_is_never_markdown():
    project = drafts.create_project("![p](http://evil.example/p.png)")
    app = start("examples", project=project)
    rows = "![c](http://evil.example/c.png),team\n" + "\n".join(
        f"![v](http://evil.example/{i}.png),{'ab'[i % 2]}" for i in range(40)
    )
    bring(app, project, "![f](http://evil.example/f.png).csv", rows.encode())
    for page in ("home", "task", "examples", "metric", "tune"):
        app = start(page, project=project)
        for element in (*app.markdown, *app.caption, *app.title):
            assert "](http" not in str(element.value), (page, element.value)
        for button in app.button:
            assert "](http" not in button.label, (page, button.label)


def test_a_metric_is_chosen_with_its_options():
    project = sample()
    app = start("metric", project=project)
    app.button(key="use_Contains").click().run()
    assert not app.exception
    assert draft(project).metric == Named(name="Contains")
    app.toggle(key=f"metric_Contains_{project}_whole_words").set_value(
        not app.toggle(key=f"metric_Contains_{project}_whole_words").value
    ).run()
    assert set(draft(project).metric.options) == {"whole_words"}


def test_with_several_outputs_the_one_that_is_graded_is_chosen():
    project = drafts.project_from_sample(SAMPLES[1])
    drafts.update(project, metric=Named(name="Contains"))
    app = start("metric", project=project)
    app.selectbox(key=f"metric_Contains_{project}_field").set_value("sentiment").run()
    assert draft(project).metric.options == {"field": "sentiment"}


def number(app, label):
    return next(field for field in app.number_input if field.label == label)


def test_an_optimizer_its_options_and_a_budget_are_chosen():
    project = sample()
    app = open_tune(project, "all optimizers")
    app.session_state[f"optimizer_need_{project}"] = "all"
    app.run()
    app.button(key="choose_LabeledFewShot").click().run()
    assert draft(project).optimizer == Named(name="LabeledFewShot")
    option = next(
        field for field in app.number_input if str(field.key).startswith("optimizer_LabeledFewShot_")
    )
    option.set_value(3).run()
    assert draft(project).optimizer.options == {"k": 3}
    number(app, "Calls").set_value(400).run()
    number(app, "Minutes").set_value(5.0).run()
    assert (draft(project).budget.calls, draft(project).budget.seconds) == (400, 300)
    assert not app.exception


def test_the_estimate_stands_beside_the_button():
    app = start("tune", project=sample())
    assert not app.button(key="start_run").disabled
    words = said(app)
    for name in ("Calls", "Tokens", "Money", "Time", "free"):
        assert name in words


def test_a_budget_that_is_too_small_says_so():
    project = sample()
    app = open_tune(project, "all optimizers")
    app.number_input(key=f"budget_calls_{project}").set_value(5).run()
    assert not app.exception
    assert app.button(key="start_run").disabled
    assert "too small" in said(app)


def test_a_model_without_a_key_keeps_the_button_off():
    project = sample()
    drafts.update(project, model=ModelChoice(name="openai/gpt-4o-mini"))
    app = start("tune", project=project)
    assert app.button(key="start_run").disabled
    assert "No key yet" in said(app)


def test_starting_a_run_opens_its_page(monkeypatch, home):
    from dashboard.state import launching

    project = sample()
    app = start("tune", project=project)
    app.button(key="start_run").click().run()
    assert not app.exception
    run = reading.runs(project)[0]
    assert run.estimate["calls"]
    assert app.query_params["run"] in (run.id, [run.id])
    launching.stop(run.id)
    # Its process must not outlive the test's folder.
    wait_for(lambda: reading.run(run.id).is_over)
    assert launching.log_path(run.id).exists()


def test_a_model_is_added_and_removed():
    start()
    app = start("settings")
    app.selectbox(key="new_provider").set_value("Ollama (this machine)").run()
    app.button(key="add_model_button").click().run()
    assert not app.exception
    assert [m.name for m in reading.saved_models()] == ["offline/learner", "ollama/llama3.2"]
    app.button(key="model_1_remove").click().run()
    assert len(reading.saved_models()) == 1


@pytest.mark.parametrize("address", ["nonsense", "ftp://x", "http://"])
def test_a_bad_address_says_why(address):
    app = start("settings")
    picked = app.selectbox(key="new_provider").value
    app.text_input(key=f"new_base_url_{picked}").set_value(address).run()
    assert not app.exception
    app.button(key="add_model_button").click().run()
    assert "address" in said(app).lower()
    assert len(reading.saved_models()) == 1


def test_the_offline_model_is_tested():
    app = start("settings")
    app.button(key="model_0_test").click().run()
    assert not app.exception
    assert "It works: offline/learner answered" in said(app)


def test_a_key_stays_in_memory(home):
    drafts.add_model(ModelChoice(name="openai/gpt-4o-mini"))
    app = start("settings")
    app.text_input(key="model_1_typed").set_value("sk-very-secret-123")
    app.button(key="model_1_submit").click().run()
    assert not app.exception
    assert "this page's memory" in said(app)
    assert not any(b"sk-very-secret-123" in f.read_bytes() for f in home.rglob("*") if f.is_file())


@pytest.mark.parametrize("page", PAGES)
def test_a_damaged_store_is_one_sentence(page, home):
    start()
    (home / "tuneboard.db").write_bytes(b"this is no database" * 100)
    app = start(page)
    assert "tuneboard.db" in said(app)


def test_a_store_of_a_newer_version_is_one_sentence(home):
    import sqlite3

    start()
    with sqlite3.connect(home / "tuneboard.db") as db:
        db.execute("PRAGMA user_version = 9999")
    db.close()
    assert "newer version" in said(start("tune"))


def test_a_renamed_field_keeps_its_column():
    project = sample()
    app = start("task", project=project)
    app.text_input(key=f"name_inputs_0_0_{project}").set_value("question").run()
    assert draft(project).mapping["question"] == "message"
    assert not draft(project).problems()


def test_two_tabs_do_not_undo_each_other():
    project = sample()
    one, two = start("task", project=project), open_tune(project, "all optimizers")
    one.text_area(key=f"instruction_{project}").set_value("First tab.").run()
    two.number_input(key=f"budget_calls_{project}").set_value(700).run()
    assert draft(project).pipeline.steps[0].instructions == "First tab."
    assert draft(project).budget.calls == 700
