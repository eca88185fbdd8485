"""The budget: limits on calls, tokens, money and seconds, and the ledger that enforces them.

It must not know any search, program or store. A call that would pass a limit is not made. Calls are counted exactly;
tokens and money are reserved by an upper estimate before the call and settled with what the reply cost. A call that
only reservations in flight prevent waits for them to settle, so the last of a budget is used too. Near a limit the calls of
a row wait until the rows before it are over, so that the same rows get the last of a budget each time.
"""

from __future__ import annotations

import asyncio
import time
from bisect import bisect_left
from collections import Counter
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping
from contextvars import ContextVar
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from engine.basics.text import counted, dollars, duration, short
from engine.errors import (
    BudgetExhaustedError,
    ConfigurationError,
    ContextWindowExceededError,
    InvalidRequestError,
    LMError,
    SilentEndpointError,
    spent_by,
)
from engine.lm.calls.middleware import answer
from engine.lm.calls.waiting import Patience, another_request, patience
from engine.lm.exchange import message_tokens
from engine.records import Usage

if TYPE_CHECKING:
    from engine.lm.base import BaseLM, Reply, Request
    from engine.lm.exchange import Middleware, Send

_ROLLOUTS = 1000
LIMIT_WORDS: dict[str, Callable[[float], str]] = {
    "calls": "{:,} calls".format,
    "tokens": "{:,} tokens".format,
    "usd": "{:,.2f} US dollars".format,
    "seconds": duration,
}
"""Limit -> a function that writes a value of it."""


