"""The versions of a project's program: keep one, put one into use, go back to an earlier one."""

from __future__ import annotations

from datetime import datetime

import streamlit as st

from dashboard.components.page import callback
from dashboard.state import reading
from dashboard.state.selection import read_only, writing
from dashboard.views.glossary import explain
from dashboard.views.text import escape_markdown
from engine.errors import EngineError
from engine.export.container import serve_command
from engine.home import data_home
from engine.store.rows import RunRow, VersionRow


def version_list(run: RunRow) -> None:
    """Show the versions of the run's project, and keep this run's best prompt as one."""
    from engine.runs.exports import program_path

    kept = reading.versions(run.project_id)
    with st.container(border=True, key="versions"):
        st.markdown(
            "**Versions** · which program is in use",
            help=explain("version", "Going back to an earlier one is one press."),
        )
        if refused := st.session_state.pop("version_refused", ""):
            st.caption(f":orange[:material/error:] {escape_markdown(refused)}")
        if not kept:
            st.caption("No version yet. Keep this run's best prompt as the first one.")
        for version in kept:
            _version(version)
        if not read_only():
            _keep_form(run, kept)
        if any(v.in_use for v in kept):
            st.caption("The program in use lies here, whichever version it is; serve it like this:")
            st.code(serve_command(str(program_path(data_home(), run.project_id))), language="bash")


def _version(version: VersionRow) -> None:
    metadata = version.content.get("metadata", {})
    with st.container(
        horizontal=True, vertical_alignment="center", gap="small", key=f"version_{version.number}"
    ):
        st.markdown(f"**Version {version.number}**", width="content")
        if version.in_use:
            st.badge("In use", icon=":material/verified:", color="green", width="content")
        score = metadata.get("score")
        made = datetime.fromtimestamp(version.created_at).astimezone()
        facts = [f"{100 * score:.1f} % on its test rows"] if score is not None else []
        facts += [f"kept {made:%d %b %Y, %H:%M}", str(metadata.get("title") or "")]
        st.caption(escape_markdown(" · ".join(f for f in facts if f), 160), width="stretch")
        if version.note:
            st.caption(f"“{escape_markdown(version.note, 120)}”", width="content")
        if read_only():
            return
        if version.in_use:
            st.button(
                "Take out of use",
                key=f"version_off_{version.number}",
                type="tertiary",
                on_click=callback(_use_none),
                args=(version.project_id,),
            )
        else:
            st.button(
                "Use this version",
                key=f"version_use_{version.number}",
                on_click=callback(_use),
                args=(version.project_id, version.number),
            )


def _keep_form(run: RunRow, kept: list[VersionRow]) -> None:
    best = (run.result or {}).get("best_candidate")
    there = next((v.number for v in kept if (v.run_id, v.candidate_id) == (run.id, best)), None)
    with st.container(horizontal=True, vertical_alignment="bottom", gap="small", key="keep_version_form"):
        st.text_input(
            "What is special about it",
            key=f"version_note_{run.id}",
            placeholder="Optional, such as: after the new price list",
            max_chars=200,
            disabled=there is not None,
        )
        st.button(
            "Keep as a version",
            key="keep_version",
            icon=":material/bookmark_add:",
            disabled=there is not None,
            help=f"This run's best prompt is version {there} already." if there is not None else None,
            on_click=callback(_keep_version),
            args=(run.id,),
        )


def _keep_version(run_id: str) -> None:
    from engine.runs.exports import keep_version

    # Read here: what was typed just before the button was pressed is newer than the last drawing of the page.
    words = str(st.session_state.get(f"version_note_{run_id}", ""))
    try:
        with writing() as store:
            keep_version(store, run_id, note=words)
    except EngineError as error:
        st.session_state["version_refused"] = str(error)


def _use(project_id: str, number: int) -> None:
    from engine.runs.exports import use_version

    try:
        with writing() as store:
            use_version(data_home(), store, project_id, number)
    except EngineError as error:
        st.session_state["version_refused"] = str(error)


def _use_none(project_id: str) -> None:
    from engine.runs.exports import use_none

    with writing() as store:
        use_none(data_home(), store, project_id)
