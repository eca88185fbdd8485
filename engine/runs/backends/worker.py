"""A worker of a run: answers and scores rows in its process, and asks the driver for every call of a model.

It keeps no account, no cache and no key. What computes on this machine (weights, the offline model) it answers itself
when the driver says so. It knows nothing of how messages travel.
"""

from __future__ import annotations

import asyncio
import gc
import hashlib
import os
import queue
from collections.abc import Callable, Coroutine
from functools import cache
from importlib.metadata import version
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from engine import evaluate, loop, runtime
from engine.basics.data import JsonObject
from engine.basics.home import ENVIRONMENT_VARIABLE
from engine.errors import ConfigurationError
from engine.lm.client import LM, with_schema
from engine.runs.backends import messages
from engine.search.backend import RowJob, metric_of, program_of

if TYPE_CHECKING:
    from engine.lm.exchange import Reply, Request, Send
    from engine.modules.module import Module
    from engine.records import Outcome
    from engine.search.settings import Settings

GIVE_SECONDS = 10.0
"""Longest wait for something to give: then an empty list says that the worker is alive."""


class Worker:
    """Runs rows as messages ask, on the engine's event loop. `take` and `give` may be called in any thread."""

    def __init__(self) -> None:
        self._outbox: queue.SimpleQueue[object] = queue.SimpleQueue()
        self._calls: dict[int, asyncio.Future[Reply]] = {}
        self._numbers = count(1)
        self._jobs: dict[int, tuple[RowJob, Module | None]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._names: WeakKeyDictionary[LM, bytes] = WeakKeyDictionary()
        self._settings: Settings | None = None

    def set_up(self, set_up: messages.SetUp) -> None:
        """Take the run's program, metric and rows."""
        if Path(set_up.home).is_dir():
            os.environ[ENVIRONMENT_VARIABLE] = set_up.home
        self._settings = set_up.settings
        gc.freeze()  # once and for all: what there is now is needed to the end

    def take(self, data: bytes) -> None:
        """Do what messages ask, soon."""
        loop.get().call_soon_threadsafe(self._take, messages.unpacked(data))

    def give(self) -> bytes:
        """Return the messages to report; wait for the first one at most `GIVE_SECONDS`."""
        found: list[object] = []
        try:
            found.append(self._outbox.get(timeout=GIVE_SECONDS))
            while True:
                found.append(self._outbox.get_nowait())
        except queue.Empty:
            return messages.packed(found)

    def _take(self, asked: list[object]) -> None:
        for message in asked:
            match message:
                case messages.Row():
                    self._start(self._run(message))
                case messages.ModelReply():
                    self._settle(message)
                case messages.Compute():
                    self._start(self._compute(message))
                case messages.Begin():
                    self._jobs[message.job] = (message.work, None)
                case messages.End():
                    self._jobs.pop(message.job, None)

    def _start(self, work: Coroutine[object, object, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    # Rows

    async def _run(self, message: messages.Row) -> None:
        outcomes: list[Outcome] = []
        failures: list[Exception] = []
        try:
            await self._run_row(message, outcomes.append, failures.append)
        except Exception as error:  # noqa: BLE001 - a program that cannot be made ends the driver's ask, as locally
            self._outbox.put(messages.Broken(message.job, message.row, messages.sendable(error)))
            return
        for outcome in outcomes:
            failure = messages.sendable(failures[-1]) if failures else None
            self._outbox.put(messages.Done(message.job, outcome, failure))

    async def _run_row(
        self,
        message: messages.Row,
        on_outcome: Callable[[Outcome], None],
        on_failure: Callable[[Exception], None],
    ) -> None:
        settings = self._settings
        if settings is None:
            raise ConfigurationError("The worker was given a row before its run.")
        work, program = self._jobs[message.job]
        if program is None:
            program = program_of(settings, work)
            self._jobs[message.job] = (work, program)

        async def asked(lm: Any, request: Request, send: Send) -> Reply:  # noqa: ARG001 - the driver sends
            return await self._ask(message, lm, request)

        part = settings.part(work.part)
        given = {
            "lm": (work.taught and part.teacher_lm) or settings.lm,
            "adapter": (work.taught and part.teacher_adapter) or settings.adapter,
        }
        chosen: JsonObject = {name: value for name, value in given.items() if value is not None}
        if settings.models:
            chosen["models"] = settings.models
        with runtime.context(middleware=(asked,), trace=None, history=False, **chosen):
            await evaluate.run_rows(
                program,
                [(message.row, settings.rows[message.row])],
                metric_of(settings, work),
                limit=1,
                on_outcome=on_outcome,
                on_failure=on_failure,
                trace=work.trace,
            )

    # Models

    async def _ask(self, row: messages.Row, lm: LM, request: Request) -> Reply:
        """Ask the driver, which keeps the budget, the limits and the cache."""
        name = self._names.get(lm)
        if name is None:
            name = self._names[lm] = messages.model_as_bytes(lm)
        number = next(self._numbers)
        future = self._calls[number] = asyncio.get_running_loop().create_future()
        self._outbox.put(messages.WorkerCall(number, row.job, row.row, name, with_schema(request)))
        try:
            reply: Reply = await future
            return reply
        finally:
            self._calls.pop(number, None)

    def _settle(self, message: messages.ModelReply) -> None:
        future = self._calls.get(message.call)
        if future is None or future.done():
            return
        if message.reply is not None:
            future.set_result(message.reply)
        else:
            future.set_exception(message.error or ConfigurationError("The driver sent no answer."))

    async def _compute(self, message: messages.Compute) -> None:
        reply, error = None, None
        try:
            reply = await _model(message.lm).transport().send(message.request)
        except Exception as failure:  # noqa: BLE001 - it is the driver's to handle
            error = messages.sendable(failure)
        self._outbox.put(messages.Computed(message.number, reply, error))


_model = cache(messages.model_of)


@cache
def fingerprint() -> str:
    """Return the version of Tuneboard and a hash of its engine's files, which must be equal at both ends."""
    folder = Path(__file__).parents[2]  # the engine
    digest = hashlib.sha256()
    for source in sorted(folder.rglob("*.py")):
        digest.update(str(source.relative_to(folder)).encode())
        digest.update(source.read_bytes())
    return f"{version('tuneboard')} {digest.hexdigest()[:12]}"
