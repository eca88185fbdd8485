"""Where everything starts: projects, runs, samples."""

import streamlit as st

from dashboard import data, drafts
from dashboard.components.look import page_title
from dashboard.components.new_project import new_project
from dashboard.components.project_cards import archived_projects, project_cards
from dashboard.components.run_list import run_list
from dashboard.components.sample_gallery import sample_gallery
from dashboard.mode import read_only

drafts.first_project()
projects, runs = data.projects(), data.runs()
with st.container(horizontal=True, vertical_alignment="bottom", key="page_head"):
    page_title(
        "Better prompts, measured",
        "Describe a task, bring examples, set a budget: Tuneboard searches for a better prompt and proves it.",
    )
    if not read_only():
        new_project()
if projects:
    st.markdown("##### Projects")
    project_cards(projects, runs)
if not read_only():
    archived_projects([p for p in data.projects(archived=True) if p.archived])
if runs:
    st.markdown("##### Runs")
    run_list(runs, {p.id: p.name for p in projects})
if not read_only():
    st.markdown("##### Start from a sample")
    sample_gallery()
elif not projects:
    st.caption("There is nothing to look at yet.")
