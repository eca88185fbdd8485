"""The worker's end of the talk with a training's child process (`engine.optimizers.training.child`); it knows nothing of the training itself."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol, Self

import orjson
from pydantic import ValidationError

from engine.basics.children import Child
from engine.errors import TrainingError
from engine.loop import in_thread
from engine.optimizers.training.child import ChildMessage, TrainingJob, out_of_memory

MODULE = "engine.optimizers.training"


class ChildEndedError(TrainingError):
    """The child has failed, or has ended before its work was done; the message says why."""


class ChildLostError(ChildEndedError):
    """The machine on which the child ran is lost; another one may go on from the last checkpoint."""


class Lines(Protocol):
    """Output of a process, line by line."""

    def readline(self) -> bytes:
        """Wait for the next line and return it; b"" at the end. May raise ChildLostError."""


class Process(Protocol):
    """A process that trains: `engine.basics.children.Child`, or one on another machine. Its methods may wait, and run on threads."""

    @property
    def code(self) -> int | None:
        """The exit status, negative for the signal that ended it; None while it runs."""

    @property
    def output(self) -> Lines:
        """Standard output."""

    def __enter__(self) -> object:
        """Send the request."""

    def __exit__(self, *_: object) -> None:
        """End it, and forget it."""

    def tell(self, text: bytes) -> None:
        """Write to its standard input; without effect where it has ended."""

    def last_words(self) -> str:
        """Return the last line that it wrote to standard error; "" for none."""

    def end(self, grace: float = 0.0) -> None:
        """End it and all that it has started, after this many seconds to end by itself."""


Start = Callable[[str, bytes], Process]
"""Starts a Python module as the process of a training, given the request that is written to it first."""


def start_here(module: str, request: bytes) -> Child:
    """Start the process of a training on this machine."""
    return Child(module, request, seconds=None, talks=True, env=_environment())


class TrainingChild:
    """A training's process; use it in an `async with` block, at whose end it is ended with all that it started."""

    def __init__(self, work: TrainingJob, module: str = MODULE, start: Start = start_here) -> None:
        self._work = work
        self._child = start(module, orjson.dumps(work.model_dump(mode="json")) + b"\n")
        self._messages: asyncio.Queue[ChildMessage | None] = asyncio.Queue()
        self._asked: dict[int, asyncio.Future[ChildMessage]] = {}
        self._number = 0
        self._writing = asyncio.Lock()
        self._end: ChildEndedError | None = None
        self._reader: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        try:
            await in_thread(self._child.__enter__)
        except BaseException:
            await self.__aexit__()
            raise
        self._reader = asyncio.create_task(self._read())
        return self

    async def __aexit__(self, *_: object) -> None:
        self._child.end()  # first, so that a thread that still reads comes to the end of its output
        if self._reader is not None:
            self._reader.cancel()
            await asyncio.gather(self._reader, return_exceptions=True)
        await in_thread(self._child.__exit__)

    async def tell(self, kind: str, **more: object) -> None:
        """Send a line; without effect where the child has ended."""
        line = orjson.dumps({"kind": kind, **more}) + b"\n"
        async with self._writing:
            await in_thread(self._child.tell, line)

    async def ask(self, messages: Sequence[object], params: Mapping[str, object]) -> ChildMessage:
        """Ask the model in training, and return its answer. Raises ChildEndedError where none comes."""
        self.check()
        self._number += 1
        number = self._number
        answer: asyncio.Future[ChildMessage] = asyncio.get_running_loop().create_future()
        self._asked[number] = answer
        try:
            await self.tell("write", id=number, messages=list(messages), params=dict(params))
            return await answer
        finally:
            del self._asked[number]

    async def next(self, seconds: float) -> ChildMessage | None:
        """Return the next message, or None where none comes in this time. Raises ChildEndedError with the reason."""
        try:
            message = await asyncio.wait_for(self._messages.get(), seconds)
        except TimeoutError:
            return None
        if message is None:
            self.check()
            return None
        if message.kind == "failed":
            raise ChildEndedError(message.text)
        return message

    def check(self) -> None:
        """Raise ChildEndedError where the process has ended."""
        if self._end is not None:
            raise self._end

    async def _read(self) -> None:
        try:
            while (line := await in_thread(self._child.output.readline)).endswith(b"\n"):
                try:
                    message = ChildMessage.model_validate_json(line)
                except ValidationError:
                    break  # the end of one that knows another protocol
                if message.kind != "written":
                    self._messages.put_nowait(message)
                elif (waiting := self._asked.get(message.id)) is not None and not waiting.done():
                    waiting.set_result(message)
            self._end = ChildEndedError(
                await in_thread(self._last_words)
            )  # also after a line that breaks off
        except ChildEndedError as error:
            self._end = error
        for waiting in self._asked.values():
            if not waiting.done():
                waiting.set_exception(self._end)
        self._messages.put_nowait(None)

    def _last_words(self) -> str:
        """Return why the child has ended."""
        self._child.end(grace=10)
        code = self._child.code or 0
        if code in (-9, 137):
            what = "The system ended the training process, most often for lack of memory:"
            return out_of_memory(self._work.settings, what)
        return f"The training process ended: {self._child.last_words() or f'its exit code was {code}'}"


def _environment() -> dict[str, str]:
    """Return the child's environment: quiet, and patient with the hub for seconds, not minutes."""
    quiet = {
        "TOKENIZERS_PARALLELISM": "false",
        "HF_HUB_ETAG_TIMEOUT": "10",
        "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    }
    return {**quiet, **os.environ}
