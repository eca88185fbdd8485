"""The transport of models of this machine: jobs that wait together are written in one batch, on one thread.

The event loop never waits for it: a request becomes jobs in a queue, and a future that the thread fulfils. Nothing here
loads torch; the thread does, when the first job comes.
"""

from __future__ import annotations

import asyncio
import atexit
import logging
import os
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from engine import loop
from engine.errors import ConfigurationError, ProviderFailureError
from engine.lm import streaming
from engine.lm.exchange import Choice, Reply, Request
from engine.lm.keys import Secret
from engine.lm.local.jobs import Completion, Job, jobs_of
from engine.lm.local.sources import Source, find_source, missing_extra
from engine.records import Usage

if TYPE_CHECKING:
    from engine.lm.client import LM
    from engine.lm.local.weights import Weights

GATHER = 0.004
"""Seconds that an idle thread waits after the last job that came: rows of one table are asked within a millisecond or two."""

LONGEST_GATHER = 0.05
MOST_JOBS = 256
"""Jobs taken at once; the others wait, so that another model's turn comes."""

_log = logging.getLogger(__name__)


class LocalTransport:
    """One model of this machine, by its name."""

    def __init__(self, lm: LM, _key: Secret) -> None:
        if lm.model_type == "responses":
            raise ConfigurationError(f"{lm.model!r} answers in process: take model_type 'chat' or 'text'.")
        self._name, self._plain, self._seconds = lm.route.name, lm.model_type == "text", lm.timeout

    async def send(self, request: Request) -> Reply:
        """Answer one request. Raises LMError, and ConfigurationError where the libraries for weights are not installed."""
        if missing := missing_extra():
            raise ConfigurationError(missing)
        started = time.perf_counter()
        source = await loop.in_thread(find_source, self._name)  # it reads files
        jobs = jobs_of(source, request, plain=self._plain, seconds=self._seconds)
        listener = streaming.listener.get()
        if listener is not None and len(jobs) == 1:
            listener.begin()
            jobs[0].feed = _feeding(listener)
        _worker.put(jobs)
        try:
            done = await asyncio.gather(*(asyncio.wrap_future(job.future) for job in jobs))
        finally:
            for job in jobs:  # of n completions the others are not needed once one has failed
                job.future.cancel()
        if listener is not None and len(jobs) == 1:
            listener.feed(streaming.Chunk(finish_reason=done[0].finish_reason))
        return reply_of(source, done, time.perf_counter() - started)


def reply_of(source: Source, done: list[Completion], seconds: float = 0.0) -> Reply:
    """Return the reply of a request's completions; the prompt counts once."""
    choices = tuple(Choice(text.text, text.finish_reason, logprobs=text.logprobs) for text in done)
    usage = Usage(1, 0, done[0].input_tokens, sum(text.output_tokens for text in done), 0.0)
    return Reply(choices, usage, source.name, seconds)


def _feeding(listener: streaming.Listener) -> Callable[[str], None]:
    """Return a function that hands pieces to a listener on this loop, from any thread."""
    here = asyncio.get_running_loop()

    def feed(piece: str) -> None:
        here.call_soon_threadsafe(listener.feed, streaming.Chunk(piece))

    return feed


class _Worker:
    """The queue and its thread, started with the first job (and again in a forked process)."""

    def __init__(self) -> None:
        self._waiting: list[Job] = []
        self._news = threading.Condition()
        self._thread: threading.Thread | None = None
        self._ended = False
        self._weights: Weights | None = None

    def put(self, jobs: list[Job]) -> None:
        """Add jobs to the queue."""
        with self._news:
            self._waiting += jobs
            if self._thread is None:
                self._thread = threading.Thread(target=self._work, name="engine-local-models", daemon=True)
                self._thread.start()
                atexit.register(self.end)
            self._news.notify()

    def end(self) -> None:
        """Drop what waits and end the thread: Python must not stop under running kernels."""
        with self._news:
            self._ended = True
            for job in self._waiting:
                job.future.cancel()
            self._news.notify()
        if self._thread is not None:
            self._thread.join(5)

    def _work(self) -> None:
        while jobs := self._next_jobs():
            try:
                self._loaded().answer(jobs)
            except Exception as error:  # noqa: BLE001 - the thread goes on, and every waiting call gets its error
                _log.warning("A model of this machine failed.", exc_info=True)
                for job in jobs:
                    if not job.future.done():
                        name = job.source.name
                        job.future.set_exception(
                            ProviderFailureError(f"The model {name!r} failed: {error}", model=name)
                        )

    def _loaded(self) -> Weights:
        if self._weights is None:
            # Imported here, on this thread: it takes seconds, and only a process that asks such a model pays them.
            from engine.lm.local.weights import Weights

            self._weights = Weights()
        return self._weights

    def _next_jobs(self) -> list[Job]:
        """Wait for jobs; return those of the longest waiting one's source, or none at the end."""
        with self._news:
            while True:
                while not self._waiting and not self._ended:
                    self._news.wait()
                if self._ended:
                    return []
                self._gather()
                source = self._waiting[0].source
                jobs = [job for job in self._waiting if job.source == source][:MOST_JOBS]
                chosen = set(map(id, jobs))
                self._waiting = [job for job in self._waiting if id(job) not in chosen]
                alive = [job for job in jobs if not job.future.done()]
                if alive:
                    return alive

    def _gather(self) -> None:
        """Wait until no further job comes for a moment: a batch of all rows is quicker than one row and then the rest."""
        started, known = time.monotonic(), 0
        while len(self._waiting) != known and time.monotonic() - started < LONGEST_GATHER and not self._ended:
            known = len(self._waiting)
            self._news.wait(GATHER)


_worker = _Worker()

if hasattr(os, "register_at_fork"):
    # No thread lives on in a forked process, and its lock may be taken.
    os.register_at_fork(after_in_child=_worker.__init__)  # type: ignore[misc]  # as good as new
