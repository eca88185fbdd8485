"""The task page with several steps, its imports and two tabs; over a real store."""

from __future__ import annotations

import pytest
from support.pages.page_frame import open_page, said
from support.pages.page_frame import stored_draft as draft

from dashboard.state import reading
from dashboard.state.editing import drafts, steps
from engine.lm.choice import ModelChoice
from engine.pipeline.spec import CorpusSpec

pytestmark = pytest.mark.usefixtures("home")


def start(page="task", **params):
    return open_page(page, **params)


def sample():
    drafts.first_project()
    return reading.projects()[0].id


def two_steps():
    project = sample()
    drafts.edit(project, lambda d: steps.add_step(d, 0, "ask_before"))
    return project


def test_each_step_has_its_own_form_and_prompt():
    project = two_steps()
    app = start(project=project, step="2")
    app.text_area(key=f"instruction_{project}_1").set_value("Choose the team.").run()
    assert [s.instructions for s in draft(project).pipeline.steps] == ["", "Choose the team."]
    assert any("Choose the team." in c.value for c in app.code)
    assert "notes from prepare" in said(app)
    first = start(project=project, step="1")
    assert not any("Choose the team." in c.value for c in first.code)


def test_steps_are_renamed_moved_copied_and_removed():
    project = two_steps()
    app = start(project=project, step="1")
    app.text_input(key=f"step_name_{project}_0_0").set_value("think").run()
    assert draft(project).pipeline.steps[0].name == "think"
    app.button(key="step_copy").click().run()
    assert [s.name for s in draft(project).pipeline.steps] == ["think", "think_2", "route"]
    app.button(key="step_down").click().run()
    assert [s.name for s in draft(project).pipeline.steps] == ["think", "route", "think_2"]
    app.button(key="step_remove").click().run()
    assert [s.name for s in draft(project).pipeline.steps] == ["think", "route"]
    assert not app.exception


def test_a_search_step_is_given_passages_and_tried():
    project = sample()
    drafts.edit(project, lambda d: steps.add_step(d, 0, "retrieve"))
    app = start(project=project, step="1")
    assert "nothing to search" in said(app)
    app.text_area(key=f"corpus_text_{project}").set_value("Refunds take five days.\n\nParcels go out.").run()
    assert draft(project).pipeline.steps[0].options.corpus.passages == (
        "Refunds take five days.",
        "Parcels go out.",
    )
    app.button(key=f"corpus_search_{project}").click().run()
    assert "Write something to look for first." in said(app)
    app.text_input(key=f"corpus_query_{project}").set_value("refund days")
    app.button(key=f"corpus_search_{project}").click().run()
    assert any("five days" in c.value for c in app.code)
    assert not app.button(key="next_step").disabled


def test_a_corpus_of_files_is_kept_in_the_data_folder(home):
    from dashboard.task.corpus_form import columns_of, uploaded_corpus
    from engine.errors import PipelineError
    from engine.pipeline.corpora import corpus_of

    table = ("faq.csv", b"id,text\n1,Refunds take five days\n2,Parcels go out\n")
    assert columns_of(*table)[0] == "text"
    assert len(uploaded_corpus([table], "text").passages) == 2
    long = ("../../long.txt", "\n\n".join(f"Paragraph {i} about things." * 40 for i in range(900)).encode())
    kept = uploaded_corpus([long])
    assert kept.file.startswith(str(home))
    assert len(corpus_of(kept)) > 300
    with pytest.raises(PipelineError, match="one table"):
        uploaded_corpus([table, long])
    assert isinstance(kept, CorpusSpec)


def test_when_and_each_are_chosen():
    project = two_steps()
    app = start(project=project, step="2")
    end = f"{project}_1_0"
    app.button_group(key=f"when_{end}").set_value("Only if").run()
    app.selectbox(key=f"when_field_{end}").set_value("plan").run()
    app.multiselect(key=f"when_values_{end}_plan").set_value(["gold"]).run()
    assert draft(project).pipeline.steps[1].when.model_dump() == {
        "field": "plan",
        "values": ("gold",),
        "negated": False,
    }
    app.button_group(key=f"when_{end}").set_value("Always").run()
    app.button_group(key=f"each_{end}").set_value("For each item of a list").run()
    assert draft(project).pipeline.steps[1].each is not None
    app.selectbox(key=f"layout_{end}").set_value("json").run()
    assert draft(project).pipeline.steps[1].adapter == "json"
    assert not app.exception


