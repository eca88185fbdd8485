"""Comparisons on the same rows: the verdict on the best prompt, the best static one, and the credit of each step's changes."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from statistics import NormalDist
from typing import TYPE_CHECKING

from engine.basics.statistics import interval_of_sums, paired_interval
from engine.basics.text import PrintedChange, in_percent, in_points, printed_change
from engine.records import Candidate, Evaluation
from engine.search.judging.wording import verdict_sentence
from engine.search.result import Verdict, VerdictKind

if TYPE_CHECKING:
    from engine.search.result import Trial

# Fewer test rows than this decide nothing; nor does an interval wider than this on either side.
MIN_ROWS = 8
MAX_HALF_WIDTH = 0.25
# The number of rows that a static prompt's assumed difference to the best counts as.
_DOUBT_ROWS = 8


def verdict(baseline: Evaluation, best: Evaluation) -> Verdict:
    """Compare two evaluations over the rows they share.

    >>> from engine.records import Outcome
    >>> def run(name, scores):
    ...     return Evaluation(name, tuple(Outcome(i, s) for i, s in enumerate(scores)))
    >>> verdict(run("a", [0, 1] * 30), run("b", [1, 1] * 30)).sentence
    'Better: 100 % of test rows right against 50 % before, a gain of 50 points (95 % interval 36 to 61, 60 rows).'
    """
    before = {o.row: o for o in baseline.outcomes}
    pairs = [(before[o.row], o) for o in best.outcomes if o.row in before]
    differences = [b.score - a.score for a, b in pairs]
    n = len(pairs)
    first = sum(a.score for a, _ in pairs) / n if n else 0.0
    second = sum(b.score for _, b in pairs) / n if n else 0.0
    binary = all(o.score in (0.0, 1.0) for pair in pairs for o in pair)
    low, high = paired_interval(differences, binary=binary) if n else (-1.0, 1.0)
    kind = _kind(n, low, high, printed_change(first, second, low, high))
    if baseline.candidate_id == best.candidate_id:
        kind, low, high = "unchanged", 0.0, 0.0
    failed = sum(a.error is not None or b.error is not None for a, b in pairs)
    won, lost = sum(d > 0 for d in differences), sum(d < 0 for d in differences)
    comparison = Verdict(kind, "", first, second, second - first, low, high, n, won, lost, failed)
    return replace(comparison, sentence=verdict_sentence(comparison, binary=binary))


def _kind(n: int, low: float, high: float, printed: PrintedChange) -> VerdictKind:
    if n < MIN_ROWS:
        return "not_enough"
    if printed.low > 0:
        return "better"
    if printed.high < 0:
        return "worse"
    return "not_enough" if (high - low) / 2 > MAX_HALF_WIDTH else "too_close"


WORSE_ROWS = 0.05
"""Share of test rows that are taken to get worse, before a run has shown it. The nine samples lost 0 to 7 % of theirs, 3 % on average."""
SHOWN = 0.8
"""Share of the tests in which a gain of `smallest_gain` is called better: the usual power of a planned test (Cohen 1988)."""


@lru_cache(maxsize=2048)
def smallest_gain(rows: int, worse: float = WORSE_ROWS) -> float | None:
    """Return the smallest gain, 0 to 1, that a final test calls better in four of five cases; None where none can be.

    A gain g of right answers comes from a share of g + `worse` rows that get better and of `worse` rows that get worse. The
    test's mean difference then varies by a standard error of sqrt((g + 2 * worse - g * g) / rows). It shows where the lower
    end of the verdict's own interval, at a mean lower by as many standard errors as four of five tests reach, is still
    printed above zero (normal approximation of the power; for the test of paired right and wrong answers Connor 1987,
    Biometrics 43: 207-211). Scores with grades in between vary less: there it is on the safe side.

    >>> [round(100 * (smallest_gain(rows) or 0)) for rows in (36, 120)], smallest_gain(MIN_ROWS - 1)
    ([27, 12], None)
    """
    reach = NormalDist().inv_cdf(SHOWN)

    def shows(gain: float) -> bool:
        changed = gain + 2 * worse
        low, _ = interval_of_sums(rows, rows * gain, rows * changed, binary=True)
        return low - reach * math.sqrt(max(0.0, changed - gain * gain) / rows) > _PRINTED

    low, high = 0.0, 1 - 2 * worse
    if rows < MIN_ROWS or not shows(high):
        return None
    while high - low > 1e-4:
        middle = (low + high) / 2
        low, high = (low, middle) if shows(middle) else (middle, high)
    return high


# The lower end of an interval that is printed as a whole point above zero.
_PRINTED = 0.005


Scores = Mapping[int, float]
"""Row id -> score, 0 to 1."""


@dataclass(frozen=True, slots=True)
class StepChange:
    """A candidate that differs from one of its parents in one step only: what it gained, as a mean over shared rows."""

    step: str
    child: str
    parent: str
    what: str
    gain: float
    low: float
    high: float
    rows: int


@dataclass(frozen=True, slots=True)
class StepCredit:
    """One step's changes, the best first; `kept` is their sum on the way to the best prompt, None without any there."""

    step: str
    changes: tuple[StepChange, ...]
    kept: float | None

    @property
    def helped(self) -> int:
        """Number of its changes that raised the score."""
        return sum(c.gain > 0 for c in self.changes)

    @property
    def mean(self) -> float:
        """The mean gain of its changes, or 0."""
        return sum(c.gain for c in self.changes) / len(self.changes) if self.changes else 0.0


