"""Limits on the requests to one endpoint: of this process, which adapt to refusals, and of all processes of a data folder.

The order in which a request passes them is `AdaptiveLimiter.acquire`: requests in flight, the pause that the endpoint asks
for, requests and tokens a minute, and a slot shared with other processes. Processes share slots as locked bytes of a file,
which the system frees however a process ends. It must not know any run or store.
"""

from __future__ import annotations

import asyncio
import hashlib
import math
import os
import threading
import time
from collections import deque
from contextlib import suppress
from contextvars import ContextVar
from pathlib import Path
from weakref import WeakKeyDictionary

from engine.errors import LMError, LMTimeoutError, UnreachableError

try:
    import fcntl
except ImportError:  # Windows: the limit holds in each process by itself there
    fcntl = None  # type: ignore[assignment]

SILENT_REQUESTS = 4
"""Time-outs without any answer before them after which an endpoint counts as silent: with four or more calls at once, the first."""

SLOT_SECONDS = 0.02
"""Seconds between two looks for a slot that other processes may have freed."""

WINDOW = 60.0
"""Seconds over which requests and tokens are counted."""


_SAMPLE = 8
"""Least number of requests, refused or answered, after which the limit is looked at."""

_TOLERABLE = 0.4
"""Share of refused requests that does not lower the limit: an endpoint may refuse as many, however few are in flight."""


