"""A program's answer as it is written: `streamify` makes a function whose answer comes in pieces, as an iterator.

It knows programs and nothing of the web; `engine.serve` sends what it yields. `fields` finds a field's text in a
reply that is not complete yet.
"""

from __future__ import annotations

import asyncio
import queue
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Iterator, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import orjson

from engine import loop
from engine.basics.data import JsonObject
from engine.errors import ConfigurationError
from engine.evaluate.streaming.fields import FieldReader, reader_for
from engine.lm.streaming import Chunk, listener
from engine.modules.function_program import as_program
from engine.modules.react import FINISH, FINISHED
from engine.records import json_value
from engine.runtime import context, current
from engine.signature.grammar import without_none
from engine.signature.prediction import Prediction
from engine.signature.types.textual import Reasoning

if TYPE_CHECKING:
    from engine.modules.module import Module
    from engine.modules.step import Step


@dataclass(frozen=True, slots=True)
class StreamResponse:
    """A piece of one output field. The last one of a field says so, and may be empty.

    >>> piece = StreamResponse("self", "answer", "Because", False)
    >>> piece.signature_field_name, piece.chunk
    ('answer', 'Because')
    """

    predict_name: str
    signature_field_name: str
    chunk: str
    is_last_chunk: bool = False


@dataclass(frozen=True, slots=True)
class StatusMessage:
    """A message about the program's progress.

    >>> StatusMessage("Calling the tool search ...").message
    'Calling the tool search ...'
    """

    message: str


class StatusMessageProvider:
    """Status messages while a program runs; a method that returns None or "" gives none.

    By default tools and new tries are reported. Override the methods for more.

    >>> StatusMessageProvider().tool_end_status_message("42")
    'The tool is done.'
    """

    def tool_start_status_message(self, instance: Any, inputs: Mapping[str, object]) -> str | None:  # noqa: ARG002 - for subclasses
        """A tool is called; `finish`, by which an agent ends, is not reported."""
        return None if instance.name == FINISH else f"Calling the tool {instance.name} ..."

    def tool_end_status_message(self, outputs: object) -> str | None:
        """A tool has returned."""
        return None if outputs is FINISHED else "The tool is done."

    def module_start_status_message(self, instance: object, inputs: Mapping[str, object]) -> str | None:  # noqa: ARG002 - for subclasses
        """A module is called."""
        return None

    def module_end_status_message(self, outputs: object) -> str | None:  # noqa: ARG002 - for subclasses
        """A module has answered."""
        return None

    def lm_start_status_message(self, instance: object, inputs: Mapping[str, object]) -> str | None:  # noqa: ARG002 - for subclasses
        """A model is asked."""
        return None

    def retry_status_message(self, reason: str) -> str | None:
        """An answer broke a condition (`Assert`, `Suggest`): its step is asked again, and its pieces start again."""
        return f"Trying again, because: {reason}"

    def lm_end_status_message(self, outputs: object) -> str | None:  # noqa: ARG002 - for subclasses
        """A model has answered."""
        return None


@dataclass(slots=True)
class StreamListener:
    """Asks for one output field as it is written.

    Where several steps have a field of that name, `predict` or `predict_name` (the step's path) says which. A step's
    first call is listened to; with `allow_reuse` every call.

    >>> from engine import ChainOfThought
    >>> StreamListener("reasoning").step_of(ChainOfThought("question -> answer"))[0]
    'predict'
    """

    signature_field_name: str
    predict: Step | None = None
    predict_name: str | None = None
    allow_reuse: bool = False

    def step_of(self, program: Module) -> tuple[str, Step]:
        """Return the step that is listened to, with its path. Raises ConfigurationError where it is not one step."""
        name = self.signature_field_name
        steps = [
            (path, step) for path, step in program.named_predictors() if name in step.signature.output_fields
        ]
        if self.predict is not None:
            steps = [(self.predict_name or path, step) for path, step in steps if step is self.predict]
        elif self.predict_name is not None:
            steps = [(path, step) for path, step in steps if path == self.predict_name]
        if len(steps) == 1:
            return steps[0]
        if steps:
            paths = ", ".join(path for path, _ in steps)
            raise ConfigurationError(
                f"Several steps write {name!r} ({paths}). Say which: StreamListener({name!r}, predict_name=...)."
            )
        raise ConfigurationError(f"No step of the program writes {name!r}, so it cannot be streamed.")


Put = Callable[[Any], None]

_END = object()
"""Marker put after the last piece."""


