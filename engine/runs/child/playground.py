"""Answers outside any run: one input answered by a few prompts side by side, and a few rows answered before a run.

Tasks of `engine.runs.child.process`: a request carries the task, the prompts and the rows, and no store is known here.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import orjson
from pydantic import BaseModel, ConfigDict, Field

from engine.basics.data import JsonObject
from engine.errors import EngineError, RunError
from engine.export.weights import with_step_models
from engine.pipeline.spec import AdapterName, PipelineSpec
from engine.records import Candidate, Example, Outcome, TraceStep, json_value
from engine.runs.spec import (
    Frozen,
    ModelChoice,
    Named,
    check_key,
    check_model_keys,
    judge_of,
    make_adapter,
    make_metric,
)

if TYPE_CHECKING:
    from engine.evaluate.streaming import StreamResponse
    from engine.lm.base import BaseLM, Reply, Request
    from engine.lm.exchange import Send
    from engine.metrics.base import Metric, Scorer


class ModelRequest(Frozen):
    """Base of what a page asks a model: the task, and the model and the adapter that do it."""

    pipeline: PipelineSpec
    model: ModelChoice = ModelChoice()
    adapter: AdapterName = "chat"


class PlaygroundRequest(ModelRequest):
    """An input and the prompts that answer it."""

    candidates: dict[str, JsonObject] = Field(min_length=1)
    """Prompts as `Candidate.as_dict` writes them, by any name."""
    models: tuple[ModelChoice, ...] = ()
    """Models that steps of the prompts may name, besides those of the task."""
    inputs: JsonObject
    expected: JsonObject = Field(default_factory=dict)
    """Output field -> right value; with a metric the answers are scored."""
    metric: Named | None = None
    own_inputs: dict[str, JsonObject] = Field(default_factory=dict)
    """Inputs that only one prompt is given, by its name: the conversation that it has had."""
    stream: bool = False

    def task_of(self, name: str) -> tuple[PipelineSpec, Candidate]:
        """Return the task and a prompt; the models that its steps name are the steps' own, with address and settings."""
        candidate = Candidate.from_dict(self.candidates[name])
        return with_step_models(self.pipeline, candidate, {model.name: model for model in self.models})


class Piece(BaseModel):
    """A piece of an answer as it is written: which prompt, which step, which output field."""

    model_config = ConfigDict(frozen=True)

    name: str
    step: str
    field: str
    text: str


class ModelCall(BaseModel):
    """One call to the model: the messages sent, the text that came back (or the error), what it took."""

    model_config = ConfigDict(frozen=True)

    messages: tuple[JsonObject, ...]
    answer: str = ""
    error: str = ""
    cached: bool = False
    input_tokens: int = 0
    output_tokens: int = 0
    cost: float | None = None


class PlaygroundAnswer(BaseModel):
    """One prompt's answer to the input. `score` is None where no right answer was given; `seconds` is wall time."""

    model_config = ConfigDict(frozen=True)

    name: str
    answer: JsonObject = Field(default_factory=dict)
    steps: tuple[TraceStep, ...] = ()
    error: str = ""
    score: float | None = None
    feedback: str = ""
    seconds: float = 0.0
    calls: tuple[ModelCall, ...] = ()

    @property
    def tokens(self) -> int:
        """Tokens in and out of all calls."""
        return sum(c.input_tokens + c.output_tokens for c in self.calls)

    @property
    def cost(self) -> float | None:
        """US dollars of all calls that were paid for; None where a price is not known."""
        paid = [c.cost for c in self.calls if not c.cached]
        return None if any(c is None for c in paid) else sum(c or 0.0 for c in paid)

    @property
    def cached(self) -> bool:
        """True if every call was answered from the cache."""
        return bool(self.calls) and all(c.cached for c in self.calls)


Put = Callable[[Piece], None]


async def answer_input(request: PlaygroundRequest, put: Put | None = None) -> tuple[PlaygroundAnswer, ...]:
    """Answer the input with every prompt, all at once; `put` takes each piece as it is written.

    Raises an EngineError for a task that cannot be built, a value that does not fit its field, or a missing key.
    A failing call is no error here: its answer holds the message.
    """
    from engine.lm.choice import is_offline
    from engine.lm.client import make_lm

    for name in request.candidates:
        check_model_keys(request.task_of(name)[0], request.model)
    examples = {
        name: example_of(
            request.pipeline, {**request.inputs, **request.own_inputs.get(name, {})}, request.expected
        )
        for name in request.candidates
    }
    lm = make_lm(request.model)
    if is_offline(request.model):
        # Free and quick; else the first prompt's time would be that of loading the stand-in's words.
        name = next(iter(request.candidates))
        await _prompt_answer(request, name, examples[name], lm)
    answers = [_prompt_answer(request, name, example, lm, put) for name, example in examples.items()]
    return tuple(await asyncio.gather(*answers))


