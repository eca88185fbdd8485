"""BetterTogether, Ensemble and the advice which optimizer to take."""

import pytest
from support.small_optimizers import searched

import engine
from engine import MIPRO, BootstrapRS, context
from engine.errors import ConfigurationError
from engine.metrics.matching import ExactMatch
from engine.modules.predict import Predict
from engine.optimizers.better_together import BetterTogether, chain_of
from engine.optimizers.choose import choose_optimizer
from engine.optimizers.copro import COPRO
from engine.optimizers.ensemble import Ensemble, best_of, majority
from engine.optimizers.few_shot import BootstrapFewShot, LabeledFewShot
from engine.optimizers.mipro import MIPROv2
from engine.registry import OPTIMIZERS
from engine.search.budget import Budget
from engine.signature.prediction import Prediction
from engine.testing import DummyLM, ScriptedLM
from engine.testing.contract import ToyLM, toy_metric, toy_rows

ROWS = list(toy_rows(36).values())


# BetterTogether


def test_a_chain_starts_each_step_from_the_last_ones_result():
    tuner = BetterTogether(toy_metric, a=COPRO(breadth=4, depth=1), b=LabeledFewShot(4))
    assert tuner.options.strategy == "a -> b"
    result = searched(tuner)
    last = result.trials[-1].candidate
    assert last.steps["self"].instructions != result.seed.steps["self"].instructions
    assert len(last.steps["self"].demos) == 4
    assert result.score == max(s for s, _ in result.validated())


def test_a_chain_keeps_the_best_even_where_a_later_step_is_worse():
    both = searched(BetterTogether(strategy="LabeledFewShot -> COPRO"))
    assert both.score >= searched(BetterTogether(strategy="LabeledFewShot")).score


@pytest.mark.parametrize("calls", range(80, 140, 20))
def test_what_a_step_has_scored_in_full_is_not_lost_when_the_budget_ends_inside_it(calls):
    result = searched(BetterTogether(strategy="SIMBA -> COPRO"), budget=Budget(calls=calls))
    assert result.score == max(score for score, _ in result.validated()) == 0.5


def test_branches_run_at_once_and_the_better_goes_on():
    assert chain_of("p | COPRO -> q") == [["p", "COPRO"], ["q"]]
    result = searched(BetterTogether(strategy="LabeledFewShot | BootstrapFewShot"))
    assert len(result.validated()) == 3


def test_p_is_random_search_as_in_dspy():
    tuner = BetterTogether(strategy="p -> p")
    assert [type(part) for part in tuner._parts.values()] == [BootstrapRS]


def test_w_trains_weights_as_in_dspy():
    tuner = BetterTogether(strategy="p -> w -> p", optimizer_compile_args={"w": {"base_model": "tiny"}})
    assert tuner._chain == [["p"], ["w"], ["p"]]
    assert tuner._parts["w"].name == "BootstrapFinetune"
    assert tuner._parts["w"].options.base_model == "tiny"


def test_a_chain_names_only_what_there_is():
    with pytest.raises(ConfigurationError, match="'nothing', which is no optimizer"):
        BetterTogether(strategy="p -> nothing")
    with pytest.raises(ConfigurationError, match="write names"):
        BetterTogether(strategy="p ->")


def test_a_chain_compiles_with_its_own_optimizers():
    tuner = BetterTogether(
        toy_metric, q=BootstrapFewShot(max_bootstrapped_demos=2), strategy="q", task_model=ToyLM()
    )
    program = tuner.compile(Predict("text -> label"), trainset=ROWS, seed=3)
    assert program.tuning.stopped == "finished"


def test_a_chain_overrides_options_of_single_optimizers():
    tuner = BetterTogether(
        toy_metric, q=COPRO(breadth=4), strategy="q -> BootstrapFewShot", task_model=ToyLM()
    )
    program = tuner.compile(
        Predict("text -> label"),
        trainset=ROWS,
        optimizer_compile_args={"q": {"depth": 1}, "BootstrapFewShot": {"max_labeled_demos": 0}},
    )
    assert {
        t.candidate.reason[:8] for t in program.tuning.trials if t.candidate.reason.startswith("Round")
    } == {"Round 1:"}
    assert tuner.optimizers["q"].options.depth == 3
    with pytest.raises(ConfigurationError, match="COPRO has no option 'width'"):
        tuner.compile(Predict("text -> label"), trainset=ROWS, optimizer_compile_args={"q": {"width": 1}})


def test_a_later_step_of_a_chain_has_its_own_share_to_spend():
    """What earlier steps spent is not taken off twice."""
    lm = ToyLM()
    result = searched(BetterTogether(strategy="COPRO -> GEPA"), lm, budget=Budget(calls=400))
    assert any(t.label == "rows to learn from" for t in result.trials)
    assert lm.paid <= 400


