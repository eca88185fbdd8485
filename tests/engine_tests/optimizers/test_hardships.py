"""What no optimizer may break on: bad proposers, bad metrics, few rows, tiny budgets; and results as starts."""

import pytest
from support.small_optimizers import HintLM, TwoSteps, WriterLM, searched, small

from engine import loop
from engine.errors import ConfigurationError, InvalidRequestError, RunError
from engine.modules.predict import Predict
from engine.optimizers.shared.texts import MAX_TEXT
from engine.registry import OPTIMIZERS
from engine.search.budget import Budget
from engine.search.driver import Driver
from engine.testing.contract import ToyLM, toy_metric, toy_rows, toy_settings, toy_trainer

ROWS = list(toy_rows(36).values())
NEED_TWO_ROWS = ("MIPROv2", "BayesianSignatureOptimizer", "InferRules")
# Where a model never answered anything yet and a whole first batch fails alike, the run is refused in that sentence.
WRITE_FIRST = ("LabeledFewShot", "BayesianSignatureOptimizer", "MIPROv2")
every_optimizer = pytest.mark.parametrize("optimizer", OPTIMIZERS, ids=lambda optimizer: optimizer.name)


class RowlessLM(ToyLM):
    """A toy model that writes what it is asked to but refuses every row."""

    async def complete(self, request):
        wanted = str(request.messages[0]["content"]).split("You write these output fields:")[-1]
        if "`label`" in wanted:
            self.paid += 1
            raise InvalidRequestError("The toy model refuses this row.")
        return await super().complete(request)


def says(result):
    """Closing messages of a result, read as sentences."""
    return result.reason.strip().endswith((".", "!", "?", ")")) and len(result.reason.split()) >= 4


def run(optimizer, lm=None, **changes):
    return searched(small(optimizer)(), lm, **changes)


@every_optimizer
@pytest.mark.parametrize(
    "text", ["", "Given the fields `text`, produce the fields `label`.", "word " * 10_000]
)
def test_a_proposer_without_ideas_costs_nothing_but_its_calls(optimizer, text):
    lm = WriterLM(text)
    result = run(optimizer, lm)
    assert result.stopped == "finished", result.reason
    assert says(result)
    if optimizer.changes == "wording" and any(lm.shown.values()) and not text:
        assert "nothing usable" in result.reason
        assert result.best.id == result.seed.id
    assert all(len(s.instructions) <= 2 * MAX_TEXT + 100 for s in result.best.steps.values())


@every_optimizer
def test_a_metric_that_raises_ends_in_the_starting_prompt_or_better(optimizer):
    def broken(example, prediction, trace=None):
        raise ValueError("I cannot grade this.")

    result = run(optimizer, metric=broken)
    assert result.stopped == "finished", result.reason
    assert not result.score
    assert says(result)
    if result.trials:
        assert result.reason.startswith("Every row failed, the first with: ")
        assert "I cannot grade this." in result.reason


@every_optimizer
@pytest.mark.parametrize(
    ("score", "words"), [(0.0, "scored 0,"), (1.0, "nothing"), (float("nan"), "no usable number")]
)
def test_a_metric_that_tells_nothing_apart_ends_in_a_statement(optimizer, score, words):
    result = run(optimizer, metric=lambda *_: score)
    assert result.stopped == "finished", result.reason
    assert says(result)
    if result.trials:
        assert words in result.reason.lower()


@every_optimizer
def test_rows_that_all_fail_end_in_a_statement(optimizer):
    """The model answers proposals but fails on every row: a sentence, from the run or in its place."""
    if optimizer.name not in WRITE_FIRST:
        with pytest.raises(RunError, match="refuses this row"):
            run(optimizer, RowlessLM())
        return
    result = run(optimizer, RowlessLM())
    assert says(result)
    assert result.best.steps.keys() == result.seed.steps.keys()
    if result.trials:
        assert "refuses this row" in result.reason


@every_optimizer
def test_a_teacher_with_other_fields_is_refused_in_a_sentence(optimizer):
    tuner = small(optimizer)()
    tuner.metric, tuner.task_model = toy_metric, ToyLM()
    with pytest.raises(ConfigurationError, match="teacher"):
        tuner.compile(Predict("text -> label"), trainset=ROWS, teacher=Predict("text -> label, why"))
    with pytest.raises(ConfigurationError, match="teacher"):
        tuner.compile(Predict("text -> label"), trainset=ROWS, teacher=TwoSteps())


