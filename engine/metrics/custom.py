"""Several metrics as one: `WeightedSum`."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from pydantic import Field, field_validator

from engine.errors import ConfigurationError
from engine.metrics.base import (
    Grade,
    Metric,
    MetricOptions,
    Scorer,
    WorkedExample,
    grade,
    metric_name,
)
from engine.metrics.json_fields import JSONMatch, parse_weights
from engine.metrics.judge import CompleteAndGrounded, SemanticF1
from engine.metrics.matching import Contains, ExactMatch, NumberWithin
from engine.metrics.similarity import BLEU, ROUGE, ChrF, EditDistance, TokenF1

BY_NAME: Mapping[str, type[Metric]] = {
    m.name: m
    for m in (
        ExactMatch,
        Contains,
        TokenF1,
        NumberWithin,
        EditDistance,
        JSONMatch,
        ROUGE,
        BLEU,
        ChrF,
        SemanticF1,
        CompleteAndGrounded,
    )
}
"""Metrics that can be named in a sum."""


class WeightedSumOptions(MetricOptions):
    """The parts of the sum."""

    parts: str = Field(
        "ExactMatch=1, TokenF1=1",
        title="Metrics and weights",
        description=f"As in 'ExactMatch=2, TokenF1=1'. Metrics: {', '.join(BY_NAME)}.",
    )

    @field_validator("parts")
    @classmethod
    def _known(cls, value: str) -> str:
        parts = parse_weights(value)
        for name in parts:
            if name not in BY_NAME:
                raise ValueError(f"there is no metric {name!r} to add; there are: {', '.join(BY_NAME)}")
        if not sum(parts.values()):
            raise ValueError("name at least one metric with a weight above 0, as in ExactMatch=1")
        return value


class WeightedSum(Metric):
    """The weighted mean of several metrics' scores; the feedback holds each part's.

    In Python any metrics with any options can be given: `WeightedSum((ExactMatch(field="team"), 2), (my_metric, 1))`.

    >>> WeightedSum(parts="ExactMatch=1, TokenF1=3").compare("red scarf", "a red hat").score
    0.375
    """

    name = "WeightedSum"
    title = "Several metrics together"
    plain = "The score is the weighted mean of several metrics' scores."
    examples = (
        WorkedExample("red scarf", "red scarf", 1.0),
        WorkedExample("red scarf", "a red hat", 0.25),
        WorkedExample("red scarf", "a red hat", 0.375, {"parts": "ExactMatch=1, TokenF1=3"}),
    )
    pros = ("One number where several things matter.",)
    cons = ("The same score can mean different things.",)

    Options = WeightedSumOptions

    options: WeightedSumOptions

    def __init__(self, *parts: tuple[Scorer, float], **options: object) -> None:
        super().__init__(**options)
        shared = {"field": self.options.field} if self.options.field else {}
        named = parse_weights(self.options.parts)
        weighted = parts or tuple((BY_NAME[name](**shared), weight) for name, weight in named.items())
        total = float(sum(weight for _, weight in weighted))
        if total <= 0 or any(weight < 0 for _, weight in weighted):
            raise ConfigurationError("A weighted sum needs weights of 0 or more, one at least above 0.")
        self.parts: tuple[tuple[Scorer, float], ...] = tuple(
            (m, weight / total) for m, weight in weighted if weight
        )
        metrics = [m for m, _ in self.parts if isinstance(m, Metric)]
        self.awaits = any(m.awaits for m in metrics)  # type: ignore[misc]  # set by a sum's parts
        self.calls = sum(m.calls for m in metrics)  # type: ignore[misc]  # set by a sum's parts

    def __call__(
        self, example: Mapping[str, object], prediction: Mapping[str, object], trace: object = None
    ) -> Grade:
        """Grade one prediction by every part."""
        return self._sum([grade(metric, example, prediction, trace) for metric, _ in self.parts])

    async def acall(
        self, example: Mapping[str, object], prediction: Mapping[str, object], trace: object = None
    ) -> Grade:
        """Grade one prediction by every part, in async code."""

        async def one(metric: Scorer) -> Grade:
            if isinstance(metric, Metric):
                return await metric.acall(example, prediction, trace)
            return grade(metric, example, prediction, trace)

        return self._sum(await asyncio.gather(*(one(metric) for metric, _ in self.parts)))

    def compare(self, expected: object, answer: object) -> Grade:
        """Grade one value by every part. Raises ConfigurationError where a part is a plain function."""
        if not all(isinstance(metric, Metric) for metric, _ in self.parts):
            raise ConfigurationError("A sum with functions grades rows, not single values.")
        return self._sum(
            [metric.compare(expected, answer) for metric, _ in self.parts if isinstance(metric, Metric)]
        )

    def _sum(self, grades: list[Grade]) -> Grade:
        score = sum(weight * one.score for (_, weight), one in zip(self.parts, grades, strict=True))
        lines = [
            f"{metric_name(metric)} {one.score:.2f}: {one.feedback}".rstrip(": ")
            for (metric, _), one in zip(self.parts, grades, strict=True)
            if one.score < 1
        ]
        each = {metric_name(metric): one.score for (metric, _), one in zip(self.parts, grades, strict=True)}
        return Grade(min(1.0, score), " ".join(lines), each) if lines else Grade(1.0, "Correct.", each)
