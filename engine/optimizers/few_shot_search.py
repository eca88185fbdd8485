"""BootstrapFewShotWithRandomSearch: try many random sets of examples and keep the best on validation rows.

Source: DSPy's BootstrapFewShotWithRandomSearch (Khattab et al. 2023, arXiv 2310.03714).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import islice

from engine.optimizers.base import Optimizer, option
from engine.optimizers.few_shot import (
    BootstrapFewShotOptions,
    Rules,
    bootstrap,
    example_pool,
    teacher_of,
    with_examples,
    with_solved,
)
from engine.optimizers.shared.leaderboard import Leaderboard
from engine.optimizers.shared.study import make_study
from engine.records import Candidate, Demo, Outcome
from engine.search.contract import Problem, Search, together


class BootstrapRandomSearchOptions(BootstrapFewShotOptions):
    """Options of BootstrapFewShotWithRandomSearch."""

    num_candidate_programs: int = option(
        16, "Random example sets", "How many random sets are tried, after three fixed ones.", ge=0
    )
    stop_at_score: float | None = option(
        None,
        "Good enough at (percent)",
        "Stop as soon as a set scores this much; sets are then tried one after the other.",
        ge=0,
        le=100,
    )
    labeled_sample: bool = option(
        True, "Draw labelled rows at random", "Off: the labelled set takes the first rows."
    )
    restrict: tuple[int, ...] | None = option(
        None,
        "Only these sets",
        "Numbers of the sets to try: -3 none, -2 labelled, -1 in order, 0 and up random.",
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
    about = "Scores many sets of rows and keeps the best set."
    pace = "Thorough"
    options_model = BootstrapRandomSearchOptions
    changes = "examples"
    options: BootstrapRandomSearchOptions

    def search(self, problem: Problem) -> Search:
        """Solve rows for all sets at once, score all sets at once, keep the best."""
        o = self.options
        meter, sets = problem.meter, o.num_candidate_programs + 3
        solving = min(len(problem.train), 2 * o.max_bootstrapped_demos) * meter.row_cost
        room = max(0, meter.affordable(sets, len(problem.validation), solving) - 3)
        numbers = [n for n in range(-3, room) if o.restrict is None or n in o.restrict]
        plans = self._plans(problem, numbers, room)
        teacher = teacher_of(problem, o.max_labeled_demos)
        rules = Rules.of(self, hurry=True)
        solved = yield from together(
            [bootstrap(teacher, order, wanted, rules) for order, wanted in plans.values()]
        )
        by_number = dict(zip(plans, solved, strict=True))
        candidates: dict[str, Candidate] = {}
        for number in numbers:
            candidate = self._candidate(problem, number, by_number.get(number, {}))
            if candidate is not None:
                candidates.setdefault(candidate.id, candidate)
        every, enough = list(candidates.values()), o.stop_at_score
        leaderboard = Leaderboard(problem)
        for wave in [every] if enough is None else [[c] for c in every]:
            yield from leaderboard.validate(wave)
            if not leaderboard.open or (enough is not None and 100 * (leaderboard.score or 0.0) >= enough):
                return

    def _plans(
        self, problem: Problem, numbers: Sequence[int], room: int
    ) -> dict[int, tuple[Sequence[int], int]]:
        """Return by set number the order rows are tried in and how many solved ones are wanted."""
        most = self.options.max_bootstrapped_demos
        plans: dict[int, tuple[Sequence[int], int]] = {-1: (problem.train, most)}
        for number in range(room):
            order = list(problem.train)
            problem.rng.shuffle(order)
            plans[number] = (order, problem.rng.randint(min(1, most), most))
        return {number: plan for number, plan in plans.items() if number in numbers}

    def _candidate(self, problem: Problem, number: int, solved: Mapping[int, Outcome]) -> Candidate | None:
        """Return the candidate of a set number: the start, labelled rows, or solved ones."""
        most, seed = self.options.max_labeled_demos, problem.seed
        if number == -3:
            return seed
        if number == -2:
            if not most:
                return None
            shown = with_examples(problem, seed, most, problem.rng if self.options.labeled_sample else None)
            return shown.derived("The starting prompt with labelled rows as examples.", seed)
        return with_solved(problem, solved, most, f"Example set {number + 2}. ")


# Trials that run together: the sampler learns between waves.
_WAVE = 8
_SHOWN_TO_TEACHER = 16

# How often the examples of a first step stay the same from one trial to the next: a choice among many seldom repeats.
_KEEPING = 0.25


class BootstrapOptunaOptions(BootstrapFewShotOptions):
    """Options of BootstrapFewShotWithOptuna."""

    num_candidate_programs: int = option(16, "Trials", "How many choices of examples are scored.", ge=1)
    max_demos: int = option(16, "Examples a step", "At most this many are chosen for each step.", ge=1)
    max_labeled_demos: int = option(
        48, "Rows to choose from", "At most this many rows, solved and labelled.", ge=0
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
    about = "Learns from trial to trial which rows work well together."
    pace = "Thorough"
    options_model = BootstrapOptunaOptions
    changes = "examples"
    options: BootstrapOptunaOptions

    def search(self, problem: Problem) -> Search:
        """Solve rows and score the start together, then try choices of examples in waves."""
        o = self.options
        leaderboard = Leaderboard(problem)
        teacher = teacher_of(problem, min(_SHOWN_TO_TEACHER, o.max_labeled_demos))
        rules = Rules.of(self, hurry=True)
        solved, _ = yield from together(
            [
                bootstrap(teacher, problem.train, o.max_bootstrapped_demos, rules),
                leaderboard.validate([problem.seed], "starting prompt"),
            ]
        )
        pools = {
            path: example_pool(problem, path, o.max_labeled_demos, problem.rng, solved)
            for path in problem.signatures
            if problem.may_change(path, "demos")
        }
        sizes = {
            f"{i}_{slot}": 1 + len(pool)
            for i, pool in enumerate(pools.values())
            for slot in range(min(o.max_demos, len(pool)))
        }
        if not leaderboard.open or not sizes:
            return
        first, simulated = leaderboard.score or 0.0, problem.simulated
        study = make_study(sizes, first_value=first, rng=problem.rng, simulated=simulated, keeping=_KEEPING)
        left = o.num_candidate_programs
        while left > 0 and leaderboard.open:
            wave = study.ask(problem.meter.affordable(min(left, _WAVE), len(problem.validation)))
            if not wave:
                return
            left -= len(wave)
            tried = {c: self._candidate(problem.seed, pools, c) for c in wave}
            evaluations = yield from leaderboard.validate(list({m.id: m for m in tried.values()}.values()))
            if not leaderboard.open:
                return
            scores = {e.candidate_id: e.score for e in evaluations}
            for option_set, candidate in tried.items():
                study.tell(option_set, scores[candidate.id])

    def _candidate(
        self, seed: Candidate, pools: Mapping[str, Sequence[Demo]], option_set: Sequence[int]
    ) -> Candidate:
        """Return a choice as a candidate: each slot of a step has an example of its pool (0: none), each once."""
        steps, left = dict(seed.steps), iter(option_set)
        shown = solved = 0
        for path, pool in pools.items():
            chosen = islice(left, min(self.options.max_demos, len(pool)))
            demos = tuple(pool[i - 1] for i in dict.fromkeys(chosen) if i)
            steps[path] = replace(steps[path], demos=demos, nearest=0)
            shown = max(shown, len(demos))
            solved = max(solved, sum(d.augmented for d in demos))
        reason = f"The starting prompt with {shown} chosen examples, {solved} of them solved by the model."
        return replace(seed, steps=steps).derived(reason, seed)
