"""One training at a time of the same model: runs with the same training share its folder, and would train and pay twice."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from pathlib import Path

from engine.errors import TrainingError
from engine.training.contract import Progress, Watch

_FILE = "training.lock"
_POLL_SECONDS = 0.2


@asynccontextmanager
async def only_training(folder: Path, watch: Watch) -> AsyncIterator[None]:
    """Wait until no other process trains the model of this folder, then keep others waiting.

    The lock is SQLite's: it works on every system, and ends with its process. Raises TrainingError where the run was stopped
    meanwhile, and where the folder cannot be written.
    """
    with closing(_opened(folder)) as lock:
        waited = False
        while not _taken(lock, folder):
            if watch.stopped:
                raise TrainingError("The run was stopped while another run trained the same model.")
            if not waited:
                waited = True
                watch.note(
                    Progress(
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


def _taken(lock: sqlite3.Connection, folder: Path) -> bool:
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
