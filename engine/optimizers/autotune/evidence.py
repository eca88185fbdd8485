"""Evidence of an Autotune search: every score by option set and row, and what the scores say.

Two models read the scores: paired differences between two option sets on the rows both ran, and a factorial model
of all option sets at once. Nothing here asks or counts calls.
"""

from __future__ import annotations

import math
import random
from collections.abc import Hashable, Mapping, Sequence
from typing import Any

from engine.basics.statistics import paired_difference
from engine.optimizers.autotune.space import Space
from engine.optimizers.shared.study import OptionSet

# A option set is dropped when its chance of beating the best is lower; finalists may have a third of it.
DROP_BELOW = 0.3
# A shorter prompt wins where the longer one is better by no more than this, judged on at least this many rows of both.
_NO_BETTER, LEAST_ROWS = 0.01, 16
# A prompt of this part of another's length is much shorter.
_SHORTER = 0.8
# The least gain in mean score that is worth a search; its chance from which on a new best counts as progress.
USEFUL_GAIN, _MOVED_CHANCE = 0.02, 0.35
# The probability of being better that a successor of the start needs; less for a large gain where words predict labels.
_SURE, _NEARLY_SURE, _LARGE_GAIN = 0.95, 0.8, 0.1
# The rows of the start from which on a gain can be called unlikely, and where words predict labels.
_ENOUGH_ROWS, _ENOUGH_ROWS_PREDICTED = 12, 20
# A start that scores this is hard to beat.
_HIGH_SCORE = 0.85
# The chance of a useful gain below which it is unlikely: low, or a lucky score of the start would end a search, but
# higher where nothing that was tried changed a score. Most is asked for where no word of the inputs predicts the
# labels: the best is then the luckiest of several tries.
_LEAST_CHANCE, _LEAST_CHANCE_NO_EFFECT = 0.2, 0.5
_LEAST_CHANCE_HIGH_SCORE, _LEAST_CHANCE_UNPREDICTED = 0.4, 0.99
# Standard deviations of the factorial model's priors, in logits.
_LEVEL_SD, _OPTION_SET_SD, _ROW_SD, _MEAN_SD = 0.8, 0.25, 1.5, 2.0
_NEWTON_STEPS = 8
# Draws of right or wrong that one score is taken for at most: the fields of a record are not independent of each other.
_MOST_DRAWS = 4.0


