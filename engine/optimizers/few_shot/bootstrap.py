"""BootstrapFewShot: let a teacher solve training rows and show its correct runs as examples.

Source: DSPy's BootstrapFewShot (Khattab et al. 2023, arXiv 2310.03714).
"""

from __future__ import annotations

import math
import random
from collections import deque
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import Field

from engine.optimizers.base import Optimizer, Options
from engine.optimizers.shared.demos import with_labeled, with_solved
from engine.records import Candidate, Outcome
from engine.search.contract import Keep, Problem, Score, Search
from engine.text import counted


class BootstrapFewShotOptions(Options):
    """Options of BootstrapFewShot."""

    max_bootstrapped_demos: int = Field(
        4, ge=0, title="Solved examples", description="At most this many rows the teacher solved are shown."
    )
    max_labeled_demos: int = Field(
        16,
        ge=0,
        title="Examples in all",
        description="Labelled rows fill the examples up to this many, solved ones included.",
    )
    max_rounds: int = Field(
        1, ge=1, title="Tries a row", description="How often a row is tried; later tries are fresh samples."
    )
    metric_threshold: float | None = Field(
        None,
        title="Score that counts as solved",
        description="A row scoring at least this (0 to 1) is an example; empty: any score above 0.",
    )
    max_errors: int | None = Field(
        None,
        ge=1,
        title="Errors to accept",
        description="Stop looking for examples after this many rows failed; empty: try all rows.",
    )


class BootstrapFewShot(Optimizer):
    """Shows every step its own correct runs: a teacher solves training rows, the metric says which are right.

    Calls: at most train rows x `max_rounds` x calls a row; it stops at `max_bootstrapped_demos` solved
    rows, and asks at once for as many rows as are mostly not too many by the share solved so far. Source:
    DSPy's BootstrapFewShot (arXiv 2310.03714).

    >>> BootstrapFewShot(max_bootstrapped_demos=2).options.max_labeled_demos
    16
    """

    name = "BootstrapFewShot"
    title = "Show rows that were solved correctly"
    options_model = BootstrapFewShotOptions
    changes = "examples"

    options: BootstrapFewShotOptions

    def search(self, problem: Problem) -> Search:
        """Collect solved rows, then keep the starting prompt with them."""
        o = self.options
        teacher = teacher_of(problem, o.max_labeled_demos, problem.rng)
        rules = Rules.of(self)
        solved = yield from bootstrap(teacher, problem.train, o.max_bootstrapped_demos, rules)
        found = with_solved(problem, problem.seed, solved, o.max_labeled_demos, problem.rng)
        yield [Keep(found.derived(solved_reason(solved, found), problem.seed))]


@dataclass(frozen=True, slots=True)
class Rules:
    """Rules of bootstrapping: when a row counts as solved, how often it is tried, when to give up.

    In a `hurry` a row or two more are run so that it takes fewer rounds: where other sets use these rows too.
    """

    max_rounds: int = 1
    metric_threshold: float | None = None
    max_errors: int | None = None
    hurry: bool = False

    @classmethod
    def of(cls, optimizer: Any, *, hurry: bool = False) -> Rules:
        """Return the rules of an optimizer's options; without a threshold there, the metric's own counts.

        A judge gives nearly every answer something, so for it more than nothing is not enough.
        """
        o = optimizer.options
        threshold = o.metric_threshold
        if threshold is None:
            threshold = getattr(optimizer.metric, "threshold", None)
        return cls(getattr(o, "max_rounds", 1), threshold, o.max_errors, hurry)

    def accept(self, outcome: Outcome) -> bool:
        """Return whether the outcome may serve as an example: right enough, and all that the program suggests is followed."""
        if outcome.error is not None or outcome.unmet:
            return False
        return outcome.score > 0 if self.metric_threshold is None else outcome.score >= self.metric_threshold

    def batch(self, missing: int, solved: int, asked: int, rounds: int) -> int:
        """Return how many rows are run next, after this number of rounds."""
        usual = at_once(missing, solved, asked)
        if not self.hurry:
            return usual
        return missing if rounds < _PATIENCE else max(usual, round(missing / max(0.2, solved / asked)))


