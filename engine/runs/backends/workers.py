"""The driver's side of workers: rows handed out, calls answered under the run's one budget, one cache and one set of limits.

Rows start in the driver's order and under its limit, so that pause, stop and concurrency are those of a local run.
Calls over a network are made here: whatever becomes of a worker, the answers it has asked for arrive, are kept and
are paid for once. When a worker is lost its rows run again elsewhere, and what they ask again is answered with the
replies they were given. It knows nothing of how workers are started and reached: that is a `WorkerLink`'s.
"""

from __future__ import annotations

import asyncio
import contextvars
import logging
from collections.abc import Awaitable, Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from itertools import count
from typing import TYPE_CHECKING, Protocol

from engine.basics.text import counted
from engine.errors import EngineError, RunError
from engine.evaluate.rows import pull
from engine.lm.calls import middleware
from engine.records import Outcome
from engine.runs.backends import messages
from engine.search.backend import RowCallbacks, RowJob

if TYPE_CHECKING:
    from engine.lm.client import LM
    from engine.lm.exchange import Reply, Request
    from engine.search.trainers import Trainer

_log = logging.getLogger(__name__)

MOST_LOSSES = 3
"""Workers that a row may lose: after that it is taken for what kills them, and fails."""

START_SECONDS = 120.0
"""Longest wait for a worker while there is none."""


class LinkLostError(EngineError):
    """A worker cannot be reached any more."""


class WorkerLink(Protocol):
    """The way to one worker. Both methods raise LinkLostError once it is gone."""

    async def send(self, data: bytes) -> None:
        """Have the worker take messages."""

    async def receive(self) -> bytes:
        """Return what the worker reports, as soon as there is something or after a while."""

    def close(self) -> None:
        """End the worker."""


@dataclass(eq=False)
class _RunningJob:
    number: int
    work: RowJob


@dataclass(eq=False)
class _Call:
    """A call of a model by a running row, which outlives the worker that asked."""

    lm: bytes
    request: Request
    task: asyncio.Task[Reply]
    taken: bool = True


@dataclass(eq=False)
class _Running:
    """A row on a worker. `ended` is None where the worker was lost."""

    job: _RunningJob
    row: int
    ended: asyncio.Future[messages.Done | None]
    context: contextvars.Context = field(default_factory=contextvars.copy_context)
    calls: list[_Call] = field(default_factory=list)
    losses: int = 0

    def call_like(self, asked: messages.WorkerCall) -> _Call | None:
        """Return an equal call that the row had made before it was started again."""
        if not self.losses:
            return None
        for call in self.calls:
            if not call.taken and call.lm == asked.lm and call.request == asked.request:
                call.taken = True
                return call
        return None


class _Peer:
    """One worker: messages that wait to be sent, its rows, its jobs."""

    def __init__(
        self, link: WorkerLink, handle: Callable[[_Peer, object], None], lost: Callable[[_Peer], None]
    ) -> None:
        self.link = link
        self.rows: dict[tuple[int, int], _Running] = {}
        self.jobs: set[int] = set()
        self.computing: dict[int, asyncio.Future[Reply]] = {}
        self._handle, self._lost = handle, lost
        self._outbox: list[object] = []
        self._filled = asyncio.Event()
        self.tasks = [asyncio.create_task(self._watch(part)) for part in (self._sending, self._receiving)]

    def post(self, message: object) -> None:
        """Send a message, together with all others that wait."""
        self._outbox.append(message)
        self._filled.set()

    async def _sending(self) -> None:
        while True:
            await self._filled.wait()
            self._filled.clear()
            waiting, self._outbox = self._outbox, []
            await self.link.send(messages.packed(waiting))

    async def _receiving(self) -> None:
        while True:
            for message in messages.unpacked(await self.link.receive()):
                self._handle(self, message)

    async def _watch(self, part: Callable[[], Awaitable[None]]) -> None:
        try:
            await part()
        except asyncio.CancelledError:
            raise
        except Exception as error:  # noqa: BLE001 - whatever it is, rows that wait for this worker must not wait for ever
            _log.warning("A worker was lost: %s", error)
            self._lost(self)


