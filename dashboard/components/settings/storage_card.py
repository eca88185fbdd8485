"""What Tuneboard keeps on this machine: where, how much, and clearing the answers kept for reuse."""

from __future__ import annotations

import streamlit as st

from dashboard import data, drafts
from dashboard.glossary import explain
from dashboard.meters import dollars
from dashboard.plain import count
from engine.home import data_home


def storage_card() -> None:
    """Show the call cache and the data folder."""
    size = data.cache_size()
    with st.container(border=True, key="cache_card"):
        st.markdown(
            "**Answers kept for reuse**",
            help=explain("answer kept for reuse", "Also after a crash."),
        )
        with st.grid(3, gap="small", min_column_width=80, key="cache_figures"):
            st.metric("Answers", f"{size.replies:,}")
            st.metric("On disk", _bytes(size.bytes))
            st.metric("They cost", dollars(size.cost))
        st.button(
            "Clear them",
            key="clear_cache",
            icon=":material/delete_sweep:",
            disabled=not size.replies,
            help="There is nothing to clear." if not size.replies else None,
            on_click=_confirm,
        )
    with st.container(border=True, key="folder_card"):
        st.markdown("**Where everything is kept**")
        st.code(str(data_home()), language=None)
        st.caption(
            "Projects, runs, files and exports, on this machine only. Set TUNEBOARD_HOME to use another folder."
        )


def _confirm() -> None:
    _clear_dialog()


@st.dialog("Clear the kept answers?")
def _clear_dialog() -> None:
    size = data.cache_size()
    st.write(
        f"{count(size.replies, 'answer')} will be forgotten. Runs that are repeated or resumed will pay again."
    )
    with st.container(horizontal=True, horizontal_alignment="right", key="clear_actions"):
        if st.button("Keep them", key="clear_no"):
            st.rerun()
        if st.button("Clear", key="clear_yes", type="primary"):
            drafts.clear_answers()
            st.rerun()


def _bytes(size: int) -> str:
    for limit, unit in ((1e9, "GB"), (1e6, "MB"), (1e3, "kB")):
        if size >= limit:
            return f"{size / limit:.3g} {unit}"
    return f"{size} bytes"
