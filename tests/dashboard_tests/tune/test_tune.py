"""The tune page: models chosen apart, parts of the prompt frozen, feedback for the next run, what is comparable."""

from __future__ import annotations

import pytest
from support.pages.page_frame import open_page, said
from support.pages.page_frame import open_tune as start
from support.pages.page_frame import stored_draft as draft
from support.results import result_of

from dashboard.state import feedback, launching, reading
from dashboard.state.editing import drafts
from dashboard.state.editing.examples import split_of
from dashboard.state.editing.steps import change_step
from dashboard.tune.optimizer import advised_optimizer
from dashboard.tune.plans import plans_of
from engine.pipeline.build import build_program
from engine.pipeline.templates import SAMPLES
from engine.registry import OPTIMIZERS
from engine.runs.spec import ModelChoice, Named
from engine.runs.worker import work
from engine.search.budget import Budget
from engine.search.freeze import Freeze
from engine.search.judging.objective import Objective
from engine.store.store import Store

pytestmark = pytest.mark.usefixtures("home")


def test_the_models_of_a_run_are_chosen_apart(project):
    strong = ModelChoice(name="openai/gpt-5-mini")
    drafts.add_model(strong)
    app = start(project, "several models")
    assert not app.button(key="start_run").disabled
    app.selectbox(key=f"prompt_model_{project}").set_value(strong).run()
    assert draft(project).prompt_model == strong
    assert draft(project).model in (None, ModelChoice())
    assert app.button(key="start_run").disabled
    assert "openai/gpt-5-mini: No key yet" in said(app)
    app.selectbox(key=f"prompt_model_{project}").set_value("The same model").run()
    assert draft(project).prompt_model is None
    assert not app.button(key="start_run").disabled


LOCAL = ModelChoice(name="openai/large", base_url="http://127.0.0.1:9/v1")


def test_models_to_compare_are_chosen_or_typed_and_the_estimate_covers_them(project):
    known = ModelChoice(name="ollama/llama3.2")
    drafts.add_model(known)
    drafts.update(project, model=LOCAL, budget=Budget(calls=2000), optimizer=Named(name="LabeledFewShot"))
    app = start(project, "several models")
    before = reading.estimate(draft(project).to_run(reading.datasets()[0].hash)).calls.typical
    picker = app.multiselect(key=f"compare_models_{project}")
    assert "openai/large at 127.0.0.1:9" not in picker.options, "it is compared anyway"
    picker.set_value([known, "openai/small"]).run()
    assert draft(project).models == (known, LOCAL.named("openai/small"))
    app.selectbox(key=f"objective_goal_{project}").set_value("front").run()
    assert draft(project).objective == Objective(goal="front")
    after = reading.estimate(draft(project).to_run(reading.datasets()[0].hash)).calls.typical
    assert after >= before + 2 * len(split_of(draft(project)).validation)
    assert not app.button(key="start_run").disabled
    app = start(project)
    assert app.multiselect(key=f"compare_models_{project}").value == list(draft(project).models)
    assert "ollama/llama3.2 and openai/small · front" in said(app)


@pytest.mark.parametrize(
    ("models", "objective", "words"),
    [
        (["gpt5"], "score", "There is no model 'gpt5'. Write it as provider/model"),
        (["openai/"], "score", "'openai/' names no model"),
        (["groq/llama"], "score", "groq/llama: No key yet. Give one on the Settings page"),
        (
            ["ollama/llama3.2"],
            "cheapest",
            "The price of the model openai/large is not known, so the cheapest program cannot be found. Enter its price",
        ),
    ],
)
def test_what_cannot_be_compared_is_one_sentence_before_the_start(
    project, monkeypatch, models, objective, words
):
    monkeypatch.delenv("GROQ_API_KEY", raising=False)
    drafts.update(project, model=LOCAL, optimizer=Named(name="LabeledFewShot"), budget=Budget(calls=2000))
    app = start(project, "several models")
    app.multiselect(key=f"compare_models_{project}").set_value(models).run()
    app.selectbox(key=f"objective_goal_{project}").set_value(objective).run()
    assert words in said(app)
    assert app.button(key="start_run").disabled


