"""The runs that go on at this moment, on the home page: how far each is, and the way to it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import streamlit as st

from dashboard import data
from dashboard.components.page import PAGES
from dashboard.components.run.run_header import STATES
from dashboard.meters import progress, short
from dashboard.plain import plain
from engine.store.rows import RunRow

GOING = ("queued", "running", "paused")
EVERY = 2.0
SHOWN = 6


def running_now(runs: Sequence[RunRow], names: Mapping[str, str]) -> None:
    """Show the runs that go on, kept up to date. `names` is project id -> name."""
    going = [r.id for r in runs if r.state in GOING]
    if not going:
        return
    st.markdown("##### Running now")
    st.fragment(_cards, run_every=EVERY)(going[:SHOWN], dict(names))


def _cards(ids: list[str], names: Mapping[str, str]) -> None:
    runs = [r for r in data.runs() if r.id in ids]
    with st.grid(3, gap="small", min_column_width=270, key="running_now"):
        for run in runs:
            word, colour, icon = STATES[run.state]
            with st.container(border=True, height="stretch", gap="xsmall", key=f"going_{run.id}"):
                st.markdown(f"**{plain(names.get(run.project_id, run.title), 60)}** :{colour}[{icon} {word}]")
                done = progress(run)
                st.progress(min(1.0, done or 0.0))
                st.caption(f"{short(run.calls)} calls so far")
                st.page_link(
                    PAGES["run"],
                    label="Look at it",
                    icon=":material/monitoring:",
                    query_params={"project": run.project_id, "run": run.id},
                    width="content",
                )
    if any(r.state not in GOING for r in runs):
        st.rerun()
