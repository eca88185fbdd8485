"""A run as it goes on: meters, chart, the trials and what happens. Its parts follow the run's event stream by themselves.

The page is drawn again only when the run's state changes, or somebody clicks.
"""

from __future__ import annotations

from typing import Any

import streamlit as st

from dashboard import data
from dashboard.components.page import complain
from dashboard.components.plot import plot
from dashboard.components.run.event_feed import event_feed
from dashboard.components.run.run_header import run_actions, state_badge
from dashboard.components.run.run_meters import run_meters
from dashboard.components.run.run_requests import run_requests
from dashboard.components.run.run_watch import run_watch
from dashboard.components.run.trial_card import trial_card
from dashboard.components.verdict_card import verdict_card
from dashboard.glossary import explain
from dashboard.moment import Seen, parts
from dashboard.plain import plain
from engine.errors import EngineError
from engine.store.rows import RunRow

CHART_HEIGHT = 400


def live_run(run_id: str) -> None:
    """Show a run and keep it up to date until it is over."""
    st.fragment(_draw)(run_id, data.run(run_id).is_over)


def _draw(run_id: str, was_over: bool) -> None:
    try:
        seen = data.moment(data.run(run_id))
    except EngineError as error:  # a fragment runs by itself: the app's own net is not around it
        complain(error)
        return
    run, live = seen.run, not seen.run.is_over
    shown = _parts(run.id, run.revision, run.state, seen)
    name, actions = st.columns([2, 5], vertical_alignment="center")
    with name, st.container(horizontal=True, vertical_alignment="center", key="run_head"):
        st.subheader(plain(run.title, 120), anchor=False, width="content")
        state_badge(run)
    with actions:
        run_actions(seen)
    # What comes and goes has a place of its own: else what follows would be built anew, and the chart lose its zoom.
    with st.container():
        _message(run)
    run_meters(run.id, shown["meters"], live=live)
    run_watch(run.id, shown["stage"], live=live)
    with st.container():
        run_requests(seen)
    left, right = st.columns([5, 3], gap="medium")
    chosen = _chosen()
    with left, st.container(border=True, key="chart_card"):
        st.markdown(
            "**Scores of the prompts**",
            help=explain(
                "candidate",
                "Each dot is one, scored on some rows, and is joined to those it came from. Click one to see it.",
            ),
        )
        clicked = plot(
            shown["chart"]["figure"],
            key="scores",
            label=shown["chart"]["label"],
            stamp=shown["chart"]["stamp"],
            live=run.id if live else "",
            chosen=chosen,
            height=CHART_HEIGHT,
            empty="The first dot appears as soon as the starting prompt has answered its first row.",
        )
        if clicked is not None and int(clicked) != chosen:
            st.query_params["trial"] = str(int(clicked))
            chosen = int(clicked)
    with right:
        trial = next((t for t in seen.trials if t.number == chosen), None)
        with st.container():
            if trial is not None:
                trial_card(seen, trial)
        event_feed(run.id, shown["feed"], height=CHART_HEIGHT + 64 if trial is None else 260, live=live)
    if run.is_over != was_over:
        st.rerun()


@st.cache_resource(max_entries=16, show_spinner=False)
def _parts(run_id: str, revision: int, state: str, _seen: Seen) -> dict[str, Any]:  # noqa: ARG001 - the cache's key
    """Return a run's parts, worked out once for all sessions."""
    return parts(_seen)


def _chosen() -> int | None:
    """Return the trial in the address."""
    text = st.query_params.get("trial", "")
    return int(text) if text.isdecimal() and len(text) < 9 else None


def _message(run: RunRow) -> None:
    if run.is_over and run.result:
        verdict_card(run.result["verdict"])
    if not run.message:
        return
    show = {"failed": st.error, "lost": st.warning, "stopped": st.info}.get(run.state, st.caption)
    show(plain(run.message))
