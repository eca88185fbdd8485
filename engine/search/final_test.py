"""The cost of a run's final test: before it is made, and where rows of it are missing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from engine.basics.text import counted, duration, price


@dataclass(frozen=True, slots=True)
class FinalTestCost:
    """Cost of what is left of a final test: calls to the model, US dollars and seconds; None where that is not known.

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

    def completed(self, estimate: Mapping[str, Any] | None) -> FinalTestCost:
        """Return the cost with what a run's estimate says of a call, where none was measured."""
        names = ("calls", "usd", "seconds")
        calls, usd, seconds = (((estimate or {}).get(name) or {}).get("high") for name in names)
        usual = [one * self.calls / calls if calls and one is not None else None for one in (usd, seconds)]
        return FinalTestCost(
            self.calls,
            usual[0] if self.usd is None else self.usd,
            usual[1] if self.seconds is None else self.seconds,
        )

    @classmethod
    def stored(cls, values: Mapping[str, Any] | None) -> FinalTestCost | None:
        """Return the cost that a run has stored, in its estimate or its result; None where there is none."""
        return cls(values["calls"], values.get("usd"), values.get("seconds")) if values else None
