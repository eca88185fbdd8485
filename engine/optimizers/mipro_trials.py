"""MIPROv2's trials: combinations of instructions and example sets, tried in waves.

Full evaluations alone decide. A minibatch only says which combination is worth one, by how its rows
differ from the starting prompt's on the same rows. It knows no proposer and calls nothing.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from engine.optimizers.mipro_study import make_study
from engine.records import Candidate, Evaluation
from engine.search.contract import Ask, Keep, Score, Search


@dataclass(frozen=True, slots=True)
class Plan:
    """How much is tried: candidates and instructions a step, trials, rows. `minibatch` 0: all rows each time."""

    candidates: int
    instructions: int
    trials: int
    validation: int
    minibatch: int
    wave: int


Combination = tuple[int, ...]


@dataclass(frozen=True)
class Space:
    """What can be combined: for each step an instruction and, unless zero-shot, an example set.

    A combination lists, step after step, the index of the instruction and of the example set, then for each step
    in `thinking` whether it is done; all zeros is the starting prompt.
    """

    seed: Candidate
    texts: tuple[tuple[str, tuple[str, ...]], ...]
    demo_sets: tuple[Candidate, ...]
    zero_shot: bool = False
    fixed: frozenset[str] = frozenset()
    """Steps whose examples stay as they are."""
    thinking: tuple[tuple[str, bool], ...] = ()
    """Steps of which it is tried to reason first (True) or not to (False)."""

    @property
    def sizes(self) -> dict[str, int]:
        """Variable name -> how many levels it has, in the order of a combination."""
        sizes: dict[str, int] = {}
        for i, (path, texts) in enumerate(self.texts):
            sizes[f"{i}_instruction"] = len(texts)
            if not self.zero_shot:
                sizes[f"{i}_demos"] = 1 if path in self.fixed else len(self.demo_sets)
        return sizes | {f"{i}_reasoning": 2 for i in range(len(self.thinking))}

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
        for path, first in self.thinking:
            if left.pop(0):
                candidate = candidate.with_step(path, reason_first=first)
                reasons.append(f"{path}: {'reasons first' if first else 'answers at once'}")
        reason = "; ".join(reasons)
        return candidate.derived(f"{reason[0].upper()}{reason[1:]}.", self.seed)


@dataclass
class _Tally:
    """What is known of a combination: the sum and number of its score's differences to the baseline, row by row."""

    difference: float = 0.0
    rows: int = 0
    full: bool = False

    def add(self, evaluation: Evaluation, baseline: Mapping[int, float]) -> float:
        """Count an evaluation and return its mean difference."""
        own = sum(o.score - baseline[o.row] for o in evaluation.outcomes)
        self.difference += own
        self.rows += len(evaluation.outcomes)
        return own / len(evaluation.outcomes)

    @property
    def mean(self) -> float:
        """Mean difference so far."""
        return self.difference / max(1, self.rows)


class Trials:
    """The trials of one search, after the starting prompt's full evaluation `baseline`."""

    def __init__(
        self,
        space: Space,
        plan: Plan,
        validation: tuple[int, ...],
        baseline: Evaluation,
        rng: random.Random,
        *,
        rehearsal: bool = False,
    ) -> None:
        self._space, self._plan, self._validation = space, plan, validation
        self._baseline, self._scores = baseline.score, baseline.scores
        self._best = baseline.score
        self._study = make_study(
            space.sizes,
            seed=rng.randrange(2**31),
            first_value=baseline.score,
            rng=rng,
            rehearsal=rehearsal,
        )
        self._tallies = {self._study.start: _Tally(full=True)}
        self._order, self._at = rng.sample(validation, len(validation)), 0
        self._left = plan.trials

    def search(self) -> Search:
        """Try a wave, and beside it score the most promising combination of the wave before in full."""
        full: Combination | None = None
        keep: list[Ask] = []
        while True:
            wave = self._next_wave(full)
            if not wave and full is None and not keep:
                return
            asks = self._asks(wave, full)
            answers = yield [*keep, *asks]
            evaluations = answers[len(keep) :]
            if any(len(e.outcomes) < len(ask.rows) for ask, e in zip(asks, evaluations, strict=True)):
                self._left = 0  # the budget is spent: what is complete counts, and nothing more is asked
            keep = self._learn(wave, full, asks, evaluations)
            full = self._promising() if self._plan.minibatch and wave else None

    def _next_wave(self, full: Combination | None) -> list[Combination]:
        if not self._left:
            return []
        done = [c for c, tally in self._tallies.items() if tally.full or c == full]
        size = min(self._left, self._plan.wave)
        wave = self._study.ask(size, repeat=bool(self._plan.minibatch), done=done)
        self._left = self._left - len(wave) if wave else 0
        return wave

    def _asks(self, wave: Sequence[Combination], full: Combination | None) -> list[Score]:
        rows, label = self._validation, "full validation"
        if self._plan.minibatch and wave:
            size = len(self._order)
            rows = tuple(self._order[(self._at + i) % size] for i in range(self._plan.minibatch))
            self._at += self._plan.minibatch
            label = "minibatch"
        asks = [Score(self._space.candidate(c), rows, label=label) for c in wave]
        if full is not None:
            asks.append(Score(self._space.candidate(full), self._validation, label="full validation"))
        return asks

    def _learn(
        self,
        wave: Sequence[Combination],
        full: Combination | None,
        asks: Sequence[Score],
        evaluations: Sequence[Evaluation],
    ) -> list[Ask]:
        """Tell the study and the tallies; return what to keep."""
        keep: list[Ask] = []
        for i, (ask, evaluation) in enumerate(zip(asks, evaluations, strict=True)):
            if len(evaluation.outcomes) < len(ask.rows):
                continue
            if i < len(wave):
                tally = self._tallies.setdefault(wave[i], _Tally())
                self._study.tell(wave[i], self._baseline + tally.add(evaluation, self._scores))
                if not self._plan.minibatch:
                    keep += self._won(wave[i], evaluation)
            elif full is not None:
                self._study.add(full, evaluation.score)
                keep += self._won(full, evaluation)
        return keep

    def _won(self, combination: Combination, evaluation: Evaluation) -> list[Ask]:
        """Note a full score; ask to keep the combination if it beats every one before."""
        self._tallies[combination].full = True
        if evaluation.score <= self._best:
            return []
        self._best = evaluation.score
        return [Keep(self._space.candidate(combination), evaluation.score)]

    def _promising(self) -> Combination | None:
        """Return the combination with the best mean that has no full score yet, if there is one."""
        waiting = [c for c, tally in self._tallies.items() if not tally.full and tally.rows]
        return max(waiting, key=lambda c: self._tallies[c].mean, default=None)
