"""SIMBA: look where the same row goes well and badly by turns, and learn an example or a rule from the difference.

Source: DSPy's SIMBA (stochastic introspective mini-batch ascent). Unlike there, scores of different minibatches are
made comparable, a change that changed nothing is not run, and a row does not vote on a prompt that shows its answer.
"""

from __future__ import annotations

import math
import random
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain

from engine.basics.data import JsonObject
from engine.basics.text import percent
from engine.optimizers.base import Optimizer, Options, option
from engine.optimizers.shared.leaderboard import Leaderboard, lowered
from engine.optimizers.shared.texts import (
    MAX_TEXT,
    answers_by_key,
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

    bsize: int = option(32, "Rows a step", "Training rows looked at together.", ge=1)
    num_candidates: int = option(
        6, "Runs a row", "How often each row is run, and how many changes are tried.", ge=1
    )
    max_steps: int = option(8, "Steps", "How many minibatches are gone through.", ge=1)
    max_demos: int = option(4, "Solved examples", "About the most that are shown; 0: only rules.", ge=0)
    demo_input_field_maxlen: int = option(
        100_000, "Longest input shown", "Characters of an example's input field.", ge=1
    )
    temperature_for_sampling: float = option(
        0.2, "Variety of runs", "Higher lets weaker prompts take part more often.", gt=0
    )
    temperature_for_candidates: float = option(
        0.2, "Variety of parents", "Higher changes weaker prompts more often.", gt=0
    )
    seed: int = option(0, "Seed", "Another number draws other rows and changes.")


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
    about = "Learns from rows that go well in one try and badly in another."
    pace = "Thorough"
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
            complete = yield from self._step(problem, pool, rows, number)
            if not complete:
                yield pool.keep()
                return
        leaderboard = Leaderboard(problem)
        yield from leaderboard.validate(pool.finalists())

    def _step(self, problem: Problem, pool: _Pool, rows: tuple[int, ...], number: int) -> Steps[bool]:
        """Run rows, plan changes, try them on the same rows; return False when the budget cut it short."""
        o = self.options
        plan = pool.draw(rows, o.num_candidates)
        first = 1 + (number - 1) * o.num_candidates
        label = "runs to compare"
        asks = [
            Score(pool.candidates[place], tuple(some), label, True, sample == 0, rollout=first + sample)
            for (place, sample), some in plan.items()
        ]
        answers = yield [*pool.keep(), *asks]
        answers = answers[len(answers) - len(asks) :]
        if is_cut(asks, answers):
            return False
        runs: dict[int, list[Run]] = {row: [] for row in rows}
        for (place, _), evaluation in zip(plan, answers, strict=True):
            for outcome in evaluation.outcomes:
                runs[outcome.row].append((place, outcome))
        buckets = [sorted(some, key=lambda run: -run[1].score) for some in runs.values()]
        anchors = pool.learn(buckets)
        changes = self._changes(problem, pool, buckets)
        fresh: dict[str, Candidate] = {}
        for change, advice in zip(changes, (yield from self._advice(problem, changes)), strict=True):
            candidate = _changed(change, advice, o.demo_input_field_maxlen)
            if candidate is not None and not pool.holds(candidate):
                fresh.setdefault(candidate.id, candidate)
        trials = [
            Score(c, rows, label="a change on the same rows", hide_own_row=True) for c in fresh.values()
        ]
        if not trials:
            return True
        scored: Sequence[Evaluation] = yield trials
        for candidate, evaluation in zip(fresh.values(), scored, strict=True):
            if len(evaluation.outcomes) == len(rows):
                pool.add(candidate, [o.score - anchors[o.row] for o in evaluation.outcomes])
        return not is_cut(trials, scored)

    def _changes(self, problem: Problem, pool: _Pool, buckets: Sequence[list[Run]]) -> list[Change]:
        """Return changes that rows' runs (best first) can teach, those of rows first that can teach the most.

        An example needs a run that scored something and no less than usual; a rule needs a run with a fault, and is
        shown some faults of other rows of the minibatch too: they are paid for already.
        """
        o, rng = self.options, problem.rng
        typical = sum(o.score for b in buckets for _, o in b) / max(1, sum(map(len, buckets)))
        faults = [b[-1][1] for b in buckets if b[-1][1].score < 1]
        may_show = o.max_demos and any(problem.may_change(path, "demos") for path in problem.signatures)
        changes: list[Change] = []
        for bucket in sorted(buckets, key=_promise, reverse=True):
            if len(changes) > o.num_candidates:
                break
            parent = pool.choose(o.temperature_for_candidates)
            best, worst = bucket[0][1], bucket[-1][1]
            right = best.error is None and not best.unmet and best.score > 0 and best.score >= typical
            kinds = ["example"] if may_show and best.trace and right else []
            kinds += ["rule"] if worst.score < 1 and problem.worded else []
            if kinds:
                kind = rng.choice(kinds)
                rest = [fault for fault in faults if fault.row != worst.row]
                others = rng.sample(rest, min(_OTHER_FAULTS, len(rest)))
                changes.append(Change(parent, _thinned(parent, o.max_demos, rng), kind, best, worst, others))
        return changes

    def _advice(self, problem: Problem, changes: Sequence[Change]) -> Steps[list[dict[str, str]]]:
        """Ask for the advice of all rule changes at once; return step path -> advice for each. Calls: steps x rules."""
        asks = {
            i: [_advice_ask(problem, change, path) for path in problem.worded]
            for i, change in enumerate(changes)
            if change.kind == "rule"
        }
        answers = answers_by_key(asks, (yield list(chain.from_iterable(asks.values())))) if asks else {}
        texts = {i: zip(problem.worded, map(proposed_text, some), strict=True) for i, some in answers.items()}
        return [
            {path: text[:_MAX_ADVICE] for path, text in texts.get(i, ()) if text} for i in range(len(changes))
        ]

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


class _Pool:
    """Everything tried, with merits that can be compared across minibatches.

    A row's anchor is what the starting prompt would score on it: the mean of its runs, each less the merit
    of the prompt that made it. A value is a score less its row's anchor. The start's merit is 0 for good.
    """

    def __init__(self, problem: Problem, options: SIMBAOptions) -> None:
        self.candidates = [problem.seed]
        self._values: list[list[float]] = [[]]
        self._rng = problem.rng
        self._options = options
        self._kept = problem.seed.id

    def holds(self, candidate: Candidate) -> bool:
        return any(known.id == candidate.id for known in self.candidates)

    def add(self, candidate: Candidate, values: Sequence[float]) -> None:
        self.candidates.append(candidate)
        self._values.append(list(values))

    def choose(self, temperature: float) -> Candidate:
        return self.candidates[self._drawn_place(self._top(), temperature)]

    def draw(self, rows: Sequence[int], runs: int) -> dict[tuple[int, int], list[int]]:
        """Say who runs which rows: (place of the member, number of the run) -> rows."""
        top = self._top()
        plan: dict[tuple[int, int], list[int]] = {}
        for sample in range(runs):
            for row in rows:
                place = self._drawn_place(top, self._options.temperature_for_sampling)
                plan.setdefault((place, sample), []).append(row)
        return plan

    def learn(self, buckets: Sequence[list[Run]]) -> dict[int, float]:
        """Learn from runs of the same rows; return the rows' anchors."""
        merits = [self._merit(place) for place in range(len(self.candidates))]
        anchors: dict[int, float] = {}
        for bucket in buckets:
            row = bucket[0][1].row
            anchors[row] = sum(o.score - merits[place] for place, o in bucket) / len(bucket)
            for place, outcome in bucket:
                if place:
                    self._values[place].append(outcome.score - anchors[row])
        return anchors

    def keep(self) -> list[Ask]:
        """Return a Keep when another member is clearly ahead of the start now."""
        best = max(range(len(self.candidates)), key=lambda i: (self._merit(i), -i))
        candidate, values = self.candidates[best], self._values[best]
        error = statistics.pstdev(values) / math.sqrt(len(values)) if len(values) > 1 else 1.0
        if candidate.id == self._kept or self._merit(best) <= error:
            return []
        self._kept = candidate.id
        return [Keep(candidate)]

    def finalists(self) -> list[Candidate]:
        """Return the starting prompt and the best of the others, `num_candidates` of them."""
        return [self.candidates[i] for i in self._top(1)]

    def _top(self, more: int = 0) -> list[int]:
        ranked = sorted(range(1, len(self.candidates)), key=lambda i: (-self._merit(i), i))
        return [0, *ranked[: self._options.num_candidates - 1 + more]]

    def _merit(self, place: int) -> float:
        """Return the mean gain over the starting prompt, held back a little while few rows are known."""
        return sum(self._values[place]) / (len(self._values[place]) + 4)

    def _drawn_place(self, places: Sequence[int], temperature: float) -> int:
        merits = [self._merit(i) for i in places]
        weights = [math.exp((merit - max(merits)) / temperature) for merit in merits]
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


def _promise(bucket: Sequence[Run]) -> tuple[float, bool, float, float]:
    """Return how much a row can teach: the gap between its runs, a fault at all, the best score, the gap to the mean."""
    scores = [outcome.score for _, outcome in bucket]
    return scores[0] - scores[-1], scores[-1] < 1, scores[0], scores[0] - sum(scores) / len(scores)


Run = tuple[int, Outcome]
"""One run of a row: the place in the pool of the prompt that made it, and its outcome."""


@dataclass(frozen=True, slots=True)
class Change:
    """A planned change of a prompt: `base` is `parent` with some examples dropped already."""

    parent: Candidate
    base: Candidate
    kind: str  # "example" or "rule"
    best: Outcome
    worst: Outcome
    others: Sequence[Outcome]


def _changed(change: Change, advice: Mapping[str, str], longest: int) -> Candidate | None:
    """Return the changed prompt with its lineage; None where nothing came of it."""
    candidate = change.base
    if change.kind == "example":
        for path, state in candidate.steps.items():
            calls = [s for s in change.best.trace if s.path == path]
            if calls:
                inputs = {n: v[:longest] if isinstance(v, str) else v for n, v in calls[-1].inputs.items()}
                demo = Demo({**inputs, **calls[-1].outputs}, augmented=True)
                if demo not in state.demos:
                    candidate = candidate.with_step(path, demos=(*state.demos, demo))
        what, run = "Shows row {}, which a run scored {}, as an example.", change.best
    else:
        for path, text in advice.items():
            old = candidate.steps[path].instructions
            if text not in old:
                candidate = candidate.with_step(path, instructions=f"{old}\n\n{text}"[-2 * MAX_TEXT :])
        what, run = "Adds a rule from row {}, which a run scored {}.", change.worst
    if candidate.id == change.base.id:
        return None
    return candidate.derived(what.format(run.row, percent(run.score, 0)), change.parent)


def _thinned(candidate: Candidate, max_demos: int, rng: random.Random) -> Candidate:
    """Return the candidate with some examples dropped: a Poisson number, at least one when it is full."""
    shown = max((len(state.demos) for state in candidate.steps.values()), default=0)
    if not shown:
        return candidate
    dropped = max(_poisson(shown / max(1, max_demos), rng), int(shown >= max_demos))
    places = set(rng.sample(range(shown), min(dropped, shown)))
    thinned = candidate
    for path, state in candidate.steps.items():
        left = tuple(d for i, d in enumerate(state.demos) if i not in places)
        if len(left) != len(state.demos):
            thinned = thinned.with_step(path, demos=left)
    return thinned


def _poisson(mean: float, rng: random.Random) -> int:
    """Draw from a Poisson distribution (Knuth's method: the mean is small)."""
    limit, product, n = math.exp(-mean), rng.random(), 0
    while product > limit:
        product *= rng.random()
        n += 1
    return n


def _advice_ask(problem: Problem, change: Change, path: str) -> Propose:
    even = change.best.score <= change.worst.score
    inputs = {
        **step_values(problem, path),
        "current_instructions": change.base.steps[path].instructions,
        "better_run": {} if even else run_values(problem, change.best, path),
        "worse_run": run_values(problem, change.worst, path),
        "other_bad_runs": worst_runs(problem, path, change.others),
    }
    rollout = problem.rng.randrange(1, 1_000_000)
    return Propose(WriteAdvice, inputs, rollout=rollout, label=f"a rule for the step {path}")


_MAX_ADVICE, _OTHER_FAULTS = 1500, 8


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
    better_run: JsonObject = InputField(desc="A run that went well; empty when none did.")
    worse_run: JsonObject = InputField(desc="A run that went badly.")
    other_bad_runs: list[JsonObject] = InputField(desc="Runs of other inputs that went badly.")
    advice: str = OutputField(desc="The advice: a few short sentences.")