TINY = {
    "MIPROv2": {"auto": None, "num_candidates": 2, "num_trials": 40, "minibatch": False},
    "BayesianSignatureOptimizer": {"auto": None, "num_candidates": 2, "num_trials": 40},
    "BootstrapFewShotWithOptuna": {"max_demos": 1, "max_labeled_demos": 2, "max_bootstrapped_demos": 1},
    "BootstrapFewShotWithRandomSearch": {"max_bootstrapped_demos": 0, "max_labeled_demos": 1},
}


@every_optimizer
def test_combinations_that_run_out_end_the_search_with_its_best(optimizer):
    """A proposer with one idea and two rows to show leave next to nothing to combine."""
    settings = toy_settings(
        WriterLM("apple is red, leaf is green."), train=(0, 1), validation=tuple(range(2, 8))
    )
    made = small(optimizer)() if optimizer.name not in TINY else optimizer(**TINY[optimizer.name])
    result = loop.run(Driver(settings).search(made.search))
    assert result.stopped == "finished", result.reason
    assert says(result)
    best = max((score for score, _ in result.validated()), default=None)
    assert result.score is None or best is None or result.score >= best - 1e-9 or optimizer.name == "Autotune"


@every_optimizer
@pytest.mark.parametrize("budget", [Budget(calls=1), Budget(tokens=30), Budget(calls=10)])
def test_a_budget_smaller_than_one_evaluation_keeps_the_start_and_says_so(optimizer, budget):
    lm = ToyLM()
    result = run(optimizer, lm, budget=budget)
    assert lm.paid <= 10
    if result.stopped == "budget":
        assert "budget" in result.reason
        assert "kept" in result.reason or "scored" in result.reason
    assert says(result)
    assert result.best.steps.keys() == result.seed.steps.keys()


def test_examples_that_took_no_row_are_said_to_have_no_score():
    result = run(next(o for o in OPTIMIZERS if o.name == "LabeledFewShot"))
    assert result.reason == "The prompt that was made is kept; making it took no row, so it has no score yet."


@every_optimizer
def test_one_row_ends_in_a_program_or_in_a_sentence(optimizer):
    tuner = small(optimizer)()
    tuner.metric, tuner.task_model = toy_metric, ToyLM()
    tuner.trainers = (toy_trainer(tuner.task_model),)
    if optimizer.name in NEED_TWO_ROWS:
        with pytest.raises(ConfigurationError, match="at least 2 examples"):
            tuner.compile(Predict("text -> label"), trainset=ROWS[:1])
        return
    program = tuner.compile(Predict("text -> label"), trainset=ROWS[:1])
    assert program.tuning.stopped == "finished"
    assert says(program.tuning)


@every_optimizer
def test_no_rows_are_refused_in_a_sentence(optimizer):
    tuner = small(optimizer)()
    tuner.metric, tuner.task_model = toy_metric, ToyLM()
    with pytest.raises(ConfigurationError, match="example"):
        tuner.compile(Predict("text -> label"), trainset=[])


@every_optimizer
def test_a_program_of_two_steps(optimizer):
    lm = HintLM()
    result = run(optimizer, lm, program=TwoSteps())
    assert result.stopped == "finished", result.reason
    assert set(result.best.steps) == {"first", "second"}
    failed = [bool(o.error) for trial in result.trials for o in trial.evaluation.outcomes]
    assert sum(failed) <= len(failed) / 2  # the toy model cannot reason first, which Autotune tries
    if optimizer.name not in ("LabeledFewShot", "KNNFewShot", "BootstrapFewShot"):  # which score nothing
        assert result.score > 0.2


@every_optimizer
@pytest.mark.parametrize("start", ["KNNFewShot", "COPRO"])
def test_any_result_is_a_start(optimizer, start):
    lm = ToyLM()
    first = small(next(o for o in OPTIMIZERS if o.name == start))()
    second = small(optimizer)()
    for tuner in (first, second):
        tuner.metric, tuner.task_model, tuner.trainers = toy_metric, lm, (toy_trainer(lm),)
    half = first.compile(Predict("text -> label"), trainset=ROWS[:18], valset=ROWS[18:])
    before = half.candidate()
    whole = second.compile(half, trainset=ROWS[:18], valset=ROWS[18:])
    assert half.candidate().id == before.id
    assert whole.tuning.seed.id == before.id
    assert whole.tuning.stopped == "finished"
