"""The columns of a table of runs that hold their scores on the test rows."""

from __future__ import annotations

from typing import Any

import streamlit as st

from dashboard.glossary import explain


def before_and_after() -> dict[str, Any]:
    """Return the columns "Before" and "After": shares from 0 to 1, shown as percent."""
    return {
        "Before": st.column_config.NumberColumn(
            "Before",
            format="percent",
            width="small",
            help=explain("baseline", "Here: its score on the test rows."),
        ),
        "After": st.column_config.NumberColumn(
            "After",
            format="percent",
            width="small",
            help=explain("best prompt", "Here: its score on the same test rows."),
        ),
    }
