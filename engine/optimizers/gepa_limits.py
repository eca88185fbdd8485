"""GEPA's own limits: program runs and, where the budget has them, model calls. The driver enforces the budget itself."""

from __future__ import annotations

import math
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
        self._rows, self._calls, self._per_row = rows, calls, float(calls_per_row)
        self._allowed, self._made = calls, made
        self._most, self._dearest = float(calls_per_row), 1.0
        self._looked, self._run, self._written = 0, 0, 0

    def look(self) -> None:
        """Count the calls that were really made so far: what the cache spared is free again.

        A row is taken to cost the most that one has cost between two looks. The first rows have nothing to take from
        the cache; where they cost less than all of the program's calls, answers repeat from row to row.
        """
        if self._allowed is None or self._made is None:
            return
        made = self._made()
        if self._run:
            self._dearest = max(self._dearest, (made - self._looked - self._written) / self._run)
            self._per_row = min(self._most, self._dearest)
        self._looked, self._run, self._written = made, 0, 0
        self._calls = self._allowed - made

    @property
    def rows(self) -> int:
        """Program runs left."""
        if self._calls is None:
            return self._rows
        return min(self._rows, int(self._calls / self._per_row))

    def take(self, asks: Sequence[Ask]) -> None:
        """Count what is asked for."""
        for ask in asks:
            if isinstance(ask, Score):
                self._rows -= len(ask.rows)
                self._run += len(ask.rows)
                cost = math.ceil(len(ask.rows) * self._per_row)
            else:
                cost = getattr(ask, "n", 0)
                self._written += cost
            if self._calls is not None:
                self._calls -= cost
