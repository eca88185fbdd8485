"""BootstrapFewShotWithRandomSearch: try many random sets of examples and keep the best on validation rows.

Source: DSPy's BootstrapFewShotWithRandomSearch (Khattab et al. 2023, arXiv 2310.03714).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from pydantic import Field

from engine.optimizers.base import Optimizer
from engine.optimizers.few_shot.bootstrap import (
    BootstrapFewShotOptions,
    Rules,
    bootstrap,
    solved_reason,
    teacher_of,
)
from engine.optimizers.shared.demos import with_labeled, with_solved
from engine.optimizers.shared.leaderboard import Leaderboard
from engine.records import Candidate, Outcome
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
