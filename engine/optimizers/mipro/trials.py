"""MIPROv2's trials: combinations of instructions and example sets, tried in waves.

Full evaluations alone decide. A minibatch only says which combination is worth one, by how its rows
differ from the starting prompt's on the same rows. It knows no proposer and calls nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from engine.optimizers.mipro.plan import Plan
from engine.optimizers.shared.study import make_study
from engine.records import Candidate, Evaluation
from engine.search.contract import Ask, Keep, Problem, Score, Search

Combination = tuple[int, ...]


@dataclass(frozen=True)
class Space:
    """The space of combinations: for each step an instruction and, unless zero-shot, an example set.

    A combination lists, step after step, the index of the instruction and of the example set, then for each step
    in `reasoning_choices` whether it is done; all zeros is the starting prompt.
    """

    seed: Candidate
    texts: tuple[tuple[str, tuple[str, ...]], ...]
    demo_sets: tuple[Candidate, ...]
    zero_shot: bool = False
    fixed: frozenset[str] = frozenset()
    """Steps whose examples stay as they are."""
    reasoning_choices: tuple[tuple[str, bool], ...] = ()
    """Steps of which it is tried to reason first (True) or not to (False)."""

    @property
    def sizes(self) -> dict[str, int]:
        """Variable name -> how many levels it has, in the order of a combination."""
        sizes: dict[str, int] = {}
        for i, (path, texts) in enumerate(self.texts):
            sizes[f"{i}_instruction"] = len(texts)
            if not self.zero_shot:
                sizes[f"{i}_demos"] = 1 if path in self.fixed else len(self.demo_sets)
        return sizes | {f"{i}_reasoning": 2 for i in range(len(self.reasoning_choices))}

    def candidate(self, combination: Combination) -> Candidate:
        """Return a combination as a candidate, with its reason."""
        candidate, reasons = self.seed, []
        left = list(combination)
        for path, texts in self.texts:
            wording, demos = left.pop(0), 0 if self.zero_shot else left.pop(0)
            parts = [f"proposed instructions {wording}" if wording else "the starting instructions"]
            candidate = candidate.with_step(path, instructions=texts[wording])
            if not self.zero_shot:
                shown = self.demo_sets[demos].steps[path]
                examples = shown.demos
                candidate = candidate.with_step(path, demos=examples, nearest=shown.nearest)
                parts.append(f"{len(examples)} examples (set {demos})" if examples else "no examples")
            reasons.append(f"{path}: {' with '.join(parts)}")
        for path, first in self.reasoning_choices:
            if left.pop(0):
                candidate = candidate.with_step(path, reason_first=first)
                reasons.append(f"{path}: {'reasons first' if first else 'answers at once'}")
        reason = "; ".join(reasons)
        return candidate.derived(f"{reason[0].upper()}{reason[1:]}.", self.seed)


@dataclass
class _Tally:
    """The scores of a combination: differences to the baseline by row, and whether on all of them."""

    differences: dict[int, float] = field(default_factory=dict)
    full: bool = False

    def add(self, evaluation: Evaluation, baseline: Mapping[int, float]) -> float:
        """Note an evaluation and return its mean difference."""
        own = {o.row: o.score - baseline[o.row] for o in evaluation.outcomes}
        self.differences |= own
        return sum(own.values()) / len(own)

    @property
    def mean(self) -> float:
        """Mean difference so far."""
        return sum(self.differences.values()) / max(1, len(self.differences))


class Trials:
    """The trials of one search, after the starting prompt's full evaluation `baseline`."""

    def __init__(self, problem: Problem, space: Space, plan: Plan, baseline: Evaluation) -> None:
        rng = problem.rng
        self._space, self._plan, self._meter = space, plan, problem.meter
        self._validation = tuple(o.row for o in baseline.outcomes)
        self._baseline, self._scores = baseline.score, baseline.scores
        self._best = baseline.score
        self._study = make_study(
            space.sizes,
            seed=rng.randrange(2**31),
            first_value=baseline.score,
            rng=rng,
            simulated=problem.simulated,
        )
        self._tallies = {self._study.start: _Tally(full=True)}
        self._order, self._at = rng.sample(self._validation, len(self._validation)), 0
        self._left = plan.trials

    def search(self) -> Search:
        """Try a wave, and meanwhile score the most promising combination of the wave before in full."""
        full: list[Combination] = []
        keep: list[Ask] = []
        while True:
            wave = self._next_wave(full)
            asks = self._asks(wave, full)
            if not asks and not keep:
                return
            answers = yield [*keep, *asks]
            evaluations = answers[len(keep) :]
            if any(len(e.outcomes) < len(ask.rows) for ask, e in zip(asks, evaluations, strict=True)):
                self._left = 0  # the budget is spent: what is complete counts, and nothing more is asked
            keep = self._learn(wave, full, asks, evaluations)
            full = self._promising() if self._plan.minibatch and wave else []

    def _next_wave(self, full: Sequence[Combination]) -> list[Combination]:
        """New combinations as far as there are any and the budget goes; at last the better half of those tried goes on."""
        size = min(self._left, self._plan.wave, self._room(full))
        wave = self._study.ask(size) if size > 0 else []
        self._left -= len(wave)
        if size > 0 and not wave:
            self._left = 0
            waiting = [c for c in self._waiting() if c not in full]
            wave = waiting[: min(size, len(waiting) // 2)]
            for combination in waiting[len(wave) :] if wave else ():
                del self._tallies[combination]
        return wave

    def _room(self, full: Sequence[Combination]) -> int:
        """Return how many trials the budget pays for besides these full scores and the one that decides about the trials."""
        mini = self._plan.minibatch
        kept = sum(map(self._unscored, full)) + (len(self._validation) - mini if mini else 0)
        return self._meter.affordable(self._left, mini or len(self._validation), kept * self._meter.row_cost)

    def _unscored(self, combination: Combination) -> int:
        return len(self._validation) - len(self._tallies[combination].differences)

    def _asks(self, wave: Sequence[Combination], full: Sequence[Combination]) -> list[Score]:
        rows, label = self._validation, "full validation"
        if self._plan.minibatch and wave:
            size = len(self._order)
            rows = tuple(self._order[(self._at + i) % size] for i in range(self._plan.minibatch))
            self._at += self._plan.minibatch
            label = "minibatch"
        asks = [Score(self._space.candidate(c), rows, label=label) for c in wave]
        return asks + [
            Score(self._space.candidate(c), self._validation, label="full validation") for c in full
        ]

    def _learn(
        self,
        wave: Sequence[Combination],
        full: Sequence[Combination],
        asks: Sequence[Score],
        evaluations: Sequence[Evaluation],
    ) -> list[Ask]:
        """Tell the study and the tallies; return what to keep."""
        keep: list[Ask] = []
        for i, (combination, evaluation) in enumerate(zip([*wave, *full], evaluations, strict=True)):
            if len(evaluation.outcomes) < len(asks[i].rows):
                continue
            gain = self._tallies.setdefault(combination, _Tally()).add(evaluation, self._scores)
            if i < len(wave):
                self._study.tell(combination, self._baseline + gain)
            else:
                self._study.add(combination, evaluation.score)
            if i >= len(wave) or not self._plan.minibatch:
                keep += self._won(combination, evaluation)
        return keep

    def _won(self, combination: Combination, evaluation: Evaluation) -> list[Ask]:
        """Note a full score; ask to keep the combination if it beats every one before."""
        self._tallies[combination].full = True
        if evaluation.score <= self._best:
            return []
        self._best = evaluation.score
        return [Keep(self._space.candidate(combination), evaluation.score)]

    def _waiting(self) -> list[Combination]:
        """The combinations that have no full score yet, the best mean first."""
        waiting = [c for c, tally in self._tallies.items() if not tally.full and tally.differences]
        return sorted(waiting, key=lambda c: -self._tallies[c].mean)

    def _promising(self) -> list[Combination]:
        """Return what deserves a full score: the best that waits, and after the last trial as many as a budget pays for."""
        waiting = self._waiting()
        if self._meter.limit is None:
            return waiting[:1]
        chosen: list[Combination] = []
        last = not self._left or self._room(waiting[:1]) <= 0
        for combination in waiting[: _FINALISTS if last else 1]:
            if sum(map(self._unscored, [*chosen, combination])) <= self._meter.rows_left:
                chosen.append(combination)
        return chosen


# Full scores at once after the last trial, where a budget leaves room for them.
_FINALISTS = 3
