"""What people say of answers: thumbs with a reason, and their own grades to check a judge against."""

from __future__ import annotations

import time
from dataclasses import dataclass

from engine.store.codec import clean_text
from engine.store.connection import StoreConnection


@dataclass(frozen=True, slots=True)
class Remark:
    """A person's word on one answer: `thumbs` is 1, -1 or 0; `row` is the dataset's; `run_id` is where it was read."""

    row: int
    run_id: str
    candidate_id: str
    thumbs: int
    reason: str
    answer: str
    created_at: float


class PeopleStore(StoreConnection):
    """Reading and writing what people say of answers."""

    def save_remark(self, project_id: str, dataset_id: str, remark: Remark) -> None:
        """Store a remark, in place of an earlier one on the same row and prompt; one that says nothing deletes it."""
        key = (project_id, dataset_id, remark.row, remark.candidate_id)
        if not remark.thumbs and not remark.reason.strip():
            self.delete_remark(project_id, dataset_id, remark.row, remark.candidate_id)
            return
        self._write(
            "INSERT OR REPLACE INTO feedback (project_id, dataset_id, row, candidate_id, run_id, thumbs, reason, answer, "
            "created_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                *key,
                remark.run_id,
                remark.thumbs,
                clean_text(remark.reason.strip()),
                clean_text(remark.answer),
                remark.created_at or time.time(),
            ),
        )

    def delete_remark(self, project_id: str, dataset_id: str, row: int, candidate_id: str) -> None:
        """Delete a remark; there may be none."""
        self._write(
            "DELETE FROM feedback WHERE project_id = ? AND dataset_id = ? AND row = ? AND candidate_id = ?",
            (project_id, dataset_id, row, candidate_id),
        )

    def remarks(self, project_id: str, dataset_id: str) -> list[Remark]:
        """Return a project's remarks on rows of a dataset, the oldest first."""
        rows = self._read(
            "SELECT row, run_id, candidate_id, thumbs, reason, answer, created_at FROM feedback "
            "WHERE project_id = ? AND dataset_id = ? ORDER BY created_at, row",
            (project_id, dataset_id),
        )
        return [Remark(*row) for row in rows]

    def save_grade(
        self, project_id: str, dataset_id: str, row: int, answer: str, grade: float | None
    ) -> None:
        """Store a person's grade (0 to 1) of one answer to a row; None takes it back."""
        key = (project_id, dataset_id, row, clean_text(answer))
        if grade is None:
            self._write(
                "DELETE FROM grades WHERE project_id = ? AND dataset_id = ? AND row = ? AND answer = ?", key
            )
            return
        self._write(
            "INSERT OR REPLACE INTO grades (project_id, dataset_id, row, answer, grade, created_at) "
            "VALUES (?, ?, ?, ?, ?, ?)",
            (*key, grade, time.time()),
        )

    def grades(self, project_id: str, dataset_id: str) -> dict[tuple[int, str], float]:
        """Return a person's grades by row and answer."""
        rows = self._read(
            "SELECT row, answer, grade FROM grades WHERE project_id = ? AND dataset_id = ? ORDER BY row",
            (project_id, dataset_id),
        )
        return {(int(row), str(answer)): float(grade) for row, answer, grade in rows}
