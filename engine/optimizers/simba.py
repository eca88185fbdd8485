"""SIMBA: look where the same row goes well and badly by turns, and learn an example or a rule from the difference.

Source: DSPy's SIMBA (stochastic introspective mini-batch ascent). Unlike there, the starting prompt has a
record like everyone else, scores of different minibatches are made comparable, a change that changed
nothing is not run, a row does not vote on a prompt that shows its own answer, and fewer rows than a
minibatch will do.
"""

from __future__ import annotations

import math
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from pydantic import Field

from engine.optimizers.base import Optimizer, Options
from engine.optimizers.shared.leaderboard import Leaderboard, lowered
from engine.optimizers.shared.texts import (
    MAX_TEXT,
    proposed_text,
    run_values,
    step_values,
    worst_runs,
)
from engine.records import Candidate, Demo, Evaluation, Outcome
from engine.search.contract import Ask, Keep, Problem, Propose, Score, Search, Steps, is_cut
from engine.signature import InputField, OutputField, Signature


class SIMBAOptions(Options):
    """Options of SIMBA."""

    bsize: int = Field(32, ge=1, title="Rows a step", description="Training rows looked at together.")
    num_candidates: int = Field(
        6, ge=1, title="Runs a row", description="How often each row is run, and how many changes are tried."
    )
    max_steps: int = Field(8, ge=1, title="Steps", description="How many minibatches are gone through.")
    max_demos: int = Field(
        4, ge=0, title="Solved examples", description="About the most that are shown; 0: only rules."
    )
    demo_input_field_maxlen: int = Field(
        100_000, ge=1, title="Longest input shown", description="Characters of an example's input field."
    )
    temperature_for_sampling: float = Field(
        0.2, gt=0, title="Variety of runs", description="Higher lets weaker prompts take part more often."
    )
    temperature_for_candidates: float = Field(
        0.2, gt=0, title="Variety of parents", description="Higher changes weaker prompts more often."
    )
    seed: int = Field(0, title="Seed", description="Another number draws other rows and changes.")


class SIMBA(Optimizer):
    """Runs rows several times, finds those that go well and badly, and learns examples and rules from them.

    Calls, with b = `bsize` (at most the train rows), k = `num_candidates`, S = `max_steps`, V validation rows,
    P steps and c calls a row: at most S x (k b + (k + 1) b) x c + (k + 1) x V x c to run rows, and
    S x (k + 1) x P for rules. A budget in calls lowers S, then b. Source: DSPy's SIMBA.

    >>> SIMBA(max_steps=2).options.bsize
    32
    """

    name = "SIMBA"
    title = "Learn examples and rules from rows that go well and badly"
    options_model = SIMBAOptions
    changes = "both"

    options: SIMBAOptions

    def search(self, problem: Problem) -> Search:
        """Take the steps, then score the best of what they brought in full."""
        problem.rng.seed(f"{self.options.seed}:{problem.rng.getrandbits(64)}")
        pool = _Pool(problem, self.options)
        steps, size = self._plan(problem)
        batches = _batches(problem.train or problem.validation, size, steps, problem.rng)
        for number, rows in enumerate(batches, 1):
            found = yield from self._step(problem, pool, rows, number)
            if not found:
                yield pool.keep()
                return
        leaderboard = Leaderboard(problem)
        yield from leaderboard.validate(pool.finalists())

    def _step(self, problem: Problem, pool: _Pool, rows: tuple[int, ...], number: int) -> Steps[bool]:
        """Run rows, plan changes, try them on the same rows; return False when the budget cut it short."""
        o, rng = self.options, problem.rng
        plan = pool.draw(rows, o.num_candidates)
        first = 1 + (number - 1) * o.num_candidates
        asks = [
            Score(
                pool.members[place].candidate,
                tuple(some),
                label="runs to compare",
                trace=True,
                teacher=sample == 0,
                rollout=first + sample,
            )
            for (place, sample), some in plan.items()
        ]
        answers = yield [*pool.keep(), *asks]
        answers = answers[len(answers) - len(asks) :]
        if is_cut(asks, answers):
            return False
        buckets = _buckets(rows, plan, answers)
        anchors = pool.learn(buckets)
        changes = self._changes(problem, pool, buckets)
        advice = yield from propose_advice(problem, changes, rng)
        made: dict[str, Candidate] = {}
        for change, texts in zip(changes, advice, strict=True):
            candidate = changed(change, texts, self.options.demo_input_field_maxlen)
            if candidate is not None and not pool.holds(candidate):
                made.setdefault(candidate.id, candidate)
        trials = [Score(c, rows, label="a change on the same rows", hide_own_row=True) for c in made.values()]
        if not trials:
            return True
        scored: Sequence[Evaluation] = yield trials
        for candidate, evaluation in zip(made.values(), scored, strict=True):
            if len(evaluation.outcomes) == len(rows):
                pool.add(candidate, [o.score - anchors[o.row] for o in evaluation.outcomes])
        return not is_cut(trials, scored)

    def _changes(self, problem: Problem, pool: _Pool, buckets: Sequence[list[Run]]) -> list[Change]:
        o, rng = self.options, problem.rng
        typical = sum(r.outcome.score for b in buckets for r in b) / max(1, sum(map(len, buckets)))
        faults = [b[-1].outcome for b in buckets if b[-1].outcome.score < 1]
        ranked = sorted(buckets, key=_promise, reverse=True)
        changes: list[Change] = []
        for bucket in ranked:
            if len(changes) > o.num_candidates:
                break
            parent = pool.choose(o.temperature_for_candidates)
            change = plan_change(problem, parent, bucket, typical, faults, o.max_demos, rng)
            if change is not None:
                changes.append(change)
        return changes

    def _plan(self, problem: Problem) -> tuple[int, int]:
        """Return steps and rows a step, lowered to what the calls left pay for."""
        o = self.options
        k, c = o.num_candidates, problem.meter.row_cost
        left = problem.meter.calls_left - (k + 1) * len(problem.validation) * c
        rules = (k + 1) * len(problem.worded)

        def cost(steps: int, size: int) -> float:
            return steps * ((2 * k + 1) * size * c + rules)

        size = min(o.bsize, len(problem.train or problem.validation))
        return lowered(cost, left, o.max_steps, size, least=4)


