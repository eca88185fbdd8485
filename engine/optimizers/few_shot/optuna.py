"""BootstrapFewShotWithOptuna: let a sampler learn which examples work together.

Source: DSPy's BootstrapFewShotWithOptuna; the sampler is Optuna's TPE (Akiba et al. 2019, Bergstra et al. 2011),
behind `mipro_study`. Unlike there, several examples are chosen for every step, the sampler is seeded, and
trials run several at once.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from pydantic import Field

from engine.optimizers.base import Optimizer
from engine.optimizers.few_shot.bootstrap import (
    BootstrapFewShotOptions,
    Rules,
    bootstrap,
    teacher_of,
)
from engine.optimizers.shared.demos import labeled_demos, traced_demos
from engine.optimizers.shared.leaderboard import Leaderboard
from engine.optimizers.shared.study import make_study
from engine.records import Candidate, Demo, Outcome
from engine.search.contract import Problem, Search, together

# Trials that run together: the sampler learns between waves.
_WAVE = 8
_SHOWN_TO_TEACHER = 16

# How often the examples of a first step stay the same from one trial to the next: a choice among many seldom repeats.
_KEEPING = 0.25


class BootstrapOptunaOptions(BootstrapFewShotOptions):
    """Options of BootstrapFewShotWithOptuna."""

    num_candidate_programs: int = Field(
        16, ge=1, title="Trials", description="How many choices of examples are scored."
    )
    max_demos: int = Field(
        16, ge=1, title="Examples a step", description="At most this many are chosen for each step."
    )
    max_labeled_demos: int = Field(
        48, ge=0, title="Rows to choose from", description="At most this many rows, solved and labelled."
    )


class BootstrapFewShotWithOptuna(Optimizer):
    """Solves rows, then searches which of them (and of labelled rows) to show, guided by the scores so far.

    Calls, with N = `num_candidate_programs`, V validation rows and c calls a row: at most train rows x
    `max_rounds` x c to solve rows and (N + 1) x V x c for scores. A budget in calls lowers N. Source: DSPy's
    BootstrapFewShotWithOptuna.

    >>> BootstrapFewShotWithOptuna(max_demos=2).options.num_candidate_programs
    16
    """

    name = "BootstrapFewShotWithOptuna"
    title = "Search which examples work together"
    options_model = BootstrapOptunaOptions
    changes = "examples"

    options: BootstrapOptunaOptions

    def search(self, problem: Problem) -> Search:
        """Solve rows and score the start together, then try choices of examples in waves."""
        o, rng = self.options, problem.rng
        leaderboard = Leaderboard(problem)
        teacher = teacher_of(problem, min(_SHOWN_TO_TEACHER, o.max_labeled_demos), rng)
        rules = Rules.of(self, hurry=True)
        solved, _ = yield from together(
            [
                bootstrap(teacher, problem.train, o.max_bootstrapped_demos, rules),
                leaderboard.validate([problem.seed], "starting prompt"),
            ]
        )
        space = _Space(problem, o, solved)
        if not leaderboard.open or not space.sizes:
            return
        study = make_study(
            space.sizes,
            seed=rng.randrange(2**31),
            first_value=leaderboard.score or 0.0,
            rng=rng,
            simulated=problem.simulated,
            keeping=_KEEPING,
        )
        left = o.num_candidate_programs
        while left > 0 and leaderboard.open:
            wave = study.ask(problem.meter.affordable(min(left, _WAVE), len(problem.validation)))
            if not wave:
                return
            left -= len(wave)
            made = {c: space.candidate(c) for c in wave}
            evaluations = yield from leaderboard.validate(list({m.id: m for m in made.values()}.values()))
            if not leaderboard.open:
                return
            scores = {e.candidate_id: e.score for e in evaluations}
            for combination, candidate in made.items():
                study.tell(combination, scores[candidate.id])


class _Space:
    """Slots of every step, each filled with one example of the step's pool or left empty (0)."""

    def __init__(self, problem: Problem, o: BootstrapOptunaOptions, solved: Mapping[int, Outcome]) -> None:
        self._seed = problem.seed
        self._pools: dict[str, tuple[Demo, ...]] = {}
        for path in problem.signatures:
            if not problem.may_change(path, "demos"):
                continue
            traced = traced_demos(tuple(solved.values()), path, problem.rng)
            rest = [row for row in problem.train if row not in solved]
            raw = labeled_demos(problem, path, rest, max(0, o.max_labeled_demos - len(traced)), problem.rng)
            self._pools[path] = (*traced, *raw)
        self._slots = {path: min(o.max_demos, len(pool)) for path, pool in self._pools.items()}
        self.sizes = {
            f"{i}_{slot}": 1 + len(self._pools[path])
            for i, path in enumerate(self._pools)
            for slot in range(self._slots[path])
        }

    def candidate(self, combination: Sequence[int]) -> Candidate:
        """Return a choice as a candidate; an example chosen twice is shown once."""
        steps: dict[str, Any] = dict(self._seed.steps)
        shown, solved, at = 0, 0, 0
        for path, pool in self._pools.items():
            chosen = combination[at : at + self._slots[path]]
            at += self._slots[path]
            demos = tuple(pool[i - 1] for i in dict.fromkeys(chosen) if i)
            steps[path] = replace(steps[path], demos=demos, nearest=0)
            shown = max(shown, len(demos))
            solved = max(solved, sum(d.augmented for d in demos))
        reason = f"The starting prompt with {shown} chosen examples, {solved} of them solved by the model."
        return replace(self._seed, steps=steps).derived(reason, self._seed)
