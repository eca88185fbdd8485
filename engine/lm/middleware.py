"""Everything that goes round a model's call, in order, outermost first.

    `send`, for every model:
        reported       callbacks hear of the start and the end (`engine.callbacks`)
        the context's  `Runtime.middleware`: replies noted, samples numbered, the budget of a search
        `BaseLM.answer`, which asks `BaseLM.complete`, which a model of your own defines
    `IN_LM`, inside `LM.complete`:
        recorded       the history of the last calls
        cached         a kept reply, or the next layers and the reply kept
        completed      all `n` completions, also where the endpoint gives one at a time
        patient        again, however long it takes, where the endpoint is away and a run has patience
        retried        again after a failure that may pass
        limited        the endpoint's limits, and its speed measured; a call that waits for its next try takes none of them
        transmitted    one request, once, by the transport

It knows models by their public side and nothing of any provider's protocol.
"""

from __future__ import annotations

import asyncio
import math
import random
import time
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from contextvars import ContextVar
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

from tenacity import (
    AsyncRetrying,
    RetryCallState,
    retry_if_exception,
    stop_after_attempt,
    wait_random_exponential,
)

from engine import callbacks as hooks
from engine.errors import (
    BadReplyError,
    LMError,
    LMTimeoutError,
    RateLimitedError,
    SilentEndpointError,
    UnreachableError,
)
from engine.lm import history, speeds
from engine.lm.exchange import Reply, Request, priced
from engine.lm.keys import without_secrets
from engine.lm.slots import EndpointSlots, shared_limit
from engine.lm.transports.failures import blank, silent
from engine.lm.waiting import LONGEST_WAIT, endpoint_for, make_room, patience, patient
from engine.records import Usage
from engine.runtime import current

if TYPE_CHECKING:
    from engine.lm.base import BaseLM
    from engine.lm.client import LM
    from engine.runtime import Middleware, Send


async def send(lm: BaseLM, request: Request, last: Send | None = None) -> Reply:
    """Answer a request by way of all layers, as programs do: it is reported, and counts against the budget in force.

    `last` is what asks the model where that is not `BaseLM.answer`.
    """
    layers = current().middleware
    if hooks.listeners(lm):  # otherwise the call does not pay for a layer that has nothing to do
        layers = (reported, *layers)
    return await chained(layers, last or answer)(lm, request)


def chained(layers: Sequence[Middleware], last: Send) -> Send:
    """Return the function that asks the first layer, which asks the next one, and so on to `last`."""
    for layer in reversed(layers):
        last = partial(layer, send=last)
    return last


def answer(lm: BaseLM, request: Request) -> Awaitable[Reply]:
    """Have the model itself answer."""
    return lm.answer(request)


async def reported(lm: BaseLM, request: Request, send: Send) -> Reply:
    """Report the call's start and end to the callbacks."""
    if not hooks.listeners(lm):
        return await send(lm, request)
    prompt = history.prompt_of(request.messages)
    params = without_secrets(request.params)
    more = {"prompt": prompt, "kwargs": params}
    heard = hooks.Arguments({"messages": request.messages, **params}, more)
    with hooks.observed("lm", lm, heard) as note:
        reply = await send(lm, request)
        note(Texts(reply))
        return reply


class Texts(list[str]):
    """The completions' texts, as callbacks get them; `reply` is all that came, with usage and cost."""

    def __init__(self, reply: Reply) -> None:
        super().__init__(choice.text for choice in reply.choices)
        self.reply = reply


async def recorded(lm: LM, request: Request, send: Send) -> Reply:
    """Keep the call in the model's history."""
    try:
        reply = await send(lm, request)
    except LMError as error:
        history.record(lm, request, None, str(error))
        raise
    history.record(lm, request, reply)
    return reply


async def cached(lm: LM, request: Request, send: Send) -> Reply:
    """Return the kept reply to an equal request; where there is none, ask and keep the reply."""
    request, cache = lm.cache_for(request)
    if cache is None:
        return await send(lm, request)

    async def buy() -> Reply:
        await make_room(None)
        return await send(lm, request)

    reply = await cache.fetch(lm.cache_key(request), buy, faulty=lm.may_say_nothing)
    if patience.get() is not None and (endpoint := endpoint_for(lm)).known is None:
        endpoint.known = request  # answered once, also where that was in an earlier process
    return priced(reply, lm.price())