@dataclass
class _Member:
    """A candidate and by how much it beats the starting prompt, as far as is known."""

    candidate: Candidate
    total: float = 0.0
    squares: float = 0.0
    count: int = 0

    def learn(self, values: Sequence[float]) -> None:
        self.total += sum(values)
        self.squares += sum(v * v for v in values)
        self.count += len(values)

    @property
    def merit(self) -> float:
        """Mean gain over the starting prompt, held back a little while few rows are known."""
        return self.total / (self.count + 4)

    @property
    def error(self) -> float:
        """Standard error of the merit."""
        if self.count < 2:
            return 1.0
        mean = self.total / self.count
        return math.sqrt(max(0.0, self.squares / self.count - mean * mean) / self.count)


class _Pool:
    """Everything tried, with merits that can be compared across minibatches.

    A row's anchor is what the starting prompt would score on it: the mean of its runs, each less the merit
    of the prompt that made it. A value is a score less its row's anchor. The start's merit is 0 for good.
    """

    def __init__(self, problem: Problem, options: SIMBAOptions) -> None:
        self.members = [_Member(problem.seed)]
        self._rng = problem.rng
        self._options = options
        self._kept = problem.seed.id

    def holds(self, candidate: Candidate) -> bool:
        return any(m.candidate.id == candidate.id for m in self.members)

    def add(self, candidate: Candidate, values: Sequence[float]) -> None:
        member = _Member(candidate)
        member.learn(values)
        self.members.append(member)

    def choose(self, temperature: float) -> Candidate:
        return self.members[self._drawn(self._top(), temperature)].candidate

    def draw(self, rows: Sequence[int], runs: int) -> dict[tuple[int, int], list[int]]:
        """Say who runs which rows: (place of the member, number of the run) -> rows."""
        top = self._top()
        plan: dict[tuple[int, int], list[int]] = {}
        for sample in range(runs):
            for row in rows:
                place = self._drawn(top, self._options.temperature_for_sampling)
                plan.setdefault((place, sample), []).append(row)
        return plan

    def learn(self, buckets: Sequence[list[Run]]) -> dict[int, float]:
        """Learn from runs of the same rows; return the rows' anchors."""
        merits = [m.merit for m in self.members]
        anchors: dict[int, float] = {}
        values: dict[int, list[float]] = {}
        for bucket in buckets:
            row = bucket[0].outcome.row
            anchors[row] = sum(r.outcome.score - merits[r.place] for r in bucket) / len(bucket)
            for run in bucket:
                values.setdefault(run.place, []).append(run.outcome.score - anchors[row])
        for place, some in values.items():
            if place:
                self.members[place].learn(some)
        return anchors

    def keep(self) -> list[Ask]:
        """Return a Keep when another member is clearly ahead of the start now."""
        best = self.members[max(range(len(self.members)), key=lambda i: (self.members[i].merit, -i))]
        if best.candidate.id == self._kept or best.merit <= best.error:
            return []
        self._kept = best.candidate.id
        return [Keep(best.candidate)]

    def finalists(self) -> list[Candidate]:
        """Return the starting prompt and the best of the others, `num_candidates` of them."""
        others = sorted(range(1, len(self.members)), key=lambda i: (-self.members[i].merit, i))
        return [self.members[i].candidate for i in (0, *others[: self._options.num_candidates])]

    def _top(self) -> list[int]:
        ranked = sorted(range(1, len(self.members)), key=lambda i: (-self.members[i].merit, i))
        return [0, *ranked[: self._options.num_candidates - 1]]

    def _drawn(self, places: Sequence[int], temperature: float) -> int:
        best = max(self.members[i].merit for i in places)
        weights = [math.exp((self.members[i].merit - best) / temperature) for i in places]
        return self._rng.choices(list(places), weights)[0]