class AdaptiveLimiter:
    """The limits of one endpoint on one event loop: none, until the endpoint objects.

    Additive increase, multiplicative decrease, as TCP does it (Chiu and Jain, 1989): every answer lets a fraction more
    in; once more than the tolerable share of a round of requests was refused, the requests in flight are cut to the
    number at which no more than that share is refused if those answered are all that the endpoint takes (as DCTCP
    cuts by the share of marks, Alizadeh and others, 2010). A 429 holds new requests back as long as the server asks.
    Requests and tokens a minute can be limited too, and with `slots` requests at once of several processes together.

    `acquire` before a request returns a ticket; afterwards call `succeeded` or `rate_limited` with it, and
    `release` in any case.
    """

    def __init__(self, requests_per_minute: int | None = None, tokens_per_minute: int | None = None) -> None:
        self.limit = math.inf
        self.active = self._timeouts = self._peak = self._answered = self._refused = 0
        self._heard = False
        self.slots: EndpointSlots | None = None
        self.requests_per_minute = requests_per_minute
        self.tokens_per_minute = tokens_per_minute
        self._cuts = 0
        self._closed_until = 0.0
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._starts: deque[float] = deque()
        self._tokens: deque[tuple[float, int]] = deque()
        self._token_sum = 0

    @property
    def silent(self) -> bool:
        """True if the endpoint has let `SILENT_REQUESTS` time out, and has never answered anything, be it a refusal."""
        return not self._heard and self._timeouts >= SILENT_REQUESTS

    async def acquire(self) -> int:
        """Wait until a request may start."""
        while True:
            if self.active >= self.limit:
                await self._turn()
                continue
            pause = self._pause()
            if pause > 0:
                await asyncio.sleep(pause)
                continue
            if self.slots is None or self.slots.take():
                break
            with suppress(TimeoutError):  # another process gives no word when it frees a slot
                await asyncio.wait_for(self._turn(), SLOT_SECONDS)
        self.active += 1
        self._peak = max(self._peak, self.active)
        if self.requests_per_minute is not None:
            self._starts.append(time.monotonic())
        return self._cuts

    def release(self) -> None:
        """Note that a request is over, whatever came of it."""
        self.active -= 1
        if self.slots is not None:
            self.slots.give()
            if not self.active and not self._waiting:
                self.slots.leave()
        self._wake()

    def succeeded(self, ticket: int, tokens: int = 0) -> None:
        """Note an answer: the limit grows by one for each full round of them."""
        self._heard = True
        if self.tokens_per_minute is not None:
            self._tokens.append((time.monotonic(), tokens))
            self._token_sum += tokens
        if ticket == self._cuts:
            self._answered += 1
            self.limit += 1 / self.limit
            self._end_round()
        if self.limit > _NO_LIMIT:
            self.limit = math.inf

    def failed(self, error: LMError) -> None:
        """Note another failure: a time-out, or a sign of life."""
        if isinstance(error, LMTimeoutError) and error.status is None:
            self._timeouts += 1
        elif not isinstance(error, UnreachableError):
            self._heard = True

    def rate_limited(self, ticket: int, retry_after: float | None = None) -> None:
        """Note a 429. Requests that started before the last cut count no more: they say nothing of the limit since."""
        self._heard = True
        self._closed_until = max(self._closed_until, time.monotonic() + min(retry_after or 0.0, WINDOW))
        if ticket == self._cuts:
            self._refused += 1
            self._end_round()

    def _end_round(self) -> None:
        """Cut the limit if too many were refused of a round, which is as many requests as were in flight."""
        requests, most = self._answered + self._refused, min(self.limit, self._peak)
        if requests < max(_SAMPLE, most):
            return
        chance = math.sqrt(requests * _TOLERABLE * (1 - _TOLERABLE))  # one standard deviation
        if most >= 2 and self._refused > requests * _TOLERABLE + chance:
            self.limit = max(1.0, most * self._answered / requests / (1 - _TOLERABLE))
            self._cuts += 1
        self._answered, self._refused, self._peak = 0, 0, self.active

    def _pause(self) -> float:
        now = time.monotonic()
        pause = self._closed_until - now
        if self.requests_per_minute is not None:
            while self._starts and self._starts[0] <= now - WINDOW:
                self._starts.popleft()
            if len(self._starts) >= self.requests_per_minute:
                pause = max(pause, self._starts[0] + WINDOW - now)
        if self.tokens_per_minute is not None:
            while self._tokens and self._tokens[0][0] <= now - WINDOW:
                self._token_sum -= self._tokens.popleft()[1]
            if self._token_sum >= self.tokens_per_minute:
                pause = max(pause, self._tokens[0][0] + WINDOW - now)
        return pause

    async def _turn(self) -> None:
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(waiter)
        try:
            await waiter
        except asyncio.CancelledError:
            with suppress(ValueError):  # it was taken out when its turn came
                self._waiting.remove(waiter)
            if waiter.done() and not waiter.cancelled():
                # The turn was given to a request that is gone: pass it on.
                self._wake()
            raise

    def _wake(self) -> None:
        free = self.limit - self.active
        while self._waiting and free >= 1:
            waiter = self._waiting.popleft()
            if not waiter.done():
                waiter.set_result(None)
                free -= 1


def limiter_for(
    endpoint: str, requests_per_minute: int | None, tokens_per_minute: int | None, *, shared: bool
) -> AdaptiveLimiter:
    """Return the one limiter of an endpoint on the running event loop; the strictest limits given win.

    `shared` says that the limit of all processes holds for it too, where there is one.
    """
    here = _limiters.setdefault(asyncio.get_running_loop(), {})
    limiter = here.get(endpoint)
    if limiter is None:
        limiter = here[endpoint] = AdaptiveLimiter()
    if shared and limiter.slots is None and (limit := shared_limit.get()) is not None:
        limiter.slots = limit.slots(endpoint)
    if requests_per_minute is not None:
        limiter.requests_per_minute = min(
            limiter.requests_per_minute or requests_per_minute, requests_per_minute
        )
    if tokens_per_minute is not None:
        limiter.tokens_per_minute = min(limiter.tokens_per_minute or tokens_per_minute, tokens_per_minute)
    return limiter


_NO_LIMIT = 1024
"""A limit that has grown past this is none."""

_limiters: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[str, AdaptiveLimiter]] = WeakKeyDictionary()


# Slots that processes share

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
