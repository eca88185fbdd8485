"""A run while it goes on."""

import streamlit as st

from dashboard.app_pages.run.live import live_run, running_runs
from dashboard.components.layout import card
from dashboard.components.page import current, tune_link
from dashboard.components.runs import current_run, run_picker
from dashboard.components.wizard import wizard_header
from dashboard.state import reading

ENDED = ("How did the run go?", "It has ended; its results are ready.")
NONE = ("How is the run going?", "Nothing has been started yet.")
BROKEN_OFF = ("How did the run go?", "It ended before there was a result. What it found until then is kept.")

current()  # writes the project into the address, which says whose run is meant
run_id = current_run()
run = reading.run(run_id) if run_id else None
if run is None:
    words: tuple[str, str] | None = NONE
elif run.is_over or run.state == "lost":
    words = ENDED if run.result else BROKEN_OFF
else:
    words = None
wizard_header("run", words)
if run_id is None:
    with card("no_run", "No run yet"):
        st.caption("A run tries prompts on your examples and keeps the best. Start one on the Tune page.")
        tune_link()
else:
    run_picker(run_id)
    running_runs(run_id)
    live_run(run_id)
