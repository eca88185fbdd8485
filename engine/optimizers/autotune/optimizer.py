"""Autotune: the optimizer's class and options; see the package for its parts."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import ClassVar, Literal

from pydantic import Field

from engine.errors import ConfigurationError
from engine.optimizers.autotune.search import Tuning
from engine.optimizers.autotune.standing import Parts, Plan
from engine.optimizers.base import Optimizer, Options
from engine.records import Example
from engine.search.contract import Problem, Search

Part = Literal["rules", "examples", "nearest", "reasoning", "layout", "model", "runs"]
"""What can be left out, to see what it is worth."""


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
        title="Examples shown",
        description="At most this many solved or labelled rows are shown to a step at once; 0: none.",
    )
    proposals: int = Field(
        6,
        ge=0,
        title="Readers a round",
        description="How many readers write rules for each step, side by side; 0: no rules.",
    )
    max_rounds: int = Field(
        6, ge=1, title="Rounds", description="At most this many rounds of writing rules and racing them."
    )
    stop_early: bool = Field(
        True,
        title="Check for headroom",
        description="Stop after the first round where nothing seems to help.",
    )
    leave_out: tuple[Part, ...] = Field(
        (),
        title="Parts to leave out",
        description="For experiments: parts of the method that are switched off.",
    )
    seed: int = Field(0, title="Seed", description="Another number draws other rows and combinations.")


class Autotune(Optimizer):
    """Finds out whether there is anything to gain, writes rules and picks examples, and keeps what surely helps.

    A check scores the starting prompt on some rows, and at the same time labelled rows as examples, the few most
    similar to each input (a row never sees itself; where there are few, those that cover most). Meanwhile readers write
    rules from labelled rows, later from whole runs that failed beside similar ones that went right. Rounds race
    combinations of rules, examples and reasoning first on one shared row order, while the next rules are written; a
    factorial model of all scores picks them (Thompson sampling). Where answers come out garbled, the other adapters are
    levels too (unless a person has chosen one), and one that is read with fewer calls carries the rest. It stops when
    two rounds bring nothing, and settles between the best few with what is left. The start is kept unless it is beaten
    with a probability of 0.95 (0.8 for 10 points or more where words of the inputs tell of the labels).
    Differences are shrunk by priors in the model and in each pair, which is what guards against the luck of the best
    of many (Gelman, Hill and Yajima 2012, arXiv 0907.2478). A set of rules says how many labelled rows bear out.

    Calls, for a plan of B calls (the budget's, or 250 c + 4 V c with c calls a row and V <= 100 validation
    rows): at most 0.15 B until it is known that there is nothing to gain (8 rows a candidate are the least, so a small
    budget takes a larger share), 6 a step and round for rules, 8 to 24 rows for each of 2 to 5 combinations a round, and
    at most B in all.

    `tests/benchmarks/README.md` shows what each part is worth and what was tried and left out.
    Sources: arXiv 2510.04618, 2606.30840, 2405.17202, 2504.16005, 2402.09723, 2604.14585; neighbours as examples:
    2101.06804. The combination is this project's own.

    >>> Autotune(seed=3).options.max_examples
    16
    """

    name: ClassVar[str] = "Autotune"
    title: ClassVar[str] = "Write rules from mistakes and prove them"
    options_model: ClassVar[type[Options]] = AutotuneOptions
    changes: ClassVar[Literal["nothing", "examples", "wording", "both"]] = "both"

    options: AutotuneOptions

    def search(self, problem: Problem) -> Search:
        """Check, go round, settle; see `autotune_dev.search`."""
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
    allowed = problem.meter.limit
    calls = o.max_calls or allowed or usual
    if allowed is not None:
        calls = min(calls, allowed)
    parts = Parts(**dict.fromkeys(o.leave_out, False), headroom=o.stop_early)
    # A small budget is for scoring, not for writing.
    readers = min(o.proposals, max(2, calls // 30))
    return Plan(max(1, calls), o.max_examples, readers, o.max_rounds, parts)
