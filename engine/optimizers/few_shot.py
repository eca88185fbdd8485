"""Examples for every step: labelled rows, rows that a teacher solved, the rows nearest to each input."""

from __future__ import annotations

import math
import random
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from engine.basics.similarity import rarity, total_weight, words
from engine.basics.text import counted
from engine.optimizers.base import Optimizer, Options, Program, option
from engine.records import Candidate, Demo, Example, Outcome
from engine.search.contract import Keep, Problem, Score, Search, Steps, is_cut
from engine.search.judging.wording import SOLVING

METRIC_THRESHOLD = option(
    None,
    "Score that counts as solved",
    "A row scoring at least this (0 to 1) is an example; empty: any score above 0.",
)
MAX_ERRORS = option(
    None,
    "Errors to accept",
    "Stop looking for examples after this many rows failed; empty: try all rows.",
    ge=1,
)
_MAX_ROUNDS = option(1, "Tries a row", "How often a row is tried; later tries are fresh samples.", ge=1)


class LabeledFewShotOptions(Options):
    """Options of LabeledFewShot."""

    k: int = option(16, "Examples", "How many labelled rows every step is shown.", ge=0)
    sample: bool = option(
        True, "Draw at random", "Draw rows that have little in common; off: take the first ones."
    )


class LabeledFewShot(Optimizer):
    """Shows every step `k` labelled training rows, drawn at random so that they have little in common.

    Calls: 0. Source: DSPy's LabeledFewShot (Khattab et al. 2023, arXiv 2310.03714).

    >>> LabeledFewShot(k=4).options.k
    4
    """

    name = "LabeledFewShot"
    title = "Show labelled rows as examples"
    about = "Draws rows once. No search, so it is a good first look."
    pace = "Quickest"
    options_model = LabeledFewShotOptions
    changes = "examples"
    options: LabeledFewShotOptions

    def __init__(self, k: int = 16, **arguments: Any) -> None:
        super().__init__(k=k, **arguments)

    def search(self, problem: Problem) -> Search:
        """Keep the starting prompt with labelled rows as examples."""
        rng = problem.rng if self.options.sample else None
        candidate = with_examples(problem, problem.seed, self.options.k, rng)
        shown = max((len(state.demos) for state in candidate.steps.values()), default=0)
        how = "drawn so that they differ" if self.options.sample else "the first ones"
        yield [
            Keep(candidate.derived(f"The starting prompt with {shown} labelled rows, {how}.", problem.seed))
        ]


class BootstrapFewShotOptions(Options):
    """Options of BootstrapFewShot."""

    max_bootstrapped_demos: int = option(
        4, "Solved examples", "At most this many rows the teacher solved are shown.", ge=0
    )
    max_labeled_demos: int = option(
        16, "Examples in all", "Labelled rows fill the examples up to this many, solved ones included.", ge=0
    )
    max_rounds: int = _MAX_ROUNDS
    metric_threshold: float | None = METRIC_THRESHOLD
    max_errors: int | None = MAX_ERRORS


class BootstrapFewShot(Optimizer):
    """Shows every step its own correct runs: a teacher solves training rows, the metric says which are right.

    Calls: at most train rows x `max_rounds` x calls a row; it stops at `max_bootstrapped_demos` solved rows, and asks at
    once for as many as are mostly not too many by the share solved so far. Source: DSPy's (arXiv 2310.03714).

    >>> BootstrapFewShot(max_bootstrapped_demos=2).options.max_labeled_demos
    16
    """

    name = "BootstrapFewShot"
    title = "Show rows that were solved correctly"
    about = "Keeps rows that the model itself got right."
    pace = "Quick"
    options_model = BootstrapFewShotOptions
    changes = "examples"
    options: BootstrapFewShotOptions

    def search(self, problem: Problem) -> Search:
        """Collect solved rows, then keep the starting prompt with them."""
        o = self.options
        teacher = teacher_of(problem, o.max_labeled_demos)
        solved = yield from bootstrap(teacher, problem.train, o.max_bootstrapped_demos, Rules.of(self))
        yield [Keep(with_solved(problem, solved, o.max_labeled_demos))]


