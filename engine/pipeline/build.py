"""A pipeline's spec -> a program: steps in order, wired by field name.

It knows signatures and modules, and nothing of data, models or optimizers.
"""

from __future__ import annotations

from typing import Any

from engine.errors import PipelineError
from engine.modules.module import Module
from engine.pipeline.check import spec_problems
from engine.pipeline.signatures import signature_of
from engine.pipeline.spec import PipelineSpec
from engine.pipeline.strategies import STRATEGIES
from engine.prediction import Prediction

__all__ = ["STRATEGIES", "Pipeline", "build_program", "signature_of"]


class Pipeline(Module):
    """A program of named steps; each step's inputs come from the call or from the steps before it.

    A step is an attribute under its own name, so its path is "route", or "route.predict" for one that
    thinks first. The answer holds every step's outputs, the last step's last.
    """

    def __init__(self, spec: PipelineSpec) -> None:
        super().__init__()
        self.spec = spec
        self.wiring = tuple((s.name, tuple(f.name for f in s.inputs)) for s in spec.steps)
        for step in spec.steps:
            setattr(self, step.name, STRATEGIES[step.strategy](signature_of(step), step.options))

    async def aforward(self, **inputs: Any) -> Prediction:
        """Run the steps in order; arguments are the pipeline's inputs by name."""
        if len(self.wiring) == 1:
            answer: Prediction = await getattr(self, self.wiring[0][0]).acall(**inputs)
            return answer
        values = dict(inputs)
        made: dict[str, Any] = {}
        for name, needs in self.wiring:
            answer = await getattr(self, name).acall(**{n: values[n] for n in needs if n in values})
            for field, value in answer.items():
                made.pop(field, None)  # so that the last step's fields come last
                made[field] = value
            values.update(answer)
        return Prediction.of(made)


def build_program(spec: PipelineSpec) -> Pipeline:
    """Return the program that a spec describes. Raises PipelineError with the first thing that is wrong.

    >>> from engine.pipeline.spec import FieldSpec, StepSpec
    >>> step = StepSpec(name="route", inputs=(FieldSpec(name="message"),), outputs=(FieldSpec(name="queue"),))
    >>> [path for path, _ in build_program(PipelineSpec(steps=(step,))).named_predictors()]
    ['route']
    """
    problems = spec_problems(spec)
    if problems:
        raise PipelineError(problems[0])
    return Pipeline(spec)
