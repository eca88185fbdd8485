"""Confidence intervals of mean scores and of paired differences, and the agreement of two graders.

A mean of right and wrong has Wilson's interval (1927, "Probable inference, the law of succession, and statistical
inference"), one of graded scores Student's t (1908, "The probable error of a mean"). A mean of paired differences has
Agresti and Min's adjusted interval (2005, "Simple improved confidence intervals for comparing matched proportions",
Statistics in Medicine 24: 729-740): half an observation is added to each cell of the 2 x 2 table, which keeps the
interval honest when there are few rows or few disagreements. For graded scores the same four half observations
(differences +1, -1 and twice 0) join a Student t interval of the differences (Miller 2024, "Adding error bars to
evals", arXiv 2411.00640, on pairing; Bowyer et al. 2025, arXiv 2503.01747, on why plain normal intervals fail under a
few hundred rows).

Agreement of two graders is Cohen's kappa (1960, "A coefficient of agreement for nominal scales"): what they agree beyond
chance; with grades in between the linearly weighted one (Cohen 1968), which forgives a near miss, in the words of Landis
and Koch (1977).

It knows numbers only.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from statistics import NormalDist
from typing import NamedTuple

_UPPER = 0.975
"""Share of a distribution below the upper end of a 95 % interval."""
_NORMAL = NormalDist().inv_cdf(_UPPER)


class Interval(NamedTuple):
    """A mean and its 95 % interval, in the unit of the scores."""

    mean: float
    low: float
    high: float
    rows: int


def mean_interval(scores: Sequence[float], mean: float | None = None) -> Interval:
    """Return the mean of some scores with its 95 % interval; with `mean`, the interval about a better estimate of it.

    Without scores, or with a single graded one, the interval is as wide as scores go, 0 to 1.

    >>> [round(x, 3) for x in mean_interval([1, 1, 1, 0, 1, 1, 0, 1, 1, 1])[:3]]
    [0.8, 0.49, 0.943]
    >>> [round(x, 3) for x in mean_interval([0.2, 0.4, 0.6])[:3]]
    [0.4, -0.097, 0.897]
    """
    n = len(scores)
    if n == 0:
        return Interval(0.0, 0.0, 1.0, 0)
    observed = math.fsum(scores) / n
    mean = observed if mean is None else mean
    if all(score in (0, 1) for score in scores):
        return Interval(mean, *_wilson(mean, n), n)
    if n == 1:
        return Interval(mean, min(0.0, mean), max(1.0, mean), n)
    spread = math.sqrt(math.fsum((score - observed) ** 2 for score in scores) / (n - 1) / n)
    margin = student_quantile(_UPPER, n - 1) * spread
    return Interval(mean, mean - margin, mean + margin, n)


def paired_interval(differences: Sequence[float], *, binary: bool) -> tuple[float, float]:
    """Return the 95 % interval of the mean of paired differences of scores in 0 to 1; it stays within -1 to 1.

    `binary` says that every score was 0 or 1: then the normal quantile is used (Agresti and Min),
    otherwise Student's t with one degree of freedom less than there are rows.

    >>> [round(x, 2) for x in paired_interval([1.0] * 30 + [0.0] * 30, binary=True)]
    [0.36, 0.61]
    """
    return interval_of_sums(
        len(differences), sum(differences), sum(d * d for d in differences), binary=binary
    )


def interval_of_sums(rows: int, total: float, squares: float, *, binary: bool) -> tuple[float, float]:
    """Return the interval of `paired_interval` from the number of differences, their sum and the sum of their squares.

    >>> interval_of_sums(60, 30.0, 30.0, binary=True) == paired_interval([1.0] * 30 + [0.0] * 30, binary=True)
    True
    """
    n = rows + 2
    mean = total / n
    # The four half observations add 0 to the sum and 1 to the sum of squares.
    variance = max(0.0, (squares + 1) / n - mean * mean)
    quantile = _NORMAL if binary else student_quantile(_UPPER, max(1, rows - 1))
    half = quantile * math.sqrt(variance / n)
    return max(-1.0, mean - half), min(1.0, mean + half)


def paired_difference(
    ours: Mapping[int, float], theirs: Mapping[int, float], known: float = 0.0
) -> tuple[float, float]:
    """Return mean and standard deviation of a difference of scores by row, shrunk the more the fewer rows both have.

    `known` is the share of all rows that both have: nothing is shrunk where it is 1. Racing as in CAPO (arXiv 2504.16005).

    >>> paired_difference({1: 1.0, 2: 1.0}, {1: 0.0, 2: 1.0}, known=1.0)
    (0.5, 0.0)
    """
    paired = [ours[row] - theirs[row] for row in ours if row in theirs]
    if not paired:
        return 0.0, DIFFERENCE_SD
    n = len(paired)
    mean = sum(paired) / n
    spread = math.sqrt(sum((d - mean) ** 2 for d in paired) / n)
    error = max(spread, _LEAST_SPREAD) ** 2 / n * (1 - known)
    prior = DIFFERENCE_SD**2
    return mean * prior / (prior + error), math.sqrt(prior * error / (prior + error))


DIFFERENCE_SD = 0.2
"""Prior of a difference before any row: most changes move the mean score by less than this."""

# A paired difference is never taken to be surer than one row in ten changing would make it.
_LEAST_SPREAD = 0.3


def unbeaten(points: Sequence[Sequence[float | None]]) -> list[int]:
    """Return the places of the points that no other one beats: at least as high in all that both know, and higher in one.

    >>> unbeaten([(0.5, -2.0), (0.5, -3.0), (0.9, None)])
    [2]
    """

    def beats(other: Sequence[float | None], point: Sequence[float | None]) -> bool:
        pairs = [(a, b) for a, b in zip(other, point, strict=True) if a is not None and b is not None]
        return all(a >= b for a, b in pairs) and any(a > b for a, b in pairs)

    if any(None in point for point in points):
        return [i for i, point in enumerate(points) if not any(beats(other, point) for other in points)]
    front: list[int] = []  # from the highest on, only those found so far can beat one
    for i in sorted(range(len(points)), key=lambda i: tuple(map(float, points[i])), reverse=True):  # type: ignore[arg-type]
        if not any(beats(points[j], points[i]) for j in front):
            front.append(i)
    return sorted(front)


def resampled_interval(rows: int, statistic: Callable[[Sequence[int]], float]) -> Interval:
    """Return a number of a whole set of rows with its 95 % interval, by drawing the rows again and again (the bootstrap).

    `statistic` is given places of rows, with repeats. The draws are seeded, so the same rows give the same interval.
    Source: Efron 1979, "Bootstrap methods: another look at the jackknife".

    >>> [round(x, 2) for x in resampled_interval(40, lambda places: sum(i % 4 == 0 for i in places) / 40)[:3]]
    [0.25, 0.12, 0.4]
    """
    value = statistic(range(rows))
    if rows < 2:
        return Interval(value, min(0.0, value), max(1.0, value), rows)
    rng = random.Random(0)
    times = max(100, min(1000, 200_000 // rows))
    drawn = sorted(statistic(rng.choices(range(rows), k=rows)) for _ in range(times))
    low, high = drawn[int((1 - _UPPER) * times)], drawn[math.ceil(_UPPER * times) - 1]
    return Interval(value, min(low, value), max(high, value), rows)


@lru_cache(maxsize=1024)
def student_quantile(p: float, freedom: int) -> float:
    """Return the p-quantile (p > 0.5) of Student's t distribution with some degrees of freedom, found by bisection.

    >>> round(student_quantile(0.975, 2), 3), round(student_quantile(0.975, 30), 3)
    (4.303, 2.042)
    """
    low, high = 0.0, 1e3 if freedom == 1 else 1e2
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if (1 + _within(middle, freedom)) / 2 < p else (low, middle)
    return (low + high) / 2


def _within(t: float, freedom: int) -> float:
    """Return the share of Student's t distribution between -t and t (Abramowitz and Stegun 1964, 26.7.3 and 26.7.4)."""
    angle, odd = math.atan(t / math.sqrt(freedom)), freedom % 2
    cosine = math.cos(angle)
    term = total = 0.0 if freedom == 1 else cosine if odd else 1.0
    for i in range(2 + odd, freedom - 1, 2):
        term *= (i - 1) / i * cosine * cosine
        total += term
    return (angle + math.sin(angle) * total) * 2 / math.pi if odd else math.sin(angle) * total


