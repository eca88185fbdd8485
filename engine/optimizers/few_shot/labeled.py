"""LabeledFewShot: show every step some of the labelled rows. Calls no model.

Source: DSPy's LabeledFewShot (Khattab et al. 2023, arXiv 2310.03714). Calls: 0.
"""

from __future__ import annotations

from typing import Any

from pydantic import Field

from engine.optimizers.base import Optimizer, Options
from engine.optimizers.shared.demos import with_labeled
from engine.search.contract import Keep, Problem, Search


class LabeledFewShotOptions(Options):
    """Options of LabeledFewShot."""

    k: int = Field(16, ge=0, title="Examples", description="How many labelled rows every step is shown.")
    sample: bool = Field(
        True,
        title="Draw at random",
        description="Draw rows that have little in common; off: take the first ones.",
    )


class LabeledFewShot(Optimizer):
    """Shows every step `k` labelled training rows, drawn at random so that they have little in common.

    Calls: 0. Source: DSPy's LabeledFewShot (arXiv 2310.03714).

    >>> LabeledFewShot(k=4).options.k
    4
    """

    name = "LabeledFewShot"
    title = "Show labelled rows as examples"
    options_model = LabeledFewShotOptions
    changes = "examples"

    options: LabeledFewShotOptions

    def __init__(self, k: int = 16, **arguments: Any) -> None:
        super().__init__(k=k, **arguments)

    def search(self, problem: Problem) -> Search:
        """Keep the starting prompt with labelled rows as examples."""
        rng = problem.rng if self.options.sample else None
        found = with_labeled(problem, problem.seed, self.options.k, rng)
        shown = max((len(state.demos) for state in found.steps.values()), default=0)
        how = "drawn so that they differ" if self.options.sample else "the first ones"
        yield [Keep(found.derived(f"The starting prompt with {shown} labelled rows, {how}.", problem.seed))]
