"""Confidence: the agreement of several answers by field, and its share of right values on labelled rows."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from engine.basics.data import Values
from engine.compat.prompter.program import ReadRecord
from engine.errors import ConfigurationError
from engine.metrics.json_fields import JSONMatch
from engine.metrics.matching import same
from engine.records import json_value, leaves
from engine.signature.prediction import Prediction

Method = Literal["samples", "logprobs"]

SAMPLES = 5
"""Answers whose agreement counts."""


async def answer_and_confidence(
    program: ReadRecord, inputs: Values, samples: int, method: Method
) -> tuple[Prediction, dict[str, float]]:
    """Return a program's answer, and the bare confidence by the path of its values.

    With "samples" other answers are drawn at temperature 1; with "logprobs" the model gives probabilities of tokens.
    Raises ConfigurationError for a model that gives none, and for fewer than two samples.
    """
    if method == "logprobs":
        answer = await program.acall(**inputs, config={"logprobs": True})
        mean = mean_probability(answer.plain_values().get("logprobs"))
        if mean is None:
            raise ConfigurationError('The model gives no probabilities of its tokens. Use method="samples".')
        return answer, {path: mean for path, _ in leaves(json_value(answer[program.output]))}
    if samples < 2:
        raise ConfigurationError(f"samples is {samples}; an agreement takes at least 2.")
    draws = [{"config": {"rollout_id": number, "temperature": 1.0}} for number in range(1, samples)]
    answers = await asyncio.gather(
        *(program.acall(**inputs, **draw) for draw in ({}, *draws)), return_exceptions=True
    )
    first = answers[0]
    if isinstance(first, BaseException):
        raise first
    # A sample that cannot be read agrees with nothing.
    records = [None if isinstance(a, BaseException) else json_value(a[program.output]) for a in answers]
    return first, agreement(records)


def agreement(answers: Sequence[object]) -> dict[str, float]:
    """Return, for each value of the first answer by its path, the share of the other answers with the same value.

    An item of a list agrees with the most similar item, at any place.

    >>> agreement([{"a": 1, "b": ["x", "y"]}, {"a": 1, "b": ["y", "z"]}])
    {'a': 1.0, 'b[0]': 0.0, 'b[1]': 1.0}
    """
    first, *others = answers
    checked = [right_fields(first, other) for other in others]
    return {path: sum(other[path] for other in checked) / len(checked) for path, _ in leaves(first)}


def right_fields(answer: object, expected: object) -> dict[str, bool]:
    """Return, for each value of an answer by its path, True if it is right; the items of lists in any order.

    >>> right_fields({"lines": [{"n": 2}, {"n": 1}]}, {"lines": [{"n": 1}, {"n": 2}]})
    {'lines[0].n': True, 'lines[1].n': True}
    """
    wanted = dict(leaves(_ALIGN.aligned(answer, expected)))
    return {path: path in wanted and same(wanted[path], value) for path, value in leaves(answer)}


_ALIGN = JSONMatch(best_match=True)


def mean_probability(logprobs: object) -> float | None:
    """Return the geometric mean of the probabilities of an answer's tokens, None if the model gave none.

    >>> round(mean_probability({"content": [{"logprob": 0.0}, {"logprob": -1.0}]}), 3)
    0.607
    """
    tokens = _value(logprobs, "content") or ()
    values = [value for token in tokens if isinstance(value := _value(token, "logprob"), int | float)]
    return math.exp(sum(values) / len(values)) if values else None


def _value(holder: object, name: str) -> Any:
    return holder.get(name) if isinstance(holder, Mapping) else getattr(holder, name, None)


@dataclass(frozen=True, slots=True)
class Calibration:
    """A rising step function from bare confidence to the share of right values.

    >>> calibration = Calibration.of([(0.5, False), (0.5, True), (1.0, True), (1.0, True)], rows=2, method="samples")
    >>> round(calibration.applied(0.5), 2), round(calibration.applied(1.0), 2)
    (0.5, 0.83)
    """

    points: tuple[tuple[float, float], ...]
    """(highest confidence, share right) of each step."""
    rows: int
    """Number of labelled rows."""
    method: Method
    """Source of the bare confidence."""

    @classmethod
    def of(cls, pairs: Sequence[tuple[float, bool]], *, rows: int, method: Method) -> Calibration:
        """Return the best rising function of some (confidence, is right) pairs: pool adjacent violators, half a pair added."""
        pooled: list[tuple[float, int, int]] = []  # highest confidence, right, number
        by_confidence: dict[float, list[bool]] = {}
        for confidence, right in sorted(pairs):
            by_confidence.setdefault(confidence, []).append(right)
        for confidence, rights in by_confidence.items():
            hits, number = sum(rights), len(rights)
            while pooled and pooled[-1][1] * number > hits * pooled[-1][2]:
                _, more_hits, more = pooled.pop()
                hits, number = hits + more_hits, number + more
            pooled.append((confidence, hits, number))
        return cls(tuple((c, (hits + 0.5) / (number + 1)) for c, hits, number in pooled), rows, method)

    def applied(self, confidence: float) -> float:
        """Return the share of right values at a confidence."""
        if not self.points:
            return confidence
        return next((share for highest, share in self.points if confidence <= highest), self.points[-1][1])
