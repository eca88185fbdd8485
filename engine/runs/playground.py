"""One input answered by a few prompts, side by side, outside any run.

A task of `engine.runs.child`: the request carries the task, the prompts and the input, and no store is known here.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import orjson
from pydantic import BaseModel, ConfigDict, Field

from engine.errors import EngineError, RunError
from engine.pipeline.spec import AdapterName, PipelineSpec
from engine.records import Candidate, Example, Outcome, TraceStep, json_value
from engine.runs.spec import ModelChoice, Named

if TYPE_CHECKING:
    from engine.lm.base import BaseLM, Reply, Request
    from engine.runtime import Send
    from engine.streaming import StreamResponse


class PlaygroundRequest(BaseModel):
    """An input and the prompts that answer it. `candidates` holds prompts as `Candidate.as_dict` writes them, by any name.

    With `expected` (output field -> value) and a metric the answers are scored too. `own_inputs` holds what only
    one prompt is given, by its name: the conversation it has had, which is its own.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    pipeline: PipelineSpec
    candidates: dict[str, dict[str, Any]] = Field(min_length=1)
    inputs: dict[str, Any]
    expected: dict[str, Any] = Field(default_factory=dict)
    metric: Named | None = None
    model: ModelChoice = ModelChoice()
    adapter: AdapterName = "chat"
    own_inputs: dict[str, dict[str, Any]] = Field(default_factory=dict)
    stream: bool = False


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

    messages: tuple[dict[str, Any], ...]
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
    answer: dict[str, Any] = Field(default_factory=dict)
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
        """Whether every call was answered from the cache."""
        return bool(self.calls) and all(c.cached for c in self.calls)


Put = Callable[[Piece], None]


async def answer_input(request: PlaygroundRequest, put: Put | None = None) -> tuple[PlaygroundAnswer, ...]:
    """Answer the input with every prompt, all at once; `put` takes each piece as it is written.

    Raises an EngineError for a task that cannot be built, a value that does not fit its field, or a missing key.
    A failing call is no error here: its answer holds the message.
    """
    from engine.lm.choice import is_offline
    from engine.lm.client import make_lm
    from engine.runs.parts import check_model_keys, make_adapter

    check_model_keys(request.pipeline, request.model)
    examples = {
        name: example_of(
            request.pipeline, {**request.inputs, **request.own_inputs.get(name, {})}, request.expected
        )
        for name in request.candidates
    }
    lm, adapter = make_lm(request.model), make_adapter(request.adapter)
    if is_offline(request.model):
        # Free and quick; else the first prompt's time would be that of loading the stand-in's words.
        name, first = next(iter(request.candidates.items()))
        await _answered(request, name, first, examples[name], (lm, adapter))
    answers = [
        _answered(request, name, candidate, examples[name], (lm, adapter), put)
        for name, candidate in request.candidates.items()
    ]
    return tuple(await asyncio.gather(*answers))


async def _answered(
    request: PlaygroundRequest,
    name: str,
    candidate: Mapping[str, object],
    example: Example,
    asked: tuple[BaseLM, object],
    put: Put | None = None,
) -> PlaygroundAnswer:
    from engine.evaluate.rows import run_rows
    from engine.pipeline.build import build_program
    from engine.runs.parts import make_metric
    from engine.runtime import context
    from engine.streaming import every_field

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

    program = build_program(request.pipeline).with_candidate(Candidate.from_dict(candidate))
    scored = request.metric is not None and bool(request.expected)
    metric: Any = (
        make_metric(request.metric, request.model) if request.metric is not None and scored else _unscored
    )
    stream = None if put is None else every_field(program, _piece_writer(name, put))
    with context(lm=asked[0], adapter=asked[1], middleware=(noted,), stream=stream):
        (outcome,) = await run_rows(program, [(0, example)], metric, limit=1, trace=True)
    return _answer(name, outcome, calls, scored=scored)


def _piece_writer(name: str, put: Put) -> Callable[[StreamResponse], None]:
    def write(piece: StreamResponse) -> None:
        if piece.chunk:
            put(Piece(name=name, step=piece.predict_name, field=piece.signature_field_name, text=piece.chunk))

    return write


def _answer(name: str, outcome: Outcome, calls: list[ModelCall], *, scored: bool) -> PlaygroundAnswer:
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


def _unscored(_example: object, _prediction: object, _trace: object = None) -> float:
    return 1.0


def example_of(
    pipeline: PipelineSpec, given_inputs: Mapping[str, object], expected: Mapping[str, object]
) -> Example:
    """Return an input and what is expected, typed by the task's fields. Raises RunError for what does not fit."""
    from engine.adapters.values import parse_value
    from engine.runs.prepare import field_types
    from engine.types.textual import History

    inputs, outputs = field_types(pipeline)
    values: dict[str, object] = {}
    for name, annotation in inputs.items():
        given = given_inputs.get(name)
        if annotation is History and not given:
            given = []
        if given is None or given == "":
            raise RunError(f"Give a value for {name!r}: the prompt needs it.")
        values[name] = _typed(name, given, annotation, parse_value)
    for name, annotation in outputs.items():
        if expected.get(name) not in (None, ""):
            values[name] = _typed(name, expected[name], annotation, parse_value)
    return Example(values).with_inputs(*inputs)


def _typed(name: str, given: Any, annotation: Any, parse: Any) -> Any:
    if annotation is str:
        return given if isinstance(given, str) else str(json_value(given))
    try:
        return parse(given if isinstance(given, str) else orjson.dumps(given).decode(), annotation)
    except (ValueError, TypeError, EngineError) as error:
        raise RunError(f"The value of {name!r} does not fit: {str(error).rstrip('.')}.") from error