@dataclass(frozen=True, slots=True)
class Credit:
    """Every step's credit in the program's order, and the number of pairs that changed several steps at once.

    Evidence is a candidate and a parent that differ in a single step, both scored on the same rows: the difference is
    that step's gain. Pairs that differ in several steps prove nothing about one, and are only counted: of such a pair
    those count instead that lack one step's change and have all others.
    """

    steps: tuple[StepCredit, ...]
    together: int

    @property
    def sentence(self) -> str:
        """The step whose changes moved the score most, in words."""
        tried = [s for s in self.steps if s.changes]
        if not tried:
            if self.together:
                return "Every change touched several steps at once, so no single step can be credited."
            return "No change of a single step was scored on the same rows as what it came from."
        on_the_way = [s for s in tried if s.kept]
        if on_the_way:
            most = max(on_the_way, key=lambda s: abs(s.kept or 0.0))
            gain = in_points(in_percent(most.kept or 0.0, 0))
            return f"On the way to the best prompt, the step {most.step!r} moved the score most: {gain}."
        most = max(tried, key=lambda s: abs(s.mean))
        gain = in_points(in_percent(most.mean, 0))
        return f"Changing the step {most.step!r} moved the score most: {gain} on average."


def best_static(trials: Iterable[Trial], best: Candidate) -> Candidate | None:
    """Return the best prompt that shows each input the same: None where `best` does, or where none was scored.

    Candidates are judged by their difference to the best on the validation rows that both ran. As long as there are few such
    rows, a candidate is taken to be ten points worse.
    """
    if not retrieves(best):
        return None
    scores: dict[str, dict[int, float]] = {}
    known: dict[str, Candidate] = {}
    for trial in trials:
        if trial.split == "validation":
            known[trial.candidate_id] = trial.candidate
            scores.setdefault(trial.candidate_id, {}).update(trial.evaluation.scores)
    ours = scores.get(best.id, {})

    def expected(candidate: Candidate) -> float:
        theirs = scores[candidate.id]
        differences = [theirs[row] - ours[row] for row in theirs if row in ours]
        return (sum(differences) - 0.1 * _DOUBT_ROWS) / (len(differences) + _DOUBT_ROWS)

    return max((c for c in known.values() if not retrieves(c)), key=expected, default=None)


def retrieves(candidate: Candidate) -> bool:
    """Return whether a prompt shows each input other examples."""
    return any(state.nearest and state.demos for state in candidate.steps.values())


