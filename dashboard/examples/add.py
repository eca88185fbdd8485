"""Adding rows: typed by hand, brought in the box, or written by the model and looked at first."""

from __future__ import annotations

from collections.abc import Sized
from typing import TYPE_CHECKING

import streamlit as st

from dashboard.components import ui
from dashboard.components.glossary import explain
from dashboard.components.project_page import ProjectPage
from dashboard.components.start_box import BoxWords, import_box
from dashboard.components.tab_conflict import renew
from dashboard.examples.grid import edit_rows, show_rows
from dashboard.services import GivenFile, ModelChoice, NewRows, counted
from dashboard.state import models
from dashboard.state.editing import examples, starting
from dashboard.state.models import title_of
from dashboard.state.session import ROWS_ADDED
from dashboard.text import escape_markdown

if TYPE_CHECKING:
    from dashboard.services import Dataset

BLANK_ROWS = 3


def add_rows(page: ProjectPage, table: Dataset) -> None:
    """Offer the ways to add rows to a project's table."""
    way = ui.segments(
        "Add rows",
        ("By hand", "Text or files", "Written by a model"),
        default="By hand",
        key=f"add_way_{page.id}",
    )
    if way == "By hand":
        _by_hand(page, table)
    elif way == "Text or files":
        _brought(page, table)
    else:
        _by_model(page, table)
    ui.problem_line(_problem_key(page.id))


def _by_hand(page: ProjectPage, table: Dataset) -> None:
    import pandas as pd

    number_added = ROWS_ADDED.get(page.id)
    edited = st.data_editor(
        pd.DataFrame({c: [""] * BLANK_ROWS for c in table.columns}, dtype="string"),
        num_rows="dynamic",
        hide_index=True,
        key=f"add_grid_{page.id}_{page.draft.dataset}_{number_added}",
        column_config={c: st.column_config.TextColumn(c) for c in table.columns},
    )
    lines = [{str(c): _cell_text(v) for c, v in line.items()} for line in edited.to_dict("records")]
    rows = [line for line in lines if any(text.strip() for text in line.values())]
    why_not = "" if rows else "Fill in at least one row first."
    add = ui.callback(_add, page.id, rows, False)
    ui.button(_add_label(rows), "add_by_hand", why_not, type="primary", on_click=add)


BROUGHT = BoxWords("Rows from a spreadsheet, with their column names", "", "Add these rows", "add")


def _brought(page: ProjectPage, table: Dataset) -> None:
    def use(text: str, files: list[GivenFile]) -> str:
        rows, left = starting.rows_to_add(page.id, text, files)
        _save(page.id, rows, made=False)
        return f" Left aside, for the table has no such column: {', '.join(left[:6])}." if left else " "

    words = BROUGHT._replace(hint="\t".join(table.columns))
    if note := import_box(f"add_{page.id}", words, use):
        if note.strip():
            st.toast(escape_markdown(note.strip(), 600), icon=":material/info:", duration="long")
        st.rerun()


def _add_label(rows: Sized) -> str:
    return f"Add {counted(len(rows), 'row')}" if rows else "Add rows"


def _problem_key(project_id: str) -> str:
    return f"add_problem_{project_id}"


def _by_model(page: ProjectPage, table: Dataset) -> None:
    model = page.draft.model or ModelChoice()
    reason = examples.cannot_write_rows(page.draft) or models.lacking([model])
    st.caption(f"{explain('written by a model')} Asks {escape_markdown(title_of(model))}.")
    with ui.row("made_form", "bottom"):
        number = st.number_input("How many", 1, 100, 10, key=f"made_count_{page.id}", width=130)
        wish = st.text_input(
            "Anything in particular",
            key=f"made_wish_{page.id}",
            placeholder="For example: more angry letters",
        )
        pressed = ui.button("Write rows", "write_rows", reason, icon="auto_awesome")
    key = f"made_rows_{page.id}"
    if pressed:
        st.session_state.pop(key, None)
        with ui.problem_kept(_problem_key(page.id)), st.spinner("Asking the model"):
            st.session_state[key] = examples.write_rows(page.draft, table, int(number), wish)
    if key in st.session_state:
        _review(page, st.session_state[key])


def _review(page: ProjectPage, found: NewRows) -> None:
    import pandas as pd

    for why, times in found.left_out.items():
        st.caption(f"Left aside: {counted(times, 'row')} {escape_markdown(why, 80)}.")
    if not found.rows:
        st.caption("No row came that fits the task.")
        return
    frame = pd.DataFrame([{"Take": True, **row} for row in found.rows])
    edited = st.data_editor(
        frame,
        hide_index=True,
        key=f"made_review_{page.id}_{hash(str(found.rows))}",
        column_config={"Take": st.column_config.CheckboxColumn("Take", width="small")},
        height="content" if len(frame) < 12 else 400,
    )
    lines: list[dict[object, object]] = edited.to_dict("records")
    rows = [{str(c): _cell_text(v) for c, v in line.items() if c != "Take"} for line in lines if line["Take"]]
    st.caption("Read them, correct them, untick those that are wrong: what a model says is right may not be.")
    why_not = "" if rows else "Tick at least one row."
    ui.button(
        _add_label(rows), "add_made", why_not, type="primary", on_click=ui.callback(_add, page.id, rows, True)
    )


def _add(project_id: str, rows: list[dict[str, str]], made: bool) -> None:
    with ui.problem_kept(_problem_key(project_id)):
        _save(project_id, rows, made=made)


def _save(project_id: str, rows: list[dict[str, str]], *, made: bool) -> None:
    """Add rows to the table, and show them. Raises EngineError."""
    what = f"Add {counted(len(rows), 'row')}{' written by a model' if made else ''}"
    added: list[int] = []

    def change(table: Dataset, seen: str) -> None:
        _, edited = examples.change_rows(project_id, what, table, added=rows, synthetic=made, seen=seen)
        added.extend(edited.added)

    if edit_rows(project_id, change):
        ROWS_ADDED.add_one(project_id)
        st.session_state.pop(f"made_rows_{project_id}", None)
        renew(project_id)
        show_rows(project_id, added)
        st.toast(f"{what}: done. Undo takes it back.", icon=":material/check:")


def _cell_text(value: object) -> str:
    return value if isinstance(value, str) else ""


def synthetic_note(page: ProjectPage) -> None:
    """Say how many rows were written by a model, and where they are used."""
    synthetic_rows = len(page.draft.synthetic)
    if synthetic_rows:
        st.caption(
            f":material/auto_awesome: {counted(synthetic_rows, 'row')} written by a model: learned from only, never tested on."
        )
