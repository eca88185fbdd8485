"""Old runs put away in files of the data folder, and brought back."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path

import streamlit as st

from dashboard.components import ui
from dashboard.components.tables import small_table
from dashboard.services import (
    ARCHIVE_FOLDER,
    ARCHIVE_SUFFIX,
    LARGEST_FILE,
    USERS_VARIABLE,
    BroughtBack,
    RunRow,
    bring_back,
    counted,
    put_away,
)
from dashboard.state import reading
from dashboard.state.session import ARCHIVES_READ
from dashboard.state.writing import writing

MOST = 20
PROBLEM = "archive_problem"


def put_away_offer(picked: Sequence[RunRow]) -> None:
    """Offer to put the selected runs away."""
    if going := next((run.title for run in picked if not run.is_over), ""):
        going = f"{going} has not ended. Stop it, or go on with it, first."
    with ui.row("put_away_row"):
        pressed = ui.button(
            f"Put away {counted(len(picked), 'run')}",
            "put_away",
            going,
            icon="archive",
            help="Moves them into a file, with all that was recorded of them. They can be brought back below.",
        )
    if pressed:
        _confirm(picked)


@st.dialog("Put these runs away?")
def _confirm(picked: Sequence[RunRow]) -> None:
    for run in picked[:MOST]:
        st.text(run.title)
    if len(picked) > MOST:
        st.caption(f"And {len(picked) - MOST:,} more.")
    st.caption(
        "Their prompts, trials and rows move into one file in the data folder's archive, which is read back before anything is "
        "deleted. Programs that were kept as versions stay. The runs can be brought back on this page."
    )
    if ui.confirmed("Leave them", "Put away", "put_away_sure"):
        with ui.errors_shown():
            with writing("put away runs", ", ".join(run.id for run in picked)) as store:
                put_away(store, [run.id for run in picked])
            st.session_state.pop("history_table", None)
            st.rerun()


def archived_runs(names: Mapping[str, str]) -> None:
    """Show the files of runs that were put away, each with the way back; `names` are the projects that the user sees, by id."""
    with st.expander(
        "Runs put away", icon=":material/archive:", key="archived_runs", on_change="rerun"
    ) as box:
        if not box.open:
            return
        ui.problem_line(PROBLEM)
        files = [file for file in reading.archives() if _may_see(file.runs, names)]
        for file in files:
            _file(file)
        if not files:
            st.caption("None so far. Select runs in the table above to put them away.")
        st.file_uploader(
            "Bring back runs from a file",
            type=[ARCHIVE_SUFFIX.removeprefix(".")],
            max_upload_size=LARGEST_FILE // 1_000_000,
            help="One that was put away here or elsewhere. Of a file from elsewhere, keys, addresses and files of this machine "
            f"that it names are not used. Copy a larger one to the folder '{ARCHIVE_FOLDER}' of the data folder: it is then listed here.",
            **ui.saved(f"unarchive_{ARCHIVES_READ.get()}", _uploaded),
        )


def _may_see(runs: Sequence[RunRow], names: Mapping[str, str]) -> bool:
    """Return whether a file may be shown: on a server with users, to members of all its projects."""
    return not os.environ.get(USERS_VARIABLE) or all(run.project_id in names for run in runs)


def _file(file: reading.ArchiveFile) -> None:
    with ui.card(f"archive_{file.path.stem}"):
        with ui.row(f"archive_head_{file.path.stem}"):
            st.markdown(f"**{counted(len(file.runs), 'run')}**", width="content")
            st.caption(f"{file.path.name} · {file.path.stat().st_size / 1e6:,.1f} MB", width="stretch")
            ui.button(
                "Bring back",
                f"bring_back_{file.path.stem}",
                icon="unarchive",
                on_click=ui.callback(_bring_back, file.path),
            )
        shown = []
        for run in file.runs[:MOST]:
            started = datetime.fromtimestamp(run.created_at).astimezone()
            shown.append((run.title, file.projects.get(run.project_id, ""), f"{started:%d %b %Y}"))
        small_table(("Run", "Project", "Started"), shown)
        if len(file.runs) > MOST:
            st.caption(f"And {len(file.runs) - MOST:,} more.")


def _bring_back(path: Path) -> None:
    """Bring the runs of a file of the data folder back; the file is deleted when all of them are in the store again."""
    with ui.problem_kept(PROBLEM), writing("brought back runs", path.name) as store:
        _say(bring_back(store, path))
        path.unlink(missing_ok=True)


def _uploaded(uploaded: st.runtime.uploaded_file_manager.UploadedFile | None) -> None:
    if uploaded is None:
        return
    ARCHIVES_READ.add_one()
    with (
        ui.problem_kept(PROBLEM),
        tempfile.TemporaryDirectory(prefix="tuneboard-") as folder,
        writing("brought back runs", uploaded.name) as store,
    ):
        path = Path(folder) / f"{ARCHIVE_FOLDER}{ARCHIVE_SUFFIX}"
        path.write_bytes(uploaded.getbuffer())
        _say(bring_back(store, path))


def _say(found: BroughtBack) -> None:
    left_out = f"; {len(found.here):,} left out, already here" if found.here else ""
    st.toast(f"Brought back {counted(len(found.runs), 'run')}{left_out}.", icon=":material/unarchive:")
