"""The columns of a table of runs that hold their scores on the test rows."""

from __future__ import annotations

from typing import Any

import streamlit as st

from dashboard.glossary import explain

WHOLE_PERCENT = "%.0f %%"
PERCENT = "%.1f %%"
"""How a column writes a number of percent, as everywhere else: Streamlit's own form has no space before the sign."""


def in_percent(share: float | None) -> float | None:
    """Return a share from 0 to 1 as percent.

    >>> in_percent(0.8125), in_percent(None)
    (81.25, None)
    """
    return None if share is None else 100 * share


def before_and_after() -> dict[str, Any]:
    """Return the columns "Before" and "After", whose values are those of `in_percent`."""
    return {
        "Before": st.column_config.NumberColumn(
            "Before",
            format=PERCENT,
            width="small",
            help=explain("baseline", "Here: its score on the test rows."),
        ),
        "After": st.column_config.NumberColumn(
            "After",
            format=PERCENT,
            width="small",
            help=explain("best prompt", "Here: its score on the same test rows."),
        ),
    }
