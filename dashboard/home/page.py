"""The home page: a finished run that plays, the box for a new project, the projects, samples."""

import streamlit as st

from dashboard.components import ui
from dashboard.components.start_box import start_box
from dashboard.home.projects import archived_projects, project_rows
from dashboard.home.welcome import film, glossary_list, samples, show_button
from dashboard.state import reading
from dashboard.state.editing import drafts
from dashboard.state.writing import read_only

drafts.first_project()
projects, runs = reading.projects(), reading.runs()
changes = not read_only("")
new_here = changes and not runs and len(projects) < 2
actions = ui.page_title(
    "Better prompts, measured",
    "Bring a prompt or a table: get a better prompt, and the proof.",
)
if changes:
    with actions:
        show_button()
if new_here:
    box, demo = st.columns(2, gap="medium")
    with box:
        start_box(narrow=True)
    with demo:
        film()
if projects:
    project_rows(projects, runs)
elif not changes:
    st.caption("There is nothing to look at yet.")
if changes:
    archived_projects([p for p in reading.projects(archived=True) if p.archived])
    if not new_here:
        start_box()
        with st.expander(
            "A finished run plays in 10 seconds",
            icon=":material/smart_display:",
            key="demo",
            on_change="rerun",
        ) as demo:
            if demo.open:
                film()
    samples()
    glossary_list()
