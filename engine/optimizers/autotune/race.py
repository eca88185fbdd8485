"""Autotune's races: candidates on one shared row order, compared with another one pairwise, stopped for futility.

The stopping rule is Bayesian on paired differences; paired racing is as in CAPO (arXiv 2504.16005). It
knows scores by row and nothing else.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

# What is believed of a difference before any row: most changes move the mean score by less than this.
_PRIOR_SD = 0.2
# A paired difference is never taken to be surer than one row in ten changing would make it.
_LEAST_SPREAD = 0.3


def chance_better(ours: Mapping[int, float], theirs: Mapping[int, float], least: float = 0.0) -> float:
    """Return the probability that our mean is over theirs by `least`, from the rows both have.

    >>> chance_better({}, {}), chance_better({i: 1.0 for i in range(20)}, {i: 0.0 for i in range(20)}) > 0.9
    (0.5, True)
    """
    mean, sd = difference(ours, theirs)
    return 0.5 * math.erfc((least - mean) / (sd * math.sqrt(2)))


def difference(ours: Mapping[int, float], theirs: Mapping[int, float]) -> tuple[float, float]:
    """Return mean and standard deviation of what is believed of the difference: shrunk, the more the fewer rows."""
    paired = [ours[row] - theirs[row] for row in ours if row in theirs]
    if not paired:
        return 0.0, _PRIOR_SD
    n = len(paired)
    mean = sum(paired) / n
    spread = math.sqrt(sum((d - mean) ** 2 for d in paired) / n)
    error = max(spread, _LEAST_SPREAD) ** 2 / n
    prior = _PRIOR_SD**2
    return mean * prior / (prior + error), math.sqrt(prior * error / (prior + error))
