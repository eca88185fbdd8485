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

It knows models as `Model` and `Client`, and nothing of any provider's protocol.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Sequence
from contextvars import ContextVar
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Protocol

from engine import callbacks as hooks
from engine.errors import (
    BadReplyError,
    LMError,
    LMTimeoutError,
    RateLimitedError,
    SilentEndpointError,
)
from engine.lm.calls import history, speeds
from engine.lm.calls.limits import SILENT_REQUESTS, AdaptiveLimiter, limiter_for
from engine.lm.calls.waiting import LONGEST_WAIT, Endpoint, endpoint_at, make_room, outlast, patience
from engine.lm.exchange import Reply, Request, priced
from engine.lm.keys import without_secrets
from engine.lm.transports.failures import blank, silent
from engine.loop import tried_again
from engine.records import Usage
from engine.runtime import current

if TYPE_CHECKING:
    from engine.lm.calls.cache import Cache
    from engine.lm.choice import Route
    from engine.lm.exchange import Middleware, Send, Transport


class Model(Protocol):
    """Any model, as far as the layers need it; `engine.lm.base.BaseLM` says more."""

    def answer(self, request: Request) -> Awaitable[Reply]:
        """Answer a request by way of the model itself."""


class Client(Model, Protocol):
    """A client of an endpoint, as far as `IN_LM` needs it; `engine.lm.client.LM` says more."""

    model_type: str
    history: list[history.Call]
    route: Route
    num_retries: int
    """Tries after the first."""
    timeout: float
    """Seconds for one try."""
    rpm: int | None
    tpm: int | None

    @property
    def place(self) -> str:
        """The name of the model at its address."""

    @property
    def computes(self) -> bool:
        """True if nothing is sent anywhere."""

    @property
    def may_say_nothing(self) -> bool:
        """True if an empty answer is accepted."""

    def price(self) -> tuple[float, float] | None:
        """Return US dollars per input and per output token."""

    def cache_for(self, request: Request) -> tuple[Request, Cache | None]:
        """Return the request without its own cache setting, and the cache that holds for it."""

    def cache_key(self, request: Request) -> str:
        """Return the key under which the answer is stored."""

    def with_marks(self, request: Request) -> Request:
        """Return the request with marks for the provider's prompt cache."""

    def transport(self) -> Transport:
        """Return the way requests travel."""


async def send(lm: Model, request: Request, last: Send | None = None) -> Reply:
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


def answer(lm: Model, request: Request) -> Awaitable[Reply]:
    """Have the model itself answer."""
    return lm.answer(request)


async def reported(lm: Model, request: Request, send: Send) -> Reply:
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


async def recorded(lm: Client, request: Request, send: Send) -> Reply:
    """Keep the call in the model's history."""
    try:
        reply = await send(lm, request)
    except LMError as error:
        history.record(lm.history, lm.model_type, request, None, str(error))
        raise
    history.record(lm.history, lm.model_type, request, reply)
    return reply


async def cached(lm: Client, request: Request, send: Send) -> Reply:
    """Return the kept reply to an equal request, or ask and keep the reply."""
    request, cache = lm.cache_for(request)
    if cache is None:
        return await send(lm, request)

    async def buy() -> Reply:
        await make_room(None)
        return await send(lm, request)

    reply = await cache.fetch(lm.cache_key(request), buy, faulty=lm.may_say_nothing)
    if patience.get() is not None and (endpoint := _endpoint(lm)).known is None:
        endpoint.known = request  # answered once, also where that was in an earlier process
    return priced(reply, lm.price())


async def completed(lm: Client, request: Request, send: Send) -> Reply:
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


async def patient(lm: Client, request: Request, send: Send) -> Reply:
    """Ask again, however long it takes, where the endpoint is away and a run has patience."""
    how = patience.get()
    if how is None or lm.computes:
        return await send(lm, request)
    return await outlast(_endpoint(lm), request, partial(send, lm), how, lm.num_retries)


