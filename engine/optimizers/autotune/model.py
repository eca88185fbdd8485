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
        for terms, own, row, _ in cells:
            for key in (*(("level", t) for t in terms), ("own", own), ("row", row)):
                self._index.setdefault(key, len(self._index))
        n, p = len(cells), len(self._index)
        design, scores = np.zeros((n, p)), np.zeros(n)
        for i, (terms, own, row, score) in enumerate(cells):
            design[i, 0] = 1.0
            for key in (*(("level", t) for t in terms), ("own", own), ("row", row)):
                design[i, self._index[key]] = 1.0
            scores[i] = score
        sds = {"mean": _MEAN_SD, "level": _LEVEL_SD, "own": _OWN_SD, "row": _ROW_SD}
        precision = np.array([sds[key[0]] ** -2 for key in self._index])  # type: ignore[index]  # keys are tuples
        theta = np.zeros(p)
        for _ in range(_NEWTON_STEPS):
            chance = 1.0 / (1.0 + np.exp(-np.clip(design @ theta, -30, 30)))
            weight = np.maximum(chance * (1.0 - chance), 1e-4)
            hessian = (design.T * weight) @ design + np.diag(precision)
            step = np.linalg.solve(hessian, design.T @ (scores - chance) - precision * theta)
            theta = theta + step
            if np.abs(step).max() < 1e-3:
                break
        self._theta = theta
        self._factor = np.linalg.cholesky(np.linalg.inv(hessian))
        self._rng = np.random.default_rng(seed)
        rows = [i for key, i in self._index.items() if key[0] == "row"]  # type: ignore[index]  # keys are tuples
        self._rows = rows

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
        return {key[1]: float(draw[i]) for key, i in self._index.items() if key[0] == "level"}  # type: ignore[index]

    def fresh(self) -> float:
        """Return a draw of what a level nobody has tried adds to the one it was made from."""
        return float(self._rng.normal(0.0, _LEVEL_SD))

    def _score(self, theta: Any, terms: Sequence[Hashable], own: Hashable) -> float:
        np = self._np
        at = theta[0] + sum(theta[self._index[("level", t)]] for t in terms if ("level", t) in self._index)
        if ("own", own) in self._index:
            at += theta[self._index[("own", own)]]
        return float(np.mean(1.0 / (1.0 + np.exp(-(at + theta[self._rows])))))
