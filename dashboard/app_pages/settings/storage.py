"""Storage in use, and the money spent so far by project."""

from __future__ import annotations

import streamlit as st

from dashboard.components.layout import button, callback, card, confirmed
from dashboard.components.tables import small_table
from dashboard.state import drafts, reading
from dashboard.views.glossary import explain
from dashboard.views.history import by_project
from dashboard.views.text import count, distinct
from engine.home import data_home
from engine.text import dollars, price, short

MOST = 12


def spending_card() -> None:
    """Show every project's calls, tokens and money."""
    names = distinct({p.id: p.name for p in reading.projects(archived=True)})
    found = by_project(reading.runs(), names)
    with card(
        "spending_card",
        "Spent so far",
        "By all runs, those stopped or failed too. Answers that were kept for reuse cost nothing again.",
    ):
        if not found:
            st.caption("Nothing yet: no run was started.")
            return
        total = sum(s.cost or 0.0 for s in found)
        st.metric("Together", dollars(total))
        small_table(
            ("Project", "Money", "Calls", "Tokens"),
            [(s.project, price(s.cost), f"{s.calls:,}", short(s.tokens)) for s in found[:MOST]],
        )
        if len(found) > MOST:
            st.caption(f"And {count(len(found) - MOST, 'project')} that spent less.")
        unpriced = sum(s.unpriced for s in found)
        if unpriced:
            st.caption(
                f":orange[:material/help:] {count(unpriced, 'run')} used a model whose price is not known. "
                "Set it next to the model, for the runs to come."
            )


def storage_card() -> None:
    """Show the call cache and the data folder."""
    size = reading.cache_size()
    with card(
        "cache_card", "Answers kept for reuse", explain("answer kept for reuse", "Also after a crash.")
    ):
        with st.grid(3, min_column_width=80, key="cache_figures"):
            st.metric("Answers", f"{size.replies:,}")
            st.metric("On disk", _bytes(size.bytes))
            st.metric("They cost", dollars(size.cost))
        button(
            "Clear them",
            "clear_cache",
            "" if size.replies else "There is nothing to clear.",
            icon=":material/delete_sweep:",
            on_click=callback(_clear_dialog),
        )
    with card("folder_card", "Where everything is kept"):
        st.code(str(data_home()), language=None)
        st.caption(
            "Projects, runs, files and exports, on this machine only. Set TUNEBOARD_HOME to use another folder."
        )


@st.dialog("Clear the kept answers?")
def _clear_dialog() -> None:
    size = reading.cache_size()
    st.write(
        f"{count(size.replies, 'answer')} will be forgotten. Runs that are repeated or resumed will pay again."
    )
    if confirmed("Keep them", "Clear", "clear"):
        drafts.clear_answers()
        st.rerun()


def _bytes(size: int) -> str:
    for limit, unit in ((1e9, "GB"), (1e6, "MB"), (1e3, "kB")):
        if size >= limit:
            return f"{size / limit:.3g} {unit}"
    return f"{size} bytes"
