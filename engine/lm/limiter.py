"""Limit of the requests under way at one endpoint: none, until the endpoint objects.

Additive increase, multiplicative decrease, as TCP does it (Chiu and Jain, 1989): a 429 halves the requests in
flight and holds new ones back as long as the server asks; every answer after it lets a fraction more in.
Requests and tokens a minute can be limited too. It knows no network: the client tells it what happened.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections import deque
from weakref import WeakKeyDictionary

WINDOW = 60.0
"""Seconds over which requests and tokens are counted."""


class AdaptiveLimiter:
    """The limits of one endpoint on one event loop.

    `acquire` before a request returns a ticket; afterwards call `succeeded` or `rate_limited` with it, and
    `release` in any case.
    """

    def __init__(self, requests_per_minute: int | None = None, tokens_per_minute: int | None = None) -> None:
        self.limit = math.inf
        self.active = 0
        self.requests_per_minute = requests_per_minute
        self.tokens_per_minute = tokens_per_minute
        self._era = 0
        self._closed_until = 0.0
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._starts: deque[float] = deque()
        self._tokens: deque[tuple[float, int]] = deque()
        self._token_sum = 0

    async def acquire(self) -> int:
        """Wait until a request may start."""
        while True:
            if self.active >= self.limit:
                await self._turn()
                continue
            pause = self._pause()
            if pause <= 0:
                break
            await asyncio.sleep(pause)
        self.active += 1
        if self.requests_per_minute is not None:
            self._starts.append(time.monotonic())
        return self._era

    def release(self) -> None:
        """Note that a request is over, whatever came of it."""
        self.active -= 1
        self._wake()

    def succeeded(self, ticket: int, tokens: int = 0) -> None:
        """Note an answer: the limit grows by one for each full round of them."""
        if self.tokens_per_minute is not None:
            self._tokens.append((time.monotonic(), tokens))
            self._token_sum += tokens
        if ticket == self._era and self.limit is not math.inf:
            self.limit += 1 / self.limit
            if self.limit > _NO_LIMIT:
                self.limit = math.inf

    def rate_limited(self, ticket: int, retry_after: float | None = None) -> None:
        """Note a 429. Requests that started before the last cut do not cut again: one wave is one signal."""
        now = time.monotonic()
        self._closed_until = max(self._closed_until, now + min(retry_after or 0.0, WINDOW))
        if ticket == self._era:
            self._era += 1
            self.limit = max(1.0, self.active // 2)

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
    endpoint: str, requests_per_minute: int | None = None, tokens_per_minute: int | None = None
) -> AdaptiveLimiter:
    """Return the one limiter of an endpoint on the running event loop; the strictest limits given win."""
    here = _limiters.setdefault(asyncio.get_running_loop(), {})
    limiter = here.get(endpoint)
    if limiter is None:
        limiter = here[endpoint] = AdaptiveLimiter()
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
