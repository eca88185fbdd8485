"""Links that show the report of one run to others: a token in an address, of which only the hash is stored."""

from __future__ import annotations

import secrets
import time

from engine.errors import RunError
from engine.store.connection import StorePart
from engine.store.rows import LinkRow
from engine.users import token_hash

DAYS = (1, 7, 30, 90)
"""Days that a link may work."""


class Links(StorePart):
    """Reading and writing links."""

    def make(self, run_id: str, days: int) -> str:
        """Store a new link to a run; return its token, which is kept nowhere. Links past their end date go.

        Raises RunError where it would work for another number of days than one of `DAYS`.
        """
        if days not in DAYS:
            raise RunError(f"A link works for {', '.join(map(str, DAYS))} days.")
        token, now = secrets.token_urlsafe(24), time.time()
        values = {
            "hash": token_hash(token),
            "run_id": run_id,
            "created_at": now,
            "ends_at": now + days * 86_400,
        }
        with self._db.transaction():
            self._db.write("DELETE FROM links WHERE run_id = ? AND ends_at < ?", (run_id, now))
            self._db.insert("links", values)
        return token

    def of_run(self, run_id: str) -> list[LinkRow]:
        """Return a run's links that work, in the order made."""
        rest = "FROM links WHERE run_id = ? AND ends_at >= ? ORDER BY created_at"
        return self._db.records(LinkRow, rest, (run_id, time.time()))

    def run_of(self, token: str) -> str | None:
        """Return the id of the run that a token shows; None where the link has ended, or never was one."""
        sql = "SELECT run_id FROM links WHERE hash = ? AND ends_at >= ?"
        rows = self._db.read(sql, (token_hash(token), time.time()))
        return str(rows[0][0]) if rows else None

    def end(self, run_id: str) -> None:
        """End every link to a run, at once."""
        self._db.write("DELETE FROM links WHERE run_id = ?", (run_id,))