def teacher_of(problem: Problem, max_labeled: int, rng: random.Random) -> Candidate:
    """Return who solves the rows: the teacher, or the starting prompt, with labelled rows if it has no examples."""
    teacher = problem.teacher or problem.seed
    if max_labeled and not any(state.demos for state in teacher.steps.values()):
        shown = with_labeled(problem, teacher, max_labeled, rng)
        return shown.derived("The teacher: the starting prompt with labelled rows.", problem.seed)
    if problem.teacher is None:
        return teacher
    return teacher.derived("The teacher program's own prompt.", problem.seed)


def bootstrap(
    teacher: Candidate, order: Sequence[int], wanted: int, rules: Rules
) -> Generator[Sequence[Score], Sequence[Any], dict[int, Outcome]]:
    """Run the teacher over rows in this order until `wanted` are solved; return them by row id.

    Asks at once for as many rows as are mostly not too many; in a hurry for as many as are missing, and from the
    third round on for as many as it takes by the share solved so far. Retries come first.
    """
    solved: dict[int, Outcome] = {}
    fresh, again = deque(order), deque[tuple[int, int]]()
    errors = asked = rounds = 0
    while len(solved) < wanted and (fresh or again):
        attempts: dict[int, list[int]] = {}
        missing = wanted - len(solved)
        batch = rules.batch(missing, len(solved), asked, rounds)
        rounds += 1
        for _ in range(batch):
            if again:
                row, attempt = again.popleft()
            elif fresh:
                row, attempt = fresh.popleft(), 0
            else:
                break
            attempts.setdefault(attempt, []).append(row)
        asks = [_attempt(teacher, rows, attempt) for attempt, rows in attempts.items()]
        asked += sum(map(len, attempts.values()))
        answers = yield asks
        for ask, evaluation in zip(asks, answers, strict=True):
            for outcome in evaluation.outcomes:
                if rules.accept(outcome):
                    if len(solved) < wanted:
                        solved[outcome.row] = outcome
                    continue
                errors += outcome.error is not None
                if ask.rollout + 1 < rules.max_rounds:
                    again.append((outcome.row, ask.rollout + 1))
        cut = any(len(e.outcomes) < len(ask.rows) for ask, e in zip(asks, answers, strict=True))
        if cut or (rules.max_errors is not None and errors >= rules.max_errors):
            break
    place = {row: i for i, row in enumerate(order)}
    return {row: solved[row] for row in sorted(solved, key=place.__getitem__)}


def at_once(missing: int, solved: int, asked: int) -> int:
    """Return how many rows to ask for so that mostly no more are solved than are missing: half a standard error away.

    And never for more than were asked for before. To ask for as many as are missing would take no row too many:
    for four rows, of which half are solved, that is 0.4 rows less and 3.6 rounds instead of 2.6; where one in ten is
    solved, 3.3 rows of 43 less and 20 rounds instead of 6.

    >>> at_once(4, 0, 0), at_once(2, 2, 5), at_once(4, 0, 5), at_once(4, 0, 40)
    (5, 3, 5, 40)
    """
    share = (solved + 2) / (asked + 3)
    spread = 0.5 * math.sqrt(share * (1 - share))
    most = (math.sqrt(spread**2 + 4 * share * missing) - spread) / (2 * share)
    return max(missing, min(math.floor(most**2), asked or missing + 1))


# Rounds of a hurry that ask for no row too many.
_PATIENCE = 2


def _attempt(teacher: Candidate, rows: Sequence[int], attempt: int) -> Score:
    return Score(
        teacher,
        tuple(rows),
        label="looking for solved rows",
        trace=True,
        teacher=True,
        rollout=attempt,
        hide_own_row=True,
    )


def solved_reason(solved: dict[int, Outcome], found: Candidate) -> str:
    """Return a candidate's reason: how many examples of which kind it shows."""
    most = max(found.steps.values(), key=lambda state: len(state.demos))
    raw = sum(not d.augmented for d in most.demos)
    rows = f"{counted(len(solved), 'row')} it solved"
    return f"The starting prompt with {rows} and {raw} labelled rows as examples."
