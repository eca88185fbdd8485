"""A run that is followed: its fragment, its figures with its progress, its chart, and the watch that has it drawn again."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import streamlit as st

from dashboard.components import ui
from dashboard.components.plot import own_element, plot
from dashboard.components.runs import REPLAY
from dashboard.services import RunRow, Values
from dashboard.state import reading
from dashboard.state.live.replay import replay_file
from dashboard.state.live.snapshot import Snapshot, parts

meters_element = own_element(
    "meters",
    "<div class='tb-meters'></div><div class='tb-progress' role='progressbar' aria-label='How far the run is' "
    "aria-valuemin='0' aria-valuemax='100' hidden><span></span><i></i></div>",
    "stream.js",
)
_narration = own_element(
    "narration",
    "<p class='tb-narration'></p><div class='tb-announced' aria-live='polite'></div>",
    "stream.js",
)
_replay = own_element("replay", "<div class='tb-replay'></div>", "player.js")
_watch = own_element(
    "watch",
    "<div class='tb-watch'><label><input type='checkbox'>Notify me when it ends</label>"
    "<label><input type='checkbox'>Play a sound</label><output role='status'></output></div>",
    "stream.js",
)

Parts = Values


def follow(run_id: str, draw: Callable[[Snapshot, Parts, str], None]) -> None:
    """Draw a run, and again when it does something else: `draw` gets its parts, and the id to follow, "" once it is over."""
    st.fragment(_draw)(run_id, reading.run(run_id).goes_on, draw)


def _draw(run_id: str, went_on: bool, draw: Callable[[Snapshot, Parts, str], None]) -> None:
    with ui.errors_shown():  # a fragment runs by itself: what `app.py` catches is not around it
        seen = reading.snapshot(reading.run(run_id))
        run = seen.run
        draw(seen, _cached_parts(run.id, run.revision, run.state, seen), "" if run.is_over else run.id)
        if run.goes_on != went_on:
            st.rerun()


@st.cache_resource(max_entries=16, show_spinner=False)
def _cached_parts(run_id: str, revision: int, state: str, _seen: Snapshot) -> Parts:  # noqa: ARG001 - the cache's key
    """Return a run's parts, worked out once for all sessions."""
    return parts(_seen)


def watch(shown: Parts, live: str) -> None:
    """Have the run drawn again when its stage becomes another one."""
    _watch(key="watch", data={"stage": shown["stage"], "live": live}, on_stage_change=lambda: None)


DOT = "Each dot is one prompt, scored on rows that the search may look at: the higher, the more of its answers are right."


def score_plot(shown: Parts, live: str, key: str, height: int, chosen: int | None = None) -> Any:
    """Draw the chart of scores below what happened last; return the number of the prompt clicked."""
    _narration(key=f"{key}_narration", data={"narration": shown["narration"], "live": live})
    chart = shown["chart"]
    return plot(
        chart["figure"],
        key=key,
        label=chart["label"],
        stamp=chart["stamp"],
        live=live,
        chosen=chosen,
        height=height,
        empty="The first dot appears as soon as the starting prompt has answered its first row.",
    )


def replay_buttons(run: RunRow) -> None:
    """Offer to play a finished run again, and while it plays to save it as a file; nothing while the run goes on."""
    if not run.is_over or run.result is None:
        return
    playing = st.query_params.get(REPLAY) == "1"
    with ui.row("replay_buttons", side="right", width="content"):
        if playing:
            content = partial(replay_content, run)
            ui.download("Save as one file", content, "replay.html", "download_replay")
        label, icon = ("Show the chart", "monitoring") if playing else ("Replay", "replay")
        if ui.button(label, "replay", icon=icon):
            st.query_params.pop(REPLAY, None) if playing else st.query_params.update({REPLAY: "1"})
            st.rerun()


def replay_content(run: RunRow) -> str:
    """Return the file that plays a finished run again."""
    return replay_file(reading.run_replay(run))


def replay_player(run: RunRow, height: int) -> bool:
    """Play a finished run where the address asks for it (`replay=1`); return whether it does."""
    if st.query_params.get(REPLAY) != "1" or not run.is_over or run.result is None:
        return False
    _replay(key="replay_player", data={"run": run.id, "story": reading.run_replay(run), "height": height})
    return True
