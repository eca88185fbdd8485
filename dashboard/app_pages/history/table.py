"""All runs with a search and a state filter; selecting one opens its card, selecting two compares them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import streamlit as st

from dashboard.components.runs import STATES, before_and_after, in_percent
from dashboard.views import history
from dashboard.views.glossary import explain
from dashboard.views.text import count, distinct
from engine.store.rows import RunRow

FIRST = ("State", "Run", "Before", "After", "Gain", "Verdict", "Started")
"""Columns that fit at a width of 1280 pixels."""
MORE = ("Optimizer", "Model", "Calls", "Cost", "Took")
WORDS = {state: word for state, (word, _, _) in STATES.items()}


def history_table(runs: Sequence[RunRow], names: Mapping[str, str]) -> list[RunRow]:
    """Show the runs a filter lets through; return the selected ones in the order shown."""
    shown = _filtered(runs, names)
    if not shown:
        st.caption("No run fits this filter. Clear it to see all of them.")
        return []
    lines = [_table_row(run, names) for run in shown]
    marked = any(line["Marks and note"] for line in lines)
    event = st.dataframe(
        lines,
        column_order=[
            *FIRST,
            *(["Marks and note"] if marked else []),
            *(MORE if st.session_state["history_more"] else []),
        ],
        hide_index=True,
        placeholder="",
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
        st.toggle(
            "More columns",
            key="history_more",
            help="The way of tuning, the model, and what each run took. Selecting a run shows the same below.",
        )
    return history.matching_runs(runs, names, text, state, chosen, project)


def _table_row(run: RunRow, names: Mapping[str, str]) -> dict[str, Any]:
    """Return a run's line; a project is named where it is called otherwise than the run, and equal scores have no gain."""
    line = history.table_row(run, names, WORDS)
    unchanged = (run.result or {}).get("verdict", {}).get("kind") == "unchanged"
    marks = ["in use" if run.in_use else "", ", ".join(run.tags), run.note]
    return line | {
        "Run": run.title if line["Project"] == run.title else f"{run.title} · {line['Project']}",
        "Before": in_percent(line["Before"]),
        "After": in_percent(line["After"]),
        "Gain": None if unchanged else line["Gain"],
        "Marks and note": " · ".join(mark for mark in marks if mark),
    }


def _columns() -> dict[str, Any]:
    return {
        "State": st.column_config.MultiselectColumn(
            "State",
            options=list(WORDS.values()),
            color=[colour for _, colour, _ in STATES.values()],
            width=92,
        ),
        "Run": st.column_config.TextColumn("Run", width=190, help=explain("run")),
        "Verdict": st.column_config.TextColumn("Verdict", width=105, help=explain("verdict")),
        "Marks and note": st.column_config.TextColumn(
            "Marks and note",
            width=140,
            help=f"Whether its program is in use, its tags, and your own words. {explain('in use')}",
        ),
        **before_and_after(),
        "Gain": st.column_config.NumberColumn("Gain", format="%+.1f", width=70, help=explain("gain")),
        "Started": st.column_config.DatetimeColumn("Started", format="D MMM, HH:mm", width=105),
        "Calls": st.column_config.NumberColumn(
            "Calls", format="localized", width="small", help=explain("call")
        ),
        "Optimizer": st.column_config.TextColumn("Way of tuning", help=explain("way of tuning")),
    }