def _batches(rows: Sequence[int], size: int, steps: int, rng: random.Random) -> list[tuple[int, ...]]:
    """Return minibatches that go through all rows before any comes again."""
    batches, order = [], list[int]()
    for _ in range(steps):
        drawn: list[int] = []
        while len(drawn) < size:
            if not order:
                order = rng.sample(list(rows), len(rows))
            row = order.pop()
            if row not in drawn:
                drawn.append(row)
        batches.append(tuple(drawn))
    return batches


def _buckets(
    rows: Sequence[int], plan: dict[tuple[int, int], list[int]], answers: Sequence[Evaluation]
) -> list[list[Run]]:
    """Return each row's runs, the best first."""
    runs: dict[int, list[Run]] = {row: [] for row in rows}
    for (place, _), evaluation in zip(plan, answers, strict=True):
        for outcome in evaluation.outcomes:
            runs[outcome.row].append(Run(place, replace(outcome)))
    return [sorted(some, key=lambda r: -r.outcome.score) for some in runs.values()]


def _promise(bucket: Sequence[Run]) -> tuple[float, bool, float, float]:
    """Return how much a row can teach: the gap between its runs, a fault at all, the best score, the gap to the mean."""
    scores = [run.outcome.score for run in bucket]
    return scores[0] - scores[-1], scores[-1] < 1, scores[0], scores[0] - sum(scores) / len(scores)


@dataclass(frozen=True, slots=True)
class Run:
    """One run of a row, and the place in the pool of the prompt that made it."""

    place: int
    outcome: Outcome


@dataclass(frozen=True, slots=True)
class Change:
    """A planned change of a prompt: `base` is `parent` with some examples dropped already."""

    parent: Candidate
    base: Candidate
    kind: Literal["example", "rule"]
    best: Outcome
    worst: Outcome
    others: tuple[Outcome, ...] = ()


def plan_change(
    problem: Problem,
    parent: Candidate,
    bucket: Sequence[Run],
    typical: float,
    faults: Sequence[Outcome],
    max_demos: int,
    rng: random.Random,
) -> Change | None:
    """Return a change that this row's runs (best first) can teach, or None when they teach nothing.

    An example needs a run that scored something and no less than usual; a rule needs a run with a fault, and is
    shown some `faults` of other rows of the minibatch too: they are paid for already.
    """
    best, worst = bucket[0].outcome, bucket[-1].outcome
    possible: list[Literal["example", "rule"]] = []
    shown = any(problem.may_change(path, "demos") for path in problem.signatures)
    right = best.error is None and not best.unmet and best.score > 0 and best.score >= typical
    if max_demos and shown and best.trace and right:
        possible.append("example")
    if worst.score < 1 and problem.worded:
        possible.append("rule")
    if not possible:
        return None
    kind = rng.choice(possible)
    rest = [o for o in faults if o.row != worst.row]
    others = tuple(rng.sample(rest, min(_OTHER_FAULTS, len(rest))))
    return Change(parent, _thinned(parent, max_demos, rng), kind, best, worst, others)


