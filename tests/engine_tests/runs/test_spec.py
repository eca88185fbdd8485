"""Drafts and specs: what is missing is said by step; what cannot work is refused before anything is called."""

import asyncio

import pytest
from support.run_setup import PIPELINE, add_data, csv_bytes, spec

from engine.errors import ConfigurationError, EngineError, RunError
from engine.pipeline.spec import FieldSpec, PipelineSpec, StepSpec
from engine.records import Candidate, Evaluation, Outcome, StepState, Usage
from engine.runs.prepare import estimate_run, prepare, reserved_calls
from engine.runs.recorder import FLUSH_SECONDS, REPORTED_FAILURES, StoreRecorder, report_silence
from engine.runs.spec import ModelChoice, Named, ProjectDraft, RunSpec, SplitSpec
from engine.search.budget import Budget
from engine.search.events import (
    BudgetSpent,
    CandidateFound,
    NewBest,
    Note,
    RowScored,
    TrialFinished,
    TrialStarted,
)
from engine.store.store import Store

FULL = ProjectDraft(
    pipeline=PIPELINE,
    dataset="d",
    mapping={"text": "text", "shelf": "shelf"},
    metric=Named(name="ExactMatch"),
    optimizer=Named(name="LabeledFewShot"),
)


def said(draft, step, columns=None):
    return [p.sentence for p in draft.problems(columns) if p.step == step]


def changed(**changes):
    return FULL.model_copy(update=changes)


def test_a_complete_draft_has_no_problems_and_becomes_a_run():
    assert FULL.problems(["text", "shelf"]) == []
    run = FULL.to_run("hash")
    assert isinstance(run, RunSpec)
    assert (run.dataset, run.dataset_hash, run.model.name) == ("d", "hash", "offline/learner")
    assert RunSpec.model_validate_json(run.model_dump_json()) == run


def test_an_empty_draft_asks_for_everything_in_the_wizards_order():
    assert [p.step for p in ProjectDraft().problems()] == ["task", "examples", "metric", "tune"]
    with pytest.raises(RunError, match="Describe the task"):
        ProjectDraft().to_run()


@pytest.mark.parametrize(
    ("changes", "step", "expected"),
    [
        ({"mapping": {"text": "text"}}, "examples", "output 'shelf'"),
        ({"mapping": {"shelf": "shelf"}}, "examples", "input 'text'"),
        ({"mapping": {"text": "text", "shelf": "rack"}}, "examples", "'rack', which is not in the data"),
        ({"mapping": {"text": "text", "shelf": "text"}}, "examples", "'text' is used as the input"),
        ({"split": SplitSpec(train=0.5, validation=0.4, test=0.4)}, "examples", "130 %"),
        ({"metric": Named(name="Bleu")}, "metric", "no metric 'Bleu'"),
        ({"metric": Named(name="ExactMatch", options={"field": "colour"})}, "metric", "'colour'"),
        ({"metric": Named(name="ExactMatch", options={"magic": 1})}, "metric", "magic"),
        ({"optimizer": Named(name="Magic")}, "tune", "no optimizer 'Magic'"),
        ({"optimizer": Named(name="LabeledFewShot", options={"k": -1})}, "tune", "k"),
    ],
)
def test_each_problem_is_one_sentence_at_its_step(changes, step, expected):
    sentences = said(changed(**changes), step, ["text", "shelf"])
    assert len(sentences) == 1
    assert expected in sentences[0]
    assert "\n" not in sentences[0]


def test_a_task_that_cannot_be_built_is_said_at_its_step(tmp_path):
    step = StepSpec(name="sort", inputs=(FieldSpec(name="text"),), outputs=())
    pipeline = PipelineSpec(steps=(step,))
    assert said(changed(pipeline=pipeline), "task")
    with Store.open(tmp_path) as store, pytest.raises(EngineError):
        prepare(store, spec(add_data(tmp_path), pipeline=pipeline))


@pytest.mark.parametrize(
    ("metric", "options"),
    [
        ("Rubric", {}),
        ("WeightedSum", {"parts": "ExactMatch=1, SemanticF1=1"}),
        ("Rubric", {"judge": "offline/learner"}),
    ],
)
def test_a_run_that_the_offline_model_would_judge_is_refused(tmp_path, metric, options):
    judged = Named(name=metric, options=options)
    (problem,) = said(changed(metric=judged), "metric")
    assert "the offline stand-in cannot" in problem
    with Store.open(tmp_path) as store, pytest.raises(ConfigurationError, match="Choose a real model"):
        prepare(store, spec(add_data(tmp_path), metric=judged))
    real = changed(metric=judged, model=ModelChoice(name="openai/gpt-5-mini"))
    assert bool(said(real, "metric")) == ("judge" in options)


