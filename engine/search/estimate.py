"""The estimate of a run: the same search, driven with invented answers, before anything is paid for.

Prompts are rendered by the program and the adapter that the run will use; answers have the right types and
typical lengths. Three simulations give the ranges: everything is right at once, most rows are right, and no
row can be solved while a better candidate is found.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from engine import loop
from engine.search.budget import Budget
from engine.search.contract import Problem, Search
from engine.search.settings import Settings
from engine.search.simulation import (
    OPTIMISTIC,
    PESSIMISTIC,
    TYPICAL,
    Rates,
    Renderer,
    Simulation,
    Totals,
)


@dataclass(frozen=True, slots=True)
class Range:
    """Least, typical and most."""

    low: float
    typical: float
    high: float

    @property
    def exact(self) -> bool:
        """Whether least and most are the same."""
        return self.low == self.high


@dataclass(frozen=True, slots=True)
class Estimate:
    """Calls, tokens, money and time of a run. `usd` is None where a price is unknown.

    `exact`: the number of calls is certain. `cut` is the message on what the budget will cut, "" if nothing.
    """

    calls: Range
    tokens: Range
    usd: Range | None
    seconds: Range
    exact: bool
    cut: str = ""

    def as_dict(self) -> dict[str, Any]:
        """Return the estimate as JSON-ready values."""
        return asdict(self)


def estimate(
    make: Callable[[Problem], Search],
    settings: Settings,
    *,
    baseline_rows: Sequence[int] = (),
    test_rows: Sequence[int] = (),
    latency: float | None = None,
) -> Estimate:
    """Return the estimate of driving this search with these settings.

    `baseline_rows` are scored with the starting prompt before the search and with the best one after it
    (rows that the search scored are free), `test_rows` with both. `latency` is the seconds of one call, if measured.
    """
    renderer = Renderer(settings)

    def simulate(rates: Rates, budget: Budget, ceiling: float) -> Totals:
        simulation = Simulation(settings, renderer, rates, latency)
        return loop.run(simulation.run(make, budget, tuple(baseline_rows), tuple(test_rows), ceiling))

    budget = settings.budget
    # Calls beyond the budget are cut, and with a large table it would take long to count them.
    most = math.inf if budget.calls is None else float(budget.calls)
    totals = [simulate(r, budget, most) for r in (OPTIMISTIC, TYPICAL, PESSIMISTIC)]
    limited = [_limited(t, settings) for t in totals]
    cut = ""
    if budget != Budget():
        free = simulate(TYPICAL, Budget(), most + FAR)
        cut = _cut_sentence(free, limited[1], far=free.calls > most + FAR)
    usd = None if any(math.isnan(t.usd) for t in totals) else _range([t.usd for t in limited])
    calls = _range([float(t.calls) for t in limited])
    return Estimate(
        calls=calls,
        tokens=_range([float(t.tokens) for t in limited]),
        usd=usd,
        seconds=_range([t.seconds for t in limited]),
        exact=calls.exact,
        cut=cut,
    )


def _limited(totals: Totals, settings: Settings) -> Totals:
    b = settings.budget
    limits = (
        (b.calls, totals.calls),
        (b.tokens, totals.tokens),
        (b.usd, totals.usd),
        (b.seconds, totals.seconds),
    )
    share = min((limit / used for limit, used in limits if limit is not None and used > limit), default=1.0)
    return totals if share == 1.0 else totals.scaled(share)


def _cut_sentence(free: Totals, limited: Totals, *, far: bool) -> str:
    if limited.calls >= free.calls:
        return ""
    return (
        f"Without a budget this would take {'more than' if far else 'about'} {free.calls:,.0f} calls; the budget leaves about "
        f"{limited.calls:,.0f}, so fewer candidates are tried or the search ends early with its best so far."
    )


FAR = 100_000.0
"""Calls beyond the budget for which a simulation goes on, to estimate the run without a budget."""


def _range(values: list[float]) -> Range:
    return Range(min(values), values[1], max(values))