def test_a_model_without_a_price_is_not_refused_where_the_price_decides_nothing(project):
    drafts.update(project, model=LOCAL, optimizer=Named(name="LabeledFewShot"), budget=Budget(calls=2000))
    app = start(project, "several models")
    app.selectbox(key=f"objective_goal_{project}").set_value("fastest").run()
    app.number_input(key=f"objective_within_{project}").set_value(3.0).run()
    assert draft(project).objective == Objective(goal="fastest", within=3.0)
    assert not app.button(key="start_run").disabled


def test_steps_that_ask_another_model_are_named_and_need_its_key(project):
    own = ModelChoice(name="openai/gpt-5-mini", temperature=0.3)
    drafts.edit(project, lambda d: change_step(d, 0, lambda s: s.model_copy(update={"model": own})))
    app = start(project)
    assert "The step **route** asks openai/gpt-5-mini, temperature 0.3." in said(app)
    assert app.button(key="start_run").disabled
    assert "openai/gpt-5-mini, temperature 0.3: No key yet" in said(app)


def test_a_way_of_tuning_that_is_no_plan_is_named_and_the_experts_part_stays_closed(project):
    drafts.update(project, optimizer=Named(name="LabeledFewShot"))
    app = start(project)
    assert "Chosen: Show labelled rows as examples. Change it and its limits under “all optimizers”" in said(
        app
    )
    assert not [b for b in app.button if str(b.key).startswith("choose_")]


def test_every_need_is_answered(project):
    app = start(project, "all optimizers")
    (needs,) = [g for g in app.get("button_group") if str(g.key).startswith("optimizer_need_")]
    shown = {}
    for need in ("wording", "examples", "both", "structure", "weights"):
        app.session_state[needs.key] = need
        app.run()
        assert not app.exception
        shown[need] = {b.key.removeprefix("choose_") for b in app.button if b.key.startswith("choose_")}
        if need == "weights":
            assert shown[need] - {"advised"} == {"BootstrapFinetune", "GRPO"}
    assert shown["structure"] == {"MIPROv2"}, "and Autotune, which is chosen"
    assert "GEPA" in shown["wording"] - shown["both"]
    assert "KNNFewShot" in shown["examples"] - shown["wording"]
    app.session_state[needs.key] = "structure"
    app.run()
    app.button(key="choose_MIPROv2").click().run()
    assert draft(project).optimizer.options["tune_reasoning"] is True
    assert not [b for b in app.button if b.key == "choose_MIPROv2"], "it is chosen"


def test_a_sentence_and_a_part_are_frozen(project):
    app = start(project, "all optimizers")
    box = next(c for c in app.checkbox if str(c.key).startswith("freeze_"))
    box.check().run()
    (one,) = draft(project).frozen
    assert one.part == "sentence"
    assert one.text in draft(project).pipeline.steps[0].instructions
    pills = next(g for g in app.get("button_group") if str(g.key).startswith("freeze_parts_"))
    pills.set_value(["demos"]).run()
    assert {f.part for f in draft(project).frozen} == {"sentence", "demos"}
    assert not app.exception


def test_what_is_frozen_and_gone_is_said_and_forgotten(project):
    drafts.update(project, frozen=(Freeze(step="nowhere", part="step"),))
    app = start(project, "all optimizers")
    assert app.button(key="start_run").disabled
    app.button(key="forget_frozen").click().run()
    assert draft(project).frozen == ()
    assert not app.button(key="start_run").disabled


def test_feedback_goes_into_the_next_run_and_can_be_left_out(project):
    from dashboard.components.project_page import ProjectPage
    from dashboard.tune.start import final_test_rows, used_feedback

    now = ProjectPage(next(p for p in reading.projects() if p.id == project), draft(project))
    test = sorted(final_test_rows(now))
    train = next(row for row in range(50) if row not in test)
    for row in (train, test[0]):
        feedback.save(project, now.draft.dataset, row, ("r", "c"), (-1, "Mind the plan.", "billing"))
    app = start(project)
    assert "Feedback on 1 answer will be used" in said(app)
    assert "Feedback on 1 row of the final test is left out" in said(app)
    assert [f.row for f in used_feedback(now)] == [train]
    app.button(key="delete_feedback").click().run()
    assert feedback.rows(project, now.draft.dataset) == []
    assert "will be used" not in said(app)


