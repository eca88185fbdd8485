"""Baseline against best on the test rows, as figures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import streamlit as st

from dashboard.glossary import explain
from dashboard.meters import dollars, duration, short
from engine.records import Outcome


def kpi_cards(verdict: Mapping[str, Any], before: Sequence[Outcome], after: Sequence[Outcome]) -> None:
    """Show score, interval, cost and latency, the best prompt against the baseline."""
    gain = verdict.get("difference")
    low, high = verdict.get("low"), verdict.get("high")
    with st.grid(6, key="kpis", gap="small", min_column_width=230):
        _card(
            "Baseline",
            f"{100 * _mean(before):.1f} %",
            help=explain("baseline", "Here: its score on the test rows, which the search never saw."),
        )
        _card(
            "Best prompt",
            f"{100 * _mean(after):.1f} %",
            delta=None if gain is None else f"{100 * gain:+.1f} points",
            help=explain("best prompt", "Here: its score on the same test rows."),
        )
        if low is not None and high is not None:
            _card(
                "Likely gain",
                f"{100 * low:+.0f} to {100 * high:+.0f} points",
                help=explain("likely gain"),
            )
        _card(
            "Cost per 1,000 rows",
            _cost(after),
            delta=_change(_per_row(before, "cost"), _per_row(after, "cost")),
            inverse=True,
            help="What answering 1,000 rows with the best prompt costs; below, the change against the baseline.",
        )
        _card(
            "Tokens per row",
            short(_per_row(after, "tokens")),
            delta=_change(_per_row(before, "tokens"), _per_row(after, "tokens")),
            inverse=True,
            help=explain("token", "Here: sent and received for a row with the best prompt."),
        )
        _card(
            "Time per row",
            _latency(after),
            help="The median time one row took with the best prompt. Rows run side by side, so many take less.",
        )


def _card(name: str, value: str, *, delta: str | None = None, inverse: bool = False, help: str = "") -> None:  # noqa: A002 - Streamlit's name
    with st.container(
        border=True, height="stretch", key=f"kpi_{name.lower().replace(' ', '_').replace(',', '')}"
    ):
        st.metric(name, value, delta=delta, delta_color="inverse" if inverse else "normal", help=help)


def _mean(outcomes: Sequence[Outcome]) -> float:
    return sum(o.score for o in outcomes) / len(outcomes) if outcomes else 0.0


def _per_row(outcomes: Sequence[Outcome], name: str) -> float:
    return sum(getattr(o.usage, name) or 0 for o in outcomes) / len(outcomes) if outcomes else 0.0


def _cost(outcomes: Sequence[Outcome]) -> str:
    if any(o.usage.cost is None and o.error is None for o in outcomes):
        return "unknown"
    return dollars(1000 * _per_row(outcomes, "cost"))


def _change(before: float, after: float) -> str | None:
    if not before or before == after:
        return None
    return f"{100 * (after / before - 1):+.0f} %"


def _latency(outcomes: Sequence[Outcome]) -> str:
    times = sorted(o.seconds for o in outcomes if o.error is None)
    if not times:
        return "none"
    median = times[len(times) // 2]
    if median < 0.001:
        return "under 1 ms"
    return f"{1000 * median:.0f} ms" if median < 1 else duration(median)
