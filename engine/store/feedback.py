"""Feedback of users on answers: thumbs with a reason, and their own grades to check a judge against."""

from __future__ import annotations

import time

from engine.store.connection import Connection, clean_text
from engine.store.rows import FeedbackRow


class Feedback:
    """Reading and writing users' feedback on answers and their grades."""

    def __init__(self, db: Connection) -> None:
        self._db = db

    def save(self, project_id: str, dataset_id: str, feedback: FeedbackRow) -> None:
        """Store feedback, in place of an earlier one on the same row and prompt; an empty one deletes it."""
        key = (project_id, dataset_id, feedback.row, feedback.candidate_id)
        if not feedback.thumbs and not feedback.reason.strip():
            self.delete(project_id, dataset_id, feedback.row, feedback.candidate_id)
            return
        self._db.write(
            "INSERT OR REPLACE INTO feedback (project_id, dataset_id, row, candidate_id, run_id, thumbs, reason, answer, "
            "created_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                *key,
                feedback.run_id,
                feedback.thumbs,
                clean_text(feedback.reason.strip()),
                clean_text(feedback.answer),
                feedback.created_at or time.time(),
            ),
        )

    def delete(self, project_id: str, dataset_id: str, row: int, candidate_id: str) -> None:
        """Delete feedback; there may be none."""
        self._db.write(
            "DELETE FROM feedback WHERE project_id = ? AND dataset_id = ? AND row = ? AND candidate_id = ?",
            (project_id, dataset_id, row, candidate_id),
        )

    def all(self, project_id: str, dataset_id: str) -> list[FeedbackRow]:
        """Return a project's feedback on rows of a dataset, the oldest first."""
        rows = self._db.read(
            "SELECT row, run_id, candidate_id, thumbs, reason, answer, created_at FROM feedback "
            "WHERE project_id = ? AND dataset_id = ? ORDER BY created_at, row",
            (project_id, dataset_id),
        )
        return [FeedbackRow(*row) for row in rows]

    def save_grade(
        self, project_id: str, dataset_id: str, row: int, answer: str, grade: float | None
    ) -> None:
        """Store a user's grade (0 to 1) of one answer to a row; None takes it back."""
        key = (project_id, dataset_id, row, clean_text(answer))
        if grade is None:
            self._db.write(
                "DELETE FROM grades WHERE project_id = ? AND dataset_id = ? AND row = ? AND answer = ?", key
            )
            return
        self._db.write(
            "INSERT OR REPLACE INTO grades (project_id, dataset_id, row, answer, grade, created_at) "
            "VALUES (?, ?, ?, ?, ?, ?)",
            (*key, grade, time.time()),
        )

    def grades(self, project_id: str, dataset_id: str) -> dict[tuple[int, str], float]:
        """Return a user's grades by row and answer."""
        rows = self._db.read(
            "SELECT row, answer, grade FROM grades WHERE project_id = ? AND dataset_id = ? ORDER BY row",
            (project_id, dataset_id),
        )
        return {(int(row), str(answer)): float(grade) for row, answer, grade in rows}
