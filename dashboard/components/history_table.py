"""All runs with a search and a state filter; selecting one opens its card, selecting two compares them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import streamlit as st

from dashboard import history
from dashboard.components.run_header import STATES
from dashboard.plain import count
from engine.store.rows import RunRow

WORDS = {state: word for state, (word, _, _) in STATES.items()}


def history_table(runs: Sequence[RunRow], names: Mapping[str, str]) -> list[RunRow]:
    """Show the runs a filter lets through; return the selected ones in the order shown."""
    with st.container(horizontal=True, vertical_alignment="bottom", key="history_filter"):
        text = st.text_input(
            "Find",
            key="history_text",
            placeholder="Title, project, optimizer, model or note",
            icon=":material/search:",
            bind="query-params",
            width=360,
        )
        there = [s for s in STATES if any(r.state == s for r in runs)]
        state = st.selectbox(
            "State",
            ["", *there],
            format_func=lambda s: WORDS.get(s, "All states"),
            key="history_state",
            width=180,
        )
    shown = history.found(runs, names, text, state)
    if not shown:
        st.caption("No run fits this filter. Clear it to see all of them.")
        return []
    event = st.dataframe(
        [history.line(run, names, WORDS) for run in shown],
        hide_index=True,
        key="history_table",
        on_select="rerun",
        selection_mode="multi-row",
        height="content" if len(shown) <= 9 else 380,
        column_config={
            "State": st.column_config.MultiselectColumn(
                "State",
                options=list(WORDS.values()),
                color=[colour for _, colour, _ in STATES.values()],
                width="small",
            ),
            "Run": st.column_config.TextColumn("Run", width="medium"),
            "In use": st.column_config.CheckboxColumn(
                "In use", width="small", help="The run whose program you use, at most one in a project."
            ),
            "Before": st.column_config.NumberColumn(
                "Before", format="percent", width="small", help="The starting prompt on the test rows."
            ),
            "After": st.column_config.NumberColumn(
                "After", format="percent", width="small", help="The best prompt on the same test rows."
            ),
            "Gain": st.column_config.NumberColumn(
                "Gain", format="%+.1f", width="small", help="After less before, in points of 100."
            ),
            "Started": st.column_config.DatetimeColumn("Started", format="D MMM, HH:mm"),
            "Calls": st.column_config.NumberColumn("Calls", format="localized", width="small"),
        },
    )
    st.caption(
        f"{count(len(shown), 'run')}. Select one to open it, note something or use it again; "
        "two to compare them. Press a column's name to sort."
    )
    return [shown[i] for i in event.selection.rows if i < len(shown)]
