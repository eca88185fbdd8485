"""The box for what a user brings: files that were used leave the memory."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

from streamlit.testing.v1 import AppTest

import dashboard
from engine.dataset.reading import LARGEST_FILE


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


def _shows_the_box() -> None:
    from dashboard.components.start_box import START, import_box

    import_box("box", START, lambda text, files: "")


def test_the_largest_table_is_one_number_in_the_reader_the_box_the_server_and_the_guide():
    folder = Path(dashboard.__file__).parent
    box = AppTest.from_function(_shows_the_box).run().file_uploader[0]
    server = tomllib.loads((folder / ".streamlit" / "config.toml").read_text())["server"]["maxUploadSize"]
    guide = re.search(r"Excel and Parquet, up to (\d+) MB", (folder / "README.md").read_text())
    assert guide is not None
    largest = LARGEST_FILE // 1_000_000
    assert (box.proto.max_upload_size_mb, server, int(guide[1])) == (largest, largest, largest)


def test_no_page_offers_to_take_a_file_that_the_server_refuses():
    folder = Path(dashboard.__file__).parent
    server = tomllib.loads((folder / ".streamlit" / "config.toml").read_text())["server"]["maxUploadSize"]
    texts = [path.read_text() for path in folder.rglob("*.py")]
    limits = [
        int(one.replace("_", "")) for text in texts for one in re.findall(r"max_upload_size=([\d_]+)", text)
    ]
    assert max([*limits, LARGEST_FILE // 1_000_000]) <= server
