"""A pipeline's spec -> a program: steps in order, wired by field name.

It knows signatures and modules, and nothing of data, models or optimizers.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

from engine.adapters import Adapter, adapter_by_name
from engine.adapters.notes import without_none
from engine.errors import PipelineError
from engine.lm.choice import shared_lm
from engine.modules.call_range import CallRange
from engine.modules.module import Module
from engine.pipeline.check import spec_problems
from engine.pipeline.conditions import exclude_each_other, holds
from engine.pipeline.signatures import field_type, signature_of
from engine.pipeline.spec import Condition, PipelineSpec, StepSpec
from engine.pipeline.strategies import STRATEGIES
from engine.prediction import Prediction
from engine.runtime import context, current

__all__ = ["STRATEGIES", "Pipeline", "build_program", "signature_of"]

AT_ONCE = 8
"""Items of a list that are worked on at the same time."""

USUAL_ITEMS = 3
"""How long a list nobody has seen yet, and an agent's work, is taken to be."""


class Pipeline(Module):
    """A program of named steps; each step's inputs come from the call or from the steps before it.

    A step is an attribute under its own name, so its path is "route", or "route.predict" for one that
    thinks first. The answer holds every step's outputs, the last step's last; those of a step that was left out
    are None unless another step made them. Raises PipelineError where a step that runs lacks an input.
    """

    def __init__(self, spec: PipelineSpec) -> None:
        super().__init__()
        self.spec = spec
        for step in spec.steps:
            setattr(self, step.name, _module(step))

    async def aforward(self, **inputs: Any) -> Prediction:
        """Run the steps in order; arguments are the pipeline's inputs by name."""
        steps = self.spec.steps
        if len(steps) == 1 and steps[0].when is None and steps[0].each is None:
            self._check(steps[0], inputs)
            answer: Prediction = await getattr(self, steps[0].name).acall(**inputs)
            return answer
        values = dict(inputs)
        made: dict[str, Any] = {}
        for step in steps:
            if step.when is not None and not holds(step.when, values):
                for f in step.makes:
                    made.setdefault(f.name, None)
                    values.setdefault(f.name, None)
                continue
            for field, value in (await self._answers(step, values)).items():
                made.pop(field, None)  # so that the last step's fields come last
                made[field] = values[field] = value
        return Prediction.of(made)

    async def _answers(self, step: StepSpec, values: Mapping[str, Any]) -> Mapping[str, Any]:
        module: Module = getattr(self, step.name)
        given = {f.name: values[f.name] for f in step.inputs if f.name in values}
        self._check(step, given)
        if step.each is None:
            answer: Prediction = await module.acall(**given)
            return answer
        items = values.get(step.each.field)
        if items is None:
            items = ()
        if isinstance(items, str | bytes | Mapping) or not hasattr(items, "__iter__"):
            raise PipelineError(
                f"The step {step.name!r} runs for each item of {step.each.field!r}, which is no list: {items!r:.80}."
            )
        calls = [{**given, step.each.item: item} for item in items]
        answers = await _in_turn(module, calls)
        names = dict.fromkeys(name for one in answers for name in one) or [f.name for f in step.answers]
        return {name: [one.get(name) for one in answers] for name in names}

    def _check(self, step: StepSpec, given: Mapping[str, Any]) -> None:
        for f in step.inputs:
            if f.name in given or (step.each is not None and f.name == step.each.item):
                continue
            if not without_none(field_type(f))[1]:
                needed = ", ".join(one.name for one in self.spec.inputs)
                raise PipelineError(
                    f"The step {step.name!r} has no input {f.name!r}. The pipeline needs: {needed}."
                )

    @property
    def call_range(self) -> CallRange:
        """Model calls that one run may take; of steps that exclude each other the dearest count.

        A step for each item of a list counts as for `USUAL_ITEMS` of them.
        """
        least = self._calls(lambda module: module.call_range.least)
        return CallRange(least, self._calls(lambda module: module.call_range.most))

    @property
    def calls_a_row(self) -> int:
        """Model calls to plan with for one run."""
        return self._calls(lambda module: module.calls_a_row)

    def _calls(self, of: Callable[[Module], int]) -> int:
        calls = [
            (s.when, of(getattr(self, s.name)) * (USUAL_ITEMS if s.each else 1)) for s in self.spec.steps
        ]
        return sum(n for when, n in calls if when is None) + _dearest([(w, n) for w, n in calls if w])


def _dearest(branches: list[tuple[Condition, int]]) -> int:
    """Return the most calls that steps with conditions can make together."""
    if not branches:
        return 0
    (when, calls), *others = branches
    along = [(w, n) for w, n in others if not exclude_each_other(when, w)]
    return (
        calls + _dearest(along)
        if len(along) == len(others)
        else max(calls + _dearest(along), _dearest(others))
    )


async def _in_turn(module: Module, calls: list[dict[str, Any]]) -> list[Prediction]:
    """Run a module on every call's inputs, some at a time; answers and traces come in the order of the calls."""
    outer = current()
    traces: list[list[Any]] = [[] for _ in calls]
    slots = asyncio.Semaphore(AT_ONCE)

    async def one(i: int, given: dict[str, Any]) -> Prediction:
        async with slots:
            if outer.trace is None:
                return await _called(module, given)
            with context(trace=traces[i]):
                return await _called(module, given)

    done = await asyncio.gather(*(one(i, given) for i, given in enumerate(calls)), return_exceptions=True)
    answers = []
    for trace, answer in zip(traces, done, strict=True):
        if outer.trace is not None:
            outer.trace.extend(trace)
        if isinstance(answer, BaseException):
            raise answer  # the first by place, whichever failed first
        answers.append(answer)
    return answers


async def _called(module: Module, given: dict[str, Any]) -> Prediction:
    answer: Prediction = await module.acall(**given)
    return answer


def _module(step: StepSpec) -> Module:
    module = STRATEGIES[step.strategy](signature_of(step), step.options)
    if step.model is not None:
        module.set_lm(shared_lm(step.model))
    if step.adapter is not None:
        adapter = _layout(step, step.adapter)
        for predictor in module.predictors():
            predictor.adapter = adapter
    return module


def _layout(step: StepSpec, name: str) -> Adapter:
    options: dict[str, Any] = {}
    if step.use_native_function_calling is not None:
        options["use_native_function_calling"] = step.use_native_function_calling
    if step.extraction_model is not None:
        options["extraction_model"] = shared_lm(step.extraction_model)
    return adapter_by_name(name)(**options)


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