class KNNFewShotOptions(Options):
    """Options of KNNFewShot."""

    k: int = option(8, "Examples", "How many of the most similar rows are shown.", ge=1)
    solve: bool = option(
        True,
        "Let the model solve the rows first",
        "Rows it solves are shown as it solved them, the others as they are labelled.",
    )
    max_labeled_demos: int = option(16, "Examples while solving", "Labelled rows the teacher is shown.", ge=0)
    max_rounds: int = _MAX_ROUNDS
    metric_threshold: float = option(
        1.0,
        "Score that counts as solved",
        "0 to 1. A row below it is shown as it is labelled, where its labels say enough.",
    )


class KNNFewShot(Optimizer):
    """Gives every step a pool of solved rows, of which each input is shown the `k` most similar.

    Calls: at most train rows x `max_rounds` x calls a row, all at once, and none with `solve` off; using the program
    costs no more calls than before. Source: DSPy's KNNFewShot (arXiv 2310.03714); choosing examples by similarity is
    Liu et al. 2021, arXiv 2101.06804. Unlike there, rows are solved once, and no embedding model is needed; with a
    `vectorizer` (see `KNN`) the compiled program finds the nearest rows by it, which is not saved with the program.

    >>> KNNFewShot(k=2).options.k
    2
    """

    name = "KNNFewShot"
    title = "Show the rows most like each input"
    about = "Shows each input the solved rows that read most like it."
    pace = "Quick"
    options_model = KNNFewShotOptions
    changes = "examples"
    kept = (*Optimizer.kept, "trainset", "vectorizer")
    options: KNNFewShotOptions

    def __init__(
        self,
        k: int = 8,
        trainset: Sequence[Example] | None = None,
        vectorizer: Callable[[list[str]], Any] | None = None,
        **arguments: Any,
    ) -> None:
        self.trainset, self.vectorizer = trainset, vectorizer
        super().__init__(k=k, **arguments)

    async def acompile(
        self, student: Program, *, trainset: Sequence[Example] | None = None, **arguments: Any
    ) -> Program:
        """Run the search; the trainset may also have been given to the constructor. See `Optimizer.acompile`."""
        program = await super().acompile(student, trainset=trainset or self.trainset or (), **arguments)
        for step in program.predictors():
            step.vectorizer = self.vectorizer
        return program

    def search(self, problem: Problem) -> Search:
        """Solve all training rows at once and keep the starting prompt with all of them to choose from."""
        o = self.options
        solved: Mapping[int, Outcome] = {}
        if o.solve:
            teacher = teacher_of(problem, o.max_labeled_demos)
            solved = yield from bootstrap(teacher, problem.train, len(problem.train), Rules(o.max_rounds))
        candidate = with_demos(
            problem, problem.seed, lambda path: self._pool(problem, path, solved), nearest=o.k
        )
        most = max((len(state.demos) for state in candidate.steps.values()), default=0)
        reason = f"The starting prompt, which shows the {o.k} most similar of {most} rows; {len(solved)} are solved runs."
        yield [Keep(candidate.derived(reason, problem.seed))]

    def _pool(self, problem: Problem, path: str, solved: Mapping[int, Outcome]) -> list[Demo]:
        """Return every training row as an example of a step: as it was solved (partly right, if unlabelled), else as labelled."""
        pool: list[Demo] = []
        for row in problem.train:
            labeled, run = labeled_demo(problem, path, row), solved.get(row)
            right = run is not None and not run.unmet and run.score >= self.options.metric_threshold
            use_run = run is not None and (labeled is None or right)
            traced = traced_demos([run], path, problem.rng) if run is not None and use_run else []
            pool += traced or ([labeled] if labeled is not None else [])
        return pool


@dataclass(frozen=True, slots=True)
class Rules:
    """Rules of bootstrapping: when a row counts as solved, how often it is tried, when to give up.

    In a `hurry` some rows more are run so that it takes fewer rounds: where other sets use these rows too.
    """

    max_rounds: int = 1
    metric_threshold: float | None = None
    max_errors: int | None = None
    hurry: bool = False

    @classmethod
    def of(cls, optimizer: Any, *, hurry: bool = False) -> Rules:
        """Return the rules of an optimizer's options; without a threshold there, the metric's (a judge's) own counts."""
        o, of_metric = optimizer.options, getattr(optimizer.metric, "threshold", None)
        threshold = of_metric if o.metric_threshold is None else o.metric_threshold
        return cls(getattr(o, "max_rounds", 1), threshold, o.max_errors, hurry)

    def accept(self, outcome: Outcome) -> bool:
        """Return whether the outcome may serve as an example: right enough, and all that the program suggests is followed."""
        least = self.metric_threshold
        enough = outcome.score > 0 if least is None else outcome.score >= least
        return enough and outcome.error is None and not outcome.unmet

    def batch(self, missing: int, solved: int, asked: int, steps: int) -> int:
        """Return how many rows a program of this number of steps runs next, after it was asked for some."""
        usual = at_once(missing, solved, asked, steps)
        if not self.hurry:
            return usual
        return max(usual, round(missing / max(0.2, solved / asked))) if asked else missing


