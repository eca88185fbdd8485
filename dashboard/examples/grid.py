"""The grid of rows, and how edits of rows are saved as this tab saw them, and undone."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

import streamlit as st

from dashboard.components import ui
from dashboard.components.glossary import explain
from dashboard.components.project_page import ProjectPage
from dashboard.components.tab_conflict import forget_seen, guarded_edit, renew, revision
from dashboard.components.tables import row_column
from dashboard.services import DatasetError, JsonObject, ProjectDraft, counted
from dashboard.state import reading
from dashboard.state.editing import examples
from dashboard.state.session import GRID_CHANGED, GRID_ROWS, NEXT_TAB
from dashboard.state.writing import read_only
from dashboard.text import escape_markdown

if TYPE_CHECKING:
    from dashboard.services import Dataset


Edit = Callable[["Dataset", str], object]
"""An edit of the rows: it gets the table as it is now, and the state of the examples as this tab last showed them."""


def edit_rows(project_id: str, change: Edit) -> bool:
    """Make an edit; return whether it was saved. Raises an EngineError that the edit raises."""

    def edit(seen: str) -> None:
        change(reading.dataset(reading.draft(project_id).dataset or ""), seen)

    return guarded_edit(project_id, edit, "examples")


def save_rows(project_id: str, change: Edit) -> bool:
    """Make an edit and show what is stored; an error is kept for the page. Return whether it was saved."""
    saved = False
    with ui.problem_kept(problem_key(project_id)):
        saved = edit_rows(project_id, change)
    renew(project_id)
    return saved


def show_rows(project_id: str, rows: Sequence[int]) -> None:
    """Show these rows in the grid."""
    GRID_ROWS.set(tuple(rows), project_id)
    NEXT_TAB.set("Rows")


def problem_key(project_id: str) -> str:
    """Return where the session keeps why an edit of the rows was not saved."""
    return f"grid_problem_{project_id}"


def undo_button(page: ProjectPage) -> None:
    """Offer to take the latest edit of the rows back, once there is one."""
    history = reading.setting(examples.key_of(page.id), [])
    if read_only() or not history:
        return
    ui.button(
        "Undo",
        "undo_examples",
        icon="undo",
        help=f"Take back: {escape_markdown(str(history[-1]['what']), 120)}",
        on_click=ui.callback(_undo, page.id),
    )


def _undo(project_id: str) -> None:
    with ui.problem_kept(problem_key(project_id)):
        examples.undo(project_id)
    forget_seen(project_id)
    GRID_ROWS.pop(project_id)
    renew(project_id)


Cell = tuple[int, str]
"""A cell: the row's id and its column."""


def _long_cells(project_id: str, cells: Mapping[Cell, int], numbers: Mapping[int, int]) -> None:
    """Offer the cells that the grid shows cut; `cells` gives the length of each in characters, `numbers` the rows' numbers."""
    if not cells:
        return
    with ui.row("long_cells", "bottom"):
        cell = st.selectbox(
            "Texts too long for the grid",
            list(cells),
            format_func=lambda c: f"Row {numbers[c[0]]}, {c[1][:60]}: {counted(cells[c], 'character')}",
            key=f"long_cell_{project_id}_{hash(tuple(cells))}",
            width=380,
        )
        if ui.button("Read it" if read_only() else "Open and edit", "open_long_cell", icon="open_in_full"):
            edit_long_cell(project_id, *cell, numbers[cell[0]])


@st.dialog("A long text", width="large")
def edit_long_cell(project_id: str, row: int, column: str, number: int) -> None:
    """Show one cell whole, to be changed and saved."""
    draft = reading.draft(project_id)
    before = reading.dataset(draft.dataset or "").values(column)[row]
    st.caption(f"{escape_markdown(column, 60)} · row {number}")
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
    if not ui.button("Save", "save_long_cell", type="primary"):
        return
    with ui.errors_shown():
        # A browser ends lines in one way only, and that alone is no change.
        if (text or "").splitlines() != before.splitlines():
            what = f"Change {column} in row {number}"
            if edit_rows(
                project_id,
                lambda table, seen: examples.change_rows(
                    project_id, what, table, cells={(row, column): text or ""}, seen=seen
                ),
            ):
                renew(project_id)
        st.rerun()


PAGE = 50
LONGEST = 2000
SMALL = 5000
"""Rows up to which the whole page is checked again after each edit; with more rows, only when asked."""

