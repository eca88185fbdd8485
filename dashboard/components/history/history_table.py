"""All runs with a search and a state filter; selecting one opens its card, selecting two compares them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import streamlit as st

from dashboard import history
from dashboard.components.run.run_header import STATES
from dashboard.components.score_columns import before_and_after
from dashboard.glossary import explain
from dashboard.plain import count, distinct
from engine.store.rows import RunRow

WORDS = {state: word for state, (word, _, _) in STATES.items()}


def history_table(runs: Sequence[RunRow], names: Mapping[str, str]) -> list[RunRow]:
    """Show the runs a filter lets through; return the selected ones in the order shown."""
    shown = _filtered(runs, names)
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
        column_config=_columns(),
    )
    st.caption(
        f"{count(len(shown), 'run')}. Select one to open it, note something or use it again; "
        "two to compare them. Press a column's name to sort."
    )
    return [shown[i] for i in event.selection.rows if i < len(shown)]


def _filtered(runs: Sequence[RunRow], names: Mapping[str, str]) -> list[RunRow]:
    labels = distinct(names)
    with st.container(horizontal=True, vertical_alignment="bottom", key="history_filter"):
        text = st.text_input(
            "Find",
            key="history_text",
            placeholder="Title, project, tag, model or note",
            icon=":material/search:",
            bind="query-params",
            width=320,
        )
        there = [s for s in STATES if any(r.state == s for r in runs)]
        state = st.selectbox(
            "State",
            ["", *there],
            format_func=lambda s: WORDS.get(s, "All states"),
            key="history_state",
            width=160,
        )
        project = ""
        if len(names) > 1:
            project = st.selectbox(
                "Project",
                ["", *names],
                format_func=lambda p: labels.get(p, "All projects"),
                key="history_project",
                width=220,
            )
        tags = sorted({tag for run in runs for tag in run.tags})
        chosen = st.multiselect("Tags", tags, key="history_tags", width=220) if tags else []
    return history.found(runs, names, text, state, chosen, project)


def _columns() -> dict[str, Any]:
    return {
        "State": st.column_config.MultiselectColumn(
            "State",
            options=list(WORDS.values()),
            color=[colour for _, colour, _ in STATES.values()],
            width="small",
        ),
        "Run": st.column_config.TextColumn("Run", width="medium", help=explain("run")),
        "Verdict": st.column_config.TextColumn("Verdict", help=explain("verdict")),
        "In use": st.column_config.CheckboxColumn("In use", width="small", help=explain("in use")),
        "Tags": st.column_config.ListColumn("Tags", width="small"),
        **before_and_after(),
        "Gain": st.column_config.NumberColumn("Gain", format="%+.1f", width="small", help=explain("gain")),
        "Started": st.column_config.DatetimeColumn("Started", format="D MMM, HH:mm"),
        "Calls": st.column_config.NumberColumn(
            "Calls", format="localized", width="small", help=explain("call")
        ),
        "Optimizer": st.column_config.TextColumn("Optimizer", help=explain("way of tuning")),
    }