def teacher_of(problem: Problem, max_labeled: int) -> Candidate:
    """Return who solves the rows: the teacher, or the starting prompt, with labelled rows if it has no examples."""
    teacher = problem.teacher or problem.seed
    if max_labeled and not any(state.demos for state in teacher.steps.values()):
        shown = with_examples(problem, teacher, max_labeled, problem.rng)
        return shown.derived("The teacher: the starting prompt with labelled rows.", problem.seed)
    reason = "The teacher program's own prompt."
    return teacher if problem.teacher is None else teacher.derived(reason, problem.seed)


def bootstrap(
    teacher: Candidate,
    order: Sequence[int],
    wanted: int,
    rules: Rules,
    wrong: dict[int, Outcome] | None = None,
) -> Steps[dict[int, Outcome]]:
    """Run the teacher over rows in this order until `wanted` are solved; return them by row id.

    Runs that did not solve their row are added to `wrong`. Asks at once for as many rows as are mostly not too many; in a
    hurry for as many as are missing, and from the second round on for as many as the share solved so far takes.
    """
    solved: dict[int, Outcome] = {}
    fresh, again = deque(order), deque[tuple[int, int]]()
    errors = asked = 0
    while len(solved) < wanted and (fresh or again):
        attempts: dict[int, list[int]] = {}
        missing = wanted - len(solved)
        batch = rules.batch(missing, len(solved), asked, len(teacher.steps))
        for _ in range(batch):
            if again:
                row, attempt = again.popleft()
            elif fresh:
                row, attempt = fresh.popleft(), 0
            else:
                break
            attempts.setdefault(attempt, []).append(row)
        asks = [
            Score(teacher, tuple(rows), SOLVING, trace=True, teacher=True, rollout=attempt, hide_own_row=True)
            for attempt, rows in attempts.items()
        ]
        asked += sum(map(len, attempts.values()))
        answers = yield asks
        for ask, evaluation in zip(asks, answers, strict=True):
            for outcome in evaluation.outcomes:
                if rules.accept(outcome):
                    if len(solved) < wanted:
                        solved[outcome.row] = outcome
                    continue
                if wrong is not None:
                    wrong[outcome.row] = outcome
                errors += outcome.error is not None
                if ask.rollout + 1 < rules.max_rounds:
                    again.append((outcome.row, ask.rollout + 1))
        if is_cut(asks, answers) or (rules.max_errors is not None and errors >= rules.max_errors):
            break
    place = {row: i for i, row in enumerate(order)}
    return {row: solved[row] for row in sorted(solved, key=place.__getitem__)}


def at_once(missing: int, solved: int, asked: int, steps: int = 1) -> int:
    """Return how many rows to ask for so that mostly all that are missing are solved: a standard error above the mean.

    The first time for the mean, at most half as many more than are missing; with several steps, whose rounds take longer,
    for twice as many as are missing. Then for no more than were asked for before, or three for each that is missing. By
    simulation this takes 1.3 times the rows needed. To ask for as many as are missing would take no row too many, but far
    more rounds: 20 instead of 4 where one row in ten is solved.

    >>> at_once(4, 0, 0), at_once(4, 0, 0, steps=2), at_once(2, 2, 6), at_once(4, 0, 6), at_once(4, 0, 40)
    (6, 8, 6, 12, 40)
    """
    if steps > 1 and not asked:
        return 2 * missing
    share = (solved + 2) / (asked + 3)
    spread = math.sqrt(share * (1 - share)) if asked else 0.0
    most = (math.sqrt(spread**2 + 4 * share * missing) + spread) / (2 * share)
    limit = max(asked, 3 * missing) if asked else missing + missing // 2
    return max(missing, min(math.floor(most**2), limit))


def with_solved(
    problem: Problem, solved: Mapping[int, Outcome], max_labeled: int, prefix: str = ""
) -> Candidate:
    """Return the starting prompt with solved rows as examples, filled up with labelled ones, and how many of each."""
    candidate = with_examples(problem, problem.seed, max_labeled, problem.rng, solved)
    most = max(candidate.steps.values(), key=lambda state: len(state.demos))
    raw = sum(not d.augmented for d in most.demos)
    rows = f"{counted(len(solved), 'row')} it solved"
    reason = f"{prefix}The starting prompt with {rows} and {raw} labelled rows as examples."
    return candidate.derived(reason, problem.seed)