def streamify(
    program: Any,
    status_message_provider: StatusMessageProvider | None = None,
    stream_listeners: Sequence[StreamListener] | None = None,
    include_final_prediction_in_output_stream: bool = True,
    async_streaming: bool = True,
) -> Callable[..., Any]:
    """Return a function that runs the program and returns an iterator over what comes, as it comes.

    Without listeners that is every `Chunk` of every reply; with listeners a `StreamResponse` for each piece of the
    fields they ask for. Then `StatusMessage`s, and at the end the prediction. An answer from the cache, by a model
    that cannot stream, or to a question asked again because the first reply could not be read comes with the
    prediction only; of several tries (`BestOfN`, `Refine`) the chosen one's pieces come when it is chosen. Where an
    answer breaks a condition (`Assert`, `Suggest`) a `StatusMessage` says why, and the pieces of the new try
    follow. The iterator is async, or plain with `async_streaming=False`; closing it stops the program. The
    program's error is raised from the iterator. Raises ConfigurationError for a listener that fits no step.

    >>> from engine import LM, Predict, context
    >>> step = Predict("question -> answer")
    >>> stream = streamify(step, stream_listeners=[StreamListener("answer")], async_streaming=False)
    >>> with context(lm=LM("offline/learner", cache=False)):
    ...     items = list(stream(question="Is the sky blue?"))
    >>> "".join(i.chunk for i in items[:-1]) == items[-1].answer, items[-2].is_last_chunk
    (True, True)
    """
    program = as_program(program)
    wanted = [(one, *one.step_of(program)) for one in stream_listeners or ()]
    provider = status_message_provider or StatusMessageProvider()

    def start(args: tuple[object, ...], kwargs: Mapping[str, object], put: Put) -> Future[None]:
        gate = StreamGate(put, wanted if stream_listeners else None, provider)
        heard = (*current().callbacks, _Status(provider, put))

        async def work() -> None:
            try:
                with context(stream=gate, callbacks=heard, send_stream=SendStream(put)):
                    prediction = await program.acall(*args, **kwargs)
                if include_final_prediction_in_output_stream or not isinstance(prediction, Prediction):
                    put(prediction)
            finally:
                put(_END)

        return loop.submit(work())

    items = _items_in_async if async_streaming else _items
    return lambda *args, **kwargs: items(lambda put: start(args, kwargs, put))


def _items(start: Callable[[Put], Future[None]]) -> Iterator[object]:
    loop.refuse_on_loop()
    items: queue.SimpleQueue[object] = queue.SimpleQueue()
    running = start(items.put)
    try:
        while (item := items.get()) is not _END:
            yield item
        running.result()
    finally:
        running.cancel()


async def _items_in_async(start: Callable[[Put], Future[None]]) -> AsyncIterator[object]:
    here = asyncio.get_running_loop()
    items: asyncio.Queue[object] = asyncio.Queue()

    def put(item: object) -> None:
        if not here.is_closed():
            here.call_soon_threadsafe(items.put_nowait, item)

    running = start(put)
    try:
        while (item := await items.get()) is not _END:
            yield item
        await asyncio.wrap_future(running)
    finally:
        running.cancel()


def every_field(program: Any, put: Callable[[StreamResponse], None]) -> object:
    """Return what `engine.context(stream=...)` takes, so that `put` hears every piece of every step's outputs.

    `put` is called on the engine's loop and must not block. What comes from the cache, or from a model that cannot
    stream, is not heard.
    """
    wanted = [
        (StreamListener(name, step, path, allow_reuse=True), path, step)
        for path, step in program.named_predictors()
        for name in step.signature.output_fields
    ]
    return StreamGate(put, wanted)


async def streaming_response(items: AsyncIterator[object]) -> AsyncIterator[str]:
    """Turn what a streamed program yields into lines of server-sent events, closed by [DONE].

    A piece becomes {"chunk", "predict_name", "signature_field_name", "is_last_chunk"}, a message {"message"}, the
    prediction {"prediction": {...}}.

    >>> async def items():
    ...     yield StatusMessage("Looking it up ...")
    ...     yield Prediction(answer="Monday")
    >>> async def lines():
    ...     return [line.strip() async for line in streaming_response(items())]
    >>> asyncio.run(lines())
    ['data: {"message":"Looking it up ..."}', 'data: {"prediction":{"answer":"Monday"}}', 'data: [DONE]']
    """
    async for item in items:
        if isinstance(item, Prediction):
            value: object = {"prediction": json_value(item.plain_values())}
        elif isinstance(item, StatusMessage | StreamResponse | Chunk):
            value = json_value(item)
        else:
            value = {"prediction": json_value(item)}
        yield f"data: {orjson.dumps(value).decode()}\n\n"
    yield "data: [DONE]\n\n"


class SendStream:
    """`settings.send_stream` inside a streamed program: what the program sends is among what its caller receives."""

    def __init__(self, put: Put) -> None:
        self._put = put

    def send_nowait(self, item: object) -> None:
        """Put something into the stream."""
        self._put(item)

    async def send(self, item: object) -> None:
        """Put something into the stream, in async code."""
        self._put(item)


