"""What has been spent so far, by project."""

from __future__ import annotations

import streamlit as st

from dashboard import data
from dashboard.components.look import small_table
from dashboard.meters import dollars, price, short
from dashboard.plain import count, distinct
from dashboard.spending import by_project

MOST = 12


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
        small_table(
            ("Project", "Money", "Calls", "Tokens"),
            [
                (
                    s.project,
                    price(s.cost),
                    f"{s.calls:,}",
                    short(s.tokens),
                )
                for s in found[:MOST]
            ],
        )
        if len(found) > MOST:
            st.caption(f"And {count(len(found) - MOST, 'project')} that spent less.")
        unpriced = sum(s.unpriced for s in found)
        if unpriced:
            st.caption(
                f":orange[:material/help:] {count(unpriced, 'run')} used a model whose price is not known. "
                "Set it beside the model, for the runs to come."
            )
