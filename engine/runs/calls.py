"""What one prompt sent and got for one row, step by step, written anew from what was stored."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from engine.pipeline.spec import PipelineSpec
from engine.records import Candidate, Outcome, TraceStep, json_value


class StepCall(NamedTuple):
    """One call of a step: its path, the messages as the adapter writes them (none: it asks no model), what came out."""

    path: str
    messages: tuple[Mapping[str, Any], ...]
    outputs: Mapping[str, Any]


def step_calls(
    pipeline: PipelineSpec,
    candidate: Candidate,
    values: Mapping[str, Any],
    outcome: Outcome,
    *,
    adapter: str = "chat",
) -> list[StepCall]:
    """Return every call that a row made, in order.

    From the stored trace where there is one. Else from the row's `values` and the answer, which holds what every step
    wrote: then steps that call several times (tools, tries) show the calls whose inputs are known. Raises EngineError.
    """
    from engine.pipeline.build import build_program
    from engine.registry import get_adapter

    steps = dict(build_program(pipeline).with_candidate(candidate).named_predictors())
    writer = get_adapter(adapter)()
    found = []
    for call in trace_of(steps, values, outcome):
        step = steps.get(call.path)
        if step is None:  # a search or a tool: no message was sent
            found.append(StepCall(call.path, (), call.outputs))
            continue
        own = step.adapter or writer
        messages = own.format(step.prompted(), step.demos_for(dict(call.inputs)), dict(call.inputs))
        found.append(StepCall(call.path, tuple(messages), call.outputs))
    return found


def trace_of(steps: Mapping[str, Any], values: Mapping[str, Any], outcome: Outcome) -> tuple[TraceStep, ...]:
    """Return a row's stored trace; without one, the calls of `steps` whose inputs are among the row's `values` and its answer."""
    if outcome.trace:
        return tuple(outcome.trace)
    known = {**values, **outcome.prediction}
    found = []
    for path, step in steps.items():
        names = list(step.signature.input_fields)
        if all(name in known for name in names):
            outputs = {n: known[n] for n in step.signature.output_fields if n in outcome.prediction}
            found.append(TraceStep(path, {n: known[n] for n in names}, json_value(outputs)))
    return tuple(found)
