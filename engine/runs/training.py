"""A finished run -> a file to train a model's weights with: what the best prompt asked, and what it answered rightly.

One line a call, as OpenAI's fine-tuning takes it: {"messages": [system, user, ..., assistant]}. The row's solved examples
are left out: a trained model needs none. Test rows are never in it, so that what is trained can be tested on them.
The idea is that of DSPy's BootstrapFinetune (arXiv 2407.10930): learn from the program's own runs that went right.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import orjson

from engine.errors import RunError
from engine.pipeline.spec import PipelineSpec
from engine.records import Candidate, Outcome, TraceStep, json_value
from engine.runs.prepare import row_values, stored_dataset, with_result
from engine.runs.spec import RunSpec
from engine.store.rows import RunRow
from engine.store.store import Store


class StepCall(NamedTuple):
    """One call of a step: its path, the messages as the adapter writes them (none: it asks no model), what came out."""

    path: str
    messages: tuple[Mapping[str, Any], ...]
    outputs: Mapping[str, Any]


def step_calls(
    pipeline: PipelineSpec,
    candidate: Candidate,
    values: Mapping[str, object],
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


RIGHT = 0.999
"""The score from which an answer counts as right."""


def right_rows(store: Store, run: RunRow) -> dict[int, int]:
    """Return the rows that the best prompt got right outside the final test -> the trial in which it did."""
    best = (run.result or {}).get("best_candidate")
    splits = dict.fromkeys(t.split for t in store.trials.all(run.id) if t.split != "test")
    mine = {t.number for t in store.trials.all(run.id) if t.candidate_id == best}
    tested = {row for rows in store.trials.row_scores(run.id, "test").values() for row in rows}
    found: dict[int, int] = {}
    for split in splits:
        for trial, scores in store.trials.row_scores(run.id, split).items():
            if trial in mine:
                right = (row for row, score in scores.items() if score >= RIGHT and row not in tested)
                found |= dict.fromkeys(right, trial)
    return found


def training_file(store: Store, run_id: str) -> bytes:
    """Return the calls that the best prompt answered rightly as JSON Lines.

    Raises NotFoundError, or RunError when there is no result yet or nothing was answered rightly.
    """
    run = with_result(store, run_id)
    spec = RunSpec.model_validate(run.spec)
    candidate = store.trials.candidate(run_id, (run.result or {})["best_candidate"])
    rows = right_rows(store, run)
    outcomes = {
        o.row: o
        for trial in dict.fromkeys(rows.values())
        for o in store.trials.outcomes(run_id, trial)
        if rows.get(o.row) == trial
    }
    _, values = row_values(spec, lambda: stored_dataset(store, spec), outcomes)
    lines = [
        orjson.dumps({"messages": messages})
        for messages in _calls(spec, candidate, values, [outcomes[row] for row in sorted(outcomes)])
    ]
    if not lines:
        raise RunError(
            f"The best prompt of {run.title!r} got no row right outside the final test, so there is nothing to train with."
        )
    return b"\n".join(lines) + b"\n"


def _calls(
    spec: RunSpec,
    candidate: Candidate,
    values: Mapping[int, Mapping[str, object]],
    outcomes: Sequence[Outcome],
) -> Iterator[list[dict[str, Any]]]:
    from engine.pipeline.build import build_program
    from engine.registry import get_adapter

    steps = dict(build_program(spec.pipeline).with_candidate(candidate).named_predictors())
    writer = get_adapter(spec.adapter)()
    for outcome in outcomes:
        for call in trace_of(steps, values.get(outcome.row, {}), outcome):
            step = steps.get(call.path)
            if step is None or outcome.error is not None:
                continue
            signature = step.prompted()
            if not all(name in call.outputs for name in signature.output_fields):
                continue
            adapter = step.adapter or writer
            for messages, answer, _ in adapter.calls(signature, (), dict(call.inputs), dict(call.outputs)):
                yield [*messages, {"role": "assistant", "content": answer}]
