"""Documents with their right answers as examples: a pile of files becomes the table and the task that reads records."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import streamlit as st

from dashboard.app_pages.examples.grid import edit_rows, forget_rows, problem_key
from dashboard.components import ui
from dashboard.components.guard import forget_seen, renew
from dashboard.components.page import Current
from dashboard.components.tables import data_table
from dashboard.state.editing import records
from dashboard.views.text import count, escape_markdown
from engine.errors import DatasetError
from engine.pipeline.spec import PipelineSpec
from engine.runs.intake.pile import THE_RECORD

if TYPE_CHECKING:
    from streamlit.runtime.uploaded_file_manager import UploadedFile

    from engine.dataset import Dataset

FILES, FOLDER = "Files or a zip", "A folder"
INFERRED, WRITTEN, BY_HAND, OWN = (
    "From the right answers",
    "From a class or a schema",
    "I fill in a form",
    "The task stays as it is",
)
ABOUT = {
    INFERRED: "The fields and their types are taken from the right answers.",
    WRITTEN: "A Pydantic class (read, never run), a JSON Schema, or a short form such as `document -> supplier, total: float`.",
    OWN: "The documents become rows for the task that this project has: its fields, instructions and metric stay.",
    BY_HAND: "You name the fields on the Task page, records and lists inside them too.",
}
CLASS = """class Line(BaseModel):
    article: str
    price: float

class Invoice(BaseModel):
    supplier: str
    total: float = Field(description="The amount to pay")
    lines: list[Line]"""
PROBLEM = "source_problem"
MOST_SHOWN = 200


def documents_form(now: Current) -> None:
    """Let the user bring documents, their right answers, and the type of the record."""
    kind = ui.choose("What to upload", (FILES, FOLDER), default=FILES, key="documents_kind")
    files = st.file_uploader(
        "Texts, pictures and PDFs, and a CSV or JSON file of right answers"
        if kind == FILES
        else "A folder of them",
        accept_multiple_files=True if kind == FILES else "directory",
        key=f"documents_{kind == FILES}_{now.id}_{records.taken_piles()}",
        max_upload_size=200,
    )
    st.caption(
        "The right answers name their document in a column such as *file*, or lie next to it as `name.json`. "
        "They may be missing: name the fields, then fill the answers in next to each document. Everything stays on this machine."
    )
    own = now.draft.pipeline is not None and bool(now.draft.pipeline.inputs)
    ways = ((OWN,) if own else ()) + (INFERRED, WRITTEN, BY_HAND)
    way = ui.choose("The record", ways, default=ways[0], key=f"documents_record_{own}")
    st.caption(ABOUT[way])
    written = ""
    if way == WRITTEN:
        written = st.text_area("The record", key="documents_class", height=210, placeholder=CLASS)
    pressed = ui.press(
        "Use these documents",
        _missing(files, way, written),
        icon="description",
        key="use_documents",
        type="primary",
    )
    if pressed and files:
        with ui.problem_kept(PROBLEM), st.spinner("Reading the documents"):
            _take(now, files, written if way == WRITTEN else "", way)
        st.rerun()


def _missing(files: Sequence[UploadedFile] | None, way: str, written: str) -> str:
    if not files:
        return "Choose documents first."
    return "Paste the class or the schema first." if way == WRITTEN and not written.strip() else ""


def _take(now: Current, files: Sequence[UploadedFile], written: str, way: str) -> None:
    """Make the project of what was chosen. Raises EngineError where nothing can be used."""
    if sum(f.size for f in files) > records.LARGEST_PILE:
        raise DatasetError("These files are too large together. Upload a part of them.")
    records.take_pile(
        now.id,
        [(f.name, f.getvalue()) for f in files],
        written,
        inferred=way in (INFERRED, OWN),
        own_task=way == OWN,
    )
    forget_seen(now.id, "examples")
    forget_rows(now.id)
    renew(now.id)


def answers_card(now: Current, spec: PipelineSpec, table: Dataset) -> None:
    """Lead from documents without right answers to the place where they are filled in."""
    if not spec.outputs:
        what = "Say on the Task page what is to be read out of a document. Then the right answers are filled in here."
        with ui.nothing_here("name_fields", "The record has no fields yet", what):
            ui.link("task", "Name the fields", "edit_note")
        return
    missing = records.columns_to_make(spec, now.draft.mapping, table)
    names = ", ".join(escape_markdown(name, 40) for name in missing)
    what = (
        f"No column holds the right answers of {names}. Make blank columns, then fill them in under One by one, next to each "
        "document, or in the rows below."
    )
    with ui.nothing_here("no_answers", "The right answers are missing", what):
        ui.button(
            "Make the columns",
            "make_columns",
            icon="view_column",
            type="primary",
            on_click=ui.callback(_make_columns, now.id),
        )


def _make_columns(project_id: str) -> None:
    with ui.problem_kept(problem_key(project_id)):
        edit_rows(project_id, lambda _table, seen: records.make_columns(project_id, seen))
    st.session_state["example_tabs"] = "One by one"
    renew(project_id)


def pile_report(now: Current) -> None:
    """List what could not be used of the documents taken last, and what is worth knowing of their fields."""
    found = records.problems_of(now.id)
    if not found:
        return
    files = {p.file for p in found if p.file != THE_RECORD}
    title = f"{count(len(files), 'file has', 'files have')} a problem" if files else "About the record"
    with ui.card("pile_problems"):
        with ui.row("pile_problems_head", side="distribute"):
            st.markdown(
                f":orange[:material/report:] **{title}**; the rest is here."
                if files
                else f":material/info: **{title}**",
                width="content",
            )
            ui.button(
                "Close",
                "pile_close",
                icon="close",
                type="tertiary",
                on_click=ui.callback(records.forget, now.id),
            )
        for p in found:
            if p.file == THE_RECORD:
                st.caption(escape_markdown(p.sentence))
        lines = [{"File": p.file, "Why": p.sentence} for p in found[:MOST_SHOWN] if p.file != THE_RECORD]
        if not lines:
            return
        data_table(
            lines, "pile_table", {"Why": st.column_config.TextColumn(width="large")}, most=6, height=260
        )
