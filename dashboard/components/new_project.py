"""Starting a project from nothing."""

from __future__ import annotations

import streamlit as st

from dashboard import drafts
from dashboard.components.page import go


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
            project = drafts.create_project(name.strip() or "Untitled project")
            go("examples" if own else "task", project=project)