def with_examples(
    problem: Problem,
    candidate: Candidate,
    k: int,
    rng: random.Random | None,
    solved: Mapping[int, Outcome] | None = None,
) -> Candidate:
    """Return the candidate with solved rows as examples, then labelled ones up to `k` in all."""
    return with_demos(problem, candidate, lambda path: example_pool(problem, path, k, rng, solved or {}))


def with_demos(
    problem: Problem, candidate: Candidate, demos: Callable[[str], Sequence[Demo]], nearest: int = 0
) -> Candidate:
    """Return the candidate with other demonstrations, by a step's path, in every step that may change them."""
    for path in candidate.steps:
        if problem.may_change(path, "demos"):
            candidate = candidate.with_step(path, demos=tuple(demos(path)), nearest=nearest)
    return candidate


def example_pool(
    problem: Problem, path: str, k: int, rng: random.Random | None, solved: Mapping[int, Outcome]
) -> list[Demo]:
    """Return a step's demonstrations: solved rows, then labelled ones (the first, or with `rng` varied ones) up to `k` in all."""
    demos = traced_demos(list(solved.values()), path, problem.rng)
    rest = [row for row in problem.train if row not in solved]
    left = max(0, k - len(demos))
    chosen = rest[:left] if rng is None else varied_rows(problem, rest, left, rng)
    return demos + [d for row in chosen if (d := labeled_demo(problem, path, row)) is not None]


def traced_demos(outcomes: Sequence[Outcome], path: str, rng: random.Random) -> list[Demo]:
    """Return each outcome's call of a step as a demonstration; of several calls the last, or half of the time an earlier one."""
    demos = []
    for outcome in outcomes:
        calls = [step for step in outcome.trace if step.path == path]
        if len(calls) > 1 and rng.random() < 0.5:
            calls = [rng.choice(calls[:-1])]
        if calls:
            demos.append(Demo({**calls[-1].inputs, **calls[-1].outputs}, augmented=True))
    return demos


def labeled_demo(problem: Problem, path: str, row: int) -> Demo | None:
    """Return a row's own values as a demonstration of a step; None if it lacks every input or every output.

    A field the row does not know (a reasoning, an earlier step's output) is left out: the prompt says so.
    """
    reads, writes = problem.signatures[path].input_fields, problem.signatures[path].output_fields
    values = {name: value for name, value in problem.rows[row].items() if name in reads or name in writes}
    read = any(name in values for name in reads)
    written = any(values.get(name) is not None for name in writes)
    return Demo(values) if read and written else None


def varied_rows(problem: Problem, rows: Sequence[int], k: int, rng: random.Random) -> list[int]:
    """Draw up to `k` rows at random, but of a few drawn each time keep the one that has least in common with those kept.

    What rows have in common are words; a rare one says more (inverse document frequency). So examples do not say the
    same twice, and frequent kinds of rows still come first. After Mitchell's best-candidate sampling (1991).
    """
    pool = rng.sample(list(rows), min(len(rows), max(_FEWEST_IN_POOL, _POOL_FOR_EACH * k)))
    words_of = {row: _row_words(problem, row) for row in pool}
    weights = rarity(list(words_of.values()))
    seen: set[str] = set()
    chosen: list[int] = []
    while pool and len(chosen) < k:
        drawn = pool[:_DRAWN_EACH]
        known = {r: total_weight(words_of[r] & seen, weights) for r in drawn}
        best = min(drawn, key=lambda r: known[r] / (total_weight(words_of[r], weights) or 1.0))
        pool.remove(best)
        chosen.append(best)
        seen |= words_of[best]
        rng.shuffle(pool)
    return chosen


def _row_words(problem: Problem, row: int) -> frozenset[str]:
    values = problem.rows[row]
    names = (*problem.input_fields, *problem.output_fields)
    return frozenset(words(" ".join(str(values[name])[:_READ] for name in names if name in values)))


# Rows that examples are chosen among: for each example, at least, and drawn at once for each.
_POOL_FOR_EACH, _FEWEST_IN_POOL, _DRAWN_EACH = 16, 64, 4
# Characters of a value that are looked at.
_READ = 2000
