"""A row of meters: calls, tokens, money, time, each against its limit."""

from __future__ import annotations

import streamlit as st

from dashboard.meters import meters, progress, time_left
from engine.store.rows import RunRow


def run_meters(run: RunRow) -> None:
    """Show what a run has used, and how far it is."""
    with st.grid(4, min_column_width=150, key="meters", gap="small"):
        for meter in meters(run):
            with st.container(border=True, key=f"meter_{meter.name.lower()}"):
                st.metric(meter.name, meter.text, help=meter.help)
    left = time_left(run)
    if not run.is_over:
        words = run.phase or "getting ready"
        st.progress(progress(run), text=f"{words[:1].upper()}{words[1:]}{' · ' + left if left else ''}")
