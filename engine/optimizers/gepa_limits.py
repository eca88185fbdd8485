"""GEPA's own limits: program runs and, where the budget has them, model calls. The driver enforces the budget itself."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from engine.search.contract import Ask, Score


class Limits:
    """How many program runs and model calls a search may still take, counted as it asks."""

    def __init__(
        self,
        rows: int,
        calls: int | None,
        calls_per_row: int,
        made: Callable[[], int] | None = None,
    ) -> None:
        self._rows, self._calls, self._per_row = rows, calls, calls_per_row
        self._allowed, self._made = calls, made

    def look(self) -> None:
        """Count the calls that were really made so far: what the cache spared is free again."""
        if self._allowed is not None and self._made is not None:
            self._calls = self._allowed - self._made()

    @property
    def rows(self) -> int:
        """Program runs left."""
        if self._calls is None:
            return self._rows
        return min(self._rows, self._calls // self._per_row)

    def take(self, asks: Sequence[Ask]) -> None:
        """Count what is asked for."""
        for ask in asks:
            if isinstance(ask, Score):
                self._rows -= len(ask.rows)
                cost = len(ask.rows) * self._per_row
            else:
                cost = getattr(ask, "n", 0)
            if self._calls is not None:
                self._calls -= cost
