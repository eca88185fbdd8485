"""Options of MIPROv2, and its plan: how much is tried, and how much a budget in calls leaves of it.

Sizes after DSPy's MIPROv2. It knows no proposer and no sampler, and asks nothing.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, Self

from pydantic import Field, model_validator

from engine.optimizers.base import Options
from engine.optimizers.shared.study import make_study
from engine.records import Candidate, Evaluation
from engine.search.contract import Ask, Keep, Problem, Score, Search

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


Combination = tuple[int, ...]


@dataclass(frozen=True)
class Space:
    """The space of combinations: for each step an instruction and, unless zero-shot, an example set.

    A combination lists, step after step, the index of the instruction and of the example set, then for each step
    in `reasoning_choices` whether it is done; all zeros is the starting prompt.
    """

    seed: Candidate
    texts: tuple[tuple[str, tuple[str, ...]], ...]
    demo_sets: tuple[Candidate, ...]
    zero_shot: bool = False
    fixed: frozenset[str] = frozenset()
    """Steps whose examples stay as they are."""
    reasoning_choices: tuple[tuple[str, bool], ...] = ()
    """Steps of which it is tried to reason first (True) or not to (False)."""

    @property
    def sizes(self) -> dict[str, int]:
        """Variable name -> how many levels it has, in the order of a combination."""
        sizes: dict[str, int] = {}
        for i, (path, texts) in enumerate(self.texts):
            sizes[f"{i}_instruction"] = len(texts)
            if not self.zero_shot:
                sizes[f"{i}_demos"] = 1 if path in self.fixed else len(self.demo_sets)
        return sizes | {f"{i}_reasoning": 2 for i in range(len(self.reasoning_choices))}

    def candidate(self, combination: Combination) -> Candidate:
        """Return a combination as a candidate, with its reason."""
        candidate, reasons = self.seed, []
        left = list(combination)
        for path, texts in self.texts:
            wording, demos = left.pop(0), 0 if self.zero_shot else left.pop(0)
            parts = [f"proposed instructions {wording}" if wording else "the starting instructions"]
            candidate = candidate.with_step(path, instructions=texts[wording])
            if not self.zero_shot:
                shown = self.demo_sets[demos].steps[path]
                examples = shown.demos
                candidate = candidate.with_step(path, demos=examples, nearest=shown.nearest)
                parts.append(f"{len(examples)} examples (set {demos})" if examples else "no examples")
            reasons.append(f"{path}: {' with '.join(parts)}")
        for path, first in self.reasoning_choices:
            if left.pop(0):
                candidate = candidate.with_step(path, reason_first=first)
                reasons.append(f"{path}: {'reasons first' if first else 'answers at once'}")
        reason = "; ".join(reasons)
        return candidate.derived(f"{reason[0].upper()}{reason[1:]}.", self.seed)


@dataclass
class _Tally:
    """The scores of a combination: differences to the baseline by row, and whether on all of them."""

    differences: dict[int, float] = field(default_factory=dict)
    full: bool = False

    def add(self, evaluation: Evaluation, baseline: Mapping[int, float]) -> float:
        """Note an evaluation and return its mean difference."""
        own = {o.row: o.score - baseline[o.row] for o in evaluation.outcomes}
        self.differences |= own
        return sum(own.values()) / len(own)

    @property
    def mean(self) -> float:
        """Mean difference so far."""
        return sum(self.differences.values()) / max(1, len(self.differences))


class Trials:
    """The trials of one search, after the starting prompt's full evaluation `baseline`."""

    def __init__(self, problem: Problem, space: Space, plan: Plan, baseline: Evaluation) -> None:
        rng = problem.rng
        self._space, self._plan, self._meter = space, plan, problem.meter
        self._validation = tuple(o.row for o in baseline.outcomes)
        self._baseline, self._scores = baseline.score, baseline.scores
        self._best = baseline.score
        self._study = make_study(
            space.sizes,
            seed=rng.randrange(2**31),
            first_value=baseline.score,
            rng=rng,
            simulated=problem.simulated,
        )
        self._tallies = {self._study.start: _Tally(full=True)}
        self._order, self._at = rng.sample(self._validation, len(self._validation)), 0
        self._left = plan.trials

    def search(self) -> Search:
        """Try a wave, and meanwhile score the most promising combination of the wave before in full."""
        full: list[Combination] = []
        keep: list[Ask] = []
        while True:
            wave = self._next_wave(full)
            asks = self._asks(wave, full)
            if not asks and not keep:
                return
            answers = yield [*keep, *asks]
            evaluations = answers[len(keep) :]
            if any(len(e.outcomes) < len(ask.rows) for ask, e in zip(asks, evaluations, strict=True)):
                self._left = 0  # the budget is spent: what is complete counts, and nothing more is asked
            keep = self._learn(wave, full, asks, evaluations)
            full = self._promising() if self._plan.minibatch and wave else []

    def _next_wave(self, full: Sequence[Combination]) -> list[Combination]:
        """New combinations as far as there are any and the budget goes; at last the better half of those tried goes on."""
        size = min(self._left, self._plan.wave, self._room(full))
        wave = self._study.ask(size) if size > 0 else []
        self._left -= len(wave)
        if size > 0 and not wave:
            self._left = 0
            waiting = [c for c in self._waiting() if c not in full]
            wave = waiting[: min(size, len(waiting) // 2)]
            for combination in waiting[len(wave) :] if wave else ():
                del self._tallies[combination]
        return wave

    def _room(self, full: Sequence[Combination]) -> int:
        """Return how many trials the budget pays for besides these full scores and the one that decides about the trials."""
        mini = self._plan.minibatch
        kept = sum(map(self._unscored, full)) + (len(self._validation) - mini if mini else 0)
        return self._meter.affordable(self._left, mini or len(self._validation), kept * self._meter.row_cost)

    def _unscored(self, combination: Combination) -> int:
        return len(self._validation) - len(self._tallies[combination].differences)

    def _asks(self, wave: Sequence[Combination], full: Sequence[Combination]) -> list[Score]:
        rows, label = self._validation, "full validation"
        if self._plan.minibatch and wave:
            size = len(self._order)
            rows = tuple(self._order[(self._at + i) % size] for i in range(self._plan.minibatch))
            self._at += self._plan.minibatch
            label = "minibatch"
        asks = [Score(self._space.candidate(c), rows, label=label) for c in wave]
        return asks + [
            Score(self._space.candidate(c), self._validation, label="full validation") for c in full
        ]

    def _learn(
        self,
        wave: Sequence[Combination],
        full: Sequence[Combination],
        asks: Sequence[Score],
        evaluations: Sequence[Evaluation],
    ) -> list[Ask]:
        """Tell the study and the tallies; return what to keep."""
        keep: list[Ask] = []
        for i, (combination, evaluation) in enumerate(zip([*wave, *full], evaluations, strict=True)):
            if len(evaluation.outcomes) < len(asks[i].rows):
                continue
            gain = self._tallies.setdefault(combination, _Tally()).add(evaluation, self._scores)
            if i < len(wave):
                self._study.tell(combination, self._baseline + gain)
            else:
                self._study.add(combination, evaluation.score)
            if i >= len(wave) or not self._plan.minibatch:
                keep += self._won(combination, evaluation)
        return keep

    def _won(self, combination: Combination, evaluation: Evaluation) -> list[Ask]:
        """Note a full score; ask to keep the combination if it beats every one before."""
        self._tallies[combination].full = True
        if evaluation.score <= self._best:
            return []
        self._best = evaluation.score
        return [Keep(self._space.candidate(combination), evaluation.score)]

    def _waiting(self) -> list[Combination]:
        """The combinations that have no full score yet, the best mean first."""
        waiting = [c for c, tally in self._tallies.items() if not tally.full and tally.differences]
        return sorted(waiting, key=lambda c: -self._tallies[c].mean)

    def _promising(self) -> list[Combination]:
        """Return what deserves a full score: the best that waits, and after the last trial as many as a budget pays for."""
        waiting = self._waiting()
        if self._meter.limit is None:
            return waiting[:1]
        chosen: list[Combination] = []
        last = not self._left or self._room(waiting[:1]) <= 0
        for combination in waiting[: _FINALISTS if last else 1]:
            if sum(map(self._unscored, [*chosen, combination])) <= self._meter.rows_left:
                chosen.append(combination)
        return chosen


# Full scores at once after the last trial, where a budget leaves room for them.
_FINALISTS = 3
