"""A run while it goes on."""

import streamlit as st

from dashboard.components.run.live_run import live_run
from dashboard.components.run.running_runs import running_runs
from dashboard.components.run_picker import current_run, run_picker
from dashboard.components.wizard import wizard_header

wizard_header("run")
run_id = current_run()
if run_id is None:
    with st.container(border=True, key="no_run"):
        st.markdown("**No run yet**")
        st.caption("A run tries prompts on your examples and keeps the best. Start one on the Tune page.")
        st.page_link("app_pages/tune.py", label="Choose how to tune", icon=":material/tune:")
else:
    run_picker(run_id)
    running_runs(run_id)
    live_run(run_id)
