"""One row of a run whose answer is a record: the document next to it, right answers corrected in place."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import streamlit as st

from dashboard.components import ui
from dashboard.components.document import document_view, graded_answer, record_rows, viewer_data
from dashboard.services import Outcome, RunRow, json_value, make_metric, value_text
from dashboard.state import reading
from dashboard.state.candidates import ComparedCandidate
from dashboard.state.editing import records
from dashboard.state.writing import read_only

PROBLEM = "correction_problem"


def record_card(
    run: RunRow, one: ComparedCandidate, outcome: Outcome, values: Mapping[str, Any], *, focus: str = ""
) -> None:
    """Show a row's inputs, its document next to what a prompt read out of it; right answers are corrected in place."""
    spec = reading.run_spec(run)
    row = None if read_only() else records.same_row(run.project_id, spec, outcome.row)
    ui.problem_line(PROBLEM)
    with ui.errors_shown():
        table = reading.dataset(spec.dataset)
        document = records.document_at(table, spec.pipeline, spec.mapping, outcome.row)
        for other in spec.pipeline.inputs[1:]:
            ui.named_text(other.name, value_text(values.get(other.name)))
        expected = records.answer_now(run.project_id, row) if row is not None else None
        if expected is None:
            expected = {f.name: json_value(values.get(f.name)) for f in spec.pipeline.outputs}
        answer = {} if outcome.error is not None else dict(outcome.prediction)
        placed, grades = graded_answer(expected, answer, make_metric(spec.metric, spec.model))
        lines = record_rows(spec.pipeline.outputs, expected, placed, grades)
        key = f"{run.id}_{one.key}_{outcome.row}"
        data = viewer_data(document, lines, editable=row is not None, judged=True, key=key, focus=focus)
        document_view(
            data, f"record_{outcome.row}", None if row is None else _correction(run.project_id, row)
        )
    if row is not None:
        st.caption(
            "Corrections of right answers go into the project's examples, for the next run; this run's scores stay."
        )
    elif not read_only():
        st.caption(
            "This row is no longer in the project's examples, so its right answer cannot be corrected here."
        )


def _correction(project_id: str, row: int) -> Any:
    def correct(act: str, path: str, text: str) -> None:
        with ui.problem_kept(PROBLEM):
            records.correct(project_id, row, act, path, text)

    return correct
