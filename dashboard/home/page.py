"""The home page: projects, runs, samples."""

import streamlit as st

from dashboard.components import ui
from dashboard.components.start_box import start_box
from dashboard.home.projects import archived_projects, project_cards
from dashboard.home.welcome import (
    first_steps,
    glossary_list,
    run_list,
    running_now,
    sample_gallery,
    show_button,
)
from dashboard.state import reading
from dashboard.state.editing import drafts
from dashboard.state.writing import read_only

drafts.first_project()
projects, runs = reading.projects(), reading.runs()
names = {p.id: p.name for p in projects}
ui.page_title(
    "Better prompts, measured",
    "Describe a task, bring examples, set a budget: Tuneboard searches for a better prompt and proves it.",
)
if not read_only(""):
    start_box()
if not read_only("") and not any(r.result or r.goes_on for r in runs):
    first_steps(projects[0] if len(projects) == 1 else None)
running_now(runs, names)
if projects:
    st.markdown("##### Projects")
    project_cards(projects, runs)
elif not read_only(""):
    st.caption("There is no project yet. Start with a sample below, or make your own in the box above.")
if not read_only(""):
    archived_projects([p for p in reading.projects(archived=True) if p.archived])
if runs:
    st.markdown("##### Runs")
    run_list(runs, names)
if not read_only(""):
    with ui.row("samples_head"):
        st.markdown("##### Start from a sample", width="content")
        show_button()
    sample_gallery()
    glossary_list()
elif not projects:
    st.caption("There is nothing to look at yet.")
