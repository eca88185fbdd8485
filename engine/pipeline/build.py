"""A pipeline's spec -> a program: steps in order, wired by field name.

It knows signatures and modules, and nothing of data, models or optimizers.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence

from engine.adapters import get_adapter
from engine.basics.data import JsonObject, Values
from engine.errors import PipelineError
from engine.lm.client import shared_lm
from engine.modules.call_range import CallRange
from engine.modules.module import Module
from engine.modules.predict import Answerer
from engine.pipeline.check import spec_problems
from engine.pipeline.signatures import signature_of
from engine.pipeline.spec import Condition, FieldSpec, PipelineSpec, StepSpec, exclude_each_other, holds
from engine.pipeline.strategies import STRATEGIES
from engine.records import Candidate, StepState
from engine.runtime import context, current
from engine.signature.prediction import Prediction

AT_ONCE = 8
"""Items of a list that are worked on at the same time."""

USUAL_ITEMS = 3
"""Estimated length of a list not seen yet, and of an agent's work."""


class Pipeline(Answerer):
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

    async def aforward(self, **inputs: object) -> Prediction:
        """Run the steps in order; arguments are the pipeline's inputs by name."""
        steps = self.spec.steps
        if len(steps) == 1 and steps[0].when is None and steps[0].each is None:
            _check_inputs(self.spec, steps[0], inputs)
            answer: Prediction = await getattr(self, steps[0].name).acall(**inputs)
            return answer
        return Prediction.of(await run_steps(self.spec, inputs, self._ask))

    async def _ask(self, step: StepSpec, calls: list[dict[str, object]]) -> list[Prediction]:
        """Run a step on every call's inputs."""
        module: Module = getattr(self, step.name)
        if step.each is not None:
            return await _in_turn(module, calls)
        return [await module.acall(**given) for given in calls]

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


Ask = Callable[[StepSpec, list[JsonObject]], Awaitable[Sequence[Values]]]
"""Runs a step on the inputs of each of its calls: one, or one for each item of a list."""


async def run_steps(pipeline: PipelineSpec, inputs: Mapping[str, object], ask: Ask) -> JsonObject:
    """Return what the steps of a pipeline make of some inputs, the last step's fields last. Raises PipelineError."""
    values = dict(inputs)
    made: dict[str, object] = {}
    for step in pipeline.steps:
        if step.when is not None and not holds(step.when, values):
            for f in step.makes:
                made.setdefault(f.name, None)
                values.setdefault(f.name, None)
            continue
        given = {f.name: values[f.name] for f in step.inputs if f.name in values}
        _check_inputs(pipeline, step, given)
        if step.each is None:
            answer = (await ask(step, [given]))[0]
        else:
            answers = await ask(
                step, [{**given, step.each.item: item} for item in _items(step.name, values, step.each.field)]
            )
            names = dict.fromkeys(name for one in answers for name in one) or [f.name for f in step.answers]
            answer = {name: [one.get(name) for one in answers] for name in names}
        for field, value in answer.items():
            made.pop(field, None)
            made[field] = values[field] = value
    return made


def _check_inputs(pipeline: PipelineSpec, step: StepSpec, given: Mapping[str, object]) -> None:
    for f in step.inputs:
        item = step.each is not None and f.name == step.each.item
        if f.name not in given and not item and not f.parsed_type.optional:
            needed = ", ".join(one.name for one in pipeline.inputs)
            raise PipelineError(
                f"The step {step.name!r} has no input {f.name!r}. The pipeline needs: {needed}."
            )


def _items(step: str, values: Mapping[str, object], field: str) -> Iterable[object]:
    """Return the items of the list that a step runs for. Raises PipelineError where it is no list."""
    items = values.get(field)
    if items is None:
        return ()
    if isinstance(items, str | bytes | Mapping) or not isinstance(items, Iterable):
        raise PipelineError(
            f"The step {step!r} runs for each item of {field!r}, which is no list: {items!r:.80}."
        )
    return items


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


async def _in_turn(module: Module, calls: list[dict[str, object]]) -> list[Prediction]:
    """Run a module on every call's inputs, some at a time; answers and traces come in the order of the calls."""
    outer = current()
    traces: list[list[object]] = [[] for _ in calls]
    slots = asyncio.Semaphore(AT_ONCE)

    async def one(i: int, given: dict[str, object]) -> Prediction:
        async with slots:
            with context(trace=None if outer.trace is None else traces[i]):
                answer: Prediction = await module.acall(**given)
                return answer

    done = await asyncio.gather(*(one(i, given) for i, given in enumerate(calls)), return_exceptions=True)
    answers = []
    for trace, answer in zip(traces, done, strict=True):
        if outer.trace is not None:
            outer.trace.extend(trace)
        if isinstance(answer, BaseException):
            raise answer  # the first by place, whichever failed first
        answers.append(answer)
    return answers


def _module(step: StepSpec) -> Module:
    module = STRATEGIES[step.strategy](signature_of(step), step.options)
    if step.model is not None:
        module.set_lm(shared_lm(step.model))
    if step.adapter is not None:
        options: JsonObject = {}
        if step.use_native_function_calling is not None:
            options["use_native_function_calling"] = step.use_native_function_calling
        if step.extraction_model is not None:
            options["extraction_model"] = shared_lm(step.extraction_model)
        adapter = get_adapter(step.adapter)(**options)
        for predictor in module.predictors():
            predictor.adapter = adapter
    return module


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


def with_wording(spec: PipelineSpec, candidate: Candidate) -> PipelineSpec:
    """Return a pipeline whose steps have a candidate's instructions and field descriptions; its solved examples stay behind.

    Of a step with several prompts, such as an agent, the one that begins as the step's own instructions counts.

    >>> from engine.pipeline.spec import FieldSpec, StepSpec
    >>> step = StepSpec(name="route", inputs=(FieldSpec(name="message"),), outputs=(FieldSpec(name="queue"),))
    >>> spec = PipelineSpec(steps=(step,))
    >>> tuned = build_program(spec).candidate().with_step("route", instructions="Choose the queue.")
    >>> with_wording(spec, tuned).steps[0].instructions
    'Choose the queue.'
    """
    start = build_program(spec).candidate().steps

    def described(field: FieldSpec, state: StepState) -> FieldSpec:
        text = state.field_descriptions.get(field.name, field.description)
        return field.model_copy(update={"description": text})

    def worded(step: StepSpec) -> StepSpec:
        written = signature_of(step).instructions
        for path, state in candidate.steps.items():
            if path.partition(".")[0] == step.name and path in start and start[path].instructions == written:
                fields = {
                    side: tuple(described(f, state) for f in getattr(step, side))
                    for side in ("inputs", "outputs")
                }
                instructions = step.instructions if state.instructions == written else state.instructions
                return step.model_copy(update={"instructions": instructions, **fields})
        return step

    return spec.model_copy(update={"steps": tuple(map(worded, spec.steps))})
