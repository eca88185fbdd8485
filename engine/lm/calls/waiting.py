"""Reasons for a call to wait: room in the budget, and an endpoint that is away.

An endpoint is away when calls have used up their tries and nothing sent since the first failure was answered. Its calls then
wait, and one of them at a time asks, with growing gaps, until something is answered. It knows no model, run, budget or page.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from weakref import WeakKeyDictionary

from engine.basics.text import duration
from engine.errors import LMError, RateLimitedError
from engine.lm.exchange import Reply, Request
from engine.records import Usage

Ask = Callable[[Request], Awaitable[Reply]]
"""Sends one request of a call, and again after failures that may pass."""

LONGEST_WAIT = 60.0
"""Seconds: a server that asks to wait longer is not waited for, unless there is patience for an endpoint that is away."""

another_request: ContextVar[Callable[[Usage | None], Awaitable[None]] | None] = ContextVar(
    "engine_lm_another_request", default=None
)
"""Counts what the request before has used and waits for room for one more of the same call; set by a budget."""


async def make_room(used: Usage | None) -> None:
    """Wait for room in the budget for one more request of this call; None: it is the first, for which there is room.

    Raises BudgetExhaustedError if there is none.
    """
    if (ask := another_request.get()) is not None:
        await ask(used)


# Endpoints that are away

LONGEST_GAP = 900.0
"""Seconds between two requests to an endpoint that is away, at most, unless a run sets another time."""

_FIRST_GAP, _LOOK_SECONDS = 1.0, 0.2

_ROUNDS = 5
"""Times that a call uses up all its tries while others are answered, before it fails: an endpoint may come and go."""


@dataclass(frozen=True, slots=True)
class Patience:
    """The way calls wait for an endpoint that is away.

    `longest_gap` is the most seconds between two requests to it. `look` waits during a pause, and raises BudgetExhaustedError
    once nothing more may be asked. `report` gets the endpoint's name and a message, "" once it answers.
    """

    longest_gap: float
    look: Callable[[], Awaitable[None]]
    report: Callable[[str, str], None]


patience: ContextVar[Patience | None] = ContextVar("engine_lm_patience", default=None)
"""The patience of calls made here; None: a call fails when its tries are used up. Set by a budget."""


@dataclass(eq=False, slots=True)
class Endpoint:
    """One model at one address: its failures since something was answered.

    `known` is the last request that was answered; without one its address may be wrong, and it is not waited for.
    """

    place: str
    """The name of the model at its address, as `Patience.report` gets it."""
    host: str
    known: Request | None = None
    failures: int = 0
    away: bool = False
    answered_at: float = 0.0
    back_at: float = 0.0
    seconds: float = 1.0
    """The time that an answer takes, on average; later ones count more."""
    _quiet_since: float = 0.0
    _last: LMError | None = None
    _turn: asyncio.Lock = field(default_factory=asyncio.Lock)

    def answered(self, request: Request, sent: float, seconds: float) -> None:
        """Note an answer; that to a request sent before the first failure says nothing of the time since."""
        self.seconds = seconds if self.known is None else 0.8 * self.seconds + 0.2 * seconds
        self.known, self.answered_at = request, time.monotonic()
        if self.failures and sent >= self._quiet_since:
            self.back_at = self.answered_at if self.away else self.back_at
            self.failures, self.away = 0, False

    def failed(self, error: LMError) -> None:
        """Note a failure; a refusal that will not pass is a sign of life."""
        if not error.retryable:
            self.failures, self.away = 0, False
            return
        if not self.failures:
            self._quiet_since = time.monotonic()
        self.failures += 1
        self._last = error

    def pace(self, began: float) -> float | None:
        """Return the time that an answer takes; None where there was none since a call began.

        For a call with patience, which does not end with its tries, one a moment before will do.
        """
        just_now = patience.get() is not None and time.monotonic() - self.answered_at < _FIRST_GAP
        return self.seconds if just_now or self.answered_at > began else None

    def is_to_blame(self, retries: int, error: LMError, began: float) -> bool:
        """Return whether a call that began then has failed because the endpoint is or was away, or refuses too much.

        `retries` is the number of tries after a call's first.
        """
        if self.known is None or not error.retryable:
            return False
        quiet = self.failures > retries
        quiet_long = quiet and time.monotonic() - self._quiet_since >= _FIRST_GAP
        self.away = self.away or quiet_long or (error.retry_after or 0) > LONGEST_WAIT
        return self.away or quiet or self.back_at > began or isinstance(error, RateLimitedError)

    async def probed(self, request: Request, ask: Ask, how: Patience) -> Reply | None:
        """Wait for this call's turn, and ask once; return None where another call was answered meanwhile.

        Where the call fails again, a request that was answered before is asked: it may be the call that cannot be answered.
        """
        async with self._turn:
            await self._gap(how)
            try:
                return await ask(_once(request)) if self.away else None
            except LMError as error:
                if self.away and self.known is not None:
                    with suppress(LMError):
                        reply = await ask(_once(self.known))
                        error.spent = Reply((), (error.spent.usage if error.spent else Usage()) + reply.usage)
                raise
            finally:
                if not self.away:
                    how.report(self.place, "")

    async def _gap(self, how: Patience) -> None:
        """Wait for half of the time since the first failure, or as long as the server asks; report it."""
        now = time.monotonic()
        quiet, asked = now - self._quiet_since, (self._last and self._last.retry_after) or 0.0
        gap = min(how.longest_gap, max(_FIRST_GAP, quiet / 2, asked))
        if self.away:
            times = f"for {duration(quiet)}; one call in {duration(gap)}"
            how.report(self.place, f"No answer from {self.host} {times}. {self._last}")
        while self.away and (rest := now + gap - time.monotonic()) > 0:
            await how.look()
            await asyncio.sleep(min(rest, _LOOK_SECONDS))
        await how.look()


def _once(request: Request) -> Request:
    return replace(request, params={**request.params, "num_retries": 0})


def endpoint_at(place: str, host: str) -> Endpoint:
    """Return what is known of a model's endpoint on the running event loop."""
    here = _endpoints.setdefault(asyncio.get_running_loop(), {})
    if place not in here:
        here[place] = Endpoint(place, host)
    return here[place]


_endpoints: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[str, Endpoint]] = WeakKeyDictionary()


async def outlast(endpoint: Endpoint, request: Request, ask: Ask, how: Patience, retries: int) -> Reply:
    """Ask again, however long it takes, where the tries were used up because the endpoint is away."""
    billed: list[Usage] = []
    rounds_left = _ROUNDS
    while True:
        began, probing = time.monotonic(), endpoint.away
        try:
            asked = request if rounds_left else _once(request)
            reply = await (endpoint.probed(request, ask, how) if probing else ask(asked))
        except LMError as error:
            used = error.spent.usage if error.spent else None
            if used is not None:
                billed.append(used)
            if not rounds_left or not endpoint.is_to_blame(retries, error, began):
                error.spent = Reply((), sum(billed, Usage())) if billed else None
                raise
            if not endpoint.away:  # others are answered, or it is too early to tell
                rounds_left = 0 if probing else rounds_left - 1
                await asyncio.sleep(_FIRST_GAP / 3)
            if used is not None:  # the tries before the last one have had their room
                await make_room(used if probing else Usage(calls=1))
            continue
        if reply is not None:
            return replace(reply, usage=sum(billed, reply.usage)) if billed else reply
        rounds_left = max(0, rounds_left - 1)
