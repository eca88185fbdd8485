"""The home page: projects, runs, samples."""

import streamlit as st

from dashboard.app_pages.home.projects import archived_projects, new_project, project_cards
from dashboard.app_pages.home.welcome import first_steps, glossary_list, run_list, running_now, sample_gallery
from dashboard.components import ui
from dashboard.components.runs import goes_on
from dashboard.components.wizard import hint_bar, hint_switch
from dashboard.state import drafts, reading
from dashboard.state.selection import read_only
from dashboard.views.wizard import steps
from engine.errors import EngineError

drafts.first_project()
projects, runs = reading.projects(), reading.runs()
names = {p.id: p.name for p in projects}
with ui.row("page_head", "bottom"):
    ui.page_title(
        "Better prompts, measured",
        "Describe a task, bring examples, set a budget: Tuneboard searches for a better prompt and proves it.",
    )
    if not read_only():
        new_project()
if not read_only() and not any(r.result for r in runs):
    if not any(map(goes_on, runs)):
        first_steps(projects[0] if len(projects) == 1 else None)
elif projects:
    try:
        own = [r for r in runs if r.project_id == projects[0].id]
        hint_bar(steps(reading.draft_of(projects[0]), own), "home", projects[0].id)
    except EngineError:
        pass  # its card says what is wrong with it
running_now(runs, names)
if projects:
    st.markdown("##### Projects")
    project_cards(projects, runs)
elif not read_only():
    st.caption("There is no project yet. Start with a sample below, or make your own with New project.")
if not read_only():
    archived_projects([p for p in reading.projects(archived=True) if p.archived])
if runs:
    st.markdown("##### Runs")
    run_list(runs, names)
if not read_only():
    st.markdown("##### Start from a sample")
    sample_gallery()
    glossary_list()
    hint_switch()
elif not projects:
    st.caption("There is nothing to look at yet.")
