"""Projects, datasets and settings in the store: what users make, as opposed to what runs write."""

from __future__ import annotations

import secrets
import time
from collections.abc import Mapping, Sequence
from typing import Any

from engine.errors import NotFoundError
from engine.store.connection import Connection, clean_text, from_json, to_json
from engine.store.rows import DatasetInfo, DatasetRow, ProjectRow

_DATASET_INFO = "id, name, hash, columns, rows, source, created_at"


class Projects:
    """Reading and writing projects."""

    def __init__(self, db: Connection) -> None:
        self._db = db

    def create(self, name: str, draft: Mapping[str, object]) -> str:
        """Store a new project; return its id."""
        now, project_id = time.time(), new_id()
        self._db.write(
            "INSERT INTO projects (id, name, draft, created_at, updated_at) VALUES (?, ?, ?, ?, ?)",
            (project_id, clean_text(name), to_json(draft), now, now),
        )
        return project_id

    def all(self) -> list[ProjectRow]:
        """Return all projects, the one changed last first."""
        rows = self._db.read(
            "SELECT id, name, draft, created_at, updated_at, archived FROM projects ORDER BY updated_at DESC, rowid DESC"
        )
        return [_project(row) for row in rows]

    def get(self, project_id: str) -> ProjectRow:
        """Return a project. Raises NotFoundError."""
        rows = self._db.read(
            "SELECT id, name, draft, created_at, updated_at, archived FROM projects WHERE id = ?",
            (project_id,),
        )
        if not rows:
            raise NotFoundError(f"There is no project {project_id!r}. It may have been deleted.")
        return _project(rows[0])

    def save_draft(self, project_id: str, draft: Mapping[str, object], name: str | None = None) -> None:
        """Replace a project's draft, and its name where one is given. Raises NotFoundError."""
        changed = self._db.write(
            "UPDATE projects SET draft = ?, name = coalesce(?, name), updated_at = ? WHERE id = ?",
            (to_json(draft), None if name is None else clean_text(name), time.time(), project_id),
        )
        if not changed:
            raise NotFoundError(f"There is no project {project_id!r}. It may have been deleted.")

    def set_archived(self, project_id: str, archived: bool = True) -> None:
        """Put a project away, or take it back. Nothing is deleted."""
        self._db.write("UPDATE projects SET archived = ? WHERE id = ?", (int(archived), project_id))

    def delete(self, project_id: str) -> None:
        """Delete a project and everything its runs recorded. Datasets stay: others may use them."""
        runs = "(SELECT id FROM runs WHERE project_id = ?)"
        with self._db.transaction():
            for table in ("candidates", "trials", "outcomes", "events", "requests"):
                self._db.write(f"DELETE FROM {table} WHERE run_id IN {runs}", (project_id,))  # noqa: S608 - fixed names
            for table in ("feedback", "grades", "versions"):
                self._db.write(f"DELETE FROM {table} WHERE project_id = ?", (project_id,))  # noqa: S608 - fixed names
            self._db.write("DELETE FROM runs WHERE project_id = ?", (project_id,))
            self._db.write("DELETE FROM projects WHERE id = ?", (project_id,))


class Datasets:
    """Reading and writing datasets."""

    def __init__(self, db: Connection) -> None:
        self._db = db

    def add(
        self,
        name: str,
        content: bytes,
        content_hash: str,
        columns: Sequence[str],
        rows: int,
        source: str = "",
    ) -> str:
        """Store a file's bytes as uploaded; return its id. The same bytes and name give the same id again."""
        name = clean_text(name)
        known = self._db.read("SELECT id FROM datasets WHERE hash = ? AND name = ?", (content_hash, name))
        if known:
            return str(known[0][0])
        dataset_id = new_id()
        self._db.write(
            f"INSERT INTO datasets ({_DATASET_INFO}, content) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",  # noqa: S608 - fixed names
            (dataset_id, name, content_hash, to_json(list(columns)), rows, source, time.time(), content),
        )
        return dataset_id

    def get(self, dataset_id: str) -> DatasetRow:
        """Return a dataset with its bytes. Raises NotFoundError."""
        rows = self._db.read(f"SELECT {_DATASET_INFO}, content FROM datasets WHERE id = ?", (dataset_id,))  # noqa: S608 - our own columns
        if not rows:
            raise NotFoundError(f"There is no dataset {dataset_id!r}. Upload the file again.")
        row_id, name, digest, columns, count, source, created, content = rows[0]
        return DatasetRow(row_id, name, digest, tuple(from_json(columns)), count, source, created, content)

    def all(self) -> list[DatasetInfo]:
        """Return all datasets without their bytes, the newest first."""
        rows = self._db.read(f"SELECT {_DATASET_INFO} FROM datasets ORDER BY created_at DESC, rowid DESC")  # noqa: S608 - our own columns
        return [DatasetInfo(r[0], r[1], r[2], tuple(from_json(r[3])), *r[4:7]) for r in rows]

    def drop_unused(self, dataset_id: str) -> bool:
        """Delete a dataset that no project's draft and no run uses; return whether it was deleted."""
        return bool(
            self._db.write(
                "DELETE FROM datasets WHERE id = ?"
                " AND NOT EXISTS (SELECT 1 FROM projects WHERE json_extract(draft, '$.dataset') = datasets.id)"
                " AND NOT EXISTS (SELECT 1 FROM runs WHERE json_extract(spec, '$.dataset') = datasets.id)",
                (dataset_id,),
            )
        )


class Settings:
    """Reading and writing settings."""

    def __init__(self, db: Connection) -> None:
        self._db = db

    def get(self, key: str, default: object = None) -> Any:
        """Return a setting's JSON value, or the default."""
        rows = self._db.read("SELECT value FROM settings WHERE key = ?", (key,))
        return from_json(rows[0][0]) if rows else default

    def set(self, key: str, value: object) -> None:
        """Store a setting. Never a key or a password: those stay in the environment or the keyring."""
        self._db.write("INSERT OR REPLACE INTO settings (key, value) VALUES (?, ?)", (key, to_json(value)))


def new_id() -> str:
    """Return a fresh id: twelve hex digits."""
    return secrets.token_hex(6)


def _project(row: Sequence[Any]) -> ProjectRow:
    return ProjectRow(row[0], row[1], from_json(row[2], {}), row[3], row[4], bool(row[5]))
