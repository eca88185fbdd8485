"""A run while it goes on."""

import streamlit as st

from dashboard.components import ui
from dashboard.components.project_page import current, tune_link
from dashboard.components.runs import PRESENT, current_run, follow_ends
from dashboard.components.wizard import wizard_header
from dashboard.run.live import live_run, running_runs
from dashboard.run.present import present_run
from dashboard.state import reading

page = current()
run = current_run()
if page is None or run is None:
    if wizard_header("run") is not None:
        what = "A run tries prompts on your examples and keeps the best. Start one on the Tune page."
        with ui.nothing_here("no_run", "No run yet", what):
            tune_link()
elif st.query_params.get(PRESENT) == "1":
    present_run(run.id)
else:
    ui.page_style()
    live_run(page, run.id)
    running_runs(run.id)
    follow_ends(other for other in reading.runs() if other.id != run.id)
