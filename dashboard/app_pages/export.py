"""The tuned program, to take away."""

from pathlib import Path

import streamlit as st

from dashboard import data
from dashboard.components.export_cards import form_cards, report_card, results_card
from dashboard.components.run_picker import current_run, run_picker
from dashboard.components.wizard import wizard_header
from engine.export.python import python_script

wizard_header("export")
run_id = current_run()
run = data.run(run_id) if run_id else None
path = Path(run.result["export_path"]) if run and run.result and run.result.get("export_path") else None
if run is None or path is None or not path.exists():
    with st.container(border=True, key="no_export"):
        st.markdown("**Nothing to export yet**")
        st.caption(
            "When a run ends, its best prompt can be taken away from here: as a program file, or as a script that runs it."
        )
        st.page_link("app_pages/tune.py", label="Choose how to tune", icon=":material/tune:")
else:
    run_picker(run.id)
    report, results = st.columns(2, gap="medium")
    with report:
        report_card(run)
    with results:
        results_card(run)
    script = python_script(data.pipeline(run), data.best_candidate(run), data.model_choice(run).model_dump())
    left, right = st.columns(2, gap="medium")
    with left, st.container(border=True, height="stretch", key="export_program"):
        st.markdown("**The program** · one JSON file")
        st.caption(
            "Instructions, solved examples and fields, and nothing secret. Tuneboard opens it again with the same answers."
        )
        st.download_button(
            "Download program.json",
            path.read_bytes,
            file_name="program.json",
            mime="application/json",
            icon=":material/download:",
            key="download_json",
            on_click="ignore",
        )
        st.caption("In Python:")
        st.code(
            f'import engine\n\nprogram = engine.load("program.json")\nprint(program({data.example_call(run)}))',
            language="python",
        )
    with right, st.container(border=True, height="stretch", key="export_script"):
        st.markdown("**A Python script** · runs on its own")
        st.caption("The same program written out, ready to run from a terminal.")
        st.download_button(
            "Download program.py",
            script,
            file_name="program.py",
            mime="text/x-python",
            icon=":material/download:",
            key="download_script",
            on_click="ignore",
        )
        st.code(script, language="python", height=300)
    form_cards(path)
    with st.container(border=True, key="export_prompt"):
        st.markdown("**The exact messages** · what the model is sent for one row")
        with st.container(height=420, border=False, key="export_messages"):
            for message in data.exact_messages(run):
                st.caption(message["role"])
                st.code(message["content"], language=None, wrap_lines=True)
