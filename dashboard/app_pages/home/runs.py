"""Runs on the home page, the newest first."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import streamlit as st

from dashboard.components.page import PAGES
from dashboard.components.runs import STATES, before_and_after, in_percent
from dashboard.state import reading
from dashboard.views.meters import progress
from dashboard.views.text import escape_markdown
from engine.export.figures import dollars, duration, short
from engine.store.rows import RunRow

SHOWN = 50


def run_list(runs: Sequence[RunRow], names: Mapping[str, str]) -> None:
    """Show the runs; selecting one opens it. `names` is project id -> name."""
    shown = runs[:SHOWN]
    event = st.dataframe(
        [_table_row(run, names) for run in shown],
        hide_index=True,
        placeholder="",
        key="run_list",
        on_select="rerun",
        selection_mode="single-row",
        height="content" if len(shown) <= 8 else 330,
        column_config={
            "State": st.column_config.MultiselectColumn(
                "State",
                options=[word for word, _, _ in STATES.values()],
                color=[colour for _, colour, _ in STATES.values()],
                width="small",
            ),
            **before_and_after(),
        },
    )
    picked = event.selection.rows
    if picked and picked[0] < len(shown):
        run = shown[picked[0]]
        page = "results" if run.result else "run"
        st.switch_page(PAGES[page], query_params={"project": run.project_id, "run": run.id})
    st.caption("Select a run to open it.")


def _table_row(run: RunRow, names: Mapping[str, str]) -> dict[str, Any]:
    verdict = (run.result or {}).get("verdict", {})
    return {
        "State": [STATES[run.state][0]],
        "Project": names.get(run.project_id, "deleted"),
        "Run": run.title,
        "Started": datetime.fromtimestamp(run.created_at).astimezone().strftime("%d %b, %H:%M"),
        "Before": in_percent(verdict.get("baseline")),
        "After": in_percent(verdict.get("best")),
        "Calls": short(run.calls),
        "Cost": "" if run.cost is None else dollars(run.cost),
        "Took": duration(run.seconds),
    }


GOING = ("queued", "running", "paused")
EVERY = 2.0
CARDS_SHOWN = 6


def running_now(runs: Sequence[RunRow], names: Mapping[str, str]) -> None:
    """Show the runs that go on, kept up to date. `names` is project id -> name."""
    going = [r.id for r in runs if r.state in GOING]
    if not going:
        return
    st.markdown("##### Running now")
    st.fragment(_cards, run_every=EVERY)(going[:CARDS_SHOWN], dict(names))


def _cards(ids: list[str], names: Mapping[str, str]) -> None:
    runs = [r for r in reading.runs() if r.id in ids]
    with st.grid(3, gap="small", min_column_width=270, key="running_now"):
        for run in runs:
            word, colour, icon = STATES[run.state]
            with st.container(border=True, height="stretch", gap="xsmall", key=f"going_{run.id}"):
                st.markdown(
                    f"**{escape_markdown(names.get(run.project_id, run.title), 60)}** :{colour}[{icon} {word}]"
                )
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
