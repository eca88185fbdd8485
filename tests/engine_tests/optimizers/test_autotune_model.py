"""Autotune's factorial model and how it copes with a large table."""

import math
import random

import numpy as np
import pytest
from support.small_optimizers import Relay

from engine.optimizers.autotune.evidence import FactorialModel
from engine.optimizers.autotune.options import AutotuneOptions
from engine.optimizers.autotune.search import AutotuneSearch
from engine.optimizers.autotune.space import Level
from engine.records import Outcome, TraceStep
from engine.search.settings import make_problem
from engine.testing.contract import ToyLM, toy_rows, toy_settings


def cells(rows: int = 30):
    rng = random.Random(3)
    option_sets = [((), "start"), (("a",), "one"), (("b",), "two"), (("a", "b"), "both")]
    return [
        (terms, own, row, float(rng.random() < 0.3 + 0.3 * ("a" in terms)))
        for terms, own in option_sets
        for row in range(rows)
    ]


def fitted_plainly(known, sds=(2.0, 0.8, 0.25, 1.5)):
    """The same model with every row's difficulty in one matrix, by many small steps."""
    names = ["mean", *dict.fromkeys(t for terms, *_ in known for t in terms)]
    names += [*dict.fromkeys(own for _, own, *_ in known), *dict.fromkeys(row for *_, row, _ in known)]
    at = {name: i for i, name in enumerate(names)}
    sd = [
        sds[0] if n == "mean" else sds[3] if isinstance(n, int) else sds[1] if len(n) == 1 else sds[2]
        for n in names
    ]
    design = np.zeros((len(known), len(names)))
    for i, (terms, own, row, _) in enumerate(known):
        design[i, [at[name] for name in ("mean", *terms, own, row)]] = 1.0
    scores = np.array([score for *_, score in known])
    theta = np.zeros(len(names))
    for _ in range(40):
        chance = 1 / (1 + np.exp(-design @ theta))
        hessian = (design.T * (chance * (1 - chance))) @ design + np.diag(np.array(sd) ** -2.0)
        theta += np.linalg.solve(hessian, design.T @ (scores - chance) - np.array(sd) ** -2.0 * theta)
    return theta, np.linalg.inv(hessian), at


def test_the_model_is_the_one_it_says_it_is_however_it_is_solved():
    known = cells()
    theta, covariance, at = fitted_plainly(known)
    contrast = np.zeros(len(theta))
    contrast[[at["a"], at["one"]]], contrast[at["start"]] = 1.0, -1.0
    spread = math.sqrt(contrast @ covariance @ contrast)
    expected = 0.5 * math.erfc(-float(contrast @ theta) / (spread * math.sqrt(2)))
    model = FactorialModel(known, seed=1)
    assert abs(model.chance(("a",), "one", (), "start") - expected) < 1e-3
    rows = theta[[at[row] for row in range(30)]]

    def mean(*names: str) -> float:
        return float(np.mean(1 / (1 + np.exp(-(sum(theta[at[n]] for n in names) + rows)))))

    gain = mean("mean", "a", "one") - mean("mean", "start")
    assert abs(model.gain(("a",), "one", (), "start") - gain) < 1e-3
    draws = [model.sample()["a"] for _ in range(4000)]
    assert abs(np.mean(draws) - theta[at["a"]]) < 0.05
    assert abs(np.std(draws) - math.sqrt(covariance[at["a"], at["a"]])) < 0.05


def test_of_prompts_that_are_as_good_the_shortest_wins_and_a_reasoning_counts_as_text():
    search = AutotuneSearch(
        make_problem(toy_settings(ToyLM()), calls=400), AutotuneOptions(), random.Random(1)
    )
    space, evidence = search.space, search.evidence
    (rules,) = space.places("rules")
    (reasoning,) = space.places("reasoning")
    space.add(rules, Level("many rules", rules=tuple(f"Rule {i} of many." for i in range(40))))
    space.add(rules, Level("few rules", rules=("One rule.",)))
    space.add(reasoning, Level("reasons", reason_first=True))

    def option_set(rule: int, reasons: int) -> tuple[int, ...]:
        return tuple({rules: rule, reasoning: reasons}.get(p, 0) for p in range(len(space.factors)))

    right = {row: float(row % 5 > 0) for row in range(40)}
    evidence.scores[space.start] = dict.fromkeys(range(40), 0.0)
    evidence.scores[option_set(1, 0)] = {**right, 0: 1.0}
    evidence.scores[option_set(2, 0)] = evidence.scores[option_set(2, 1)] = right
    assert evidence.as_good()[0] == option_set(2, 0)
    evidence.scores[option_set(2, 0)] = {row: right[row] for row in range(8)}  # too few rows to say so
    assert evidence.as_good()[0] == option_set(2, 1)
    evidence.scores[option_set(2, 1)] = {row: float(row % 2) for row in range(38)}
    assert evidence.as_good() == [option_set(1, 0)]


def test_an_inner_step_is_shown_only_what_ended_well_more_often_than_not():
    search = AutotuneSearch(
        make_problem(toy_settings(ToyLM(), program=Relay()), calls=400), AutotuneOptions(), random.Random(1)
    )
    wrote = [("harbour", "red", 1.0)] * 5 + [("harbour", "blue", 0.0)] * 3 + [("harbour", "blue", 1.0)]
    wrote += [("meadow", "green", 0.0), ("meadow", "green", 0.0), ("meadow", "green", 1.0)]
    search.levels.traces[search.space.start] = {
        row: Outcome(row, score, trace=(TraceStep("second", {"hint": hint}, {"label": label}),))
        for row, (hint, label, score) in zip(search.train_order, wrote, strict=False)
    }
    shown = [
        dict(demo.values)
        for place, number in search.levels.add_examples()
        if search.space.factors[place] == ("second", "examples")
        for demo in search.space.levels[place][number].demos or ()
    ]
    assert shown == [{"hint": "harbour", "label": "red"}] * len(shown)
    assert shown


def test_of_a_large_table_no_more_rows_are_drawn_than_there_can_be_calls_for():
    settings = toy_settings(
        ToyLM(), rows=toy_rows(6000), train=tuple(range(3000)), validation=tuple(range(3000, 6000))
    )
    problem = make_problem(settings, calls=200)
    search = AutotuneSearch(problem, AutotuneOptions(), random.Random(1))
    assert len(set(search.order)) == len(set(search.train_order)) == 200
    assert max(search.order) > 4000


@pytest.mark.parametrize("changed", [True, False])
def test_a_lucky_start_does_not_end_the_check_where_something_that_was_tried_changes_answers(changed):
    search = AutotuneSearch(
        make_problem(toy_settings(ToyLM()), calls=400), AutotuneOptions(), random.Random(1)
    )
    space, evidence = search.space, search.evidence
    (rules,) = space.places("rules")
    start = {row: float(row % 2) for row in range(32)}
    evidence.scores[space.start] = start
    for number in range(4):
        at = space.add(rules, Level(f"rules {number}", rules=(f"Rule {number}.",)))
        tried = tuple(at if place == rules else 0 for place in range(len(space.factors)))
        evidence.scores[tried] = {row: start[row] for row in range(16)}
        if changed:
            evidence.scores[tried] |= {0: 1.0, 1: 0.0}
    assert 0.2 < evidence.useful_gain_chance() < 0.5
    assert evidence.is_hopeless(100) is not changed
