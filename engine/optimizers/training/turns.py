"""Runs with the same training share its folder: one at a time trains, and each counts what it has paid itself."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from pathlib import Path

from pydantic import BaseModel

from engine.errors import TrainingError
from engine.search.trainers import TrainerProgress, TrainingMonitor

_FILE = "training.lock"
_POLL_SECONDS = 0.2


class Share(BaseModel):
    """The run that trains, and what the training had taken before that run: its own share is the rest."""

    run: str = ""
    tokens: int = 0
    usd: float = 0.0

    def taken_over(self, run: str, tokens: int, usd: float | None = None) -> Share:
        """Return the share once a run goes on with a training that has taken so much.

        A run without a name counts only what is new, as it does with kept replies.

        >>> Share(run="a").taken_over("a", 20), Share(run="a").taken_over("b", 20)
        (Share(run='a', tokens=0, usd=0.0), Share(run='b', tokens=20, usd=0.0))
        """
        return self if self.is_of(run) else Share(run=run, tokens=tokens, usd=usd or 0.0)

    def is_of(self, run: str) -> bool:
        """Return whether this run has trained last."""
        return bool(run) and run == self.run


@asynccontextmanager
async def only_training(folder: Path, watch: TrainingMonitor) -> AsyncIterator[None]:
    """Wait until no other process trains the model of this folder, then keep others waiting.

    The lock is SQLite's: it works on every system, and ends with its process. Raises TrainingError where the run was stopped
    meanwhile, and where the folder cannot be written.
    """
    with closing(_opened(folder)) as lock:
        waited = False
        while not _take_lock(lock, folder):
            if watch.stopped:
                raise TrainingError("The run was stopped while another run trained the same model.")
            if not waited:
                waited = True
                watch.note(
                    TrainerProgress(
                        0, 0, message="Another run trains this model now. This one waits for its result."
                    )
                )
            await asyncio.sleep(_POLL_SECONDS)
        yield


def _opened(folder: Path) -> sqlite3.Connection:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        return sqlite3.connect(folder / _FILE, timeout=0, isolation_level=None)
    except (OSError, sqlite3.Error) as error:
        raise _unwritable(folder, error) from error


def _take_lock(lock: sqlite3.Connection, folder: Path) -> bool:
    """Take the lock where it is free."""
    try:
        lock.execute("BEGIN EXCLUSIVE")
    except sqlite3.Error as error:
        if getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_BUSY:
            return False
        raise _unwritable(folder, error) from error
    return True


def _unwritable(folder: Path, error: Exception) -> TrainingError:
    why = getattr(error, "strerror", None) or error
    return TrainingError(
        f"{folder} cannot be written ({why}): free some space, or choose another data folder."
    )
