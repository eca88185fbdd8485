"""GEPA's front by rows or by objectives, and the gepa package's own arguments."""

import random
from dataclasses import make_dataclass

import pytest
from support.small_optimizers import TwoSteps, batches_of, searched

from engine import GEPA
from engine.errors import ConfigurationError
from engine.metrics import ExactMatch
from engine.metrics.base import Grade
from engine.metrics.custom import WeightedSum
from engine.modules.predict import Predict
from engine.optimizers.gepa.pool import Member, Pool
from engine.records import Candidate, Evaluation, Example, Outcome, StepState
from engine.search.contract import Propose, Score
from engine.search.settings import make_problem
from engine.signature.prediction import Prediction
from engine.testing.contract import ToyLM, toy_metric, toy_rows, toy_settings

ROWS = toy_rows(36)


def member(text, *rows):
    """A member by what each row scored on `right` and on `brief`; its score is their mean."""
    outcomes = tuple(
        Outcome(i, (right + brief) / 2, objective_scores={"right": right, "brief": brief})
        for i, (right, brief) in enumerate(rows)
    )
    return Member.of(Candidate({"s": StepState(text)}), Evaluation("x", outcomes))


def pool(kind, *members):
    made = Pool(kind)
    for one in members:
        made.add(one)
    return made


# Scores of two rows on two objectives. On no row is the second ahead, but it is the best at being brief; the last
# leads on one objective of one row only.
FOUR = (
    member("even", (1.0, 0.4), (1.0, 0.4)),
    member("brief", (0.0, 0.9), (0.0, 0.9)),
    member("first row", (1.0, 1.0), (0.0, 0.0)),
    member("worst", (0.0, 0.0), (0.0, 1.0)),
)


@pytest.mark.parametrize(
    ("kind", "front"),
    [
        ("instance", {0: 1, 2: 1}),
        ("objective", {0: 1, 1: 1}),
        ("hybrid", {0: 2, 1: 1, 2: 1}),
        ("cartesian", {0: 2, 2: 2, 3: 1}),
    ],
)
def test_a_front_compares_rows_objectives_both_or_each_on_each(kind, front):
    assert pool(kind, *FOUR).frontier() == front


def test_a_row_that_failed_has_met_no_objective():
    failed = Outcome(1, 0.0, error="The model said nothing.")
    half = Member.of(
        FOUR[0].candidate, Evaluation("x", (Outcome(0, 1.0, objective_scores={"right": 1.0}), failed))
    )
    assert half.marks("objective") == {"right": 0.5}
    assert half.marks("cartesian") == {(0, "right"): 1.0, (1, "right"): 0.0}


def test_the_best_few_on_a_front_of_objectives_may_have_none():
    bare = Member(Candidate({"s": StepState("bare")}), {0: 1.0, 1: 1.0})
    assert pool("cartesian", FOUR[1], bare).select("top_k_pareto", random.Random(0), top_k=1) == 1


def both(example, prediction):
    """Right, and the first letter right: two objectives of one answer."""
    each = {
        "right": toy_metric(example, prediction),
        "letter": float(prediction.label[:1] == example.label[:1]),
    }
    return {"score": sum(each.values()) / 2, "objective_scores": each}


def run(optimizer, metric, **changes):
    return searched(optimizer, metric=metric, **changes)


@pytest.mark.parametrize("kind", ["objective", "hybrid", "cartesian"])
def test_gepa_compares_prompts_on_what_the_metric_judges(kind):
    made = GEPA(max_metric_calls=200, frontier_type=kind)
    result = run(made, lambda e, p: Prediction(**both(e, p)))
    assert result.stopped == "finished", result.reason
    assert result.score == max(score for score, _ in result.validated())
    assert "objective_scores" not in result.reason
    assert all(o.objective_scores.keys() == {"right", "letter"} for o in result.trials[0].evaluation.outcomes)
    again = run(made, lambda e, p: Prediction(**both(e, p)))
    assert [t.candidate.id for t in again.trials] == [t.candidate.id for t in result.trials]


def test_gepa_says_that_it_compared_rows_where_the_metric_judges_one_thing():
    made = run(GEPA(max_metric_calls=150, frontier_type="cartesian"), toy_metric)
    assert made.stopped == "finished"
    assert "compared by rows" in made.reason


def test_metrics_tell_what_they_judge_by_name():
    row = Example(text="Ann paid.", team="billing", mood="calm").with_inputs("text")
    answer = Example(team="billing", mood="cross")
    assert ExactMatch(every_output=True)(row, answer).objective_scores == {"team": 1.0, "mood": 0.0}
    parts = WeightedSum(parts="ExactMatch=1, TokenF1=1").compare("red scarf", "red hat").objective_scores
    assert parts == {"ExactMatch": 0.0, "TokenF1": 0.5}
    assert ExactMatch(field="team")(row, answer).objective_scores is None
    assert Grade(0.5, "", {"a": 0.5}) == 0.5


# The package's arguments


def object_of(name, **values):
    """An object as the gepa package has it: known by the name of its class and by what it holds."""
    return make_dataclass(name, list(values))(**values)


