"""BootstrapFewShotWithRandomSearch: try many random sets of examples and keep the best on validation rows.

Source: DSPy's BootstrapFewShotWithRandomSearch (Khattab et al. 2023, arXiv 2310.03714).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from pydantic import Field

from engine.optimizers.base import Optimizer
from engine.optimizers.few_shot import (
    BootstrapFewShotOptions,
    Rules,
    bootstrap,
    labeled_demos,
    solved_reason,
    teacher_of,
    traced_demos,
    with_labeled,
    with_solved,
)
from engine.optimizers.shared.leaderboard import Leaderboard
from engine.optimizers.shared.study import make_study
from engine.records import Candidate, Demo, Outcome
from engine.search.contract import Problem, Search, together


class BootstrapRandomSearchOptions(BootstrapFewShotOptions):
    """Options of BootstrapFewShotWithRandomSearch."""

    num_candidate_programs: int = Field(
        16,
        ge=0,
        title="Random example sets",
        description="How many random sets are tried, after three fixed ones.",
    )
    stop_at_score: float | None = Field(
        None,
        ge=0,
        le=100,
        title="Good enough at (percent)",
        description="Stop as soon as a set scores this much; sets are then tried one after the other.",
    )
    labeled_sample: bool = Field(
        True, title="Draw labelled rows at random", description="Off: the labelled set takes the first rows."
    )
    restrict: tuple[int, ...] | None = Field(
        None,
        title="Only these sets",
        description="Numbers of the sets to try: -3 none, -2 labelled, -1 in order, 0 and up random.",
    )


class BootstrapFewShotWithRandomSearch(Optimizer):
    """Scores sets of examples on all validation rows: none, labelled, solved in order, and random solved ones.

    Calls: (N + 3) x validation rows x calls a row, plus at most train rows x `max_rounds` x calls a row
    to solve rows (all sets share one teacher, so a row is solved once). N is `num_candidate_programs`,
    lowered where the budget has no room for it. Source: DSPy's BootstrapFewShotWithRandomSearch
    (arXiv 2310.03714).

    >>> BootstrapFewShotWithRandomSearch(num_candidate_programs=8).options.num_candidate_programs
    8
    """

    name = "BootstrapFewShotWithRandomSearch"
    title = "Try many sets of examples and keep the best"
    options_model = BootstrapRandomSearchOptions
    changes = "examples"

    options: BootstrapRandomSearchOptions

    def search(self, problem: Problem) -> Search:
        """Solve rows for all sets at once, score all sets at once, keep the best."""
        o = self.options
        rng = problem.rng
        room = self._room(problem)
        plans = self._plans(problem, room)
        teacher = teacher_of(problem, o.max_labeled_demos, rng)
        rules = Rules.of(self, hurry=True)
        solved = yield from together(
            [bootstrap(teacher, order, wanted, rules) for order, wanted in plans.values()]
        )
        candidates = self._candidates(problem, room, dict(zip(plans, solved, strict=True)))
        waves = [[c] for c in candidates] if o.stop_at_score is not None else [candidates]
        leaderboard = Leaderboard(problem)
        for wave in waves:
            yield from leaderboard.validate(wave)
            if not leaderboard.open or self._is_enough(leaderboard.score):
                return

    def _is_enough(self, score: float | None) -> bool:
        least = self.options.stop_at_score
        return least is not None and score is not None and 100 * score >= least

    def _plans(self, problem: Problem, room: int) -> dict[int, tuple[Sequence[int], int]]:
        """Set number -> the order rows are tried in and how many solved ones are wanted."""
        o = self.options
        plans: dict[int, tuple[Sequence[int], int]] = {}
        if -1 in self._numbers(room):
            plans[-1] = (problem.train, o.max_bootstrapped_demos)
        for number in range(room):
            order = list(problem.train)
            problem.rng.shuffle(order)
            wanted = problem.rng.randint(min(1, o.max_bootstrapped_demos), o.max_bootstrapped_demos)
            if number in self._numbers(room):
                plans[number] = (order, wanted)
        return plans

    def _numbers(self, room: int) -> Iterable[int]:
        every = range(-3, room)
        return every if self.options.restrict is None else [n for n in every if n in self.options.restrict]

    def _room(self, problem: Problem) -> int:
        """Return how many random sets the calls left can score in full."""
        meter, sets = problem.meter, self.options.num_candidate_programs + 3
        solving = min(len(problem.train), 2 * self.options.max_bootstrapped_demos) * meter.row_cost
        return max(0, meter.affordable(sets, len(problem.validation), solving) - 3)

    def _candidates(
        self, problem: Problem, room: int, solved: Mapping[int, dict[int, Outcome]]
    ) -> list[Candidate]:
        """Return the candidates to score, each content once, in the order of their numbers."""
        o, seed = self.options, problem.seed
        found: dict[str, Candidate] = {}
        for number in self._numbers(room):
            if number == -3:
                candidate = seed
            elif number == -2:
                if not o.max_labeled_demos:
                    continue
                shown = with_labeled(
                    problem, seed, o.max_labeled_demos, problem.rng if o.labeled_sample else None
                )
                candidate = shown.derived("The starting prompt with labelled rows as examples.", seed)
            else:
                made = with_solved(problem, seed, solved[number], o.max_labeled_demos, problem.rng)
                candidate = made.derived(
                    f"Example set {number + 2}. {solved_reason(solved[number], made)}", seed
                )
            found.setdefault(candidate.id, candidate)
        return list(found.values())


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
