"""COPRO, InferRules, GEPA, AvatarOptimizer and BayesianSignatureOptimizer: what they learn and what decides."""

import random

import pytest
from support.small_optimizers import batches_of, searched

from engine import GEPA, AvatarOptimizer, BayesianSignatureOptimizer
from engine.errors import ConfigurationError
from engine.metrics.base import Grade
from engine.modules.predict import Predict
from engine.optimizers.copro import COPRO
from engine.optimizers.gepa import auto_rows
from engine.optimizers.gepa.pool import Member, Pool
from engine.optimizers.infer_rules import LEAD_IN, InferRules
from engine.optimizers.shared.texts import components_of
from engine.records import Candidate, Example, StepState
from engine.search.contract import Propose, Score
from engine.testing.contract import ToyLM, toy_metric, toy_rows

ROWS = list(toy_rows(36).values())


def proposals(batches):
    return [ask for batch in batches for ask in batch if isinstance(ask, Propose)]


# COPRO


def test_copro_learns_rules_and_keeps_the_best_on_all_validation_rows():
    result = searched(COPRO(breadth=5, depth=3))
    assert result.score > 0.5
    assert result.score == max(s for s, _ in result.validated())


def test_copro_shows_later_rounds_what_scored_how():
    batches = batches_of(COPRO(breadth=4, depth=2))
    first, second = (b for b in batches if isinstance(b[0], Propose))
    assert len(first) == 3
    assert len(second) == 4
    scores = [a["score"] for a in second[0].inputs["attempts"]]
    assert len(scores) > 1
    assert scores == sorted(scores)


def test_copro_scores_no_wording_twice():
    batches = batches_of(COPRO(breadth=5, depth=3))
    scored = [a.candidate.id for b in batches for a in b if isinstance(a, Score)]
    assert len(scored) == len(set(scored))


# InferRules


def test_infer_rules_returns_the_best_rules_and_leaves_the_student_alone():
    tuner = InferRules(toy_metric, num_candidates=4, task_model=ToyLM())
    student = Predict("text -> label")
    program = tuner.compile(student, trainset=ROWS[:18], valset=ROWS[18:])
    scores = [entry["score"] for entry in program.candidate_programs]
    assert program.score == max(scores)
    assert LEAD_IN not in student.signature.instructions


def test_infer_rules_writes_all_sets_in_one_batch_from_different_orders():
    batches = batches_of(InferRules(num_candidates=5))
    wide = next(b for b in batches if any(isinstance(a, Propose) for a in b))
    asks = [a for a in wide if isinstance(a, Propose)]
    assert len(asks) == 5
    assert len({repr(a.inputs["labelled_examples"]) for a in asks}) == 5


def test_infer_rules_splits_rows_in_half_without_validation_rows():
    train, validation = InferRules().split(ROWS)
    assert (train, validation) == (ROWS[:18], ROWS[18:])
    with pytest.raises(ConfigurationError, match="at least 2"):
        InferRules().split(ROWS[:1])


# BayesianSignatureOptimizer


def test_bayesian_signature_optimizer_changes_wording_alone():
    result = searched(BayesianSignatureOptimizer(n=4))
    assert result.score > 0.4
    assert result.best.steps["self"].demos == ()


def test_wording_for_rows_without_labels_is_proposed_from_runs_and_their_feedback():
    rows = {i: Example(text=row.text).with_inputs("text") for i, row in toy_rows(36).items()}
    batches = batches_of(
        BayesianSignatureOptimizer(n=2), rows=rows, metric=lambda *_: Grade(0.0, "Say the colour.")
    )
    ask = next(a for a in proposals(batches) if "failed_examples" in a.inputs)
    assert {run["said_of_it"] for run in ask.inputs["failed_examples"]} == {"Say the colour."}


# AvatarOptimizer