def propose_advice(
    problem: Problem, changes: Sequence[Change], rng: random.Random
) -> Steps[list[Mapping[str, str]]]:
    """Ask for the advice of all rule changes at once; return step path -> advice for each change. Calls: steps x rules."""
    asks: list[Propose] = []
    owners: list[tuple[int, str]] = []
    for i, change in enumerate(changes):
        if change.kind != "rule":
            continue
        for path in problem.worded:
            asks.append(_advice(problem, change, path, rng.randrange(1, 1_000_000)))
            owners.append((i, path))
    found: list[dict[str, str]] = [{} for _ in changes]
    if not asks:
        return list(found)
    answers = yield asks
    for (i, path), answer in zip(owners, answers, strict=True):
        text = proposed_text(answer)
        if text:
            found[i][path] = text[:_MAX_ADVICE]
    return list(found)


def changed(change: Change, advice: Mapping[str, str], longest: int) -> Candidate | None:
    """Return the changed prompt with its lineage; None where nothing came of it."""
    made = change.base
    if change.kind == "example":
        for path, state in made.steps.items():
            calls = [s for s in change.best.trace if s.path == path]
            if calls:
                inputs = {n: v[:longest] if isinstance(v, str) else v for n, v in calls[-1].inputs.items()}
                demo = Demo({**inputs, **calls[-1].outputs}, augmented=True)
                if demo not in state.demos:
                    made = made.with_step(path, demos=(*state.demos, demo))
        reason = (
            f"Shows row {change.best.row}, which a run scored {100 * change.best.score:.0f} %, as an example."
        )
    else:
        for path, text in advice.items():
            old = made.steps[path].instructions
            if text not in old:
                made = made.with_step(path, instructions=f"{old}\n\n{text}"[-2 * MAX_TEXT :])
        reason = (
            f"Adds a rule from row {change.worst.row}, which a run scored {100 * change.worst.score:.0f} %."
        )
    if made.id == change.base.id:
        return None
    return made.derived(reason, change.parent)


def _thinned(candidate: Candidate, max_demos: int, rng: random.Random) -> Candidate:
    """Return the candidate with some examples dropped: a Poisson number, at least one when it is full."""
    shown = max((len(state.demos) for state in candidate.steps.values()), default=0)
    if not shown:
        return candidate
    dropped = max(_poisson(shown / max(1, max_demos), rng), int(shown >= max_demos))
    places = set(rng.sample(range(shown), min(dropped, shown)))
    made = candidate
    for path, state in candidate.steps.items():
        left = tuple(d for i, d in enumerate(state.demos) if i not in places)
        if len(left) != len(state.demos):
            made = made.with_step(path, demos=left)
    return made


def _poisson(mean: float, rng: random.Random) -> int:
    """Draw from a Poisson distribution (Knuth's method: the mean is small)."""
    limit, product, n = math.exp(-mean), rng.random(), 0
    while product > limit:
        product *= rng.random()
        n += 1
    return n


def _advice(problem: Problem, change: Change, path: str, rollout: int) -> Propose:
    even = change.best.score <= change.worst.score
    return Propose(
        WriteAdvice,
        {
            **step_values(problem, path),
            "current_instructions": change.base.steps[path].instructions,
            "better_run": {} if even else run_values(problem, change.best, path),
            "worse_run": run_values(problem, change.worst, path),
            "other_bad_runs": worst_runs(problem, path, change.others),
        },
        rollout=rollout,
        label=f"a rule for the step {path}",
    )


_MAX_ADVICE = 1500
_OTHER_FAULTS = 8


class WriteAdvice(Signature):
    """
    The same input was run through one step of a program several times. You see a run that went well (empty when
    none did) and one that went badly: what was read, what would have been right, what came out and what was
    said about it. Other inputs that went badly stand beside them.
    Write advice that would have led to the right answers: a few short sentences that will stand below the current
    instructions. Say in which situation each holds, what to answer or heed then, and nothing that the
    instructions say already. State general rules, without quoting the runs.
    """

    program_description: str = InputField(desc="The steps of the program.")
    step: str = InputField(desc="The step the advice is for: its fields and what they mean.")
    current_instructions: str = InputField(desc="The instructions the advice is added to.")
    better_run: dict[str, Any] = InputField(desc="A run that went well; empty when none did.")
    worse_run: dict[str, Any] = InputField(desc="A run that went badly.")
    other_bad_runs: list[dict[str, Any]] = InputField(desc="Runs of other inputs that went badly.")
    advice: str = OutputField(desc="The advice: a few short sentences.")