def step_credit(candidates: Sequence[Candidate], scores: Mapping[str, Scores], best: str) -> Credit:
    """Return each step's credit. `scores` is candidate id -> row -> score, `best` the id of the best candidate.

    >>> from engine.records import StepState
    >>> start = Candidate({"find": StepState("Find."), "say": StepState("Say.")})
    >>> better = start.with_step("say", instructions="Say it briefly.").derived("why", start)
    >>> found = step_credit([start, better], {start.id: {1: 0, 2: 1}, better.id: {1: 1, 2: 1}}, better.id)
    >>> found.sentence
    "On the way to the best prompt, the step 'say' moved the score most: +50 points."
    """
    by_id = {c.id: c for c in candidates}
    changes: dict[str, list[StepChange]] = {
        path: [] for path in (by_id[best] if best in by_id else next(iter(candidates), Candidate({}))).steps
    }
    together = 0
    way = _way(by_id, best)
    for child in by_id.values():
        for parent in (by_id[p] for p in dict.fromkeys(child.parents) if p in by_id):
            changed = [path for path, state in child.steps.items() if parent.steps.get(path) != state]
            together += len(changed) > 1
            change = _change(changed[0], parent, child, scores) if len(changed) == 1 else None
            if change is not None and change.step in changes:
                changes[change.step].append(change)
            # Made of several changes at once: the candidate that lacks one step's shows what that step's brought.
            for path in changed if len(changed) > 1 else ():
                if path not in parent.steps:
                    continue
                lacking = by_id.get(replace(child, steps={**child.steps, path: parent.steps[path]}).id)
                change = None if lacking is None else _change(path, lacking, child, scores)
                if change is not None and path in changes:
                    changes[path].append(change)
                    way |= {(change.parent, child.id)} if child.id == best else set()
    steps = []
    for step, own in changes.items():
        gains = [c.gain for c in own if (c.parent, c.child) in way]
        ranked = sorted(own, key=lambda c: -c.gain)
        steps.append(StepCredit(step, tuple(ranked), sum(gains) if gains else None))
    return Credit(tuple(steps), together)


def _change(
    step: str, parent: Candidate, child: Candidate, scores: Mapping[str, Scores]
) -> StepChange | None:
    before, after = scores.get(parent.id, {}), scores.get(child.id, {})
    rows = sorted(before.keys() & after.keys())
    if not rows:
        return None
    differences = [after[row] - before[row] for row in rows]
    binary = all(s in (0, 1) for row in rows for s in (before[row], after[row]))
    low, high = paired_interval(differences, binary=binary)
    gain = sum(differences) / len(rows)
    return StepChange(step, child.id, parent.id, _what(step, parent, child), gain, low, high, len(rows))


def _what(step: str, parent: Candidate, child: Candidate) -> str:
    before, after = parent.steps.get(step), child.steps[step]
    if before is None:
        return "the whole step"
    parts = (
        ("instructions", before.instructions != after.instructions),
        ("solved examples", before.demos != after.demos or before.nearest != after.nearest),
        ("field descriptions", before.field_descriptions != after.field_descriptions),
        ("tool descriptions", before.tool_descriptions != after.tool_descriptions),
        ("reasoning first", before.reason_first != after.reason_first),
        ("the answer's layout", before.adapter != after.adapter),
        ("the model", before.weights != after.weights),
    )
    return " and ".join(name for name, differs in parts if differs)


def _way(by_id: Mapping[str, Candidate], best: str) -> set[tuple[str, str]]:
    """Return the (parent, child) pairs on the first-parent line from the best candidate back to its beginning."""
    pairs: set[tuple[str, str]] = set()
    at = best
    while at in by_id:
        parent = next((p for p in by_id[at].parents if p in by_id and p != at), None)
        if parent is None or (parent, at) in pairs:
            break
        pairs.add((parent, at))
        at = parent
    return pairs
