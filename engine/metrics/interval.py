"""How sure a mean score is: Wilson's interval for right or wrong, Student's t for graded scores.

Sources: Wilson 1927, "Probable inference, the law of succession, and statistical inference"; Student 1908, "The probable
error of a mean".
"""

from __future__ import annotations

import math
from collections.abc import Sequence
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
