"""What users have spent on model calls: a ledger of its own, which putting away or deleting runs and projects does not change.

Amounts are added to a line and never taken from it: the database refuses it. A month is one of the calendar, in UTC.
"""

from __future__ import annotations

import time
from dataclasses import astuple
from typing import Literal

from engine.records import Usage
from engine.store.connection import StorePart
from engine.store.rows import Spent


class Spend(StorePart):
    """Reading and adding to what users have spent."""

    def add(self, user: str, project_id: str, usage: Usage, *, run_id: str = "", task: str = "run") -> None:
        """Add what was spent for a user just now, in a run or in another `task`."""
        more = ", ".join(f"{name} = {name} + max(0, excluded.{name})" for name in _COUNTS)
        cost = "coalesce(cost + max(0.0, coalesce(excluded.cost, 0.0)), excluded.cost)"
        self._db.write(
            f"INSERT INTO spend VALUES ({', '.join('?' * 10)}) ON CONFLICT DO UPDATE SET {more}, cost = {cost}",  # noqa: S608 - our own names
            (user, month_of(time.time()), project_id, run_id, task, *astuple(usage)),
        )

    def add_of_run(self, run_id: str, usage: Usage, whole: Usage) -> None:
        """Add what a run has spent since the last time, for the user who has started it or gone on with it last.

        Where its processes have spent more in all (`whole`) than was added, one was killed before it could: that is added too.
        """
        missing = whole - self.of_run(run_id)
        amounts = zip(astuple(usage), astuple(missing), strict=True)
        usage = Usage(*(max((n for n in pair if n is not None), default=None) for pair in amounts))  # type: ignore[arg-type]
        for user, project_id in self._db.read(
            "SELECT started_by, project_id FROM runs WHERE id = ?", (run_id,)
        ):
            self.add(user, project_id, usage, run_id=run_id)

    def by(self, name: Literal["user", "project_id"], month: str = "") -> dict[str, Spent]:
        """Return what was spent by each user or in each project, in a month ("2026-11") or in all, the dearest first."""
        rows = self._db.read(
            f"SELECT {name}, count(DISTINCT nullif(run_id, '')), {_SUMS}, "  # noqa: S608 - our own names
            "count(DISTINCT CASE WHEN cost IS NULL AND calls > 0 THEN nullif(run_id, '') END) "
            f"FROM spend WHERE ? IN ('', month) GROUP BY {name} ORDER BY total(cost) DESC, total(calls) DESC, {name}",
            (month,),
        )
        return {key: Spent(runs, Usage(*used), unpriced) for key, runs, *used, unpriced in rows}

    def of_run(self, run_id: str) -> Usage:
        """Return what a run has spent, whoever it counts for."""
        return Usage(*self._db.read(f"SELECT {_SUMS} FROM spend WHERE run_id = ?", (run_id,))[0])  # noqa: S608 - our own names


_COUNTS = ("calls", "cached", "input_tokens", "output_tokens")
_SUMS = ", ".join((*(f"CAST(total({name}) AS INTEGER)" for name in _COUNTS), "sum(cost)"))


def month_of(at: float) -> str:
    """Return the month of a time, in UTC.

    >>> month_of(1_700_000_000.0)
    '2023-11'
    """
    return time.strftime("%Y-%m", time.gmtime(at))