async def completed(lm: LM, request: Request, send: Send) -> Reply:
    """Ask, and ask again for what is missing where the endpoint takes no `n`."""
    request = lm.with_marks(request)
    reply = await send(lm, request)
    wanted = request.params.get("n") or 1
    missing = wanted - len(reply.choices)
    if missing <= 0:
        return reply
    single = replace(request, params={k: v for k, v in request.params.items() if k != "n"})
    for _ in range(missing):
        await make_room(Usage())
    more = await asyncio.gather(*(send(lm, single) for _ in range(missing)))
    choices = (*reply.choices, *(choice for other in more for choice in other.choices))
    return replace(reply, choices=choices[:wanted], usage=sum((other.usage for other in more), reply.usage))


async def retried(lm: LM, request: Request, send: Send) -> Reply:
    """Ask up to `num_retries` times more after failures that may pass, as late as the server asks.

    An answer with nothing in it is one of them. (It is never kept: a failure is not.) What such answers have cost is added to
    the reply's usage, or is the error's; after each of them the next try needs room in the budget. Raises SilentEndpointError
    where the endpoint has let a number of requests time out and has never answered one, BudgetExhaustedError.
    """
    try:
        return _filled(lm, await send(lm, request))
    except LMError as error:
        # tenacity gets the first failure as well; a call that succeeds does not pay its 27-46 microseconds, a tenth of a row.
        failures = [error]

    limiter, endpoint, began = limiter_for(lm), endpoint_for(lm), time.monotonic()
    thrown_away: list[Usage] = []
    counted = 0

    def silent_now() -> SilentEndpointError:
        return silent(lm.route.host, lm.route.name, lm.timeout, SILENT_REQUESTS)

    async def attempt() -> Reply:
        nonlocal counted
        try:
            if failures:
                raise failures.pop()
            if limiter.silent:
                raise silent_now()
            if len(thrown_away) > counted:
                counted = len(thrown_away)
                await make_room(thrown_away[-1])
            return _filled(lm, await send(lm, request))
        except LMError as error:
            if (usage := _billed(error)) is not None:
                thrown_away.append(usage)
            raise

    retrying = AsyncRetrying(
        stop=stop_after_attempt(1 + _retries(lm, request)),
        retry=retry_if_exception(lambda error: not (limiter.silent or endpoint.away) and _may_pass(error)),
        wait=lambda state: seconds_to_wait(state, others_answered=endpoint.answered_at > began),
        reraise=True,
    )
    try:
        reply: Reply = await retrying(attempt)
    except LMError as error:
        last = silent_now() if isinstance(error, LMTimeoutError) and limiter.silent else error
        if thrown_away:
            last.spent = Reply((), sum(thrown_away, Usage()))
        if last is not error:
            raise last from None
        raise
    return replace(reply, usage=sum(thrown_away, reply.usage)) if thrown_away else reply


def _billed(error: LMError) -> Usage | None:
    """Return what a failed try has used as far as is known; None for one that the endpoint did not work for."""
    if error.spent is not None:
        return error.spent.usage
    late = isinstance(error, LMTimeoutError) and error.status is None
    return Usage(calls=1) if late or isinstance(error, BadReplyError) else None


def _filled(lm: LM, reply: Reply) -> Reply:
    if reply.faulty and not lm.may_say_nothing:
        raise blank(lm.route.host, lm.route.name, reply)
    return reply


def _retries(lm: LM, request: Request) -> int:
    """Return the number of tries after the first; a call may bring its own."""
    given = request.params.get("num_retries", request.params.get("max_retries"))
    return lm.num_retries if given is None else int(given)


def _may_pass(error: BaseException) -> bool:
    return isinstance(error, LMError) and error.retryable and (error.retry_after or 0) <= LONGEST_WAIT


def seconds_to_wait(state: RetryCallState, *, others_answered: bool = False) -> float:
    """Return what the server asks and up to a quarter more, else a short wait, then exponential ones with full jitter.

    Where the failure is no refusal, and others were answered since, all waits are short: a batch waits for its slowest call.
    """
    error = state.outcome.exception() if state.outcome is not None else None
    asked = error.retry_after if isinstance(error, LMError) else None
    if asked is not None:
        return asked * (1 + random.random() / 4) + random.random() / 20
    if state.attempt_number == 1 or (others_answered and not isinstance(error, RateLimitedError)):
        return random.uniform(*_FIRST_WAIT)  # most failures have passed at once
    return _EXPONENTIAL(state)