@pytest.mark.parametrize(
    ("argument", "given", "options"),
    [
        (
            "sampling_strategy",
            object_of("PxNSampling", p=2, n=3),
            {"num_parallel_proposals": 6, "num_parents": 2},
        ),
        ("sampling_strategy", object_of("SingleMutationSampling"), {"num_parallel_proposals": 1}),
        (
            "sampling_strategy",
            object_of("SameParentSampling", n=4),
            {"num_parallel_proposals": 4, "num_parents": 1},
        ),
        (
            "sampling_strategy",
            object_of("IndependentSampling", n=4),
            {"num_parallel_proposals": 4, "num_parents": None},
        ),
        ("selection_strategy", object_of("AllImprovements"), {"validate_best": None}),
        ("selection_strategy", object_of("TopKImprovements", k=3), {"validate_best": 3}),
        (
            "acceptance_criterion",
            object_of("ImprovementOrEqualAcceptance"),
            {"acceptance_criterion": "improvement_or_equal"},
        ),
        (
            "candidate_selection_strategy",
            object_of("EpsilonGreedyCandidateSelector", epsilon=0.3),
            {"candidate_selection_strategy": "epsilon_greedy", "epsilon": 0.3},
        ),
        ("module_selector", object_of("AllReflectionComponentSelector"), {"component_selector": "all"}),
        (
            "batch_sampler",
            object_of("EpochShuffledBatchSampler", minibatch_size=5),
            {"reflection_minibatch_size": 5},
        ),
        ("batch_sampler", "epoch_shuffled", {}),
        ("val_evaluation_policy", object_of("FullEvaluationPolicy"), {}),
        ("frontier_type", "hybrid", {"frontier_type": "hybrid"}),
        (
            "stop_callbacks",
            [
                object_of("NoImprovementStopper", max_iterations_without_improvement=7),
                object_of("ScoreThresholdStopper", threshold=0.9),
                object_of("MaxTrackedCandidatesStopper", max_tracked_candidates=4),
            ],
            {"patience": 7, "score_threshold": 0.9, "max_tracked_candidates": 4},
        ),
        ("mlflow_tracking_uri", "http://127.0.0.1:1", {}),
    ],
)
def test_the_gepa_packages_arguments_are_understood(argument, given, options):
    made = GEPA(gepa_kwargs={argument: given}).options
    assert {name: getattr(made, name) for name in options} == options


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("max_reflection_cost", 2.0, r"Budget\(usd"),
        ("stop_callbacks", [print], "patience"),
        ("stop_callbacks", object_of("FileStopper", stop_file_path="stop"), "Budget"),
        ("sampling_strategy", print, "num_parallel_proposals"),
        ("frontier_type", "everything", "frontier_type"),
    ],
)
def test_what_has_no_meaning_here_is_refused_in_a_sentence(name, value, words):
    with pytest.raises(ConfigurationError, match=words):
        GEPA(gepa_kwargs={name: value})


def test_a_template_names_both_places():
    for given in ("Rewrite it.", {"self": "Rewrite <curr_param>."}):
        with pytest.raises(ConfigurationError, match="curr_param"):
            GEPA(reflection_prompt_template=given)


def test_a_step_can_have_a_template_of_its_own():
    made = GEPA(max_metric_calls=60, reflection_prompt_template={"self": "Mend <curr_param> by <side_info>."})
    told = {a.signature.instructions for batch in batches_of(made) for a in batch if isinstance(a, Propose)}
    assert told == {"Mend `current_instructions` by `runs`."}


def test_the_starting_prompt_is_scored_beside_the_first_proposals():
    first = batches_of(GEPA(max_metric_calls=200))[0]
    labels = [ask.label for ask in first if isinstance(ask, Score)]
    assert labels[0] == "starting prompt"
    assert set(labels[1:]) == {"rows to learn from"}


@pytest.mark.parametrize(
    ("program", "options", "proposals"),
    [
        (Predict("text -> label"), {}, 8),
        (TwoSteps(), {}, 13),
        (TwoSteps(), {"num_parallel_proposals": 5}, 5),
    ],
)
def test_a_round_of_several_steps_takes_more_proposals_unless_a_number_was_chosen(
    program, options, proposals
):
    first = next(GEPA(**options).search(make_problem(toy_settings(ToyLM(), program=program))))
    assert sum(ask.label == "rows to learn from" for ask in first) == proposals


def test_gepa_ends_with_as_many_prompts_as_allowed():
    few = run(GEPA(max_metric_calls=900, max_tracked_candidates=2), toy_metric)
    assert "as many as were allowed" in few.reason


def test_an_invented_value_is_nothing_to_lead_in():
    pool = Pool("objective")
    for at, objectives in enumerate(({"right": 1.0}, {"right": 0.5, "invented": 0.0})):
        score = sum(objectives.values()) / len(objectives)
        evaluation = Evaluation(str(at), (Outcome(0, score, objective_scores=objectives),))
        pool.add(Member.of(Candidate({"a": StepState(str(at))}), evaluation))
    assert pool.frontier() == {0: 1}
