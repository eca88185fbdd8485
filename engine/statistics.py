"""How sure a mean is: the one home of every interval, that of a mean score and that of a difference in pairs.

A mean of right and wrong has Wilson's interval (1927, "Probable inference, the law of succession, and statistical
inference"), one of graded scores Student's t (1908, "The probable error of a mean"). A mean of paired differences has
Agresti and Min's adjusted interval (2005, "Simple improved confidence intervals for comparing matched proportions",
Statistics in Medicine 24: 729-740): half an observation is added to each cell of the 2 x 2 table, which keeps the
interval honest when there are few rows or few disagreements. For graded scores the same four half observations
(differences +1, -1 and twice 0) join a Student t interval of the differences (Miller 2024, "Adding error bars to
evals", arXiv 2411.00640, on pairing; Bowyer et al. 2025, arXiv 2503.01747, on why plain normal intervals fail under a
few hundred rows).

It knows numbers only.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Sequence
from functools import lru_cache
from statistics import NormalDist
from typing import NamedTuple


class Interval(NamedTuple):
    """A mean and where the true one lies, in the unit of the scores, with the confidence it was computed for."""

    mean: float
    low: float
    high: float
    rows: int
    confidence: float = 0.95


def mean_interval(scores: Sequence[float], confidence: float = 0.95) -> Interval:
    """Return the mean of some scores with its confidence interval.

    Without scores, or with a single graded one, the interval is as wide as scores go, 0 to 1.

    >>> [round(x, 3) for x in mean_interval([1, 1, 1, 0, 1, 1, 0, 1, 1, 1])[:3]]
    [0.8, 0.49, 0.943]
    >>> [round(x, 3) for x in mean_interval([0.2, 0.4, 0.6])[:3]]
    [0.4, -0.097, 0.897]
    """
    n = len(scores)
    if n == 0:
        return Interval(0.0, 0.0, 1.0, 0, confidence)
    mean = math.fsum(scores) / n
    if all(score in (0, 1) for score in scores):
        return Interval(mean, *_wilson(mean, n, confidence), n, confidence)
    if n == 1:
        return Interval(mean, min(0.0, mean), max(1.0, mean), n, confidence)
    spread = math.sqrt(math.fsum((score - mean) ** 2 for score in scores) / (n - 1) / n)
    margin = student_quantile((1 + confidence) / 2, n - 1) * spread
    return Interval(mean, mean - margin, mean + margin, n, confidence)


def paired_interval(
    differences: Sequence[float], *, binary: bool, confidence: float = 0.95
) -> tuple[float, float]:
    """Return the interval of the mean of paired differences of scores in 0 to 1; it stays within -1 to 1.

    `binary` says that every score was 0 or 1: then the normal quantile is used (Agresti and Min),
    otherwise Student's t with one degree of freedom less than there are rows.

    >>> [round(x, 2) for x in paired_interval([1.0] * 30 + [0.0] * 30, binary=True)]
    [0.36, 0.61]
    """
    n = len(differences) + 2
    mean = sum(differences) / n
    # The four half observations add 0 to the sum and 1 to the sum of squares.
    variance = max(0.0, (sum(d * d for d in differences) + 1) / n - mean * mean)
    p = (1 + confidence) / 2
    quantile = NormalDist().inv_cdf(p) if binary else student_quantile(p, max(1, len(differences) - 1))
    half = quantile * math.sqrt(variance / n)
    return max(-1.0, mean - half), min(1.0, mean + half)


def resampled_interval(
    rows: int, statistic: Callable[[Sequence[int]], float], confidence: float = 0.95
) -> Interval:
    """Return a number of a whole set of rows with its interval, by drawing the rows again and again (the bootstrap).

    `statistic` is given places of rows, with repeats. The draws are seeded, so the same rows give the same interval.
    Source: Efron 1979, "Bootstrap methods: another look at the jackknife".

    >>> [round(x, 2) for x in resampled_interval(40, lambda places: sum(i % 4 == 0 for i in places) / 40)[:3]]
    [0.25, 0.12, 0.4]
    """
    value = statistic(range(rows))
    if rows < 2:
        return Interval(value, min(0.0, value), max(1.0, value), rows, confidence)
    rng = random.Random(0)
    times = max(100, min(1000, 200_000 // rows))
    drawn = sorted(statistic(rng.choices(range(rows), k=rows)) for _ in range(times))
    tail = (1 - confidence) / 2
    low, high = drawn[int(tail * times)], drawn[min(times - 1, math.ceil((1 - tail) * times) - 1)]
    return Interval(value, min(low, value), max(high, value), rows, confidence)


@lru_cache(maxsize=1024)
def student_quantile(p: float, freedom: int) -> float:
    """Return the p-quantile (p > 0.5) of Student's t distribution with some degrees of freedom.

    Found by bisection on the distribution function, which is a regularised incomplete beta function.

    >>> round(student_quantile(0.975, 2), 3), round(student_quantile(0.975, 30), 3)
    (4.303, 2.042)
    """
    low, high = 0.0, 1e3 if freedom == 1 else 1e2
    for _ in range(60):
        middle = (low + high) / 2
        tail = _incomplete_beta(freedom / 2, 0.5, freedom / (freedom + middle * middle)) / 2
        low, high = (middle, high) if 1 - tail < p else (low, middle)
    return (low + high) / 2


def _wilson(share: float, n: int, confidence: float) -> tuple[float, float]:
    z = NormalDist().inv_cdf((1 + confidence) / 2)
    scale = 1 + z * z / n
    centre = (share + z * z / (2 * n)) / scale
    margin = z / scale * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    return max(0.0, centre - margin), min(1.0, centre + margin)


def _incomplete_beta(a: float, b: float, x: float) -> float:
    """The regularised incomplete beta function by its continued fraction (Lentz's method)."""
    if x <= 0 or x >= 1:
        return min(max(x, 0.0), 1.0)
    if x > (a + 1) / (a + b + 2):
        return 1 - _incomplete_beta(b, a, 1 - x)
    log_front = math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b) + a * math.log(x) + b * math.log1p(-x)
    fraction, c, d = 1.0, 1.0, 0.0
    for i in range(300):
        m = i // 2
        if i == 0:
            numerator = 1.0
        elif i % 2 == 0:
            numerator = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))
        else:
            numerator = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
        d = 1 / _away_from_zero(1 + numerator * d)
        c = _away_from_zero(1 + numerator / c)
        fraction *= c * d
        if abs(1 - c * d) < 1e-12:
            break
    return math.exp(log_front) * (fraction - 1) / a


def _away_from_zero(value: float) -> float:
    return value if abs(value) > 1e-30 else 1e-30
