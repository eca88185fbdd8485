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
from dataclasses import dataclass
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


_FEW = 4
"""Requests in flight from which on a single refusal does not cut them: the second one does."""

_SAMPLE, _LARGE_SAMPLE = 16, 64
"""Requests from which the share that is refused anyway is learned first, and from which it is lowered later."""

_LARGEST_SHARE = 0.4
"""Largest share that can be told from an endpoint that takes fewer requests still."""


@dataclass(slots=True)
class _Wave:
    """The requests up to a cut: how many were in flight at most, were answered, and were refused."""

    peak: int = 0
    answered: int = 0
    refused: int = 1
    anyway: float = 0.0
    """The share that is refused however few are in flight."""

    @property
    def limit(self) -> float:
        """Requests in flight from now on: at least half of those before."""
        share = self.refused / (self.refused + self.answered)
        beyond = max(0.0, share - self.anyway) / (1 - self.anyway)
        return max(1.0, int(self.peak * (1 - beyond / 2)))


class AdaptiveLimiter:
    """The limits of one endpoint on one event loop: none, until the endpoint objects.

    Additive increase, multiplicative decrease, as TCP does it (Chiu and Jain, 1989): a 429 cuts the requests in
    flight, by half where nothing was answered since the last cut and by less the more was (as DCTCP does it, Alizadeh
    and others, 2010), and holds new ones back as long as the server asks; every answer after it lets a fraction more in.
    What was in flight at the cut counts when it is answered or refused: one refusal among many is no reason to halve.
    An endpoint may refuse a share of all requests, however few are in flight. That share is measured while at most two
    thirds of the most are in flight. Then the cuts are taken back, and only refusals beyond the share cut again.
    Requests and tokens a minute can be limited too, and with `slots` requests at once of several processes together.

    `acquire` before a request returns a ticket; afterwards call `succeeded` or `rate_limited` with it, and
    `release` in any case.
    """

    def __init__(self, requests_per_minute: int | None = None, tokens_per_minute: int | None = None) -> None:
        self.limit = math.inf
        self.active = self._timeouts = self._peak = self._answers = self._refused = 0
        self._heard = False
        self.slots: EndpointSlots | None = None
        self.requests_per_minute = requests_per_minute
        self.tokens_per_minute = tokens_per_minute
        self._era = 0
        self._wave = _Wave()
        self._largest = 0
        self._share = 0.0
        self._sampled = [0, 0]
        self._sampled_from, self._sample_size = 0, _SAMPLE
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
        return self._era

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
        self._answers += 1
        self._sample(ticket, refused=False)
        if self.tokens_per_minute is not None:
            self._tokens.append((time.monotonic(), tokens))
            self._token_sum += tokens
        if self.limit is math.inf:
            return
        if ticket == self._era:
            self.limit += 1 / self.limit
        elif ticket == self._era - 1:
            self._wave.answered += 1
            self.limit = max(self.limit, self._wave.limit)
            self._wake()
        if self.limit > _NO_LIMIT:
            self.limit = math.inf

    def failed(self, error: LMError) -> None:
        """Note another failure: a time-out, or a sign of life."""
        if isinstance(error, LMTimeoutError) and error.status is None:
            self._timeouts += 1
        elif not isinstance(error, UnreachableError):
            self._heard = True

    def rate_limited(self, ticket: int, retry_after: float | None = None) -> None:
        """Note a 429. Requests that started before the last cut do not cut again: one wave is one signal."""
        self._heard = True
        now = time.monotonic()
        self._closed_until = max(self._closed_until, now + min(retry_after or 0.0, WINDOW))
        self._sample(ticket, refused=True)
        if ticket == self._era:
            self._refused += 1
            anyway = self._share * (self._refused + self._answers)
            if self._refused <= (self._peak >= _FEW) + anyway + 1.5 * math.sqrt(anyway):
                return  # one of many: the endpoint may have meant that one alone
            self._era += 1
            self._wave = _Wave(self._peak, self._answers, self._refused, self._share)
            were_few = self._are_few
            self._largest = max(self._largest, self._peak)
            self.limit = self._wave.limit
            if self._are_few and not were_few:
                self._sampled, self._sampled_from = [0, 0], self._era
            self._peak = self._answers = self._refused = 0
        elif ticket == self._era - 1:
            self._wave.refused += 1

    def _sample(self, ticket: int, *, refused: bool) -> None:
        """Learn the share of requests that is refused however few are in flight; take back a cut that has not helped."""
        if not self._largest or ticket < self._sampled_from:
            return
        self._sampled[refused] += 1
        few = self._are_few
        if sum(self._sampled) < (self._sample_size if few else _LARGE_SAMPLE):
            return
        share = self._sampled[True] / sum(self._sampled)
        self._sampled = [0, 0]
        if not few:
            self._share = min(self._share, share)
            return
        before, self._share = self._share, share if share <= _LARGEST_SHARE else 0.0
        if self._share > before:
            self.limit = self._largest
            self._sample_size *= 2  # if it is cut as far again, the share was no constant
            self._wake()

    @property
    def _are_few(self) -> bool:
        return 3 * self.limit <= 2 * self._largest

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
