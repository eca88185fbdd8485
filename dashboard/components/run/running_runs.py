"""The runs that go on at this moment, of all projects, to switch between them."""

from __future__ import annotations

import streamlit as st

from dashboard import data
from dashboard.components.page import PAGES
from dashboard.components.run.run_header import STATES
from dashboard.meters import progress
from dashboard.plain import plain

SHOWN = 6


def running_runs(run_id: str) -> None:
    """Show the other runs that go on, each a link; nothing where there is none."""
    others = [r for r in data.runs() if r.state in ("running", "paused", "queued") and r.id != run_id]
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
