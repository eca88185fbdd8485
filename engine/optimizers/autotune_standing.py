"""Where a search of Autotune stands: every (combination, row) score, and what follows from them.

Who is best, who is dropped, who races next, whether it is worth going on. It asks nothing.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, field

from engine.optimizers.autotune_model import FactorialModel
from engine.optimizers.autotune_race import chance_better, difference
from engine.optimizers.autotune_space import Combination, Space, labels_are_told
from engine.records import Outcome
from engine.search.contract import Problem

BLOCK = 24
"""Rows that a combination gets in one race."""

_HOPELESS = 0.3
_USEFUL = 0.02

FINALS_SHARE = 0.2
"""The share of the calls that is kept back for the finals."""


@dataclass(frozen=True, slots=True)
class Parts:
    """The parts of Autotune that an ablation can turn off."""

    rules: bool = True
    examples: bool = True
    model: bool = True
    failures: bool = True
    memory: bool = True
    finals: bool = True
    headroom: bool = True


@dataclass(frozen=True, slots=True)
class Plan:
    """How much is done: calls in all, example set sizes, proposals a step and round, and the parts in use."""

    calls: int
    example_counts: tuple[int, ...] = (8, 16)
    proposals: int = 4
    max_rounds: int = 6
    parts: Parts = Parts()


@dataclass
class Standing:
    """One search's space and scores so far."""

    problem: Problem
    plan: Plan
    rng: random.Random
    spent: int = 0
    rows_run: int = 0
    cut: bool = False
    ended: str = ""
    scores: dict[Combination, dict[int, float]] = field(default_factory=dict)
    trained: dict[Combination, dict[int, Outcome]] = field(default_factory=dict)
    asked: dict[Combination, int] = field(default_factory=dict)
    rejected: dict[str, list[str]] = field(default_factory=dict)
    dropped: set[Combination] = field(default_factory=set)
    by_id: dict[str, Combination] = field(default_factory=dict)
    _fitted: tuple[int, FactorialModel] | None = None

    def __post_init__(self) -> None:
        self.space = Space(self.problem.seed)
        self.order = self.rng.sample(self.problem.validation, len(self.problem.validation))
        self.train_order = self.rng.sample(self.problem.train, len(self.problem.train))
        self._train_at = 0
        self._shared = bool(set(self.problem.train) & set(self.problem.validation))
        self._rollout = 0
        signatures = self.problem.signatures.values()
        fields = [n for s in signatures for n in (*s.input_fields, *s.output_fields)]
        row = self.problem.rows[self.order[0]] if self.order else {}
        self._needs_traces = len(self.problem.signatures) > 1 or any(n not in row for n in fields)
        self.kept = self.space.start

    @property
    def _per_row(self) -> float:
        """Calls that a row takes, from what rows have taken so far."""
        most = self.problem.calls_per_row
        if self.rows_run < 2 * BLOCK:
            return float(most)
        return min(float(most), max(0.5, (self.spent - self._asked_for) / self.rows_run))

    def _round_proposals(self) -> int:
        return self.plan.proposals * len(self.problem.signatures) if self.plan.parts.rules else 0

    # Choosing

    def _to_race(self, added: Sequence[tuple[int, int]], number: int) -> list[Combination]:
        """Return the combinations for the next race: the new levels with the best of the rest, then Thompson's."""
        best = list(self._best())
        newest = dict(added)
        whole = [newest.get(place, at) for place, at in enumerate(best)]
        chosen: dict[Combination, None] = {tuple(whole): None} if added else {}
        for places in self._apart() if added else ():
            chosen.setdefault(tuple(newest.get(p, at) if p in places else at for p, at in enumerate(best)))
        width = len(chosen) if not number else self._width()
        if number:
            chosen = dict.fromkeys(list(chosen)[: max(1, width - 1)])
            if tuple(best) not in chosen and self.asked.get(tuple(best), 0) < len(self.order):
                chosen.setdefault(tuple(best))
        model = self._model() if self.plan.parts.model and number else None
        for _ in range(40):
            if len(chosen) >= width or model is None:
                break
            drawn = self._drawn(model)
            if drawn not in self.dropped and self.asked.get(drawn, 0) < len(self.order):
                chosen.setdefault(drawn)
        return [c for c in chosen if self.asked.get(c, 0) < len(self.order)][:width]

    def _apart(self) -> list[list[int]]:
        """The factors to try on their own: all rules, each step's rules where there are several, all examples."""
        rules = [p for p, f in enumerate(self.space.factors) if f.kind == "rules"]
        examples = [p for p, f in enumerate(self.space.factors) if f.kind == "examples"]
        single = [[p] for p in rules[:3]] if len(rules) > 1 else []
        return [rules, *single, examples]

    def _width(self) -> int:
        """How many combinations a race can take: a third of what is left for racing, two to five."""
        rows = self._left() / 3 / self._per_row / BLOCK
        return max(2, min(5, int(rows)))

    def _drawn(self, model: FactorialModel) -> Combination:
        draw = model.sample()
        chosen = []
        for place, levels in enumerate(self.space.levels):
            worth: dict[int, float] = {0: 0.0}
            for number, level in enumerate(levels):
                if number:
                    base = worth.get(level.origin or 0, 0.0)
                    own = draw.get((place, number))
                    worth[number] = base + (model.fresh() if own is None else own)
            chosen.append(max(worth, key=worth.__getitem__))
        return tuple(chosen)

    def _model(self) -> FactorialModel:
        """The model of everything scored so far; fitted once for each state of it."""
        cells = [
            (self.space.terms(c), c, row, score)
            for c, known in self.scores.items()
            for row, score in known.items()
        ]
        if self._fitted is None or self._fitted[0] != len(cells):
            self._fitted = len(cells), FactorialModel(cells, self.rng.randrange(2**31))
        return self._fitted[1]

    def _ranked(self, among: Sequence[Combination] | None = None) -> list[Combination]:
        """Combinations by what is expected of them, the best first."""
        known = [c for c in (among or self.scores) if self.scores.get(c)]
        if not known:
            return [self.space.start]
        start = self.space.start
        if self.plan.parts.model:
            model = self._model()
            worth = {c: model.gain(self.space.terms(c), c, self.space.terms(start), start) for c in known}
        else:
            worth = {c: difference(self.scores[c], self.scores.get(start, {}))[0] for c in known}
        return sorted(known, key=lambda c: -worth[c])

    def _best(self) -> Combination:
        alive = [c for c in self.scores if c not in self.dropped]
        return self._ranked(alive)[0] if alive else self.space.start

    def _better(self, combination: Combination, least: float = 0.0) -> float:
        return chance_better(self.scores.get(combination, {}), self.scores.get(self.space.start, {}), least)

    def _drop(self) -> None:
        """Drop what is unlikely to be better than the best; remember the rules that did harm."""
        best = self._best()
        for combination, known in self.scores.items():
            if combination in (best, self.space.start) or combination in self.dropped:
                continue
            if chance_better(known, self.scores[best]) < _HOPELESS:
                self.dropped.add(combination)
        for place, factor in enumerate(self.space.factors):
            if factor.kind != "rules":
                continue
            for combination in self.dropped:
                level = self.space.levels[place][combination[place]]
                parent = self.space.levels[place][level.origin or 0]
                twin = tuple(level.origin or 0 if p == place else n for p, n in enumerate(combination))
                if twin in self.scores and chance_better(self.scores[combination], self.scores[twin]) < 0.15:
                    bad = [r for r in level.rules if r not in parent.rules]
                    self.rejected.setdefault(factor.path, []).extend(bad)

    # Stopping

    def _left(self) -> int:
        """Calls left for racing: the finals' share is kept back."""
        finals = FINALS_SHARE if self.plan.parts.finals else 0.1
        return int(self.plan.calls * (1 - finals)) - self.spent - self._round_proposals()

    def _hopeless(self) -> bool:
        """Whether what did best so far is unlikely to be usefully better than the start.

        Where no word of the inputs tells of the labels, more is asked of it; where some do and much is wrong, less.
        """
        own = self.scores.get(self.space.start, {})
        much_wrong = sum(own.values()) < 0.85 * len(own)
        needed = (0.02 if much_wrong else 0.4) if labels_are_told(self.problem, self.rng) else 0.85
        tried = [c for c in self.scores if c != self.space.start]
        return max((self._better(c, _USEFUL) for c in tried), default=0.0) < needed

    def _nothing_to_gain(self) -> str:
        known = self.scores.get(self.space.start, {})
        mean = sum(known.values()) / max(1, len(known))
        self.ended = (
            f"Nothing to gain was found: after {self.spent} calls neither rules nor examples did clearly better "
            f"than the starting prompt's {mean:.0%}, so it is kept."
        )
        return self.ended

    def _stale(self, before: Combination) -> bool:
        """Whether two races in a row (three, if nothing helped yet) did not move the best by a useful amount."""
        after = self._best()
        moved = (
            after != before
            and chance_better(self.scores[after], self.scores.get(before, {}), _USEFUL) >= 0.35
        )
        self._still = 0 if moved else self._still + 1
        return self._still >= (2 if after != self.space.start else 3)

    _still: int = 0
    _asked_for: int = 0
