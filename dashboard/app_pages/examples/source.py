"""Sources of examples: a file, pasted rows, pictures and PDFs, a sample, an earlier file. Nothing is fetched from an address."""

from __future__ import annotations

import base64
import binascii
from typing import TYPE_CHECKING

import streamlit as st

from dashboard.app_pages.examples.documents import documents_form
from dashboard.app_pages.examples.grid import forget_rows
from dashboard.components import ui
from dashboard.components.guard import forget_seen
from dashboard.components.page import Current
from dashboard.state import reading
from dashboard.state.editing import drafts, examples, records
from dashboard.views.text import count, distinct, escape_markdown
from engine.errors import DatasetError
from engine.pipeline.spec import PipelineSpec
from engine.runs.intake.attachments import TEXT, attached_path
from engine.store.rows import DatasetRow

if TYPE_CHECKING:
    from streamlit.runtime.uploaded_file_manager import UploadedFile

    from engine.dataset import Dataset


SHOWN = 8
LARGEST_SHOWN = 4 * 2**20


def picture_strip(now: Current, table: Dataset) -> None:
    """Show the first pictures of the columns that hold some."""
    spec = now.draft.pipeline or PipelineSpec()
    for field in (*spec.inputs, *spec.outputs):
        column = now.draft.mapping.get(field.name)
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
        elif cell.endswith(TEXT) and attached_path(cell) is not None:
            st.markdown(":material/description: text")
        elif attached_path(cell) is not None or cell.startswith("data:application/pdf"):
            st.markdown(":material/picture_as_pdf: PDF")
        elif cell.startswith(("http://", "https://")):
            st.markdown(":material/link: address", help="A picture at an address is not fetched here.")
        else:
            st.markdown(":orange[:material/broken_image:] not found")
        st.caption(f"Row {row}")


def _picture(cell: str) -> bytes | None:
    from engine.types.media import media_type

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


WAYS = (
    "Upload a file",
    "Paste a table",
    examples.DOCUMENTS,
    "Use a sample",
    "A file from before",
)
PROBLEM = "source_problem"
PASTE = "message,queue\nWhere is my parcel?,shipping\nI was charged twice.,billing"


def example_source(now: Current) -> None:
    """Let the user bring examples; what was chosen is stored at once."""
    ways = WAYS if _stored() else WAYS[:-1]
    way = ui.choose("Where from", ways, default=WAYS[0], key="source_way")
    if way == "Upload a file":
        _upload(now)
    elif way == "Paste a table":
        _paste(now)
    elif way == examples.DOCUMENTS:
        documents_form(now)
    elif way == "Use a sample":
        _samples(now)
    else:
        _before(now)
    ui.problem_line(PROBLEM)


def _use_dataset(project_id: str, dataset_id: str) -> None:
    """Make a stored file the project's examples, with the columns guessed that fill the task's fields."""
    from engine.dataset import guess_mapping

    table, found = reading.dataset(dataset_id), reading.profiles(dataset_id)
    project = next((p for p in reading.projects(archived=True) if p.id == project_id), None)
    spec = reading.draft_of(project).pipeline if project else None
    fields = [f.name for f in (*spec.inputs, *spec.outputs)] if spec else []
    outputs = [f.name for f in spec.outputs] if spec else []
    mapping = guess_mapping(table, fields, outputs=outputs, profiles=found) if fields else {}
    examples.use_table(project_id, dataset_id, mapping)
    forget_seen(project_id, "examples")
    forget_rows(project_id)


def _upload(now: Current) -> None:
    # Taking a file gives the box a new key: it is empty again, and the file is taken once only.
    st.file_uploader(
        "A table with column names in its first row",
        type=["csv", "tsv", "txt", "xlsx", "json", "jsonl", "parquet"],
        max_upload_size=100,
        **ui.saved(f"upload_{now.id}_{_taken()}", _take_upload, now.id),
    )
    st.caption(
        "CSV, TSV, Excel, JSON, JSON Lines or Parquet; also logs of model calls: chat completions, OpenTelemetry spans, "
        "exports of Langfuse and Phoenix. It stays on this machine."
    )
    if now.draft.pipeline is not None:
        template = examples.template(now.draft.pipeline)
        ui.download("Download an empty table with the task's columns", template, "examples.csv", "template")


def _paste(now: Current) -> None:
    key = f"paste_{now.id}"
    st.text_area(
        "Rows copied from a spreadsheet, with their column names", key=key, height=150, placeholder=PASTE
    )
    # Never disabled: a disabled button would swallow the click that leaves the box.
    use = ui.with_value(key, _take_paste, now.id)
    ui.button("Use these rows", "use_paste", type="primary", on_click=use)


def _take_upload(project_id: str, uploaded: UploadedFile | None) -> None:
    with ui.problem_kept(PROBLEM):
        if uploaded is not None:
            _take(project_id, uploaded.getvalue(), uploaded.name, "upload")


def _take_paste(project_id: str, text: str) -> None:
    with ui.problem_kept(PROBLEM):
        if not text.strip():
            raise DatasetError("Paste rows first.")
        _take(project_id, text.encode("utf-8", "replace"), "pasted rows", "paste")


def _taken() -> int:
    """Return how many files were taken: a part of the keys of the boxes for files."""
    return int(st.session_state.get("uploads_taken", 0))


def _take(project_id: str, content: bytes, name: str, source: str) -> None:
    """Make a file the project's examples. Raises EngineError where it cannot be read."""
    from engine.dataset import paste_dataset, read_dataset
    from engine.dataset.memory import LARGE, release_memory

    if source == "upload":
        st.session_state["uploads_taken"] = _taken() + 1
        found = read_dataset(content, name)
    else:
        found = paste_dataset(content.decode("utf-8", "replace"), name)
    dataset_id = drafts.add_file(found, content, source)
    if source == "upload":  # pasted rows are read by other rules than the file they are kept as
        reading.dataset(dataset_id, found)  # so that an upload is read once
    _use_dataset(project_id, dataset_id)
    if source == "upload":
        drafts.name_after(project_id, name)
    if len(content) > LARGE:
        release_memory()


def _stored() -> list[DatasetRow]:
    """Return the files from before, without the versions that edits made of them."""
    return [d for d in reading.datasets() if d.source != examples.SOURCE]


def _samples(now: Current) -> None:
    from engine.pipeline.templates import SAMPLES

    with st.grid(3, key="sample_files"):
        for sample in SAMPLES:
            with ui.tile(f"sample_file_{sample.name}"):
                with st.container(gap="xsmall", key=f"sample_text_{sample.name}"):
                    st.markdown(f"**{sample.title}**")
                    st.caption(sample.plain)
                ui.button(
                    "Use these rows",
                    f"use_sample_{sample.name}",
                    on_click=ui.callback(_use_sample, now.id, sample.file),
                )


def _use_sample(project_id: str, file: str) -> None:
    _use_dataset(project_id, drafts.add_sample_file(file))


def _before(now: Current) -> None:
    stored = distinct({d.id: f"{d.name} · {count(d.rows, 'row')}" for d in _stored()})
    picked = ui.pick("File", stored, key="before_file", label_visibility="collapsed")
    ui.button(
        "Use these rows", "use_before", type="primary", on_click=ui.callback(_use_dataset, now.id, picked)
    )
