"""The box for what a user brings: files that were used leave the memory."""

from __future__ import annotations

from streamlit.testing.v1 import AppTest


def _drops_what_it_got() -> None:
    import streamlit as st
    from streamlit.runtime.scriptrunner import get_script_run_ctx

    from dashboard.components.start_box import drop_uploads

    files = st.file_uploader("Files", accept_multiple_files=True, key="files")
    context = get_script_run_ctx()
    if files and context is not None:
        ids = [file.file_id for file in files]
        held = len(context.uploaded_file_mgr.get_files(context.session_id, ids))
        drop_uploads(files)
        left = len(context.uploaded_file_mgr.get_files(context.session_id, ids))
        st.text(f"{held} held, {left} left")


def test_files_that_were_used_are_dropped():
    app = AppTest.from_function(_drops_what_it_got).run()
    app.file_uploader(key="files").upload("a.csv", b"a,b", "text/csv").run()
    assert not app.exception
    assert app.text[0].value == "1 held, 0 left"
