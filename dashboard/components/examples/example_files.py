"""Pictures and PDFs as examples: taken by upload, named in a column, and shown small. Nothing is fetched from an address."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence
from typing import TYPE_CHECKING

import streamlit as st

from dashboard.components.page import Current
from dashboard.plain import plain
from engine.errors import EngineError
from engine.pipeline.spec import PipelineSpec
from engine.runs.attachments import EXTENSIONS, attached_path, keep_file

if TYPE_CHECKING:
    from engine.dataset import Dataset

KINDS = ("Image", "PDF", "File")
SHOWN = 8
LARGEST_SHOWN = 4 * 2**20


def files_source(project_id: str) -> tuple[str, bytes] | None:
    """Let the person choose pictures and PDFs; return a table of them as a file, one row each, once they are taken."""
    taken = st.session_state.get("uploads_taken", 0)
    files = st.file_uploader(
        "Pictures or PDFs, one row each",
        type=list(EXTENSIONS),
        accept_multiple_files=True,
        key=f"attach_{project_id}_{taken}",
        max_upload_size=20,
    )
    st.caption("They stay on this machine. The right answers are filled in below, in the grid.")
    answer = st.text_input("What the answer is called", "answer", key=f"attach_answer_{project_id}")
    pressed = st.button(
        "Use these files",
        key="use_files",
        type="primary",
        disabled=not files,
        help=None if files else "Choose files first.",
    )
    if not pressed or not files:
        return None
    try:
        return table_of([(f.name, f.getvalue()) for f in files], answer)
    except EngineError as error:
        st.session_state["source_problem"] = str(error)
        return None


def table_of(files: Sequence[tuple[str, bytes]], answer: str) -> tuple[str, bytes]:
    """Keep files; return a CSV file that names them: columns name, file and the answer, blank. Raises DatasetError."""
    from engine.dataset.editing import csv_bytes

    kept = [keep_file(name, content) for name, content in files]
    column = answer.strip() if answer.strip() not in ("", "name", "file") else "answer"
    return "files.csv", csv_bytes({"name": [n for n, _ in files], "file": kept, column: [""] * len(files)})


def picture_strip(now: Current, table: Dataset) -> None:
    """Show the first pictures of the columns that hold some."""
    spec = now.draft.pipeline or PipelineSpec()
    for field in (*spec.inputs, *spec.outputs):
        column = now.draft.mapping.get(field.name)
        if column not in table.columns or not any(kind in field.type for kind in KINDS):
            continue
        st.caption(f"The first rows of {plain(column, 60)}:")
        with st.container(horizontal=True, gap="small", key=f"pictures_{field.name}"):
            for at, cell in enumerate(table.frame[column].iloc[:SHOWN].tolist()):
                _thumbnail(cell, table.row_number(at))


def _thumbnail(cell: str, row: int) -> None:
    with st.container(width=130, gap="xxsmall", border=True, key=f"thumbnail_{row}"):
        content = _picture(cell)
        if content is not None:
            st.image(content, width=96)
        elif attached_path(cell) is not None or cell.startswith("data:application/pdf"):
            st.markdown(":material/picture_as_pdf: PDF")
        elif cell.startswith(("http://", "https://")):
            st.markdown(":material/link: address", help="A picture at an address is not fetched here.")
        else:
            st.markdown(":orange[:material/broken_image:] not found")
        st.caption(f"Row {row}")


def _picture(cell: str) -> bytes | None:
    from engine.types.image import media_type

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