def test_avatar_sets_bad_runs_beside_good_ones():
    batches = batches_of(AvatarOptimizer(max_iters=2, at_once=2))
    ask = proposals(batches)[0]
    assert all(run["score"] == 0 for run in ask.inputs["bad_runs"])
    assert all(run["score"] == 1 for run in ask.inputs["good_runs"])
    assert searched(AvatarOptimizer(max_iters=6, at_once=3)).score > 0.4


def test_avatar_rewrites_the_descriptions_of_tools_as_well():
    seed = Candidate({"act": StepState("Use tools.", tool_descriptions={"search": "Finds pages."})})
    parts = components_of(seed)
    assert [p.title for p in parts] == [
        "the instructions of act",
        "the description of the tool search in act",
    ]
    changed = parts[1].replaced(seed, "Finds pages by title.")
    assert changed.steps["act"].tool_descriptions == {"search": "Finds pages by title."}
    assert changed.steps["act"].instructions == "Use tools."


def test_avatar_can_be_told_that_less_is_better():
    tuner = AvatarOptimizer(lambda e, p: float(p.label != e.label), optimize_for="min", max_iters=2)
    assert tuner.metric(ROWS[0], ROWS[0]) == 1.0
    with pytest.raises(ConfigurationError, match="lower_bound"):
        AvatarOptimizer(lower_bound=1.0, upper_bound=0.5)


# GEPA


def test_gepa_learns_from_mistakes():
    result = searched(GEPA(max_metric_calls=300))
    assert result.score > 0.6


def test_gepa_never_runs_more_rows_than_it_may():
    for limit in (18, 40, 100, 150):
        batches = batches_of(GEPA(max_metric_calls=limit))
        rows = sum(len(a.rows) for b in batches for a in b if isinstance(a, Score))
        assert rows <= max(limit, 18)


def test_gepa_reflects_on_the_metrics_own_words():
    def explained(example, prediction, trace=None):
        return Grade(float(prediction.label == example.label), f"Look at {example.text.split()[0]}.")

    batches = batches_of(GEPA(max_metric_calls=60), metric=explained)
    runs = proposals(batches)[0].inputs["runs"]
    assert runs[0]["feedback"].startswith("Look at ")
    assert [r["score"] for r in runs] == sorted(r["score"] for r in runs)


def test_gepa_makes_words_from_the_labels_where_the_metric_has_none():
    runs = proposals(batches_of(GEPA(max_metric_calls=60), metric=lambda e, p: e.label == p.label))[0].inputs[
        "runs"
    ]
    right = runs[0]["outputs"]["label"]
    assert right in runs[0]["feedback"]


def test_gepa_skips_rows_that_are_right_already():
    batches = batches_of(GEPA(max_metric_calls=200), metric=lambda e, p: 1.0)
    assert proposals(batches) == []
    batches = batches_of(GEPA(max_metric_calls=60, skip_perfect_score=False), metric=lambda e, p: 1.0)
    assert proposals(batches)


def test_gepa_takes_ties_on_when_told_to():
    def flat(example, prediction):
        return 0.5

    strict = searched(GEPA(max_metric_calls=200), metric=flat)
    lenient = searched(GEPA(max_metric_calls=200, acceptance_criterion="or_equal"), metric=flat)
    assert len(strict.validated()) == 1
    assert len(lenient.validated()) > 1


def test_gepa_takes_a_metric_of_five_arguments():
    def metric(gold, pred, trace, pred_name, pred_trace):
        return {"score": 1.0, "feedback": "fine"}["score"] if gold.label == pred.label else 0.0

    tuner = GEPA(metric, reflection_lm=ToyLM(), task_model=ToyLM(), max_metric_calls=60)
    program = tuner.compile(Predict("text -> label"), trainset=ROWS[:18], valset=ROWS[18:])
    assert program.score is not None


