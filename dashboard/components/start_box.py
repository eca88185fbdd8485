"""The one box to start from: a text area and a place for files; what they are is recognised."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import streamlit as st
from streamlit.runtime.memory_uploaded_file_manager import MemoryUploadedFileManager
from streamlit.runtime.scriptrunner import get_script_run_ctx

from dashboard.components import ui
from dashboard.components.page import open_page
from dashboard.state.editing import drafts

if TYPE_CHECKING:
    from streamlit.runtime.uploaded_file_manager import UploadedFile

PROBLEM = "start_problem"
LARGEST = 150
"""Megabytes of one file; a project's file carries at most this."""

HINT = (
    "Paste a prompt you have, a chat, a Python class, a JSON Schema or rows.\n"
    "Or say it in a sentence: Sort customer mails into billing, shipping or other."
)
KINDS = (
    "Tables (CSV, Excel, JSON, Parquet), documents or a zip of them, prompts, DSPy programs, "
    "a project saved by Tuneboard. Everything stays on this machine."
)


def start_box() -> None:
    """Show the box; what it is given becomes a project, which opens for review."""
    with ui.card(
        "start_box", "New project", "One box for all you have; a text and a file may come together."
    ):
        taken = int(st.session_state.get("starts_taken", 0))
        text_side, file_side = st.columns([3, 2], gap="medium")
        with text_side:
            text = st.text_area(
                "A prompt, rows, or what you want in a sentence",
                key=f"box_text_{taken}",
                height=126,
                placeholder=HINT,
            )
        with file_side:
            files = st.file_uploader(
                "Files",
                accept_multiple_files=True,
                max_upload_size=LARGEST,
                key=f"box_files_{taken}",
                help=KINDS,
            )
        with ui.row("start_actions"):
            # Never disabled: a disabled button would swallow the click that leaves the box.
            pressed = ui.button("Draft the project", "box_draft", type="primary", icon="auto_fix_high")
            empty = ui.button("Start empty", "box_empty", type="tertiary")
        if empty:
            open_page("task", project=drafts.create_project(drafts.UNTITLED))
        project = ""
        if pressed:
            from dashboard.state.editing import starting
            from engine.runs.intake.attachments import BroughtFile

            with ui.problem_kept(PROBLEM), st.spinner("Reading"):
                brought = [BroughtFile(f.name, f.getvalue()) for f in files or ()]
                project = starting.start_project(text, brought)
        ui.problem_line(PROBLEM)
    if project:
        st.session_state["starts_taken"] = taken + 1
        drop_uploads(files or ())
        open_page("review", project=project)


def drop_uploads(files: Sequence[UploadedFile]) -> None:
    """Drop the bytes of files that have been used.

    Otherwise Streamlit keeps them until the tab's session ends. There is no public way; its chat input does the same.
    """
    context = get_script_run_ctx()
    if context is not None and isinstance(context.uploaded_file_mgr, MemoryUploadedFileManager):
        for file in files:
            context.uploaded_file_mgr.remove_file(session_id=context.session_id, file_id=file.file_id)
