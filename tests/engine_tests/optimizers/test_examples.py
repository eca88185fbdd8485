"""KNNFewShot, BootstrapFewShotWithOptuna and SIMBA: which examples are shown, to whom, and what decides."""

import json

import pytest
from support.small_optimizers import searched

from engine import KNNFewShot, context, loop
from engine.basics.similarity import NearestTexts
from engine.errors import ConfigurationError
from engine.modules.predict import Predict
from engine.optimizers.few_shot_search import BootstrapFewShotWithOptuna
from engine.optimizers.simba import SIMBA
from engine.records import Candidate, Demo, Example, StepState
from engine.search.contract import Score, relay
from engine.search.driver import Driver
from engine.testing import ScriptedLM
from engine.testing.contract import ToyLM, toy_metric, toy_rows, toy_settings

ROWS = list(toy_rows(36).values())


# KNNFewShot


def knn(**options):
    tuner = KNNFewShot(trainset=ROWS[:18], metric=toy_metric, task_model=ToyLM(), **options)
    return tuner.compile(Predict("text -> label"))


def shown(program, text):
    lm = ScriptedLM([{"label": "red"}])
    with context(lm=lm):
        program(text=text)
    (request,) = lm.requests
    return [m["content"] for m in request.messages[1:-1] if m["role"] == "user"]


def test_knn_shows_each_input_the_rows_most_like_it():
    program = knn(k=2)
    questions = shown(program, "moss 99")
    assert len(questions) == 2
    assert "moss" in questions[-1]  # the nearest stands last, next to the question
    assert "denim" in shown(program, "denim 3")[-1]


def test_knn_solves_the_rows_once_and_answers_with_one_call_a_row():
    lm = ToyLM()
    tuner = KNNFewShot(3, ROWS[:18], metric=toy_metric, task_model=lm)
    program = tuner.compile(Predict("text -> label"))
    assert lm.paid <= 18
    before = lm.paid
    with context(lm=lm):
        program(text="moss 77")
    assert lm.paid == before + 1


def test_knn_is_the_same_after_saving_and_loading(tmp_path):
    program = knn(k=2)
    program.save(tmp_path / "knn.json")
    assert json.loads((tmp_path / "knn.json").read_text())["nearest"] == 2
    again = Predict("text -> label")
    again.load(tmp_path / "knn.json")
    assert shown(again, "fern 5") == shown(program, "fern 5")
    assert again.candidate().id == program.candidate().id


@pytest.mark.parametrize("awaited", [False, True])
def test_knn_finds_the_nearest_rows_by_a_vectorizer(awaited):
    asked = []

    def near(text):
        # The dot product of (-L^2, 2L, -1) and (1, l, l^2) is highest where l is L.
        return [-float(len(text) ** 2), 2.0 * len(text), -1.0]

    def vectors(texts):
        asked.extend(texts)
        return [near(t) if len(texts) == 1 else [1.0, len(t), float(len(t) ** 2)] for t in texts]

    rows = [Example(text="x" * n, label=str(n)).with_inputs("text") for n in (1, 5, 9, 14)]
    tuner = KNNFewShot(2, rows, vectors, solve=False)
    student = Predict("text -> label")
    step = loop.run(tuner.acompile(student)) if awaited else tuner.compile(student)
    lm = ScriptedLM([{"label": "8"}])
    with context(lm=lm):
        assert step(text="y" * 8).label == "8"
    told = str(lm.requests[0].messages)
    assert told.index("x" * 5) < told.index("x" * 9)
    assert "x" * 14 not in told
    assert asked[0] == "text: x"
    assert step.deepcopy().vectorizer is vectors


def test_knn_needs_a_trainset():
    with pytest.raises(ConfigurationError, match="trainset is empty"):
        KNNFewShot(3, metric=toy_metric, task_model=ToyLM()).compile(Predict("text -> label"))


def test_knn_without_solving_calls_nothing():
    lm = ToyLM()
    result = searched(KNNFewShot(solve=False), lm)
    assert lm.paid == 0
    assert len(result.best.steps["self"].demos) == 18


def test_a_program_shows_all_examples_when_there_are_no_more_than_it_may():
    step = Predict("text -> label").with_candidate(
        Candidate({"self": StepState("", (Demo({"text": "a", "label": "b"}),), nearest=3)})
    )
    assert len(step.demos_for({"text": "x"})) == 1
    step.reset()
    assert (step.demos, step.nearest) == ([], 0)


def test_the_index_follows_the_examples():
    step = Predict("text -> label")
    step.nearest = 1
    step.demos = [Example(text="red apple", label="x"), Example(text="blue sea", label="y")]
    assert step.demos_for({"text": "the sea"})[0].label == "y"
    step.demos = [Example(text="the sea", label="z"), *step.demos]
    assert step.demos_for({"text": "the sea"})[0].label == "z"


def test_nearest_texts_when_nothing_is_shared_keeps_the_order():
    assert NearestTexts(["abc", "def", "ghi"]).nearest("???", 2) == [0, 1]
    assert NearestTexts([]).nearest("abc", 2) == []


# BootstrapFewShotWithOptuna


def test_optuna_finds_examples_that_help_and_keeps_the_best():
    result = searched(BootstrapFewShotWithOptuna(num_candidate_programs=12, max_demos=6))
    assert result.score > 0.5
    assert 0 < len(result.best.steps["self"].demos) <= 6
    assert result.score == max(s for s, _ in result.validated())


# SIMBA


def test_simba_learns_examples_and_rules():
    result = searched(SIMBA(max_steps=4, bsize=16))
    assert result.score > 0.6
    reasons = [t.candidate.reason for t in result.trials]
    assert any(r.startswith("Shows row") for r in reasons)
    assert any(r.startswith("Adds a rule from row") for r in reasons)


def test_simba_without_examples_adds_rules_only():
    result = searched(SIMBA(max_steps=3, bsize=12, max_demos=0))
    assert all(not s.demos for t in result.trials for s in t.candidate.steps.values())
    assert result.score > 0.4


def test_simba_tries_no_change_that_changed_nothing():
    batches = []
    optimizer = SIMBA(max_steps=3, bsize=8)

    loop.run(
        Driver(toy_settings(ToyLM())).search(lambda problem: relay(optimizer.search(problem), batches.append))
    )
    tried = [a.candidate.id for b in batches for a in b if isinstance(a, Score) and a.hide_own_row]
    assert tried
    assert len(tried) == len(set(tried))
    start = batches[0][0].candidate.id
    assert start not in tried


def test_simba_leaves_a_solved_task_as_it_is():
    result = searched(SIMBA(max_steps=2, max_demos=0), metric=lambda e, p: 1.0)
    assert result.best.id == result.seed.id


def test_optuna_ends_when_every_choice_was_tried():
    tuner = BootstrapFewShotWithOptuna(
        num_candidate_programs=50, max_demos=1, max_bootstrapped_demos=2, max_labeled_demos=0
    )
    result = searched(tuner)
    assert result.stopped == "finished"
    assert len(result.validated()) == 3


def test_knn_shows_a_partly_right_run_only_where_labels_say_nothing():
    half = searched(KNNFewShot(), metric=lambda example, prediction: 0.5)
    assert all(not demo.augmented for demo in half.best.steps["self"].demos)
    kept = searched(KNNFewShot(metric_threshold=0.5), metric=lambda example, prediction: 0.5)
    assert all(demo.augmented for demo in kept.best.steps["self"].demos)
