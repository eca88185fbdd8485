"""The calls of every optimizer: the formula in its docstring holds for the estimate, and the estimate for the run."""

import math

import pytest
from support.small_optimizers import HintLM, Relay, TwoSteps

from engine import loop
from engine.modules.predict import Predict
from engine.optimizers.few_shot_search import BootstrapFewShotWithOptuna
from engine.registry import OPTIMIZERS
from engine.search.budget import Budget
from engine.search.driver import Driver
from engine.search.estimate import estimate
from engine.testing.contract import toy_rows, toy_settings

TRAIN, V = 40, 60
MINIBATCH, READERS, EXAMPLES_FROM = 35, 10, 6


def mipro(steps: int, *, examples: bool) -> int:
    """MIPROv2's formula, light."""
    n = EXAMPLES_FROM
    trials = int(max(2 * steps * (2 if examples else 1) * math.log2(n), 1.5 * n))
    instructions = n // 2 if examples else n
    if examples:
        combinations = (instructions * n) ** steps
        trials = math.ceil(combinations * (1 - (1 - 1 / combinations) ** trials))
    scores = (1 + math.ceil(trials / 5)) * V + trials * MINIBATCH
    solving = TRAIN * steps if examples or steps > 1 else 0
    return scores * steps + steps * (instructions - 1) + READERS + solving


def gepa(steps: int) -> int:
    """GEPA's formula, light."""
    n = EXAMPLES_FROM
    trials = int(max(4 * steps * math.log2(n), 1.5 * n))
    rows = V + 5 * n + 35 * trials + ((trials + 1) // 5 + 1) * V
    return rows * steps + rows // 6


def better_together(steps: int) -> int:
    """The sum of its chain's: a random search, MIPROv2 of what it found, and a full score of each result."""
    return FORMULAS["BootstrapFewShotWithRandomSearch"](steps) + mipro(steps, examples=True) + 3 * V * steps


FORMULAS = {
    "Autotune": lambda c: 250 * c + 4 * V * c,
    "LabeledFewShot": lambda c: 0,
    "BootstrapFewShot": lambda c: TRAIN * c,
    "BootstrapFewShotWithRandomSearch": lambda c: (16 + 3) * V * c + TRAIN * c,
    "BootstrapFewShotWithOptuna": lambda c: TRAIN * c + (16 + 1) * V * c,
    "KNNFewShot": lambda c: TRAIN * c,
    "COPRO": lambda c: c * 10 * 3 - c + (1 + c * 10 * 3 + (3 if c > 1 else 0)) * V * c,
    "BayesianSignatureOptimizer": lambda c: mipro(c, examples=False),
    "GEPA": gepa,
    "AvatarOptimizer": lambda c: (1 + 30) * V * c + 30 * TRAIN * c + 30 * c,
    "MIPROv2": lambda c: mipro(c, examples=True),
    "SIMBA": lambda c: 8 * (6 * 32 + 7 * 32) * c + 7 * V * c + 8 * 7 * c,
    "InferRules": lambda c: TRAIN * c + c * 10 + (2 + 10) * V * c,
    "FieldByField": lambda c: V * c + 2 * (TRAIN * c + 2 * c * 3 + (3 + 1) * V * c),
    "BetterTogether": better_together,
    "BootstrapFinetune": lambda c: TRAIN * c + (1 + 4) * V * c,
    "GRPO": lambda c: 20 * 8 * 8 * c + (1 + 4) * V * c,
}
"""Optimizer -> the most calls that its docstring names for its defaults, by the number of steps (one call each a row)."""


class KeepingLM(HintLM):
    """Says of itself what is true: that it answers the same request from its cache."""

    caches = True


def made(kind, program):
    lm = KeepingLM()
    settings = toy_settings(
        lm,
        program=program,
        rows=toy_rows(TRAIN + V),
        train=tuple(range(TRAIN)),
        validation=tuple(range(TRAIN, TRAIN + V)),
    )
    said = estimate(kind().search, settings).calls
    assert lm.paid == 0
    result = loop.run(Driver(settings).search(kind().search))
    assert result.usage.calls == lm.paid
    return said, lm.paid


@pytest.mark.parametrize("steps", [1, 2])
@pytest.mark.parametrize("kind", OPTIMIZERS, ids=lambda o: o.name)
def test_a_run_keeps_to_its_estimate_and_both_to_the_formula(kind, steps):
    said, paid = made(kind, Predict("text -> label") if steps == 1 else TwoSteps())
    most = FORMULAS[kind.name](steps)
    assert said.high <= most
    assert paid <= most
    assert said.low <= paid <= said.high or abs(said.typical - paid) <= 0.15 * paid


@pytest.mark.parametrize("kind", OPTIMIZERS, ids=lambda o: o.name)
def test_a_docstring_has_a_source_the_calls_and_an_example(kind):
    text = " ".join((kind.__doc__ or "").split())
    assert "Source" in text
    assert "Calls" in text
    assert f">>> {kind.__name__}(" in text


def test_what_the_cache_spares_pays_for_more_trials():
    lm = KeepingLM()
    settings = toy_settings(
        lm,
        program=Relay(),
        rows=toy_rows(TRAIN + V),
        train=tuple(range(TRAIN)),
        validation=tuple(range(TRAIN, TRAIN + V)),
        budget=Budget(calls=6 * V),
    )
    result = loop.run(Driver(settings).search(BootstrapFewShotWithOptuna().search))
    full = [t for t in result.trials if t.complete and len(t.evaluation.outcomes) == V]
    assert lm.paid <= 6 * V
    assert len(full) >= 4  # at two calls a row it would be three
    assert result.stopped == "finished", result.reason
