"""A run while it goes on."""

import streamlit as st

from dashboard.components import ui
from dashboard.components.project_page import current, tune_link
from dashboard.components.runs import PRESENT, current_run
from dashboard.components.wizard import wizard_header
from dashboard.run.live import live_run, running_runs
from dashboard.run.present import present_run

ENDED = ("How did the run go?", "It has ended; its results are ready.")
NONE = ("How is the run going?", "Nothing has been started yet.")
BROKEN_OFF = ("How did the run go?", "It ended before there was a result. What it found until then is kept.")

current()  # writes the project into the address, which says whose run is meant
run = current_run()
if run is None:
    wizard_header("run", NONE)
    what = "A run tries prompts on your examples and keeps the best. Start one on the Tune page."
    with ui.nothing_here("no_run", "No run yet", what):
        tune_link()
elif st.query_params.get(PRESENT) == "1":
    present_run(run.id)
else:
    wizard_header("run", None if run.goes_on else ENDED if run.result else BROKEN_OFF)
    running_runs(run.id)
    live_run(run.id)
