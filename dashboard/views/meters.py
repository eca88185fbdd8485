"""Meters of a run: used, left, and how far it is. No Streamlit here."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from engine.store.rows import RequestRow, RunRow
from engine.store.runs import budget_now
from engine.text import dollars, duration, price, short


class Meter(NamedTuple):
    """One figure: how much was used, of how much (None: no limit), and both as text."""

    name: str
    used: float
    limit: float | None
    text: str
    help: str

    @property
    def share(self) -> float | None:
        """Used divided by the limit, 0 to 1; None without a limit."""
        return None if not self.limit else min(1.0, self.used / self.limit)


def meters(run: RunRow, requests: Iterable[RequestRow] = ()) -> tuple[Meter, ...]:
    """Return calls, tokens, money and working time of a run; what `requests` granted raises the limits."""
    budget: Mapping[str, Any] = budget_now(run.spec.get("budget") or {}, requests)
    tokens = run.input_tokens + run.output_tokens
    money = "nothing yet" if run.cost is None and not run.calls else price(run.cost)
    return (
        Meter(
            "Calls",
            run.calls,
            budget.get("calls"),
            _of(f"{run.calls:,}", budget.get("calls"), "{:,}"),
            "Calls to the model that were paid for. Answers from the cache are not counted.",
        ),
        Meter(
            "Tokens",
            tokens,
            budget.get("tokens"),
            _of(short(tokens), budget.get("tokens"), short),
            "Pieces of words sent and received; providers charge by them.",
        ),
        Meter(
            "Money",
            run.cost or 0.0,
            budget.get("usd"),
            _of(money, budget.get("usd"), dollars),
            "By the provider's price list.",
        ),
        Meter(
            "Time",
            run.seconds,
            budget.get("seconds"),
            _of(duration(run.seconds), budget.get("seconds"), duration),
            "Working time; pauses are not counted.",
        ),
    )


def time_left(run: RunRow) -> str:
    """Return how long a running run will go on, in words, or "" when nothing can be said."""
    expected = _middle(run.estimate, "calls")
    done = run.calls + run.cached
    if run.state != "running" or not expected or done < 5:
        return ""
    left = run.seconds * max(0.0, expected - done) / done
    return "nearly done" if left < 2 else f"about {duration(left)} left"


def progress(run: RunRow) -> float:
    """Return the share of the expected calls that were made, 0 to 1; 1 for a run that is over."""
    if run.is_over:
        return 1.0
    expected = _middle(run.estimate, "calls")
    return min(0.99, (run.calls + run.cached) / expected) if expected else 0.0


def _middle(estimate: Mapping[str, Any] | None, name: str) -> float:
    value = (estimate or {}).get(name)
    if isinstance(value, Mapping):
        return float(value.get("typical") or (value.get("low", 0) + value.get("high", 0)) / 2)
    return float(value or 0)


def _of(used: str, limit: float | None, form: Any) -> str:
    if not limit:
        return used
    return f"{used} of {form(limit) if callable(form) else form.format(limit)}"
