"""Links that show the report of one run to others: a token in an address, of which only the hash is stored."""

from __future__ import annotations

import secrets
import time

from engine.errors import RunError
from engine.store.connection import StorePart
from engine.store.rows import LinkRow
from engine.store.users import token_hash

DAYS = (1, 7, 30, 90)
"""Days that a link may work."""


class Links(StorePart):
    """Reading and writing links."""

    def make(self, run_id: str, days: int, made_by: str = "") -> str:
        """Store a new link to a run, made by a user; return its token, which is stored nowhere. Links past their end date go.

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
            "made_by": made_by,
        }
        with self._db.transaction():
            self._db.write("DELETE FROM links WHERE run_id = ? AND ends_at < ?", (run_id, now))
            self._db.insert("links", values)
        return token

    def all(self) -> list[LinkRow]:
        """Return the links that work, in the order made."""
        return self._db.records(LinkRow, "FROM links WHERE ends_at >= ? ORDER BY created_at", (time.time(),))

    def find(self, token: str) -> LinkRow | None:
        """Return the link with a token; None where it has ended, or never was one."""
        return next((link for link in self.all() if link.hash == token_hash(token)), None)

    def end(self, link: str) -> None:
        """End a link, given by its hash, at once."""
        self._db.write("DELETE FROM links WHERE hash = ?", (link,))
