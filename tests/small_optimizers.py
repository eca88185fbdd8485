"""Registered optimizers with options that make a toy run short, for tests that run all of them often."""

from collections.abc import Callable
from functools import partial

from engine.optimizers.base import Optimizer

SMALL: dict[str, dict[str, object]] = {
    "AvatarOptimizer": {"max_iters": 4, "at_once": 2},
    "BetterTogether": {"strategy": "COPRO -> BootstrapFewShot"},
    "COPRO": {"breadth": 4, "depth": 2},
    "GEPA": {"max_metric_calls": 150},
    "InferRules": {"num_candidates": 3},
    "SIMBA": {"max_steps": 2, "bsize": 9, "num_candidates": 3},
}


def small(optimizer: type[Optimizer]) -> Callable[[], Optimizer]:
    """Return what makes the optimizer, with small options where it has any."""
    return partial(optimizer, **SMALL.get(optimizer.name, {}))
