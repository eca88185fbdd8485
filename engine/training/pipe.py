"""A training's child process and the pipe to it: one JSON object a line, both ways. It knows nothing of what is trained."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Self

import orjson

from engine.errors import EngineError

LONGEST_LINE = 2**28
"""Bytes of one message: a round's groups hold every prompt of it."""


class ChildEndedError(EngineError):
    """The training's process ended before its work was done."""


class TrainingChild:
    """A training's process; use it in an `async with` block, at whose end it is ended with all that it started.

    `log` gets what it writes to standard error. Messages that answer an `ask` go to it, all others to `messages`.
    """

    def __init__(self, module: str, log: Path) -> None:
        self._module, self._log = module, log
        self._asked: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self._others: asyncio.Queue[dict[str, Any] | None] = asyncio.Queue()
        self._writing = asyncio.Lock()
        self._number = 0
        self._process: asyncio.subprocess.Process | None = None
        self._reader: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        with self._log.open("ab") as errors:
            self._process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-P", "-m", self._module),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=errors,
                limit=LONGEST_LINE,
                start_new_session=True,
                env={**os.environ, "TOKENIZERS_PARALLELISM": "false"},
            )
        self._reader = asyncio.create_task(self._read())
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._process is not None  # noqa: S101 - entered
        if self._process.stdin is not None:
            self._process.stdin.close()
        try:
            await asyncio.wait_for(self._process.wait(), 0.5)
        except (TimeoutError, asyncio.CancelledError):
            self._kill()
        await self._process.wait()
        if self._reader is not None:
            self._reader.cancel()
            await asyncio.gather(self._reader, return_exceptions=True)

    async def send(self, message: Mapping[str, object]) -> None:
        """Send a message. Raises ChildEndedError where nothing reads it."""
        assert self._process is not None  # noqa: S101 - entered
        assert self._process.stdin is not None  # noqa: S101 - a pipe
        async with self._writing:
            try:
                self._process.stdin.write(orjson.dumps(message) + b"\n")
                await self._process.stdin.drain()
            except (ConnectionError, RuntimeError):
                raise ChildEndedError(await self._end()) from None

    async def ask(self, message: Mapping[str, object]) -> dict[str, Any]:
        """Send a message and return its answer. Raises ChildEndedError where none comes."""
        self._number += 1
        number = self._number
        answer: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()
        self._asked[number] = answer
        try:
            await self.send({**message, "id": number})
            return await answer
        finally:
            del self._asked[number]

    async def check(self) -> None:
        """Raise ChildEndedError where the process has ended."""
        if self._process is not None and self._process.returncode is not None:
            raise ChildEndedError(await self._end())

    async def messages(self) -> AsyncIterator[dict[str, Any]]:
        """Iterate over messages that answer nothing. Raises ChildEndedError when the process has ended."""
        while (message := await self._others.get()) is not None:
            yield message
        raise ChildEndedError(await self._end())

    async def _read(self) -> None:
        assert self._process is not None  # noqa: S101 - entered
        assert self._process.stdout is not None  # noqa: S101 - a pipe
        with suppress(
            ValueError, ConnectionError
        ):  # no JSON, or longer than any message: it is treated as its end
            while line := await self._process.stdout.readline():
                message = orjson.loads(line)
                waiting = self._asked.get(message.get("id", 0))
                if waiting is None:
                    self._others.put_nowait(message)
                elif not waiting.done():
                    waiting.set_result(message)
        end = ChildEndedError(await self._end())
        for waiting in self._asked.values():
            if not waiting.done():
                waiting.set_exception(end)
        self._others.put_nowait(None)

    async def _end(self) -> str:
        """Return how the process ended, in a sentence."""
        assert self._process is not None  # noqa: S101 - entered
        with suppress(TimeoutError):
            await asyncio.wait_for(self._process.wait(), 5)
        code = self._process.returncode
        if code == -signal.SIGKILL:
            return "its process was killed, most likely because the memory did not suffice."
        lines = self._log.read_text("utf-8", "replace").strip().splitlines() if self._log.exists() else []
        return f"its process ended with code {code}{f' ({lines[-1][:200]})' if lines else ''}; {self._log} has more."

    def _kill(self) -> None:
        if self._process is None or self._process.returncode is not None:
            return  # its number may be another process's by now
        try:
            os.killpg(self._process.pid, signal.SIGKILL)
        except (AttributeError, ProcessLookupError):  # no groups on this system, or it has just ended
            with suppress(ProcessLookupError):
                self._process.kill()