def test_a_started_run_carries_its_feedback(project, home):
    found = draft(project)
    test = split_of(found).test
    row = next(r for r in range(50) if r not in test)
    feedback.save(project, found.dataset, row, ("r", "c"), (1, "Just so.", "billing"))
    app = start(project)
    app.button(key="start_run").click().run()
    (run,) = reading.runs(project)
    try:
        assert [(f["row"], f["reason"]) for f in run.spec["feedback"]] == [(row, "Just so.")]
    finally:
        launching.stop(run.id)


def test_the_page_says_whether_scores_will_be_comparable(project, home):
    found = draft(project)
    spec = found.model_copy(update={"optimizer": Named(name="LabeledFewShot")}).to_run(
        reading.datasets()[0].hash
    )
    run = launching.create(project, spec.model_dump(mode="json"), "First")
    work(home, run)
    assert "Its scores will be comparable" in said(start(project))
    drafts.update(project, metric=Named(name="TokenF1"))
    told = said(start(project))
    assert "cannot be compared: the metric differs" in told
    assert "then: ExactMatch" in told


def test_advice_says_why_in_the_open(project):
    assert "suits your rows" in said(start(project, "all optimizers"))


def test_a_large_store_opens_at_once(project):
    with Store.open() as store, store.transaction():
        for i in range(200):
            run = store.runs.create(project, draft(project).to_run().model_dump(mode="json"), f"run {i}")
            store.runs.save_result(run, result_of())
            store.runs.set_state(run, "finished")
        for i in range(300):
            from engine.store.rows import FeedbackRow

            store.feedback.save(
                project, draft(project).dataset, FeedbackRow(i, "r", "c", -1, "no" * 500, "x", 1.0)
            )
    app = start(project)
    assert "will be used" in said(app)


def test_of_all_ways_of_tuning_a_few_are_in_sight_with_the_advised_one_first(project):
    app = start(project, "all optimizers")
    (needs,) = [g for g in app.get("button_group") if str(g.key).startswith("optimizer_need_")]
    app.session_state[needs.key] = "all"
    app.run()
    (more,) = [e for e in app.expander if e.label.endswith("more ways of tuning")]
    hidden = {str(b.key) for b in more.button}
    every = [str(b.key) for b in app.button if str(b.key).startswith("choose_")]
    advised, _ = advised_optimizer(draft(project), 248)
    assert draft(project).optimizer == Named(name=advised)
    assert sorted(every) == sorted(f"choose_{o.name}" for o in OPTIMIZERS if o.name != advised)
    assert len(hidden) == len(OPTIMIZERS) - 6
    app.button(key="choose_GEPA").click().run()
    assert draft(project).optimizer == Named(name="GEPA")


def test_a_project_without_a_way_of_tuning_gets_the_plan_in_the_middle(project):
    drafts.update(project, optimizer=None, budget=Budget(usd=1.0))
    app = start(project, "all optimizers")
    assert draft(project).optimizer == Named(name="Autotune")
    assert draft(project).budget == Budget(calls=950, usd=1.0)  # a plan is a number of calls, and no more
    assert [b.disabled for b in app.button if b.key == "start_run"] == [False]
    app.button(key="set_plan_Thorough").click().run()
    assert draft(project).budget == Budget(calls=2100, usd=1.0)
    assert next(n.value for n in app.number_input if n.label == "Calls") == 2100
    assert "free" in said(app)


@pytest.mark.parametrize("sample", [s for s in SAMPLES if s.optimizer[0] == "Autotune"], ids=lambda s: s.name)
def test_samples_begin_with_the_plan_in_the_middle(sample):
    project = drafts.project_from_sample(sample)
    assert [p.name for p in plans_of(draft(project)) if p.chosen(draft(project))] == ["Balanced"]


def test_few_rows_get_what_suits_them_and_no_plans(project):
    whole = reading.dataset(draft(project).dataset)
    drafts.update(project, excluded=dict.fromkeys(range(16, len(whole)), "few"), optimizer=None)
    app = start(project)
    assert draft(project).optimizer == Named(name="BootstrapFewShot")
    assert "are too few to compare many prompts on" in said(app)
    assert not [b for b in app.button if str(b.key).startswith("set_plan_")]


