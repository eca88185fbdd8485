"""The users' part of the store: projects, datasets, settings, feedback on answers, kept programs."""

from __future__ import annotations

import secrets
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from engine.basics.data import JsonObject
from engine.basics.text import LONGEST_NAME, cut
from engine.errors import NotFoundError
from engine.store.connection import StorePart, from_json, to_json
from engine.store.rows import FROM_ELSEWHERE, DatasetRow, FeedbackRow, ProjectRow, VersionRow


class Projects(StorePart):
    """Reading and writing projects."""

    def create(self, name: str, draft: Mapping[str, object]) -> str:
        """Store a new project; return its id. A store that is opened for a user makes the user its owner."""
        now, project_id = time.time(), new_id()
        name = cut(name, LONGEST_NAME)
        values = {"id": project_id, "name": name, "draft": draft, "created_at": now, "updated_at": now}
        self._db.insert("projects", values)
        return project_id

    def all(self) -> list[ProjectRow]:
        """Return all projects, the one changed last first."""
        return self._db.records(ProjectRow, "FROM projects ORDER BY updated_at DESC, rowid DESC")

    def get(self, project_id: str) -> ProjectRow:
        """Return a project. Raises NotFoundError."""
        return self._db.record(
            ProjectRow, _no_project(project_id), "FROM projects WHERE id = ?", (project_id,)
        )

    def save_draft(self, project_id: str, draft: Mapping[str, object], name: str | None = None) -> None:
        """Replace a project's draft, and its name where one is given. Raises NotFoundError."""
        changed = self._db.write(
            "UPDATE projects SET draft = ?, name = coalesce(?, name), updated_at = ? WHERE id = ?",
            (draft, name and cut(name, LONGEST_NAME), time.time(), project_id),
        )
        if not changed:
            raise NotFoundError(_no_project(project_id))

    def set_archived(self, project_id: str, archived: bool = True) -> None:
        """Put a project away, or take it back. Nothing is deleted."""
        self._db.write("UPDATE projects SET archived = ? WHERE id = ?", (archived, project_id))

    def delete(self, project_id: str) -> None:
        """Delete a project and everything its runs recorded. Datasets stay: others may use them."""
        runs = "(SELECT id FROM runs WHERE project_id = ?)"
        with self._db.transaction():
            for table in ("candidates", "trials", "outcomes", "events", "requests", "links", "sends"):
                self._db.write(f"DELETE FROM {table} WHERE run_id IN {runs}", (project_id,))  # noqa: S608 - fixed names
            for table in ("feedback", "grades", "versions"):
                self._db.write(f"DELETE FROM {table} WHERE project_id = ?", (project_id,))  # noqa: S608 - fixed names
            self._db.write("DELETE FROM runs WHERE project_id = ?", (project_id,))
            self._db.write("DELETE FROM projects WHERE id = ?", (project_id,))
            self._db.write(
                "DELETE FROM members WHERE project_id = ?", (project_id,)
            )  # last: they give the right to it


class Datasets(StorePart):
    """Reading and writing datasets."""

    def add(
        self,
        name: str,
        content: bytes,
        content_hash: str,
        columns: Sequence[str],
        rows: int,
        source: str = "",
    ) -> str:
        """Store a file's bytes as uploaded; return its id. The same bytes and name give the same id again.

        What only came with a project's file is another table than the user's own, for its cells may name fewer files.
        """
        known = self._db.read(
            "SELECT id FROM datasets WHERE hash = ? AND name = ? AND (source != ? OR source = ?) ORDER BY source = ?",
            (content_hash, name, FROM_ELSEWHERE, source, FROM_ELSEWHERE),
        )
        if known:
            return str(known[0][0])
        dataset_id = new_id()
        values: dict[str, object] = {
            "id": dataset_id,
            "name": cut(name, LONGEST_NAME),
            "hash": content_hash,
            "columns": list(columns),
            "rows": rows,
        }
        values |= {"source": source, "created_at": time.time(), "content": content}
        self._db.insert("datasets", values)
        return dataset_id

    def get(self, dataset_id: str) -> DatasetRow:
        """Return a dataset with its bytes. Raises NotFoundError."""
        return self._db.record(DatasetRow, _missing(dataset_id), "FROM datasets WHERE id = ?", (dataset_id,))

    def all(self) -> list[DatasetRow]:
        """Return all datasets without their bytes, the newest first."""
        order = "FROM datasets ORDER BY created_at DESC, rowid DESC"
        return self._db.records(DatasetRow, order, leave_out="content")

    def size(self, dataset_id: str) -> int:
        """Return the bytes of a dataset's file. Raises NotFoundError."""
        rows = self._db.read("SELECT length(content) FROM datasets WHERE id = ?", (dataset_id,))
        if not rows:
            raise NotFoundError(_missing(dataset_id))
        return int(rows[0][0])

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


def _missing(dataset_id: str) -> str:
    return f"There is no dataset {dataset_id!r}. Upload the file again."