def _wilson(share: float, n: int) -> tuple[float, float]:
    z = _NORMAL
    scale = 1 + z * z / n
    centre = (share + z * z / (2 * n)) / scale
    margin = z / scale * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    return max(0.0, centre - margin), min(1.0, centre + margin)


LEVELS = (0.0, 0.5, 1.0)
"""Wrong, partly right, right: what a person chooses from, and what a judge's score is rounded to."""

FEW = 15
"""Fewer answers than this say little about a judge."""


@dataclass(frozen=True, slots=True)
class Agreement:
    """Judge against person over `rows` answers.

    `same` is the share of equal grades; `kappa` runs from -1 to 1, 0 being what chance gives (None: all grades are
    alike, so chance explains everything). `kinder` and `stricter` are the row ids that the judge graded higher and lower.
    """

    rows: int
    same: float
    kappa: float | None
    kinder: tuple[int, ...]
    stricter: tuple[int, ...]

    @property
    def word(self) -> str:
        """Return the agreement in one word or two."""
        if self.kappa is None:
            return "not known"
        return next(word for most, word in _WORDS if self.kappa <= most)

    @property
    def sentence(self) -> str:
        """Return what this means for a user of the judge, in one or two sentences."""
        if not self.rows:
            return "Grade some answers first; about twenty tell enough."
        counted = f"{round(self.same * self.rows)} of {self.rows} answers get the same grade from both"
        if self.kappa is None:
            return f"{counted}. All grades are alike, so this says nothing yet: grade answers of both kinds."
        advice = "Grade some more to be sure." if self.rows < FEW else _advice(self.kappa)
        lean = ""
        if self.kappa <= _TRUSTED and len(self.kinder) != len(self.stricter):
            lean = f" Where they differ, the judge is mostly {'kinder' if len(self.kinder) > len(self.stricter) else 'stricter'}."
        return f"Agreement is {self.word} (kappa {self.kappa:.2f}): {counted}.{lean} {advice}"


