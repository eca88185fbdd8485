"""The tuned program, to take away."""

from pathlib import Path

import streamlit as st

from dashboard.components import ui
from dashboard.components.project_page import tune_link
from dashboard.components.runs import current_run
from dashboard.components.wizard import wizard_header
from dashboard.export.cards import for_developers, for_people, taken_note

wizard_header("export")
run = current_run()
path = Path(run.result.export_path) if run and run.result and run.result.export_path else None
if run is None or path is None or not path.exists():
    with ui.nothing_here(
        "no_export",
        "Nothing to export yet",
        "When a run ends, its best prompt can be taken away from here: as a program file, or as a script that runs it.",
    ):
        tune_link()
else:
    taken_note(run)
    tabs = {"For people": for_people, "For developers": for_developers}
    shown = st.tabs(list(tabs), key="export_tab", on_change="rerun", bind="query-params")
    for tab, draw in zip(shown, tabs.values(), strict=True):
        if tab.open:
            with tab:
                draw(run, path)
