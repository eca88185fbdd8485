"""The presenter's view of a run: its chart while it goes on, its result when it has ended, and nothing else, in large type.

The address says it (`present=1`), so the view is a link. It fits 1280 by 720 pixels, and is larger on a larger screen.
"""

from __future__ import annotations

import streamlit as st

from dashboard.components import ui
from dashboard.components.run_elements import (
    DOT,
    Parts,
    follow,
    meters_element,
    replay_buttons,
    replay_player,
    score_plot,
    watch,
)
from dashboard.components.runs import PRESENT, state_badge
from dashboard.services import RunRow
from dashboard.state import reading
from dashboard.state.live.snapshot import Snapshot
from dashboard.text import escape_markdown

TALL, SHORT = 460, 325
"""Pixels of the chart while the run goes on, and below its result."""


def present_run(run_id: str) -> None:
    """Show a run to an audience and keep it up to date."""
    ui.page_style()
    st.html(f"<style>{ui.static_text('present.css')}</style>")
    follow(run_id, _draw)


def _draw(seen: Snapshot, shown: Parts, live: str) -> None:
    run = seen.run
    with ui.row("present_head"):
        st.subheader(escape_markdown(run.title, 90), anchor=False, width="stretch")
        state_badge(run)
        replay_buttons(run)
        if st.button("Leave", key="present_leave", type="tertiary", shortcut="P"):
            st.query_params.pop(PRESENT, None)
            st.rerun()
    watch(shown, live)
    if replay_player(run, TALL):
        return
    if run.is_over and run.result:
        st.html(reading.hero(run))
        left, right = st.columns([3, 2], gap="medium")
        with left:
            score_plot(shown, live, f"present_{SHORT}", SHORT)
        with right:
            _winner(run, run.result.shown.best_candidate)
    else:
        meters_element(key="meters", data={"meters": shown["meters"], "live": live})
        score_plot(shown, live, f"present_{TALL}", TALL)
        st.caption(DOT)


def _winner(run: RunRow, best: str) -> None:
    state = next(iter(reading.prompt(run, best).steps.values()))
    ui.plain_code(state.instructions.strip() or "(no instruction)", height=SHORT)
