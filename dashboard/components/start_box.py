"""The one box for what a user brings: a text area and a place for files; what they are is recognised."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, NamedTuple

import streamlit as st
from streamlit.runtime.memory_uploaded_file_manager import MemoryUploadedFileManager
from streamlit.runtime.scriptrunner import get_script_run_ctx

from dashboard.components import ui
from dashboard.components.project_page import ProjectPage, open_page
from dashboard.components.tables import data_table
from dashboard.services import LARGE_TABLE, LARGEST_FILE, counted, release_memory
from dashboard.state.editing import drafts
from dashboard.state.session import BOX_EMPTIED, DOCUMENT_PROBLEMS
from dashboard.text import escape_markdown

if TYPE_CHECKING:
    from streamlit.runtime.uploaded_file_manager import UploadedFile

    from dashboard.services import GivenFile

KINDS = (
    "Tables (CSV, Excel, JSON, Parquet), logs of model calls, documents or a zip of them, prompts, DSPy programs, "
    "a project saved by Tuneboard. Everything stays on this machine."
)

Use = Callable[[str, "list[GivenFile]"], str]
"""Uses a text and files; returns what the page goes on with, never "". Raises EngineError where they cannot be used."""


class BoxWords(NamedTuple):
    """Words of a box: the title and the hint of its text, its button and that button's icon."""

    title: str
    hint: str
    button: str
    icon: str


def import_box(
    key: str, words: BoxWords, use: Use, more: Callable[[], object] = lambda: None, *, narrow: bool = False
) -> str:
    """Show a box for a text and files; return what `use` makes of them when its button is pressed, else "".

    A `narrow` one has its place for files above its text.

    What was used leaves the box, and so does a single file that cannot be used; more than that stays, with the reason below
    the box. `more` draws next to the button.
    """
    emptied = BOX_EMPTIED.get(key)
    if narrow:
        file_side, text_side = st.container(), st.container()
    else:
        text_side, file_side = st.columns([3, 2], gap="medium")
    with text_side:
        text = st.text_area(
            words.title, key=f"{key}_text_{emptied}", height=240 if narrow else 126, placeholder=words.hint
        )
    with file_side:
        folder = st.session_state.get(f"{key}_folder", False)
        files = st.file_uploader(
            "Drop a folder here" if folder else "Drop files here",
            accept_multiple_files="directory" if folder else True,
            max_upload_size=LARGEST_FILE // 1_000_000,
            key=f"{key}_files_{folder}_{emptied}",
            help=KINDS,
        )
        st.checkbox("A whole folder", key=f"{key}_folder")
    with ui.row(f"{key}_actions"):
        # Never disabled: a disabled button would swallow the click that leaves the box.
        pressed = ui.button(words.button, f"{key}_use", type="primary", icon=words.icon)
        more()
    done = _used(key, use, text, files or []) if pressed else ""
    ui.problem_line(f"{key}_problem")
    return done


def _used(key: str, use: Use, text: str, files: Sequence[UploadedFile]) -> str:
    from dashboard.services import GivenFile

    done = ""
    with ui.problem_kept(f"{key}_problem"), st.spinner("Reading"):
        done = use(text, [GivenFile(f.name, f.getvalue()) for f in files])
    if sum(f.size for f in files) > LARGE_TABLE:
        release_memory()
    if done or (len(files) == 1 and not text.strip()):
        BOX_EMPTIED.add_one(key)
        drop_uploads(files)
        if not done:
            st.rerun()  # the file that was given up is still drawn
    return done


def drop_uploads(files: Sequence[UploadedFile]) -> None:
    """Drop the bytes of files that have been used.

    Otherwise Streamlit keeps them until the tab's session ends. There is no public way; its chat input does the same.
    """
    context = get_script_run_ctx()
    if context is not None and isinstance(context.uploaded_file_mgr, MemoryUploadedFileManager):
        for file in files:
            context.uploaded_file_mgr.remove_file(session_id=context.session_id, file_id=file.file_id)


START = BoxWords(
    "A prompt, rows, or what you want in a sentence",
    "Paste a prompt you have, a chat, a Python class, a JSON Schema or rows.\n"
    "Or say it in a sentence: Sort customer mails into billing, shipping or other.",
    "Draft the project",
    "auto_fix_high",
)


def start_box(*, narrow: bool = False) -> None:
    """Show the box on Home; what it is given becomes a project, which opens for review."""
    about = "One box for all you have; a text and a file may come together."
    with ui.card("start_box", "New project", about, height="stretch"):
        if project := import_box("box", START, _start, _start_empty, narrow=narrow):
            open_page("review", project=project)


def _start(text: str, files: list[GivenFile]) -> str:
    from dashboard.state.editing import (
        starting,
    )  # not for a first page: readers and importers take a while to load

    return starting.start_project(text, files)


def _start_empty() -> None:
    if ui.button("Start empty", "box_empty", type="tertiary"):
        open_page("task", project=drafts.create_project(drafts.UNTITLED))


MOST_SHOWN = 200


def import_report(page: ProjectPage) -> None:
    """List what could not be used of the documents taken last, and what is worth knowing of their fields."""
    from dashboard.services import THE_RECORD

    problems = DOCUMENT_PROBLEMS.get(page.id)
    if not problems:
        return
    files = {p.file for p in problems if p.file != THE_RECORD}
    title = f"{counted(len(files), 'file has', 'files have')} a problem" if files else "About the record"
    with ui.card("import_problems"):
        with ui.row("import_problems_head", side="distribute"):
            st.markdown(
                f":orange[:material/report:] **{title}**; the rest is here."
                if files
                else f":material/info: **{title}**",
                width="content",
            )
            ui.button(
                "Close",
                "import_close",
                icon="close",
                type="tertiary",
                on_click=ui.callback(DOCUMENT_PROBLEMS.pop, page.id),
            )
        for p in problems:
            if p.file == THE_RECORD:
                st.caption(escape_markdown(p.sentence))
        lines = [{"File": p.file, "Why": p.sentence} for p in problems[:MOST_SHOWN] if p.file != THE_RECORD]
        if not lines:
            return
        data_table(
            lines, "import_table", {"Why": st.column_config.TextColumn(width="large")}, most=6, height=260
        )