class StoredSettings(StorePart):
    """Reading and writing settings."""

    def get(self, key: str, default: object = None) -> Any:
        """Return a setting's JSON value, or the default."""
        rows = self._db.read("SELECT value FROM settings WHERE key = ?", (key,))
        with self._db.decoding():
            return from_json(rows[0][0]) if rows else default

    def set(self, key: str, value: object) -> None:
        """Store a setting. Never a key or a password: those stay in the environment or the keyring."""
        self._db.insert("settings", {"key": key, "value": to_json(value)}, replace=True)


class StoredFeedback(StorePart):
    """Reading and writing users' feedback on answers (thumbs with a reason), and their own grades to check a judge against."""

    def save(self, project_id: str, dataset_id: str, feedback: FeedbackRow) -> None:
        """Store feedback, in place of an earlier one on the same row and prompt; an empty one deletes it."""
        if not feedback.thumbs and not feedback.reason.strip():
            self.delete(project_id, dataset_id, feedback.row, feedback.candidate_id)
            return
        values = {"project_id": project_id, "dataset_id": dataset_id, **asdict(feedback)}
        values |= {"reason": feedback.reason.strip(), "created_at": feedback.created_at or time.time()}
        self._db.insert("feedback", values, replace=True)

    def delete(self, project_id: str, dataset_id: str, row: int, candidate_id: str) -> None:
        """Delete feedback; there may be none."""
        self._db.write(
            "DELETE FROM feedback WHERE project_id = ? AND dataset_id = ? AND row = ? AND candidate_id = ?",
            (project_id, dataset_id, row, candidate_id),
        )

    def all(self, project_id: str, dataset_id: str) -> list[FeedbackRow]:
        """Return a project's feedback on rows of a dataset, the oldest first."""
        where = "FROM feedback WHERE project_id = ? AND dataset_id = ? ORDER BY created_at, row"
        return self._db.records(FeedbackRow, where, (project_id, dataset_id))

    def save_grade(
        self, project_id: str, dataset_id: str, row: int, answer: str, grade: float | None
    ) -> None:
        """Store a user's grade (0 to 1) of one answer to a row; None takes it back."""
        key = {"project_id": project_id, "dataset_id": dataset_id, "row": row, "answer": answer}
        if grade is None:
            where = " AND ".join(f"{name} = ?" for name in key)
            self._db.write(f"DELETE FROM grades WHERE {where}", list(key.values()))  # noqa: S608 - fixed names
            return
        self._db.insert("grades", {**key, "grade": grade, "created_at": time.time()}, replace=True)

    def grades(self, project_id: str, dataset_id: str) -> dict[tuple[int, str], float]:
        """Return a user's grades by row and answer."""
        rows = self._db.read(
            "SELECT row, answer, grade FROM grades WHERE project_id = ? AND dataset_id = ? ORDER BY row",
            (project_id, dataset_id),
        )
        return {(row, answer): grade for row, answer, grade in rows}


class Versions(StorePart):
    """Reading and writing kept programs, numbered from 1. A run is marked as in use with the version that came from it."""

    def add(
        self, project_id: str, run_id: str, candidate_id: str, content: JsonObject, note: str = ""
    ) -> int:
        """Keep a program; return its number. The same run's same candidate again gives the same number."""
        with self._db.transaction():
            known = self.all(project_id)
            for version in known:
                if (version.run_id, version.candidate_id) == (run_id, candidate_id):
                    return version.number
            number = 1 + max((version.number for version in known), default=0)
            row = VersionRow(
                project_id, number, run_id, candidate_id, content, note, in_use=False, created_at=time.time()
            )
            self._db.insert("versions", asdict(row))
        return number

    def all(self, project_id: str) -> list[VersionRow]:
        """Return a project's versions, the newest first."""
        return self._db.records(
            VersionRow, "FROM versions WHERE project_id = ? ORDER BY number DESC", (project_id,)
        )

    def get(self, project_id: str, number: int) -> VersionRow:
        """Return a version. Raises NotFoundError."""
        missing = f"The project {project_id!r} has no version {number}."
        where = "FROM versions WHERE project_id = ? AND number = ?"
        return self._db.record(VersionRow, missing, where, (project_id, number))

    def set_in_use(self, project_id: str, number: int | None) -> None:
        """Mark one version as in use and no other (None: none); the run it came from bears the mark too.

        Raises NotFoundError.
        """
        with self._db.transaction():
            run_id = None if number is None else self.get(project_id, number).run_id
            self._db.write(
                "UPDATE versions SET in_use = (number IS ?) WHERE project_id = ?", (number, project_id)
            )
            for run in self._db.read(
                "SELECT id FROM runs WHERE project_id = ? AND (in_use OR id IS ?)", (project_id, run_id)
            ):
                self._db.update_run(run[0], in_use=run[0] == run_id)


def new_id() -> str:
    """Return a fresh id: twelve hex digits."""
    return secrets.token_hex(6)


def _no_project(project_id: str) -> str:
    return f"There is no project {project_id!r}. It may have been deleted."
