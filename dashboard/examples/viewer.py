"""One document of the examples next to its right answer, which is corrected in place."""

from __future__ import annotations

from typing import TYPE_CHECKING

import streamlit as st

from dashboard.components import ui
from dashboard.components.document import document_view, record_rows, viewer_data
from dashboard.components.project_page import ProjectPage
from dashboard.examples.grid import problem_key, save_rows
from dashboard.services import DOCUMENT_NAME, PipelineSpec
from dashboard.state.editing import records
from dashboard.state.writing import read_only
from dashboard.text import escape_markdown

if TYPE_CHECKING:
    from dashboard.services import Dataset


def document_tab(page: ProjectPage, spec: PipelineSpec, table: Dataset) -> None:
    """Show one row at a time: what is read on one side, the right answer on the other."""
    names = table.values(DOCUMENT_NAME) if DOCUMENT_NAME in table.columns else []
    key = f"document_row_{page.id}"
    rows = range(len(table))
    with ui.row("document_choice", "bottom"):
        row = st.selectbox(
            "Document" if names else "Row",
            rows,
            format_func=lambda r: (
                f"{table.row_number(r)}: {names[r][:80]}" if names else str(table.row_number(r))
            ),
            key=key,
            width=380,
        )
        for icon, title, by in (("chevron_left", "The one before", -1), ("chevron_right", "The next one", 1)):
            why_not = "" if 0 <= row + by < len(table) else "There is none."
            ui.icon_button(
                icon, title, f"document_{by}", on_click=ui.callback(_turn, key, row + by), why_not=why_not
            )
    ui.problem_line(problem_key(page.id))
    with ui.errors_shown():
        (cells,) = table.rows(row, row + 1)
        for other in spec.inputs[1:]:
            ui.named_text(other.name, cells.get(page.draft.mapping.get(other.name, ""), ""))
        document = records.document_at(table, spec, page.draft.mapping, row)
        lines = record_rows(spec.outputs, records.record_at(table, spec, page.draft.mapping, row))
        data = viewer_data(document, lines, editable=not read_only(), key=f"{page.draft.dataset}_{row}")
        document_view(data, f"document_{page.id}", lambda *change: _correct(page.id, row, *change))
        for note in document.notes:
            st.caption(escape_markdown(note))
    if not spec.outputs:
        st.caption(
            "Its right answer is filled in here, once the fields of the record are named on the Task page."
        )
        return
    st.caption(
        "Press a field to see the place of its value, or a marked place to see its field. What was not found in the text is "
        "worth a second look. Corrections go into the examples at once; Undo takes them back."
    )


def _turn(key: str, row: int) -> None:
    st.session_state[key] = row


def _correct(project_id: str, row: int, act: str, path: str, text: str) -> None:
    save_rows(project_id, lambda _table, _seen: records.correct(project_id, row, act, path, text))
