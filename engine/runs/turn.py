"""Waiting for a run's turn in the queue, in the run's own process (see `engine.store.queue`)."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable
from typing import TypeVar

from engine.errors import StoreFullError, StoreLockedError
from engine.runs.recorder import HEARTBEAT_SECONDS
from engine.store.queue import QueuePosition
from engine.store.rows import RunRow
from engine.store.store import Store

T = TypeVar("T")

LOOK_SECONDS = 0.5
PATIENCE_SECONDS = 120.0
_log = logging.getLogger("engine.runs")


def patiently(action: Callable[[], T]) -> T:
    """Return what an action on the store returns; while another program holds the store it is tried again, for two minutes."""
    until = time.monotonic() + PATIENCE_SECONDS
    while True:
        try:
            return action()
        except StoreLockedError:
            if time.monotonic() > until:
                raise


class Turn:
    """One process's wait for its run's turn; the run's phase says what it waits for.

    `stop` ends the wait, also from a signal's handler.
    """

    def __init__(self, store: Store, run_id: str) -> None:
        self._store, self._run_id, self._pid = store, run_id, os.getpid()
        self._stop = threading.Event()
        self._words = ""

    @property
    def stopping(self) -> bool:
        """True if the wait was asked to end."""
        return self._stop.is_set()

    def stop(self) -> None:
        """Ask the wait to end."""
        self._stop.set()

    def look(self) -> RunRow | QueuePosition | None:
        """Return what `Queue.begin` says, and note in the run's phase what it waits for."""
        position = self._store.queue.begin(self._run_id, self._pid)
        if isinstance(position, QueuePosition) and position.words != self._words:
            self._words = position.words
            self._store.runs.set_phase(self._run_id, self._words)
            _log.info("Run %s: %s", self._run_id, self._words)
        return position

    def wait(self) -> RunRow | None:
        """Return the run as soon as its turn has come, taken for this process; None where it was cancelled.

        Raises RunError where another process works on it or it has finished, NotFoundError if there is none.
        """
        if not patiently(lambda: self._store.queue.join(self._run_id, self._pid)):
            return None
        beaten = time.monotonic()
        while not self.stopping:
            position: RunRow | QueuePosition | None = QueuePosition(0)
            try:
                if time.monotonic() - beaten >= HEARTBEAT_SECONDS:
                    self._store.runs.heartbeat(self._run_id, self._pid)
                    beaten = time.monotonic()
                position = self.look()
            except (StoreLockedError, StoreFullError) as error:
                _log.warning("The queue could not be read or written; trying again: %s", error)
            if not isinstance(position, QueuePosition):
                return None if self.stopping else position
            self._stop.wait(LOOK_SECONDS)
        return None
