"""Confidence: the agreement of several answers by field, and what it was worth on labelled rows."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from engine.metrics.json_fields import JSONMatch
from engine.metrics.matching import same
from engine.records import leaves

Method = Literal["samples", "logprobs"]


def agreement(answers: Sequence[Any]) -> dict[str, float]:
    """Return, for each value of the first answer by its path, the share of the other answers that have the same.

    The items of lists agree with those that are most like them, wherever they stand.

    >>> agreement([{"a": 1, "b": ["x", "y"]}, {"a": 1, "b": ["y", "z"]}])
    {'a': 1.0, 'b[0]': 0.0, 'b[1]': 1.0}
    """
    first, *others = answers
    each = [right_fields(first, other) for other in others]
    return {
        path: sum(other[path] for other in each) / len(each) if each else 1.0 for path, _ in leaves(first)
    }


def right_fields(answer: Any, expected: Any) -> dict[str, bool]:
    """Return, for each value of an answer by its path, whether it is right; the items of lists in any order.

    >>> right_fields({"lines": [{"n": 2}, {"n": 1}]}, {"lines": [{"n": 1}, {"n": 2}]})
    {'lines[0].n': True, 'lines[1].n': True}
    """
    wanted = dict(leaves(_ALIGN.aligned(answer, expected)))
    return {path: path in wanted and same(wanted[path], value) for path, value in leaves(answer)}


_ALIGN = JSONMatch(best_match=True)


def mean_probability(logprobs: Any) -> float | None:
    """Return the geometric mean of the probabilities of an answer's tokens, None where the model gave none.

    >>> round(mean_probability({"content": [{"logprob": 0.0}, {"logprob": -1.0}]}), 3)
    0.607
    """
    content = logprobs.get("content") if isinstance(logprobs, Mapping) else getattr(logprobs, "content", None)
    values = []
    for token in content or ():
        value = token.get("logprob") if isinstance(token, Mapping) else getattr(token, "logprob", None)
        if isinstance(value, int | float):
            values.append(float(value))
    return math.exp(sum(values) / len(values)) if values else None


@dataclass(frozen=True, slots=True)
class Calibration:
    """A rising step function from bare confidence to the share that was right, found on `rows` labelled rows.

    >>> found = Calibration.of([(0.5, False), (0.5, True), (1.0, True), (1.0, True)], rows=2, method="samples")
    >>> round(found.applied(0.5), 2), round(found.applied(1.0), 2)
    (0.5, 0.83)
    """

    points: tuple[tuple[float, float], ...]
    rows: int
    method: Method

    @classmethod
    def of(cls, pairs: Sequence[tuple[float, bool]], *, rows: int, method: Method) -> Calibration:
        """Return the best rising function of some (confidence, was right) pairs: pool adjacent violators, half a pair added."""
        groups: list[list[float]] = []  # [highest confidence, right, number]
        for confidence, right in sorted(pairs, key=lambda pair: pair[0]):
            if groups and groups[-1][0] == confidence:
                groups[-1][1] += right
                groups[-1][2] += 1
            else:
                groups.append([confidence, float(right), 1.0])
        pooled: list[list[float]] = []
        for group in groups:
            pooled.append(group)
            while len(pooled) > 1 and pooled[-2][1] * pooled[-1][2] > pooled[-1][1] * pooled[-2][2]:
                highest, hits, number = pooled.pop()
                pooled[-1] = [highest, pooled[-1][1] + hits, pooled[-1][2] + number]
        points = tuple((highest, (hits + 0.5) / (number + 1)) for highest, hits, number in pooled)
        return cls(points, rows, method)

    def applied(self, confidence: float) -> float:
        """Return the share that was right at such a confidence."""
        if not self.points:
            return confidence
        return next((share for highest, share in self.points if confidence <= highest), self.points[-1][1])
