"""A model as judge: one typed question through the run's own gate, so that budget, cache and meters count it.

It knows how to ask; what to ask is each judge's own.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from pydantic import Field

from engine.adapters.chat import ChatAdapter
from engine.adapters.values import format_value
from engine.errors import ConfigurationError
from engine.lm.base import BaseLM
from engine.lm.choice import ModelChoice, shared_lm
from engine.metrics.awaited import AwaitedMetric, Case
from engine.metrics.base import MetricOptions
from engine.records import Example
from engine.runtime import current
from engine.signature import Signature


class JudgeOptions(MetricOptions):
    """Options of every judge."""

    judge: str | None = Field(
        None,
        title="Judge",
        description="The model that judges, as in openai/gpt-4o. Empty: the model that is being tuned.",
    )


class Judge(AwaitedMetric):
    """Base of metrics that ask a model. `lm` is the judge; without it `judge` names one, else the model in force."""

    options: JudgeOptions
    calls = 1

    def __init__(self, *, lm: BaseLM | None = None, **options: Any) -> None:
        super().__init__(**options)
        self.lm = lm
        self._adapter = ChatAdapter()

    async def ask(self, signature: type[Signature], **inputs: Any) -> dict[str, Any]:
        """Return a model's typed answers to one question. Raises LMError and AdapterParseError as models do."""
        runtime = current()
        judge = self.options.judge
        lm = self.lm or (shared_lm(ModelChoice(name=judge)) if judge else runtime.lm)
        if lm is None:
            raise ConfigurationError(
                f"{self.name} needs a model to judge with. Pass lm=..., or call engine.configure(lm=...) first."
            )
        # Straight through the adapter, not through a step: a judge must stand in no trace that becomes examples.
        return (await self._adapter.acall(runtime.call, lm, {}, signature, (), inputs))[0]


def question_of(case: Case) -> str:
    """Return a row's inputs as text, one to a paragraph; the name is left out where there is only one."""
    example = case.example
    inputs: Mapping[str, Any]
    if isinstance(example, Example) and example.knows_inputs:
        inputs = example.input_values()
    else:
        inputs = {k: v for k, v in example.items() if k not in case.prediction}
    if len(inputs) == 1:
        return format_value(next(iter(inputs.values())), str)
    return "\n\n".join(f"{name}: {format_value(value, str)}" for name, value in inputs.items())


def share(value: Any) -> float:
    """Return a judge's number between 0 and 1; what is no number is 0.

    >>> share(1.4), share(float("nan")), share(0.5)
    (1.0, 0.0, 0.5)
    """
    number = float(value) if isinstance(value, int | float) else 0.0
    return min(1.0, max(0.0, number)) if math.isfinite(number) else 0.0


def harmonic(first: float, second: float) -> float:
    """Return the F1 of two shares: 0 when either is 0."""
    return 2 * first * second / (first + second) if first + second else 0.0
