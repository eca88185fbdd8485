"""The verdict: did the best prompt beat the starting one on the test rows? One sentence, computed.

Both ran on the same rows, so rows are compared in pairs; the interval of the mean difference is that of
`engine.statistics.paired_interval`.

It knows records only.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

from engine.records import Evaluation
from engine.statistics import paired_interval

Kind = Literal["better", "worse", "too_close", "not_enough", "unchanged"]

# Fewer test rows than this decide nothing; nor does an interval wider than this on either side.
MIN_ROWS = 8
MAX_HALF_WIDTH = 0.25


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

    >>> from engine.records import Outcome
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
