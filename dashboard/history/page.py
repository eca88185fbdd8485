"""Every run of every project: find it, compare it, note something, use it again."""

import streamlit as st

from dashboard.components import ui
from dashboard.components.project_page import tune_link
from dashboard.components.runs import follow_ends
from dashboard.history.archive import archived_runs, put_away_offer
from dashboard.history.runs import history_table, run_card, run_compare
from dashboard.state import reading
from dashboard.state.writing import read_only

ui.page_title("History", "All runs of all projects. Nothing is thrown away.")
runs = reading.runs()
names = {p.id: p.name for p in reading.projects(archived=True)}
follow_ends(runs)
if not runs:
    what = "Every run is kept here with its settings and its result. Start one on the Tune page."
    with ui.nothing_here("no_history", "No runs yet", what):
        tune_link()
else:
    picked = history_table(runs, names)
    if len(picked) == 1:
        tags = {tag for run in runs for tag in run.tags}
        run_card(picked[0], names.get(picked[0].project_id), tags)
    elif len(picked) == 2:
        older, newer = sorted(picked, key=lambda run: run.created_at)
        run_compare(older, newer)
    elif picked:
        st.caption(":orange[:material/pending:] Two runs can be compared at a time.")
    if picked and not read_only():
        put_away_offer(picked)
if not read_only():
    archived_runs(names)
