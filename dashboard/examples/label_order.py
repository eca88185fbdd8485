"""Labelling rows one at a time: which comes next, what prompts answered, and the label as an edit that can be undone."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING

import streamlit as st

from dashboard.state import candidates, playground, reading
from dashboard.state.editing import examples
from engine.dataset.doubt import Doubt, label_order
from engine.dataset.logs import THUMBS
from engine.dataset.structured import cell_text
from engine.errors import DatasetError
from engine.pipeline.spec import FieldSpec, PipelineSpec
from engine.records import Candidate, json_value
from engine.runs.spec import ProjectDraft

if TYPE_CHECKING:
    from engine.dataset import Dataset

LABELLED = "labelled"
"""Column that says of a row that a person looked at its answer."""

NOT_RIGHT = "left out while labelling"


def labelled_field(draft: ProjectDraft, table: Dataset) -> FieldSpec | None:
    """Return the answer that is labelled: the task's only one, where a column holds it and it is no record; else None."""
    outputs = draft.pipeline.outputs if draft.pipeline else ()
    if len(outputs) != 1 or outputs[0].fields or draft.mapping.get(outputs[0].name) not in table.columns:
        return None
    return outputs[0]


def labelled_rows(table: Dataset) -> set[int]:
    """Return the rows that were labelled."""
    if LABELLED not in table.columns:
        return set()
    return {row for row, cell in enumerate(table.values(LABELLED)) if cell.strip()}


def queue(project_id: str, draft: ProjectDraft, table: Dataset) -> list[Doubt]:
    """Return the rows to label, the most doubtful first, those skipped last."""
    field = labelled_field(draft, table)
    if field is None:
        return []
    cells = table.values(draft.mapping[field.name])
    thumbs = table.values(THUMBS) if THUMBS in table.columns else []
    skipped = _skipped(project_id)
    found = label_order(
        {row: cell for row, cell in enumerate(cells) if row not in draft.excluded},
        thumbs=dict(enumerate(thumbs)),
        others=answers_of(project_id),
        labelled=labelled_rows(table),
    )
    return sorted(found, key=lambda doubt: skipped.index(doubt.row) + 1 if doubt.row in skipped else 0)


def answers_of(project_id: str) -> dict[int, Collection[str]]:
    """Return what prompts answered in this session, by row."""
    found: dict[int, Collection[str]] = st.session_state.get(f"label_answers_{project_id}", {})
    return found


def best_prompts(project_id: str, draft: ProjectDraft) -> tuple[PipelineSpec, list[Candidate | None]]:
    """Return the two best prompts of the last run with the task's fields, and its task; else the task as it is (None)."""
    own = draft.pipeline or PipelineSpec()
    for run in reading.runs(project_id):
        spec = None
        with suppress(ValueError):  # saved by another version
            spec = reading.run_spec(run) if run.result else None
        if spec is None or (spec.pipeline.inputs, spec.pipeline.outputs) != (own.inputs, own.outputs):
            continue
        entries = [c for c in candidates.index(run) if c.score is not None]
        entries.sort(key=lambda c: (c.id == run.best, c.rows, c.score or 0.0), reverse=True)
        with reading.reading() as store:
            found = [store.trials.candidate(run.id, c.id) for c in entries[:2]]
        if found:
            return spec.pipeline, [*found]
    return own, [None]


def ask(project_id: str, draft: ProjectDraft, rows: Sequence[int]) -> None:
    """Answer rows with the best prompts and keep the answers. Raises EngineError."""
    field = labelled_field(draft, reading.dataset(draft.dataset or ""))
    if field is None:
        raise DatasetError("The task has no single answer to label.")
    inputs = reading.examples_at(draft, rows, labelled=False)
    wanted = {row: json_value(dict(one)) for row, one in inputs.items()}
    if not wanted:
        raise DatasetError("None of these rows can be answered: their inputs do not fit the task.")
    pipeline, prompts = best_prompts(project_id, draft)
    asked = draft.model_copy(update={"pipeline": pipeline, "metric": None})
    answers: dict[int, list[str]] = {}
    for prompt in prompts:
        for outcome in playground.answer_rows(asked, wanted, candidate=prompt):
            if not outcome.error:
                text = cell_text(json_value(outcome.prediction.get(field.name)))
                answers.setdefault(outcome.row, []).append(text)
    st.session_state[f"label_answers_{project_id}"] = {**answers_of(project_id), **answers}


def label(project_id: str, row: int, answer: str) -> None:
    """Save a row's right answer, as an edit that can be undone. Raises DatasetError for a blank one."""
    if not answer.strip():
        raise DatasetError("A label needs an answer. Choose or write one, or leave the row out.")
    draft = reading.draft(project_id)
    table = reading.dataset(draft.dataset or "")
    field = labelled_field(draft, table)
    if field is None:
        raise DatasetError("The task has no single answer to label.")
    cells = {(row, draft.mapping[field.name]): answer, (row, LABELLED): "yes"}
    what = f"Label row {table.row_number(row)}"
    examples.change_rows(project_id, what, table, cells=cells, also={"columns": [LABELLED]})


def leave_out(project_id: str, row: int) -> None:
    """Leave a row out whose right answer cannot be said."""
    examples.leave_out(project_id, "Leave out a row while labelling", {row: NOT_RIGHT})


def skip(project_id: str, row: int) -> None:
    """Put a row at the end for now."""
    others = [one for one in _skipped(project_id) if one != row]
    st.session_state[f"label_skipped_{project_id}"] = [*others, row]


def _skipped(project_id: str) -> list[int]:
    found: list[int] = st.session_state.get(f"label_skipped_{project_id}", [])
    return found