class ScoreModel:
    """Scores so far, and the option sets they make look best. `scores` maps option set -> row -> score.

    `predicted` says whether words of the inputs predict the labels (None: not known). Without `use_model` (an
    ablation) option sets are ranked by paired differences to the start alone.
    """

    def __init__(
        self, space: Space, rng: random.Random, *, predicted: bool | None = None, use_model: bool = True
    ) -> None:
        self.scores: dict[OptionSet, dict[int, float]] = {}
        self.dropped: set[OptionSet] = set()
        self._space, self._rng, self._use_model, self._predicted = space, rng, use_model, predicted
        self._fitted: tuple[int, FactorialModel] | None = None

    def ranked(self, among: Sequence[OptionSet] | None = None) -> list[OptionSet]:
        """Return the scored option sets, the highest expected score first; the start where none is scored."""
        known = [c for c in (among or self.scores) if self.scores.get(c)]
        start = self._space.start
        if not known:
            return [start]
        if self._use_model:
            model, terms = self.model(), self._space.terms
            gains = {c: model.gain(terms(c), c, terms(start), start) for c in known}
        else:
            gains = {c: self.difference(c, start)[0] for c in known}
        return sorted(known, key=lambda c: -gains[c])

    def best(self) -> OptionSet:
        """Return the option set with the highest expected score that is not dropped."""
        alive = [c for c in self.scores if c not in self.dropped]
        return self.ranked(alive)[0] if alive else self._space.start

    def mean(self, option_set: OptionSet) -> float:
        """Return the mean score of an option set on the rows it ran."""
        known = self.scores.get(option_set, {})
        return sum(known.values()) / max(1, len(known))

    def difference(self, ours: OptionSet, theirs: OptionSet) -> tuple[float, float]:
        """Return mean and standard deviation of the difference that is believed between two option sets."""
        return paired_difference(self.scores.get(ours, {}), self.scores.get(theirs, {}))

    def chance_over_start(self, option_set: OptionSet, least: float = 0.0) -> float:
        """Return the probability of beating the start by `least`, from the rows both ran."""
        return self._chance(option_set, self._space.start, least)

    def _chance(self, ours: OptionSet, theirs: OptionSet, least: float = 0.0) -> float:
        mean, sd = self.difference(ours, theirs)
        return 0.5 * math.erfc((least - mean) / (sd * math.sqrt(2)))

    def certainty(self, option_set: OptionSet) -> float:
        """Return the probability of beating the start, from all scores."""
        if not self._use_model or not self.scores.get(option_set):
            return self.chance_over_start(option_set)
        return self.model().chance(self._space.terms(option_set), option_set, (), self._space.start)

    def useful_gain_chance(self) -> float:
        """Return the highest probability that something tried is usefully better than the start."""
        tried = [c for c in self.scores if c != self._space.start]
        return max((self.chance_over_start(c, USEFUL_GAIN) for c in tried), default=0.0)

    def is_sure(self, option_set: OptionSet) -> bool:
        """Return whether an option set surely beats the start."""
        start = self._space.start
        large = self._predicted and self.difference(option_set, start)[0] >= _LARGE_GAIN
        return option_set != start and self.certainty(option_set) >= (_NEARLY_SURE if large else _SURE)

    def is_hopeless(self, rows: int) -> bool:
        """Return whether a useful gain is unlikely, from enough of the `rows` there are to say so."""
        chance, predicted, known = (
            self.useful_gain_chance(),
            self._predicted,
            self.scores.get(self._space.start, {}),
        )
        if predicted is False:
            return chance < _LEAST_CHANCE_UNPREDICTED
        if predicted and self.mean(self._space.start) >= _HIGH_SCORE:
            return chance < _LEAST_CHANCE_HIGH_SCORE
        if len(known) < min(_ENOUGH_ROWS_PREDICTED if predicted else _ENOUGH_ROWS, rows):
            return False
        changed = any(
            known.get(row, one) != one for tried in self.scores.values() for row, one in tried.items()
        )
        return chance < (_LEAST_CHANCE if changed else _LEAST_CHANCE_NO_EFFECT)

    def has_moved(self, before: OptionSet) -> bool:
        """Return whether the best is another one than before, and likely a useful gain over it."""
        after = self.best()
        return after != before and self._chance(after, before, USEFUL_GAIN) >= _MOVED_CHANCE

    def drop_unlikely(self) -> None:
        """Drop option sets that are unlikely to be better than the best."""
        best = self.best()
        others = (c for c in self.scores if c not in (best, self._space.start))
        self.dropped.update(c for c in others if self._chance(c, best) < DROP_BELOW)

    def finalists(self) -> list[OptionSet]:
        """Return the best, up to two that may yet turn out better than it, and a much shorter one that may be as good."""
        first, *others = self.ranked()[:3]
        finalists = [first, *(c for c in others if self._chance(c, first) >= DROP_BELOW / 3)]
        most = _SHORTER * self._space.size(first)
        rest = (c for c in self.scores if c not in (*finalists, *self.dropped, self._space.start))
        chances = {c: self._chance(c, first) for c in rest if self._space.size(c) <= most}
        rival = max(chances, key=chances.__getitem__, default=first)
        return [*finalists, *([rival] if chances.get(rival, 0.0) >= DROP_BELOW else [])]

    def as_good(self) -> list[OptionSet]:
        """Return the best, and the option sets than which it is not better, on rows that say so; the shortest first."""
        best = self.best()
        least = max(LEAST_ROWS, len(self.scores.get(best, {})) // 2)
        alike = [
            c
            for c, known in self.scores.items()
            if c not in self.dropped
            and len(known.keys() & self.scores[best].keys()) >= least
            and self.difference(best, c)[0] <= _NO_BETTER
        ]
        return sorted(dict.fromkeys([best, *alike]), key=self._space.size)

    def sampled(self) -> OptionSet:
        """Draw an option set by Thompson sampling: the best one under one draw of what every level adds."""
        model = self.model()
        draw = model.sample()
        chosen = []
        for place, levels in enumerate(self._space.levels):
            values: dict[int, float] = {0: 0.0}
            for number, level in enumerate(levels):
                if number:
                    base = values.get(level.origin or 0, 0.0)
                    added = draw.get((place, number))
                    values[number] = base + (model.sample_unknown() if added is None else added)
            chosen.append(max(values, key=values.__getitem__))
        return tuple(chosen)

    def model(self) -> FactorialModel:
        """Return the factorial model of all scores; fitted once for each number of scores."""
        size = sum(map(len, self.scores.values()))
        if self._fitted is None or self._fitted[0] != size:
            cells = [
                (terms, c, row, score)
                for c, known in self.scores.items()
                for terms in [self._space.terms(c)]
                for row, score in known.items()
            ]
            self._fitted = size, FactorialModel(cells, self._rng.randrange(2**31))
        return self._fitted[1]


def _draws_each(cells: Sequence[tuple[Any, Hashable, int, float]]) -> float:
    """Return how many draws of right or wrong a score says as much as: 1 where each is 0 or 1, more for shares of fields.

    A mean of m draws with chance p spreads by p (1 - p) / m, so what scores hold inside, s (1 - s), is (1 - 1/m) p (1 - p).
    What makes rows differ counts as spread too, so the number is rather too small.

    >>> _draws_each([((), "a", r, float(r % 2)) for r in range(8)]), _draws_each([((), "a", r, 0.5) for r in range(8)])
    (1.0, 4.0)
    """
    by_option_set: dict[Hashable, list[float]] = {}
    for _, option_set, _, score in cells:
        by_option_set.setdefault(option_set, []).append(score)
    inside = math.fsum(s * (1 - s) for scores in by_option_set.values() for s in scores)
    most = math.fsum(len(s) * (mean := math.fsum(s) / len(s)) * (1 - mean) for s in by_option_set.values())
    return min(_MOST_DRAWS, 1 / max(1e-9, 1 - inside / most)) if most > 0 else 1.0


class FactorialModel:
    """The effect of each level on the score, estimated from cells (terms, option set, row, score from 0 to 1).

        logit score = mean + effects of the chosen levels + effect of the option set - difficulty of the row

    `terms` are the levels of an option set with those they were made from: a level starts where its origin is.
    Fitted by Newton's method with Gaussian priors (Laplace). After the Rasch-like models of PromptEval (arXiv
    2405.17202).

    >>> cells = [((), "a", r, 0.0) for r in range(9)] + [(("x",), "b", r, 1.0) for r in range(9)]
    >>> model = FactorialModel(cells, seed=1)
    >>> model.gain(("x",), "b", (), "a") > 0.3
    True
    """

    def __init__(self, cells: Sequence[tuple[tuple[Hashable, ...], Hashable, int, float]], seed: int) -> None:
        import numpy as np

        self._np: Any = np
        self._index: dict[tuple[str, Hashable], int] = {("mean", None): 0}
        rows: dict[int, int] = {}
        option_sets: dict[tuple[tuple[Hashable, ...], Hashable], int] = {}
        for terms, own, row, _ in cells:
            rows.setdefault(row, len(rows))
            option_sets.setdefault((terms, own), len(option_sets))
        for terms, own in option_sets:
            for key in (*(("level", t) for t in terms), ("own", own)):
                self._index.setdefault(key, len(self._index))
        design = np.zeros((len(option_sets), len(self._index)))
        for (terms, own), i in option_sets.items():
            design[i, [0, *self._places(terms, own)]] = 1.0
        totals, counts = np.zeros((2, len(option_sets), len(rows)))
        for terms, own, row, score in cells:
            at = option_sets[terms, own], rows[row]
            totals[at] += score
            counts[at] += 1.0
        sds = {"mean": _MEAN_SD, "level": _LEVEL_SD, "own": _OPTION_SET_SD}
        precision = np.array([sds[kind] ** -2 for kind, _ in self._index])
        draws = _draws_each(cells)
        self._fit(design, draws * totals, draws * counts, precision)
        self._rng = np.random.default_rng(seed)

    def _fit(self, design: Any, totals: Any, counts: Any, precision: Any) -> None:
        """Fit by Newton's method. `design`: option set x effect; `totals`, `counts`: right draws and draws, option set x row.

        Row difficulties are independent of each other, so they are eliminated first.
        The remaining system has the size of the levels, however many rows there are (Schur complement).
        """
        np = self._np
        theta, rows = np.zeros(design.shape[1]), np.zeros(counts.shape[1])
        for _ in range(_NEWTON_STEPS):
            chance = 1.0 / (1.0 + np.exp(-np.clip((design @ theta)[:, None] + rows, -30, 30)))
            weight = counts * np.maximum(chance * (1.0 - chance), 1e-4)
            missed = totals - counts * chance
            level_gradient = design.T @ missed.sum(axis=1) - precision * theta
            row_gradient = missed.sum(axis=0) - _ROW_SD**-2 * rows
            row_weight = weight.sum(axis=0) + _ROW_SD**-2
            between = weight.T @ design
            hessian = (design.T * weight.sum(axis=1)) @ design + np.diag(precision)
            hessian -= (between.T / row_weight) @ between
            step = np.linalg.solve(hessian, level_gradient - between.T @ (row_gradient / row_weight))
            row_step = (row_gradient - between @ step) / row_weight
            theta, rows = theta + step, rows + row_step
            if max(np.abs(step).max(), np.abs(row_step).max(initial=0.0)) < 1e-3:
                break
        self._theta, self._rows = theta, rows
        self._factor = np.linalg.cholesky(np.linalg.inv(hessian))

    def gain(
        self, terms: Sequence[Hashable], own: Hashable, base: Sequence[Hashable], base_own: Hashable = None
    ) -> float:
        """Return the expected mean score of an option set less that of another, over the rows seen."""
        return self._score(terms, own) - self._score(base, base_own)

    def chance(
        self, terms: Sequence[Hashable], own: Hashable, base: Sequence[Hashable], base_own: Hashable
    ) -> float:
        """Return the probability that an option set is better than another one, from all that was scored."""
        contrast = self._np.zeros(len(self._theta))
        contrast[self._places(terms, own)] += 1.0
        contrast[self._places(base, base_own)] -= 1.0
        spread = float(self._np.linalg.norm(self._factor.T @ contrast))
        mean = float(contrast @ self._theta)
        return 0.5 * math.erfc(-mean / (spread * math.sqrt(2))) if spread else 0.5

    def sample(self) -> Mapping[Hashable, float]:
        """Return one draw of the effect of each known level."""
        draw = self._theta + self._factor @ self._rng.standard_normal(len(self._theta))
        return {level: float(draw[i]) for (kind, level), i in self._index.items() if kind == "level"}

    def sample_unknown(self) -> float:
        """Return a draw of the effect that an untried level adds to the one it was made from."""
        return float(self._rng.normal(0.0, _LEVEL_SD))

    def _score(self, terms: Sequence[Hashable], own: Hashable) -> float:
        np, theta = self._np, self._theta
        at = theta[0] + sum(theta[i] for i in self._places(terms, own))
        return float(np.mean(1.0 / (1.0 + np.exp(-(at + self._rows)))))

    def _places(self, terms: Sequence[Hashable], own: Hashable) -> list[int]:
        """Return the places of the known effects of some levels and of an option set."""
        keys = (*(("level", t) for t in terms), ("own", own))
        return [self._index[key] for key in keys if key in self._index]
