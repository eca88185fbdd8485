"""Which run a page shows: the one named in the address, else the project's newest."""

from __future__ import annotations

from datetime import datetime

import streamlit as st

from dashboard import data
from dashboard.components.run.run_header import STATES
from dashboard.plain import distinct
from dashboard.selection import Selection
from engine.store.rows import RunRow


def current_run() -> str | None:
    """Return the id of the run to show, or None when there is none."""
    selection = Selection.from_params(st.query_params)
    runs = data.runs(selection.project)
    if selection.run and any(r.id == selection.run for r in runs):
        return selection.run
    return runs[0].id if runs else None


def run_picker(run_id: str) -> None:
    """Let the person look at another run of the project, when there are several."""
    runs = {r.id: r for r in data.runs(Selection.from_params(st.query_params).project)}
    if len(runs) < 2:
        return
    names = distinct({i: _name(r) for i, r in runs.items()})
    picked = st.selectbox(
        "Run",
        list(runs),
        index=list(runs).index(run_id),
        format_func=lambda i: names[i],
        key=f"run_picker_{run_id}_{runs[run_id].state}",
        label_visibility="collapsed",
        width=420,
    )
    if picked != run_id:
        st.query_params.pop("trial", None)
        st.query_params["run"] = picked
        st.rerun()


def _name(run: RunRow) -> str:
    at = datetime.fromtimestamp(run.created_at).astimezone().strftime("%d %b %H:%M")
    # How a run ended, only: the picker is not drawn anew while one goes on, and its badge says the rest.
    return f"{run.title} · {at} · {STATES[run.state][0].lower() if run.is_over else 'going on'}"
