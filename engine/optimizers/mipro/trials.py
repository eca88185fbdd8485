"""MIPROv2's plan, and its trials: option sets of instructions and example sets, tried in waves.

Sizes after DSPy's MIPROv2. Full evaluations alone decide: a minibatch only says which option set is worth one, by how
its rows differ from the starting prompt's on the same rows. Nothing here proposes.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from engine.optimizers.mipro.options import MIPROv2Options
from engine.optimizers.shared.study import OptionSet, make_study
from engine.records import Candidate, Evaluation
from engine.search.contract import Ask, Keep, Problem, Score, Search, is_cut

_AUTO: dict[str, tuple[int, int]] = {"light": (6, 100), "medium": (12, 300), "heavy": (18, 1000)}
"""Setting -> how many candidates, and at most how many validation rows."""
_SMALL_VALIDATION = 50
_TRIALS_A_WAVE = 5
_MOST_READERS, _FEWEST_ROWS_A_READER = 10, 10

SHOWN_RUNS = 8
"""Solved runs that are looked for where none are needed as examples."""


@dataclass(frozen=True, slots=True)
class TrialPlan:
    """The size of a search."""

    candidates: int
    """Example sets of each step."""
    instructions: int
    """Instructions of each step."""
    trials: int
    """Option sets to try; a budget in calls may leave fewer."""
    validation: int
    """Validation rows."""
    minibatch: int
    """Rows of a trial; 0: all of them."""
    wave: int
    """Trials that run together."""
    readers: int = 0
    """Readers that take notes on training rows."""
    rows_a_reader: int = 0
    finals: int = 1
    """Best option sets of a wave that are scored in full."""


# Least validation rows of a small budget, which gives up rows for at least this number of candidates in full.
_FEWEST_ROWS, _FEWEST_CANDIDATES = 24, 5


def make_plan(o: MIPROv2Options, problem: Problem) -> TrialPlan:
    """Return the plan of the options, with as many validation rows as a budget in calls can score some candidates on."""
    n, cap = (o.num_candidates or 1, 10**9) if o.auto is None else _AUTO[o.auto]
    steps = len(problem.worded)
    shown = 0 if o.zero_shot else sum(problem.may_change(path, "demos") for path in problem.signatures)
    variables = max(1, steps + shown + (len(problem.signatures) if o.tune_reasoning else 0))
    draws = int(max(2 * variables * math.log2(max(2, n)), 1.5 * n))
    instructions = n if o.zero_shot else max(2, n // 2)
    option_sets = instructions**steps * n**shown * (2 ** len(problem.signatures) if o.tune_reasoning else 1)
    trials = o.num_trials or (different_draws(draws, option_sets) if shown else draws)
    rows = min(cap, len(problem.validation))
    twice = 2 * len(problem.train)
    read = o.view_data_batch_size or max(_FEWEST_ROWS_A_READER, -(-twice // _MOST_READERS))
    readers = min(_MOST_READERS, -(-twice // read)) if o.data_aware_proposer and steps else 0
    calls = problem.meter.calls_left
    if problem.meter.limit is not None:
        readers = min(readers, max(1, int(calls / (2 * _FEWEST_ROWS))))
        wanted = n * max(1, o.max_bootstrapped_demos)
        if o.zero_shot:
            wanted = SHOWN_RUNS if needs_runs(problem) else 0
        solving = min(len(problem.train), 2 * wanted)
        row_cost = problem.meter.row_cost
        left = calls - steps * (instructions - 1) - readers - solving * row_cost
        rows = min(rows, max(_FEWEST_ROWS, int(left / (_FEWEST_CANDIDATES * row_cost))))
    small = o.auto is not None and rows <= _SMALL_VALIDATION
    mini = 0 if not o.minibatch or small or o.minibatch_size >= rows else o.minibatch_size
    wave = o.minibatch_full_eval_steps if mini else _TRIALS_A_WAVE
    # A second wave of a trial or two would learn little from the first one, and waits as long.
    chosen = "minibatch_full_eval_steps" in o.model_fields_set or problem.meter.limit is not None
    single_wave = wave < trials <= 1.6 * wave and not chosen
    wave, finals = (trials, 2) if single_wave else (wave, 1)
    return TrialPlan(n, instructions, trials, rows, mini, wave, readers, read, finals)


def needs_runs(problem: Problem) -> bool:
    """Return whether labelled rows say too little: they lack the values between several steps, or right answers."""
    labels = any(name in problem.rows[row] for row in problem.train for name in problem.output_fields)
    return len(problem.signatures) > 1 or not labels


def different_draws(draws: int, option_sets: int) -> int:
    """Return about the mean number of different option sets, other than the first, among this number of draws.

    DSPy's trials are draws, of which the cache answers repeats; here no option set is drawn twice.

    >>> different_draws(10, 18), different_draws(20, 324)
    (7, 19)
    """
    missed = -1.0 if option_sets == 1 else math.expm1(draws * math.log1p(-1 / option_sets))
    return max(1, round(-missed * (option_sets - 1))) if option_sets < _MANY else draws


# Option sets among which no draw hits one that was drawn before.
_MANY = 10**9


class TrialSearch:
    """The trials of one search, after the starting prompt's full evaluation `baseline`.

    An option set lists, step after step, the index of the instruction and of the example set (of `demo_sets`, if any),
    then for each step in `reasoning_choices` whether it reasons first as said there; all zeros is the starting prompt.
    """

    def __init__(
        self,
        problem: Problem,
        plan: TrialPlan,
        baseline: Evaluation,
        texts: Mapping[str, Sequence[str]],
        demo_sets: Sequence[Candidate],
        reasoning_choices: Mapping[str, bool],
    ) -> None:
        rng = problem.rng
        self._seed, self._plan, self._meter = problem.seed, plan, problem.meter
        self._texts, self._demo_sets, self._reasoning_choices = texts, demo_sets, reasoning_choices
        sizes: dict[str, int] = {}
        for i, (path, some) in enumerate(texts.items()):
            sizes[f"{i}_instruction"] = len(some)
            if demo_sets:
                sizes[f"{i}_demos"] = len(demo_sets) if problem.may_change(path, "demos") else 1
        sizes |= {f"{i}_reasoning": 2 for i in range(len(reasoning_choices))}
        self._validation = tuple(o.row for o in baseline.outcomes)
        self._baseline, self._scores, self._best = baseline.score, baseline.scores, baseline.score
        self._study = make_study(sizes, first_value=baseline.score, rng=rng, simulated=problem.simulated)
        self._differences: dict[OptionSet, dict[int, float]] = {}  # to the starting prompt, by row
        self._scored_in_full = {self._study.start}
        self._order, self._at = rng.sample(self._validation, len(self._validation)), 0
        self._left = plan.trials

    def search(self) -> Search:
        """Try a wave, and meanwhile score the most promising option set of the wave before in full."""
        full: list[OptionSet] = []
        keep: list[Ask] = []
        while True:
            wave = self._next_wave(full)
            asks = self._asks(wave, full)
            if not asks and not keep:
                return
            answers = yield [*keep, *asks]
            evaluations = answers[len(keep) :]
            if is_cut(asks, evaluations):
                self._left = 0  # the budget is spent: complete scores count, and nothing more is asked
            keep = self._learn(wave, full, asks, evaluations)
            full = self._promising() if self._plan.minibatch and wave else []

    def _next_wave(self, full: Sequence[OptionSet]) -> list[OptionSet]:
        """New option sets as far as there are any and the budget goes; at last the better half of those tried goes on."""
        size = min(self._left, self._plan.wave, self._room(full))
        wave = self._study.ask(size) if size > 0 else []
        self._left -= len(wave)
        if size > 0 and not wave:
            self._left = 0
            waiting = [c for c in self._waiting() if c not in full]
            wave = waiting[: min(size, len(waiting) // 2)]
            for option_set in waiting[len(wave) :] if wave else ():
                del self._differences[option_set]
        return wave

    def _room(self, full: Sequence[OptionSet]) -> int:
        """Return how many trials the budget pays for besides these full scores and the one that decides about the trials."""
        mini = self._plan.minibatch
        reserved = sum(map(self._unscored, full)) + (len(self._validation) - mini if mini else 0)
        return self._meter.affordable(
            self._left, mini or len(self._validation), reserved * self._meter.row_cost
        )

    def _unscored(self, option_set: OptionSet) -> int:
        return len(self._validation) - len(self._differences[option_set])

    def _asks(self, wave: Sequence[OptionSet], full: Sequence[OptionSet]) -> list[Score]:
        rows, label = self._validation, "full validation"
        if self._plan.minibatch and wave:
            size = len(self._order)
            rows = tuple(self._order[(self._at + i) % size] for i in range(self._plan.minibatch))
            self._at += self._plan.minibatch
            label = "minibatch"
        asks = [Score(self._candidate(c), rows, label) for c in wave]
        return asks + [Score(self._candidate(c), self._validation, "full validation") for c in full]

    def _candidate(self, option_set: OptionSet) -> Candidate:
        """Return an option set as a candidate, with its reason."""
        candidate, reasons = self._seed, []
        left = iter(option_set)
        for path, texts in self._texts.items():
            wording = next(left)
            parts = [f"proposed instructions {wording}" if wording else "the starting instructions"]
            candidate = candidate.with_step(path, instructions=texts[wording])
            if self._demo_sets:
                number = next(left)
                shown = self._demo_sets[number].steps[path]
                candidate = candidate.with_step(path, demos=shown.demos, nearest=shown.nearest)
                parts.append(f"{len(shown.demos)} examples (set {number})" if shown.demos else "no examples")
            reasons.append(f"{path}: {' with '.join(parts)}")
        for path, first in self._reasoning_choices.items():
            if next(left):
                candidate = candidate.with_step(path, reason_first=first)
                reasons.append(f"{path}: {'reasons first' if first else 'answers at once'}")
        reason = "; ".join(reasons)
        return candidate.derived(f"{reason[0].upper()}{reason[1:]}.", self._seed)

    def _learn(
        self,
        wave: Sequence[OptionSet],
        full: Sequence[OptionSet],
        asks: Sequence[Score],
        evaluations: Sequence[Evaluation],
    ) -> list[Ask]:
        """Note the scores and tell the study; return what to keep: what beats every full score before."""
        keep: list[Ask] = []
        for i, (option_set, evaluation) in enumerate(zip([*wave, *full], evaluations, strict=True)):
            if len(evaluation.outcomes) < len(asks[i].rows):
                continue
            gains = {o.row: o.score - self._scores[o.row] for o in evaluation.outcomes}
            self._differences.setdefault(option_set, {}).update(gains)
            gain = sum(gains.values()) / len(gains)
            self._study.tell(option_set, self._baseline + gain if i < len(wave) else evaluation.score)
            if i < len(wave) and self._plan.minibatch:
                continue
            self._scored_in_full.add(option_set)
            if evaluation.score > self._best:
                self._best = evaluation.score
                keep.append(Keep(self._candidate(option_set), evaluation.score))
        return keep

    def _waiting(self) -> list[OptionSet]:
        """The option sets that have no full score yet, the best mean first."""
        means = {c: sum(d.values()) / len(d) for c, d in self._differences.items()}
        return sorted((c for c in means if c not in self._scored_in_full), key=lambda c: -means[c])

    def _promising(self) -> list[OptionSet]:
        """Return what deserves a full score: the best that waits, and after the last trial as many as a budget pays for."""
        waiting = self._waiting()
        if self._meter.limit is None:
            return waiting[: self._plan.finals]
        chosen: list[OptionSet] = []
        last = not self._left or self._room(waiting[:1]) <= 0
        for option_set in waiting[: _FINALISTS if last else 1]:
            if sum(map(self._unscored, [*chosen, option_set])) <= self._meter.rows_left:
                chosen.append(option_set)
        return chosen


# Full scores at once after the last trial, where a budget leaves room for them.
_FINALISTS = 3