def test_gepa_takes_one_limit():
    assert GEPA(max_full_evals=2).options.max_full_evals == 2
    with pytest.raises(ConfigurationError, match="one of auto"):
        GEPA(max_full_evals=2, max_metric_calls=20)
    with pytest.raises(ConfigurationError, match="one of auto"):
        GEPA(auto="light", max_metric_calls=20)
    with pytest.raises(ConfigurationError, match="code_proposer"):
        GEPA(code_proposer=object())
    made = GEPA(gepa_kwargs={"acceptance_criterion": "or_equal", "module_selector": "all", "run_dir": "here"})
    assert made.options.acceptance_criterion == "improvement_or_equal"
    assert made.options.component_selector == "all"


def test_gepa_stops_where_it_is_told_to():
    few = searched(GEPA(max_metric_calls=600, max_candidate_proposals=3, num_parallel_proposals=1))
    assert "3 texts were rewritten" in few.reason
    good = searched(GEPA(max_metric_calls=600, score_threshold=0.1))
    assert "good enough" in good.reason
    stuck = searched(GEPA(max_metric_calls=900, patience=1), metric=lambda e, p: 0.5)
    assert "A round brought nothing new" in stuck.reason


def test_gepas_writer_can_be_told_in_own_words():
    template = "Improve <curr_param> so that <side_info> go well. Rhyme."
    asks = proposals(batches_of(GEPA(max_metric_calls=60, reflection_prompt_template=template)))
    assert asks[0].signature.instructions == "Improve `current_instructions` so that `runs` go well. Rhyme."


def test_gepas_proposals_of_a_round_share_parents_when_told_to():
    def parents(n):
        batches = batches_of(GEPA(max_metric_calls=500, num_parents=n, num_parallel_proposals=4))
        return [
            {a.candidate.id for a in batch if isinstance(a, Score) and a.label == "rows to learn from"}
            for batch in batches
        ]

    assert max(map(len, parents(1))) == 1
    assert max(map(len, parents(None))) > 1


@pytest.mark.parametrize(
    ("n", "steps", "rows", "total"), [(6, 1, 20, 460), (12, 2, 100, 1740), (18, 5, 300, 8395)]
)
def test_gepas_budgets_are_dspys(n, steps, rows, total):
    assert auto_rows(n, steps, rows) == total


def pool_of(*scores):
    pool = Pool()
    for i, row_scores in enumerate(scores):
        candidate = Candidate({"a": StepState(f"text {i}")})
        pool.add(Member(candidate, dict(enumerate(row_scores)), (0,) if i else ()))
    return pool


@pytest.mark.parametrize("strategy", ["pareto", "current_best", "epsilon_greedy", "top_k_pareto"])
def test_every_way_to_choose_a_parent_is_seeded(strategy):
    pool = pool_of((0, 0, 0), (1, 1, 0), (0, 0, 1))
    first, again = (
        [pool.select(strategy, rng) for _ in range(20)] for rng in (random.Random(3), random.Random(3))
    )
    assert first == again
    assert set(first) <= {0, 1, 2}


def test_a_merge_takes_from_each_side_what_it_changed():
    root = Candidate({"a": StepState("A0"), "b": StepState("B0")})
    left, right = root.with_step("a", instructions="A1"), root.with_step("b", instructions="B1")
    pool = Pool()
    pool.add(Member(root, {0: 0, 1: 0}))
    pool.add(Member(left, {0: 1, 1: 0}, (0,)))
    pool.add(Member(right, {0: 0, 1: 1}, (0,)))
    joined, one, other = pool.merge(random.Random(0))
    assert (one, other) == (1, 2)
    assert {p: s.instructions for p, s in joined.steps.items()} == {"a": "A1", "b": "B1"}
    assert pool.contested_rows(1, 2, 5, random.Random(0)) == (0, 1)
    assert pool.merge(random.Random(0)) is None


def test_two_that_changed_the_same_text_are_not_merged():
    pool = pool_of((0, 0), (1, 0), (0, 1))
    assert pool.merge(random.Random(0)) is None
