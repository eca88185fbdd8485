"""The verdict: did the best prompt beat the starting one on the test rows? One sentence, computed.

Both ran on the same rows, so rows are compared in pairs. The interval of the mean difference d is
Agresti and Min's adjusted paired interval (2005, "Simple improved confidence intervals for comparing
matched proportions", Statistics in Medicine 24: 729-740): half an observation is added to each cell of the
2 x 2 table, which keeps the interval honest when there are few rows or few disagreements. For graded
scores the same four half observations (differences +1, -1 and twice 0) join a Student t interval of the
differences (Miller 2024, "Adding error bars to evals", arXiv 2411.00640, on pairing; Bowyer et al. 2025,
arXiv 2503.01747, on why plain normal intervals fail under a few hundred rows).

It knows records only.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from statistics import NormalDist
from typing import Any, Literal

from engine.records import Evaluation, Outcome

Kind = Literal["better", "worse", "too_close", "not_enough", "unchanged"]

# Fewer test rows than this decide nothing; nor does an interval wider than this on either side.
MIN_ROWS = 8
MAX_HALF_WIDTH = 0.25

_LEVEL = 0.95
_Z = NormalDist().inv_cdf(0.5 + _LEVEL / 2)


@dataclass(frozen=True, slots=True)
class Verdict:
    """Best against baseline on the test rows. Scores and differences run from 0 to 1.

    `low` and `high` bound the difference with 95 % confidence; `won` and `lost` count rows on which the
    best prompt scored higher and lower; `failed` counts rows that failed with an error on either side.
    """

    kind: Kind
    sentence: str
    baseline: float
    best: float
    difference: float
    low: float
    high: float
    rows: int
    won: int
    lost: int
    failed: int = 0

    def as_dict(self) -> dict[str, Any]:
        """Return the verdict as JSON-ready values."""
        return asdict(self)


def verdict(baseline: Evaluation, best: Evaluation) -> Verdict:
    """Compare two evaluations over the rows they share.

    >>> def run(name, scores):
    ...     return Evaluation(name, tuple(Outcome(i, s) for i, s in enumerate(scores)))
    >>> verdict(run("a", [0, 1] * 30), run("b", [1, 1] * 30)).sentence
    'Better: 100 % of test rows right against 50 % before, a gain of 50 points (95 % interval 36 to 61, 60 rows).'
    """
    before = {o.row: o for o in baseline.outcomes}
    pairs = [(before[o.row], o) for o in best.outcomes if o.row in before]
    differences = [b.score - a.score for a, b in pairs]
    n = len(pairs)
    first = sum(a.score for a, _ in pairs) / n if n else 0.0
    second = sum(b.score for _, b in pairs) / n if n else 0.0
    binary = all(o.score in (0.0, 1.0) for pair in pairs for o in pair)
    low, high = paired_interval(differences, binary=binary) if n else (-1.0, 1.0)
    kind = _kind(n, low, high)
    if baseline.candidate_id == best.candidate_id:
        kind, low, high = "unchanged", 0.0, 0.0
    failed = sum(a.error is not None or b.error is not None for a, b in pairs)
    difference = second - first
    return Verdict(
        kind,
        _sentence(kind, (first, second), (low, high), n, binary=binary) + _failures(failed),
        first,
        second,
        difference,
        low,
        high,
        n,
        sum(d > 0 for d in differences),
        sum(d < 0 for d in differences),
        failed,
    )


def paired_interval(differences: Sequence[float], *, binary: bool) -> tuple[float, float]:
    """Return the 95 % interval of the mean of paired differences of scores in 0 to 1.

    `binary` says that every score was 0 or 1: then the normal quantile is used (Agresti and Min),
    otherwise Student's t with one degree of freedom less than there are rows.
    """
    n = len(differences) + 2
    mean = sum(differences) / n
    # The four half observations add 0 to the sum and 1 to the sum of squares.
    variance = max(0.0, (sum(d * d for d in differences) + 1) / n - mean * mean)
    quantile = _Z if binary else t_quantile(max(1, len(differences) - 1))
    half = quantile * math.sqrt(variance / n)
    return max(-1.0, mean - half), min(1.0, mean + half)


def score_interval(outcomes: Sequence[Outcome]) -> tuple[float, float]:
    """Return the 95 % interval of a mean score (0-1): Agresti and Coull's for right or wrong, t otherwise.

    >>> low, high = score_interval([Outcome(i, i % 2) for i in range(60)])
    >>> round(low, 2), round(high, 2)
    (0.38, 0.62)
    """
    n = len(outcomes)
    if not n:
        return 0.0, 1.0
    scores = [o.score for o in outcomes]
    binary = all(s in (0.0, 1.0) for s in scores)
    # z squared / 2 successes and as many failures more (Agresti and Coull 1998).
    extra = _Z * _Z
    mean = (sum(scores) + extra / 2) / (n + extra)
    variance = (sum(s * s for s in scores) + extra / 2) / (n + extra) - mean * mean
    quantile = _Z if binary else t_quantile(max(1, n - 1))
    half = quantile * math.sqrt(max(0.0, variance) / (n + extra))
    return max(0.0, mean - half), min(1.0, mean + half)


def t_quantile(df: int) -> float:
    """Return Student's t quantile at 97.5 % for `df` degrees of freedom.

    Tabled below 5; from there the expansion in 1/df of Abramowitz and Stegun 26.7.5, right to 0.002.

    >>> round(t_quantile(10), 2), round(t_quantile(1000), 2)
    (2.23, 1.96)
    """
    if df < 5:
        return (12.7062, 4.3027, 3.1824, 2.7764)[max(1, df) - 1]
    z = _Z
    terms = (
        (z**3 + z) / 4,
        (5 * z**5 + 16 * z**3 + 3 * z) / 96,
        (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384,
        (79 * z**9 + 776 * z**7 + 1482 * z**5 - 1920 * z**3 - 945 * z) / 92160,
    )
    return z + sum((term / float(df) ** power for power, term in enumerate(terms, 1)), 0.0)


def _kind(n: int, low: float, high: float) -> Kind:
    if n < MIN_ROWS:
        return "not_enough"
    if low > 0:
        return "better"
    if high < 0:
        return "worse"
    return "not_enough" if (high - low) / 2 > MAX_HALF_WIDTH else "too_close"


def _sentence(
    kind: Kind, scores: tuple[float, float], bounds: tuple[float, float], n: int, *, binary: bool
) -> str:
    before, after = (round(100 * s) for s in scores)
    rows = f"{n} row{'' if n == 1 else 's'}"
    points = round(100 * abs(scores[1] - scores[0]))
    unit = f"{points} point{'' if points == 1 else 's'}"
    now = f"{after} % of test rows right" if binary else f"a score of {after} out of 100 on the test rows"
    was = f"{before} %" if binary else f"{before}"
    signed = f"{round(100 * (scores[1] - scores[0]))} point{'' if points == 1 else 's'}"
    interval = f"95 % interval {round(100 * bounds[0])} to {round(100 * bounds[1])}, {rows}"
    if not n:
        return "Not enough rows: no test row was scored."
    if kind == "unchanged":
        return f"No better prompt was found: the starting prompt is kept ({now}, {rows})."
    if kind == "better":
        return f"Better: {now} against {was} before, a gain of {unit} ({interval})."
    if kind == "worse":
        return f"Worse: {now} against {was} before, a loss of {unit} ({interval})."
    if kind == "too_close":
        return f"Too close to call: {now} against {was} before, a difference of {signed} ({interval})."
    return f"Not enough rows to tell: {now} against {was} before, a difference of {signed} ({interval})."


def _failures(failed: int) -> str:
    if not failed:
        return ""
    one = failed == 1
    return f" {failed} row{'' if one else 's'} failed with an error and {'counts' if one else 'count'} as 0."