def test_mipro_is_mipro_v2():
    assert MIPRO is MIPROv2


# Ensemble


def member(label):
    step = Predict("text -> label")
    step.lm = DummyLM([{"label": label}] * 20)
    return step


def test_the_majority_answers():
    program = Ensemble(reduce_fn="majority").compile([member("a"), member("b"), member("b")])
    assert program(text="x").label == "b"


def test_numbers_are_averaged_and_words_voted_on():
    answers = [Prediction(n=1, w="a"), Prediction(n=2, w="b"), Prediction(n=6, w="b")]
    program = Ensemble(reduce_fn="mean")
    joined = program.reduce_fn(answers)
    assert (joined.n, joined.w) == (3.0, "b")
    assert majority(answers[:1]).w == "a"


def test_a_judge_of_ones_own_picks():
    program = Ensemble(reduce_fn=best_of(lambda answer: "abc".index(answer.label)))
    assert program.compile([member("a"), member("c"), member("b")])(text="x").label == "c"


def test_without_a_reduction_all_answers_come_back():
    answers = Ensemble().compile([member("a"), member("b")])(text="x")
    assert [a.label for a in answers] == ["a", "b"]


def test_a_deterministic_sample_asks_the_same_members_for_the_same_input():
    members = [member(str(i)) for i in range(6)]
    program = Ensemble(size=2, deterministic=True).compile(members)
    first, again, other = program(text="x"), program(text="x"), [program(text=f"y{i}") for i in range(6)]
    assert [a.label for a in first] == [a.label for a in again]
    assert len({tuple(a.label for a in answers) for answers in other}) > 1


def test_a_member_that_fails_is_left_out():
    broken = Predict("text -> label")
    broken.lm = DummyLM([])
    program = Ensemble(reduce_fn="majority").compile([broken, member("a")])
    assert program(text="x").label == "a"


def test_an_ensemble_of_a_searchs_candidates_can_be_saved(tmp_path):
    lm = ToyLM()
    tuner = BootstrapRS(toy_metric, task_model=lm, num_candidate_programs=4)
    best = tuner.compile(Predict("text -> label"), trainset=ROWS[:18], valset=ROWS[18:])
    program = Ensemble(reduce_fn="majority", size=2, deterministic=True).compile(best.candidate_programs[:3])
    program.save(tmp_path / "three.json")
    plain = Ensemble(reduce_fn="majority", size=2, deterministic=True).compile(
        [Predict("text -> label") for _ in range(3)]
    )
    plain.load(tmp_path / "three.json")
    with context(lm=lm):
        assert [plain(text=r.text).label for r in ROWS[:6]] == [program(text=r.text).label for r in ROWS[:6]]


def test_an_ensemble_that_cannot_work_says_so():
    with pytest.raises(ConfigurationError, match="at least one program"):
        Ensemble().compile([])
    with pytest.raises(ConfigurationError, match="only 1"):
        Ensemble(size=3).compile([member("a")])
    with pytest.raises(ConfigurationError, match="majority, mean"):
        Ensemble(reduce_fn="best")


# The advice


@pytest.mark.parametrize(
    ("rows", "budget", "name"),
    [
        (0, None, "LabeledFewShot"),
        (2, None, "BayesianSignatureOptimizer"),
        (3, None, "BootstrapFewShot"),
        (19, None, "BootstrapFewShot"),
        (20, None, "Autotune"),
        (200, Budget(calls=2000), "Autotune"),
        (200, Budget(calls=300), "LabeledFewShot"),
        (200, Budget(seconds=600), "Autotune"),
    ],
)
def test_the_advice_follows_rows_and_budget(rows, budget, name):
    advised, reason = choose_optimizer(rows, ExactMatch(), 1, budget)
    assert advised == name
    assert reason.endswith(".")


def test_the_advice_names_only_what_there_is():
    names = {o.name for o in OPTIMIZERS} - {"Autotune"}
    assert choose_optimizer(200, ExactMatch(), 1, Budget(calls=5000), names)[0] in names


class OwnError(Exception):
    """An error of the program's own."""


@pytest.mark.parametrize("optimizer", [engine.BootstrapFewShot, engine.COPRO])
def test_a_programs_own_error_stays_itself(optimizer):
    class Broken(engine.Module):
        def __init__(self):
            super().__init__()
            self.step = engine.Predict("question -> answer")

        def forward(self, question):
            raise OwnError("never works")

    rows = [engine.Example(question="q", answer="a").with_inputs("question")]
    with engine.context(lm=ScriptedLM([])), pytest.raises(OwnError, match="never works"):
        optimizer(metric=lambda e, p, trace=None: 1.0).compile(Broken(), trainset=rows)
