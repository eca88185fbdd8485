"""Metrics whose verdict must be waited for: a judge's call, an embedding, a sandbox.

`acall` is the way in for async code; called plainly they wait on the engine's loop. They know no particular judge.
"""

from __future__ import annotations

import asyncio
from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from engine import loop
from engine.metrics.base import Grade, Metric, joined


@dataclass(frozen=True, slots=True)
class Case:
    """One output of one row: its name, what was expected and answered, and the row and the whole answer around it."""

    field: str
    expected: Any
    answer: Any
    example: Mapping[str, Any]
    prediction: Mapping[str, Any]


class AwaitedMetric(Metric):
    """Base of metrics that wait. Subclasses define `acompare`."""

    awaits = True

    def __call__(self, example: Mapping[str, Any], prediction: Mapping[str, Any], trace: Any = None) -> Grade:
        """Grade one prediction and wait. On the engine's loop use `await metric.acall(...)` instead."""
        return loop.run(self.acall(example, prediction, trace))

    async def acall(
        self,
        example: Mapping[str, Any],
        prediction: Mapping[str, Any],
        trace: Any = None,  # noqa: ARG002 - what metrics are called with
    ) -> Grade:
        """Grade one prediction, in async code. Raises what the model, the embedder or the sandbox raise."""
        cases = [
            Case(name, example[name], prediction[name], example, prediction)
            for name in self.fields(example, prediction)
        ]
        if len(cases) == 1:
            return await self.acompare(cases[0])
        grades = await asyncio.gather(*map(self.acompare, cases))
        return joined({case.field: one for case, one in zip(cases, grades, strict=True)})

    def compare(self, expected: Any, answer: Any) -> Grade:
        """Grade one value against the one expected, and wait."""
        row = {"answer": expected}
        return loop.run(self.acompare(Case("answer", expected, answer, row, {"answer": answer})))

    @abstractmethod
    async def acompare(self, case: Case) -> Grade:
        """Grade one output."""