def test_the_recipe_for_a_small_model_writes_an_ordinary_draft(project, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-test")
    large = ModelChoice(name="openai/gpt-5-mini")
    drafts.add_model(large)
    app = start(project, "small model")
    app.selectbox(key=f"small_trainer_{project}").set_value("openai").run()
    app.selectbox(key=f"small_teacher_{project}").set_value(large).run()
    app.button(key="use_small_model").click().run()
    assert "Name the base model first." in said(app)
    app.text_input(key=f"small_base_{project}_openai").set_value("gpt-4o-mini-2024-07-18").run()
    app.text_input(key=f"small_licence_{project}").set_value("as the provider's terms say").run()
    app.number_input(key=f"small_usd_{project}").set_value(2.5).run()
    app.button(key="use_small_model").click().run()
    found = draft(project)
    assert found.optimizer.name == "BootstrapFinetune"
    assert found.optimizer.options == {
        "trainer": "openai",
        "base_model": "gpt-4o-mini-2024-07-18",
        "licence": "as the provider's terms say",
    }
    assert (found.teacher_model, found.model.name) == (large, "openai/gpt-4o-mini-2024-07-18")
    assert found.budget.usd == 2.5
    assert found.problems() == []
    assert not app.exception
    assert next(s.value for s in app.selectbox if s.label == "Model") == found.model
    assert "Of this the training: about" in said(app)
    assert not app.button(key="start_run").disabled


def test_a_tuned_prompt_can_teach_with_the_model_it_was_tuned_with(project):
    large = ModelChoice(name="openai/large", base_url="http://127.0.0.1:9/v1")
    drafts.add_model(large)
    found = draft(project)
    seed = build_program(found.pipeline).candidate()
    (step,) = seed.steps
    prompt = seed.with_step(step, instructions="Sort it with care.").derived("Better.", seed)
    with Store.open() as store:
        run_spec = found.model_copy(update={"model": large}).to_run("")
        run = store.runs.create(project, run_spec.model_dump(mode="json"), "A good run")
        store.trials.add_candidate(run, prompt)
        store.runs.save_result(run, result_of(prompt.id, seed.id))
    app = start(project, "small model")
    app.selectbox(key=f"small_teacher_prompt_{project}").set_value(f"run {run}").run()
    assert app.selectbox(key=f"small_teacher_{project}").value == large
    app.toggle(key=f"small_unlabelled_{project}").set_value(False).run()
    app.text_input(key=f"small_base_{project}_local").set_value("Qwen/Qwen3-0.6B").run()
    app.button(key="use_small_model").click().run()
    assert not app.exception
    found = draft(project)
    assert (found.teacher_model, found.teacher_prompt.prompt.id) == (large, prompt.id)
    assert found.teacher_prompt.title == "The prompt of “A good run”"
    assert found.optimizer.options["unlabelled"] is False
    assert "What it takes is next to the Start button" in said(app)
    app.selectbox(key=f"small_teacher_prompt_{project}").set_value("").run()
    app.button(key="use_small_model").click().run()
    assert draft(project).teacher_prompt is None


def test_the_recipe_says_what_becomes_of_rows_without_an_answer(project):
    assert "Your metric needs the right answer" in said(start(project, "small model"))
    drafts.update(project, metric=Named(name="Rubric", options={"judge": "openai/gpt-5-mini"}))
    shown = said(start(project, "small model"))
    assert "those that your metric finds good are learned" in shown


def test_the_recipe_stores_no_password_or_key_and_keeps_small_limits(project, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-test")
    drafts.update(project, budget=Budget(usd=0.01, seconds=3))
    app = start(project, "small model")
    assert not app.exception
    app.selectbox(key=f"small_trainer_{project}").set_value("openai").run()
    app.text_input(key=f"small_base_{project}_openai").set_value("tiny").run()
    app.text_input(key=f"small_key_{project}").set_value("sk-this is a key").run()
    app.button(key="use_small_model").click().run()
    assert not app.exception
    assert "is no name of an environment variable" in said(app)
    app.text_input(key=f"small_key_{project}").set_value("MY_KEY").run()
    app.text_input(key=f"small_address_{project}").set_value("https://me:secret@example.org/v1").run()
    app.button(key="use_small_model").click().run()
    assert not app.exception
    assert draft(project).optimizer.options["base_url"] == "https://example.org/v1"
    assert "secret" not in draft(project).model_dump_json()


def test_without_a_metric_the_page_says_so_and_leads_there_with_one_button(project):
    drafts.update(project, metric=None, optimizer=None)
    app = open_page("tune", project=project)
    assert "Not ready to tune yet" in said(app)
    assert "Choose how an answer is scored." in said(app)
    app.button(key="tune_missing_go").click().run()
    assert "/] Metric" in said(app)
