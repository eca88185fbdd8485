"""What has been spent so far, by project."""

from __future__ import annotations

import streamlit as st

from dashboard import data
from dashboard.meters import dollars
from dashboard.plain import count, distinct
from dashboard.spending import by_project


def spending_card() -> None:
    """Show every project's calls, tokens and money."""
    names = distinct({p.id: p.name for p in data.projects(archived=True)})
    found = by_project(data.runs(), names)
    with st.container(border=True, key="spending_card"):
        st.markdown(
            "**Spent so far**",
            help="By all runs, those stopped or failed too. Answers that were kept for reuse cost nothing again.",
        )
        if not found:
            st.caption("Nothing yet: no run was started.")
            return
        total = sum(s.cost or 0.0 for s in found)
        st.metric("Together", dollars(total))
        st.dataframe(
            [
                {
                    "Project": s.project,
                    "Money": "unknown" if s.cost is None else dollars(s.cost),
                    "Calls": s.calls,
                    "Tokens": s.tokens,
                    "Runs": s.runs,
                }
                for s in found
            ],
            hide_index=True,
            key="spending_table",
            height="content" if len(found) <= 8 else 320,
            column_config={
                "Project": st.column_config.TextColumn("Project", width=120),
                "Money": st.column_config.TextColumn("Money", width=60),
                "Calls": st.column_config.NumberColumn("Calls", format="localized", width=50),
                "Tokens": st.column_config.NumberColumn("Tokens", format="compact", width=50),
                "Runs": st.column_config.NumberColumn("Runs", width=40),
            },
        )
        unpriced = sum(s.unpriced for s in found)
        if unpriced:
            st.caption(
                f":orange[:material/help:] {count(unpriced, 'run')} used a model whose price is not known. "
                "Set it beside the model, for the runs to come."
            )
