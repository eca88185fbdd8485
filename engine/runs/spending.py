"""Limits on what one user may use in a month, in runs and in what pages ask of models, and what is left of them.

A month is one of the calendar, in UTC, and a call counts in the month in which it is made, by the wall clock.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import NamedTuple

from engine.basics.data import Values
from engine.basics.text import counted, dollars
from engine.errors import RunError
from engine.records import Usage
from engine.search.budget import Budget
from engine.store.rows import RunRow, Spent
from engine.store.spend import month_of
from engine.store.store import Store

WORDS: dict[str, Callable[[float], str]] = {"calls": lambda n: counted(int(n), "call"), "usd": dollars}


class Left(NamedTuple):
    """Amounts that a user's next run may use; infinite without a limit."""

    calls: float = math.inf
    usd: float = math.inf


def left_for(store: Store, user: str, without: str = "") -> Left:
    """Return the amounts left for a user this month; what runs under way are expected to use is not left.

    `without` is a run whose use and expectation do not count, for any user.
    """
    left = _left(store, user)
    others = [run for run in store.runs.under_way(user) if run.id != without] if left else []
    for name in left:
        left[name] += _amounts(store.spend.of_run(without))[name] if without else 0.0
        for run in others:
            most = expected(name, run.spec.get("budget"), run.estimate)
            left[name] -= max(0.0, most - _amounts(store.spend.of_run(run.id))[name])
    return Left(**left)


def _left(store: Store, user: str) -> dict[str, float]:
    """Return what is left this month of each limit that there is, by its name."""
    limits = store.queue.limits()
    used = _amounts(store.spend.by("user", month_of(time.time())).get(user, Spent()).usage)
    return {name: limit - used[name] for name in WORDS if (limit := getattr(limits, name)) is not None}


def _amounts(usage: Usage) -> dict[str, float]:
    return {"calls": float(usage.calls), "usd": usage.cost or 0.0}


def expected(name: str, budget: Values | None, estimate: Values | None) -> float:
    """Return the most calls, or dollars, that a run is expected to use; 0 where nothing is known.

    >>> expected("calls", {"calls": 100}, {"calls": {"high": 300}})
    100.0
    """
    known = [(budget or {}).get(name), ((estimate or {}).get(name) or {}).get("high")]
    return min((float(one) for one in known if one is not None), default=0.0)


def check_spending(store: Store, user: str, spec: Values, estimate: Values | None, run: str = "") -> None:
    """Raise RunError where a run would pass its user's limits of this month; `run` is its id where it was there before."""
    limits, left = store.queue.limits(), left_for(store, user, run)
    whose = "Your limit" if user else "The limit"
    for name, words in WORDS.items():
        limit = getattr(limits, name)
        if limit is None:
            continue
        if name == "usd" and estimate is not None and estimate.get("usd", 0) is None:
            raise RunError(
                f"{whose} of {words(limit)} a month cannot be kept, because the price of a model is not known. "
                "Set its price on the Settings page."
            )
        most, rest = expected(name, spec.get("budget"), estimate), getattr(left, name)
        if rest <= 0 < most:
            raise RunError(f"{whose} of {words(limit)} a month is used up. It begins again next month.")
        if most > rest:
            raise RunError(
                f"This run may take up to {words(most)}, and {words(rest)} are left of {whose.lower()} of {words(limit)} "
                "a month. Give it a smaller budget, or fewer rows."
            )


def limited_budget(store: Store, run: RunRow, budget: Budget) -> Budget:
    """Return a run's budget, at most what is left for its user. Raises RunError where nothing is."""
    left = left_for(store, run.started_by, run.id)
    most = {name: getattr(left, name) for name in WORDS if getattr(left, name) < math.inf}
    for name, rest in most.items():
        if rest <= 0:
            limit = getattr(store.queue.limits(), name)
            raise RunError(
                f"The limit of {WORDS[name](limit)} a month is used up. Go on with the run next month."
            )
    changed = {name: min(rest, getattr(budget, name) or math.inf) for name, rest in most.items()}
    if "calls" in changed:
        changed["calls"] = int(changed["calls"])
    return budget.model_copy(update=changed)


def check_larger(store: Store, run: RunRow, budget: Values) -> None:
    """Raise RunError where a larger budget of a run would pass its user's limits."""
    left = left_for(store, run.started_by, run.id)
    for name, words in WORDS.items():
        wanted, rest = budget.get(name), getattr(left, name)
        if wanted is not None and wanted > rest:
            limit = getattr(store.queue.limits(), name)
            raise RunError(
                f"This run may use up to {words(max(0, rest))}: the limit is {words(limit)} a month for each user."
            )


def room(store: Store, user: str) -> Budget:
    """Return what a user may ask of models outside runs this month. Raises RunError where that is nothing."""
    if reason := used_up(store, user):
        raise RunError(f"{reason} It begins again next month.")
    return Budget.model_validate(_left(store, user))


def used_up(store: Store, user: str) -> str:
    """Return why a user may ask models for no more this month, "" where the user may."""
    for name, rest in _left(store, user).items():
        if rest <= 0:
            return f"The limit of {WORDS[name](getattr(store.queue.limits(), name))} a month is used up."
    return ""