_FIRST_WAIT = (0.05, 0.25)
_EXPONENTIAL = wait_random_exponential(min=0.05, max=LONGEST_WAIT)


async def limited(lm: LM, request: Request, send: Send) -> Reply:
    """Wait for a free place at the endpoint, and report to its limiter how the call ended."""
    limiter, endpoint = limiter_for(lm), endpoint_for(lm)
    ticket, sent = await limiter.acquire(), time.monotonic()
    try:
        reply = await send(lm, request)
    except LMError as error:
        endpoint.failed(error)
        if isinstance(error, RateLimitedError):
            limiter.rate_limited(ticket, error.retry_after)
        else:
            limiter.failed(error)
        raise
    finally:
        limiter.release()
    endpoint.answered(request, sent)
    limiter.succeeded(ticket, reply.usage.tokens)
    speeds.note(lm.place, reply.seconds, reply.usage.output_tokens)
    return reply


def transmitted(lm: LM, request: Request) -> Awaitable[Reply]:
    """Send the request to the endpoint, once; a model that computes here may compute elsewhere."""
    computer = computed_by.get()
    if computer is not None and lm.computes:
        return computer(lm, request)
    return lm.transport().send(request)


computed_by: ContextVar[Callable[[LM, Request], Awaitable[Reply]] | None] = ContextVar(
    "engine_lm_computed_by", default=None
)
"""The process that answers for models that compute, where it is not this one: a worker of a run that is spread over several."""


IN_LM = (recorded, cached, completed, patient, retried, limited)
"""The layers of `LM.complete`, outermost first."""

answer_of = chained(IN_LM, transmitted)
"""Answers a request by way of `IN_LM`."""


# Limits

SILENT_REQUESTS = 4
"""Time-outs without any answer before them after which an endpoint counts as silent: with four or more calls at once, the first."""

SLOT_SECONDS = 0.02
"""Seconds between two looks for a slot that other processes may have freed."""

WINDOW = 60.0
"""Seconds over which requests and tokens are counted."""


_FEW = 4
"""Requests in flight from which on a single refusal does not cut them: the second one does."""


@dataclass(slots=True)
class _Wave:
    """The requests up to a cut: how many were in flight at most, were answered, and were refused."""

    peak: int = 0
    answered: int = 0
    refused: int = 1

    @property
    def limit(self) -> float:
        """Requests in flight from now on: at least half of those before."""
        return max(1.0, int(self.peak * (1 - self.refused / (self.refused + self.answered) / 2)))


class AdaptiveLimiter:
    """The limits of one endpoint on one event loop: none, until the endpoint objects.

    Additive increase, multiplicative decrease, as TCP does it (Chiu and Jain, 1989): a 429 cuts the requests in
    flight, by half where nothing was answered since the last cut and by less the more was (as DCTCP does it, Alizadeh
    and others, 2010), and holds new ones back as long as the server asks; every answer after it lets a fraction more in.
    What was in flight at the cut counts when it is answered or refused: one refusal among many is no reason to halve.
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
        if ticket == self._era:
            self._refused += 1
            if self._refused == 1 and self._peak >= _FEW:
                return  # one of many: the endpoint may have meant that one alone
            self._era += 1
            self._wave = _Wave(self._peak, self._answers, self._refused)
            self.limit = self._wave.limit
            self._peak = self._answers = self._refused = 0
        elif ticket == self._era - 1:
            self._wave.refused += 1

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


def limiter_for(lm: LM) -> AdaptiveLimiter:
    """Return the one limiter of a model's endpoint on the running event loop; the strictest limits given win."""
    here = _limiters.setdefault(asyncio.get_running_loop(), {})
    limiter = here.get(lm.route.endpoint)
    if limiter is None:
        limiter = here[lm.route.endpoint] = AdaptiveLimiter()
    if (shared := shared_limit.get()) is not None and not lm.computes and limiter.slots is None:
        limiter.slots = shared.slots(lm.route.endpoint)
    if lm.rpm is not None:
        limiter.requests_per_minute = min(limiter.requests_per_minute or lm.rpm, lm.rpm)
    if lm.tpm is not None:
        limiter.tokens_per_minute = min(limiter.tokens_per_minute or lm.tpm, lm.tpm)
    return limiter


_NO_LIMIT = 1024
"""A limit that has grown past this is none."""

_limiters: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[str, AdaptiveLimiter]] = WeakKeyDictionary()
