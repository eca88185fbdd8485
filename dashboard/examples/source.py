"""Sources of examples: the box for what a user brings, samples, earlier files. Nothing is fetched from an address."""

from __future__ import annotations

import base64
import binascii
from typing import TYPE_CHECKING

import streamlit as st

from dashboard.components import ui
from dashboard.components.project_page import ProjectPage, open_page
from dashboard.components.start_box import BoxWords, import_box
from dashboard.components.tab_conflict import forget_seen, renew
from dashboard.services import ATTACHED_TEXT, GivenFile, PipelineSpec, attached_path, counted
from dashboard.state import reading
from dashboard.state.editing import drafts, examples, records, starting
from dashboard.state.session import GRID_ROWS
from dashboard.text import distinct, escape_markdown

if TYPE_CHECKING:
    from dashboard.services import Dataset


SHOWN = 8
LARGEST_SHOWN = 4 * 2**20


def picture_strip(page: ProjectPage, table: Dataset) -> None:
    """Show the first pictures of the columns that hold some."""
    spec = page.draft.pipeline or PipelineSpec()
    for field in (*spec.inputs, *spec.outputs):
        column = page.draft.mapping.get(field.name)
        if column not in table.columns or not field.parsed_type.names & records.MEDIA:
            continue
        st.caption(f"The first rows of {escape_markdown(column, 60)}:")
        with ui.row(f"pictures_{field.name}", "top"):
            for at, cell in enumerate(table.frame[column].iloc[:SHOWN].tolist()):
                _thumbnail(cell, table.row_number(at))


def _thumbnail(cell: str, row: int) -> None:
    with st.container(width=130, gap="xxsmall", border=True, key=f"thumbnail_{row}"):
        content = _picture(cell)
        if content is not None:
            st.image(content, width=96)
        elif cell.endswith(ATTACHED_TEXT) and attached_path(cell) is not None:
            st.markdown(":material/description: text")
        elif attached_path(cell) is not None or cell.startswith("data:application/pdf"):
            st.markdown(":material/picture_as_pdf: PDF")
        elif cell.startswith(("http://", "https://")):
            st.markdown(":material/link: address", help="A picture at an address is not fetched here.")
        else:
            st.markdown(":orange[:material/broken_image:] not found")
        st.caption(f"Row {row}")


def _picture(cell: str) -> bytes | None:
    from dashboard.services import media_type

    content = b""
    if cell.startswith("data:image/") and ";base64," in cell[:60]:
        try:
            content = base64.b64decode(cell.partition(",")[2][: LARGEST_SHOWN * 4 // 3], validate=True)
        except binascii.Error:
            return None
    else:
        path = attached_path(cell)
        if path is not None and path.stat().st_size <= LARGEST_SHOWN:
            content = path.read_bytes()
    return content if content and media_type(content[:64]) is not None else None


ROWS = BoxWords(
    "Rows from a spreadsheet, with their column names",
    "message,queue\nWhere is my parcel?,shipping\nI was charged twice.,billing",
    "Use these rows",
    "table_rows",
)
ABOUT = (
    "A table, a log of model calls (chat completions, OpenTelemetry spans, exports of Langfuse and Phoenix), or documents: "
    "texts, pictures, PDFs. Their right answers come with them: a table that names each document in a column such as *file*, "
    "or `name.json` next to it. They may be missing. A class or a JSON Schema as the text gives the record to read."
)


def example_source(page: ProjectPage) -> None:
    """Let the user bring rows in place of those that there are, or take a sample's or an earlier file's."""

    def use(text: str, files: list[GivenFile]) -> str:
        return _page_after(starting.bring_rows(page.id, text, files))

    next_page = import_box(f"source_{page.id}", ROWS, use, lambda: _template(page))
    st.caption(ABOUT)
    next_page = next_page or _stored_rows(page)
    if next_page:
        forget_seen(page.id)
        GRID_ROWS.pop(page.id)
        renew(page.id)
        open_page(next_page)


def _page_after(drafted: bool) -> str:
    return "review" if drafted else "examples"


def _template(page: ProjectPage) -> None:
    if page.draft.pipeline is not None and page.draft.pipeline.inputs:
        content = examples.template(page.draft.pipeline)
        ui.download("An empty table with the task's columns", content, "examples.csv", "template")


def _stored_rows(page: ProjectPage) -> str:
    """Offer the rows of samples and of files from before; return the page to go on with, or ""."""
    from dashboard.services import SAMPLES

    files = [d for d in reading.datasets() if d.source not in (examples.SOURCE, "sample")]
    names = distinct({d.id: f"{d.name} · {counted(d.rows, 'row')}" for d in files})
    names |= {sample.file: f"Sample: {sample.title}" for sample in SAMPLES}
    with ui.row("stored_rows", "bottom"):
        picked = ui.select("Or rows that are here already", names, key=f"stored_{page.id}", width=320)
        if not ui.button("Use them", "use_stored"):
            return ""
    with ui.errors_shown():
        dataset = drafts.add_sample_file(picked) if picked in {s.file for s in SAMPLES} else picked
        return _page_after(starting.use_rows(page.id, dataset))
    return ""
