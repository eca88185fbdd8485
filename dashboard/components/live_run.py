"""A run as it goes on: meters, chart, the trials and what happens. Drawn again and again by a timer."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from dashboard import data
from dashboard.charts import score_chart, score_figure
from dashboard.components.event_feed import event_feed
from dashboard.components.plot import plot
from dashboard.components.run_header import run_actions, state_badge
from dashboard.components.run_meters import run_meters
from dashboard.components.trial_card import trial_card
from dashboard.plain import plain
from engine.store.rows import RunRow, TrialRow

POLL_SECONDS = 0.5


def live_run(run_id: str) -> None:
    """Show a run and keep it up to date until it is over."""
    run = data.run(run_id)
    st.fragment(_draw, run_every=None if run.is_over else POLL_SECONDS)(run_id, run.is_over)


def _draw(run_id: str, was_over: bool) -> None:
    run = data.run(run_id)
    name, actions = st.columns([3, 2], vertical_alignment="center")
    with name, st.container(horizontal=True, vertical_alignment="center", key="run_head"):
        st.subheader(plain(run.title, 120), anchor=False, width="content")
        state_badge(run)
    with actions:
        run_actions(run)
    _message(run)
    run_meters(run)
    trials, events = data.moment(run)
    left, right = st.columns([5, 3], gap="medium")
    with left, st.container(border=True, key="chart_card"):
        st.markdown(
            "**Trial scores**", help="Each dot is one prompt, scored on some rows. Click a dot to see it."
        )
        chart = score_chart(trials)
        if any(chart[1:5]):
            clicked = plot(score_figure(chart), key="scores", label=_said(trials), stamp=str(len(trials)))
            if clicked is not None:
                st.session_state["trial"] = int(clicked)
        else:
            st.caption("The first dot appears as soon as the starting prompt has answered its first row.")
    with right:
        chosen = st.session_state.get("trial")
        trial = next((t for t in trials if t.number == chosen), None)
        if trial is not None:
            trial_card(run, trial)
        event_feed(events, height=404 if trial is None else 240)
    if run.is_over and not was_over:
        st.rerun()


def _message(run: RunRow) -> None:
    if not run.message:
        return
    show = {"failed": st.error, "lost": st.warning, "stopped": st.info}.get(run.state, st.caption)
    show(plain(run.message))


def _said(trials: Sequence[TrialRow]) -> str:
    return f"Scores of {len(trials)} trials so far"
