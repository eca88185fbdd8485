"""The factorial model of Autotune: what each level adds to the score, from every (combination, row) cell.

    logit score = mean + what the chosen levels add + what is special to the combination - the row's difficulty

A level that was made from another one starts where that one stands. Fitted by Newton's method with
Gaussian priors (Laplace); samples from the posterior drive Thompson sampling. After the Rasch-like models
of PromptEval (arXiv 2405.17202). It knows numbers only.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping, Sequence
from typing import Any

# Standard deviations of the priors, in logits.
_LEVEL_SD, _OWN_SD, _ROW_SD, _MEAN_SD = 0.8, 0.25, 1.5, 2.0
_NEWTON_STEPS = 8


class FactorialModel:
    """Fitted to cells (terms, own, row, score): `terms` are the levels a combination is made of, with their ancestors.

    `own` names the combination; scores are 0 to 1.

    >>> cells = [((), "a", r, 0.0) for r in range(9)] + [(("x",), "b", r, 1.0) for r in range(9)]
    >>> model = FactorialModel(cells, seed=1)
    >>> model.gain(("x",), "b", (), "a") > 0.3
    True
    """

    def __init__(self, cells: Sequence[tuple[tuple[Hashable, ...], Hashable, int, float]], seed: int) -> None:
        import numpy as np

        self._np: Any = np
        self._index: dict[Hashable, int] = {("mean",): 0}
        rows: dict[int, int] = {}
        for terms, own, row, _ in cells:
            rows.setdefault(row, len(rows))
            for key in (*(("level", t) for t in terms), ("own", own)):
                self._index.setdefault(key, len(self._index))
        design, scores = np.zeros((len(cells), len(self._index))), np.zeros(len(cells))
        at = np.zeros(len(cells), dtype=int)
        for i, (terms, own, row, score) in enumerate(cells):
            chosen = [0, self._index["own", own], *(self._index["level", t] for t in terms)]
            design[i, chosen], scores[i], at[i] = 1.0, score, rows[row]
        sds = {"mean": _MEAN_SD, "level": _LEVEL_SD, "own": _OWN_SD}
        precision = np.array([sds[key[0]] ** -2 for key in self._index])  # type: ignore[index]  # keys are tuples
        self._fit(design, at, scores, precision, len(rows))
        self._rng = np.random.default_rng(seed)

    def _fit(self, design: Any, at: Any, scores: Any, precision: Any, size: int) -> None:
        """Newton's method. Each row has a difficulty of its own, which touches no other row's: it is solved for apart.

        What is left is as large as the levels are many, however many rows there are (the Schur complement).
        """
        np = self._np
        theta, rows = np.zeros(design.shape[1]), np.zeros(size)
        for _ in range(_NEWTON_STEPS):
            chance = 1.0 / (1.0 + np.exp(-np.clip(design @ theta + rows[at], -30, 30)))
            weight = np.maximum(chance * (1.0 - chance), 1e-4)
            ours = design.T @ (scores - chance) - precision * theta
            theirs = np.bincount(at, scores - chance, size) - _ROW_SD**-2 * rows
            own = np.bincount(at, weight, size) + _ROW_SD**-2
            between = np.zeros((size, design.shape[1]))
            np.add.at(between, at, design * weight[:, None])
            hessian = (design.T * weight) @ design + np.diag(precision) - (between.T / own) @ between
            step = np.linalg.solve(hessian, ours - between.T @ (theirs / own))
            row_step = (theirs - between @ step) / own
            theta, rows = theta + step, rows + row_step
            if max(np.abs(step).max(), np.abs(row_step).max(initial=0.0)) < 1e-3:
                break
        self._theta, self._rows = theta, rows
        self._factor = np.linalg.cholesky(np.linalg.inv(hessian))

    def gain(
        self, terms: Sequence[Hashable], own: Hashable, base: Sequence[Hashable], base_own: Hashable = None
    ) -> float:
        """Return the expected mean score of a combination less that of another, over the rows seen."""
        return self._score(self._theta, terms, own) - self._score(self._theta, base, base_own)

    def chance(
        self, terms: Sequence[Hashable], own: Hashable, base: Sequence[Hashable], base_own: Hashable
    ) -> float:
        """Return the probability that a combination is better than another one, from all that was scored."""
        contrast = self._np.zeros(len(self._theta))
        for sign, levels, name in ((1.0, terms, own), (-1.0, base, base_own)):
            for key in (*(("level", t) for t in levels), ("own", name)):
                if key in self._index:
                    contrast[self._index[key]] += sign
        spread = float(self._np.linalg.norm(self._factor.T @ contrast))
        mean = float(contrast @ self._theta)
        return 0.5 * math.erfc(-mean / (spread * math.sqrt(2))) if spread else 0.5

    def sample(self) -> Mapping[Hashable, float]:
        """Return one draw of what each known level adds; an unknown level's is drawn by the caller."""
        draw = self._theta + self._factor @ self._rng.standard_normal(len(self._theta))
        return {key[1]: float(draw[i]) for key, i in self._index.items() if key[0] == "level"}  # type: ignore[index]  # levels have pairs as keys

    def fresh(self) -> float:
        """Return a draw of what a level nobody has tried adds to the one it was made from."""
        return float(self._rng.normal(0.0, _LEVEL_SD))

    def _score(self, theta: Any, terms: Sequence[Hashable], own: Hashable) -> float:
        np = self._np
        at = theta[0] + sum(theta[self._index[("level", t)]] for t in terms if ("level", t) in self._index)
        if ("own", own) in self._index:
            at += theta[self._index[("own", own)]]
        return float(np.mean(1.0 / (1.0 + np.exp(-(at + self._rows)))))