class Workers:
    """A backend of several processes. `start` starts one worker that is ready for this run; `models` and `trainers` are the run's.

    Use it as `async with`: leaving it ends the workers.
    """

    def __init__(
        self,
        start: Callable[[], Awaitable[WorkerLink]],
        size: int,
        models: Sequence[LM] = (),
        trainers: Sequence[Trainer] = (),
    ) -> None:
        self._start, self._size, self.trainers = start, size, trainers
        self._peers: list[_Peer] = []
        self._models = {messages.model_as_bytes(model): model for model in models}
        self._numbers = count(1)
        self._arrived = asyncio.Event()
        self._starting: set[asyncio.Task[None]] = set()
        self._failure: BaseException | None = None
        self.lost = 0

    async def __aenter__(self) -> Workers:
        for _ in range(self._size):
            self._start_one()
        try:
            await self._least_busy()
        except BaseException:
            await self.__aexit__()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        tasks = [*self._starting, *(task for peer in self._peers for task in peer.tasks)]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for peer in self._peers:
            peer.link.close()
        self._peers.clear()

    @property
    def size(self) -> int:
        """Workers that are ready."""
        return len(self._peers)

    async def all_ready(self) -> None:
        """Wait until every worker that is being started is ready, or has failed to start."""
        await asyncio.gather(*self._starting, return_exceptions=True)

    # Rows

    async def run(self, work: RowJob, rows: Sequence[int], heard: RowCallbacks) -> None:
        """Run rows on the workers."""
        job = _RunningJob(next(self._numbers), work)

        async def run_row(row: int) -> None:
            done = await self._run_row(job, row)
            if done.failure is not None:
                heard.on_failure(done.failure)
            heard.on_outcome(done.outcome)

        try:
            await pull(rows, heard.limit, lambda: nullcontext(run_row))
        finally:
            for peer in self._peers:
                if job.number in peer.jobs:
                    peer.jobs.discard(job.number)
                    peer.post(messages.End(job.number))

    async def _run_row(self, job: _RunningJob, row: int) -> messages.Done:
        loop = asyncio.get_running_loop()
        running = _Running(job, row, loop.create_future())
        try:
            while running.losses < MOST_LOSSES:
                peer = await self._least_busy()
                if job.number not in peer.jobs:
                    peer.jobs.add(job.number)
                    peer.post(messages.Begin(job.number, job.work))
                peer.rows[job.number, row] = running
                peer.post(messages.Row(job.number, row))
                try:
                    done = await running.ended
                finally:
                    peer.rows.pop((job.number, row), None)
                if done is not None:
                    return done
                running.losses += 1
                running.ended = loop.create_future()
                for call in running.calls:
                    call.taken = False
        finally:
            for call in running.calls:
                call.task.cancel()
        problem = f"{counted(MOST_LOSSES, 'worker')} died while running this row, so it is not tried again."
        return messages.Done(job.number, Outcome(row, 0.0, {}, "", problem), RunError(problem))

    async def _least_busy(self) -> _Peer:
        """Return the worker with the fewest rows; wait until there is one. Raises RunError."""
        while not self._peers:
            if self._failure is not None and not self._starting:
                raise self._failure
            self._arrived.clear()
            try:
                await asyncio.wait_for(self._arrived.wait(), START_SECONDS)
            except TimeoutError:
                raise RunError(
                    f"No worker was ready within {START_SECONDS:.0f} seconds. Look whether the cluster has a free CPU."
                ) from None
        return min(self._peers, key=lambda peer: len(peer.rows))

    # Workers that come and go

    def _start_one(self) -> None:
        task = asyncio.create_task(self._join())
        self._starting.add(task)
        task.add_done_callback(self._started)

    def _started(self, task: asyncio.Task[None]) -> None:
        self._starting.discard(task)
        self._arrived.set()  # those who wait look again, also when it failed

    async def _join(self) -> None:
        try:
            link = await self._start()
        except Exception as error:  # noqa: BLE001 - raised where a row waits for a worker and there is none
            _log.warning("A worker could not be started: %s", error)
            self._failure = error
            return
        self._peers.append(_Peer(link, self._handle, self._lose))

    def _lose(self, peer: _Peer) -> None:
        """Hand a lost worker's rows back to those who wait for them, and start another worker."""
        if peer not in self._peers:
            return
        self._peers.remove(peer)
        self.lost += 1
        for task in peer.tasks:
            if task is not asyncio.current_task():
                task.cancel()
        peer.link.close()
        self._start_one()
        for running in list(peer.rows.values()):
            if not running.ended.done():
                running.ended.set_result(None)
        for future in peer.computing.values():
            if not future.done():
                future.set_exception(LinkLostError("The worker was lost."))

    # What workers report and ask

    def _handle(self, peer: _Peer, message: object) -> None:
        match message:
            case messages.Done():
                running = peer.rows.get((message.job, message.outcome.row))
                if running is not None and not running.ended.done():
                    running.ended.set_result(message)
            case messages.Broken():
                running = peer.rows.get((message.job, message.row))
                if running is not None and not running.ended.done():
                    running.ended.set_exception(message.error)
            case messages.WorkerCall():
                self._call(peer, message)
            case messages.Computed():
                future = peer.computing.pop(message.number, None)
                if future is not None and not future.done():
                    if message.reply is not None:
                        future.set_result(message.reply)
                    else:
                        future.set_exception(message.error or LinkLostError("The worker sent no answer."))

    def _call(self, peer: _Peer, asked: messages.WorkerCall) -> None:
        running = peer.rows.get((asked.job, asked.row))
        if running is None:
            return
        call = running.call_like(asked)
        if call is None:
            work = self._answer(peer, asked)
            task = asyncio.get_running_loop().create_task(work, context=running.context.copy())
            call = _Call(asked.lm, asked.request, task)
            running.calls.append(call)
        call.task.add_done_callback(lambda task: self._reply(peer, asked.call, task))

    def _reply(self, peer: _Peer, call: int, task: asyncio.Task[Reply]) -> None:
        if task.cancelled() or peer not in self._peers:
            return
        error = task.exception()
        reply = None if error is not None else task.result()
        failure = error if isinstance(error, Exception) else None
        peer.post(messages.ModelReply(call, reply, failure and messages.sendable(failure)))

    async def _answer(self, peer: _Peer, asked: messages.WorkerCall) -> Reply:
        """Ask a model by way of all layers, as a local row does: the budget's gate among them."""
        lm = self._models.get(asked.lm)
        if lm is None:
            lm = self._models[asked.lm] = messages.model_of(asked.lm)

        async def computed(_: middleware.Client, request: Request) -> Reply:
            return await self._computed(peer, asked.lm, request)

        middleware.computed_by.set(computed)
        return await middleware.send(lm, asked.request)

    async def _computed(self, peer: _Peer, lm: bytes, request: Request) -> Reply:
        """Have the row's own worker compute an answer; another one where that is lost."""
        for _ in range(MOST_LOSSES):
            where = peer if peer in self._peers else await self._least_busy()
            number = next(self._numbers)
            future = where.computing[number] = asyncio.get_running_loop().create_future()
            where.post(messages.Compute(number, lm, request))
            try:
                reply: Reply = await future
                return reply
            except LinkLostError:
                continue
            finally:
                where.computing.pop(number, None)
        raise RunError(f"{counted(MOST_LOSSES, 'worker')} died while computing one answer.")