class Budget(BaseModel):
    """Limits on a run; None means no limit of that kind. `usd` is US dollars. Wherever one is taken, a number means calls.

    >>> Budget(calls=100) == Budget.of(100)
    True
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    calls: int | None = Field(default=None, ge=1)
    tokens: int | None = Field(default=None, ge=1)
    usd: float | None = Field(default=None, gt=0)
    seconds: float | None = Field(default=None, gt=0)

    @model_validator(mode="before")
    @classmethod
    def _of_calls(cls, given: object) -> object:
        return {"calls": given} if isinstance(given, int | float) else given

    @classmethod
    def of(cls, given: object) -> Budget:
        """Return a budget in any form, None meaning no limits. Raises ConfigurationError for what is none."""
        try:
            return cls.model_validate({} if given is None else given)
        except ValidationError:
            raise ConfigurationError(
                f"A budget is a number of calls, or Budget(calls=50, usd=2.5); not {given!r}."
            ) from None

    @property
    def words(self) -> str:
        """The limits in words."""
        limits = (
            self.calls and counted(self.calls, "call"),
            self.tokens and f"{short(self.tokens)} tokens",
            self.usd and dollars(self.usd),
            self.seconds and duration(self.seconds),
        )
        return ", ".join(limit for limit in limits if limit) or "no limit"


@dataclass(frozen=True, slots=True)
class Amount:
    """An amount of the budget; for a call its upper bound before the call, and its cost after."""

    calls: float = 0
    tokens: float = 0
    usd: float = 0.0
    seconds: float = 0.0

    def __add__(self, other: Amount) -> Amount:
        seconds = self.seconds + other.seconds
        return Amount(self.calls + other.calls, self.tokens + other.tokens, self.usd + other.usd, seconds)

    def __sub__(self, other: Amount) -> Amount:
        return self + Amount(-other.calls, -other.tokens, -other.usd, -other.seconds)


Closing = Literal["budget", "stopped", "failed"]

# Consecutive failed calls after which a run ends: when no call has ever succeeded (a wrong key, an unknown
# model), and later (an endpoint that went away).
FAILURES_AT_START = 8
FAILURES_LATER = 25

# Replies after which their sizes say more about the next one than a guess does.
_SIZES_TO_TRUST = 5

Place = tuple[int, int, str]
"""Order in a batch (the ask, and the row or sample in it), and what has it: "row" or "sample"."""

FIRST: Place = (-1, 0, "row")
place_of_call: ContextVar[Place] = ContextVar("engine_search_place", default=FIRST)
"""Place of the row or sample that makes the calls here; FIRST is before all others, as for what a user waits for."""


class Ledger:
    """Enforces a budget over everything a run does. Not thread-safe: it lives on one event loop.

    `spent` counts against the limits, and so does `lost`: what an earlier process had sent, and no answer came (plans leave it
    out, so they are as before). `bought` is what earlier processes paid for and the call cache has: a call that is not in it
    needs room next to all of that, replayed or not. `note_send`, where it is set, notes a call before it leaves and returns
    what takes the note back; that of a failed call stays, as it may have been paid for. A cached reply costs nothing, except one that `payer`
    (this run, before it was killed) paid for: it counts once a key, so that a run driven again decides
    everything as it did before; `replayed` is that part of `spent`. `replies` are those with content. `closed` is the
    message why no further call is made. Failures of `spare` models, which the run can do without, do not end it.
    """

    def __init__(
        self,
        budget: Budget,
        *,
        payer: str | None = None,
        seconds_before: float = 0.0,
        failures_later: int = FAILURES_LATER,
        spare: Collection[str] = (),
        calls_a_row: int = 1,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.budget = budget
        self.spent = self.replayed = Usage()
        self.closed: str | None = None
        self.closing: Closing | None = None
        self.replies = self.raised = 0
        self.patience: Patience | None = None
        self._payer = payer
        self._counts_amounts = budget.tokens is not None or budget.usd is not None
        self._kept_back, self._first = Amount(), None  # type: Amount, Amount | None
        self._reserved, self._settled = Amount(), asyncio.Event()
        self._counted: set[str] = set()
        self._replayed: set[str] = set()
        self._failures_later, self._spare = failures_later, frozenset(spare)
        self._failures = self._latency_count = self._pausers = 0
        self._known_sizes, self._longest_output = Counter[str](), Counter[str]()
        self._unfinished: list[Place] = []
        self._calls_at, self._most_calls = Counter[Place](), calls_a_row
        self.lost, self.bought, self._leaving = Amount(), Usage(), Amount()
        self.note_send: Callable[[Amount], Awaitable[Callable[[], None]]] | None = None
        self._tokens_per_estimated = self._latency_sum = 0.0
        self._clock, self._started = clock, clock() - seconds_before
        self._paused_since: float | None = None

    # What is left

    @property
    def seconds(self) -> float:
        """Seconds since the start, without pauses."""
        return (self._clock() if self._paused_since is None else self._paused_since) - self._started

    @property
    def committed(self) -> Usage:
        """The usage so far, with the calls under way."""
        return self.spent + Usage(int(self._reserved.calls))

    @property
    def mean_latency(self) -> float | None:
        """Mean seconds of a paid call so far."""
        return self._latency_sum / self._latency_count if self._latency_count else None

    @property
    def calls_left(self) -> int | None:
        """Calls left besides those kept back; None without a limit."""
        used = self.spent.calls + int(self._kept_back.calls)
        return None if self.budget.calls is None else max(0, self.budget.calls - used)

    def keep_back(self, need: Amount, *, most: float = 1.0) -> None:
        """Keep this much for the final comparison, at most this share of what was left the first time; `Amount()` frees it."""
        spent = self._first = self._first or replace(self._spent_amount() - self.lost, seconds=self.seconds)
        limits = self.budget.model_dump()
        left = {name: most * max(0, (limit or 0) - getattr(spent, name)) for name, limit in limits.items()}
        amounts = {name: min(getattr(need, name), most_left) for name, most_left in left.items()}
        self._kept_back = Amount(
            int(amounts["calls"]), int(amounts["tokens"]), amounts["usd"], amounts["seconds"]
        )

    def spend(self, usage: Usage, ahead: int = 0) -> None:
        """Count what was spent without a call, as a training does; close once that, or `ahead` more tokens, passes a limit."""
        self.spent += usage
        amount = self._spent_amount() + self._kept_back + Amount(0, ahead)
        for name in ("tokens", "usd"):
            limit = getattr(self.budget, name)
            if limit is not None and getattr(amount, name) > limit:
                self.close(f"The budget of {LIMIT_WORDS[name](limit)} is used up.", "budget")
        self.check_time()

    def check_time(self) -> None:
        """Close once the time limit is reached."""
        limit = self.budget.seconds
        if limit is not None and self.closed is None and self.seconds >= limit - self._kept_back.seconds:
            self.close(f"The time limit of {duration(limit)} is used up.", "budget")

    def shortage(self, need: Amount, *, in_final_test: bool = False) -> str:
        """Return how much is left of the limit that a need would pass; "" for none. Time is not looked at.

        In the final test what was kept back for it may be used.
        """
        amount = self._spent_amount() + (Amount() if in_final_test else self._kept_back)
        for name in ("calls", "tokens", "usd"):
            limit = getattr(self.budget, name)
            if limit is not None and getattr(amount, name) + getattr(need, name) > limit:
                return LIMIT_WORDS[name](max(0, limit - getattr(amount, name)))
        return ""

    # Closing and pausing

    def close(self, reason: str, closing: Closing) -> None:
        """Refuse every call from now on. The first reason given stays."""
        if self.closed is None:
            self.closed, self.closing = reason, closing
        self._wake()

    def reopen(self) -> None:
        """Allow calls again, without a time limit: for the final comparison after a search was closed."""
        self.closed, self.closing, self._failures = None, None, 0
        self.budget = self.budget.model_copy(update={"seconds": None})

    def extend(self, larger: Budget) -> str:
        """Raise limits, at once; return what may be used now in words, or "" where nothing was raised.

        A limit is never lowered, and one that is None stays None. What was closed for lack of budget is open again.
        """
        old, new = self.budget.model_dump(), larger.model_dump(exclude_none=True)
        raised = {k: v for k, v in new.items() if old[k] is not None and v > old[k]}
        if not raised:
            return ""
        self.budget = self.budget.model_copy(update=raised)
        self.raised += 1
        if self.closing == "budget":
            self.closed, self.closing = None, None
        self._wake()
        return " and ".join(LIMIT_WORDS[name](value) for name, value in raised.items())

    def pause(self) -> None:
        """Stop the clock; each pause needs its `unpause`."""
        self._pausers += 1
        if self._paused_since is None:
            self._paused_since = self._clock()

    def unpause(self) -> None:
        """Let the clock run again once every pause has ended."""
        self._pausers -= 1
        if self._pausers == 0 and self._paused_since is not None:
            self._started += self._clock() - self._paused_since
            self._paused_since = None

    # The order of a batch

    def expect(self, places: Iterable[Place]) -> None:
        """Note rows and samples of a batch that are still to come."""
        self._unfinished = sorted({*self._unfinished, *places} - {FIRST})

    def before(self, place: Place) -> int:
        """Return the number of unfinished rows and samples before a place."""
        return bisect_left(self._unfinished, place)

    def over(self, place: Place) -> None:
        """Note that a row or sample makes no more calls."""
        at = self.before(place)
        if self._unfinished[at : at + 1] == [place]:
            del self._unfinished[at]
            self._most_calls = max(self._most_calls, self._calls_at.pop(place, 0))
            self._wake()

    # The gate

    def gate(self, *, rollout: int | None = None, temperature: float | None = None) -> Middleware:
        """Return the middleware of this ledger; it may ask for a fresh sample at a temperature."""

        async def gate(lm: BaseLM, request: Request, send: Send) -> Reply:
            if rollout is not None or temperature is not None:
                params: Mapping[str, object] = request.params
                if temperature is not None:
                    params = {**params, "temperature": temperature}
                asked = request.rollout_id
                # A program that samples itself (BestOfN) still gets different samples in another rollout.
                fresh = asked if not rollout else rollout if asked is None else rollout * _ROLLOUTS + asked
                request = replace(request, rollout_id=fresh, params=params)
            return await self.send(lm, request, send)

        return gate

    async def send(self, lm: BaseLM, request: Request, send: Send = answer) -> Reply:
        """Make one call. Raises BudgetExhaustedError with the reason if there is no budget, and LMError as the model does."""
        size = message_tokens(request.messages) if self._counts_amounts else 0
        held, counted = [await self._reserve(lm, request, size, place_of_call.get())], Usage()
        sent: list[Callable[[], None]] = []
        left = Amount()

        async def another(used: Usage | None) -> None:
            nonlocal counted, left
            if used is not None and used.calls:  # the request before is over: what it held is spent
                counted += used
                self.spent += used
                over = held.pop()
                self._leaving -= over
                left -= over
                self._free(over)
            if used is not None:
                held.append(await self._reserve(lm, request, size))
            left = await self._leave(left, held[-1])
            if self.note_send is not None:
                sent.append(await self.note_send(held[-1]))

        before, impatient = another_request.set(another), patience.set(self.patience)
        try:
            reply = await send(lm, request)
        except Exception as error:
            # A model's failure may have been billed, and a row that always fails must not call forever.
            if (spent := spent_by(error)) is not None:
                self.spent += spent.usage - counted
            elif isinstance(error, LMError):
                self.spent += Usage(calls=1)
            if isinstance(error, LMError | ConfigurationError):
                self._note_failure(lm, error)
            raise
        finally:
            another_request.reset(before)
            patience.reset(impatient)
            self._leaving -= left
            self._free(*held)
        for forget in sent:
            forget()
        self._settle(replace(reply, usage=reply.usage - counted) if counted.calls else reply, size)
        return reply

    def _free(self, *held: Amount) -> None:
        """Give reserved amounts back."""
        for amount in held:
            self._reserved -= amount
        self._wake()

    async def _reserve(self, lm: BaseLM, request: Request, size: int, place: Place | None = None) -> Amount:
        """Wait for room, in the order of places; a call that is under way, which others may wait for, has none."""
        need = self._need(lm, request, size) if self._counts_amounts else Amount(1)
        while True:
            self.check_time()
            if self.closed is not None:
                raise BudgetExhaustedError(self.closed)
            before = self.before(place) if place is not None else 0
            least = self._spent_amount() + self._kept_back + need
            passed = self._passed(least)
            if passed is not None and not before:
                self.close(passed, "budget")
                raise BudgetExhaustedError(passed)
            # One call more than any has taken so far, as a reply may be empty.
            theirs = before * (self._most_calls + 1)
            most = least + self._reserved + Amount(theirs, theirs * need.tokens, theirs * need.usd)
            if passed is None and self._passed(most) is None:
                self._reserved += need
                self._calls_at[place_of_call.get()] += 1
                return need
            await self._settled.wait()

    async def _leave(self, held: Amount, need: Amount) -> Amount:
        """Wait until a call has room next to all that was bought and is not replayed yet; return what it holds from now on.

        `held` is what its requests before hold. Raises BudgetExhaustedError.
        """
        while self.bought.calls:
            if self.closed is not None:
                raise BudgetExhaustedError(self.closed)
            unseen = _amount(self.bought) - _amount(self.replayed)
            least = self._spent_amount() + self._kept_back + held + need
            least += Amount(max(0, unseen.calls), max(0, unseen.tokens), max(0, unseen.usd))
            if (passed := self._passed(least)) is not None:
                self.close(passed, "budget")
                raise BudgetExhaustedError(passed)
            if self._passed(least + self._leaving - held) is None:
                break
            await self._settled.wait()
        self._leaving += need
        return held + need

    def _need(self, lm: BaseLM, request: Request, size: int) -> Amount:
        kind = place_of_call.get()[2]
        known = self._known_sizes[kind] >= _SIZES_TO_TRUST
        prompt = int(size * (1.1 * self._tokens_per_estimated if known else 2.4)) + 8
        limit = request.params.get("max_tokens") or request.params.get("max_completion_tokens")
        if limit is None:
            # Nothing bounds the reply, so twice the longest seen is the best there is.
            limit = max(2 * self._longest_output[kind], 64) if known else 512
        output = int(limit) * int(request.params.get("n") or 1)
        price = lm.price() if self.budget.usd is not None else None
        usd = 0.0 if price is None else prompt * price[0] + output * price[1]
        return Amount(1, prompt + output, usd)

    def _settle(self, reply: Reply, size: int) -> None:
        if not reply.blank:
            self.replies += 1
            self._failures = 0
        if reply.cached:
            mine = self._payer is not None and reply.payer == self._payer and bool(reply.key)
            if not mine or reply.key in self._counted:
                self.spent += Usage(cached=1)
                return
            self._replayed.add(reply.key)
            self.replayed += replace(reply.usage, calls=max(1, reply.usage.calls), cached=0)
        elif reply.key in self._replayed:
            # Two equal requests at once: the one that joined the other was counted first.
            self._replayed.discard(reply.key)
            self.replayed -= replace(reply.usage, calls=max(1, reply.usage.calls), cached=0)
            return
        if reply.key:
            self._counted.add(reply.key)
        usage = reply.usage
        self.spent += replace(usage, calls=max(1, usage.calls), cached=0)
        kind = place_of_call.get()[2]
        self._known_sizes[kind] += 1
        self._longest_output[kind] = max(self._longest_output[kind], usage.output_tokens)
        if size:
            self._tokens_per_estimated = max(self._tokens_per_estimated, usage.input_tokens / size)
        if not reply.cached:
            self._latency_sum += reply.seconds
            self._latency_count += 1

    def _passed(self, amount: Amount) -> str | None:
        reserve = " (the rest is kept for the final test)" if self._kept_back.calls else ""
        for name in ("calls", "tokens", "usd"):
            limit = getattr(self.budget, name)
            if limit is not None and getattr(amount, name) > limit:
                words = LIMIT_WORDS[name](limit)
                if name == "calls":
                    return f"The budget of {words} is used up{reserve}."
                return f"The next call could pass the budget of {words}{reserve}."
        return None

    def _spent_amount(self) -> Amount:
        return self.lost + _amount(self.spent)

    def _note_failure(self, lm: BaseLM, error: Exception) -> None:
        own_fault = isinstance(error, ContextWindowExceededError | InvalidRequestError)
        if self.replies and (own_fault or lm.model in self._spare):
            return  # the cause is this candidate, its prompt or its model, not the run's endpoint
        self._failures += 1
        silent = not self.replies and isinstance(error, SilentEndpointError)
        if silent or self._failures >= (self._failures_later if self.replies else FAILURES_AT_START):
            self.close(str(error), "failed")

    def _wake(self) -> None:
        self._settled.set()
        self._settled = asyncio.Event()


def _amount(usage: Usage) -> Amount:
    return Amount(usage.calls, usage.tokens, usage.cost or 0.0)
