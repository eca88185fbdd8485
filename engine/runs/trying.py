"""One input answered by a few prompts, side by side: for a look at what they do, outside any run.

It runs in a short-lived process of its own, so that whoever asks never loads a model client and a call that hangs
can be ended. The request comes as JSON on standard input, the attempts go out as JSON on the last line:

    python -m engine.runs.trying < request.json > attempts.json

With `stream` in the request, every line before it is a `Piece` of an answer, as the model writes it.

It knows no store: the request carries the task, the prompts and the input. Keys are in the environment only.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import orjson
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from engine.errors import EngineError, RunError
from engine.pipeline.spec import AdapterName, PipelineSpec
from engine.records import Candidate, Example, Outcome, json_value
from engine.runs.spec import ModelChoice, Named

if TYPE_CHECKING:
    from engine.lm.base import BaseLM, Reply, Request
    from engine.runtime import Send
    from engine.streaming import StreamResponse


class TryRequest(BaseModel):
    """What to try. `candidates` holds prompts as `Candidate.as_dict` writes them, by a name of the asker's.

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


class TriedCall(BaseModel):
    """One call to the model: the messages sent, the text that came back (or the error), what it took."""

    model_config = ConfigDict(frozen=True)

    messages: tuple[dict[str, Any], ...]
    answer: str = ""
    error: str = ""
    cached: bool = False
    input_tokens: int = 0
    output_tokens: int = 0
    cost: float | None = None


class TriedStep(BaseModel):
    """One call of a step of the pipeline: its path, what went in and what came out."""

    model_config = ConfigDict(frozen=True)

    path: str
    outputs: dict[str, Any]
    inputs: dict[str, Any] = Field(default_factory=dict)


class Attempt(BaseModel):
    """What one prompt made of the input. `score` is None where no right answer was given; `seconds` is wall time."""

    model_config = ConfigDict(frozen=True)

    name: str
    answer: dict[str, Any] = Field(default_factory=dict)
    steps: tuple[TriedStep, ...] = ()
    error: str = ""
    score: float | None = None
    feedback: str = ""
    seconds: float = 0.0
    calls: tuple[TriedCall, ...] = ()

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


class Attempts(BaseModel):
    """What came out: an attempt for each prompt, in the order asked; or a sentence why nothing could be tried."""

    attempts: tuple[Attempt, ...] = ()
    problem: str = ""


Put = Callable[[Piece], None]


async def try_out(request: TryRequest, put: Put | None = None) -> tuple[Attempt, ...]:
    """Answer the input with every prompt, all at once; `put` hears of each piece as it is written.

    Raises an EngineError for a task that cannot be built, a value that does not fit its field, or a missing key.
    A failing call is no error here: it is told in its attempt.
    """
    from engine.lm.choice import make_lm
    from engine.runs.parts import check_model_keys, is_offline, make_adapter

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
        await _attempt(request, name, first, examples[name], (lm, adapter))
    tried = [
        _attempt(request, name, candidate, examples[name], (lm, adapter), put)
        for name, candidate in request.candidates.items()
    ]
    return tuple(await asyncio.gather(*tried))


async def _attempt(
    request: TryRequest,
    name: str,
    candidate: Mapping[str, Any],
    example: Example,
    asked: tuple[BaseLM, Any],
    put: Put | None = None,
) -> Attempt:
    from engine.evaluate.rows import run_rows
    from engine.pipeline.build import build_program
    from engine.runs.parts import make_metric
    from engine.runtime import context
    from engine.streaming import every_field

    calls: list[TriedCall] = []

    async def noted(model: BaseLM, wanted: Request, send: Send) -> Reply:
        messages = tuple(dict(m) for m in wanted.messages)
        try:
            reply = await send(model, wanted)
        except EngineError as error:
            calls.append(TriedCall(messages=messages, error=str(error)))
            raise
        usage = reply.usage
        calls.append(
            TriedCall(
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
    metric: Any = make_metric(request.metric) if request.metric is not None and scored else _unscored
    stream = None if put is None else every_field(program, _telling(name, put))
    with context(lm=asked[0], adapter=asked[1], middleware=(noted,), stream=stream):
        (outcome,) = await run_rows(program, [(0, example)], metric, limit=1, trace=True)
    return _told(name, outcome, calls, scored=scored)


def _telling(name: str, put: Put) -> Callable[[StreamResponse], None]:
    def tell(piece: StreamResponse) -> None:
        if piece.chunk:
            put(Piece(name=name, step=piece.predict_name, field=piece.signature_field_name, text=piece.chunk))

    return tell


def _told(name: str, outcome: Outcome, calls: list[TriedCall], *, scored: bool) -> Attempt:
    return Attempt(
        name=name,
        answer=dict(outcome.prediction),
        steps=tuple(
            TriedStep(path=t.path, outputs=dict(t.outputs), inputs=dict(t.inputs)) for t in outcome.trace
        ),
        error=outcome.error or "",
        score=outcome.score if scored and outcome.error is None else None,
        feedback=outcome.feedback if scored else "",
        seconds=outcome.seconds,
        calls=tuple(calls),
    )


def _unscored(_example: Any, _prediction: Any, _trace: Any = None) -> float:
    return 1.0


def example_of(
    pipeline: PipelineSpec, given_inputs: Mapping[str, Any], expected: Mapping[str, Any]
) -> Example:
    """Return an input and what is expected, typed by the task's fields. Raises RunError for what does not fit."""
    from engine.adapters.values import parse_value
    from engine.runs.prepare import field_types
    from engine.types.textual import History

    inputs, outputs = field_types(pipeline)
    values: dict[str, Any] = {}
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


def answer_request(text: bytes, put: Put | None = None) -> Attempts:
    """Return what came of a request's JSON text; what goes wrong is a sentence in it. `put` is for one that streams."""
    from engine import loop

    try:
        request = TryRequest.model_validate_json(text)
        return Attempts(attempts=loop.run(try_out(request, put if request.stream else None)))
    except ValidationError as error:
        where = ".".join(str(part) for part in error.errors()[0]["loc"])
        return Attempts(problem=f"The request cannot be read at {where!r}: {error.errors()[0]['msg']}.")
    except EngineError as error:
        return Attempts(problem=str(error))


def main() -> None:
    """Answer the request on standard input."""

    def put(piece: Piece) -> None:
        sys.stdout.write(f"{piece.model_dump_json()}\n")
        sys.stdout.flush()

    sys.stdout.write(answer_request(sys.stdin.buffer.read(), put).model_dump_json())


if __name__ == "__main__":
    main()
