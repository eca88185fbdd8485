"""The head of a run's pages: its name, its state and what can be done with it."""

from __future__ import annotations

import streamlit as st

from dashboard.app_pages.run.requests import request_buttons
from dashboard.components.page import PAGES
from dashboard.state import launching, models, reading
from dashboard.state.selection import read_only
from dashboard.state.snapshot import Snapshot
from dashboard.views.meters import progress
from dashboard.views.text import plain
from engine.errors import EngineError
from engine.store.rows import RunRow

STATES: dict[str, tuple[str, str, str]] = {
    "queued": ("Starting", "gray", ":material/hourglass_empty:"),
    "running": ("Running", "blue", ":material/play_circle:"),
    "paused": ("Paused", "orange", ":material/pause_circle:"),
    "finished": ("Finished", "green", ":material/check_circle:"),
    "stopped": ("Stopped", "orange", ":material/stop_circle:"),
    "failed": ("Failed", "red", ":material/error:"),
    "lost": ("Interrupted", "red", ":material/link_off:"),
}


def state_badge(run: RunRow) -> None:
    """Show a run's state in a word and a colour."""
    word, colour, icon = STATES[run.state]
    if run.state == "running" and run.pause_requested:
        word = "Pausing"
    if run.state in ("running", "paused") and run.stop_requested:
        word = "Stopping"
    st.badge(word, color=colour, icon=icon)  # type: ignore[arg-type]  # the table above holds only valid colours


def run_actions(seen: Snapshot) -> None:
    """Offer pause, resume, stop and requests as far as they make sense now; nothing to whoever only looks."""
    run = seen.run
    if read_only():
        return
    with st.container(horizontal=True, horizontal_alignment="right", key="run_actions"):
        if run.state == "running":
            st.button(
                "Pause",
                icon=":material/pause:",
                key="pause_run",
                on_click=launching.pause,
                args=(run.id,),
                disabled=run.pause_requested or run.stop_requested,
                help="Calls already under way finish; nothing is lost.",
            )
        if run.state in ("running", "paused"):
            request_buttons(seen)
        if run.state == "paused":
            st.button(
                "Resume",
                icon=":material/play_arrow:",
                key="resume_run",
                type="primary",
                on_click=launching.resume,
                args=(run.id,),
            )
        if run.state in ("lost", "failed", "stopped"):
            st.button(
                "Go on with this run",
                icon=":material/play_arrow:",
                key="restart_run",
                type="primary",
                on_click=_go_on,
                args=(run.id,),
                help="Starts its process again. Every call that was paid for is answered from the cache, so nothing is bought twice.",
            )
        if run.state in ("running", "paused", "queued"):
            st.button(
                "Stop and keep the best",
                icon=":material/stop:",
                key="stop_run",
                on_click=launching.stop,
                args=(run.id,),
                disabled=run.stop_requested,
                help="Ends the search now. The best prompt so far is kept and tested.",
            )


def _go_on(run_id: str) -> None:
    try:
        launching.resume(run_id, models.for_process())
    except EngineError as error:
        st.toast(plain(str(error)), icon=":material/error:")


SHOWN = 6


def running_runs(run_id: str) -> None:
    """Show the other runs that go on, each a link; nothing where there is none."""
    others = [r for r in reading.runs() if r.state in ("running", "paused", "queued") and r.id != run_id]
    if not others:
        return
    with st.container(horizontal=True, vertical_alignment="center", gap="small", key="running_runs"):
        st.caption("Also going on", width="content")
        for run in others[:SHOWN]:
            word, _, icon = STATES[run.state]
            done = progress(run)
            share = f" · {100 * done:.0f} %" if done else ""
            st.page_link(
                PAGES["run"],
                label=f"{plain(run.title, 48)} · {word.lower()}{share}",
                icon=icon,
                query_params={"project": run.project_id, "run": run.id},
                width="content",
            )
        if len(others) > SHOWN:
            st.caption(f"and {len(others) - SHOWN} more", width="content")
