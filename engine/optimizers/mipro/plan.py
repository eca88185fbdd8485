"""Options of MIPROv2, and its plan: how much is tried, and how much a budget in calls leaves of it.

Sizes after DSPy's MIPROv2. It knows no proposer and no sampler, and asks nothing.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, Self

from pydantic import Field, model_validator

from engine.optimizers.base import Options
from engine.search.contract import Problem

_AUTO: dict[str, tuple[int, int]] = {"light": (6, 100), "medium": (12, 300), "heavy": (18, 1000)}
"""Setting -> how many candidates, and at most how many validation rows."""

_SMALL_VALIDATION = 50
_TRIALS_A_WAVE = 5
_MOST_READERS, _FEWEST_ROWS_A_READER = 10, 10

SHOWN_RUNS = 8
"""Solved runs that are looked for where none are needed as examples."""


class MIPROv2Options(Options):
    """Options of MIPROv2."""

    auto: Literal["light", "medium", "heavy"] | None = Field(
        "light", title="Effort", description="How much is tried; empty: set candidates and trials yourself."
    )
    num_candidates: int | None = Field(
        None, ge=1, title="Candidates", description="Instructions and example sets tried for each step."
    )
    num_trials: int | None = Field(None, ge=1, title="Trials", description="Combinations that are scored.")
    max_bootstrapped_demos: int = Field(
        4, ge=0, title="Solved examples", description="At most this many rows the model solved are shown."
    )
    max_labeled_demos: int = Field(
        4,
        ge=0,
        title="Examples in all",
        description="Labelled rows fill the examples up to this many; with both at 0 only wording is tuned.",
    )
    seed: int = Field(9, title="Seed", description="Another number draws other rows and combinations.")
    init_temperature: float = Field(
        1.0,
        ge=0,
        le=2,
        title="Boldness of proposals",
        description="Temperature the instructions are written at.",
    )
    metric_threshold: float | None = Field(
        None, title="Score that counts as solved", description="0 to 1; empty: any score above 0."
    )
    max_errors: int | None = Field(
        None, ge=1, title="Errors to accept", description="While looking for solved rows; empty: any number."
    )
    minibatch: bool = Field(
        True,
        title="Try on a few rows first",
        description="Score trials on some validation rows, the best on all.",
    )
    minibatch_size: int = Field(
        35, ge=1, title="Rows a trial", description="How many rows a first try takes."
    )
    minibatch_full_eval_steps: int = Field(
        5,
        ge=1,
        title="Trials between full scores",
        description="After this many trials the best is scored in full.",
    )
    program_aware_proposer: bool = Field(
        True, title="Proposals see the program", description="Show the prompt model the program's steps."
    )
    data_aware_proposer: bool = Field(
        True,
        title="Proposals see notes on the data",
        description="Let the prompt model take notes on the data first.",
    )
    view_data_batch_size: int | None = Field(
        None,
        ge=1,
        title="Rows a reader",
        description="Rows shown at once when notes are taken on the data; empty: ten readers see every row twice.",
    )
    tip_aware_proposer: bool = Field(
        True, title="Vary the advice", description="Give each proposal another piece of advice."
    )
    fewshot_aware_proposer: bool = Field(
        True, title="Proposals see examples", description="Show the prompt model labelled and solved rows."
    )

    tune_reasoning: bool = Field(
        False,
        title="Reason first or not",
        description="Also try each step with reasoning before its answer, or without where it has it now.",
    )

    @model_validator(mode="after")
    def _effort(self) -> Self:
        given = self.num_candidates is not None, self.num_trials is not None
        if self.auto is not None and any(given):
            raise ValueError("num_candidates and num_trials need auto=None")
        if self.auto is None and self.num_candidates is None:
            raise ValueError("auto=None needs num_candidates")
        return self

    @property
    def zero_shot(self) -> bool:
        """Return whether only wording is tuned."""
        return not self.max_bootstrapped_demos and not self.max_labeled_demos


@dataclass(frozen=True, slots=True)
class Plan:
    """Return how much is tried: candidates and instructions a step, trials, rows. `minibatch` 0: all rows each time.

    `readers` take notes on `rows_a_reader` training rows each. Of the trials a budget in calls may leave fewer.
    """

    candidates: int
    instructions: int
    trials: int
    validation: int
    minibatch: int
    wave: int
    readers: int = 0
    rows_a_reader: int = 0


# Least validation rows of a small budget, which gives up rows for at least this number of candidates in full.
_FEWEST_ROWS, _FEWEST_CANDIDATES = 24, 5


def make_plan(o: MIPROv2Options, problem: Problem) -> Plan:
    """Return the plan of the options, with as many validation rows as a budget in calls can score some candidates on."""
    n, cap = (o.num_candidates or 1, 10**9) if o.auto is None else _AUTO[o.auto]
    steps = len(problem.worded)
    shown = 0 if o.zero_shot else sum(problem.may_change(path, "demos") for path in problem.signatures)
    variables = max(1, steps + shown + (len(problem.signatures) if o.tune_reasoning else 0))
    draws = int(max(2 * variables * math.log2(max(2, n)), 1.5 * n))
    instructions = n if o.zero_shot else max(2, n // 2)
    combinations = instructions**steps * n**shown * (2 ** len(problem.signatures) if o.tune_reasoning else 1)
    trials = o.num_trials or (different_draws(draws, combinations) if shown else draws)
    rows = min(cap, len(problem.validation))
    twice = 2 * len(problem.train)
    read = o.view_data_batch_size or max(_FEWEST_ROWS_A_READER, -(-twice // _MOST_READERS))
    readers = min(_MOST_READERS, -(-twice // read)) if o.data_aware_proposer and steps else 0
    calls = problem.meter.calls_left
    if problem.meter.limit is not None:
        readers = min(readers, max(1, int(calls / (2 * _FEWEST_ROWS))))
        wanted = (SHOWN_RUNS if steps > 1 else 0) if o.zero_shot else n * max(1, o.max_bootstrapped_demos)
        solving = min(len(problem.train), 2 * wanted)
        row_cost = problem.meter.row_cost
        left = calls - steps * (instructions - 1) - readers - solving * row_cost
        rows = min(rows, max(_FEWEST_ROWS, int(left / (_FEWEST_CANDIDATES * row_cost))))
    small = o.auto is not None and rows <= _SMALL_VALIDATION
    mini = 0 if not o.minibatch or small or o.minibatch_size >= rows else o.minibatch_size
    wave = o.minibatch_full_eval_steps if mini else _TRIALS_A_WAVE
    return Plan(n, instructions, trials, rows, mini, wave, readers, read)


def different_draws(draws: int, combinations: int) -> int:
    """Return about the mean number of different combinations, other than the first, among this number of draws.

    DSPy's trials are draws, and one that repeats another is mostly answered by the cache. Here no combination is
    drawn twice, so as many trials as draws would take more calls.

    >>> different_draws(10, 18), different_draws(20, 324)
    (7, 19)
    """
    missed = -1.0 if combinations == 1 else math.expm1(draws * math.log1p(-1 / combinations))
    return max(1, round(-missed * (combinations - 1))) if combinations < _MANY else draws


# Combinations among which no draw hits one that was drawn before.
_MANY = 10**9
