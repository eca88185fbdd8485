"""Between the store's requests and the search: read by the watch, carried out by the driver, answered in the store.

A request as stored is {"budget": limits} or {"candidate": candidate}; both are checked here, because a page wrote them.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable, Sequence
from types import TracebackType

from pydantic import ValidationError

from engine.errors import StoreError
from engine.records import Candidate
from engine.search.budget import Budget
from engine.search.requests import RaiseBudget, Request, TryCandidate
from engine.search.settings import Stop
from engine.store.rows import BUDGET, CANDIDATE, NOT_DONE, Flags, RequestRow
from engine.store.store import Store


class StoreRequests:
    """The search's `Requests` of one run.

    What an earlier process of the run did comes back in the same batch; what is new comes as soon as the watch has seen it.
    """

    def __init__(self, store: Store, run_id: str, watch: Watch) -> None:
        self._store, self._run_id, self._watch = store, run_id, watch
        rows = store.requests.all(run_id)
        self._again: dict[int, list[RequestRow]] = {}
        for row in rows:
            if row.batch is not None:
                self._again.setdefault(row.batch, []).append(row)
        self._seen = {row.id for row in rows if row.batch is not None or row.answer}

    def due(self, batch: int) -> Sequence[Request]:
        """Return what is to be done now."""
        rows = self._again.pop(batch, [])
        rows += [row for row in self._watch.requests if row.id not in self._seen]
        self._seen |= {row.id for row in rows}
        return [request for row in rows if (request := self._read(row)) is not None]

    def begin(self, request: Request, batch: int) -> None:
        """Note the batch, for a process that drives this run again."""
        self._store.requests.begin(self._run_id, request.id, batch)

    def answer(self, request: Request, sentence: str, *, done: bool) -> None:
        """Store what became of it."""
        said = f"Done: {sentence}" if done else f"{NOT_DONE}{sentence}"
        self._store.requests.answer(self._run_id, request.id, said)

    def close(self) -> None:
        """Refuse what comes too late."""
        for row in self._store.requests.open(self._run_id):
            self._store.requests.answer(
                self._run_id, row.id, f"{NOT_DONE}the search had ended. Start a new run to try it."
            )

    def _read(self, row: RequestRow) -> Request | None:
        try:
            if row.kind == BUDGET:
                return RaiseBudget(row.id, Budget.model_validate(row.content["budget"]))
            if row.kind == CANDIDATE:
                return TryCandidate(row.id, Candidate.from_dict(row.content["candidate"]))
        except (ValidationError, KeyError, TypeError, ValueError, AttributeError):
            pass
        self._store.requests.answer(self._run_id, row.id, f"{NOT_DONE}it cannot be read.")
        return None


HEARTBEAT_SECONDS = 1.0
POLL_SECONDS = 0.2

_log = logging.getLogger(__name__)


class Watch:
    """A run's heartbeat and flags, kept up by a thread while the `with` block runs.

    `taken_away` is called once, from the thread, when the run now belongs to another process or is
    deleted. `stop()` asks for a stop from inside the process (a signal). `requests` are those nobody has answered.
    """

    def __init__(self, store: Store, run_id: str, pid: int, taken_away: Callable[[], None]) -> None:
        self._store = store
        self._run_id, self._pid = run_id, pid
        self._taken_away = taken_away
        self._flags = Flags()
        self.requests: tuple[RequestRow, ...] = ()
        self._stopped_here = False
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._watch, name=f"watch-{run_id}", daemon=True)

    def __enter__(self) -> Watch:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._done.set()
        self._thread.join()

    def stop(self) -> None:
        """Ask the run to stop and keep the best so far."""
        self._stopped_here = True

    @property
    def stopping(self) -> bool:
        """Whether a stop was asked for."""
        return self._stopped_here or self._flags.stop

    @property
    def pausing(self) -> bool:
        """Whether a pause was asked for and no stop."""
        return self._flags.pause and not self.stopping

    def _watch(self) -> None:
        beats, polls = HEARTBEAT_SECONDS / POLL_SECONDS, 0
        while not self._done.wait(POLL_SECONDS):
            try:
                self._flags = self._store.runs.flags(self._run_id)
                self.requests = tuple(self._store.requests.open(self._run_id))
                polls += 1
                if polls >= beats:
                    polls = 0
                    if not self._store.runs.heartbeat(self._run_id, self._pid):
                        self._taken_away()
                        return
            except StoreError:
                _log.warning("The run's flags could not be read; trying again.", exc_info=True)


class StoreControl:
    """The search's `Control`: waits while a pause is asked for, raises Stop when a stop is."""

    def __init__(self, watch: Watch, store: Store, run_id: str) -> None:
        self._watch = watch
        self._store = store
        self._run_id = run_id
        self._paused = False

    async def checkpoint(self) -> None:
        """Return at once, wait while paused, or raise Stop."""
        watch = self._watch
        if watch.stopping:
            self._go_on()
            raise Stop
        if not watch.pausing:
            return
        if not self._paused:
            self._paused = True
            self._store.runs.set_state(self._run_id, "paused", "Paused. Calls under way were finished first.")
        while watch.pausing:
            await asyncio.sleep(POLL_SECONDS / 4)
        self._go_on()
        if watch.stopping:
            raise Stop

    def _go_on(self) -> None:
        if self._paused:
            self._paused = False
            self._store.runs.set_state(self._run_id, "running")
