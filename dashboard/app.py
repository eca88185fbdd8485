"""The dashboard's entry: page settings, navigation, and the last net for errors; nothing else."""

from pathlib import Path

import streamlit as st

from dashboard.components.page import complain
from engine.errors import EngineError

HERE = Path(__file__).parent

st.set_page_config(page_title="Tuneboard", page_icon="🎛️", layout="wide", initial_sidebar_state="expanded")
st.logo(HERE / "static" / "logo.svg", icon_image=HERE / "static" / "mark.svg", size="large")

chosen = st.navigation(
    {
        "": [st.Page("app_pages/home.py", title="Home", icon=":material/home:", default=True)],
        "Set up": [
            st.Page("app_pages/task.py", title="Task", icon=":material/edit_note:"),
            st.Page("app_pages/examples.py", title="Examples", icon=":material/table_rows:"),
            st.Page("app_pages/metric.py", title="Metric", icon=":material/straighten:"),
            st.Page("app_pages/tune.py", title="Tune", icon=":material/tune:"),
        ],
        "Outcome": [
            st.Page("app_pages/run.py", title="Run", icon=":material/monitoring:"),
            st.Page("app_pages/results.py", title="Results", icon=":material/leaderboard:"),
            st.Page("app_pages/try_it.py", title="Try it", icon=":material/science:"),
            st.Page("app_pages/export.py", title="Export", icon=":material/ios_share:"),
            st.Page("app_pages/history.py", title="History", icon=":material/history:"),
        ],
        "Tuneboard": [st.Page("app_pages/settings.py", title="Settings", icon=":material/settings:")],
    }
)
try:
    chosen.run()
except EngineError as error:
    # One place for all pages: a locked, damaged or newer store, a file that is gone. The sentence says what to do.
    complain(error)
