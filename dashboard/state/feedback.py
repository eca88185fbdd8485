"""Users' feedback on answers for the next run, and their grades to check a judge against.

Reading goes through `dashboard.state.reading`, writing through `dashboard.state.writing`, as everywhere. No Streamlit in here.
"""

from __future__ import annotations

import json
import time
from collections.abc import Collection, Mapping, Sequence

from dashboard.state import reading
from dashboard.state.writing import writing
from engine.records import value_text
from engine.runs.spec import Feedback
from engine.store.rows import FeedbackRow


def rows(project_id: str, dataset_id: str | None) -> list[FeedbackRow]:
    """Return a project's feedback on rows of a file, the oldest first."""
    return reading.read_store(lambda store: store.feedback.all(project_id, dataset_id)) if dataset_id else []


def save(
    project_id: str, dataset_id: str, row: int, place: tuple[str, str], given: tuple[int, str, str]
) -> None:
    """Keep feedback. `place` is (run id, candidate id), `given` is (thumbs, reason, the answer it is about)."""
    with writing() as store:
        store.feedback.save(
            project_id,
            dataset_id,
            FeedbackRow(row, place[0], place[1], *given, time.time()),
        )


def forget(project_id: str, dataset_id: str, found: Sequence[FeedbackRow]) -> None:
    """Delete feedback."""
    with writing() as store, store.transaction():
        for row in found:
            store.feedback.delete(project_id, dataset_id, row.row, row.candidate_id)


def grade(project_id: str, dataset_id: str, row: int, answer: str, given: float | None) -> None:
    """Keep the user's grade of an answer; None takes it back."""
    with writing() as store:
        store.feedback.save_grade(project_id, dataset_id, row, answer, given)


def feedback_of(found: Sequence[FeedbackRow], test_rows: Collection[int]) -> tuple[Feedback, ...]:
    """Return feedback as a run takes it; that on rows kept for the test is left out, so that it stays fair.

    >>> feedback_of([FeedbackRow(3, "r", "c", -1, "Too long.", "An answer", 0.0)], test_rows=[7])
    (Feedback(row=3, thumbs=-1, reason='Too long.', answer='An answer'),)
    """
    usable = [r for r in found if r.row not in test_rows]
    names = ("row", "thumbs", "reason", "answer")
    return tuple(Feedback.model_validate({name: getattr(r, name) for name in names}) for r in usable)


def answer_text(answer: Mapping[str, object], outputs: Sequence[str]) -> str:
    """Return an answer as one text: its output alone, or one line for each of several.

    >>> answer_text({"team": "billing", "reasoning": "..."}, ["team"])
    'billing'
    """
    if len(outputs) == 1:
        return value_text(answer.get(outputs[0], ""))
    return "\n".join(f"{name}: {value_text(answer.get(name, ''))}" for name in outputs)


def grade_key(answer: Mapping[str, object], outputs: Sequence[str]) -> str:
    """Return what a grade is kept under: the graded outputs as JSON, so that another answer needs another grade."""
    return json.dumps({name: answer.get(name) for name in outputs}, sort_keys=True, default=str)