class StreamGate:
    """A layer round each step's call when a program is streamed: sets who hears of the replies it causes.

    `wanted` are the listeners with their steps; None: every piece is passed on as it is.
    """

    def __init__(
        self,
        put: Put,
        wanted: Sequence[tuple[StreamListener, str, object]] | None,
        provider: StatusMessageProvider | None = None,
    ) -> None:
        self._put = put
        self._wanted = wanted
        self._provider = provider
        self._used: set[int] = set()

    async def __call__(
        self, step: object, signature: object, adapter: object, asking: Awaitable[list[JsonObject]]
    ) -> list[JsonObject]:
        """Await the step's call and pass its reply to the listeners."""
        hears: Any = SimpleNamespace(begin=lambda: None, feed=self._put)  # every piece as it is
        if self._wanted is not None:
            hears = self._fields(step, signature, adapter)
        token = listener.set(hears)
        try:
            return await asking
        finally:
            listener.reset(token)
            if isinstance(hears, _Fields):
                hears.close()

    def held(self) -> StreamGate:
        """Return a gate whose pieces wait until `release`: for a call that may turn out not to be the answer.

        Without listeners every piece passes at once.
        """
        return self if self._wanted is None else _Held(self)

    def release(self) -> None:
        """Pass on the pieces that wait: none."""

    def heard(self) -> frozenset[int]:
        """Return the listeners that have heard a call, for `again`."""
        return frozenset(self._used)

    def again(self, reason: str, before: frozenset[int], steps: Collection[object]) -> None:
        """Report that these steps' answers are given up for a new try, which is heard as if it were the first."""
        say = getattr(self._provider, "retry_status_message", None)
        if say is not None and (message := say(reason)):
            self._put(StatusMessage(message))
        asked = {id(step) for step in steps}
        self._used -= {id(one) for one, _, step in self._wanted or () if id(step) in asked} - before

    def _fields(self, step: object, signature: object, adapter: object) -> _Fields | None:
        readers = []
        for one, path, target in self._wanted or ():
            if target is not step or (id(one) in self._used and not one.allow_reuse):
                continue
            reader = reader_for(adapter, one.signature_field_name)
            if reader is not None:
                self._used.add(id(one))
                readers.append((path, reader))
        return _Fields(self._put, readers, _thoughts(signature)) if readers else None


class _Held(StreamGate):
    """Keeps the pieces of a call that may turn out not to be the answer."""

    def __init__(self, outer: StreamGate) -> None:
        self._waiting: list[object] = []
        super().__init__(self._waiting.append, outer._wanted, outer._provider)
        self._outer = outer
        self._used = set(outer._used)

    def release(self) -> None:
        """Pass on what waits, and count it as heard."""
        for item in self._waiting:
            self._outer._put(item)
        self._waiting.clear()
        self._outer._used |= self._used


def _thoughts(signature: Any) -> frozenset[str]:
    """Return the outputs for a model's thoughts."""
    kinds = {name: without_none(signature.annotation(name))[0] for name in signature.output_fields}
    return frozenset(n for n, kind in kinds.items() if isinstance(kind, type) and issubclass(kind, Reasoning))


class _Fields:
    """Passes on the pieces of some fields of the first reply; a repaired one comes with the prediction."""

    def __init__(
        self, put: Put, readers: Sequence[tuple[str, FieldReader]], thoughts: frozenset[str] = frozenset()
    ) -> None:
        self._put = put
        self._readers = readers
        self._thoughts = thoughts
        self._thinking = False
        self._shown = False
        self._listening = True

    def begin(self) -> None:
        """A reply begins; what was shown of another cannot be taken back."""
        self._listening = not self._shown

    def feed(self, chunk: Chunk) -> None:
        """A piece has come."""
        if not self._listening:
            return
        if chunk.reasoning or self._thinking:
            self._think(chunk)
        for path, reader in self._readers:
            text, last = reader.end() if chunk.finish_reason and not chunk.text else reader.feed(chunk.text)
            self._give(path, reader, text, last=last)

    def _think(self, chunk: Chunk) -> None:
        """Pass on thoughts that come next to the text, as their field; text ends them."""
        ended = bool(chunk.text or chunk.finish_reason)
        self._thinking = not ended
        for path, reader in self._readers:
            if reader.name in self._thoughts:
                self._give(path, reader, chunk.reasoning, last=ended)

    def close(self) -> None:
        """The step's call is over: the text held back of an open field is certain now."""
        if self._shown:
            for path, reader in self._readers:
                text, last = reader.end()
                self._give(path, reader, text, last=last)

    def _give(self, path: str, reader: FieldReader, text: str, *, last: bool) -> None:
        if text or last:
            self._shown = True
            self._put(StreamResponse(path, reader.name, text, last))


class _Status:
    """A callback that tells what the provider says of each start and end."""

    def __init__(self, provider: StatusMessageProvider, put: Put) -> None:
        self._provider = provider
        self._put = put

    def __getattr__(self, hook: str) -> Callable[..., None]:
        kind, _, moment = hook.removeprefix("on_").rpartition("_")
        say = getattr(self._provider, f"{kind}_{moment}_status_message", None)

        def tell(**event: object) -> None:
            given = (event["instance"], event["inputs"]) if moment == "start" else (event["outputs"],)
            message = say(*given) if say is not None else None
            if message:
                self._put(StatusMessage(message))

        return tell