async def _prompt_answer(
    request: PlaygroundRequest, name: str, example: Example, lm: BaseLM, put: Put | None = None
) -> PlaygroundAnswer:
    from engine.evaluate.rows import run_rows
    from engine.evaluate.streaming import every_field
    from engine.metrics.base import any_answer
    from engine.pipeline.build import build_program
    from engine.runtime import context, current

    calls: list[ModelCall] = []

    async def noted(model: BaseLM, wanted: Request, send: Send) -> Reply:
        messages = tuple(dict(m) for m in wanted.messages)
        try:
            reply = await send(model, wanted)
        except EngineError as error:
            calls.append(ModelCall(messages=messages, error=str(error)))
            raise
        usage = reply.usage
        calls.append(
            ModelCall(
                messages=messages,
                answer="\n\n".join(choice.text for choice in reply.choices),
                cached=reply.cached,
                input_tokens=usage.input_tokens,
                output_tokens=usage.output_tokens,
                cost=usage.cost,
            )
        )
        return reply

    def write(piece: StreamResponse) -> None:
        if put is not None and piece.chunk:
            put(Piece(name=name, step=piece.predict_name, field=piece.signature_field_name, text=piece.chunk))

    pipeline, candidate = request.task_of(name)
    program = build_program(pipeline).with_candidate(candidate)
    metric: Scorer = any_answer
    if scored := request.metric is not None and bool(request.expected):
        metric = make_metric(request.metric, request.model)
    stream = None if put is None else every_field(program, write)
    layers = (noted, *current().middleware)
    with context(lm=lm, adapter=make_adapter(request.adapter), middleware=layers, stream=stream):
        (outcome,) = await run_rows(program, [(0, example)], metric, limit=1, trace=True)
    return PlaygroundAnswer(
        name=name,
        answer=dict(outcome.prediction),
        steps=outcome.trace,
        error=outcome.error or "",
        score=outcome.score if scored and outcome.error is None else None,
        feedback=outcome.feedback if scored else "",
        seconds=outcome.seconds,
        calls=tuple(calls),
    )


def example_of(
    pipeline: PipelineSpec, given_inputs: Mapping[str, object], expected: Mapping[str, object]
) -> Example:
    """Return an input and what is expected, typed by the task's fields. Raises RunError for what does not fit."""
    from engine.runs.prepare import field_types
    from engine.signature.types.textual import History

    inputs, outputs = field_types(pipeline)
    values: dict[str, object] = {}
    for name, annotation in inputs.items():
        given = given_inputs.get(name)
        if annotation is History and not given:
            given = []
        if given is None or given == "":
            raise RunError(f"Give a value for {name!r}: the prompt needs it.")
        values[name] = _typed(name, given, annotation)
    for name, annotation in outputs.items():
        if expected.get(name) not in (None, ""):
            values[name] = _typed(name, expected[name], annotation)
    return Example(values).with_inputs(*inputs)


def _typed(name: str, given: object, annotation: object) -> object:
    from engine.adapters.values import parse_value

    if annotation is str:
        return given if isinstance(given, str) else str(json_value(given))
    try:
        return parse_value(given if isinstance(given, str) else orjson.dumps(given).decode(), annotation)
    except (ValueError, TypeError, EngineError) as error:
        raise RunError(f"The value of {name!r} does not fit: {str(error).rstrip('.')}.") from error


MOST_ROWS = 50
AT_ONCE = 8


class PreviewRequest(ModelRequest):
    """The rows to answer and how to score them. `rows` is row id -> field -> value, right answers included.

    The task is answered as it is, or with a `candidate`; without a metric answers are not scored. Rows in `answers` (row id
    -> output -> value) are not answered, only scored: that asks no model but a judge.
    """

    rows: dict[int, JsonObject] = Field(min_length=1, max_length=MOST_ROWS)
    metric: Named | None = None
    candidate: JsonObject | None = None
    answers: dict[int, JsonObject] = Field(default_factory=dict)


async def answer_rows(request: PreviewRequest) -> tuple[Outcome, ...]:
    """Answer and score the rows.

    Raises an EngineError for a task or a metric that cannot be made, a value that does not fit its field, or a
    missing key. A failing row is no error here: its outcome holds the message.
    """
    from engine.evaluate.rows import run_rows
    from engine.lm.client import make_lm
    from engine.metrics.base import any_answer
    from engine.pipeline.build import build_program
    from engine.runtime import context

    metric: Any = make_metric(request.metric, request.model) if request.metric else any_answer
    inputs = [f.name for f in request.pipeline.inputs]
    rows = {
        row: example_of(request.pipeline, {n: values.get(n) for n in inputs}, values)
        for row, values in request.rows.items()
    }
    asked = [(row, example) for row, example in rows.items() if row not in request.answers]
    if asked:
        check_model_keys(request.pipeline, request.model)
    if request.metric and (judge := judge_of(metric, request.model)):
        check_key(judge)
    program = build_program(request.pipeline)
    if request.candidate is not None:
        program = program.with_candidate(Candidate.from_dict(request.candidate))
    with context(lm=make_lm(request.model), adapter=make_adapter(request.adapter)):
        outcomes = await run_rows(program, asked, metric, limit=AT_ONCE)
        graded = await _graded(request, rows, metric)
    by_row = {o.row: o for o in (*outcomes, *graded)}
    return tuple(by_row[row] for row in rows)


async def _graded(
    request: PreviewRequest, rows: Mapping[int, Example], metric: Metric
) -> tuple[Outcome, ...]:
    """Return the outcomes of the rows whose answers are given."""
    from engine import loop
    from engine.evaluate.rows import error_text
    from engine.metrics.base import as_grade
    from engine.signature.prediction import Prediction

    outputs = [f.name for f in request.pipeline.outputs]

    async def graded(row: int) -> Outcome:
        answer = request.answers[row]
        try:
            typed = example_of(request.pipeline, request.rows[row], answer)
            prediction = Prediction.of({**answer, **{n: typed[n] for n in outputs if n in typed}})
            grade = as_grade(await metric.acall(rows[row], prediction))
        except Exception as error:  # noqa: BLE001 - a row that cannot be graded is that row's record
            return Outcome(row, 0.0, answer, error=error_text(error))
        return Outcome(row, grade.score, answer, grade.feedback)

    return tuple(await loop.all_of((graded(row) for row in request.answers if row in rows), AT_ONCE))


def error_line(error: str) -> int | None:
    """Return the line of the user's code that an error names last; None where it names none."""
    numbers = re.findall(r"\bline (\d+)", error)
    return int(numbers[-1]) if numbers else None
