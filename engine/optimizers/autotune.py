"""Autotune: check for headroom, write rules from many failures at once, choose with one model, race, settle.

Parts and their sources: proposals as mergeable rules from grouped failures with nearest successes
(arXiv 2510.04618, 2606.30840), a factorial model over every (candidate, row) cell with Thompson sampling
(after arXiv 2405.17202), paired races (arXiv 2504.16005), halving of finalists (arXiv 2402.09723), the
headroom check first (arXiv 2604.14585). The combination is this project's own.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import ClassVar, Literal

from pydantic import Field

from engine.errors import ConfigurationError
from engine.optimizers.autotune_rounds import Tuning
from engine.optimizers.autotune_standing import Parts, Plan
from engine.optimizers.base import Optimizer, Options
from engine.records import Example
from engine.search.contract import Problem, Search


class AutotuneOptions(Options):
    """Options of Autotune."""

    max_calls: int | None = Field(
        None,
        ge=1,
        title="Calls to plan for",
        description="How many model calls the search plans with; empty: the budget, or a number that suits the data.",
    )
    max_examples: int = Field(
        16,
        ge=0,
        title="Examples in all",
        description="At most this many solved or labelled rows are shown to a step.",
    )
    proposals: int = Field(
        4,
        ge=0,
        title="Proposals a round",
        description="How many readers write rules for each step, side by side.",
    )
    max_rounds: int = Field(
        6, ge=1, title="Rounds", description="At most this many rounds of writing rules and racing them."
    )
    stop_early: bool = Field(
        True,
        title="Check for headroom",
        description="Stop after the first round where nothing seems to help.",
    )
    leave_out: tuple[Literal["rules", "examples", "model", "failures", "memory", "finals"], ...] = Field(
        (),
        title="Parts to leave out",
        description="For experiments: parts of the method that are switched off.",
    )
    seed: int = Field(0, title="Seed", description="Another number draws other rows and combinations.")


class Autotune(Optimizer):
    """Finds out whether there is anything to gain, writes rules and picks examples, and keeps what surely helps.

    Calls, for a plan of B calls (the budget's, or 250 c + 4 V c with c calls a row and V <= 100 validation
    rows): at most 0.15 B for the check and the first race, 4 a step and round for rules, blocks of 24 rows for
    2 to 5 combinations a round, and at most 0.2 B for the finals; fewer where nothing more can be gained.
    Sources: arXiv 2510.04618, 2405.17202, 2504.16005, 2402.09723, 2604.14585.

    >>> Autotune(seed=3).options.max_examples
    16
    """

    name: ClassVar[str] = "Autotune"
    title: ClassVar[str] = "Write rules from mistakes and prove them"
    options_model: ClassVar[type[Options]] = AutotuneOptions
    changes: ClassVar[Literal["nothing", "examples", "wording", "both"]] = "both"

    options: AutotuneOptions

    def search(self, problem: Problem) -> Search:
        """Check, go round, settle; see `engine.optimizers.autotune_rounds`."""
        o = self.options
        rng = random.Random(f"{o.seed}:{problem.rng.getrandbits(64)}")
        return (yield from Tuning(problem, make_plan(o, problem), rng).search())

    def split(
        self, trainset: Sequence[Example], valset: Sequence[Example] | None
    ) -> tuple[Sequence[Example], Sequence[Example]]:
        """Without a valset half of the rows are learned from and half are for choosing; few rows do both."""
        if valset is not None:
            return trainset, valset
        if not trainset:
            raise ConfigurationError("The trainset is empty: give at least one example.")
        if len(trainset) < 20:
            return trainset, trainset
        order = list(trainset)
        random.Random(self.options.seed).shuffle(order)
        return order[: len(order) // 2], order[len(order) // 2 :]


def make_plan(o: AutotuneOptions, problem: Problem) -> Plan:
    """Return the plan of the options and the budget."""
    usual = (250 + 4 * min(100, len(problem.validation))) * problem.calls_per_row
    allowed = problem.allowance.calls
    calls = o.max_calls or allowed or usual
    if allowed is not None:
        calls = min(calls, allowed)
    counts = tuple(sorted({k for k in (o.max_examples // 2, o.max_examples) if k}))
    left_out = dict.fromkeys(o.leave_out, False)
    parts = Parts(**left_out, headroom=o.stop_early)
    if not counts:
        parts = Parts(**{**left_out, "examples": False}, headroom=o.stop_early)
    if not o.proposals:
        parts = Parts(**{**left_out, "rules": False}, headroom=o.stop_early)
    # A small budget is for scoring, not for writing.
    proposals = min(o.proposals, max(1, calls // 40)) if o.proposals else 0
    return Plan(max(1, calls), counts, proposals, o.max_rounds, parts)
