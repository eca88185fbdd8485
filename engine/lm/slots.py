"""Requests at once to one endpoint, by all processes that share a data folder: each holds a locked byte of a file.

The system frees the locks of a process that ends, in whatever way. It must not know any model, run or store.
"""

from __future__ import annotations

import hashlib
import os
import threading
import time
from contextlib import suppress
from contextvars import ContextVar
from pathlib import Path

try:
    import fcntl
except ImportError:  # Windows: the limit holds in each process by itself there
    fcntl = None  # type: ignore[assignment]

LOOK_AGAIN_SECONDS = 0.01
"""Least time between two looks for a free slot after one that found none."""

SHARE_SECONDS = 0.1
"""Seconds for which the number of processes that ask an endpoint is taken for known."""

MOST_PROCESSES = 64
"""Processes that are counted when slots are shared out; more of them than this get slots all the same."""

_PROCESSES_FROM = 1 << 20
"""The byte from which on each process that asks holds one, after those for requests."""


class EndpointSlots:
    """The slots of one endpoint, for this process. Safe to use from several threads.

    At most `limit` requests of all processes together hold one. While several processes ask, none takes more than its
    share, so that a busy one leaves some to the others. One object for each file: a process has its locks as a whole.
    """

    def __init__(self, path: Path, limit: int | None) -> None:
        self.limit = limit
        self._lock = threading.Lock()
        self._held: set[int] = set()
        self._unlimited = 0
        self._full_until = self._shared_until = 0.0
        self._processes = 1
        self._own_byte: int | None = None
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)

    def take(self) -> bool:
        """Take a slot; return False where none is free for this process now."""
        with self._lock:
            if self.limit is None:
                self._unlimited += 1
                return True
            now = time.monotonic()
            if now < self._full_until:
                return False
            self._join()
            if len(self._held) < self._share(now):
                for slot in range(self.limit):
                    if slot not in self._held and self._try(slot):
                        self._held.add(slot)
                        return True
            self._full_until = now + LOOK_AGAIN_SECONDS
            return False

    def give(self) -> None:
        """Give a slot back."""
        with self._lock:
            if self._unlimited:
                self._unlimited -= 1
                return
            if self._held:
                self._free(self._held.pop())
                self._full_until = 0.0

    def leave(self) -> None:
        """Note that this process has no request that waits or is under way: its share goes to the others."""
        with self._lock:
            if self._own_byte is not None and not self._held:
                self._free(self._own_byte)
                self._own_byte = None

    def _share(self, now: float) -> int:
        limit = self.limit or 0
        if now >= self._shared_until:
            self._shared_until = now + SHARE_SECONDS
            others = (_PROCESSES_FROM + number for number in range(MOST_PROCESSES))
            self._processes = 1 + sum(self._is_taken(byte) for byte in others if byte != self._own_byte)
        return max(1, -(-limit // self._processes))

    def _join(self) -> None:
        if self._own_byte is None:
            mine = (
                _PROCESSES_FROM + (os.getpid() + number) % MOST_PROCESSES for number in range(MOST_PROCESSES)
            )
            self._own_byte = next((byte for byte in mine if self._try(byte)), None)

    def _try(self, byte: int) -> bool:
        if fcntl is None:
            return True
        try:
            fcntl.lockf(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, byte)
        except OSError:
            return False
        return True

    def _is_taken(self, byte: int) -> bool:
        if fcntl is None:
            return False
        try:
            fcntl.lockf(self._file, fcntl.LOCK_SH | fcntl.LOCK_NB, 1, byte)
        except OSError:
            return True
        self._free(byte)
        return False

    def _free(self, byte: int) -> None:
        if fcntl is not None:
            with suppress(OSError):
                fcntl.lockf(self._file, fcntl.LOCK_UN, 1, byte)


class SharedLimit:
    """The limit on requests at once to each endpoint, for all processes of a folder; None: no limit.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     slots = SharedLimit(Path(folder), 1).slots("openai/https://localhost/v1")
    ...     slots.take(), slots.take()
    (True, False)
    """

    def __init__(self, folder: Path, limit: int | None) -> None:
        self._folder, self._limit = folder, limit
        self._slots: dict[str, EndpointSlots] = {}

    def set(self, limit: int | None) -> None:
        """Change the limit; requests under way finish."""
        self._limit = limit
        for slots in self._slots.values():
            slots.limit = limit

    def slots(self, endpoint: str) -> EndpointSlots:
        """Return the slots of an endpoint, the same ones each time."""
        if endpoint not in self._slots:
            name = hashlib.sha256(endpoint.encode()).hexdigest()[:24]
            self._slots[endpoint] = _slots_at(self._folder / f"{name}.lock", self._limit)
        return self._slots[endpoint]


def _slots_at(path: Path, limit: int | None) -> EndpointSlots:
    """Return this process's only object for a file: closing a second one would free the locks of the first."""
    with _opening:
        key = str(path.absolute())
        if key not in _opened:
            _opened[key] = EndpointSlots(path, limit)
        _opened[key].limit = limit
        return _opened[key]


FOLDER = "limits"
"""The folder of the locks, in the data folder."""

shared_limit: ContextVar[SharedLimit | None] = ContextVar("engine_lm_shared_limit", default=None)
"""The limit that holds for requests made here; None: none is shared with other processes."""

_opening = threading.Lock()
_opened: dict[str, EndpointSlots] = {}
