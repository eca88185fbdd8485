"""The tuned program, to take away."""

from pathlib import Path

import streamlit as st

from dashboard.components import ui
from dashboard.components.project_page import tune_link
from dashboard.components.runs import current_run
from dashboard.components.wizard import wizard_header
from dashboard.export.cards import (
    messages_card,
    other_forms,
    program_cards,
    proof_card,
    report_card,
    results_card,
    taken_note,
    version_list,
)

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
    report, results = st.columns(2, gap="medium")
    with report:
        report_card(run)
    with results:
        results_card(run)
    with ui.errors_shown():
        program_cards(run, path)
    proof_card(run)
    version_list(run)
    with ui.errors_shown():
        other_forms(run, path)
    messages_card(run)
