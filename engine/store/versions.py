"""A project's programs that were kept, numbered, in the store; at most one of them is in use."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

from engine.errors import NotFoundError
from engine.store.connection import Connection, clean_text, from_json, to_json
from engine.store.rows import VersionRow

_COLUMNS = "project_id, number, run_id, candidate_id, content, note, in_use, created_at"


class Versions:
    """Reading and writing versions. A run is marked as in use with the version that came from it."""

    def __init__(self, db: Connection) -> None:
        self._db = db

    def add(
        self, project_id: str, run_id: str, candidate_id: str, content: dict[str, Any], note: str = ""
    ) -> int:
        """Keep a program; return its number. The same run's same candidate again gives the same number."""
        with self._db.transaction():
            known = self._db.read(
                "SELECT number FROM versions WHERE project_id = ? AND run_id = ? AND candidate_id = ?",
                (project_id, run_id, candidate_id),
            )
            if known:
                return int(known[0][0])
            number = 1 + int(
                self._db.read(
                    "SELECT coalesce(max(number), 0) FROM versions WHERE project_id = ?", (project_id,)
                )[0][0]
            )
            self._db.write(
                f"INSERT INTO versions ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, 0, ?)",  # noqa: S608 - fixed names
                (
                    project_id,
                    number,
                    run_id,
                    candidate_id,
                    to_json(content),
                    clean_text(note),
                    time.time(),
                ),
            )
        return number

    def all(self, project_id: str) -> list[VersionRow]:
        """Return a project's versions, the newest first."""
        rows = self._db.read(
            f"SELECT {_COLUMNS} FROM versions WHERE project_id = ? ORDER BY number DESC",  # noqa: S608 - fixed names
            (project_id,),
        )
        return [_version(row) for row in rows]

    def get(self, project_id: str, number: int) -> VersionRow:
        """Return a version. Raises NotFoundError."""
        rows = self._db.read(
            f"SELECT {_COLUMNS} FROM versions WHERE project_id = ? AND number = ?",  # noqa: S608 - fixed names
            (project_id, number),
        )
        if not rows:
            raise NotFoundError(f"The project {project_id!r} has no version {number}.")
        return _version(rows[0])

    def set_in_use(self, project_id: str, number: int | None) -> None:
        """Mark one version as in use and no other (None: none); the run it came from bears the mark too.

        Raises NotFoundError.
        """
        with self._db.transaction():
            chosen = None if number is None else self.get(project_id, number)
            self._db.write("UPDATE versions SET in_use = 0 WHERE project_id = ?", (project_id,))
            self._db.write(
                "UPDATE runs SET in_use = 0, revision = revision + 1 WHERE in_use AND project_id = ?",
                (project_id,),
            )
            if chosen is not None:
                self._db.write(
                    "UPDATE versions SET in_use = 1 WHERE project_id = ? AND number = ?", (project_id, number)
                )
                self._db.write(
                    "UPDATE runs SET in_use = 1, revision = revision + 1 WHERE id = ?", (chosen.run_id,)
                )

    def set_note(self, project_id: str, number: int, note: str) -> None:
        """Keep the user's own words about a version."""
        self._db.write(
            "UPDATE versions SET note = ? WHERE project_id = ? AND number = ?",
            (clean_text(note), project_id, number),
        )


def _version(row: Sequence[Any]) -> VersionRow:
    project_id, number, run_id, candidate_id, content, note, in_use, created_at = row
    return VersionRow(
        project_id, number, run_id, candidate_id, from_json(content), note, bool(in_use), created_at
    )