def test_prepare_reads_the_rows_by_type(tmp_path):
    with Store.open(tmp_path) as store:
        prepared = prepare(store, spec(add_data(tmp_path), seed=3), payer="r")
    assert len(prepared.settings.rows) == 40
    sides = (prepared.split.train, prepared.split.validation, prepared.split.test)
    assert sorted(row for side in sides for row in side) == sorted(prepared.settings.rows)
    assert prepared.settings.payer == "r"
    assert prepared.settings.seed == 3
    assert reserved_calls(prepared.settings.program, prepared.split) == 12 + 2 * 12
    assert prepared.settings.rows[0].inputs().toDict().keys() == {"text"}


def test_rows_left_out_are_noted(tmp_path):
    with Store.open(tmp_path) as store:
        dataset = add_data(tmp_path, csv_bytes(40) + b"\na lamp,\na hat,pink", "some.csv")
        assert "2 rows are left out" in prepare(store, spec(dataset)).notes[0]


def test_the_estimate_covers_the_evaluations_around_the_search(tmp_path):
    with Store.open(tmp_path) as store:
        labeled = estimate_run(store, spec(add_data(tmp_path), optimizer=Named(name="LabeledFewShot")))
        full = estimate_run(store, spec(add_data(tmp_path)))
    assert labeled.calls.low >= 36
    assert full.calls.typical > labeled.calls.typical
    assert labeled.as_dict()["calls"]["high"] >= 36


def test_budgets_are_checked(tmp_path):
    with Store.open(tmp_path) as store:
        with pytest.raises(RunError, match="36 calls before any search"):
            prepare(store, spec(add_data(tmp_path), budget=Budget(calls=36)))
        prepare(store, spec(add_data(tmp_path), budget=Budget(calls=37)))


def test_the_recorder_stores_rows_soon_and_trials_at_once(tmp_path):
    candidate = Candidate({"sort": StepState("x")}, reason="The starting prompt.")

    async def tell(store, run_id):
        recorder = StoreRecorder(store, run_id)
        recorder.record(CandidateFound(candidate, 0))
        recorder.record(TrialStarted(1, candidate, (5, 6, 7), "validation", "baseline"))
        assert store.trials.all(run_id)[0].state == "running"
        outcomes = (Outcome(5, 1.0, usage=Usage(1)), Outcome(6, 1.0, usage=Usage(1)))
        recorder.record(RowScored(1, outcomes[1], 1, 3, 1.0))
        assert store.trials.outcomes(run_id, 1) == []
        await asyncio.sleep(FLUSH_SECONDS + 0.1)
        assert [o.row for o in store.trials.outcomes(run_id, 1)] == [6]
        assert store.trials.all(run_id)[0].rows_done == 1
        recorder.record(NewBest(candidate, 1.0))
        recorder.record(RowScored(1, outcomes[0], 2, 3, 1.0))
        recorder.record(TrialFinished(1, Evaluation(candidate.id, outcomes), 0.5, partial=True))
        recorder.record(BudgetSpent(Usage(2, 0, 7, 8, 0.5), 1.5))
        recorder.record(Note("Careful.", "warning"))

    with Store.open(tmp_path) as store:
        run_id = store.runs.create("p", {}, "t")
        asyncio.run(tell(store, run_id))
        trial = store.trials.all(run_id)[0]
        assert (trial.state, trial.rows_done) == ("stopped", 2)
        assert store.runs.get(run_id).usage == Usage(2, 0, 7, 8, 0.5)
        events = store.events.all(run_id)
        assert [e.kind for e in events] == ["candidate_found", "new_best", "trial_finished", "note"]
        assert events[-1].data == {"level": "warning"}


def test_a_silent_model_is_told_once_for_each_silence():
    state = {"answers": 0, "waiting": True}
    told = []

    async def live():
        task = asyncio.create_task(
            report_silence(
                lambda: state["answers"], lambda: state["waiting"], told.append, after=0.05, look=0.01
            )
        )
        for silences in (1, 2):
            while len(told) < silences:
                await asyncio.sleep(0.01)
            await asyncio.sleep(0.2)  # many more looks
            assert len(told) == silences
            state["answers"] += 1
        state["waiting"] = False
        await asyncio.sleep(0.2)
        task.cancel()

    asyncio.run(live())
    assert len(told) == 2
    assert "has not answered" in told[0]


def test_the_recorder_tells_of_a_few_failed_rows_only(tmp_path):
    candidate = Candidate({"sort": StepState("x")})

    async def tell(store, run_id):
        recorder = StoreRecorder(store, run_id)
        recorder.record(TrialStarted(1, candidate, tuple(range(20)), "train", ""))
        for row in range(20):
            recorder.record(RowScored(1, Outcome(row, 0.0, error="It broke."), row + 1, 20, 0.0))
        recorder.flush()

    with Store.open(tmp_path) as store:
        run_id = store.runs.create("p", {}, "t")
        asyncio.run(tell(store, run_id))
        assert len(store.events.all(run_id)) == REPORTED_FAILURES
        assert store.trials.all(run_id)[0].rows_done == 20