def level(score: float) -> float:
    """Return the level nearest to a score; a score right between two counts as the lower.

    >>> level(0.2), level(0.6), level(0.75), level(0.9)
    (0.0, 0.5, 0.5, 1.0)
    """
    return min(LEVELS, key=lambda one: (abs(one - score), one))


def agreement(person: Mapping[int, float], judge: Mapping[int, float]) -> Agreement:
    """Compare grades (0 to 1) by row id, over the rows that both have graded.

    >>> found = agreement({1: 1, 2: 1, 3: 0, 4: 0}, {1: 1, 2: 1, 3: 0, 4: 1})
    >>> found.same, found.kappa, found.word, found.kinder
    (0.75, 0.5, 'moderate', (4,))
    """
    rows = sorted(person.keys() & judge.keys())
    pairs = [(level(person[row]), level(judge[row])) for row in rows]
    n = len(pairs)
    if not n:
        return Agreement(0, 0.0, None, (), ())
    apart = sum(abs(a - b) for a, b in pairs) / n
    mine = {one: sum(a == one for a, _ in pairs) / n for one in LEVELS}
    theirs = {one: sum(b == one for _, b in pairs) / n for one in LEVELS}
    by_chance = sum(abs(a - b) * mine[a] * theirs[b] for a in LEVELS for b in LEVELS)
    return Agreement(
        n,
        sum(a == b for a, b in pairs) / n,
        1 - apart / by_chance if by_chance else None,
        tuple(row for row, (a, b) in zip(rows, pairs, strict=True) if b > a),
        tuple(row for row, (a, b) in zip(rows, pairs, strict=True) if b < a),
    )


_TRUSTED = 0.6
_WORDS = (
    (0.0, "no better than chance"),
    (0.2, "slight"),
    (0.4, "fair"),
    (_TRUSTED, "moderate"),
    (0.8, "substantial"),
    (1.0, "almost perfect"),
)


def _advice(kappa: float) -> str:
    if kappa > _TRUSTED:
        return "The judge can stand in for you."
    if kappa > 0.2:
        return "Read the answers below on which you differ, and say in the criteria what you look for."
    return "Do not tune with this judge yet: its scores would reward something else than you do."