async def retried(lm: Client, request: Request, send: Send) -> Reply:
    """Ask up to `num_retries` times more after failures that may pass, as late as the server asks.

    An answer with nothing in it is one of them. (It is never kept: a failure is not.) What such answers have cost is added to
    the reply's usage, or is the error's; after each of them the next try needs room in the budget. Raises SilentEndpointError
    where the endpoint has let a number of requests time out and has never answered one, BudgetExhaustedError.
    """
    limiter, endpoint, first_failure = _limiter(lm), _endpoint(lm), 0.0
    thrown_away: list[Usage] = []
    used: Usage | None = None

    def silent_now() -> SilentEndpointError:
        return silent(lm.route.host, lm.route.name, lm.timeout, SILENT_REQUESTS)

    async def asked(attempt: int) -> Reply:
        if attempt > 1 and limiter.silent:
            raise silent_now()
        if used is not None:
            await make_room(used)
        return _filled(lm, await send(lm, request))

    def wait(error: LMError, attempt: int) -> float:
        nonlocal first_failure, used
        first_failure = first_failure or time.monotonic()
        if (used := _billed(error)) is not None:
            thrown_away.append(used)
        if attempt > _retries(lm, request) or limiter.silent or endpoint.away or not _may_pass(error):
            last = silent_now() if isinstance(error, LMTimeoutError) and limiter.silent else error
            if thrown_away:
                last.spent = Reply((), sum(thrown_away, Usage()))
            raise last from (None if last is not error else error.__cause__)
        return seconds_to_wait(error, attempt, endpoint.pace(first_failure))

    reply = await tried_again(asked, LMError, wait)
    return replace(reply, usage=sum(thrown_away, reply.usage)) if thrown_away else reply


def _billed(error: LMError) -> Usage | None:
    """Return what a failed try has used as far as is known; None for one that the endpoint did not work for."""
    spent: Reply | None = error.spent
    if spent is not None:
        return spent.usage
    late = isinstance(error, LMTimeoutError) and error.status is None
    return Usage(calls=1) if late or isinstance(error, BadReplyError) else None


def _filled(lm: Client, reply: Reply) -> Reply:
    if reply.faulty and not lm.may_say_nothing:
        raise blank(lm.route.host, lm.route.name, reply)
    return reply


def _retries(lm: Client, request: Request) -> int:
    """Return the number of tries after the first; a call may bring its own."""
    given = request.params.get("num_retries", request.params.get("max_retries"))
    return lm.num_retries if given is None else int(given)


def _may_pass(error: LMError) -> bool:
    return error.retryable and (error.retry_after or 0) <= LONGEST_WAIT


def seconds_to_wait(error: LMError, attempt: int, answer_seconds: float | None = None) -> float:
    """Return what the server asks and up to a quarter more, else a short wait, then exponential ones with full jitter.

    `answer_seconds` is the time that an answer takes where the endpoint gives answers meanwhile. Then no wait grows, as
    the limiter holds back what is too much: after a second refusal it is near that time, and all others are short.
    """
    if error.retry_after is not None:
        return error.retry_after * (1 + random.random() / 4) + random.random() / 20
    if answer_seconds is None and attempt > 1:
        return random.uniform(_SHORTEST_WAIT, min(LONGEST_WAIT, 2.0 ** (attempt - 1)))
    longest = max(2 * _SHORTEST_WAIT, min(LONGEST_WAIT, 1.0 if answer_seconds is None else answer_seconds))
    if attempt == 1 or not isinstance(error, RateLimitedError):
        return random.uniform(_SHORTEST_WAIT, min(_FIRST_WAIT, longest))  # most failures have passed at once
    return random.uniform(longest / 2, longest)


_SHORTEST_WAIT, _FIRST_WAIT = 0.05, 0.25


async def limited(lm: Client, request: Request, send: Send) -> Reply:
    """Wait for a free place at the endpoint, and report to its limiter how the call ended."""
    limiter, endpoint = _limiter(lm), _endpoint(lm)
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
    endpoint.answered(request, sent, reply.seconds)
    limiter.succeeded(ticket, reply.usage.tokens)
    speeds.note(lm.place, reply.seconds, reply.usage.output_tokens)
    return reply


def _endpoint(lm: Client) -> Endpoint:
    return endpoint_at(lm.place, lm.route.host)


def _limiter(lm: Client) -> AdaptiveLimiter:
    return limiter_for(lm.route.endpoint, lm.rpm, lm.tpm, shared=not lm.computes)


def transmitted(lm: Client, request: Request) -> Awaitable[Reply]:
    """Send the request to the endpoint, once; a model that computes here may compute elsewhere."""
    computer = computed_by.get()
    if computer is not None and lm.computes:
        return computer(lm, request)
    return lm.transport().send(request)


computed_by: ContextVar[Callable[[Client, Request], Awaitable[Reply]] | None] = ContextVar(
    "engine_lm_computed_by", default=None
)
"""The process that answers for models that compute, where it is not this one: a worker of a run that is spread over several."""


IN_LM = (recorded, cached, completed, patient, retried, limited)
"""The layers of `LM.complete`, outermost first."""

_answer_in_lm = chained(IN_LM, transmitted)


def answer_by_layers(lm: Client, request: Request) -> Awaitable[Reply]:
    """Answer a request by way of `IN_LM`."""
    return _answer_in_lm(lm, request)
