"""Where everything starts: projects, runs, samples."""

import streamlit as st

from dashboard import data, drafts
from dashboard.components.coach import coach, coach_switch
from dashboard.components.home.new_project import new_project
from dashboard.components.home.project_cards import archived_projects, project_cards
from dashboard.components.home.run_list import run_list
from dashboard.components.home.running_now import running_now
from dashboard.components.home.sample_gallery import sample_gallery
from dashboard.components.home.welcome import first_steps, glossary_list
from dashboard.components.look import page_title
from dashboard.mode import read_only
from dashboard.wizard import steps
from engine.errors import EngineError

drafts.first_project()
projects, runs = data.projects(), data.runs()
names = {p.id: p.name for p in projects}
with st.container(horizontal=True, vertical_alignment="bottom", key="page_head"):
    page_title(
        "Better prompts, measured",
        "Describe a task, bring examples, set a budget: Tuneboard searches for a better prompt and proves it.",
    )
    if not read_only():
        new_project()
if not read_only() and not any(r.result for r in runs):
    if not any(r.state in ("queued", "running", "paused") for r in runs):
        first_steps(projects[0] if len(projects) == 1 else None)
elif projects:
    try:
        own = [r for r in runs if r.project_id == projects[0].id]
        coach(steps(data.draft_of(projects[0]), own), "home", projects[0].id)
    except EngineError:
        pass  # its card says what is wrong with it
running_now(runs, names)
if projects:
    st.markdown("##### Projects")
    project_cards(projects, runs)
elif not read_only():
    st.caption("There is no project yet. Start with a sample below, or make your own with New project.")
if not read_only():
    archived_projects([p for p in data.projects(archived=True) if p.archived])
if runs:
    st.markdown("##### Runs")
    run_list(runs, names)
if not read_only():
    st.markdown("##### Start from a sample")
    sample_gallery()
    glossary_list()
    coach_switch()
elif not projects:
    st.caption("There is nothing to look at yet.")