ROW, USE, WHY, BY = "\u2060row", "\u2060use", "\u2060why", "\u2060by"
BY_HAND = "left out by hand"
SHOW = {"all": "All rows", "out": "Left out", "made": "Written by a model", "some": "Chosen rows"}


@st.fragment
def example_grid(page: ProjectPage) -> None:
    """Show the rows of a project's table to edit."""
    draft = next(
        (reading.draft_of(p) for p in reading.projects(archived=True) if p.id == page.id), page.draft
    )
    if draft.dataset is None:
        return
    table = reading.dataset(draft.dataset)
    rows = _chosen(page.id, draft, table)
    pages = max(1, -(-len(rows) // PAGE))
    at = 1
    if pages > 1:
        with ui.row("grid_pages"):
            at = st.pagination(pages, key=f"row_page_{page.id}_{pages}")
            first, last = (at - 1) * PAGE + 1, min(at * PAGE, len(rows))
            st.caption(f"{first:,} to {last:,} of {counted(len(rows), 'row')}", width="content")
    shown = rows[(at - 1) * PAGE : at * PAGE]
    if not shown:
        st.caption("No such rows.")
        return
    long = _editor(page.id, draft, table, shown, at)
    _long_cells(page.id, long, {row: table.row_number(row) for row, _ in long})
    ui.problem_line(problem_key(page.id))
    if GRID_CHANGED.pop(page.id) and len(table) <= SMALL:
        st.rerun()
    st.caption(
        "Double-click a cell to change it. Untick *Use* to leave a row out, and say why. Every change is saved, and can be undone above."
    )


def _chosen(project_id: str, draft: ProjectDraft, table: Dataset) -> Sequence[int]:
    """Return the rows that the choices above the grid let through."""
    some = GRID_ROWS.get(project_id)
    size = len(table)
    shows: dict[str, Sequence[int]] = {
        "all": range(size),
        "out": sorted(r for r in draft.excluded if r < size),
        "made": sorted(r for r in draft.synthetic if r < size),
        "some": [r for r in some if r < size],
    }
    states = [name for name, rows in shows.items() if rows or name == "all"]
    with ui.row("grid_choices", "bottom"):
        which = "all"
        if len(states) > 1:
            which = ui.segments(
                "Show",
                states,
                default="some" if "some" in states else "all",
                format_func=lambda s: SHOW[s],
                key=f"grid_show_{project_id}_{len(some)}_{'out' in states}_{'made' in states}",
            )
        text = st.text_input(
            "Find",
            key=f"grid_find_{project_id}",
            placeholder="Find in all columns",
            label_visibility="collapsed",
            icon=":material/search:",
            width=260,
        )
    rows = shows[which]
    return _found(table, rows, text.strip()) if text.strip() else rows


def _found(table: Dataset, rows: Sequence[int], text: str) -> list[int]:
    hit = None
    for column in table.columns:
        here = table.frame[column].str.contains(text, case=False, regex=False)
        hit = here if hit is None else hit | here
    if hit is None:
        return list(rows)
    hits = hit.to_numpy(dtype=bool, na_value=False)
    return [row for row in rows if hits[row]]


def _editor(
    project_id: str, draft: ProjectDraft, table: Dataset, rows: Sequence[int], at: int
) -> dict[Cell, int]:
    """Show rows to edit; return the cells that are cut, by row and column, with their lengths."""
    import pandas as pd

    base = revision(project_id)
    key = f"grid_{project_id}_{base}_{at}_{hash(tuple(rows))}"
    part = table.frame.iloc[list(rows)]
    long = {
        (i, c): len(text)
        for c in table.columns
        for i, text in enumerate(part[c].tolist())
        if len(text) > LONGEST
    }
    synthetic = frozenset(draft.synthetic)
    lines: dict[str, object] = {
        ROW: [table.row_number(r) for r in rows],
        USE: [r not in draft.excluded for r in rows],
    }
    for column in table.columns:
        texts = part[column].tolist()
        lines[column] = [
            f"{text[:LONGEST]}… ({len(text):,} characters)" if (i, column) in long else text
            for i, text in enumerate(texts)
        ]
    lines[WHY] = [draft.excluded.get(r, "") for r in rows]
    if synthetic:
        lines[BY] = ["a model" if r in synthetic else "" for r in rows]
    st.data_editor(
        pd.DataFrame(lines),
        key=key,
        hide_index=True,
        num_rows="fixed",
        height=min(38 + 35 * len(rows), 480),
        disabled=True if read_only() else [ROW, BY],
        column_order=[
            ROW,
            USE,
            *in_sight_first(table.columns, draft.mapping),
            WHY,
            *([BY] if synthetic else []),
        ],
        column_config=_columns(table, draft),
        on_change=ui.callback(_edited, project_id, key, list(rows), long),
    )
    return {(rows[i], column): size for (i, column), size in long.items()}


def in_sight_first(columns: Sequence[str], mapping: Mapping[str, str]) -> list[str]:
    """Return the columns in the file's order, but those that the task does not use last: the answers shall be in sight.

    >>> in_sight_first(["id", "mail", "note", "team"], {"mail": "mail", "queue": "team"})
    ['mail', 'team', 'id', 'note']
    """
    used = set(mapping.values())
    return sorted(columns, key=lambda column: column not in used)


def _columns(table: Dataset, draft: ProjectDraft) -> JsonObject:
    columns: dict[str, object] = {
        ROW: row_column(60),
        USE: st.column_config.CheckboxColumn("Use", width=60, help=explain("left out")),
        WHY: st.column_config.TextColumn("Why left out", width="small"),
        BY: st.column_config.TextColumn("Written by", width="small", help=explain("written by a model")),
    }
    used = {c: f for f, c in draft.mapping.items()}
    answers = {f.name for f in draft.pipeline.outputs} if draft.pipeline else set()
    longest = {p.name: p.longest for p in reading.profiles(draft.dataset or "")}
    for column in table.columns:
        long = longest.get(column, 0)
        kind = "answer" if used.get(column) in answers else "input"
        columns[column] = st.column_config.TextColumn(
            column,
            width="large" if long > 60 else "medium" if max(long, 2 * len(column)) > 20 else "small",
            help=f"Fills the {kind} {escape_markdown(used[column], 60)}."
            if column in used
            else "Not used by the task.",
        )
    return columns


def _edited(project_id: str, key: str, rows: list[int], long: Mapping[Cell, int]) -> None:
    """Save what was changed in the grid; what is saved already changes nothing."""
    draft = reading.draft(project_id)
    if draft.dataset is None:
        return
    table = reading.dataset(draft.dataset)
    cells: dict[Cell, str] = {}
    out: dict[int, str] = {}
    back: list[int] = []
    problem = ""
    for place, changes in st.session_state.get(key, {}).get("edited_rows", {}).items():
        row = rows[int(place)]
        for column in (name for name in changes if name in table.columns):
            text = "" if changes[column] is None else str(changes[column])
            if (int(place), column) in long:
                number = table.row_number(row)
                problem = (
                    f"The cell in row {number} is too long to be changed in the grid. Open it below the grid."
                )
            elif table.frame[column].iloc[row] != text:
                cells[row, column] = text
        if changes.get(USE) is False or (changes.get(WHY) and changes.get(USE) is not True):
            why = str(changes.get(WHY) or draft.excluded.get(row) or BY_HAND)
            out |= {row: why} if draft.excluded.get(row) != why else {}
        elif changes.get(USE) is True and row in draft.excluded:
            back.append(row)
    _save_table(project_id, table, cells, (out, back), problem)


def _save_table(
    project_id: str,
    table: Dataset,
    cells: Mapping[Cell, str],
    rows: tuple[Mapping[int, str], Sequence[int]],
    problem: str,
) -> None:
    """Save changed cells, and rows left out and taken back; `problem` is why a cell was not changed."""
    edits: list[Edit] = []
    out, back = rows
    if out:
        what = f"Leave out {counted(len(out), 'row')}"
        edits.append(lambda _, seen: examples.leave_out(project_id, what, out, seen=seen))
    if back:
        again = f"Take back {counted(len(back), 'row')}"
        edits.append(lambda _, seen: examples.take_back(project_id, again, back, seen=seen))
    if cells:
        (row, column), *_ = cells
        change = f"Change {column} in row {table.row_number(row)}"
        edits.append(
            lambda page, seen: examples.change_rows(project_id, change, page, cells=cells, seen=seen)
        )
    with ui.problem_kept(problem_key(project_id)):
        for edit in edits:
            edit_rows(project_id, edit)
        if problem:
            raise DatasetError(problem)
    if problem_key(project_id) in st.session_state:
        renew(project_id)
    if edits:
        GRID_CHANGED.set(True, project_id)
