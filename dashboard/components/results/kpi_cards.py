"""Baseline against best on the test rows, as figures: those of the run's result, as in its report."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import streamlit as st

from dashboard.glossary import explain
from dashboard.meters import price, short
from engine.export.figures import moment, percent

NO_FIGURE = "not known"


def kpi_cards(result: Mapping[str, Any]) -> None:
    """Show score, interval, cost and latency, the best prompt against the baseline."""
    verdict, before, after = result["verdict"], result["baseline"], result["best"]
    kept = verdict.get("kind") == "unchanged"
    with st.grid(4 if kept else 6, key="kpis", gap="small", min_column_width=200 if kept else 230):
        _card(
            "Starting prompt" if kept else "Baseline",
            percent(before["test"]),
            help=explain("baseline", "Here: its score on the test rows, which the search never saw."),
        )
        if not kept:
            _gain(verdict, after)
        _card(
            "Cost per 1,000 rows",
            price(None if after["cost_per_row"] is None else 1000 * after["cost_per_row"]),
            delta=_change(before, after, "cost_per_row"),
            inverse=True,
            help="What answering 1,000 rows with the best prompt costs; below, the change against the baseline.",
        )
        _card(
            "Tokens per row",
            NO_FIGURE if after["tokens_per_row"] is None else short(after["tokens_per_row"]),
            delta=_change(before, after, "tokens_per_row"),
            inverse=True,
            help=explain("token", "Here: sent and received for a row with the best prompt."),
        )
        _card(
            "Time per row",
            moment(after["seconds_per_row"]),
            help="The median time one row took with the best prompt. Rows run side by side, so many take less.",
        )


def _gain(verdict: Mapping[str, Any], after: Mapping[str, Any]) -> None:
    gain, low, high = (verdict.get(name) for name in ("difference", "low", "high"))
    _card(
        "Best prompt",
        percent(after["test"]),
        # Two equal scores are no step up, and get no arrow.
        delta=f"{100 * gain:+.1f} points" if gain and round(100 * gain, 1) else None,
        help=explain("best prompt", "Here: its score on the same test rows."),
    )
    if low is not None and high is not None:
        _card(
            "Likely gain",
            f"{round(100 * low):+d} to {round(100 * high):+d} points",
            help=explain("likely gain"),
        )


def _card(name: str, value: str, *, delta: str | None = None, inverse: bool = False, help: str = "") -> None:  # noqa: A002 - Streamlit's name
    with st.container(
        border=True, height="stretch", key=f"kpi_{name.lower().replace(' ', '_').replace(',', '')}"
    ):
        st.metric(name, value, delta=delta, delta_color="inverse" if inverse else "normal", help=help)


def _change(before: Mapping[str, Any], after: Mapping[str, Any], name: str) -> str | None:
    was, now = before[name], after[name]
    change = round(100 * (now / was - 1)) if was and now else 0
    return f"{change:+d} %" if change else None