def test_the_second_model_of_a_two_step_layout_is_named_and_goes_with_it():
    project = two_steps()
    app = start(project=project, step="2")
    end = f"{project}_1_0"
    app.selectbox(key=f"layout_{end}").set_value("two_step").run()
    small = ModelChoice(name="openai/gpt-4o-mini")
    drafts.add_model(small)
    app = start(project=project, step="2")
    app.selectbox(key=f"extraction_{end}").set_value(small).run()
    assert draft(project).pipeline.steps[1].extraction_model == small
    app.selectbox(key=f"layout_{end}").set_value("xml").run()
    step = draft(project).pipeline.steps[1]
    assert (step.adapter, step.extraction_model) == ("xml", None)
    assert not app.exception


def test_a_step_is_given_a_model_of_the_settings_and_keeps_it_when_it_is_gone_from_there(monkeypatch):
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    project = two_steps()
    small = ModelChoice(name="openai/small", base_url="http://127.0.0.1:9/v1", temperature=0.2)
    drafts.add_model(small)
    app = start(project=project, step="2")
    key = f"step_model_{project}_1_0"
    assert app.selectbox(key=key).value == "The run's model"
    assert app.selectbox(key=key).options[0] == "The run's model"
    app.selectbox(key=key).set_value(small).run()
    assert [s.model for s in draft(project).pipeline.steps] == [None, small]
    assert "No key needed." in said(app)
    assert "not on the Settings page" not in said(app)
    drafts.remove_model(small)
    app = start(project=project, step="2")
    assert app.selectbox(key=key).value == small, "nothing is lost"
    assert "This model is not on the Settings page any more." in said(app)
    assert not draft(project).problems(), "and the run can start"
    drafts.add_model(small.model_copy(update={"temperature": 0.9}))
    app = start(project=project, step="2")
    assert "set up differently now" in said(app)
    app.selectbox(key=key).set_value("The run's model").run()
    assert draft(project).pipeline.steps[1].model is None
    assert not app.exception


def test_a_step_that_asks_no_model_is_offered_none():
    project = two_steps()
    own = ModelChoice(name="openai/small")
    drafts.edit(
        project,
        lambda d: steps.change_step(d, 1, lambda s: s.model_copy(update={"model": own})),
    )
    app = start(project=project, step="2")
    (ways,) = [g for g in app.get("button_group") if str(g.key).startswith("strategy_")]
    ways.set_value("tool").run()
    step = draft(project).pipeline.steps[1]
    assert (step.strategy, step.model) == ("tool", None)
    assert not [s for s in app.selectbox if str(s.key).startswith("step_model_")]
    assert "Take 'openai/small' out" not in said(app)


def test_a_prompt_becomes_the_task():
    project = drafts.create_project("mine")
    app = start(project=project)
    app.text_area(key="import_text").set_value("Sort {{mail}}. Answer with one of: x, y.").run()
    app.button(key="import_use").click().run()
    step = draft(project).pipeline.steps[0]
    assert (step.inputs[0].name, step.outputs[0].choices) == ("mail", ("x", "y"))
    assert app.text_input(key=f"name_inputs_0_1_{project}").value == "mail"


def test_a_text_that_cannot_be_read_is_one_sentence_and_stays():
    project = sample()
    app = start(project=project)
    app.text_area(key="import_text").set_value("class A(BaseModel)\n  x: int").run()
    assert "not Python that can be read" in said(app)
    app.button(key="import_use").click().run()
    assert app.text_area(key="import_text").value.startswith("class A")
    assert draft(project).pipeline.steps[0].name == "route"


def test_two_tabs_on_one_task_are_told_and_choose():
    project = sample()
    one, two = start(project=project), start(project=project)
    one.text_area(key=f"instruction_{project}").set_value("First tab.").run()
    two.text_input(key=f"name_inputs_0_0_{project}").set_value("letter").run()
    assert draft(project).pipeline.inputs[0].name == "message"
    assert "Another tab changed the task" in said(two)
    two.button(key="keep_mine").click().run()
    after = draft(project).pipeline
    assert (after.inputs[0].name, after.steps[0].instructions) == ("letter", "First tab.")
    assert two.text_area(key=f"instruction_{project}_r2").value == "First tab."
    one.text_area(key=f"instruction_{project}").set_value("Again.").run()
    one.button(key="keep_theirs").click().run()
    assert draft(project).pipeline.steps[0].instructions == "First tab."
    assert not one.exception


def test_outside_text_in_steps_is_text():
    project = two_steps()
    evil = "![x](http://evil.example/p.png)"
    drafts.edit(
        project,
        lambda d: steps.change_step(
            d, 0, lambda s: s.model_copy(update={"name": evil, "instructions": evil})
        ),
    )
    app = start(project=project)
    for element in (*app.markdown, *app.caption):
        assert "](http" not in str(element.value), element.value
