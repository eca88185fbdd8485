"""Starting a project from nothing."""

from __future__ import annotations

import streamlit as st

from dashboard import drafts
from dashboard.components.page import go
from engine.errors import EngineError


def new_project() -> None:
    """Offer a new, empty project: from the person's own examples, or from its task."""
    with st.popover("New project", icon=":material/add:", key="new_project", width="content", type="primary"):
        name = st.text_input(
            "Name", key="new_name", placeholder="For example: Route incoming mail", label_visibility="visible"
        )
        own = st.button(
            "Start from my examples",
            key="new_from_rows",
            type="primary",
            icon=":material/upload_file:",
            width="stretch",
            help="Upload a table; the task is made from its columns.",
        )
        blank = st.button(
            "Start from the task",
            key="new_from_task",
            icon=":material/edit_note:",
            width="stretch",
            help="Say what goes in and what comes out first.",
        )
        if own or blank:
            project = drafts.create_project(name.strip() or drafts.UNTITLED)
            go("examples" if own else "task", project=project)
        key = f"import_{st.session_state.get('imports_taken', 0)}"
        st.file_uploader(
            "Or open a project file",
            type=["json"],
            key=key,
            max_upload_size=150,
            on_change=_import,
            args=(key,),
            help="One that Tuneboard saved with Save as a file.",
        )
        problem = st.session_state.get("import_problem")
        if problem:
            st.text(problem)
    opened = st.session_state.pop("imported_project", None)
    if opened:
        go("task", project=opened)


def _import(key: str) -> None:
    uploaded = st.session_state[key]
    st.session_state["import_problem"] = None
    if uploaded is None:
        return
    try:
        st.session_state["imported_project"] = drafts.import_project(uploaded.getvalue())
    except EngineError as error:
        st.session_state["import_problem"] = str(error)
    st.session_state["imports_taken"] = st.session_state.get("imports_taken", 0) + 1
