"""Every candidate of a run: its score, where it came from and why it exists."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from dashboard.components.score_columns import PERCENT, in_percent
from dashboard.glossary import explain
from engine.store.rows import CandidateRow


def candidate_table(candidates: Sequence[CandidateRow], best_id: str) -> None:
    """Show the candidates in the order found."""
    numbers = {c.id: c.number for c in candidates}
    st.dataframe(
        [
            {
                "Prompt": c.number,
                "": "best" if c.id == best_id else "start" if c.number == 0 else "",
                "Score": in_percent(c.score),
                "On rows": c.rows,
                "From": ", ".join(str(numbers[p]) for p in c.candidate.parents if p in numbers),
                "Solved examples": sum(len(s.demos) for s in c.candidate.steps.values()),
                "Why it exists": c.candidate.reason,
            }
            for c in sorted(candidates, key=lambda c: c.number)
        ],
        hide_index=True,
        placeholder="",
        key="candidate_table",
        column_config={
            "Prompt": st.column_config.NumberColumn(width="small", help=explain("candidate")),
            "": st.column_config.TextColumn(width="small"),
            "Score": st.column_config.ProgressColumn(
                "Score",
                format=PERCENT,
                min_value=0,
                max_value=100,
                help=explain(
                    "score", "Here: on the rows to choose by; the test rows play no part in choosing."
                ),
            ),
            "On rows": st.column_config.NumberColumn(width="small", help=explain("rows to choose by")),
            "Solved examples": st.column_config.NumberColumn(help=explain("solved example")),
            "Why it exists": st.column_config.TextColumn(width="large"),
        },
    )
