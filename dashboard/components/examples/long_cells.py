"""Cells too long for the grid: each is opened whole in a box of its own, changed there, saved, and undone like any edit."""

from __future__ import annotations

from collections.abc import Mapping

import streamlit as st

from dashboard import data, example_edits
from dashboard.components.examples.example_state import edit_rows, renew_grid
from dashboard.mode import read_only
from dashboard.plain import count, plain
from engine.errors import EngineError

Cell = tuple[int, str]
"""A cell: the row's id and its column."""


def long_cells(project_id: str, cells: Mapping[Cell, int], numbers: Mapping[int, int]) -> None:
    """Offer the cells that the grid shows cut; `cells` gives the length of each in characters, `numbers` the rows' numbers."""
    if not cells:
        return
    with st.container(horizontal=True, vertical_alignment="bottom", key="long_cells"):
        cell = st.selectbox(
            "Texts too long for the grid",
            list(cells),
            format_func=lambda c: f"Row {numbers[c[0]]}, {c[1][:60]}: {count(cells[c], 'character')}",
            key=f"long_cell_{project_id}_{hash(tuple(cells))}",
            width=380,
        )
        if st.button(
            "Read it" if read_only() else "Open and edit",
            key="open_long_cell",
            icon=":material/open_in_full:",
        ):
            edit_long_cell(project_id, *cell, numbers[cell[0]])


@st.dialog("A long text", width="large")
def edit_long_cell(project_id: str, row: int, column: str, number: int) -> None:
    """Show one cell whole, to be changed and saved."""
    draft = data.draft_of(next(p for p in data.projects(archived=True) if p.id == project_id))
    before = data.dataset(draft.dataset or "").values(column)[row]
    st.caption(f"{plain(column, 60)} · row {number}")
    text = st.text_area(
        "Text",
        before,
        height=420,
        key=f"long_text_{project_id}_{row}_{column}",
        label_visibility="collapsed",
        disabled=read_only(),
    )
    if read_only():
        return
    # A browser ends lines in one way only, and that alone is no change.
    same = (text or "").splitlines() == before.splitlines()
    if st.button("Save", key="save_long_cell", type="primary") and _save(
        project_id, None if same else text or "", (row, column), number
    ):
        st.rerun()


def _save(project_id: str, text: str | None, cell: Cell, number: int) -> bool:
    """Store the cell's new text, None: it is the old one; return whether the box can be closed."""
    if text is None:
        return True
    try:
        saved = edit_rows(
            project_id,
            lambda table, seen: example_edits.change_rows(
                project_id, f"Change {cell[1]} in row {number}", table, cells={cell: text}, seen=seen
            ),
        )
    except EngineError as error:
        st.caption(f":red[:material/error:] {plain(str(error))}")
        return False
    if saved:
        renew_grid(project_id)
    return True
