"""The final test of a run: what it still takes, before it is made and where rows of it are missing."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from engine.records import Outcome
from engine.text import counted, duration, price


@dataclass(frozen=True, slots=True)
class FinalTestCost:
    """What the final test still takes: calls to the model, US dollars and seconds; None where that is not known.

    >>> FinalTestCost(386, 0.06, 30.2).words
    '386 calls, about $0.06, 30 s'
    """

    calls: int
    usd: float | None = None
    seconds: float | None = None

    @property
    def words(self) -> str:
        """The cost in words."""
        took = [] if self.seconds is None else [duration(max(1.0, self.seconds))]
        parts = [price(self.usd, "about "), *took] if self.calls else ["every answer is known"]
        return ", ".join([counted(self.calls, "call"), *parts])

    @classmethod
    def stored(cls, values: Mapping[str, Any] | None) -> FinalTestCost | None:
        """Return the cost that a run has stored, in its estimate or its result; None where there is none."""
        return cls(values["calls"], values.get("usd"), values.get("seconds")) if values else None


def cost_of_rows(
    rows: int, a_row: int, outcomes: Iterable[Outcome], usual: tuple[float | None, float | None], at_once: int
) -> FinalTestCost:
    """Return what scoring rows takes, `at_once` at a time, as the outcomes so far say.

    Without any, a row takes `a_row` calls, and a call the `usual` US dollars and seconds.
    """
    seen = [o for o in outcomes if o.usage.tokens]
    timed, made = [o for o in seen if o.usage.calls], sum(o.usage.calls + o.usage.cached for o in seen)
    calls = math.ceil(rows * made / len(seen) - 1e-9) if seen else rows * a_row
    usd, seconds = usual
    if seen:
        costs = [o.usage.cost for o in seen]
        usd = None if None in costs else sum(filter(None, costs)) / made
    if timed:
        seconds = (
            sum(o.seconds for o in timed) / sum(o.usage.calls for o in timed) / max(1, min(at_once, rows))
        )
    return FinalTestCost(calls, *(None if one is None else calls * one for one in (usd, seconds)))
