"""Where a search of Autotune stands: every (combination, row) score, and what follows from them.

Who is best, who is dropped, who races next, whether it is worth going on. It asks nothing.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, field

from engine.optimizers.autotune.model import FactorialModel
from engine.optimizers.autotune.race import chance_better, difference
from engine.optimizers.autotune.space import Combination, Space
from engine.optimizers.autotune.words import is_label, labels_are_told
from engine.records import Outcome
from engine.search.contract import Problem

BLOCK = 24
"""Rows that a combination gets in one race, where there are calls for it."""

_HOPELESS = 0.3
_USEFUL = 0.02
# From which score on the start is hard to beat; how likely a useful gain must be to go on, or to be taken for granted.
_HIGH, _UNLIKELY, _DOUBTFUL, CLEAR, _CERTAIN = 0.85, 0.4, 0.5, 0.9, 0.99

FINALS_SHARE, CHECK_SHARE = 0.05, 0.15
"""The shares of the calls that are kept back for the finals, and that the check may take."""


@dataclass(frozen=True, slots=True)
class Parts:
    """The parts of Autotune that an ablation can turn off."""

    rules: bool = True
    examples: bool = True
    nearest: bool = True
    reasoning: bool = True
    layout: bool = True
    model: bool = True
    runs: bool = True
    headroom: bool = True


@dataclass(frozen=True, slots=True)
class Plan:
    """How much is done: calls in all, how many examples, readers a step and round, and the parts in use."""

    calls: int
    examples: int = 16
    readers: int = 6
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
    garbled: int = 0
    calls_asked: dict[Combination, int] = field(default_factory=dict)
    cut: bool = False
    ended: str = ""
    scores: dict[Combination, dict[int, float]] = field(default_factory=dict)
    runs: dict[Combination, dict[int, Outcome]] = field(default_factory=dict)
    asked: dict[Combination, int] = field(default_factory=dict)
    dropped: set[Combination] = field(default_factory=set)
    by_id: dict[str, Combination] = field(default_factory=dict)
    _fitted: tuple[int, FactorialModel] | None = None
    _still: int = 0
    _fresh_row: float = 0.0
    _asked_for: int = 0

    def __post_init__(self) -> None:
        self.space = Space(self.problem)
        # No more rows than there can be calls for: a large table has a hundred thousand.
        most = max(self.plan.calls, 2 * BLOCK)
        self.order, self.train_order = (
            self.rng.sample(rows, min(most, len(rows)))
            for rows in (self.problem.validation, self.problem.train)
        )
        self.learned_from = frozenset(self.train_order)
        self.kept = self.space.start
        self._train_at = 0
        self._rollout = 0
        signatures = self.problem.signatures.values()
        row = self.problem.rows[self.order[0]] if self.order else {}
        # Whether runs show what the rows do not: what passes between steps, a reasoning.
        self.hidden = any(n not in row for s in signatures for n in (*s.input_fields, *s.output_fields))
        self.told = labels_are_told(self.problem, random.Random(self.rng.random()))
        # Whether runs show more of a mistake than right and wrong labels do.
        self.open_ended = not all(is_label(self.problem, n) for n in self.problem.output_fields)

    @property
    def _per_row(self) -> float:
        """Calls that a row takes, from what rows have taken so far."""
        most = self.problem.calls_per_row
        if self.rows_run < BLOCK:
            return float(most)
        # Where answers have to be asked for again it is more than the program's own calls.
        return min(3.0 * most, max(0.5, (self.spent - self._asked_for) / self.rows_run))

    # Choosing

    def _to_race(
        self, added: Sequence[tuple[int, int]], number: int, others: Sequence[Sequence[tuple[int, int]]] = ()
    ) -> list[Combination]:
        """Return the combinations for the next race: the new levels with the best of the rest, then Thompson's.

        `others` are levels that are tried on the best by themselves.
        """
        best = self._best()
        newest = dict(added)
        chosen: dict[Combination, None] = {}
        for places in self._apart(newest):
            chosen.setdefault(tuple(newest[p] if p in places else at for p, at in enumerate(best)))
        chosen.pop(best, None)
        width = (self._width() if number else self._first_width()) + len(others)
        if number or others:
            chosen = dict.fromkeys(list(chosen)[: max(1, width - max(1, len(others)))])
            for other in others:
                chosen.setdefault(self._with(other))
        if number:
            chosen.setdefault(best)
        for _ in range(40 if self.plan.parts.model and number else 0):
            if len(chosen) >= width:
                break
            drawn = self._drawn(self._model())
            if drawn not in self.dropped:
                chosen.setdefault(drawn)
        chosen = dict.fromkeys(map(self._laid_out, chosen))
        return [c for c in chosen if self.asked.get(c, 0) < len(self.order)][:width]

    def _readable(self) -> Combination:
        """The start; where its answers are garbled, the start in a layout that does no worse and takes fewer calls."""
        start, layouts = self.space.start, set(self.space.places("layout"))
        rank = {
            c: (
                difference(known, self.scores.get(start, {}))[0],
                -self.calls_asked.get(c, 0) / max(1, len(known)),
            )
            for c, known in self.scores.items()
            if not any(level for place, level in enumerate(c) if place not in layouts)
        }
        return max(rank, key=rank.__getitem__, default=start)

    def _laid_out(self, combination: Combination) -> Combination:
        """The combination in the layout that is read best, unless it has one of its own."""
        return tuple(level or better for level, better in zip(combination, self._readable(), strict=True))

    def _with(self, added: Sequence[tuple[int, int]]) -> Combination:
        """The best combination with other levels of some factors."""
        return tuple(dict(added).get(place, at) for place, at in enumerate(self._best()))

    def _apart(self, newest: dict[int, int]) -> list[list[int]]:
        """Which new levels to try together: all, all rules, all examples, each step's own."""
        kinds = {kind: [p for p in self.space.places(kind) if p in newest] for kind in ("rules", "examples")}
        steps = [[p for p in newest if self.space.factors[p].path == path] for path in self.space.seed.steps]
        some = [list(newest), kinds["rules"], kinds["examples"], *(steps if len(steps) > 1 else [])]
        return [places for places in some if places]

    def _width(self) -> int:
        """How many combinations a race can take: a third of what is left for racing, one to five."""
        rows = self._left() / 3 / self._per_row / self._block
        return max(1, min(5, int(rows)))

    def _first_width(self) -> int:
        """How many combinations the first race can take: a sixth of the calls, one to six.

        Where no word tells of the labels, so many that the check's share has room for a closer look, too.
        """
        most = self.plan.calls / 6 if self.told else (self._check_room() - self._readers_calls) * 0.6
        return max(1, min(6, int(most / self._per_row / self._check_rows())))

    def _check_room(self) -> float:
        """Calls that are left of the check's share."""
        return CHECK_SHARE * self.plan.calls - self.spent

    @property
    def _readers_calls(self) -> int:
        return self.plan.readers * len(self.problem.worded)

    @property
    def _block(self) -> int:
        return max(8, min(BLOCK, self.plan.calls // 12))

    def _check_rows(self) -> int:
        """Rows of the check and the first race.

        Both, with a closer look, take at most the check's share of the calls where no word tells of the labels.
        """
        share = CHECK_SHARE * self.plan.calls - 2 * self._readers_calls
        usual = int(share / self.problem.calls_per_row / 7)
        if self.told:
            usual = max(usual, min(16, self.plan.calls // 12))
        return min(max(8, min(BLOCK, usual)), len(self.order))

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

    def _sure(self, combination: Combination) -> float:
        """The probability of being better than the start, from all that was scored."""
        start = self.space.start
        if not self.plan.parts.model or not self.scores.get(combination):
            return self._better(combination)
        return self._model().chance(self.space.terms(combination), combination, (), start)

    def _drop(self) -> None:
        """Drop what is unlikely to be better than the best."""
        best = self._best()
        for combination, known in self.scores.items():
            if combination not in (best, self.space.start) and (
                chance_better(known, self.scores[best]) < _HOPELESS
            ):
                self.dropped.add(combination)

    def _contenders(self) -> list[Combination]:
        """The best, and up to two that may yet turn out better than it."""
        first, *others = self._ranked()[:3]
        return [
            first,
            *(c for c in others if chance_better(self.scores[c], self.scores[first]) >= _HOPELESS / 3),
        ]

    # Stopping

    def _left(self) -> int:
        """Calls left for racing: the finals' share is kept back."""
        return int(self.plan.calls * (1 - FINALS_SHARE)) - self.spent

    def _mean(self, combination: Combination) -> float:
        known = self.scores.get(combination, {})
        return sum(known.values()) / max(1, len(known))

    def _promise(self) -> float:
        """The highest probability that something tried is usefully better than the start."""
        tried = [c for c in self.scores if c != self.space.start]
        return max((self._better(c, _USEFUL) for c in tried), default=0.0)

    def _hopeless(self) -> bool:
        """Whether what did best so far is unlikely to be usefully better than the start.

        Most is asked of it where no word of the inputs tells of the labels (it is the best of several that were
        tried). Where some do and much is wrong, a few rows are not enough to say so.
        """
        promise = self._promise()
        if self.told is False or (self.told and self._mean(self.space.start) >= _HIGH):
            return promise < (_CERTAIN if self.told is False else _UNLIKELY)
        least = BLOCK if self.told else BLOCK // 2
        return promise < _DOUBTFUL and len(self.scores.get(self.space.start, {})) >= min(
            least, len(self.order)
        )

    def _stale(self, before: Combination) -> bool:
        """Whether two races in a row (three, if nothing helped yet) did not move the best by a useful amount.

        Never in a simulation: invented answers do not get better, and real ones mostly do until the calls are used.
        """
        if self.problem.simulated:
            return False
        after = self._best()
        moved = (
            after != before
            and chance_better(self.scores[after], self.scores.get(before, {}), _USEFUL) >= 0.35
        )
        self._still = 0 if moved else self._still + 1
        return self._still >= (2 if after != self.space.start else 3)
